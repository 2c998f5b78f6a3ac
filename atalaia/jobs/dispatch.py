"""Which queued jobs may start now, and who takes them: one transaction, over all workers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog
from pydantic import ValidationError
from sqlalchemy import Connection, func, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.jobs import told
from atalaia.jobs.model import JobKind
from atalaia.jobs.rows import Job, change_job, free_locks, move, read_job, to_job
from atalaia.jobs.state import ENDED, Got, State
from atalaia.store.job_tables import job_locks, jobs
from atalaia.store.store import serialise
from atalaia.store.tables import connections, workers
from atalaia.store.upsert import insert_new

PAGE = 200
PAGES_MOST = 20
AT_ONCE = "jobs_at_once"  # the field of a connection's settings, where its connector has it; 0 is no limit

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Taker:
    """Who takes jobs. lease_ms: for external workers only, theirs until then.

    only: of this one kind (external workers); None is every kind that runs here.
    """

    name: str
    room: int
    only: str | None = None
    lease_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that another job holds. name: without the connection's."""

    name: str
    job: str


def waits(tx: Connection, now_ms: int) -> bool:
    """Answer whether a queued job may be due; a look without locks, so that an idle hub writes nothing."""
    due = (jobs.c.not_before_ms.is_(None)) | (jobs.c.not_before_ms <= now_ms)
    late = jobs.c.expires_ms <= now_ms
    query = select(jobs.c.id).where(jobs.c.state == State.QUEUED.value, due | late).limit(1)
    return tx.execute(query).first() is not None


def claim(tx: Connection, ambient: Ambient, kinds: Mapping[str, JobKind], taker: Taker) -> list[Job]:
    """Take what is due, whose locks are free and whose kind has room: higher priority first, then older.

    Claims follow one another on both databases, so that limits and locks hold over all workers.
    """
    serialise(tx)
    now = to_ms(ambient.clock.now())
    _expire(tx, ambient, now)
    if taker.lease_ms is None and not lives(tx, taker.name):
        return []  # others hold us for dead, or do not know us yet: what we took would be taken from us
    taken: list[Job] = []
    before: dict[str, Job] = {}
    running, limits = _running(tx), dict[str, float]()
    for job in _due(tx, kinds, taker, now):
        if len(taken) >= taker.room:
            break
        kind = kinds[job.kind]
        if kind.at_once is not None and running[job.connection, job.kind] >= kind.at_once:
            continue
        if job.connection not in limits:
            limits[job.connection] = _limit(tx, job.connection)
        if running[job.connection, ""] >= limits[job.connection]:
            continue
        if not _lock(tx, job, kind, now):
            continue
        running[job.connection, job.kind] += 1
        running[job.connection, ""] += 1
        before[job.id] = job
        taken.append(_start(tx, job, taker, now))
    for job in taken:
        told.resolve_unknown(tx, ambient, before[job.id])
    told.tell_all(tx, ambient, [(job, "job.started", _started(job)) for job in taken])
    return taken


def take_over(
    tx: Connection, ambient: Ambient, identity: str, attempt: int, worker: str, *, anew: bool
) -> Job | None:
    """Answer the job for `worker` to run, under a new epoch if somebody else ran it before.

    anew: this worker runs it already, and the run before must be shut out. None: there is nothing to run.
    """
    serialise(tx)
    job = read_job(tx, identity, lock=True)
    if job is None or job.state in ENDED or job.state is State.QUEUED or job.attempt != attempt:
        return None
    if job.executor == worker and not anew:
        return job
    change_job(tx, identity, to_ms(ambient.clock.now()), executor=worker, epoch=job.epoch + 1)
    after = read_job(tx, identity)
    assert after is not None
    told.tell(tx, ambient, after, "job.started", **_started(after))
    return after


def lives(tx: Connection, worker: str) -> bool:
    """Answer whether this worker is known and held for living."""
    query = select(workers.c.id).where(workers.c.id == worker, workers.c.gone_ms.is_(None))
    return tx.execute(query).first() is not None


