"""What a job finds, as it comes: server-sent events of one job. Source: contract §12.1 (`/events/:jobId`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection
from starlette.convertors import StringConvertor, register_url_convertor

from atalaia.jobs import queries
from atalaia.jobs.queries import Job
from atalaia.store.bell import JOBS
from atalaia.web.old.traffilog.access import Reader
from atalaia.web.old.traffilog.common import mapping, old_router
from atalaia.web.old.traffilog.model import RUNNING, approval_of, result_of, status_of, type_of
from atalaia.web.parts import Parts, parts_of

LOOK_S = 1.0
STREAM_S = 30 * 60.0


class _JobId(StringConvertor):
    """Ids of jobs. Pages of our own events stand at the same place and have digits only."""

    regex = r"[\w-]*[A-Za-z_-][\w-]*"


register_url_convertor("oldjob", _JobId())
routes = old_router()
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`data: {…snapshot, _partial}` at each change, at last `event: stopped` with "
        "`reason`: complete, timeout or job_not_found.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@routes.get("/events/{job:oldjob}", response_class=StreamingResponse, responses=_STREAM)
async def stream(request: Request, _: Reader, job: str) -> StreamingResponse:
    """Follow a job's snapshot. Event streams cannot send headers: a session goes into `?token=`."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _events(request, parts_of(request), job), media_type="text/event-stream", headers=headers
    )


async def _events(request: Request, parts: Parts, identity: str) -> AsyncGenerator[str]:
    clock, bell, before = parts.ambient.clock, parts.store.bell, ""
    until = clock.monotonic() + STREAM_S
    while clock.monotonic() < until and not request.app.state.live.ending:
        rung = bell.count(JOBS)
        found = await parts.store.read(lambda tx: _look(tx, identity))
        if found is None:
            yield _stopped("job_not_found")
            return
        status, snapshot = found
        text = orjson.dumps(
            {**parts.redactor.value(snapshot), "_partial": status in RUNNING}, option=orjson.OPT_NON_STR_KEYS
        ).decode()
        if text != before:
            yield f"data: {text}\n\n"
            before = text
        if status not in RUNNING:
            yield _stopped("complete")
            return
        await bell.wait(JOBS, rung, at_most_s=LOOK_S)
        if await request.is_disconnected():
            return
    yield _stopped("timeout")


def _look(tx: Connection, identity: str) -> tuple[str, dict[str, Any]] | None:
    job = queries.get_job(tx, identity) if len(identity) <= 36 else None
    if job is None or not type_of(job.kind):
        return None
    approval = approval_of(job, queries.chain(tx, job.root)) if job.step.startswith("can") else None
    return status_of(job, approval), _snapshot(job, approval)


def _snapshot(job: Job, approval: Job | None) -> dict[str, Any]:
    """Answer what is known of the vehicle; before there is a snapshot, how far the job is."""
    result = result_of(job, approval) or {}
    return mapping(result.get("snapshot")) or result


def _stopped(reason: str) -> str:
    return f'event: stopped\ndata: {{"reason":"{reason}"}}\n\n'
