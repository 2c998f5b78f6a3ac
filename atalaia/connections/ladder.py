"""The way back to health as data: ordered rungs, each with its proof, and what may be tried when.

Pure: `recovery.py` carries the commands out. Three rules hold whatever a connector declares: a suspicion only
makes somebody look; only what a look has found is acted upon; while a person is needed nothing is tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from atalaia.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Rung:
    """One thing that may be done to bring a session back.

    title, does, proof: message ids (English): its name, what it does there, what proves that it helped.
    within: so long may the proof take once it is done. cures: kinds of trouble it is for, empty = every one.
    tries: how often it is tried before the next rung. opens: it opens a session anew, limited per server.
    server: it touches every session of the server, so it is only for when most of them are bad.
    Errors: `ConfigError` when it is marked destructive. Nothing here may log out, clear a profile or delete.
    """

    name: str
    title: str
    does: str
    proof: str
    within: timedelta = timedelta(minutes=2)
    cures: frozenset[str] = frozenset()
    tries: int = 1
    opens: bool = False
    server: bool = False
    destructive: bool = False

    def __post_init__(self) -> None:
        if self.destructive:
            raise ConfigError(
                f"The rung “{self.name}” would destroy something. Only a person may do that, never a ladder."
            )


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rungs from the mildest to the strongest, and their limits.

    pauses: after the first, second, … try in a row that did not help; the last one holds from then on.
    settled: after so long in health the row begins anew; flapping does not shorten the pauses.
    tries_per_hour: for one session. opened_per_beat: new sessions on one server within a `beat`.
    bad_share: a server's rung needs so large a part of its sessions in trouble.
    look_every: how often to look while it is not clear how things are, or a person is needed.
    asks: trouble -> what a person must do about it once every rung was tried; else `EXHAUSTED`.
    """

    rungs: tuple[Rung, ...]
    pauses: tuple[timedelta, ...] = tuple(timedelta(minutes=n) for n in (1, 2, 5, 15, 60))
    settled: timedelta = timedelta(hours=1)
    tries_per_hour: int = 6
    opened_per_beat: int = 20
    beat: timedelta = timedelta(seconds=30)
    bad_share: float = 0.5
    look_every: timedelta = timedelta(seconds=30)
    asks: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        names = [rung.name for rung in self.rungs]
        if len(set(names)) < len(names):
            raise ConfigError(f"Two rungs have the same name: {', '.join(names)}.")


@dataclass(frozen=True, slots=True)
class Calm:
    """Nothing is suspected."""


@dataclass(frozen=True, slots=True)
class Looking:
    """Somebody looks how things are. place, tried: the rung that comes next, and how often it was tried."""

    since: datetime
    cause: str
    place: int = 0
    tried: int = 0


@dataclass(frozen=True, slots=True)
class Wanting:
    """A look found trouble; whether the rung may be tried now is asked."""

    since: datetime
    cause: str
    place: int
    tried: int


@dataclass(frozen=True, slots=True)
class Resting:
    """The rung may be tried at `until`; before it, somebody looks again."""

    since: datetime
    cause: str
    place: int
    tried: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Trying:
    """The rung is being carried out."""

    since: datetime
    cause: str
    place: int
    tried: int


@dataclass(frozen=True, slots=True)
class Proving:
    """It was done; the proof must come before `until`."""

    since: datetime
    cause: str
    place: int
    tried: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """Only a person can go on: looked at, never acted upon."""

    since: datetime
    cause: str
    ask: str


Recovering = Calm | Looking | Wanting | Resting | Trying | Proving | Person


@dataclass(frozen=True, slots=True)
class Suspected:
    """Something does not fit, e.g. a silence. cause: a kind of `truth.py`."""

    cause: str


@dataclass(frozen=True, slots=True)
class Healthy:
    """A look or what came by itself proves that all is well."""


@dataclass(frozen=True, slots=True)
class Sick:
    """A look proves the trouble."""

    cause: str


@dataclass(frozen=True, slots=True)
class NotKnown:
    """A look could not be taken, which proves nothing."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The limits allow the rung now, and that it is tried is written down."""


@dataclass(frozen=True, slots=True)
class Held:
    """The limits allow the rung at `until` at the earliest."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Unfit:
    """The rung is not for this moment, e.g. a server's while most of its sessions are well."""


