"""Jobs: what is asked of upstreams. Below /api/hub, because /api/jobs is how the old clients call theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from atalaia.clock import to_ms
from atalaia.jobs import queries
from atalaia.jobs.model import JobFailed, JobKind
from atalaia.jobs.queries import Job, JobFilter
from atalaia.jobs.submit import KeyReused, NoSuchJob, NotNow, Order, Orders, WrongParams
from atalaia.serve import job_kinds
from atalaia.web.access import Who, require
from atalaia.web.api.common import ONCE, REFUSALS, Asked, Wire, no_repeats, router
from atalaia.web.api.events import EventOut, event_out
from atalaia.web.idempotency import HEADER
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import Fault, Problem, conflict, not_found
from atalaia.web.wire import (
    SEQ_MAX,
    Cursor,
    From,
    Identity,
    Instant,
    Limit,
    Moment,
    Page,
    To,
    ms_of,
    page_of,
    read_cursor,
)

routes = router("jobs")
# Submission keeps its keys for good, with the job they made: the usual 24 hours of an answer are too short.
asking = APIRouter(prefix="/api", tags=["jobs"], responses=REFUSALS, dependencies=[Depends(no_repeats)])
_READ = [Depends(require("jobs:read"))]
Writer = Annotated[Who, Depends(require("jobs:write"))]
Json = dict[str, Any]
State = Literal["queued", "running", "waiting", "in_doubt", "done", "failed", "cancelled", "expired"]
Reason = Annotated[str, Field(max_length=500)]


class AskedOut(Wire):
    """What a waiting job wants to know; one of `choices` is the answer."""

    name: str
    question: str
    choices: list[str]
    shown: object
    until_at: Moment | None = Field(validation_alias="until_ms")


class JobOut(Wire):
    """One job. state: waiting is for a person's choice, in_doubt for a person's decision about a step.

    `reason` is a stable word, `said` the same as a sentence; `percent` is between 0 and 100.
    """

    id: str
    kind: str
    connection: str
    params: Json
    state: str
    priority: int
    not_before_at: Moment | None = Field(validation_alias="not_before_ms")
    expires_at: Moment | None = Field(validation_alias="expires_ms")
    idempotency_key: str | None
    root: str
    step: str
    parent: str | None
    trace: str
    attempt: int
    reason: str
    said: str
    asked: AskedOut | None
    percent: float | None
    progress: Json
    result: object
    by: str
    created_at: Moment = Field(validation_alias="created_ms")
    started_at: Moment | None = Field(validation_alias="started_ms")
    ended_at: Moment | None = Field(validation_alias="ended_ms")
    changed_at: Moment = Field(validation_alias="changed_ms")


class StepOut(Wire):
    """One try of one step. kind: read, idempotent, unsafe. `sent_at`: when its effect left.

    `result` of a step in doubt: what it would have answered, as far as that is known.
    """

    attempt: int
    name: str
    round: int
    kind: str
    state: str
    evidence: Json
    result: object
    error: str
    began_at: Moment = Field(validation_alias="began_ms")
    sent_at: Moment | None = Field(validation_alias="sent_ms")
    ended_at: Moment | None = Field(validation_alias="ended_ms")
    decided_by: str
    decided_at: Moment | None = Field(validation_alias="decided_ms")


class FrameOut(Wire):
    """What was sent or received for a job, secrets masked."""

    id: int
    at: Moment = Field(validation_alias="at_ms")
    direction: Literal["sent", "received"]
    surface: str
    text: str


class KindOut(BaseModel):
    """One kind of job, what it asks as JSON Schema, and the connections that take it."""

    kind: str
    title: str
    params: Json
    dry_run: bool
    connections: list[str]


class PlannedOut(Wire):
    """One frame that would be sent, secrets masked."""

    surface: str
    text: str
    note: str


class SubmittedOut(BaseModel):
    """The job that was queued, or the one that the same key made before. With dry_run only `planned`."""

    job: JobOut | None
    planned: list[PlannedOut] = []


class JobAsked(Asked):
    """A job to ask for. params: as `GET /api/hub/kinds` says."""

    kind: Annotated[str, Field(max_length=80)]
    connection: Identity
    params: Json = Field(default_factory=dict[str, Any])
    priority: Annotated[int, Field(ge=-1000, le=1000, description="Higher goes first.")] = 0
    not_before: Instant | None = None
    expires: Annotated[Instant | None, Field(description="Still queued then: it expires.")] = None


class CancelAsked(Asked):
    """Why it is called off."""

    reason: Reason = ""


class RetryAsked(Asked):
    """Why it runs again. anew: also send again what is surely done; null is what the kind says."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]
    anew: bool | None = None


