"""Runs jobs in this process: takes what is due, runs its code, ends what was called off, rescues the rest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection, select

from atalaia.clock import to_ms
from atalaia.connections.registry import Registry
from atalaia.errors import ConfigError, Fenced, StoreUnavailable
from atalaia.jobs import told
from atalaia.jobs.context import Context, House
from atalaia.jobs.dispatch import Taker, claim, lives, take_over, waits
from atalaia.jobs.engine import RECOVERIES_MAX, Standing
from atalaia.jobs.kinds import Kinds
from atalaia.jobs.model import JobFailed, JobKind
from atalaia.jobs.outcome import reason_of
from atalaia.jobs.rescue import (
    alive,
    doubt_unanswered,
    gets_on,
    give_back_expired,
    give_up,
    has_expired,
    left_lying,
    orphans,
    take_anew,
)
from atalaia.jobs.rows import Job, dump, move, read_job, take_hold
from atalaia.jobs.state import ENDED, LIVING, Got, State
from atalaia.jobs.waiting import Abandoned
from atalaia.store.bell import JOBS
from atalaia.store.job_tables import jobs
from atalaia.store.leases import Lease
from atalaia.store.ownership import Ownership, Watch
from atalaia.store.tables import connections

log = structlog.get_logger(__name__)

ROOM = 64  # jobs of this worker at a time; most only wait for their upstream
POLL_S = 1.0
RESCUE_S = 2.0
RESCUE = "rescue:"
LYING_S = 5.0
KEEP_S = 86_400.0


@dataclass
class _Run:
    task: asyncio.Task[None]
    epoch: int


class Jobs:
    """One per worker. `run` works until cancelled; what runs then is resumed by the next worker or start."""

    def __init__(self, house: House, kinds: Mapping[str, JobKind], registry: Registry, worker: str) -> None:
        self.house = house
        self.running: dict[str, _Run] = {}
        self._kinds = kinds
        self._claimed: dict[str, Job] = {}  # claimed by us, and not begun yet
        self._registry = registry
        self._worker = worker
        self._rescuer: asyncio.Task[None] | None = None
        self._closing = False
        self._look_again_at = 0.0

    def watch(self, ownership: Ownership) -> None:
        """Let one of all workers be the rescuer, where there can be jobs."""
        if not self._kinds:
            return
        ownership.watch(Watch(RESCUE, lambda _: [f"{RESCUE}jobs"], self._gained, self._lost))

    async def run(self) -> None:
        """Take and run what is due. A hub whose connectors know no jobs does nothing here."""
        if not self._kinds:
            return
        bell = self.house.store.bell
        while True:
            rung = bell.count(JOBS)
            try:
                await self.look()
            except StoreUnavailable as error:
                log.warning("jobs.store_unavailable", error=str(error))
            except Exception:
                # The jobs that run go on; the next look tries again. A defect stays loud.
                log.exception("jobs.defect")
            await bell.wait(JOBS, rung, at_most_s=POLL_S)

    async def close(self) -> None:
        """Stop running jobs; nothing is handed back, for the rows say whose they are."""
        self._closing = True
        self._lost("")
        await self.house.engine.close()

    async def forget_old(self) -> None:
        """Delete what the engine keeps of workflows that ended a day ago; the ledger is what is shown."""
        if self.house.engine.launched:
            await self.house.engine.forget_ended(KEEP_S)

    async def look(self) -> None:
        """One look: end what was called off, take what is due, start again what was left lying."""
        house = self.house
        now = to_ms(house.ambient.clock.now())
        if self._closing:
            return
        if not house.engine.launched:
            if not await house.store.read(self._is_wanted):
                return
            await house.engine.launch()
        await self._end_called_off()
        await self._begin_what_lies(now)
        if not await house.store.read(lambda tx: waits(tx, now)):
            return
        taker = Taker(self._worker, ROOM - len(self.running))
        for job in await house.store.write(lambda tx: claim(tx, house.ambient, self._kinds, taker)):
            self._claimed[job.id] = job
            await house.engine.start(job.workflow, job.id, job.attempt)

    async def _begin_what_lies(self, now_ms: int) -> None:
        """Now and then, begin jobs that are ours by their rows and that nothing runs: a start failed."""
        clock, store = self.house.ambient.clock, self.house.store
        if clock.monotonic() < self._look_again_at:
            return
        self._look_again_at = clock.monotonic() + LYING_S
        for job in await store.read(lambda tx: left_lying(tx, self._worker, self.running, now_ms)):
            self._claimed.pop(job.id, None)
            anew = await store.write(lambda tx, job=job: take_anew(tx, job, self._worker, now_ms))
            if anew is not None:
                log.warning("job.started_again", job=job.id, epoch=anew.epoch)
                await self.house.engine.start(f"{anew.workflow}.{anew.epoch}", anew.id, anew.attempt)

    def _is_wanted(self, tx: Connection) -> bool:
        """Answer whether the engine is worth its memory: a job is open, or a connection could have some."""
        if not lives(tx, self._worker):
            return False
        if isinstance(self._kinds, Kinds) and not _could_be(tx, self._kinds.connectors):
            return False  # without importing them
        open_states = [State.QUEUED.value, *(state.value for state in LIVING)]
        others = [name for name, kind in self._kinds.items() if kind.external]
        query = select(jobs.c.id).where(jobs.c.state.in_(open_states), jobs.c.kind.not_in(others))
        if tx.execute(query.limit(1)).first():
            return True
        names = {name.partition(".")[0] for name in self._kinds if name not in others}
        query = select(connections.c.id).where(
            connections.c.connector.in_(names),
            connections.c.deleted_ms.is_(None),
            connections.c.desired == "on",
        )
        return tx.execute(query.limit(1)).first() is not None

    # One job.

    async def execute(self, identity: str, attempt: int) -> None:
        """Run a job's code; the engine calls this within a workflow.

        Returns when the job has ended. Is cancelled when this worker may not go on: then the workflow stays.
        """
        anew = identity in self.running
        claimed = self._claimed.pop(identity, None)
        fresh = claimed is not None and claimed.attempt == attempt and not anew
        taken = claimed if fresh else await self._take(identity, attempt, anew=anew)
        if taken is None:
            return
        if anew:
            self.running[identity].task.cancel()
        task = asyncio.create_task(self._live(taken, fresh=fresh), name=f"job {identity}")
        run = self.running[identity] = _Run(task, taken.epoch)
        try:
            await asyncio.wait({task})
            if task.cancelled() or task.exception() is not None:
                await self._explain(taken, task)
        finally:
            if self.running.get(identity) is run:
                del self.running[identity]
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _take(self, identity: str, attempt: int, *, anew: bool) -> Job | None:
        house = self.house
        while True:
            try:
                return await house.store.write(
                    lambda tx: take_over(tx, house.ambient, identity, attempt, self._worker, anew=anew)
                )
            except StoreUnavailable as error:
                log.warning("jobs.store_unavailable", error=str(error))
                await house.ambient.clock.sleep(POLL_S)

    async def _explain(self, taken: Job, task: asyncio.Task[None]) -> None:
        """A run ended without ending its job: say why, and let the workflow stand or end accordingly."""
        if not task.cancelled():
            log.error("job.defect", job=taken.id, exc_info=task.exception())
            raise asyncio.CancelledError
        job = await self.house.store.read(lambda tx: read_job(tx, taken.id))
        if job is None or job.state in ENDED:
            return  # called off
        if job.epoch == taken.epoch and job.executor == self._worker:
            # Its code cancelled itself, by a timeout that it does not catch for instance.
            error = JobFailed("defect", "There is a defect in this job's code (it cancelled itself).")
            with contextlib.suppress(Fenced):
                await self.house.store.write(lambda tx: self._fail(tx, taken, error))
            return
        raise Abandoned("another worker runs it now")

    async def _live(self, taken: Job, *, fresh: bool) -> None:
        """Run the job's code and write down how it ended."""
        kind = self._kinds.get(taken.kind)
        context: Context | None = None
        try:
            if kind is None:
                raise JobFailed("unknown_kind", f"This version does not know the kind {taken.kind}.")
            deadline_ms = (taken.started_ms or 0) + int(kind.seconds_max * 1000)
            settings = await self._settings(taken)
            context = Context(self.house, taken, settings, deadline_ms, kind.seconds_max, fresh)
            if not fresh:
                await context.count_people_out()
            result = await kind.run(context, _params(kind, taken))
            await context.tell_progress()
            await context.write(lambda tx: self._finish(tx, taken, dict(result)))
        except Exception as error:
            reason = reason_of(error)[0]
            if reason == "defect":
                log.exception("job.defect", job=taken.id, kind=taken.kind)
            await self._write(taken, error)
        finally:
            if context is not None:
                context.frames.close()
                await context.frames.flush()

    async def _write(self, taken: Job, error: Exception) -> None:
        while True:
            try:
                await self.house.store.write(lambda tx: self._fail(tx, taken, error))
                return
            except StoreUnavailable:
                await self.house.ambient.clock.sleep(POLL_S)
            except Fenced as fenced:
                raise Abandoned(str(fenced)) from fenced

    async def _settings(self, taken: Job) -> Any:
        try:
            configured = await self.house.store.read(lambda tx: self._registry.get(tx, taken.connection))
        except ConfigError as error:
            raise JobFailed("config", str(error)) from error
        if configured is None:
            raise JobFailed("no_connection", "Its connection was deleted.")
        return configured.settings

    def _finish(self, tx: Connection, taken: Job, result: dict[str, Any]) -> None:
        job = take_hold(tx, taken.id, taken.epoch)
        now = to_ms(self.house.ambient.clock.now())
        move(tx, job, Got.FINISH, now, result=dump(result), reason="", said="")
        shown = self.house.redactor.value(result)
        took_ms = now - (job.started_ms or now)
        told.tell(tx, self.house.ambient, job, "job.done", result=shown, took_ms=took_ms)

    def _fail(self, tx: Connection, taken: Job, error: Exception) -> None:
        job = take_hold(tx, taken.id, taken.epoch)
        now = to_ms(self.house.ambient.clock.now())
        reason, said, known = reason_of(error)
        if doubt_unanswered(tx, self.house.ambient, job, f"Its code ended while it was on its way. {said}"):
            return
        if reason == "cancelled":
            move(tx, job, Got.CANCEL, now, reason=reason, said=said)
            told.tell(
                tx, self.house.ambient, job, "job.cancelled", reason=said, by=str(known.get("by") or "")
            )
            return
        move(tx, job, Got.FAIL, now, reason=reason[:80], said=said, result=dump(known))
        shown = self.house.redactor.value(known)
        told.tell(tx, self.house.ambient, job, "job.failed", reason=reason, said=said, known=shown)

    async def _end_called_off(self) -> None:
        """End the runs of jobs that ended, or that another worker runs."""
        if not self.running:
            return
        ids = list(self.running)
        query = select(jobs.c.id, jobs.c.state, jobs.c.epoch).where(jobs.c.id.in_(ids))
        for row in await self.house.store.read(lambda tx: list(tx.execute(query))):
            run = self.running.get(row.id)
            if run is not None and row.epoch != run.epoch:
                run.task.cancel()

    # Rescuing.

    def _gained(self, _: Lease) -> None:
        self._rescuer = asyncio.create_task(self._rescue(), name="jobs rescuer")

    def _lost(self, _: str) -> None:
        if self._rescuer is not None:
            self._rescuer.cancel()
            self._rescuer = None

    async def _rescue(self) -> None:
        while True:
            try:
                await self.rescue()
            except StoreUnavailable as error:
                log.warning("jobs.store_unavailable", error=str(error))
            except Exception:
                log.exception("jobs.rescue_defect")
            await self.house.ambient.clock.sleep(RESCUE_S)

    async def rescue(self) -> None:
        """One round: bring back what dead workers ran, and return what external ones let go."""
        house = self.house
        if await house.store.read(lambda tx: has_expired(tx, house.ambient)):
            await house.store.write(lambda tx: give_back_expired(tx, house.ambient))
        found = await house.store.read(orphans)
        if not found:
            return
        await house.engine.recover(await house.store.read(alive))
        await self._begin_again(found)

    async def _begin_again(self, found: list[Job]) -> None:
        """Start jobs whose workflow is not known any more, or ended before they did."""
        if not found:
            return
        engine = self.house.engine
        standing = await engine.standing([job.workflow for job in found])
        for job in found:
            match standing[job.workflow]:
                case Standing.RUNNING:
                    pass  # some worker has it, or will in a moment
                case Standing.MISSING:
                    await engine.start(job.workflow, job.id, job.attempt)
                case Standing.GAVE_UP if await self._kept_dying(job):
                    await self.house.store.write(lambda tx, job=job: give_up(tx, self.house.ambient, job))
                case Standing.GAVE_UP if job.state is State.IN_DOUBT and job.executor is None:
                    pass  # until a person decides, nothing is tried that killed so often
                case Standing.ENDED | Standing.GAVE_UP:
                    # Under a name of its own; the ledger gives it what was answered.
                    await engine.start(f"{job.workflow}.{job.epoch}", job.id, job.attempt)

    async def _kept_dying(self, job: Job) -> bool:
        """Answer whether it is the job itself that its workers die of: it did not get on for many lives."""
        if job.state is not State.RUNNING or job.executor is None:
            return False
        return not await self.house.store.read(lambda tx: gets_on(tx, job, RECOVERIES_MAX))


def _params(kind: JobKind, taken: Job) -> Any:
    try:
        return kind.params.model_validate(taken.params)
    except ValidationError as error:
        wrong = ", ".join(".".join(str(part) for part in one["loc"]) for one in error.errors())
        raise JobFailed("params", f"What was asked does not fit this version any more ({wrong}).") from error


def _could_be(tx: Connection, connectors: Iterable[str]) -> bool:
    """Answer whether there is any job to look at, or a connection that could have one."""
    with_jobs = select(connections.c.id).where(connections.c.connector.in_(connectors))
    return any(tx.execute(query.limit(1)).first() for query in (select(jobs.c.id), with_jobs))