@dataclass(frozen=True, slots=True)
class Done:
    """The rung was carried out; whether it helped is not known."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The rung could not be carried out."""

    said: str


@dataclass(frozen=True, slots=True)
class Needed:
    """Only a person can go on; `ask` says what to do."""

    cause: str
    ask: str


@dataclass(frozen=True, slots=True)
class Helped:
    """A person did what was asked, or asks to try again from the first rung."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Got = (
    Suspected | Healthy | Sick | NotKnown | Granted | Held | Unfit | Done | Failed | Needed | Helped | Tick
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """Find out how things are: ask, compare, never change."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Ask whether the limits allow this rung now, and write down that it is tried."""

    rung: Rung
    cause: str


@dataclass(frozen=True, slots=True)
class Act:
    """Carry the rung out."""

    rung: Rung
    cause: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Write down how the rung ended. outcome: proved, failed."""

    rung: Rung
    outcome: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class AskPerson:
    """Show that a person is needed."""

    cause: str
    ask: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Show that all is well again."""


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send a tick at `when`."""

    when: datetime


Order = Look | Claim | Act | Settle | AskPerson | Clear | WakeAt

EXHAUSTED = "Everything that may be tried was tried. Look at the session yourself."
TOO_LATE = "The proof did not come in time."
FOUND_SICK = "A look after it found the same trouble."


def step(state: Recovering, got: Got, now: datetime, ladder: Ladder) -> tuple[Recovering, list[Order]]:
    """Answer one input. Pairs that mean nothing leave the state alone."""
    match state, got:
        case Person(), (Healthy() | Tick() | Helped()):
            return _of_person(state, got, now, ladder)
        case Person(), Needed(cause=cause, ask=ask) if (cause, ask) != (state.cause, state.ask):
            return replace(state, cause=cause, ask=ask), [AskPerson(cause, ask)]
        case Person(), _:
            return state, []
        case ((Trying() | Proving()), Needed(cause=cause, ask=ask)):
            failed = Settle(ladder.rungs[state.place], "failed", ask)
            return Person(now, cause, ask), [failed, AskPerson(cause, ask), _again(now, ladder)]
        case _, Needed(cause=cause, ask=ask):
            return Person(now, cause, ask), [AskPerson(cause, ask), _again(now, ladder)]
        case Calm(), (Suspected(cause=cause) | Sick(cause=cause)):
            return Looking(now, cause), [Look(), _again(now, ladder)]
        case Looking(), _:
            return _of_looking(state, got, now, ladder)
        case Wanting(), Granted():
            return Trying(now, state.cause, state.place, state.tried), [
                Act(ladder.rungs[state.place], state.cause)
            ]
        case Wanting(), Held(until=until):
            return Resting(now, state.cause, state.place, state.tried, until), [WakeAt(until)]
        case Wanting(), Unfit():
            return _climb(state, state.place + 1, 0, now, ladder)
        case Resting(), Tick() if now >= state.until:
            return Looking(now, state.cause, state.place, state.tried), [Look(), _again(now, ladder)]
        case Resting(), Tick():
            return state, [WakeAt(state.until)]
        case ((Wanting() | Resting()), Healthy()):
            return Calm(), [Clear()]
        case Trying(), (Done() | Failed()):
            return _of_trying(state, got, now, ladder)
        case Proving(), _:
            return _of_proving(state, got, now, ladder)
        case _:
            return state, []


def _of_person(
    state: Person, got: Healthy | Tick | Helped, now: datetime, ladder: Ladder
) -> tuple[Recovering, list[Order]]:
    match got:
        case Healthy():
            return Calm(), [Clear()]
        case Tick():
            return state, [Look(), _again(now, ladder)]
        case Helped():
            return Looking(now, state.cause), [Look(), _again(now, ladder)]


def _of_looking(
    state: Looking, got: Got, now: datetime, ladder: Ladder
) -> tuple[Recovering, list[Order]]:  # fmt: skip
    match got:
        case Healthy():
            return Calm(), [Clear()]
        case Sick(cause=cause):
            return _climb(replace(state, cause=cause), state.place, state.tried, now, ladder)
        case Tick():
            return state, [Look(), _again(now, ladder)]
        case _:
            return state, []


def _of_trying(
    state: Trying, got: Done | Failed, now: datetime, ladder: Ladder
) -> tuple[Recovering, list[Order]]:
    rung = ladder.rungs[state.place]
    if isinstance(got, Failed):
        return _after_failure(state, got.said, now, ladder)
    until = now + rung.within
    return Proving(now, state.cause, state.place, state.tried, until), [
        Look(),
        WakeAt(min(until, now + ladder.look_every)),
    ]


def _of_proving(
    state: Proving, got: Got, now: datetime, ladder: Ladder
) -> tuple[Recovering, list[Order]]:  # fmt: skip
    match got:
        case Healthy():
            return Calm(), [Settle(ladder.rungs[state.place], "proved"), Clear()]
        case Tick() | Sick() if now >= state.until:
            return _after_failure(state, TOO_LATE if isinstance(got, Tick) else FOUND_SICK, now, ladder)
        case Tick():
            return state, [Look(), WakeAt(min(state.until, now + ladder.look_every))]
        case _:
            return state, []  # sick before its time is up: what was done may still take effect


def _after_failure(
    state: Trying | Proving, said: str, now: datetime, ladder: Ladder
) -> tuple[Recovering, list[Order]]:
    """Write the failure down and look again: what comes next rests on how things are then."""
    settle = Settle(ladder.rungs[state.place], "failed", said)
    return Looking(now, state.cause, state.place, state.tried + 1), [settle, Look(), _again(now, ladder)]


def _climb(
    state: Looking | Wanting, place: int, tried: int, now: datetime, ladder: Ladder
) -> tuple[Recovering, list[Order]]:
    """Want the next rung that is for this trouble; without one a person is needed."""
    for at in range(place, len(ladder.rungs)):
        rung, so_far = ladder.rungs[at], tried if at == place else 0
        if so_far < rung.tries and (not rung.cures or state.cause in rung.cures):
            return Wanting(now, state.cause, at, so_far), [Claim(rung, state.cause)]
    ask = ladder.asks.get(state.cause, EXHAUSTED)
    return Person(now, state.cause, ask), [AskPerson(state.cause, ask), _again(now, ladder)]


def _again(now: datetime, ladder: Ladder) -> WakeAt:
    return WakeAt(now + ladder.look_every)


# What the limits allow.


@dataclass(frozen=True, slots=True)
class Tried:
    """One try of the past. outcome: proved, failed, or "" while it is under way."""

    rung: str
    started: datetime
    ended: datetime | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """What limits sessions of the same server together.

    opened: when sessions were opened anew there. busy: a rung that touches all of them is under way.
    bad, all: how many of its sessions are in trouble, and how many there are.
    """

    opened: Sequence[datetime] = ()
    busy: bool = False
    bad: int = 0
    all: int = 0


def allowed(
    rung: Rung, mine: Sequence[Tried], server: ServerSeen, now: datetime, ladder: Ladder
) -> Granted | Held | Unfit:
    """Answer whether a session may try a rung now. mine: its own tries, oldest first."""
    if rung.server and (not server.all or server.bad < server.all * ladder.bad_share):
        return Unfit()
    if server.busy or any(not one.outcome for one in mine):
        return Held(now + ladder.beat)
    waits = [now, _after_pause(mine, now, ladder)]
    lately = sorted(one.started for one in mine if one.started > now - timedelta(hours=1))
    if len(lately) >= ladder.tries_per_hour:
        waits.append(lately[-ladder.tries_per_hour] + timedelta(hours=1))
    opened = sorted(at for at in server.opened if at > now - ladder.beat)
    if (rung.opens or rung.server) and len(opened) >= ladder.opened_per_beat:
        waits.append(opened[-ladder.opened_per_beat] + ladder.beat)
    until = max(waits)
    return Held(until) if until > now else Granted()


def _after_pause(mine: Sequence[Tried], now: datetime, ladder: Ladder) -> datetime:
    """Answer when the pause after the last tries ends. One that helped, but not for long, counts as well."""
    row, last = 0, now
    for one in mine:
        if row and one.started - last > ladder.settled + _pause(row, ladder):
            row = 0
        row, last = row + 1, one.ended or one.started
    return last + _pause(row, ladder) if row else now


def _pause(row: int, ladder: Ladder) -> timedelta:
    return ladder.pauses[min(row, len(ladder.pauses)) - 1]
