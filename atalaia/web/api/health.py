"""`/health` and `/metrics`: for load balancers, watchdogs and Prometheus."""

from __future__ import annotations

import asyncio
import hmac
import os
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import Connection

from atalaia.clock import rfc3339, to_ms
from atalaia.connections.queries import list_connections
from atalaia.desk.system.queries import list_cursors, list_workers, sizes, store_bytes
from atalaia.events.queries import counts
from atalaia.jobs.queries import count_by_state, needing_person
from atalaia.version import VERSION, git_branch, git_sha
from atalaia.web.access import unauthenticated, who_of
from atalaia.web.api.common import REFUSALS
from atalaia.web.health import Health, Seen
from atalaia.web.parts import Parts, parts_of

routes = APIRouter(tags=["health"])
_HOME = ("127.0.0.1", "::1")
_PLAIN: dict[int | str, dict[str, Any]] = {
    503: {"description": "Not able to work.", "content": {"application/json": {"schema": {"type": "object"}}}}
}


@routes.get("/health/live")
async def live() -> dict[str, str]:
    """Liveness: the process runs and answers. Restart it when this fails."""
    return {"status": "ok"}


@routes.get("/health/ready", responses=_PLAIN)
async def ready(request: Request) -> JSONResponse:
    """Readiness: it can take and answer requests, because the database can be read."""
    seen = await _look(request)
    status = "failing" if seen.word == "failing" else "ok"
    return _answer(request, {"status": status}, seen)


@routes.get("/health/truth", responses=_PLAIN)
async def truth(request: Request) -> JSONResponse:
    """Truth: what the hub shows is what is. `attention` is no reason to restart it."""
    seen = await _look(request)
    return _answer(request, {"status": seen.word}, seen)


@routes.get("/health", responses=_PLAIN)
async def health(request: Request) -> JSONResponse:
    """All three at once; details only for who may see the system, or shows an old client's key."""
    seen = await _look(request)
    parts = parts_of(request)
    ready = "failing" if seen.word == "failing" else "ok"
    now_ms = to_ms(parts.ambient.clock.now())
    moment = rfc3339(now_ms)
    old: dict[str, Any] = {"ok": ready == "ok", "service": "atalaia", "ts": moment, "timestamp": moment}
    if _may_know(request):  # what the older software's first generation told everybody
        branch = await asyncio.to_thread(git_branch)
        uptime_s = max(0, (now_ms - parts.started_ms) // 1000)
        old |= {"git_commit": git_sha(), "git_branch": branch, "boot_id": parts.worker}
        old |= {"uptime_s": uptime_s, "pid": os.getpid()}
    return _answer(request, {"status": seen.word, "live": "ok", "ready": ready, **old}, seen)


@routes.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        401: REFUSALS[401],
        503: REFUSALS[503],
    },
)
async def metrics(request: Request) -> Response:
    """Figures for Prometheus: to this machine, or with the scope system:read."""
    parts = parts_of(request)
    at_home = request.client is not None and request.client.host in _HOME and not _forwarded(request)
    if not (parts.settings.metrics_open or at_home or who_of(request).may("system:read")):
        raise unauthenticated()
    registry = await _collect(request, parts)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _look(request: Request) -> Seen:
    service: Health = request.app.state.health_service
    return await service.look()


def _answer(request: Request, said: dict[str, Any], seen: Seen) -> JSONResponse:
    if who_of(request).may("system:read"):
        said |= {"why": seen.why, "details": seen.details, "version": VERSION, "git_sha": git_sha()}
    return JSONResponse(said, 503 if seen.word == "failing" else 200, {"Cache-Control": "no-store"})


def _may_know(request: Request) -> bool:
    """Answer whether the caller may see the system, or shows a key of the older software."""
    if who_of(request).may("system:read"):
        return True
    settings = parts_of(request).settings
    shown = {"x-worker-key": settings.old_worker_key, "x-admin-key": settings.old_admin_key}
    return any(_same(request.headers.get(name), key.get_secret_value()) for name, key in shown.items())