class DecideAsked(Asked):
    """What became of the step in doubt.

    With `happened`: `result` is what it would have answered, or that part of it which is not as supposed (the
    `result` of the step in doubt); `evidence` is what was seen upstream, by name, and stands in the answer
    where that has the name.
    """

    choice: Literal["happened", "again", "cancel"]
    step: Annotated[str, Field(max_length=80)] = ""
    result: Any = None
    evidence: Annotated[
        dict[Annotated[str, Field(max_length=80)], Annotated[str, Field(max_length=2000)]],
        Field(max_length=50, description='E.g. {"process_id": "10422606"}.'),
    ] = Field(default_factory=dict[str, str])
    reason: Reason = ""


class AnswerAsked(Asked):
    """A choice that the job offers. name: of the question, so that no other one is answered by mistake."""

    choice: Annotated[str, Field(min_length=1, max_length=80)]
    name: Annotated[str, Field(max_length=80)] = ""
    data: Json = Field(default_factory=dict[str, Any])


def job_filter(
    state: Annotated[State | None, Query()] = None,
    kind: Annotated[str, Query(max_length=80, description="`<connector>.<kind>`.")] = "",
    connection: Annotated[str | None, Query(max_length=36)] = None,
    root: Annotated[str | None, Query(max_length=36, description="First job of a pipeline.")] = None,
    text: Annotated[str, Query(max_length=120, description="Part of id, trace, params or said.")] = "",
    since: From = None,
    until: To = None,
) -> JobFilter:
    """Read which jobs are meant from the query."""
    states, kinds = ((state,) if state else ()), ((kind,) if kind else ())
    return JobFilter(states, kinds, connection, root, text.strip(), ms_of(since), ms_of(until))


Wanted = Annotated[JobFilter, Depends(job_filter)]


@routes.get("/hub/jobs", dependencies=_READ)
async def list_jobs(
    request: Request, wanted: Wanted, cursor: Cursor = None, limit: Limit = 50
) -> Page[JobOut]:
    """List jobs, the latest first."""
    parts, before = parts_of(request), read_cursor(cursor, str)
    found = await parts.store.read(lambda tx: queries.list_jobs(tx, wanted, before=before, limit=limit + 1))
    rows, following = page_of(found, limit, "id")
    return Page(items=[job_out(job, parts) for job in rows], next=following)


@routes.get("/hub/jobs/counts", dependencies=_READ)
async def count_jobs(request: Request, wanted: Wanted) -> dict[str, int]:
    """Answer how many jobs are in each state."""
    return await parts_of(request).store.read(lambda tx: queries.count_by_state(tx, wanted))


@routes.get("/hub/kinds", dependencies=_READ)
async def list_kinds(request: Request) -> list[KindOut]:
    """Answer what can be asked of which connection."""
    parts = parts_of(request)
    configured = await parts.store.read(parts.registry.all)
    return [
        KindOut(
            kind=name,
            title=kind.title,
            params=kind.params.model_json_schema(),
            dry_run=kind.plan is not None,
            connections=[one.id for one in configured if one.connector == name.partition(".")[0]],
        )
        for name, kind in kinds_of(parts).items()
    ]


@routes.get("/hub/jobs/{job}", dependencies=_READ)
async def get_job(request: Request, job: Identity) -> JobOut:
    """Answer one job."""
    parts = parts_of(request)
    return job_out(await _found(parts, job), parts)


