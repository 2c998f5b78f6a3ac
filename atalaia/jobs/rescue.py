"""Jobs that nobody runs any more: their worker died, their workflow is missing, or their lease ran out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.jobs import told
from atalaia.jobs.ledger import Ledger
from atalaia.jobs.model import StepKind
from atalaia.jobs.rows import Job, change_job, free_locks, move, read_job, to_job
from atalaia.jobs.state import LIVING, Got, State, StepState
from atalaia.store.job_tables import job_steps, jobs
from atalaia.store.store import database_ms, serialise
from atalaia.store.tables import workers

_LIVING = [state.value for state in LIVING]
# A job that was just taken is not yet under way in the engine.
SETTLE_MS = 10_000
# While workers are replaced by a newer version, the older ones need not say what they do not know.
UNKNOWN_AFTER_MS = 60_000
UNKNOWN_MOST = 100


def alive(tx: Connection) -> list[str]:
    """Answer the workers that are held for living."""
    return list(tx.scalars(select(workers.c.id).where(workers.c.gone_ms.is_(None))))


def orphans(tx: Connection) -> list[Job]:
    """Answer the jobs whose worker is gone, or that have none though they are not queued."""
    query = select(jobs).where(jobs.c.state.in_(_LIVING), jobs.c.lease_ms.is_(None))
    query = query.where((jobs.c.executor.is_(None)) | (jobs.c.executor.not_in(alive(tx))))
    return [to_job(row) for row in tx.execute(query.order_by(jobs.c.created_ms))]


def left_lying(tx: Connection, worker: str, running: Collection[str], now_ms: int) -> list[Job]:
    """Answer the jobs that are this worker's by their rows, and that it does not run."""
    query = select(jobs).where(
        jobs.c.state.in_(_LIVING), jobs.c.executor == worker, jobs.c.changed_ms < now_ms - SETTLE_MS
    )
    return [job for job in (to_job(row) for row in tx.execute(query)) if job.id not in running]


def gets_on(tx: Connection, job: Job, lives_most: int) -> bool:
    """Answer whether a job that came back again and again did a step within its last `lives_most` lives."""
    ended = (job_steps.c.job == job.id, job_steps.c.attempt == job.attempt, job_steps.c.ended_ms.is_not(None))
    last = tx.scalar(select(func.max(job_steps.c.epoch)).where(*ended)) or 0
    return job.epoch - last <= lives_most


def take_anew(tx: Connection, job: Job, worker: str, now_ms: int) -> Job | None:
    """Raise the epoch of a job that is ours and lies, so that a run that may yet begin is shut out."""
    mine = (jobs.c.id == job.id, jobs.c.epoch == job.epoch, jobs.c.executor == worker)
    change = update(jobs).where(*mine).values(epoch=job.epoch + 1, changed_ms=now_ms)
    if not tx.execute(change).rowcount:
        return None
    return read_job(tx, job.id)


def give_up(tx: Connection, ambient: Ambient, job: Job) -> None:
    """End a job whose workers kept dying: failed, or in doubt when an effect may be upstream."""
    serialise(tx)
    now_job = read_job(tx, job.id, lock=True)
    if now_job is None or now_job.epoch != job.epoch or now_job.state is not State.RUNNING:
        return
    now = to_ms(ambient.clock.now())
    if doubt_unanswered(
        tx, ambient, job, "Its workers died again and again; it left, and no answer is known."
    ):
        return
    said = "Each worker that ran it died. Look at their logs before you run it again."
    move(tx, now_job, Got.FAIL, now, reason="kept_dying", said=said)
    told.tell(tx, ambient, now_job, "job.failed", reason="kept_dying", said=said, known={})


def doubt_unanswered(tx: Connection, ambient: Ambient, job: Job, said: str) -> bool:
    """Put a job in doubt whose run is over while an effect has left and is not answered; else answer False.

    Nobody runs it until it is looked at again; no job ends with an effect that nobody accounts for.
    """
    sent = _sent(tx, job)
    if sent is None:
        return False
    change_job(tx, job.id, to_ms(ambient.clock.now()), executor=None)
    ledger = Ledger(ambient, job.id, job.attempt, job.epoch)
    entry = ledger.newest(tx, sent)
    assert entry is not None
    ledger.doubt(tx, entry, said)
    ledger.wait_for_person(tx, entry, said)
    return True