def _same(shown: str | None, wanted: str) -> bool:
    return bool(wanted) and shown is not None and hmac.compare_digest(shown.encode(), wanted.encode())


def _forwarded(request: Request) -> bool:
    """Answer whether a proxy on this machine asks for somebody else."""
    return any(name in request.headers for name in ("x-forwarded-for", "forwarded", "x-real-ip"))


async def _collect(request: Request, parts: Parts) -> CollectorRegistry:
    registry = CollectorRegistry()
    now_ms = to_ms(parts.ambient.clock.now())

    def read(tx: Connection) -> None:
        _log_metrics(tx, registry, now_ms)
        _connection_metrics(tx, registry, now_ms)
        _job_metrics(tx, registry, now_ms)
        _system_metrics(tx, registry, now_ms)

    await parts.store.read(read)
    Gauge("atalaia_live_streams", "Open live pages", registry=registry).set(request.app.state.live.clients)
    info = Gauge("atalaia_build_info", "Which code this is", ["version", "git_sha"], registry=registry)
    info.labels(VERSION, git_sha()).set(1)
    return registry


def _log_metrics(tx: Connection, registry: CollectorRegistry, now_ms: int) -> None:
    size = sizes(tx)
    Gauge("atalaia_log_last_seq", "Last sequence of the log", registry=registry).set(size.last_seq)
    Gauge("atalaia_store_bytes", "Size of the database", registry=registry).set(store_bytes(tx))
    Gauge("atalaia_deliveries_open", "Deliveries on their way", registry=registry).set(size.deliveries_open)
    Gauge("atalaia_deliveries_dead", "Deliveries given up", registry=registry).set(size.deliveries_dead)
    Gauge("atalaia_circuits_open", "Destinations that are down", registry=registry).set(size.circuits_open)
    oldest = (now_ms - size.oldest_open_ms) / 1000 if size.oldest_open_ms else 0
    Gauge("atalaia_delivery_oldest_seconds", "Age of the oldest open delivery", registry=registry).set(oldest)
    minute = Gauge(
        "atalaia_events_last_hour", "Events of the last hour", ["connection", "type"], registry=registry
    )
    for one in counts(tx, since_ms=now_ms - 3_600_000):
        minute.labels(one["connection"], one["type"]).set(one["kept"] + one["counted"] + one["dropped"])


def _connection_metrics(tx: Connection, registry: CollectorRegistry, now_ms: int) -> None:
    labels = ["connection", "name", "connector"]
    state = Gauge("atalaia_connection_live", "1 when proven live", labels, registry=registry)
    age = Gauge(
        "atalaia_connection_heard_seconds", "Seconds since something was heard", labels, registry=registry
    )
    for one in list_connections(tx, with_planes=False):
        named = (one.id, one.name, one.connector)
        state.labels(*named).set(1 if one.state == "live" else 0)
        if one.heard_ms is not None:
            age.labels(*named).set((now_ms - one.heard_ms) / 1000)


def _job_metrics(tx: Connection, registry: CollectorRegistry, now_ms: int) -> None:
    state = Gauge("atalaia_jobs", "Jobs that are kept, by state", ["state"], registry=registry)
    for name, number in count_by_state(tx).items():
        state.labels(name).set(number)
    waiting = needing_person(tx, limit=1)
    age = (now_ms - waiting[0].changed_ms) / 1000 if waiting else 0
    Gauge("atalaia_job_waiting_seconds", "How long a job waits for a person", registry=registry).set(age)


def _system_metrics(tx: Connection, registry: CollectorRegistry, now_ms: int) -> None:
    behind = Gauge(
        "atalaia_reaction_behind", "Events between a reaction and the log", ["reaction"], registry=registry
    )
    parked = Gauge(
        "atalaia_reaction_parked", "Events a reaction could not take", ["reaction"], registry=registry
    )
    for one in list_cursors(tx):
        behind.labels(one.reaction).set(one.behind)
        parked.labels(one.reaction).set(one.parked)
    alive = sum(1 for one in list_workers(tx, now_ms) if one.alive)
    Gauge("atalaia_workers_alive", "Workers that show signs of life", registry=registry).set(alive)
