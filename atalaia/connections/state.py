"""The life of one connection as a pure function; the supervisor carries its commands out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from atalaia.connections.truth import NOT_HEARING, Truth
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
    """Open, but something essential was not proven lately. kind: what is known of the upstream's session.

    told: a gap of this doubt is open already.
    """

    attempt: int
    since: datetime
    live_since: datetime
    heard_at: datetime
    reason: str
    kind: Truth = Truth.NONE
    told: bool = False


@dataclass(frozen=True)
class Asking:
    """Open and looking on, but only a person can go on; `ask` says what to do. Fields as in `Suspect`."""

    attempt: int
    since: datetime
    live_since: datetime
    heard_at: datetime
    reason: str
    ask: str
    kind: Truth
    told: bool = False


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


State = Stopped | Opening | Live | Suspect | Asking | Waiting | NeedsPerson
AtWork = Live | Suspect | Asking  # a session is open and was proven, or says how far it is


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
    """The session reports that something is not proven any more, and maybe what it knows."""

    reason: str
    kind: Truth = Truth.NONE


@dataclass(frozen=True)
class Need:
    """The session reports that only a person can go on; it stays and looks on."""

    reason: str
    ask: str
    kind: Truth


@dataclass(frozen=True)
class Reopened:
    """The session reports that the upstream's session is another one since its last look.

    since: until then hearing was proven.
    """

    reason: str
    since: datetime


@dataclass(frozen=True)
class Lost:
    """The session ended; `error` is one of the five."""

    error: UpstreamError


@dataclass(frozen=True)
class Tick:
    """Time passed."""


Input = Start | Stop | Proven | Heard | Doubt | Need | Reopened | Lost | Tick


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
        case Opening(), Doubt(kind=Truth.NONE):
            return state, []
        case ((Opening() | Live() | Suspect() | Asking()), (Doubt() | Need())):
            return _doubted(state, got, now, rules)
        case Live(), Reopened(reason=reason, since=since):
            unproven = Suspect(state.attempt, now, state.since, state.heard_at, reason, Truth.UNPROVEN)
            return unproven, [Hearing(since, reason)]
        case Suspect(kind=Truth.UNPROVEN), Reopened(reason=reason, since=since):
            return state, [Hearing(since, reason)]
        case ((Suspect() | Asking()), Proven()):
            return Live(state.attempt, state.live_since, now), [WakeAt(now + rules.silence)]
        case Live(), (Heard() | Proven()):
            return Live(state.attempt, state.since, now), []
        case ((Suspect() | Asking()), Heard()):
            return replace(state, heard_at=now), []
        case ((Live() | Suspect() | Asking()), Tick()) if now < state.heard_at + rules.silence:
            return state, [WakeAt(state.heard_at + rules.silence)]
        case ((Live() | Suspect() | Asking()), Tick()):
            return _lost(state, Unavailable("Nothing was heard or proven for too long."), now, rules)
        case ((Opening() | Live() | Suspect() | Asking()), Lost(error=error)):
            return _lost(state, error, now, rules)
        case Waiting(), Tick() if now >= state.until:
            return Opening(state.attempt + 1, now), [Open(), WakeAt(now + rules.silence)]
        case Waiting(), Tick():
            return state, [WakeAt(state.until)]
        case ((Opening() | Waiting() | NeedsPerson()), Stop()):
            return Stopped(), [Close()]
        case ((Live() | Suspect() | Asking()), Stop()):
            return Stopped(), [Close(), *hearing_lost(state, "stopped")]
        case _:
            return state, []


def failures_before(state: State, now: datetime) -> int:
    """Answer how many tries in a row failed, were this one to end now: flapping does not reset it."""
    match state:
        case Live(since=since) if now >= since + SETTLED:
            return 1
        case Suspect(live_since=since) | Asking(live_since=since) if now >= since + SETTLED:
            return 1
        case Stopped() | NeedsPerson():
            return 1
        case _:
            return state.attempt


def _doubted(
    state: Opening | AtWork, got: Doubt | Need, now: datetime, rules: Rules
) -> tuple[State, list[Command]]:
    """Take what the session knows. Hearing is lost once in a doubt, however often it is told anew."""
    if isinstance(state, Suspect | Asking) and (got.reason, got.kind) == (state.reason, state.kind):
        return state, []
    if isinstance(state, Suspect | Asking) and got.kind is Truth.NONE:
        return state, []
    commands: list[Command] = []
    told = isinstance(state, Suspect | Asking) and state.told
    if isinstance(state, Opening):
        # Nothing was heard before either: what was missed is in the gap that the last loss opened.
        told, live_since, heard_at = got.kind in NOT_HEARING, now, now
        commands.append(WakeAt(now + rules.silence))
    else:
        live_since = state.since if isinstance(state, Live) else state.live_since
        heard_at = state.heard_at
        if got.kind in NOT_HEARING and not told:
            told = True
            commands.append(Hearing(heard_at, got.reason))
    if isinstance(got, Need):
        return Asking(
            state.attempt, now, live_since, heard_at, got.reason, got.ask, got.kind, told
        ), commands  # fmt: skip
    return Suspect(state.attempt, now, live_since, heard_at, got.reason, got.kind, told), commands


def hearing_lost(state: AtWork, cause: str) -> list[Command]:
    """Answer that hearing is lost, or nothing when the doubt before has told it already."""
    told = isinstance(state, Suspect | Asking) and state.told
    return [] if told else [Hearing(state.heard_at, cause)]


def _lost(
    state: Opening | AtWork, error: UpstreamError, now: datetime, rules: Rules
) -> tuple[State, list[Command]]:
    commands: list[Command] = [Close()]
    if not isinstance(state, Opening):
        commands += hearing_lost(state, str(error))
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
        Asking: "needs_person",
    }[type(state)]


def kind_of(state: State) -> Truth:
    """Answer what is known of the upstream's session beside the state."""
    return state.kind if isinstance(state, Suspect | Asking) else Truth.NONE