@routes.get("/hub/jobs/{job}/steps", dependencies=_READ)
async def job_steps(request: Request, job: Identity) -> list[StepOut]:
    """Answer every try of every step, in the order in which they began."""
    parts = parts_of(request)
    await _found(parts, job)
    items = [
        StepOut.model_validate(one) for one in await parts.store.read(lambda tx: queries.list_steps(tx, job))
    ]
    for item in items:
        item.evidence, item.result = parts.redactor.value(item.evidence), parts.redactor.value(item.result)
        item.error = parts.redactor.json(item.error)
    return items


@routes.get("/hub/jobs/{job}/frames", dependencies=_READ)
async def job_frames(
    request: Request,
    job: Identity,
    direction: Annotated[Literal["sent", "received"] | None, Query()] = None,
    after: Annotated[int, Query(ge=0, le=SEQ_MAX, description="Only frames after this id.")] = 0,
    limit: Limit = 200,
) -> list[FrameOut]:
    """Answer what was sent and received, oldest first; go on with `after` = the last id."""
    parts = parts_of(request)
    await _found(parts, job)
    found = await parts.store.read(
        lambda tx: queries.list_frames(tx, job, after=after, direction=direction or "", limit=limit)
    )
    return [FrameOut.model_validate(replace(one, text=parts.redactor.json(one.text))) for one in found]


@routes.get("/hub/jobs/{job}/history", dependencies=_READ)
async def job_history(request: Request, job: Identity) -> list[EventOut]:
    """Answer the facts of a job, oldest first."""
    parts = parts_of(request)
    await _found(parts, job)
    found = await parts.store.read(lambda tx: queries.history(tx, job))
    return [event_out(event, parts.redactor) for event in found]


@routes.get("/hub/jobs/{job}/pipeline", dependencies=_READ)
async def job_pipeline(request: Request, job: Identity) -> list[JobOut]:
    """Answer the jobs of the same pipeline, the first of it first."""
    parts = parts_of(request)
    root = (await _found(parts, job)).root
    found = await parts.store.read(lambda tx: queries.chain(tx, root))
    return [job_out(one, parts) for one in found]


# Acts.


@asking.post("/hub/jobs", status_code=201, responses={200: {"description": "Nothing new was queued."}})
async def submit(
    request: Request,
    response: Response,
    who: Writer,
    asked: JobAsked,
    dry_run: Annotated[bool, Query(description="Answer the frames that would be sent; send none.")] = False,
    key: Annotated[
        str | None,
        Header(
            alias=HEADER, min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$",
            description="The same key asks for the same job, however often; with another body: 409.",
        ),
    ] = None,
) -> SubmittedOut:  # fmt: skip
    """Ask for a job. Its params are checked now; it runs when its locks and its turn allow."""
    parts = parts_of(request)
    if dry_run:
        response.status_code = 200
        planned = await plan(parts, asked)
        return SubmittedOut(job=None, planned=[PlannedOut.model_validate(one) for one in planned])
    before = to_ms(parts.ambient.clock.now())
    job = await place(parts, asked, key, by=who.name)
    response.headers["Location"] = f"/api/hub/jobs/{job.id}"
    if job.created_ms < before:
        response.status_code = 200
    return SubmittedOut(job=job_out(job, parts))


@routes.post("/hub/jobs/{job}/cancel", dependencies=ONCE)
async def cancel(request: Request, job: Identity, who: Writer, asked: CancelAsked) -> JobOut:
    """Call a job off: at once, or after the answer of an unsafe step that is on its way."""
    return await _act(
        request, job, lambda orders, tx: orders.cancel(tx, job, reason=asked.reason, by=who.name)
    )


@routes.post("/hub/jobs/{job}/retry", dependencies=ONCE)
async def retry(request: Request, job: Identity, who: Writer, asked: RetryAsked) -> JobOut:
    """Run a job that ended without success again, as its next attempt."""
    return await _act(
        request,
        job,
        lambda orders, tx: orders.retry(tx, job, reason=asked.reason, by=who.name, anew=asked.anew),
    )


