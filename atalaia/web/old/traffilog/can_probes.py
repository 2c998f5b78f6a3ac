"""CAN probes without an installation. Source: contract §12.4."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from atalaia.clock import rfc3339
from atalaia.desk.old_clients.kept import Probe, add_probe, get_probe, give_probe_job
from atalaia.jobs import queries
from atalaia.jobs.queries import Job
from atalaia.jobs.submit import Order, Orders
from atalaia.web.old.traffilog.access import Caller, Reader, Writer
from atalaia.web.old.traffilog.acting import act
from atalaia.web.old.traffilog.common import (
    CONNECTOR,
    CREATED,
    Body,
    OldRefusal,
    body_of,
    mapping,
    meant,
    now_ms,
    old_router,
    takes,
    word,
)
from atalaia.web.old.traffilog.jobs import Id
from atalaia.web.old.traffilog.model import STATUSES, job_out
from atalaia.web.parts import Parts, parts_of

routes = old_router()
CREATED_WORD = "PROBE_CREATED"
KEPT_CHARS = 10_000
_WORDS = {
    "pending": "CAN_SNAPSHOT_QUEUED", "processing": "CAN_RUNNING", "completed": "CAN_SNAPSHOT_READY",
    "error": "CAN_SNAPSHOT_ERROR", "cancelled": "CANCELLED",
}  # fmt: skip


@routes.post(
    "/api/can-probes", status_code=201, responses=CREATED,
    openapi_extra=takes("vehicleId", "clientId", "clientName"),
)  # fmt: skip
async def make(request: Request, caller: Writer) -> JSONResponse:
    """Keep a probe; nothing is asked of the unit before a snapshot is requested."""
    parts, body = parts_of(request), await body_of(request)
    if len(await request.body()) > KEPT_CHARS:
        raise OldRefusal(400, "too_long")
    _check_client(caller, body)
    identity = f"prb_{parts.ambient.random.getrandbits(96):024x}"
    token = f"tok_{parts.ambient.random.getrandbits(128):032x}"
    probe = Probe(identity, token, parts.redactor.value(body), "", caller.name, now_ms(parts))
    await parts.store.write(lambda tx: add_probe(tx, probe))
    return JSONResponse(_told(probe, None, parts), 201)


@routes.get("/api/can-probes/{probe}")
async def one(request: Request, _: Reader, probe: Id) -> JSONResponse:
    """Answer a probe with what its job found."""
    parts = parts_of(request)

    def read(tx: Connection) -> tuple[Probe, Job | None]:
        found = _must(tx, probe)
        return found, queries.get_job(tx, found.job) if found.job else None

    return JSONResponse(_told(*await parts.store.read(read), parts))


@routes.post(
    "/api/can-probes/{probe}/actions/request-can-snapshot",
    openapi_extra=takes("vehicleId", "cycles:integer", "interval_ms:integer"),
)
async def snapshot(request: Request, caller: Writer, probe: Id) -> JSONResponse:
    """Watch the unit's buses over some cycles (12 of 12 s unless told otherwise)."""
    parts, body = parts_of(request), await body_of(request)

    def write(tx: Connection, orders: Orders) -> tuple[Probe, Job | None]:
        found = _must(tx, probe)
        running = queries.get_job(tx, found.job) if found.job else None
        if running is not None and not running.ended:
            raise OldRefusal(409, "can_em_andamento")
        asked = {**found.asked, **body}
        _check_client(caller, asked)
        order = Order(f"{CONNECTOR}.can_probe", meant(tx, parts).id, _params(asked), caller.name)
        job = orders.submit(tx, order)
        give_probe_job(tx, found.id, job.id)
        return found, queries.get_job(tx, job.id)

    found, job = await act(request, write)
    return JSONResponse(_told(found, job, parts))


def _params(asked: Body) -> Body:
    params: Body = {
        "vehicle_id": word(asked, "vehicleId", "vehicle_id"),
        "client_id": word(asked, "clientId", "client_id"),
        "client_name": word(asked, "clientName", "client_name", "client_descr"),
        "comment": word(asked, "comment"),
    }
    counts = {name: asked[name] for name in ("cycles", "interval_ms") if isinstance(asked.get(name), int)}
    return params | counts


def _check_client(caller: Caller, asked: Body) -> None:
    client = word(asked, "clientId", "client_id")
    if caller.session is not None and client and not caller.session.sees(client):
        raise OldRefusal(403, "client_not_allowed")


def _must(tx: Connection, identity: str) -> Probe:
    found = get_probe(tx, identity)
    if found is None:
        raise OldRefusal(404, "not_found")
    return found


def _told(probe: Probe, job: Job | None, parts: Parts) -> dict[str, Any]:
    mask = parts.redactor.value
    result = mapping(job.result) if job is not None else {}
    return {
        "ok": True,
        "id": probe.id,
        "installation_id": probe.id,
        "installation_token": probe.token,
        "status": _WORDS.get(STATUSES[job.state], "CAN_RUNNING") if job else CREATED_WORD,
        "job_id": job.id if job else None,
        "payload": mask(probe.asked),
        "can": {"summary": mask(result.get("summary")), "cycles": mask(result.get("cycles"))},
        "job": mask(job_out(job)) if job else None,
        "created_at": rfc3339(probe.created_ms),
        "updated_at": rfc3339(job.changed_ms if job else probe.created_ms),
    }
