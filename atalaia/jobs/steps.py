"""One step of a job on its way: by the ledger, never an unsafe effect twice on our own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog

from atalaia.connections.pace import Pace
from atalaia.errors import Fenced, Refused, Rejected, StoreUnavailable, Unavailable
from atalaia.jobs import outcome
from atalaia.jobs.ledger import Entry, LockLost
from atalaia.jobs.model import CannotTell, DidNotHappen, Effect, Happened, Probe, StepKind, Suppose, Verdict
from atalaia.jobs.rows import dump, read_job
from atalaia.jobs.state import State, StepState, Todo
from atalaia.jobs.submit import PROBE, Decided, settle
from atalaia.jobs.waiting import Abandoned, first_of
from atalaia.store.bell import JOBS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from atalaia.jobs.context import Context

T = TypeVar("T")
log = structlog.get_logger(__name__)

SLOW_COMMIT_S = 2.0
SHOWN_AFTER_S = 0.5
DOUBTFUL = "It left, and no answer is known."


class _Sending:
    """The `Effect` of one run of a step."""

    def __init__(self, context: Context, entry: Entry) -> None:
        self.sent = False
        self._context = context
        self._entry = entry

    async def sending(self, **evidence: Any) -> None:
        if self.sent:
            raise RuntimeError(
                "sending() was called twice in one step; each changing frame is a step of its own"
            )
        context, clock = self._context, self._context.ambient.clock
        while True:
            began = clock.monotonic()
            try:
                await context.commit(
                    lambda tx: context.ledger.sending(tx, self._entry, evidence, context.sections)
                )
            except StoreUnavailable as error:
                # It may be committed, yet nothing has left: write it again as soon as that is possible.
                log.warning("job.store_unavailable", job=context.job, error=str(error))
                await clock.sleep(1.0)
                continue
            self.sent = True
            # A worker that was paused in the middle of this may have lost the job: look again.
            if clock.monotonic() - began < SLOW_COMMIT_S:
                return


@dataclass
class Running(Generic[T]):
    """A step's way from its first line in the ledger to its answer."""

    context: Context
    name: str
    kind: StepKind
    work: Callable[[Effect], Awaitable[T]]
    probe: Probe | None
    suppose: Suppose | None = None
    error: Exception | None = None  # as it was raised in this run, with its traceback

    async def run(self) -> T:
        """Answer the step's result. Errors: what the step raises; `JobFailed` when it is called off."""
        ended = await self._once()
        if "error" in ended:
            if self.error is not None:
                raise self.error
            raise outcome.decode(ended["error"])
        return ended["ok"]

    async def _once(self) -> dict[str, Any]:
        """Answer {"ok": …} or {"error": …}, as the ledger has it or will have it."""
        context = self.context
        if self._is_new():
            ended = await self._first()
            if ended is not None:
                return ended
        while True:
            todo, entry = await context.write(lambda tx: context.ledger.begin(tx, self.name, self.kind))
            match todo:
                case Todo.ANSWER:
                    return self._recorded(entry)
                case Todo.RAISE | Todo.CALL_OFF:
                    return {"error": entry.error}
                case Todo.DOUBT:
                    await self._in_doubt(entry, DOUBTFUL)
                case Todo.RUN:
                    ended = await self._run(entry)
                    if ended is not None:
                        return ended

    def _recorded(self, entry: Entry) -> dict[str, Any]:
        """Answer how the step ended by the ledger."""
        match entry.error.get("type"):
            case "unconfirmed":
                # Nobody could be offered an answer then: no code was running.
                supposed = outcome.filled(self._supposed(entry), entry.evidence.get("seen") or {})
                return {"ok": supposed} if supposed is not None else {"error": entry.error}
            case "failed":
                return {"error": entry.error}
            case _:
                return {"ok": entry.result}

    def _supposed(self, entry: Entry) -> Any:
        if self.suppose is None:
            return None
        try:
            return self.suppose({"sent_ms": entry.sent_ms, **entry.evidence})
        except Exception:
            log.exception("job.supposing_failed", job=self.context.job, step=self.name)
            return None

    def _is_new(self) -> bool:
        """Answer whether the ledger surely knows nothing of this step, and its beginning need not be in it.

        An unsafe step is written down as it sends. An idempotent one is first, for that asks whether the job
        is still ours: it says nothing before its effect leaves.
        """
        first = self.context.taken.attempt == 1  # a retry is given what unsafe steps answered
        return self.context.fresh and (self.kind is StepKind.READ or (self.kind is StepKind.UNSAFE and first))

    async def _first(self) -> dict[str, Any] | None:
        """Run a step that is not in the ledger; when it lasts it is written down, so that people see it."""
        context = self.context
        entry = context.ledger.unwritten(self.name, self.kind)
        showing = asyncio.create_task(self._show(entry))
        try:
            return await self._run(entry)
        finally:
            showing.cancel()

    async def _show(self, entry: Entry) -> None:
        await self.context.ambient.clock.sleep(SHOWN_AFTER_S)
        with contextlib.suppress(Fenced, StoreUnavailable):  # what follows will say so
            await self.context.house.store.write(lambda tx: self.context.ledger.begun(tx, entry))

    async def _run(self, entry: Entry) -> dict[str, Any] | None:
        """Run the step's work; None when it came to be in doubt and was decided."""
        context = self.context
        effect = _Sending(context, entry)
        try:
            result = await self._work(effect)
        except Fenced as error:
            raise Abandoned(str(error)) from error
        except Exception as error:
            certain = isinstance(error, Rejected | Refused) or self.kind is not StepKind.UNSAFE
            if effect.sent and not certain:
                log.warning("job.in_doubt", job=context.job, step=self.name, error=str(error))
                await self._in_doubt(entry, f"{DOUBTFUL} {outcome.encode(error)['said']}")
                return None
            told = outcome.encode(error)
            if told["type"] == "defect":
                log.exception("job.defect", job=context.job, step=self.name)
            await context.write(lambda tx: context.ledger.failed(tx, entry, told))
            self.error = error
            return {"error": told}
        answer = dump(result)
        if self.kind is StepKind.READ:
            # Who dies before it is written reads again; what follows is written together with it.
            context.defer(lambda tx: context.ledger.done(tx, entry, answer))
            return {"ok": result}
        called_off = await context.write(lambda tx: context.ledger.done(tx, entry, answer))
        return {"error": called_off} if called_off else {"ok": result}

    async def _work(self, effect: _Sending) -> T:
        """Run the work; what may be repeated is tried again while the other side is away."""
        pace, tries = Pace(), 0
        while True:
            try:
                return await self.context.within(self.work(effect))
            except (Unavailable, StoreUnavailable) as error:
                if self.kind is StepKind.UNSAFE and not isinstance(error, LockLost):
                    raise
                tries += 1
                effect.sent = False
                await self.context.progress(None, str(error), tries=tries)
                pause_s = pace.after(tries, self.context.ambient.random).total_seconds()
                await self.context.within(self.context.ambient.clock.sleep(pause_s))

    # In doubt.

    async def _in_doubt(self, entry: Entry, said: str) -> None:
        """Return once it is decided what became of the step: by a probe, or else by a person."""
        context = self.context
        found = await context.read(lambda tx: context.ledger.newest(tx, self.name)) or entry
        supposed = self._supposed(found)
        entry = await context.write(lambda tx: context.ledger.doubt(tx, entry, said, supposed))
        pace, tries, alerted = Pace(), 0, False
        while entry.state is StepState.IN_DOUBT:
            verdict = await self._probe_until_decided(entry)
            if verdict is None:
                break
            if not isinstance(verdict, Unavailable):
                if not await self._take_verdict(entry, verdict):
                    await self._decided_within(None)
                break
            tries += 1
            if not alerted:
                alerted = True
                known = f"The upstream cannot be asked now: {verdict}"
                await context.write(lambda tx, known=known: context.ledger.wait_for_person(tx, entry, known))
            if await self._decided_within(pace.after(tries, context.ambient.random).total_seconds()):
                break
        await context.count_people_out()

    async def _probe_until_decided(self, entry: Entry) -> Verdict | Unavailable | None:
        """Answer what the probe found; None when somebody decided before it had looked long enough."""
        probing = asyncio.create_task(self._probe(entry))
        deciding = asyncio.create_task(self._decided_within(None))
        try:
            await asyncio.wait({probing, deciding}, return_when=asyncio.FIRST_COMPLETED)
            if probing.done():
                return probing.result()
            deciding.result()
            return None
        finally:
            for task in (probing, deciding):
                task.cancel()
            await asyncio.gather(probing, deciding, return_exceptions=True)

    async def _probe(self, entry: Entry) -> Verdict | Unavailable:
        if self.probe is None:
            return CannotTell("This step leaves no trace that could be looked for.")
        try:
            return await self.probe(entry.evidence)
        except Unavailable as error:
            return error
        except Fenced:
            raise
        except Exception as error:
            log.exception("job.probe_failed", job=self.context.job, step=self.name)
            return CannotTell(f"Looking for its trace failed: {outcome.encode(error)['said']}")

    async def _take_verdict(self, entry: Entry, verdict: Verdict) -> bool:
        """Answer whether the probe decided."""
        context = self.context
        match verdict:
            case Happened(result=result, said=said):
                state = StepState.HAPPENED
            case DidNotHappen(said=said):
                state, result = StepState.AGAIN, None
            case CannotTell(said=said, found=found):
                await context.write(lambda tx: context.ledger.wait_for_person(tx, entry, said, found))
                return False

        def decide(tx: Connection) -> None:
            job = context.hold(tx)
            found = context.ledger.newest(tx, self.name)
            if job.state is State.IN_DOUBT and found is not None and found.state is StepState.IN_DOUBT:
                redactor = context.house.redactor
                settle(
                    tx, context.ambient, job, found, Decided(state, result, PROBE, said, redactor=redactor)
                )

        await context.write(decide)
        return True

    async def _decided_within(self, seconds: float | None) -> bool:
        """Wait for a decision, for ever or for `seconds`; answer whether it came."""
        context, clock = self.context, self.context.ambient.clock
        end = None if seconds is None else clock.monotonic() + seconds
        while True:
            rung = context.house.store.bell.count(JOBS)
            job = await context.read(lambda tx: read_job(tx, context.job))
            if job is None or job.epoch != context.taken.epoch:
                raise Abandoned("the job is not ours any more")
            if job.state is not State.IN_DOUBT:
                return True
            if end is None:
                await context.pause_until_changed(rung)
            elif clock.monotonic() >= end:
                return False
            else:
                await first_of(clock.sleep(end - clock.monotonic()), context.pause_until_changed(rung))
