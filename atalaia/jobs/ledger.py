"""The intent ledger: what a job's steps were about to do, did, or may have done. A call is one transaction.

Every change is fenced: it is refused as soon as another worker runs the job, or somebody called it off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.errors import Fenced, Unavailable
from atalaia.jobs import told
from atalaia.jobs.model import StepKind
from atalaia.jobs.rows import Job, change_job, dump, move, take_hold
from atalaia.jobs.state import Found, Got, State, StepState, Todo, meet
from atalaia.jobs.submit import CANCEL_REQUESTED
from atalaia.store.bulk import run
from atalaia.store.job_tables import job_steps, jobs
from atalaia.store.leases import Lease, check

# What stands in the column `kind` for pauses and questions, which are no steps.
SLEEP, ASK = "sleep", "ask"

_WAITED_MOST_MS = 86_400_000  # from being asked for until the step left

TODO = "Look at the upstream, then decide on the job's page: it happened, run again, or cancel."


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger. error: as `outcome.encode` writes it, empty when there is none."""

    name: str
    round: int
    kind: StepKind
    state: StepState
    sent_ms: int | None
    evidence: dict[str, Any]
    result: Any
    error: dict[str, Any]
    began_ms: int


class LockLost(Unavailable):
    """A section that the step held is somebody else's now; nothing was sent, so the step may begin anew."""


