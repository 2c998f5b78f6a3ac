"""The jobs whose code runs in this process: each from its first step to the line that says how it ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection

from atalaia.clock import to_ms
from atalaia.connections.registry import Registry
from atalaia.errors import ConfigError, Fenced, StoreUnavailable
from atalaia.jobs import told
from atalaia.jobs.context import Context, House
from atalaia.jobs.dispatch import take_over
from atalaia.jobs.model import JobFailed, JobKind, Unconfirmed
from atalaia.jobs.outcome import reason_of
from atalaia.jobs.rescue import doubt_unanswered
from atalaia.jobs.rows import Job, dump, move, read_job, take_hold
from atalaia.jobs.state import ENDED, Got
from atalaia.jobs.waiting import Abandoned

log = structlog.get_logger(__name__)

LASTING_S = 1.0
PAUSE_S = 1.0


@dataclass
class Run:
    """One job that runs here. code: runs it; attending: until it is written down why the code ended.

    began_s: on the monotonic clock. workflow: by which name the engine is to be told of it, "" when it knows.
    """

    taken: Job
    code: asyncio.Task[None]
    began_s: float
    workflow: str
    attending: asyncio.Task[None] | None = None

    @property
    def epoch(self) -> int:
        return self.taken.epoch


@dataclass
class Runs:
    """Runs jobs here. `running`: by id.

    A job that was claimed begins at once. The engine hears of it when it lasts: what ended within a second
    needs nobody to bring it back, and what dies within that second is found by its row.
    """

    house: House
    kinds: Mapping[str, JobKind]
    registry: Registry
    worker: str
    lasting_s: float = LASTING_S
    running: dict[str, Run] = field(default_factory=dict[str, Run])
    _expected: dict[tuple[str, int], Run] = field(default_factory=dict[tuple[str, int], Run])
    _telling: asyncio.Task[None] | None = None
    _closed: bool = False

    def begin(self, taken: Job, settings: Any, *, fresh: bool = True) -> None:
        """Run a job that this worker has taken. settings: its connection's, or why there are none.

        fresh: nobody ran this attempt before.
        """
        workflow = taken.workflow if fresh else f"{taken.workflow}.{taken.epoch}"
        run = self._start(taken, settings, fresh=fresh, workflow=workflow)
        run.attending = asyncio.create_task(self._attend(run), name=f"attending {taken.id}")
        run.attending.add_done_callback(_shout)

    async def execute(self, identity: str, attempt: int) -> None:
        """Stand for a job that runs here, or run it; the engine calls this within a workflow.

        Returns when the job has ended. Is cancelled when this worker may not go on: then the workflow stays.
        """
        run = self._expected.pop((identity, attempt), None)
        if run is not None and run.attending is not None:
            await asyncio.wait({run.attending})
            if run.attending.cancelled() or run.attending.exception() is not None:
                raise asyncio.CancelledError
            return
        if self._closed:
            raise asyncio.CancelledError
        before = self.running.get(identity)
        taken, settings = await self._take(identity, attempt, anew=before is not None)
        if taken is None:
            return
        if before is not None:
            before.code.cancel()
        await self._attend(self._start(taken, settings, fresh=False, workflow=""))

    def tell_engine(self) -> None:
        """Tell the engine of what lasts, beside all else: it may wait long for a file that is locked."""
        now = self.house.ambient.clock.monotonic()
        lasting = [one for one in self.running.values() if now - one.began_s >= self.lasting_s]
        unknown = [one for one in lasting if one.workflow]
        if unknown and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell_engine(unknown))

    async def _tell_engine(self, unknown: list[Run]) -> None:
        for run in unknown:
            if run.code.done():
                continue
            job = run.taken
            self._expected[job.id, job.attempt] = run
            try:
                await self.house.engine.start(run.workflow, job.id, job.attempt)
                run.workflow = ""
            except Exception as error:  # noqa: BLE001
                # It runs on; should this worker die, the job is found by its row.
                log.warning("job.not_told_to_the_engine", job=job.id, error=str(error))

    def end_called_off(self, epochs: Mapping[str, int]) -> None:
        """End the runs of jobs whose epoch, as the database has it, is not theirs any more."""
        for identity, epoch in epochs.items():
            run = self.running.get(identity)
            if run is not None and run.epoch != epoch:
                run.code.cancel()

    async def close(self) -> None:
        """End what runs; nothing is handed back, for the rows say whose it is."""
        self._closed = True
        attending = [run.attending for run in self.running.values() if run.attending is not None]
        for task in attending:
            task.cancel()
        await asyncio.gather(*attending, return_exceptions=True)
        if self._telling is not None:
            # It may wait long for a locked file; what it has written so far harms nobody.
            self._telling.cancel()
            await asyncio.wait({self._telling})

    def _start(self, taken: Job, settings: Any, *, fresh: bool, workflow: str) -> Run:
        code = asyncio.create_task(self._live(taken, settings, fresh=fresh), name=f"job {taken.id}")
        now = self.house.ambient.clock.monotonic()
        run = self.running[taken.id] = Run(taken, code, now, workflow)
        return run

    async def _attend(self, run: Run) -> None:
        """Wait until a run is over; cancelled when this worker may not go on with the job."""
        try:
            await asyncio.wait({run.code})
            if run.code.cancelled() or run.code.exception() is not None:
                await self._explain(run.taken, run.code)
        finally:
            if self.running.get(run.taken.id) is run:
                del self.running[run.taken.id]
            if not run.code.done():
                run.code.cancel()
                await asyncio.wait({run.code})

    async def _take(self, identity: str, attempt: int, *, anew: bool) -> tuple[Job | None, Any]:
        house = self.house

        def take(tx: Connection) -> tuple[Job | None, Any]:
            job = take_over(tx, house.ambient, identity, attempt, self.worker, anew=anew)
            return job, settings_of(tx, self.registry, job.connection) if job else None

        while True:
            try:
                return await house.store.write(take)
            except StoreUnavailable as error:
                log.warning("jobs.store_unavailable", error=str(error))
                await house.ambient.clock.sleep(PAUSE_S)

    async def _explain(self, taken: Job, task: asyncio.Task[None]) -> None:
        """A run ended without ending its job: say why, and let the workflow stand or end accordingly."""
        if not task.cancelled():
            log.error("job.defect", job=taken.id, exc_info=task.exception())
            raise asyncio.CancelledError
        job = await self.house.store.read(lambda tx: read_job(tx, taken.id))
        if job is None or job.state in ENDED:
            return  # called off
        if job.epoch == taken.epoch and job.executor == self.worker:
            # Its code cancelled itself, by a timeout that it does not catch for instance.
            error = JobFailed("defect", "There is a defect in this job's code (it cancelled itself).")
            with contextlib.suppress(Fenced):
                await self.house.store.write(lambda tx: self._fail(tx, taken, error))
            return
        raise Abandoned("another worker runs it now")

    async def _live(self, taken: Job, settings: Any, *, fresh: bool) -> None:
        """Run the job's code and write down how it ended."""
        kind = self.kinds.get(taken.kind)
        context: Context | None = None
        try:
            if kind is None:
                raise JobFailed("unknown_kind", f"This version does not know the kind {taken.kind}.")
            deadline_ms = (taken.started_ms or 0) + int(kind.seconds_max * 1000)
            if isinstance(settings, JobFailed):
                raise settings
            context = Context(self.house, taken, settings, deadline_ms, kind.seconds_max, fresh)
            if not fresh:
                await context.count_people_out()
            result = await kind.run(context, _params(kind, taken))
            await context.write(lambda tx: self._finish(tx, taken, dict(result)))
        except Unconfirmed as error:
            assert context is not None
            ended = {"ok": True, "outcome": "completed_unconfirmed", "why": str(error)}
            await context.write(lambda tx: self._finish(tx, taken, ended))
        except Exception as error:
            reason = reason_of(error)[0]
            if reason == "defect":
                log.exception("job.defect", job=taken.id, kind=taken.kind)
            if context is not None:
                await context.settle()
            await self._write(taken, error)
        finally:
            if context is not None:
                await context.close()

    async def _write(self, taken: Job, error: Exception) -> None:
        while True:
            try:
                await self.house.store.write(lambda tx: self._fail(tx, taken, error))
                return
            except StoreUnavailable:
                await self.house.ambient.clock.sleep(PAUSE_S)
            except Fenced as fenced:
                raise Abandoned(str(fenced)) from fenced

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


def settings_of(tx: Connection, registry: Registry, connection: str) -> Any:
    """Answer a connection's settings, or the `JobFailed` that says why there are none."""
    try:
        configured = registry.get(tx, connection)
    except ConfigError as error:
        return JobFailed("config", str(error))
    if configured is None:
        return JobFailed("no_connection", "Its connection was deleted.")
    return configured.settings


def _shout(attending: asyncio.Task[None]) -> None:
    if not attending.cancelled() and (error := attending.exception()) is not None:
        log.error("job.defect", exc_info=error)


def _params(kind: JobKind, taken: Job) -> Any:
    try:
        return kind.params.model_validate(taken.params)
    except ValidationError as error:
        wrong = ", ".join(".".join(str(part) for part in one["loc"]) for one in error.errors())
        raise JobFailed("params", f"What was asked does not fit this version any more ({wrong}).") from error
