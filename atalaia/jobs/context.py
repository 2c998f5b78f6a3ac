"""The house as a job's code sees it: `model.JobContext`, made of the ledger, the engine and a clock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.errors import ConfigError, Fenced, StoreUnavailable
from atalaia.events.log import EventLog, Source
from atalaia.events.model import Appended, Heard
from atalaia.jobs import told
from atalaia.jobs.dispatch import lock as take_locks
from atalaia.jobs.engine import Engine
from atalaia.jobs.frames import Frames, write_frames
from atalaia.jobs.ledger import ASK, SLEEP, Entry, Ledger, answers_of_others
from atalaia.jobs.model import Decision, Direction, Effect, JobFailed, Probe, StepKind, Suppose
from atalaia.jobs.rows import Job, change_job, dump, move, read_job, take_hold
from atalaia.jobs.section import hold
from atalaia.jobs.state import Got, State, StepState
from atalaia.jobs.steps import Running
from atalaia.jobs.submit import Order, Orders, close_question
from atalaia.jobs.waiting import Abandoned, first_of
from atalaia.redact import Redactor
from atalaia.store.bell import JOBS
from atalaia.store.files import FileStore
from atalaia.store.leases import Lease
from atalaia.store.sealed import Sealer, get_value, set_value
from atalaia.store.store import Store

T = TypeVar("T")
log = structlog.get_logger(__name__)

PROGRESS_EVERY_S = 1.0
RETRY_S = 1.0
DEFER_S = 0.1
LOCKED_LOOK_S = 5.0
LOCKED_MAX_MS = 30 * 60_000  # two jobs that wait for each other end so
LOOK_S = 1.0  # the net below a lost ring


@dataclass(frozen=True)
class House:
    """What every job of this worker shares. sealer: encrypts what jobs keep; None keeps nothing."""

    store: Store
    log: EventLog
    ambient: Ambient
    orders: Orders
    redactor: Redactor
    engine: Engine
    files: FileStore
    sealer: Sealer | None = None


@dataclass
class Context:
    """See `model.JobContext`. taken: the job as it was when this worker took it.

    fresh: this is the attempt's first run, so that the ledger knows nothing yet of what it reads.
    """

    house: House
    taken: Job
    settings: Any
    deadline_ms: int
    seconds_max: float
    fresh: bool = False
    sections: list[Lease] = field(default_factory=list[Lease])
    _names: set[str] = field(default_factory=set[str])
    _pauses: int = 0
    _told_at: float = -PROGRESS_EVERY_S
    _untold: dict[str, Any] | None = None
    _deferred: list[Callable[[Connection], object]] = field(
        default_factory=list[Callable[[Connection], object]]
    )
    _flushing: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        house = self.house
        self.ledger = Ledger(house.ambient, self.taken.id, self.taken.attempt, self.taken.epoch)
        self.frames = Frames(house.store, house.ambient, house.redactor, self.taken.id)

    @property
    def job(self) -> str:
        return self.taken.id

    @property
    def connection(self) -> str:
        return self.taken.connection

    @property
    def trace(self) -> str:
        return self.taken.trace

    @property
    def root(self) -> str:
        return self.taken.root

    @property
    def ambient(self) -> Ambient:
        return self.house.ambient

    @property
    def files(self) -> FileStore:
        return self.house.files

    async def step(
        self, name: str, kind: StepKind, work: Callable[[Effect], Awaitable[T]], *,
        probe: Probe | None = None, suppose: Suppose | None = None,
    ) -> T:  # fmt: skip
        self._name(name)
        return await Running(self, name, kind, work, probe, suppose).run()

    async def sleep(self, seconds: float) -> None:
        self._pauses += 1
        until = {"until_ms": self.now_ms() + int(seconds * 1000)}
        entry = await self.write(lambda tx: self.ledger.wait(tx, f"sleep:{self._pauses}", SLEEP, until))
        if entry.state is StepState.DONE:
            return
        left_s = (entry.evidence["until_ms"] - self.now_ms()) / 1000
        if left_s > 0:
            await self.within(self.ambient.clock.sleep(left_s))
        await self.write(lambda tx: self.ledger.waited(tx, entry))

    async def ask(
        self, name: str, question: str, choices: Sequence[str], *, shown: Any = None, within_s: float
    ) -> Decision | None:
        self._name(f"ask:{name}")
        until_ms = self.now_ms() + int(within_s * 1000)
        asked = {"name": name, "question": question, "choices": list(choices), "shown": shown}
        entry = await self.write(lambda tx: self._ask(tx, name, asked | {"until_ms": until_ms}))
        while entry.state is not StepState.DONE:
            await self._wait_for_answer(entry)
            entry = await self.read(lambda tx, last=entry: self._look_for_answer(tx, last))
        await self.count_people_out()
        answer = entry.result
        return Decision(answer["choice"], answer["by"], answer["data"]) if answer else None

    def section(self, name: str, *, shared: bool = False) -> AbstractAsyncContextManager[None]:
        return self._section(name if shared else f"{self.connection}:{name}")

    @asynccontextmanager
    async def _section(self, name: str) -> AsyncGenerator[None]:
        async with hold(self.house.store, self.ambient, name) as lease:
            self.sections.append(lease)
            try:
                yield
            finally:
                self.sections.remove(lease)

    async def lock(self, *names: str) -> None:
        until_ms = self.now_ms() + LOCKED_MAX_MS
        while True:
            rung = self.house.store.bell.count(JOBS)
            held = await self.write(lambda tx: take_locks(tx, self.hold(tx), names, self.now_ms()))
            if held is None:
                return
            said = f"The job {held.job} holds {held.name}"
            if self.now_ms() >= until_ms:
                raise JobFailed("locked", f"{said}, and did not end in time.", lock=held.name, job=held.job)
            await self.progress(None, f"{said}: waiting for its end")
            looking = first_of(self.ambient.clock.sleep(LOCKED_LOOK_S), self.pause_until_changed(rung))
            await self.within(looking)

    async def kept(self, name: str) -> str:
        box = self.house.sealer
        if box is None:
            return ""
        try:
            return await self.read(lambda tx: get_value(tx, box, name))
        except ConfigError as error:  # sealed with a key that is gone: as if there was nothing
            log.warning("job.kept_unreadable", name=name, error=str(error))
            return ""

    async def keep(self, name: str, text: str) -> None:
        box, by, now = self.house.sealer, f"job {self.job}", self.now_ms()
        if box is not None:
            await self.write(lambda tx: set_value(tx, box, name, text, by=by, now_ms=now))

    async def progress(self, percent: float | None, said: str, **data: Any) -> None:
        self._untold = {"percent": percent, "said": said, **data}
        if self.ambient.clock.monotonic() - self._told_at < PROGRESS_EVERY_S:
            return
        untold = self._take_progress()
        try:
            await self.house.store.write(lambda tx: self._progress(tx, untold))
        except StoreUnavailable as error:
            log.warning("job.progress_not_written", job=self.job, error=str(error))
        except Fenced as error:
            raise Abandoned(str(error)) from error

    def frame(self, direction: Direction, surface: str, text: str) -> None:
        self.frames.add(direction, surface, text)

    async def answers(self, step: str, since_ms: int) -> list[Any]:
        return await self.read(lambda tx: answers_of_others(tx, self.taken, step, since_ms))

    async def append(self, heard: Sequence[Heard]) -> list[Appended]:
        return await self.house.log.put(Source(self.connection), heard)

    async def follow_up(self, kind: str, params: Mapping[str, Any], *, step: str) -> str:
        full = kind if "." in kind else f"{self.taken.connector}.{kind}"
        order = Order(
            kind=full, connection=self.connection, params=params, by=f"job {self.job}"[:120],
            priority=self.taken.priority, root=self.root, step=step, parent=self.job,
        )  # fmt: skip

        def submit(tx: Connection) -> Job:
            self.hold(tx)
            return self.house.orders.submit(tx, order)

        return (await self.write(submit)).id

    # What the parts of a running job share.

    def now_ms(self) -> int:
        """Answer the time, Unix milliseconds."""
        return to_ms(self.ambient.clock.now())

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction, however long the database is away. Errors: `Abandoned`, its own."""
        while True:
            try:
                return await self.commit(work)
            except StoreUnavailable as error:
                log.warning("job.store_unavailable", job=self.job, error=str(error))
                await self.ambient.clock.sleep(RETRY_S)
            except Fenced as error:
                raise Abandoned(str(error)) from error

    async def commit(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction with what was deferred, the newest progress, and the frames before.

        Errors: `StoreUnavailable`, `Fenced`, its own; then all of that waits on.
        """
        untold = self._take_progress()
        if untold is not None:
            self._deferred.append(lambda tx: self._progress(tx, untold))
        deferred, self._deferred = self._deferred, []
        rows = self.frames.take()

        def all_of_it(tx: Connection) -> T:
            for one in deferred:
                one(tx)
            write_frames(tx, rows)
            return work(tx)

        try:
            return await self.house.store.write(all_of_it)
        except BaseException:
            self._deferred = deferred + self._deferred
            self.frames.give_back(rows)
            raise

    def defer(self, work: Callable[[Connection], object]) -> None:
        """Have `work` done with the next commit, or in a moment: for what may be lost without harm."""
        self._deferred.append(work)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        await asyncio.sleep(DEFER_S)  # real time: it is how soon people see it, no behaviour
        if self._deferred:
            with contextlib.suppress(StoreUnavailable, Fenced):  # what follows will say so
                await self.commit(lambda _: None)

    async def settle(self) -> None:
        """Write what was deferred, if that is possible."""
        with contextlib.suppress(Exception):  # what follows will say so
            await self.commit(lambda _: None)

    async def close(self) -> None:
        """Keep the last frames; nothing else is written any more."""
        if self._flushing is not None:
            self._flushing.cancel()
        self.frames.close()
        await self.frames.flush()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Read, however long the database is away."""
        while True:
            try:
                return await self.house.store.read(work)
            except StoreUnavailable:
                await self.ambient.clock.sleep(RETRY_S)

    async def within(self, work: Awaitable[T]) -> T:
        """Await `work`, but not beyond the job's time. Errors: `JobFailed` with the reason `too_long`."""
        task = asyncio.ensure_future(work)
        left_s = (self.deadline_ms - self.now_ms()) / 1000
        bell = asyncio.ensure_future(self.ambient.clock.sleep(max(left_s, 0.0)))
        try:
            await asyncio.wait({task, bell}, return_when=asyncio.FIRST_COMPLETED)
            late = not task.done()
            if late:
                task.cancel()
                await asyncio.wait({task})
            if late and task.cancelled():
                minutes = round(self.seconds_max / 60)
                raise JobFailed("too_long", f"It was not done within its time, {minutes} minutes.")
            return task.result()
        finally:
            bell.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def pause_until_changed(self, rung: int) -> None:
        """Wait until somebody changed a job, at most a second of real time."""
        await self.house.store.bell.wait(JOBS, rung, at_most_s=LOOK_S)

    def hold(self, tx: Connection) -> Job:
        """Answer the job, locked, while it is ours. Errors: `Fenced`."""
        return take_hold(tx, self.job, self.taken.epoch)

    async def count_people_out(self) -> None:
        """Do not count the time in which people were waited for as the job's."""
        waited_ms = await self.read(self.ledger.waited_for_people_ms)
        began_ms = self.taken.started_ms or self.now_ms()
        self.deadline_ms = began_ms + int(self.seconds_max * 1000) + waited_ms

    def _name(self, name: str) -> None:
        if name in self._names:
            raise ValueError(f"the job's code has two steps called {name}; names are unique within a job")
        self._names.add(name)

    def _ask(self, tx: Connection, name: str, asked: Mapping[str, Any]) -> Entry:
        entry = self.ledger.wait(tx, f"ask:{name}", ASK, asked)
        job = self.hold(tx)
        if entry.state is StepState.STARTED and job.state is State.RUNNING:
            now = self.now_ms()
            move(tx, job, Got.ASK, now, asked=dump(entry.evidence), reason=f"ask:{name}"[:80])
            told.tell(
                tx, self.ambient, job, "job.asked", name=name, question=asked["question"],
                choices=asked["choices"], until_ms=entry.evidence["until_ms"],
            )  # fmt: skip
        return entry

    def _look_for_answer(self, tx: Connection, entry: Entry) -> Entry:
        job = read_job(tx, self.job)
        if job is None or job.epoch != self.taken.epoch:
            raise Abandoned("the job is not ours any more")
        return self.ledger.newest(tx, entry.name) or entry

    async def _wait_for_answer(self, entry: Entry) -> None:
        rung = self.house.store.bell.count(JOBS)
        # What was answered since it was read has rung before: look once more before waiting.
        if (await self.read(lambda tx: self._look_for_answer(tx, entry))).state is StepState.DONE:
            return
        left_s = (entry.evidence["until_ms"] - self.now_ms()) / 1000
        if left_s <= 0:
            await self.write(self._nobody_answered)
            return
        await first_of(self.ambient.clock.sleep(left_s), self.pause_until_changed(rung))

    def _nobody_answered(self, tx: Connection) -> None:
        job = self.hold(tx)
        if job.state is State.WAITING:
            close_question(tx, self.ambient, job, None)

    def _take_progress(self) -> dict[str, Any] | None:
        untold, self._untold = self._untold, None
        if untold is not None:
            self._told_at = self.ambient.clock.monotonic()
        return untold

    def _progress(self, tx: Connection, untold: Mapping[str, Any] | None) -> None:
        if untold is None:
            return
        job = self.hold(tx)
        change_job(tx, self.job, self.now_ms(), progress=dump(untold))
        said = {"percent": untold["percent"], "said": untold["said"]}
        told.tell(tx, self.ambient, job, "job.progressed", **said)