def call_off_restored(tx: Connection, ambient: Ambient) -> int:
    """Call off what was open when a backup was taken that is now restored; answer how many jobs that were.

    What was sent since then is in no ledger: run again, it could happen twice. A person looks and retries.
    """
    wanted = [state.value for state in (State.QUEUED, State.RUNNING, State.WAITING)]
    found = [to_job(row) for row in tx.execute(select(jobs).where(jobs.c.state.in_(wanted)))]
    now = to_ms(ambient.clock.now())
    for job in found:
        if doubt_unanswered(tx, ambient, job, "It had left when the backup was taken that is restored now."):
            continue
        said = "It was open when the backup was taken that is restored now. Look at the upstream, then retry."
        move(tx, job, Got.CANCEL, now, epoch=job.epoch + 1, reason="restored", said=said)
        told.tell(tx, ambient, job, "job.cancelled", reason=said, by="restore")
    return len(found)


def unnamed_kinds(tx: Connection, now_ms: int) -> list[str]:
    """Answer the kinds of jobs that wait, and of which it is not said yet that nobody knows them."""
    c = jobs.c
    waiting = (c.state == State.QUEUED.value, c.created_ms < now_ms - UNKNOWN_AFTER_MS, c.reason == "")
    return list(tx.scalars(select(c.kind).where(*waiting).distinct()))


def name_unknown(tx: Connection, ambient: Ambient, kinds: Collection[str]) -> int:
    """Say of queued jobs of these kinds that no worker here can take them; answer how many.

    A newer version may; then the alert is resolved when it does.
    """
    serialise(tx)
    now = to_ms(ambient.clock.now())
    waiting = (jobs.c.state == State.QUEUED.value, jobs.c.reason == "", jobs.c.kind.in_(list(kinds)))
    found = [to_job(row) for row in tx.execute(select(jobs).where(*waiting).limit(UNKNOWN_MOST))]
    for job in found:
        said = f"This version does not know the kind {job.kind}."
        change_job(tx, job.id, now, reason=told.UNKNOWN_KIND, said=said)
        title = f"The job {job.kind} waits, and no worker here knows its kind."
        todo = "Start a worker of the version that knows it, or cancel the job."
        told.raise_alert(tx, ambient, job, title, known=said, todo=todo)
    return len(found)


def has_expired(tx: Connection, ambient: Ambient) -> bool:
    """Answer whether the lease of an external worker ran out; a look without locks."""
    late = _late(database_ms(tx, to_ms(ambient.clock.now())))
    return tx.execute(select(jobs.c.id).where(*late).limit(1)).first() is not None


def give_back_expired(tx: Connection, ambient: Ambient) -> int:
    """Return the jobs of external workers whose lease ran out to the queue; answer how many."""
    if not has_expired(tx, ambient):
        return 0
    serialise(tx)
    now = database_ms(tx, to_ms(ambient.clock.now()))
    query = select(jobs).where(*_late(now)).with_for_update()
    found: Sequence[Job] = [to_job(row) for row in tx.execute(query)]
    for job in found:
        # The epoch grows at once: what the late worker says from now on is refused.
        change: dict[str, Any] = {"executor": None, "lease_ms": None, "epoch": job.epoch + 1}
        said = f"The worker {job.executor} did not renew its lease."
        move(tx, job, Got.GIVE_BACK, now, reason="lease_ran_out", said=said, **change)
        free_locks(tx, job.id)
        told.tell(tx, ambient, job, "job.returned", worker=job.executor, said=said)
    return len(found)


def _late(now_ms: int) -> tuple[Any, ...]:
    return (jobs.c.state == State.RUNNING.value, jobs.c.lease_ms <= now_ms)


def _sent(tx: Connection, job: Job) -> str | None:
    query = select(job_steps.c.name).where(
        job_steps.c.job == job.id, job_steps.c.attempt == job.attempt,
        job_steps.c.kind == StepKind.UNSAFE.value, job_steps.c.state == StepState.STARTED.value,
        job_steps.c.sent_ms.is_not(None),
    )  # fmt: skip
    return tx.scalar(query)
