"""Questions that screens, the API and commands ask about jobs; every one is bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from sqlalchemy import Connection, Row, case, func, or_, select

from atalaia.events.log import to_event
from atalaia.events.model import Event
from atalaia.store.job_tables import job_frames, job_steps, jobs
from atalaia.store.tables import events

STATES = ("queued", "running", "waiting", "in_doubt", "done", "failed", "cancelled", "expired")
ENDED = ("done", "failed", "cancelled", "expired")
NEEDS_PERSON = ("in_doubt", "waiting")
HISTORY_MAX = 500
CHAIN_MAX = 200
STEPS_MAX = 1_000
IDS_MAX = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """What a waiting job wants to know. question: a message id (English); shown: what to decide by."""

    name: str
    question: str
    choices: tuple[str, ...]
    shown: Any
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Job:
    """One job. state: one of `STATES`; waiting is waiting for a person's choice.

    reason: why it failed or waits, a stable word; said: the same as a sentence.
    percent: between 0 and 100, None when nobody can tell. progress: what else was said of it.
    by: who asked for it, as far as it has a name.
    """

    id: str
    kind: str
    connection: str
    params: dict[str, Any]
    state: str
    priority: int
    not_before_ms: int | None
    expires_ms: int | None
    idempotency_key: str | None
    root: str
    step: str
    parent: str | None
    trace: str
    attempt: int
    epoch: int
    executor: str | None
    reason: str
    said: str
    asked: Asked | None
    progress: dict[str, Any]
    result: Any
    by: str
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    changed_ms: int

    @property
    def percent(self) -> float | None:
        """How far it is, of 100."""
        told = self.progress.get("percent")
        return float(told) if isinstance(told, int | float) and not isinstance(told, bool) else None

    @property
    def ended(self) -> bool:
        """Nothing will change any more unless somebody retries it."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class Step:
    """One try of one step. kind: read, idempotent, unsafe. state: started, done, failed, in_doubt, happened,
    again, cancelled. sent_ms: when its effect left, None while nothing did."""

    job: str
    attempt: int
    name: str
    round: int
    kind: str
    state: str
    evidence: dict[str, Any]
    result: Any
    error: str
    began_ms: int
    sent_ms: int | None
    ended_ms: int | None
    decided_by: str
    decided_ms: int | None


@dataclass(frozen=True, slots=True)
class Frame:
    """What was sent or received, masked. direction: sent or received."""

    id: int
    at_ms: int
    direction: str
    surface: str
    text: str


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs. Empty fields do not restrict.

    kinds: `<connector>.<kind>`. words: part of the id, the trace, what is asked for, or what was said;
    vehicles: ids whose jobs fit the words too, because people call a vehicle by its plate.
    """

    states: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    connection: str | None = None
    root: str | None = None
    words: str = ""
    from_ms: int | None = None
    to_ms: int | None = None
    param: tuple[str, str] = ("", "")
    vehicles: tuple[str, ...] = ()


def list_jobs(tx: Connection, wanted: JobFilter, *, before: str | None = None, limit: int = 50) -> list[Job]:
    """Answer jobs, the latest first. before: the id of the last one already known; ids grow with time."""
    query = select(jobs).where(*_conditions(wanted)).order_by(jobs.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(jobs.c.id < before)
    return [_job(row) for row in tx.execute(query)]


def needing_person(tx: Connection, *, connection: str | None = None, limit: int = 50) -> list[Job]:
    """Answer jobs in doubt and jobs that ask, what waits longest first."""
    query = select(jobs).where(jobs.c.state.in_(NEEDS_PERSON))
    if connection is not None:
        query = query.where(jobs.c.connection == connection)
    return [_job(row) for row in tx.execute(query.order_by(jobs.c.changed_ms, jobs.c.id).limit(limit))]


def count_by_state(tx: Connection, wanted: JobFilter | None = None) -> dict[str, int]:
    """Answer how many jobs are in each state, `STATES` all named."""
    query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    counted = {state: int(n) for state, n in tx.execute(query.where(*_conditions(wanted or JobFilter())))}
    return {state: counted.get(state, 0) for state in STATES}


def known_kinds(tx: Connection) -> list[str]:
    """Answer every kind that was ever asked for and is still kept."""
    return sorted(tx.scalars(select(jobs.c.kind).distinct().limit(1_000)))


def get_job(tx: Connection, identity: str) -> Job | None:
    """Answer one job."""
    row = tx.execute(select(jobs).where(jobs.c.id == identity)).first()
    return _job(row) if row else None


def list_steps(tx: Connection, identity: str) -> list[Step]:
    """Answer the steps of a job in the order in which they began, every attempt and round of them."""
    c = job_steps.c
    query = select(job_steps).where(c.job == identity).order_by(c.began_ms, c.attempt, c.round, c.name)
    return [_step(row) for row in tx.execute(query.limit(STEPS_MAX))]


def list_frames(
    tx: Connection, identity: str, *, after: int = 0, direction: str = "", limit: int = 200
) -> list[Frame]:
    """Answer frames of a job in the order in which they were kept. after: the id of the last one known."""
    c = job_frames.c
    query = select(job_frames).where(c.job == identity, c.id > after).order_by(c.id).limit(limit)
    if direction:
        query = query.where(c.direction == direction)
    return [_frame(row) for row in tx.execute(query)]


def last_frames(tx: Connection, identity: str, *, direction: str = "", limit: int) -> list[Frame]:
    """Answer the last frames of a job, oldest first. direction: only those that were sent or received."""
    c = job_frames.c
    query = select(job_frames).where(c.job == identity).order_by(c.id.desc()).limit(limit)
    if direction:
        query = query.where(c.direction == direction)
    return [_frame(row) for row in reversed(tx.execute(query).all())]


def count_frames(tx: Connection, identity: str) -> int:
    """Answer how many frames of a job are kept."""
    query = select(func.count()).select_from(job_frames).where(job_frames.c.job == identity)
    return int(tx.scalar(query) or 0)


def history(tx: Connection, identity: str) -> list[Event]:
    """Answer the facts of a job, oldest first; progress is told by the job itself and left out."""
    c = events.c
    query = select(events).where(c.key == identity, c.type.startswith("job."), c.type != "job.progressed")
    return [to_event(row) for row in tx.execute(query.order_by(c.seq).limit(HISTORY_MAX))]


def chain(tx: Connection, root: str) -> list[Job]:
    """Answer the jobs of a pipeline in the order in which they were asked for; one when it is alone."""
    query = select(jobs).where(or_(jobs.c.root == root, jobs.c.id == root))
    first = case((jobs.c.id == root, 0), else_=1)
    query = query.order_by(first, jobs.c.created_ms, jobs.c.id).limit(CHAIN_MAX)
    return [_job(row) for row in tx.execute(query)]


def askers(tx: Connection, roots: Iterable[str]) -> dict[str, str]:
    """Answer who asked for each pipeline, by the id of its first job."""
    query = select(jobs.c.id, jobs.c.by).where(jobs.c.id.in_(sorted(set(roots))[:IDS_MAX]))
    return {row[0]: _name(row[1]) for row in tx.execute(query)}


def newest_by_param(
    tx: Connection, name: str, value: str, *, limit: int = 20, kinds: Sequence[str] = ()
) -> list[Job]:
    """Answer the latest jobs that were asked for with this text in this parameter, e.g. a vehicle's id."""
    return list_jobs(tx, JobFilter(kinds=tuple(kinds), param=(name, value)), limit=limit)