@dataclass(frozen=True)
class Ledger:
    """The ledger of one job in the hands of the worker that runs it."""

    ambient: Ambient
    job: str
    attempt: int
    epoch: int

    def begin(self, tx: Connection, name: str, kind: StepKind) -> tuple[Todo, Entry]:
        """Answer what to do with a step; what is to run is written down as started."""
        job = self._hold(tx)
        found = self.newest(tx, name)
        todo = meet(kind, Found(found.state, found.sent_ms is not None) if found else None)
        if todo is not Todo.RUN:
            assert found is not None
            return todo, found
        now = self._now()
        if found is not None and found.state is StepState.STARTED:
            again = {"epoch": job.epoch, "began_ms": now, "sent_ms": None, "evidence": ""}
            self._put(tx, found, again)
            entry = found
        else:
            entry = self._insert(tx, name, found.round + 1 if found else 1, kind.value, now)
        return todo, entry

    def unwritten(self, name: str, kind: StepKind) -> Entry:
        """Answer the entry of a step that is written down when it lasts, sends, or is answered."""
        return Entry(name, 1, kind, StepState.STARTED, None, {}, None, {}, self._now())

    def begun(self, tx: Connection, entry: Entry) -> None:
        """Write such an entry down, if it is not yet."""
        self._hold(tx)
        self._ensure(tx, entry)

    def sending(
        self, tx: Connection, entry: Entry, evidence: Mapping[str, Any], sections: Sequence[Lease]
    ) -> None:
        """Write down that the effect leaves now. Errors: `Fenced`; `LockLost`, then the job is still ours."""
        self._hold(tx)
        for lease in sections:
            try:
                check(tx, lease.name, lease.epoch)
            except Fenced as error:
                raise LockLost(f"A lock was lost before anything was sent: {error}") from error
        self._put(tx, entry, {"sent_ms": self._now(), "evidence": dump(dict(evidence))})

    def done(self, tx: Connection, entry: Entry, result: str) -> dict[str, Any]:
        """Write down a step's answer (JSON); answer an error when the job was called off meanwhile, else {}.

        A repeat, after a commit whose end nobody saw, is harmless.
        """
        job = self._hold(tx)
        now = self._now()
        error: dict[str, Any] = {}
        if job.reason == CANCEL_REQUESTED and entry.kind is StepKind.UNSAFE:
            error = {"type": "failed", "reason": "cancelled", "said": job.said, "known": {}}
            change_job(tx, job.id, now, reason="", said="")
        change = {
            "state": StepState.DONE.value, "result": result, "ended_ms": now,
            "error": dump(error) if error else "",
        }  # fmt: skip
        if not self._put(tx, entry, change, unless=StepState.DONE):
            return error
        took_ms = now - entry.began_ms
        told.tell(
            tx, self.ambient, job, "job.step_done", step=entry.name, step_kind=entry.kind.value,
            took_ms=took_ms,
        )  # fmt: skip
        return error

    def failed(self, tx: Connection, entry: Entry, error: Mapping[str, Any]) -> None:
        """Write down that a step ended without success, surely."""
        job = self._hold(tx)
        change = {"state": StepState.FAILED.value, "error": dump(dict(error)), "ended_ms": self._now()}
        self._put(tx, entry, change)
        reason = error.get("reason") or error["type"]
        told.tell(
            tx, self.ambient, job, "job.step_failed", step=entry.name, step_kind=entry.kind.value,
            reason=reason, said=error.get("said", ""),
        )  # fmt: skip

    def doubt(self, tx: Connection, entry: Entry, said: str, supposed: Any = None) -> Entry:
        """Write down that a step may have happened; only a decision goes on. A repeat is harmless.

        supposed: what it would have answered; it stands in the row's `result` until it is decided.
        """
        job = self._hold(tx)
        found = self.newest(tx, entry.name)
        assert found is not None
        now = self._now()
        if found.state is StepState.STARTED:
            error = dump({"type": "in_doubt", "said": said})
            change = {"state": StepState.IN_DOUBT.value, "error": error, "ended_ms": now}
            self._put(tx, found, change)
        if supposed is not None and found.state in (StepState.STARTED, StepState.IN_DOUBT):
            self._put(tx, found, {"result": dump(supposed)})
        if job.state is State.RUNNING and found.state in (StepState.STARTED, StepState.IN_DOUBT):
            move(tx, job, Got.DOUBT, now, reason=f"in_doubt:{entry.name}"[:80], said=said)
            evidence = {**found.evidence, "sent_ms": found.sent_ms}
            told.tell(
                tx, self.ambient, job, "job.in_doubt", step=entry.name, trace=job.trace,
                evidence=evidence, said=said,
            )  # fmt: skip
        return self.newest(tx, entry.name) or found

    def wait_for_person(self, tx: Connection, entry: Entry, said: str, supposed: Any = None) -> None:
        """Raise the alert that asks for a decision, with what a probe found. supposed: see `doubt`."""
        job = self._hold(tx)
        found = self.newest(tx, entry.name)
        if job.state is not State.IN_DOUBT or found is None or found.state is not StepState.IN_DOUBT:
            return  # decided meanwhile
        change_job(tx, job.id, self._now(), said=said)
        if supposed is not None:
            self._put(tx, found, {"result": dump(supposed)})
        told.raise_alert(
            tx, self.ambient, job, f"The job {job.kind} does not know whether “{entry.name}” happened.",
            known=said, todo=TODO,
            step=entry.name, **entry.evidence,
        )  # fmt: skip
        told.tell(tx, self.ambient, job, "job.probed", step=entry.name, said=said)

    def wait(self, tx: Connection, name: str, kind: str, evidence: Mapping[str, Any]) -> Entry:
        """Begin a pause or a question, or answer the one that was begun before."""
        self._hold(tx)
        return self.newest(tx, name) or self._insert(tx, name, 1, kind, self._now(), dump(dict(evidence)))

    def waited(self, tx: Connection, entry: Entry) -> None:
        """Write down that a pause is over."""
        self._hold(tx)
        self._put(tx, entry, {"state": StepState.DONE.value, "result": "null", "ended_ms": self._now()})

    def newest(self, tx: Connection, name: str) -> Entry | None:
        """Answer the newest round of a step."""
        row = run(tx, _NEWEST, self.job, self.attempt, name).first()
        return _entry(row) if row else None

    def waited_for_people_ms(self, tx: Connection) -> int:
        """Answer how long this attempt waited for decisions and answers that came."""
        c = job_steps.c
        query = select(c.kind, c.began_ms, c.ended_ms, c.decided_ms).where(
            c.job == self.job, c.attempt == self.attempt, c.decided_ms.is_not(None)
        )
        # A question waits from its beginning, a doubt from its end without an answer.
        return sum(
            row.decided_ms - (row.began_ms if row.kind == ASK else row.ended_ms or row.decided_ms)
            for row in tx.execute(query)
        )

    def _hold(self, tx: Connection) -> Job:
        return take_hold(tx, self.job, self.epoch)

    def _now(self) -> int:
        return to_ms(self.ambient.clock.now())

    def _insert(
        self, tx: Connection, name: str, round: int, kind: str, now: int, evidence: str = ""
    ) -> Entry:
        row = self._row(name, round, kind, now) | {"evidence": evidence}
        run(tx, _INSERT, *row.values())
        known = StepKind(kind) if kind in set(StepKind) else StepKind.READ
        told_evidence = orjson.loads(evidence or "{}")
        return Entry(name, round, known, StepState.STARTED, None, told_evidence, None, {}, now)

    def _ensure(self, tx: Connection, entry: Entry) -> None:
        if self.newest(tx, entry.name) is None:
            self._insert(tx, entry.name, entry.round, entry.kind.value, entry.began_ms)

    def _put(
        self, tx: Connection, entry: Entry, change: Mapping[str, Any], *, unless: StepState | None = None
    ) -> bool:
        """Write down what became of a step, also of one whose beginning was not; answer whether that is new.

        unless: then nothing changes.
        """
        row = self._row(entry.name, entry.round, entry.kind.value, entry.began_ms) | dict(change)
        sql, more = _put_of(tuple(change)), ()
        if unless is not None:
            sql, more = f"{sql} where job_steps.state <> ?", (unless.value,)
        return bool(run(tx, sql, *row.values(), *more).rowcount)

    def _row(self, name: str, round: int, kind: str, now: int) -> dict[str, Any]:
        return {
            "job": self.job, "attempt": self.attempt, "name": name, "round": round, "kind": kind,
            "state": StepState.STARTED.value, "epoch": self.epoch, "evidence": "", "result": "",
            "error": "", "began_ms": now, "sent_ms": None, "ended_ms": None, "decided_by": "",
            "decided_ms": None,
        }  # fmt: skip