def _start(tx: Connection, job: Job, taker: Taker, now: int) -> Job:
    change: dict[str, Any] = {
        "epoch": job.epoch + 1, "executor": taker.name, "lease_ms": taker.lease_ms,
        "started_ms": job.started_ms or now, "reason": "", "said": "",
    }  # fmt: skip
    move(tx, job, Got.CLAIM, now, **change)
    return replace(job, state=State.RUNNING, changed_ms=now, **change)


def _started(job: Job) -> dict[str, Any]:
    return {"attempt": job.attempt, "epoch": job.epoch, "worker": job.executor}


def _due(tx: Connection, kinds: Mapping[str, JobKind], taker: Taker, now: int) -> Iterator[Job]:
    """Answer what is due, a page at a time: few are looked at unless many wait for locks."""
    mine = [taker.only] if taker.only else [name for name, kind in kinds.items() if not kind.external]
    query = (
        select(jobs)
        .where(
            jobs.c.state == State.QUEUED.value,
            jobs.c.kind.in_(mine),
            (jobs.c.not_before_ms.is_(None)) | (jobs.c.not_before_ms <= now),
        )
        .order_by(jobs.c.priority.desc(), jobs.c.created_ms, jobs.c.id)
    )
    seen: set[str] = set()
    for page in range(PAGES_MOST):
        # What was taken is queued no more, so that pages move up: begin from what was looked at and left.
        rows = tx.execute(query.limit(PAGE + page * PAGE)).all()
        fresh = [row for row in rows if row.id not in seen]
        for row in fresh:
            seen.add(row.id)
            yield to_job(row)
        if not fresh or len(rows) < PAGE:
            return


def _running(tx: Connection) -> Counter[tuple[str, str]]:
    query = (
        select(jobs.c.connection, jobs.c.kind, func.count())
        .where(jobs.c.state == State.RUNNING.value)
        .group_by(jobs.c.connection, jobs.c.kind)
    )
    counted: Counter[tuple[str, str]] = Counter()
    for connection, kind, number in tx.execute(query):
        counted[connection, kind] += number
        counted[connection, ""] += number  # of all kinds
    return counted


def _limit(tx: Connection, connection: str) -> float:
    """Answer how many jobs of a connection may run at a time, by its settings."""
    opened = tx.scalar(select(connections.c.settings).where(connections.c.id == connection))
    most: Any = orjson.loads(opened or "{}").get(AT_ONCE)
    return most if isinstance(most, int) and most > 0 else math.inf


def lock(tx: Connection, job: Job, names: Iterable[str], now: int) -> Held | None:
    """Take locks for a job, all of them or none; answer who holds one of them, None when they are the job's.

    names: without the connection's.
    """
    full = sorted({f"{job.connection}:{name}"[:200] for name in names})
    if not full:
        return None
    others = (job_locks.c.name.in_(full), job_locks.c.job != job.id)
    row = tx.execute(select(job_locks.c.name, job_locks.c.job).where(*others).limit(1)).first()
    if row is not None:
        return Held(row.name.removeprefix(f"{job.connection}:"), row.job)
    for name in full:
        insert_new(tx, job_locks, {"name": name, "job": job.id, "taken_ms": now})
    return None


def _lock(tx: Connection, job: Job, kind: JobKind, now: int) -> bool:
    """Take all of a job's locks or none."""
    try:
        params = kind.params.model_validate(job.params)
    except ValidationError:
        # A newer version asks for more than was given; its run will fail and say so.
        log.warning("job.params_outdated", job=job.id, kind=job.kind)
        return True
    if lock(tx, job, kind.locks(params), now) is not None:
        return False
    known = kind.known_locks(tx, job.connection, params) if kind.known_locks else ()
    if lock(tx, job, known, now) is not None:
        free_locks(tx, job.id)
        return False
    return True


def _expire(tx: Connection, ambient: Ambient, now: int) -> None:
    query = select(jobs).where(jobs.c.state == State.QUEUED.value, jobs.c.expires_ms <= now).limit(PAGE)
    for job in [to_job(row) for row in tx.execute(query)]:
        move(tx, job, Got.EXPIRE, now, reason="expired", said="It waited longer than it was worth.")
        told.tell(tx, ambient, job, "job.expired", expires_ms=job.expires_ms)
        told.resolve_unknown(tx, ambient, job)
