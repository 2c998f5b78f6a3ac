"""`/health` and `/metrics`: for load balancers, watchdogs and Prometheus."""

from __future__ import annotations

import asyncio
import hmac
import os
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from atalaia.clock import rfc3339, to_ms
from atalaia.version import VERSION, git_branch, git_sha
from atalaia.web.access import unauthenticated, who_of
from atalaia.web.api.common import REFUSALS
from atalaia.web.health import Health, Seen
from atalaia.web.parts import parts_of

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
    from atalaia.web.api.metrics import collect  # Prometheus' library is a megabyte that many never ask for

    text, media_type = await collect(parts, request.app.state.live.clients)
    return Response(text, media_type=media_type)


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
