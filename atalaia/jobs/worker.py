"""Runs jobs in this process: takes what is due, runs its code, ends what was called off, rescues the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from sqlalchemy import Connection, select

from atalaia.clock import to_ms
from atalaia.connections.registry import Registry
from atalaia.errors import StoreUnavailable
from atalaia.jobs.context import House
from atalaia.jobs.dispatch import Taker, claim, lives, waits
from atalaia.jobs.engine import RECOVERIES_MAX, Standing
from atalaia.jobs.kinds import Kinds
from atalaia.jobs.model import JobKind
from atalaia.jobs.rescue import (
    alive,
    gets_on,
    give_back_expired,
    give_up,
    has_expired,
    left_lying,
    name_unknown,
    orphans,
    take_anew,
    unnamed_kinds,
)
from atalaia.jobs.rows import Job
from atalaia.jobs.running import Run, Runs, settings_of
from atalaia.jobs.state import LIVING, State
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


class Jobs:
    """One per worker. `run` works until cancelled; what runs then is resumed by the next worker or start."""

    def __init__(self, house: House, kinds: Mapping[str, JobKind], registry: Registry, worker: str) -> None:
        self.house = house
        self.runs = Runs(house, kinds, registry, worker)
        self._kinds = kinds
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

    @property
    def running(self) -> Mapping[str, Run]:
        """The jobs that run here, by id."""
        return self.runs.running

    async def execute(self, identity: str, attempt: int) -> None:
        """Run a job, or stand for one that runs; the engine calls this within a workflow."""
        await self.runs.execute(identity, attempt)

    async def close(self) -> None:
        """Stop running jobs; nothing is handed back, for the rows say whose they are."""
        self._closing = True
        self._lost("")
        await self.runs.close()
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
        await self._begin_what_lies(now)
        epochs, due = await house.store.read(lambda tx: self._read(tx, now))
        self.runs.end_called_off(epochs)
        if due:
            for job, settings in await house.store.write(self._claim):
                self.runs.begin(job, settings)
        self.runs.tell_engine()

    def _read(self, tx: Connection, now_ms: int) -> tuple[dict[str, int], bool]:
        """Answer the epochs of what runs here, and whether anything may be due."""
        epochs: dict[str, int] = {}
        if self.running:
            query = select(jobs.c.id, jobs.c.epoch).where(jobs.c.id.in_(list(self.running)))
            epochs = {row.id: row.epoch for row in tx.execute(query)}
        return epochs, waits(tx, now_ms)

    def _claim(self, tx: Connection) -> list[tuple[Job, Any]]:
        """Take what is due, with the settings of its connections."""
        taker = Taker(self._worker, ROOM - len(self.running))
        taken = claim(tx, self.house.ambient, self._kinds, taker)
        settings = {of: settings_of(tx, self._registry, of) for of in {job.connection for job in taken}}
        return [(job, settings[job.connection]) for job in taken]

    async def _begin_what_lies(self, now_ms: int) -> None:
        """Now and then, begin jobs that are ours by their rows and that nothing runs, after a defect."""
        clock, store = self.house.ambient.clock, self.house.store
        if clock.monotonic() < self._look_again_at:
            return
        self._look_again_at = clock.monotonic() + LYING_S

        def take(tx: Connection, job: Job) -> tuple[Job | None, Any]:
            return take_anew(tx, job, self._worker, now_ms), settings_of(tx, self._registry, job.connection)

        for job in await store.read(lambda tx: left_lying(tx, self._worker, self.running, now_ms)):
            anew, settings = await store.write(lambda tx, job=job: take(tx, job))
            if anew is not None:
                log.warning("job.started_again", job=job.id, epoch=anew.epoch)
                self.runs.begin(anew, settings, fresh=False)

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
        house, now = self.house, to_ms(self.house.ambient.clock.now())
        expired, waiting, found = await house.store.read(
            lambda tx: (has_expired(tx, house.ambient), unnamed_kinds(tx, now), orphans(tx))
        )
        if expired:
            await house.store.write(lambda tx: give_back_expired(tx, house.ambient))
        if unknown := [kind for kind in waiting if kind not in self._kinds]:
            await house.store.write(lambda tx: name_unknown(tx, house.ambient, unknown))
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
                case Standing.MISSING | Standing.GAVE_UP if await self._kept_dying(job):
                    await self.house.store.write(lambda tx, job=job: give_up(tx, self.house.ambient, job))
                case Standing.GAVE_UP if job.state is State.IN_DOUBT and job.executor is None:
                    pass  # until a person decides, nothing is tried that killed so often
                case Standing.MISSING:
                    await engine.start(job.workflow, job.id, job.attempt)
                case Standing.ENDED | Standing.GAVE_UP:
                    # Under a name of its own; the ledger gives it what was answered.
                    await engine.start(f"{job.workflow}.{job.epoch}", job.id, job.attempt)

    async def _kept_dying(self, job: Job) -> bool:
        """Answer whether it is the job itself that its workers die of: it did not get on for many lives."""
        if job.state is not State.RUNNING or job.executor is None:
            return False
        return not await self.house.store.read(lambda tx: gets_on(tx, job, RECOVERIES_MAX))


def _could_be(tx: Connection, connectors: Iterable[str]) -> bool:
    """Answer whether there is any job to look at, or a connection that could have one."""
    with_jobs = select(connections.c.id).where(connections.c.connector.in_(connectors))
    return any(tx.execute(query.limit(1)).first() for query in (select(jobs.c.id), with_jobs))
