"""The old job server: ask for jobs, claim, tell progress, complete. Contract §12.1, §12.2, §12.6."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection

from atalaia.desk.old_clients.kept import Claim, note_claim, workers_of
from atalaia.errors import AtalaiaError
from atalaia.jobs import queries
from atalaia.jobs.external import OldToken
from atalaia.jobs.queries import ENDED, Job, JobFilter
from atalaia.jobs.submit import NotNow, Orders
from atalaia.store.sealed import get_value
from atalaia.web.old.traffilog.access import Reader, WorkerKey, Working
from atalaia.web.old.traffilog.acting import (
    act,
    ask,
    is_left_outside,
    must,
    outside_of,
    shown,
    token_of,
    unknown_type,
    worker_of,
)
from atalaia.web.old.traffilog.common import (
    CONNECTOR,
    CREATED,
    Body,
    OldRefusal,
    body_of,
    mapping,
    now_ms,
    old_router,
    refusal_of,
    takes,
    word,
)
from atalaia.web.old.traffilog.model import PREFIX, SUCCESS, canonical, is_outside, job_out, known_kinds
from atalaia.web.old.traffilog.session_token import TOKEN
from atalaia.web.parts import Parts, parts_of

routes = old_router()
Id = Annotated[str, Path(min_length=1, max_length=40, pattern=r"^[\w-]+$")]
Word = Annotated[str, Query(max_length=120)]
LISTED = 500
GATE = "x-jobsnext-gate"
REASON_CHARS = 80


@routes.post("/api/jobs", status_code=201, responses=CREATED, openapi_extra=takes("type", "payload:object"))
async def make(request: Request, caller: Working) -> JSONResponse:
    """Ask for a job of an old type; ours do it, or workers outside where the settings say so."""
    body = await body_of(request)
    old_type = word(body, "type", "job_type", most=80)
    if not old_type:
        raise OldRefusal(400, "missing_type")
    job = await ask(request, caller, old_type, mapping(body.get("payload")))
    return JSONResponse({"ok": True, "job": await shown(parts_of(request), job.id)}, 201)


@routes.get("/api/jobs")
async def listed(
    request: Request, _: Reader, status: Word = "", type: Word = "",
    limit: Annotated[int, Query(ge=1, le=LISTED)] = LISTED,
) -> JSONResponse:  # fmt: skip
    """List the latest jobs that old clients know, at most 500."""
    parts = parts_of(request)

    def read(tx: Connection) -> list[Body]:
        found = queries.list_jobs(tx, JobFilter(kinds=known_kinds()), limit=LISTED)
        workers = workers_of(tx, [one.id for one in found])
        return [job_out(one, worker=workers.get(one.id, "")) for one in found]

    told = await parts.store.read(read)
    jobs = [one for one in told if status in ("", one["status"]) and type in ("", one["type"])]
    jobs = parts.redactor.value(jobs[:limit])
    return JSONResponse({"ok": True, "count": len(jobs), "jobs": jobs})


@routes.post(
    "/api/jobs/next", responses={204: {"description": "There is nothing to do."}},
    openapi_extra=takes("job_type", "worker_id", "worker_key"),
)  # fmt: skip
async def claim_by_post(request: Request, caller: Working) -> Response:
    """Claim the next job of a type, with `lease_token` and `lease_until`; progress renews the lease."""
    return await _next(request, await body_of(request), caller.address)


@routes.get("/api/jobs/next", responses={204: {"description": "There is nothing to do."}})
async def claim_by_get(
    request: Request, caller: Working, job_type: Word = "", type: Word = "", worker_id: Word = "",
    worker: Word = "",
) -> Response:  # fmt: skip
    """Claim the next job of a type, as workers of the first generation do."""
    body = {"job_type": job_type, "type": type, "worker_id": worker_id, "worker": worker}
    return await _next(request, body, caller.address)


@routes.get("/api/jobs/{job}")
async def one(request: Request, _: Reader, job: Id) -> JSONResponse:
    """Answer one job."""
    return JSONResponse({"ok": True, "job": await shown(parts_of(request), job)})


@routes.post(
    "/api/jobs/{job}/progress",
    openapi_extra=takes(
        "progress:any", "percent:any", "message:any", "stage:any", "snapshot:any", "lease_token"
    ),
)
async def progress(request: Request, _: Working, job: Id) -> JSONResponse:
    """Tell how far a claimed job is; its lease begins anew. An old token: 409 `lease_lost`."""
    parts, body = parts_of(request), await body_of(request)
    outside = outside_of(parts)

    def write(tx: Connection) -> Job:
        known = must(tx, job)
        if not is_outside(known.kind):
            raise OldRefusal(409, "not_yours", detail="The hub does this job itself.")
        token = token_of(tx, known, request, body)
        told = {name: value for name, value in known.progress.items() if name not in ("percent", "said")}
        told |= {name: body[name] for name in ("partial", "snapshot", "detail", "progress") if name in body}
        percent, said = _percent(body, known.percent), word(body, "message", "stage")
        lease = parts.settings.old_lease_s
        outside.renew(tx, known.id, -1 if token is None else token, lease_s=lease)
        outside.progress(tx, known.id, -1 if token is None else token, percent, said, **told)
        return must(tx, known.id)

    try:
        await parts.store.write(write)
    except OldToken as error:
        raise OldRefusal(409, "lease_lost", detail=str(error)) from None
    except AtalaiaError as error:
        raise refusal_of(error) from None
    return JSONResponse({"ok": True, "job": await shown(parts, job)})


@routes.post(
    "/api/jobs/{job}/complete",
    openapi_extra=takes("status", "result:any", "worker_id", "lease_token"),
)
async def complete(request: Request, _: Working, job: Id) -> JSONResponse:
    """End a claimed job. A repeated or late one changes nothing and answers what was kept (`kept: true`)."""
    parts, body = parts_of(request), await body_of(request)
    changed = await act(request, lambda tx, orders: _complete(tx, orders, parts, request, job, body))
    told = {"ok": True, "job": await shown(parts, job)}
    return JSONResponse(told if changed else told | {"kept": True})


@routes.post("/api/jobs/{job}/retry", openapi_extra=takes("reason"))
async def retry(request: Request, caller: Working, job: Id) -> JSONResponse:
    """Run a job again that ended in error; one that a worker outside holds is taken from it."""
    reason = word(await body_of(request), "reason") or "asked by an old client"

    def write(tx: Connection, orders: Orders) -> None:
        known = must(tx, job)
        if known.state == "running" and is_outside(known.kind):
            outside_of(parts_of(request)).give_back(tx, known.id, known.epoch, reason)
            return
        if known.state not in ("failed", "expired"):
            raise OldRefusal(400, "status_invalido", status=known.state)
        orders.retry(tx, known.id, reason=reason, by=caller.name)

    await act(request, write)
    return JSONResponse({"ok": True, "job": await shown(parts_of(request), job)})


@routes.post("/api/jobs/{job}/cancel", openapi_extra=takes("reason"))
async def cancel(request: Request, caller: WorkerKey, job: Id) -> JSONResponse:
    """Call a job off; one that has ended is skipped."""
    reason = word(await body_of(request), "reason") or "asked by an old client"
    return JSONResponse(await cancel_job(request, job, caller.name, reason))


async def cancel_job(request: Request, job: str, by: str, reason: str) -> Body:
    """Call a job off; answer `{ok, id}`, or `{skipped, status}` when it has ended."""

    def write(tx: Connection, orders: Orders) -> Body:
        known = must(tx, job)
        try:
            orders.cancel(tx, known.id, reason=reason, by=by)
        except NotNow:
            return {"ok": True, "skipped": True, "id": known.id, "status": job_out(known)["status"]}
        return {"ok": True, "id": known.id}

    return await act(request, write)


async def _next(request: Request, body: Body, address: str) -> Response:
    old_type = word(body, "job_type", "type", most=80)
    if not old_type:
        raise OldRefusal(400, "missing_job_type")
    name = canonical(old_type)
    if not name:
        raise unknown_type()
    parts = parts_of(request)
    if not is_left_outside(parts, name):
        return Response(status_code=204)  # done here: a worker that still polls finds nothing
    worker = worker_of(request, body) or f"at {address}"
    kind = f"{CONNECTOR}.{PREFIX}{name}"
    outside, lease_s = outside_of(parts), parts.settings.old_lease_s

    def write(tx: Connection) -> tuple[Body, str] | None:
        taken = outside.claim(tx, kind, worker, lease_s=lease_s)
        if taken is None:
            return None
        note_claim(tx, taken.id, Claim(taken.epoch, worker, address), now_ms(parts))
        until = (taken.lease_ms or 0) / 1000
        told = job_out(must(tx, taken.id)) | {"workerId": worker, "lease_token": taken.epoch}
        return told | {"lease_until": until}, get_value(tx, parts.secretbox, TOKEN)

    try:
        found = await parts.store.write(write) if await _waits(parts, kind) else None
    except AtalaiaError as error:
        raise refusal_of(error) from None
    if found is None:
        return Response(status_code=204)
    job, token = found
    if token and not name.startswith("html5_"):
        job["payload"] = {**job["payload"], "sessionToken": token}
    gate = {GATE: "present" if token else "missing_allowed_v4"}
    return JSONResponse({"ok": True, "job": job | {"type": old_type}}, headers=gate)


async def _waits(parts: Parts, kind: str) -> bool:
    """Answer whether a claim may find something: idle workers that poll then write nothing."""
    wanted = JobFilter(states=("queued", "running"), kinds=(kind,))
    return bool(await parts.store.read(lambda tx: queries.list_jobs(tx, wanted, limit=1)))


def _complete(tx: Connection, orders: Orders, parts: Parts, request: Request, job: str, body: Body) -> bool:
    """End a job; answer False when nothing was changed because it had ended or is somebody else's."""
    known = must(tx, job)
    if known.state in ENDED:
        return False
    if not is_outside(known.kind):
        raise OldRefusal(409, "not_yours", detail="The hub does this job itself.")
    token = token_of(tx, known, request, body)
    if token is None:
        raise OldRefusal(
            409, "lease_token_wanted", detail="Send lease_token or worker_id, as the claim answered."
        )
    outside, result = outside_of(parts), _result(body)
    try:
        match _outcome(body, result):
            case "completed":
                outside.done(tx, known.id, token, result)
            case "cancelled":
                outside.renew(tx, known.id, token, lease_s=parts.settings.old_lease_s)
                orders.cancel(tx, known.id, reason="the worker called it off", by=known.executor or "worker")
            case _:
                reason = word(result, "reason", most=10_000)[:REASON_CHARS] or "error"
                said = word(result, "detail", "message", "error", most=10_000) or "The worker says: error."
                outside.failed(tx, known.id, token, reason, said, result)
    except OldToken:
        return False
    return True


def _result(body: Body) -> Body:
    """Answer a worker's result; what is no object is kept as one."""
    given: Any = body.get("result")
    return mapping(given) if isinstance(given, dict) or given is None else {"result": given}


def _outcome(body: Body, result: Body) -> str:
    """Answer how a worker says it ended. Silence is success in its words; a result that is not ok is none."""
    status = word(body, "status").lower()
    if status == "cancelled":
        return "cancelled"
    good = status in ("", *SUCCESS) and result.get("ok") is not False
    return "completed" if good else "error"


def _percent(body: Body, before: float | None) -> float | None:
    """Answer between 0 and 100; the newer workers put it into `progress`, which may be an object, too."""
    for name in ("percent", "progress"):
        value: Any = body.get(name)
        if isinstance(value, dict):
            value = mapping(value).get("percent")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return min(100.0, max(0.0, float(value)))
    return before
