"""What a connector's session is, and the little that it may do to the house."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from atalaia.ambient import Ambient
from atalaia.connections.ladder import Granted, Held, Ladder, Rung, Unfit
from atalaia.connections.pairing import Code
from atalaia.connections.silence import Rhythm
from atalaia.connections.truth import Truth
from atalaia.events.gaps import Reconcile, Reconciled
from atalaia.events.model import Appended, Heard

PlaneState = Literal["proven", "failing", "unknown"]
Severity = Literal["urgent", "warning"]  # of an alarm


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim; `id` names the try when it is granted."""

    answer: Granted | Held | Unfit
    id: str = ""


@dataclass(frozen=True, slots=True)
class Plane:
    """One way in which a session can be alive or dead on its own, e.g. `socket` or `canary`.

    title: message id (English) for the screen. essential: the session is live only while this is proven.
    fresh_s: after so many seconds without proof the plane counts as unknown again.
    by_events: an event that the upstream sent by itself proves it, too.
    hearing: a gap begins where all essential planes of hearing were last proven; a login proves none.
    anew: each session must prove it once before it counts as live, e.g. hearing and speaking: until then
        it is `unproven`, whatever the session says.
    """

    name: str
    title: str
    essential: bool = True
    fresh_s: float = 120.0
    by_events: bool = False
    anew: bool = False
    hearing: bool = True


class SessionPort(Protocol):
    """The house as a session sees it: append, say what was proven, nothing else."""

    @property
    def connection(self) -> str:
        """The connection's id."""
        ...

    @property
    def ambient(self) -> Ambient: ...

    async def append(self, heard: Sequence[Heard], *, came_ms: int | None = None) -> list[Appended]:
        """Write down what was heard; durable when this returns.

        came_ms: when the last of what the upstream sent by itself came, in Unix milliseconds of this hub; a
        proof of the planes that events prove. None: all of it was asked for or is of our own making.
        Errors: `Fenced` when another worker owns the connection; `StoreUnavailable` when nothing could be
        written: keep the events and call again, so that nothing heard is lost.
        """
        ...

    def prove(self, plane: str, state: PlaneState, *, claim: str = "", **evidence: Any) -> None:
        """Report what was seen of one plane. Cheap; call it at each proof, it is written once a second.

        claim: what the upstream says of itself. evidence: what we saw, e.g. `pong_ms=0.3`.
        """
        ...

    async def live(self, **evidence: Any) -> None:
        """Report that the session is proven in all essential planes: opening becomes live.

        While a plane that must be proven `anew` is not, it becomes suspect (`unproven`) instead, and live by
        itself with the last of those proofs.
        """
        ...

    async def suspect(self, reason: str, /, *, kind: Truth = Truth.NONE, **evidence: Any) -> None:
        """Report doubt: live becomes suspect until the next `live`. So does opening, when a kind is given.

        kind: what is known of the upstream's session; those of `truth.NOT_HEARING` open a gap.
        """
        ...

    async def needs(self, reason: str, /, *, ask: str, kind: Truth, **evidence: Any) -> None:
        """Report that only a person can go on, while this session stays and keeps looking.

        ask: what to do, e.g. "Scan the code". The next `live` or `suspect` ends it.
        """
        ...

    async def reopened(self, reason: str, /) -> None:
        """Report that the upstream's own session is another one than at the last look, e.g. paired anew.

        What it missed meanwhile is a gap, and the planes that must be proven `anew` are not proven any more:
        a live one becomes suspect (`unproven`) until they are. Call it before they are proven.
        """
        ...

    # What was heard, and what may have been missed.

    async def known(self, starts: Sequence[str]) -> set[str]:
        """Answer which of these beginnings of dedupe marks are those of something heard here."""
        ...

    async def newest(self, keys: Sequence[str], types: Sequence[str]) -> Mapping[str, int]:
        """Answer when the latest event of these types occurred, by key; keys without one are left out."""
        ...

    async def accounts(self) -> frozenset[str]:
        """Answer which accounts sessions of this hub were seen to be: evidence `account` of their planes."""
        ...

    async def rhythm(self) -> Rhythm:
        """Answer what was heard in the last four weeks, by the kinds that the connector declares."""
        ...

    async def lost_hearing(self, since_ms: int, cause: str, upto_ms: int | None = None) -> None:
        """Open a gap that a look has found: the upstream has what never reached us, since about then.

        upto_ms: only what was sent up to then was lost, and hearing goes on; it is to be reconciled at once.
        """
        ...

    async def to_reconcile(self) -> Reconcile:
        """Wait until something is to be reconciled: hearing is back after a gap, or the routine check is due.

        Answers at once as long as an ended gap is open and was not just handed out; one that `reconciled` did
        not close is handed out again a minute later.
        """
        ...

    async def reconciled(self, what: Reconcile, report: Reconciled) -> None:
        """Close the gaps of `what` with what was found. The only way in which a gap is closed."""
        ...

    # The ladder; `recovery.Recovery` calls these.

    async def claim(self, rung: Rung, cause: Truth, ladder: Ladder) -> Claimed:
        """Ask for a rung: when the limits allow it, its try is written down before this answers `Granted`."""
        ...

    async def settle(self, claimed: Claimed, outcome: str, said: str) -> None:
        """Write down how a try ended. outcome: proved, failed."""
        ...

    async def tell(self, fact: str, data: Mapping[str, Any]) -> None:
        """Write a fact about this connection: what was looked at and found."""
        ...

    async def alert(
        self, cause: str, title: str, *, todo: str, severity: Severity = "warning", grouping: str = "",
        **known: Any,
    ) -> None:  # fmt: skip
        """Raise an alarm that people see; the same cause twice is one alarm.

        cause: `<connector>.<kind>:<connection>`. grouping: equal for alarms of several connections that have
        one cause; "" is the same kind with the same title on the same server, the connection's name apart.
        """
        ...

    async def calm(self, cause: str) -> None:
        """Report that the cause of an alarm is gone."""
        ...


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One step of the test before a connection is saved.

    outcome: `ok`, `failed`, or `skipped` because an earlier one failed. said: a sentence. todo: the remedy.
    """

    name: str
    outcome: Literal["ok", "failed", "skipped"]
    said: str
    todo: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Hooked:
    """What one webhook says: events for the log, and the files that were in it, by their SHA-256.

    code: a pairing code that was in it; it goes beside the log, never into it.
    """

    heard: list[Heard]
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    code: Code | None = None


@dataclass(frozen=True, slots=True)
class Hook:
    """How an upstream is heard that calls us, at `/hooks/<connection>/<token>`.

    token: (settings) -> the secret of the address. take: (settings, body, came_ms) -> what it says; no body
    is refused for its content.
    """

    token: Callable[[Any], str]
    take: Callable[[Any, bytes, int], Hooked]


# Runs one session from dialling to its loss. Returns only when cancelled; otherwise raises one of the five
# errors of `atalaia.errors`. Before it raises it closes what it opened.
RunSession = Callable[[Any, SessionPort], Awaitable[None]]
# Tries settings without touching the log.
Check = Callable[[Any, Ambient], Awaitable[list[CheckStep]]]
