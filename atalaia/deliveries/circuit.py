"""Whether a lane sends at all: pure. An open circuit sends one probe now and then, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from atalaia.deliveries.state import about_target
from atalaia.errors import Refused, Rejected, UpstreamError

FAILURES_MOST = 5  # this many different keys in a row mean the target, not the events
PROBE_FIRST_MS, PROBE_MS = 2_000, 30_000  # a blip is over soon; an outage is asked after twice a minute


@dataclass(frozen=True, slots=True)
class Closed:
    """Everything goes. failed: the keys that failed since the last success."""

    failed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Open:
    """Nothing goes before `probe_ms`. failures: how many in a row; ask: what a person must do."""

    since_ms: int
    probe_ms: int
    failures: int
    error: str
    ask: str = ""
    probes: int = 0


@dataclass(frozen=True, slots=True)
class Probing:
    """One message is on its way to find out."""

    since_ms: int
    failures: int
    error: str
    ask: str = ""
    probes: int = 1


Circuit = Closed | Open | Probing


@dataclass(frozen=True, slots=True)
class Answered:
    """The target took a message, or said no to it in so many words: it is there."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A message of `key` failed."""

    key: str
    error: UpstreamError


@dataclass(frozen=True, slots=True)
class ProbeDue:
    """The time of the next probe came, and there is a message to probe with."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A person changed the target or wants it tried now."""


Input = Answered | Missed | ProbeDue | Changed


@dataclass(frozen=True, slots=True)
class TellOpened:
    """Say that the target is down."""

    failures: int
    error: str
    ask: str


@dataclass(frozen=True, slots=True)
class TellClosed:
    """Say that the target is back; it was down since `since_ms`."""

    since_ms: int


@dataclass(frozen=True, slots=True)
class ProbeAt:
    """Try again then."""

    at_ms: int


Command = TellOpened | TellClosed | ProbeAt


def answer_of(key: str, error: UpstreamError | None) -> Input:
    """Turn what an attempt gave into what it says of the target."""
    return Answered() if error is None or isinstance(error, Rejected) else Missed(key, error)


def step(state: Circuit, got: Input, now_ms: int) -> tuple[Circuit, list[Command]]:
    """Answer one input. Pairs that mean nothing leave the state alone."""
    match state, got:
        case Closed(), Answered():
            return (Closed() if state.failed else state), []
        case Closed(), Missed():
            failed = state.failed | {got.key}
            if about_target(got.error) or len(failed) >= FAILURES_MOST:
                return _open(got.error, len(failed), now_ms)
            return Closed(failed), []
        case ((Open() | Probing()), Answered()):
            return Closed(), [TellClosed(state.since_ms)]
        case Probing(), Missed():
            return _still_open(state, got.error, now_ms)
        case Open(), ProbeDue() if now_ms >= state.probe_ms:
            return Probing(state.since_ms, state.failures, state.error, state.ask, state.probes + 1), []
        case Open(), Changed():
            return replace(state, probe_ms=now_ms), [ProbeAt(now_ms)]
        case _:
            return state, []


def _open(error: UpstreamError, failures: int, now_ms: int) -> tuple[Circuit, list[Command]]:
    said, ask, probe = str(error), _ask(error), now_ms + _pause_ms(0)
    return Open(now_ms, probe, failures, said, ask), [TellOpened(failures, said, ask), ProbeAt(probe)]


def _still_open(state: Probing, error: UpstreamError, now_ms: int) -> tuple[Circuit, list[Command]]:
    """Stay open; what a person must do may have changed, and then it is said again."""
    said, ask, failures = str(error), _ask(error), state.failures + 1
    probe = now_ms + _pause_ms(state.probes)
    told: list[Command] = [TellOpened(failures, said, ask)] if ask != state.ask else []
    return Open(state.since_ms, probe, failures, said, ask, state.probes), [*told, ProbeAt(probe)]


def _pause_ms(probes: int) -> int:
    """Answer the pause before the next probe: it doubles up to its limit."""
    return min(PROBE_MS, PROBE_FIRST_MS << min(probes, 10))


def _ask(error: UpstreamError) -> str:
    return error.ask if isinstance(error, Refused) else ""