_COLUMNS = tuple(column.name for column in job_steps.columns)
_INSERT = f"insert into job_steps ({', '.join(_COLUMNS)}) values ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_NEWEST = (
    f"select {', '.join(_COLUMNS)} from job_steps where job = ? and attempt = ? and name = ? "  # noqa: S608
    "order by round desc limit 1"
)


@lru_cache(maxsize=64)
def _put_of(changed: tuple[str, ...]) -> str:
    pairs = ", ".join(f"{name} = excluded.{name}" for name in changed)
    return f"{_INSERT} on conflict (job, attempt, name, round) do update set {pairs}"


def _entry(row: Any) -> Entry:
    kind = row.kind if row.kind in set(StepKind) else StepKind.READ
    return Entry(
        row.name, row.round, StepKind(kind), StepState(row.state), row.sent_ms,
        orjson.loads(row.evidence or "{}"), orjson.loads(row.result or "null"),
        orjson.loads(row.error or "{}"), row.began_ms,
    )  # fmt: skip


def answers_of_others(tx: Connection, job: Job, step: str, since_ms: int) -> list[Any]:
    """Answer what a step that left since then answered in other jobs of the same kind and connection."""
    certain = (StepState.DONE.value, StepState.HAPPENED.value)
    query = (
        select(job_steps.c.result)
        .join(jobs, jobs.c.id == job_steps.c.job)
        .where(
            jobs.c.connection == job.connection, jobs.c.kind == job.kind, jobs.c.id != job.id,
            jobs.c.created_ms >= since_ms - _WAITED_MOST_MS, job_steps.c.name == step,
            job_steps.c.state.in_(certain), job_steps.c.sent_ms >= since_ms,
        )
    )  # fmt: skip
    return [orjson.loads(row.result or "null") for row in tx.execute(query)]