def _conditions(wanted: JobFilter) -> Iterator[Any]:
    c = jobs.c
    if wanted.states:
        yield c.state.in_(wanted.states)
    if wanted.kinds:
        yield c.kind.in_(wanted.kinds)
    if wanted.connection is not None:
        yield c.connection == wanted.connection
    if wanted.root is not None:
        yield c.root == wanted.root
    if wanted.from_ms is not None:
        yield c.created_ms >= wanted.from_ms
    if wanted.to_ms is not None:
        yield c.created_ms < wanted.to_ms
    if wanted.words:
        places = (c.id, c.trace, c.params, c.said, c.kind)
        fits = [place.contains(wanted.words, autoescape=True) for place in places]
        fits += [c.params.contains(f'"{vehicle}"', autoescape=True) for vehicle in wanted.vehicles]
        yield or_(*fits)
    name, value = wanted.param
    if name:  # compact JSON, as it was written; both spellings of a blank after the colon are known
        pairs = (f'"{name}":"{value}"', f'"{name}": "{value}"')
        yield or_(*(c.params.contains(pair, autoescape=True) for pair in pairs))


def _json(text: str | None) -> Any:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:  # shown as it is rather than not at all
        return text


def _mapping(text: str | None) -> dict[str, Any]:
    found = _json(text)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _asked(text: str) -> Asked | None:
    told = _mapping(text)
    if not told.get("name"):
        return None
    choices = cast("list[Any]", told["choices"]) if isinstance(told.get("choices"), list) else []
    return Asked(
        str(told["name"]),
        str(told.get("question") or ""),
        tuple(str(one) for one in choices),
        told.get("shown"),
        told.get("until_ms"),
    )


def _name(by: str) -> str:
    """Answer a name; who asked may be kept as a name, or as the object that facts carry."""
    told = _mapping(by) if by.startswith("{") else {}
    return str(told.get("name") or told.get("id") or "") if told else by


_PLAIN = (
    "id", "kind", "connection", "state", "priority", "not_before_ms", "expires_ms", "idempotency_key", "root",
    "step", "parent", "trace", "attempt", "epoch", "executor", "reason", "said", "created_ms", "started_ms",
    "ended_ms", "changed_ms",
)  # fmt: skip


def _job(row: Row[Any]) -> Job:
    values = cast("Mapping[str, Any]", row._mapping)  # pyright: ignore[reportPrivateUsage]
    return Job(
        **{name: values[name] for name in _PLAIN},
        params=_mapping(row.params),
        asked=_asked(row.asked),
        progress=_mapping(row.progress),
        result=_json(row.result),
        by=_name(row.by),
    )


def _frame(row: Row[Any]) -> Frame:
    return Frame(row.id, row.at_ms, row.direction, row.surface, row.text)


def _step(row: Row[Any]) -> Step:
    return Step(
        row.job, row.attempt, row.name, row.round, row.kind, row.state, _mapping(row.evidence),
        _json(row.result), row.error, row.began_ms, row.sent_ms, row.ended_ms, row.decided_by, row.decided_ms,
    )  # fmt: skip
