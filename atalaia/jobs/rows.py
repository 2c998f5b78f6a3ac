"""One row of `jobs` as everybody here reads and changes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection

from atalaia.errors import Fenced
from atalaia.jobs.state import ENDED, Got, State, step
from atalaia.store.bulk import run
from atalaia.store.job_tables import jobs
from atalaia.store.store import serialise


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times in Unix milliseconds; `asked`, `progress` and `result` are empty when there is none."""

    id: str
    kind: str
    connection: str
    params: dict[str, Any]
    state: State
    priority: int
    not_before_ms: int | None
    expires_ms: int | None
    idempotency_key: str | None
    body_hash: str
    root: str
    step: str
    parent: str | None
    trace: str
    attempt: int
    epoch: int
    executor: str | None
    lease_ms: int | None
    reason: str
    said: str
    asked: dict[str, Any]
    progress: dict[str, Any]
    result: Any
    by: str
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    changed_ms: int

    @property
    def workflow(self) -> str:
        """The name of this attempt in the engine."""
        return f"{self.id}.{self.attempt}"

    @property
    def connector(self) -> str:
        return self.kind.partition(".")[0]


_JSON = ("params", "asked", "progress")


_COLUMNS = tuple(column.name for column in jobs.columns)
_QUOTED = ", ".join(f'"{name}"' for name in _COLUMNS)  # `by` is a word of SQL
_READ = f"select {_QUOTED} from jobs where id = ?"  # noqa: S608
_INSERT = f"insert into jobs ({_QUOTED}) values ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608


@lru_cache(maxsize=256)
def _update_of(names: tuple[str, ...]) -> str:
    pairs = ", ".join(f'"{name}" = ?' for name in names)
    return f"update jobs set {pairs} where id = ?"  # noqa: S608


def to_job(row: Any) -> Job:
    """Read a row of `jobs`, all columns."""
    return to_job_of(row._asdict())


def to_job_of(values: dict[str, Any]) -> Job:
    """Read the columns of `jobs` by name; the dictionary is used up."""
    for name in _JSON:
        values[name] = orjson.loads(values[name] or "{}")
    values["result"] = orjson.loads(values["result"] or "null")
    values["state"] = State(values["state"])
    return Job(**values)


def read_job(tx: Connection, identity: str, *, lock: bool = False) -> Job | None:
    """Answer a job. lock: hold its row until this transaction ends, so that nobody changes it meanwhile."""
    # Raw, as all that a job's every step does: SQLAlchemy's words cost more than what they ask for.
    held = " for update" if lock and tx.dialect.name == "postgresql" else ""
    row = run(tx, _READ + held, identity).first()
    return to_job(row) if row else None


def take_hold(tx: Connection, identity: str, epoch: int) -> Job:
    """Answer the job, locked, if `epoch` may still act for it. Call it first in a transaction.

    Errors: `Fenced` when another worker took it, somebody called it off, or it has ended.
    """
    serialise(tx)  # the log's lock before any row's, everywhere, or two transactions wait in a circle
    job = read_job(tx, identity, lock=True)
    if job is None or job.epoch != epoch or job.state in ENDED:
        found = f"it is {job.state} under epoch {job.epoch}" if job else "it is gone"
        raise Fenced(f"The job {identity} is not ours any more: {found}, ours was {epoch}.")
    return job


def move(tx: Connection, job: Job, got: Got, now_ms: int, **change: Any) -> bool:
    """Change a job's state as the table says, with the columns given; answer whether the pair means anything.

    A job that ends gives its locks back. The caller holds the row and tells the fact.
    """
    after = step(job.state, got)
    if after is None:
        return False
    if after in ENDED:
        change |= {"ended_ms": now_ms, "executor": None, "lease_ms": None, "asked": ""}
        free_locks(tx, job.id)
    change_job(tx, job.id, now_ms, state=after.value, **change)
    return True


def change_job(tx: Connection, identity: str, now_ms: int, **change: Any) -> None:
    """Change columns of a job."""
    change["changed_ms"] = now_ms
    run(tx, _update_of(tuple(change)), *change.values(), identity)


def insert_job(tx: Connection, row: dict[str, Any]) -> Job:
    """Write a new job down; `row` has every column but those that are empty at first. Answer it."""
    values = dict.fromkeys(_COLUMNS) | row
    run(tx, _INSERT, *values.values())
    return to_job_of(values)


def free_locks(tx: Connection, identity: str) -> None:
    """Give back the locks of a job."""
    run(tx, "delete from job_locks where job = ?", identity)


def dump(value: Any) -> str:
    """Encode a value for a column. Errors: `TypeError` when it is not JSON-able."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
