"""Lets the deliveries of lanes fly and land: one task for each that is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.deliveries import circuit as circuits
from atalaia.deliveries import told
from atalaia.deliveries.alarms import Alarms
from atalaia.deliveries.formats import Format, Outgoing
from atalaia.deliveries.lane import FLYING_MOST, At, Item, Lane, Line
from atalaia.deliveries.recording import Recorder, Result
from atalaia.deliveries.router import unsharded
from atalaia.deliveries.state import (
    Cancelled,
    Dead,
    Failed,
    Pace,
    Pending,
    Sending,
    Start,
    State,
    Succeeded,
    TargetDown,
    Waiting,
    outcome_word,
    step,
)
from atalaia.deliveries.subscription import Subscription
from atalaia.deliveries.targets.target import Attempt, Sent, Target, witness
from atalaia.errors import Refused, Rejected, Unavailable, UpstreamError
from atalaia.events.model import Event, Fact

MARK_AFTER_S = 1.0
TEXT_MOST = 2000
DELIVERED_EVERY_S = 1.0
_log = structlog.get_logger(__name__)


class Unmade(Rejected):
    """The message could not be made; it says nothing about the target."""


class Sender:
    """Sends what lanes have ready, and tells lanes, recorder and circuit what became of it."""

    def __init__(
        self,
        ambient: Ambient,
        formats: Mapping[str, Format],
        target_of: Callable[[Subscription], Target],
        recorder: Recorder,
        alarms: Alarms,
        want_rows: Callable[[], None],
    ) -> None:
        self._clock = ambient.clock
        self._random = ambient.random
        self._formats = formats
        self._target_of = target_of
        self._recorder = recorder
        self._alarms = alarms
        self._want_rows = want_rows
        self.flights: set[asyncio.Task[None]] = set()
        self.fence_at = float("-inf")  # from this moment of the monotonic clock on nothing may leave

    def pump(self, lane: Lane) -> None:
        """Start what may go now."""
        if self._clock.monotonic() >= self.fence_at:
            return
        while lane.flying < FLYING_MOST and (line := lane.next_ready()) is not None:
            self._start(lane, line)
        if not isinstance(lane.circuit, circuits.Closed) and lane.probe_due(now := self._now()):
            lane.circuit, _ = circuits.step(lane.circuit, circuits.ProbeDue(), now)
            if (line := lane.take_off()) is not None:
                self._start(lane, line)

    def tell_changed(self, lane: Lane) -> None:
        """A person changed the target: try it now."""
        lane.circuit, commands = circuits.step(lane.circuit, circuits.Changed(), self._now())
        self._carry_out(lane, commands)

    def watch_probe(self, lane: Lane) -> None:
        """Wake a lane that was taken over with an open circuit."""
        if isinstance(lane.circuit, circuits.Open):
            self._carry_out(lane, [circuits.ProbeAt(lane.circuit.probe_ms)])

    def set_alarm(self, lane: Lane, line: Line, until_ms: int) -> None:
        """Wake a waiting line then."""
        line.alarm += 1
        pause_s = (until_ms - self._now()) / 1000
        self._alarms.after(pause_s, partial(self._due, lane, line, line.alarm))

    def mark_slow(self, lane: Lane) -> None:
        """Write `sending` on what has been on its way for a while, so that screens tell the truth."""
        limit = self._clock.monotonic() - MARK_AFTER_S
        for line in lane.lines.values():
            if line.at is At.FLYING and line.since_s < limit and not line.items[0].marked:
                item = line.items[0]
                item.marked = True
                state = Sending(item.attempts + 1, lane.epoch, item.failing_ms)
                self._recorder.add(Result(lane, item.id, state))

    def _now(self) -> int:
        return to_ms(self._clock.now())

    def _start(self, lane: Lane, line: Line) -> None:
        task = asyncio.create_task(self._fly(lane, line))
        self.flights.add(task)
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self.flights.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            _log.error("a delivery was lost sight of until its lane changes hands", exc_info=bug)

    async def _fly(self, lane: Lane, first: Line) -> None:
        """Send one head after another, until the lane has none for us."""
        line: Line | None = first
        while line is not None:
            await self._send_head(lane, line)
            line = lane.next_ready() if self._clock.monotonic() < self.fence_at else None

    async def _send_head(self, lane: Lane, line: Line) -> None:
        item = line.items[0]
        started_ms, started = self._now(), self._clock.monotonic()
        line.since_s = started
        sending = step(Pending(item.attempts, item.failing_ms), Start(lane.epoch), started_ms, _NO_PACE)
        assert isinstance(sending, Sending)
        sent: Sent | None = None
        error: UpstreamError | None = None
        try:
            message = self._render(lane.subscription, item.event)
            if message is None:
                self._not_meant(lane, line, item)
                return
            sent = await self._send(lane, item, message, sending.attempts)
        except UpstreamError as no:
            error = no
        except Exception as bug:  # noqa: BLE001 - one delivery that meets a bug must not stop its lane
            _log.exception("a target failed in a way it should not", lane=lane.lease, delivery=item.id)
            error = Unavailable(f"Internal error: {type(bug).__name__}.")
        if lane.gone:
            return  # another worker sends it again; what we know may not be written
        took_ms = int((self._clock.monotonic() - started) * 1000)
        self._settle(lane, line, sending, error, _attempt(item, sending, started_ms, took_ms, sent, error))

    async def _send(self, lane: Lane, item: Item, message: Outgoing, number: int) -> Sent:
        event = item.event
        about = Attempt(item.id, number, event.seq, event.type, event.key, event.occurred_ms, item.replay_of)
        destination = unsharded(lane.destination, lane.subscription.policy.shards)
        return await self._target_of(lane.subscription).send(destination, message, about)

    def _render(self, subscription: Subscription, event: Event) -> Outgoing | None:
        made = self._formats.get(subscription.format)
        if made is None:
            said = f"The format {subscription.format} does not exist in this version."
            raise Refused(said, ask="Choose another format for the subscription.")
        try:
            return made.render(event, subscription.options)
        except Exception as error:
            raise Unmade(f"The message could not be made: {type(error).__name__}: {error}"[:500]) from error

    def _not_meant(self, lane: Lane, line: Line, item: Item) -> None:
        """Cancel what was written down for a consumer who is no longer meant."""
        state = Cancelled(item.attempts, self._now())
        self._recorder.add(Result(lane, item.id, state, "The subscription no longer means this event."))
        lane.landed(line)
        if isinstance(lane.circuit, circuits.Probing):
            self._hear(lane, circuits.Missed(line.key, Unavailable("There was nothing to probe with.")))
        self._look_for_rows(lane)

    def _settle(
        self,
        lane: Lane,
        line: Line,
        sending: Sending,
        error: UpstreamError | None,
        attempt: tuple[object, ...],
    ) -> None:
        item, now = line.items[0], self._now()
        item.marked = False
        got = Succeeded() if error is None else Failed(error, self._random.random())
        state = step(sending, got, now, Pace(give_up_ms=lane.subscription.policy.give_up_s * 1000))
        facts = self._move(lane, line, item, state, now, rejected=isinstance(error, Rejected))
        said = "" if error is None else _clean(str(error))
        self._recorder.add(Result(lane, item.id, state, said, attempt, tuple(facts)))
        if error is None:
            self._tell_delivered(lane)
        if isinstance(error, Unmade):
            if isinstance(lane.circuit, circuits.Probing):
                self._hear(lane, circuits.Missed(line.key, Unavailable(lane.circuit.error)))
        else:
            self._hear(lane, circuits.answer_of(line.key, error))
        self._look_for_rows(lane)

    def _move(
        self, lane: Lane, line: Line, item: Item, state: State, now: int, *, rejected: bool
    ) -> Sequence[Fact]:
        """Move the line as its head's new state says."""
        match state:
            case Pending():
                item.attempts, item.failing_ms = state.attempts, state.failing_ms
                lane.back_in_line(line)
            case Waiting():
                item.attempts, item.failing_ms = state.attempts, state.failing_ms
                lane.wait(line, own_fault=rejected)
                self.set_alarm(lane, line, state.until_ms)
            case Dead():
                if lane.subscription.policy.order == "block":
                    lane.stick(line)
                else:
                    lane.landed(line)
                return self._dead(lane, item, state, now)
            case _:
                lane.landed(line)
        return ()

    def _dead(self, lane: Lane, item: Item, state: Dead, now: int) -> Sequence[Fact]:
        event = item.event
        about = {
            "seq": event.seq,
            "type": event.type,
            "key": event.key,
            "attempts": state.attempts,
            "error": _clean(state.error),
        }
        return told.delivery_dead(lane.subscription, lane.destination, now, delivery=item.id, about=about)

    def _hear(self, lane: Lane, got: circuits.Input) -> None:
        before = lane.circuit
        lane.circuit, commands = circuits.step(before, got, self._now())
        self._carry_out(lane, commands)

    def _carry_out(self, lane: Lane, commands: Sequence[circuits.Command]) -> None:
        now = self._now()
        facts: list[Fact] = []
        for command in commands:
            match command:
                case circuits.TellOpened():
                    facts += told.target_opened(
                        lane.subscription, lane.destination, now,
                        failures=command.failures, error=_clean(command.error), ask=command.ask,
                    )  # fmt: skip
                    self._forgive(lane)
                case circuits.TellClosed():
                    facts += told.target_closed(lane.subscription, lane.destination, now, command.since_ms)
                    self.pump(lane)
                case circuits.ProbeAt():
                    self._alarms.after((command.at_ms - now) / 1000, partial(self.pump, lane))
        if commands and not lane.gone:
            self._recorder.add_lane(lane, facts)

    def _forgive(self, lane: Lane) -> None:
        """The target is down: what waits because of it is in line again, with no step towards giving up."""
        now = self._now()
        for line in list(lane.waiting_lines()):
            if line.own_fault or not line.items:
                continue
            item = line.items[0]
            waiting = Waiting(item.attempts, now, item.failing_ms or now, "")
            state = step(waiting, TargetDown(), now, _NO_PACE)
            item.failing_ms = None
            lane.wake(line)
            self._recorder.add(Result(lane, item.id, state, "The target was down."))

    def _due(self, lane: Lane, line: Line, alarm: int) -> None:
        if lane.gone or line.alarm != alarm or lane.lines.get(line.key) is not line:
            return
        lane.wake(line)
        self.pump(lane)

    def _tell_delivered(self, lane: Lane) -> None:
        now = self._clock.monotonic()
        if now - lane.told_delivered_s >= DELIVERED_EVERY_S:
            lane.told_delivered_s = now
            self._recorder.add_lane(lane, delivered=True)

    def _look_for_rows(self, lane: Lane) -> None:
        if lane.empty or lane.wants_rows:
            self._want_rows()


_NO_PACE = Pace()


def _attempt(
    item: Item,
    sending: Sending,
    started_ms: int,
    took_ms: int,
    sent: Sent | None,
    error: UpstreamError | None,
) -> tuple[object, ...]:
    if error is None:
        status, response = (sent.status, sent.response) if sent is not None else ("", "")
        return item.id, sending.attempts, started_ms, took_ms, "delivered", status, "", _clean(response)
    status, response = witness(error)
    word = outcome_word(error)
    said, answer = _clean(str(error)), _clean(response)
    return item.id, sending.attempts, started_ms, took_ms, word, status[:60], said, answer


def _clean(text: str) -> str:
    """Answer text that every database takes, of a bearable length."""
    return text.replace("\0", " ")[:TEXT_MOST] if text else ""
