"""Workers outside tell that they live, and what they see. Source: contract §12.1, §12.2, §12.6."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import JSONResponse

from atalaia.desk.old_clients.kept import OldWorker, beat, list_workers
from atalaia.web.old.traffilog.access import Caller, Watching, WorkerKey
from atalaia.web.old.traffilog.common import Body, OldRefusal, body_of, iso, now_ms, old_router, takes, word
from atalaia.web.parts import parts_of

routes = old_router()
TOLD = ("ts", "status", "job", "checks", "last_error", "meta", "version", "commit")
_SHAPE = takes("worker_id", "ts:any", "status:any", "job:any", "checks:any", "last_error:any", "meta:any")


@routes.post("/api/worker/heartbeat", openapi_extra=_SHAPE)
async def heartbeat(request: Request, caller: WorkerKey) -> JSONResponse:
    """Keep the last heartbeat of a worker; who is silent for 180 s is shown as offline."""
    return await _beat(request, caller)


@routes.post("/api/jobs/worker/heartbeat", openapi_extra=_SHAPE)
async def heartbeat_at_jobs(request: Request, caller: WorkerKey) -> JSONResponse:
    """Keep the last heartbeat of a worker, under the second generation's other address."""
    return await _beat(request, caller)


@routes.get("/api/worker/heartbeat")
async def reachable(request: Request, _: WorkerKey) -> JSONResponse:
    """Answer that this address can be reached with this key."""
    return JSONResponse({"ok": True, "ts": iso(now_ms(parts_of(request)))})


@routes.get("/api/worker/status")
async def status(request: Request, _: Watching) -> JSONResponse:
    """List the workers outside with their last heartbeat and whether they are online."""
    parts = parts_of(request)
    now = now_ms(parts)
    found = await parts.store.read(lambda tx: list_workers(tx, now))
    workers = [parts.redactor.value(_told(one, now)) for one in found]
    return JSONResponse({"ok": True, "now": iso(now), "workers": workers})


async def _beat(request: Request, caller: Caller) -> JSONResponse:
    body = await body_of(request)
    worker = word(body, "worker_id", "workerId", most=120)
    if not worker:
        raise OldRefusal(400, "MISSING_worker_id")
    parts = parts_of(request)
    said = {name: body[name] for name in TOLD if name in body}
    now = now_ms(parts)
    await parts.store.write(lambda tx: beat(tx, worker, said, caller.address, now))
    return JSONResponse({"ok": True, "ts": iso(now)})


def _told(one: OldWorker, now: int) -> Body:
    about = {"worker_id": one.id, "online": one.online, "seen_at": iso(one.seen_ms), "address": one.address}
    return {"ts": iso(one.seen_ms), **one.said, **about, "age_s": (now - one.seen_ms) / 1000}
