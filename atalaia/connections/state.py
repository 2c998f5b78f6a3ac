"""The life of one connection as a pure function; the supervisor carries its commands out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from atalaia.errors import Refused, Unavailable, UpstreamError

# A session must have lived this long before its loss counts as new trouble instead of flapping.
SETTLED = timedelta(seconds=60)


@dataclass(frozen=True)
class Stopped:
    """Nobody wants it to run."""


@dataclass(frozen=True)
class Opening:
    """Dialling, logging in, proving; `attempt` counts tries since it was last settled.

    heard_at: the last event that was written down on the way, e.g. by a catch-up that takes long.
    """

    attempt: int
    since: datetime
    heard_at: datetime | None = None


@dataclass(frozen=True)
class Live:
    """Every essential plane is proven; `heard_at` is the last sign of life."""

    attempt: int
    since: datetime
    heard_at: datetime


@dataclass(frozen=True)
class Suspect:
    """Open, but something essential was not proven lately."""

    attempt: int
    since: datetime
    live_since: datetime
    heard_at: datetime
    reason: str


@dataclass(frozen=True)
class Waiting:
    """The last try failed; the next one starts at `until`."""

    attempt: int
    since: datetime
    until: datetime
    reason: str


@dataclass(frozen=True)
class NeedsPerson:
    """Only a person can go on; `ask` says what to do."""

    attempt: int
    since: datetime
    reason: str
    ask: str


State = Stopped | Opening | Live | Suspect | Waiting | NeedsPerson


@dataclass(frozen=True)
class Start:
    """Somebody wants it to run, or settings changed while it needed a person."""


@dataclass(frozen=True)
class Stop:
    """Nobody wants it any more, or its lease went to another worker."""


@dataclass(frozen=True)
class Proven:
    """The session reports that all essential planes are proven."""


@dataclass(frozen=True)
class Heard:
    """Any sign of life: an event, a pong, an answered canary."""


@dataclass(frozen=True)
class Doubt:
    """The session reports that something is not proven any more."""

    reason: str


@dataclass(frozen=True)
class Lost:
    """The session ended; `error` is one of the five."""

    error: UpstreamError


@dataclass(frozen=True)
class Tick:
    """Time passed."""


Input = Start | Stop | Proven | Heard | Doubt | Lost | Tick


@dataclass(frozen=True)
class Open:
    """Start a session."""


@dataclass(frozen=True)
class Close:
    """End the session, if there is one."""


@dataclass(frozen=True)
class WakeAt:
    """Send a tick at `when`."""

    when: datetime


@dataclass(frozen=True)
class Hearing:
    """Hearing was lost: something may be missed since `since`."""

    since: datetime
    cause: str


Command = Open | Close | WakeAt | Hearing


@dataclass(frozen=True)
class Rules:
    """Numbers of one connection: `silence` without any sign of life, and the pause to take before try n."""

    silence: timedelta
    pause: timedelta  # drawn by the caller for this step, so that this function stays pure


def step(state: State, got: Input, now: datetime, rules: Rules) -> tuple[State, list[Command]]:
    """Answer one input. Pairs that mean nothing leave the state alone."""
    match state, got:
        case ((Stopped() | NeedsPerson() | Waiting()), Start()):
            return Opening(1, now), [Open(), WakeAt(now + rules.silence)]
        case Opening(), Heard():
            return replace(state, heard_at=now), []
        case Opening(since=since, heard_at=heard), Tick() if now < (heard or since) + rules.silence:
            return state, [WakeAt((heard or since) + rules.silence)]
        case Opening(), Tick():
            return _lost(state, Unavailable("The session was not proven in time."), now, rules)
        case Opening(attempt=n), Proven():
            return Live(n, now, now), [WakeAt(now + rules.silence)]
        case Suspect(), Proven():
            return Live(state.attempt, state.live_since, now), [WakeAt(now + rules.silence)]
        case Live(), (Heard() | Proven()):
            return Live(state.attempt, state.since, now), []
        case Suspect(), Heard():
            return replace(state, heard_at=now), []
        case Live(), Doubt(reason=reason):
            return Suspect(state.attempt, now, state.since, state.heard_at, reason), []
        case ((Live() | Suspect()), Tick()) if now < state.heard_at + rules.silence:
            return state, [WakeAt(state.heard_at + rules.silence)]
        case ((Live() | Suspect()), Tick()):
            return _lost(state, Unavailable("Nothing was heard or proven for too long."), now, rules)
        case ((Opening() | Live() | Suspect()), Lost(error=error)):
            return _lost(state, error, now, rules)
        case Waiting(), Tick() if now >= state.until:
            return Opening(state.attempt + 1, now), [Open(), WakeAt(now + rules.silence)]
        case Waiting(), Tick():
            return state, [WakeAt(state.until)]
        case ((Opening() | Waiting() | NeedsPerson()), Stop()):
            return Stopped(), [Close()]
        case ((Live() | Suspect()), Stop()):
            return Stopped(), [Close(), Hearing(state.heard_at, "stopped")]
        case _:
            return state, []


def failures_before(state: State, now: datetime) -> int:
    """Answer how many tries in a row failed, were this one to end now: flapping does not reset it."""
    match state:
        case Live(since=since) if now >= since + SETTLED:
            return 1
        case Suspect(live_since=since) if now >= since + SETTLED:
            return 1
        case Opening(attempt=n) | Live(attempt=n) | Suspect(attempt=n) | Waiting(attempt=n):
            return n
        case _:
            return 1


def _lost(
    state: Opening | Live | Suspect, error: UpstreamError, now: datetime, rules: Rules
) -> tuple[State, list[Command]]:
    commands: list[Command] = [Close()]
    if not isinstance(state, Opening):
        commands.append(Hearing(state.heard_at, str(error)))
    attempt = failures_before(state, now)
    if isinstance(error, Refused):
        return NeedsPerson(attempt, now, str(error), error.ask), commands
    until = now + rules.pause
    return Waiting(attempt, now, until, str(error)), [*commands, WakeAt(until)]


def name_of(state: State) -> str:
    """Answer the state's name as events and screens use it."""
    return {
        Stopped: "stopped",
        Opening: "opening",
        Live: "live",
        Suspect: "suspect",
        Waiting: "waiting",
        NeedsPerson: "needs_person",
    }[type(state)]