@routes.post("/hub/jobs/{job}/decide", dependencies=ONCE)
async def decide(request: Request, job: Identity, who: Writer, asked: DecideAsked) -> JobOut:
    """Say what became of a step in doubt: it happened, it did not (run again), or cancel."""
    return await _act(
        request,
        job,
        lambda orders, tx: orders.decide(
            tx, job, asked.choice, by=who.name, step=asked.step or None, result=asked.result,
            evidence=asked.evidence, reason=asked.reason,
        ),
    )  # fmt: skip


@routes.post("/hub/jobs/{job}/answer", dependencies=ONCE)
async def answer(request: Request, job: Identity, who: Writer, asked: AnswerAsked) -> JobOut:
    """Choose for a job that waits for a choice."""
    return await _act(
        request,
        job,
        lambda orders, tx: orders.answer(
            tx, job, asked.choice, by=who.name, name=asked.name or None, data=asked.data
        ),
    )


# What the pages use too.


def kinds_of(parts: Parts) -> Mapping[str, JobKind]:
    """Answer every kind of job by its full name."""
    return job_kinds(parts.connectors)


def orders_of(parts: Parts) -> Orders:
    """Answer what takes orders."""
    return Orders(parts.ambient, kinds_of(parts), parts.redactor)


async def plan(parts: Parts, asked: JobAsked) -> list[Any]:
    """Answer the frames that would be sent. Errors: `Problem`."""
    orders = orders_of(parts)
    try:
        if orders.kind(asked.kind).plan is None:
            raise conflict("This kind of job has no dry run.")
        configured = await parts.store.read(lambda tx: parts.registry.get(tx, asked.connection))
        if configured is None:
            raise not_found("connection")
        return list(orders.plan(asked.kind, configured.settings, asked.params))
    except WrongParams as error:
        raise _wrong(error) from None
    except JobFailed as error:  # what can be known before anything is sent
        raise conflict(str(error)) from None


async def place(parts: Parts, asked: JobAsked, key: str | None, *, by: str) -> Job:
    """Queue a job. Errors: `Problem`; `ConfigError` for a connection that does not take it."""
    order = Order(
        kind=asked.kind, connection=asked.connection, params=asked.params, by=by, key=key,
        priority=asked.priority, not_before_ms=ms_of(asked.not_before), expires_ms=ms_of(asked.expires),
    )  # fmt: skip
    orders = orders_of(parts)
    try:
        made = await parts.store.write(lambda tx: orders.submit(tx, order))
    except WrongParams as error:
        raise _wrong(error) from None
    except KeyReused as error:
        raise Problem(409, "key-reused", "This key was used for something else", str(error)) from None
    return await _found(parts, made.id)


async def _act(request: Request, job: str, work: Callable[[Orders, Connection], Any]) -> JobOut:
    parts = parts_of(request)
    orders = orders_of(parts)
    try:
        await parts.store.write(lambda tx: work(orders, tx))
    except NoSuchJob:
        raise not_found("job") from None
    except NotNow as error:
        raise conflict(str(error)) from None
    except WrongParams as error:
        raise _wrong(error) from None
    return job_out(await _found(parts, job), parts)


def _wrong(error: WrongParams) -> Problem:
    faults = [Fault(f"body.params.{one['field']}", one.get("kind", ""), one["said"]) for one in error.fields]
    return Problem(422, "invalid-input", "The input does not fit", str(error), errors=faults)


async def _found(parts: Parts, identity: str) -> Job:
    found = await parts.store.read(lambda tx: queries.get_job(tx, identity))
    if found is None:
        raise not_found("job")
    return found


def job_out(job: Job, parts: Parts) -> JobOut:
    """Answer a job as the API tells it, secrets masked."""
    out = JobOut.model_validate(job)
    mask = parts.redactor
    out.params, out.progress, out.result = (
        mask.value(job.params),
        mask.value(job.progress),
        mask.value(job.result),
    )
    out.said = mask.text(job.said)
    if out.asked:
        out.asked.shown = mask.value(out.asked.shown)
    return out
