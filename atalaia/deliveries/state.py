"""What may become of one delivery: pure, one dataclass per state, one function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from atalaia.deliveries.targets.target import Busy, Unreachable
from atalaia.errors import InDoubt, Refused, Rejected, UpstreamError

Word = Literal["pending", "sending", "delivered", "waiting", "dead", "cancelled"]


@dataclass(frozen=True, slots=True)
class Pending:
    """In line. failing_ms: since when it fails of its own, None = it does not."""

    attempts: int = 0
    failing_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """On its way for the `attempts`-th time, under the lane's lease of `epoch`."""

    attempts: int
    epoch: int
    failing_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Failed of its own; tried again at `until_ms`."""

    attempts: int
    until_ms: int
    failing_ms: int
    error: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The consumer has it."""

    attempts: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Dead:
    """Given up; a person may replay or skip it."""

    attempts: int
    at_ms: int
    error: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Will never be sent: skipped by a person, or its subscription is gone."""

    attempts: int
    at_ms: int


State = Pending | Sending | Waiting | Delivered | Dead | Cancelled


@dataclass(frozen=True, slots=True)
class Start:
    """Its turn came, under the lane's lease of `epoch`."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The consumer took it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not arrive. chance: a random number in [0, 1) that spreads the retries."""

    error: UpstreamError
    chance: float


@dataclass(frozen=True, slots=True)
class Due:
    """A waiting one's time came."""


@dataclass(frozen=True, slots=True)
class OwnerLost:
    """The worker that was sending it is gone: nobody knows, so it is sent again."""


@dataclass(frozen=True, slots=True)
class TargetDown:
    """The whole target turned out to be down: what failed there was not the event's fault."""


@dataclass(frozen=True, slots=True)
class Redo:
    """A person wants it tried again."""


@dataclass(frozen=True, slots=True)
class Skip:
    """A person gives it up, so that later ones may go on; also: its subscription was deleted."""


Input = Start | Succeeded | Failed | Due | OwnerLost | TargetDown | Redo | Skip


@dataclass(frozen=True, slots=True)
class Pace:
    """How patiently one event is tried. The pause doubles from `first_ms` to `most_ms`, with full jitter."""

    give_up_ms: int = 86_400_000
    first_ms: int = 1_000
    most_ms: int = 600_000

    def pause_ms(self, attempts: int, chance: float) -> int:
        """Answer the pause after the `attempts`-th failure: `chance` of the limit, at least a tenth of it."""
        limit = min(self.most_ms, self.first_ms << min(attempts - 1, 30))
        return max(limit // 10, int(limit * chance))


def about_target(error: UpstreamError) -> bool:
    """Answer whether the error speaks of the whole destination and not of one message."""
    return isinstance(error, Unreachable | Refused)


def outcome_word(error: UpstreamError) -> str:
    """Answer the attempt's outcome as it is stored."""
    match error:
        case Refused():
            return "refused"
        case Rejected():
            return "rejected"
        case InDoubt():
            return "in_doubt"
        case _:
            return "unavailable"


def step(state: State, got: Input, now_ms: int, pace: Pace) -> State:
    """Answer one input. Pairs that mean nothing leave the state alone."""
    match state, got:
        case Pending(), Start():
            return Sending(state.attempts + 1, got.epoch, state.failing_ms)
        case Sending(), Succeeded():
            return Delivered(state.attempts, now_ms)
        case Sending(), Failed() if about_target(got.error):
            return Pending(
                state.attempts, state.failing_ms
            )  # not the event's fault: no step towards giving up
        case Sending(), Failed():
            return _failed(state, got, now_ms, pace)
        case Sending(), OwnerLost():
            return Pending(state.attempts, state.failing_ms)
        case Waiting(), Due() if now_ms >= state.until_ms:
            return Pending(state.attempts, state.failing_ms)
        case Waiting(), TargetDown():
            return Pending(state.attempts, None)
        case Dead(), Redo():
            return Pending(state.attempts, None)
        case ((Pending() | Waiting() | Dead()), Skip()):
            return Cancelled(state.attempts, now_ms)
        case _:
            return state


def _failed(state: Sending, got: Failed, now_ms: int, pace: Pace) -> State:
    since = now_ms if state.failing_ms is None else state.failing_ms
    last = since + pace.give_up_ms
    if now_ms >= last:
        return Dead(state.attempts, now_ms, str(got.error))
    pause = pace.pause_ms(state.attempts, got.chance)
    if isinstance(got.error, Busy):
        pause = max(pause, int(got.error.retry_after_s * 1000))
    return Waiting(state.attempts, min(now_ms + pause, last), since, str(got.error))


def word(state: State) -> Word:
    """Answer the state's name as it is stored and shown."""
    match state:
        case Pending():
            return "pending"
        case Sending():
            return "sending"
        case Waiting():
            return "waiting"
        case Delivered():
            return "delivered"
        case Dead():
            return "dead"
        case Cancelled():
            return "cancelled"
