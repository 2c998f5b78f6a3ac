"""Jobs done by workers outside: they claim, renew, tell how far they are, and complete, with a token.

The token is the job's epoch. Once the lease ran out or the job was called off, an old token is refused; a
completion that comes twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from atalaia.clock import to_ms
from atalaia.jobs import told
from atalaia.jobs.dispatch import Taker, claim
from atalaia.jobs.rescue import give_back_expired
from atalaia.jobs.rows import Job, change_job, dump, free_locks, move, read_job
from atalaia.jobs.state import ENDED, Got
from atalaia.jobs.submit import NoSuchJob, NotNow, Orders, WrongParams
from atalaia.store.store import database_ms, serialise

LEASE_S_LEAST, LEASE_S_MOST = 5.0, 3600.0
NAME_CHARS = 36


class OldToken(NotNow):
    """Another worker has the job now, or nobody: what this one says is not written."""


@dataclass(frozen=True)
class Outside:
    """What workers outside may do. Each is one transaction; the job's `epoch` is the token of its holder."""

    orders: Orders

    def claim(self, tx: Connection, kind: str, worker: str, *, lease_s: float) -> Job | None:
        """Give the next job of a kind to `worker` for `lease_s` seconds; None when there is none.

        Errors: `WrongParams` when the kind is not for workers outside, or the lease is too short or long.
        """
        if not self.orders.kind(kind).external:
            raise WrongParams(f"{kind} is run by the hub itself; it cannot be claimed.")
        ambient = self.orders.ambient
        until_ms = self._until(tx, lease_s)
        give_back_expired(tx, ambient)
        taker = Taker(worker[:NAME_CHARS], 1, only=kind, lease_ms=until_ms)
        return next(iter(claim(tx, ambient, self.orders.kinds, taker)), None)

    def renew(self, tx: Connection, identity: str, token: int, *, lease_s: float) -> Job:
        """Hold the job for `lease_s` more from now. Errors: `NoSuchJob`; `OldToken`; `WrongParams`."""
        job = self._hold(tx, identity, token)
        change_job(tx, job.id, self._now(), lease_ms=self._until(tx, lease_s))
        return self._again(tx, identity)

    def progress(
        self, tx: Connection, identity: str, token: int, percent: float | None, said: str, **data: Any
    ) -> Job:
        """Tell how far it is. Errors: `NoSuchJob`; `OldToken`."""
        job = self._hold(tx, identity, token)
        change_job(tx, job.id, self._now(), progress=dump({"percent": percent, "said": said, **data}))
        told.tell(tx, self.orders.ambient, job, "job.progressed", percent=percent, said=said)
        return self._again(tx, identity)

    def done(self, tx: Connection, identity: str, token: int, result: Mapping[str, Any]) -> Job:
        """End the job as asked; a repeat answers the job as it ended. Errors: `NoSuchJob`; `OldToken`."""
        job, now = self._hold(tx, identity, token, ended=True), self._now()
        if move(tx, job, Got.FINISH, now, result=dump(dict(result)), reason="", said=""):
            shown = self.orders.redactor.value(dict(result))
            took_ms = now - (job.started_ms or now)
            told.tell(tx, self.orders.ambient, job, "job.done", result=shown, took_ms=took_ms)
        return self._again(tx, identity)

    def failed(
        self, tx: Connection, identity: str, token: int, reason: str, said: str, known: Mapping[str, Any]
    ) -> Job:
        """End the job without success; a repeat answers it as it ended. Errors: `NoSuchJob`; `OldToken`."""
        job, now = self._hold(tx, identity, token, ended=True), self._now()
        if move(tx, job, Got.FAIL, now, result=dump(dict(known)), reason=reason[:80], said=said):
            shown = self.orders.redactor.value(dict(known))
            told.tell(tx, self.orders.ambient, job, "job.failed", reason=reason, said=said, known=shown)
        return self._again(tx, identity)

    def give_back(self, tx: Connection, identity: str, token: int, said: str) -> Job:
        """Return the job to the queue, for another worker. Errors: `NoSuchJob`; `OldToken`."""
        job, now = self._hold(tx, identity, token), self._now()
        change: dict[str, Any] = {"executor": None, "lease_ms": None, "epoch": job.epoch + 1}
        move(tx, job, Got.GIVE_BACK, now, reason="given_back", said=said, **change)
        free_locks(tx, job.id)
        told.tell(tx, self.orders.ambient, job, "job.returned", worker=job.executor, said=said)
        return self._again(tx, identity)

    def _hold(self, tx: Connection, identity: str, token: int, *, ended: bool = False) -> Job:
        serialise(tx)
        job = read_job(tx, identity, lock=True)
        if job is None or not self.orders.kind(job.kind).external:
            raise NoSuchJob("There is no such job for workers outside.")
        if job.epoch != token or (job.state in ENDED and not ended):
            raise OldToken(f"The job is {job.state}, and not this worker's any more. Claim another one.")
        return job

    def _again(self, tx: Connection, identity: str) -> Job:
        job = read_job(tx, identity)
        assert job is not None
        return job

    def _now(self) -> int:
        return to_ms(self.orders.ambient.clock.now())

    def _until(self, tx: Connection, lease_s: float) -> int:
        if not LEASE_S_LEAST <= lease_s <= LEASE_S_MOST:
            raise WrongParams(
                f"lease_s holds {lease_s:g}; it is {LEASE_S_LEAST:g} to {LEASE_S_MOST:g} seconds."
            )
        return database_ms(tx, self._now()) + int(lease_s * 1000)
