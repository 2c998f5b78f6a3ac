"""Looks after one session: judges its silence, looks before it believes, climbs the ladder when it must.

A connector's session makes one `Recovery` with its `Hands` and runs it beside its own work. Everything that
is seen
or done becomes a fact: `session.looked`, `recovery.tried`, `recovery.proved`, `recovery.failed`, and the
connection's transitions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo

import structlog

from atalaia.clock import to_ms, within
from atalaia.connections import ladder as rungs
from atalaia.connections.ladder import Calm, Got, Healthy, Ladder, Looking, NotKnown, Order, Rung, Sick
from atalaia.connections.session import Claimed, SessionPort
from atalaia.connections.silence import SilenceRules, Suspicion, judge
from atalaia.connections.truth import Truth
from atalaia.errors import Refused, StoreUnavailable, UpstreamError

log = structlog.get_logger(__name__)

LOOK_WITHIN_S = 60.0
ACT_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found.

    health: `healthy` = hearing and speaking are proven; `sick` = the trouble is proven; `person` = and only
    a person can end it; `not_known` = the look could not be taken or proves nothing.
    kind: the trouble. said: a sentence for the screen. ask: what a person must do. missed_ms: since when the
    upstream has what never reached us. evidence: what was seen.
    """

    health: Literal["healthy", "sick", "person", "not_known"]
    kind: Truth = Truth.NONE
    said: str = ""
    ask: str = ""
    missed_ms: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Hands(Protocol):
    """What only the connector can do."""

    async def look(self, why: Suspicion | None) -> Found:
        """Find out how the session is: ask, compare what it has with what we have. Changes nothing there.

        Errors: any of the five; the look then proves nothing. It is ended after a minute.
        """
        ...

    async def act(self, rung: Rung, cause: Truth) -> None:
        """Carry one rung out. Never logs out, clears or deletes.

        Errors: any of the five; `Refused` when only a person can go on. It is ended after two minutes.
        """
        ...


class Recovery:
    """Runs until cancelled. `suspected` and `healthy` take what the session itself notices meanwhile."""

    def __init__(
        self, port: SessionPort, ladder: Ladder, hands: Hands, *, watched: tuple[str, ...], zone: ZoneInfo,
        rules: SilenceRules | None = None, judge_every: timedelta = timedelta(seconds=30),
    ) -> None:  # fmt: skip
        """watched: kinds of `Connector.kinds` whose absence alone is a loss. zone: the account's."""
        self.state: rungs.Recovering = Calm()
        self._port, self._ladder, self._hands = port, ladder, hands
        self._watched, self._zone, self._rules = watched, zone, rules or SilenceRules()
        self._judge_every_s = judge_every.total_seconds()
        self._clock = port.ambient.clock
        self._inputs: asyncio.Queue[tuple[Got, Found | None]] = asyncio.Queue()
        self._alarm: asyncio.Task[None] | None = None
        self._looking = False
        self._why: Suspicion | None = None
        self._proven_ms: dict[str, int] = {}
        self._claimed: Claimed | None = None
        self._told: Found | None = None
        self._needed = ""  # why a person was last said to be needed

    def suspected(self, kind: Truth) -> None:
        """Take the session's own suspicion, e.g. that it is closed; a look comes before anything is done."""
        self._put(rungs.Suspected(kind))

    def healthy(self) -> None:
        """Take the session's own proof that hearing and speaking work."""
        self._put(Healthy())

    def needs_person(self, kind: Truth, ask: str, said: str = "") -> None:
        """Take the upstream's word that only a person can go on, e.g. that the phone was unpaired.

        said: why, as the reason people read; without it they read what to do.
        """
        self._needed = said
        self._put(rungs.Needed(kind, ask), Found("person", kind, said, ask))

    def helped(self) -> None:
        """Take it that a person did what was asked, or wants everything to be tried again."""
        self._put(rungs.Helped())

    async def run(self) -> None:
        """Look after the session until cancelled. Errors: `Fenced` and defects, in a group."""
        try:
            async with asyncio.TaskGroup() as together:
                together.create_task(self._judge())
                while True:
                    got, found = await self._inputs.get()
                    await self._answer(got, found, together)
        finally:
            if self._alarm is not None:
                self._alarm.cancel()

    def _put(self, got: Got, found: Found | None = None) -> None:
        self._inputs.put_nowait((got, found))

    async def _judge(self) -> None:
        """Ask now and then whether the silence means something, while nothing else is suspected."""
        while True:
            await self._clock.sleep(self._judge_every_s)
            if not isinstance(self.state, Calm):
                continue
            try:
                rhythm = await self._port.rhythm()
            except StoreUnavailable as error:
                log.warning("recovery.store_unavailable", connection=self._port.connection, error=str(error))
                continue
            now_ms = to_ms(self._clock.now())
            found = judge(rhythm, self._watched, now_ms, self._zone, self._rules, proven_ms=self._proven_ms)
            if found is not None:
                self._why = found
                self._put(rungs.Suspected(_KINDS[found.kind]))

    async def _answer(self, got: Got, found: Found | None, together: asyncio.TaskGroup) -> None:
        before = self.state
        self.state, orders = rungs.step(before, got, self._clock.now(), self._ladder)
        if found is not None:
            await self._say(before, found)
        for order in orders:
            await self._carry_out(order, together)

    async def _carry_out(self, order: Order, together: asyncio.TaskGroup) -> None:
        match order:
            case rungs.Look():
                if not self._looking:
                    self._looking = True
                    together.create_task(self._look())
            case rungs.Claim(rung=rung, cause=cause):
                await self._claim(rung, cause)
            case rungs.Act(rung=rung, cause=cause):
                said = {"rung": rung.name, "step": self._ladder.rungs.index(rung) + 1, "cause": cause}
                await self._port.suspect(rung.does, kind=Truth.RECOVERING, **said)
                together.create_task(self._act(rung, Truth(cause)))
            case rungs.Settle(outcome=outcome, said=said):
                claimed, self._claimed = self._claimed, None
                if claimed is not None:
                    await self._port.settle(claimed, outcome, said)
            case rungs.AskPerson(cause=cause, ask=ask):
                # The last look may have found something else, e.g. that it was still starting.
                looked = self._told.said if self._told is not None and self._told.kind == cause else ""
                await self._port.needs(looked or self._needed or ask, ask=ask, kind=Truth(cause))
            case rungs.Clear():
                await self._port.live()
            case rungs.WakeAt(when=when):
                self._wake_at(when)

    # Looking.

    async def _look(self) -> None:
        try:
            found = await within(self._clock, LOOK_WITHIN_S, self._hands.look(self._why))
        except TimeoutError:
            found = Found("not_known", said="The look took too long.")
        except UpstreamError as error:
            found = Found("not_known", said=str(error))
        finally:
            self._looking = False
        self._put(self._take(found), found)

    def _take(self, found: Found) -> Got:
        match found.health:
            case "healthy":
                # Nothing was missed up to now, so silence is counted from here.
                self._proven_ms = dict.fromkeys(self._watched, to_ms(self._clock.now()))
                return Healthy()
            case "sick":
                return Sick(found.kind)
            case "person":
                return rungs.Needed(found.kind, found.ask)
            case "not_known":
                return NotKnown()

    async def _say(self, before: rungs.Recovering, found: Found) -> None:
        """Write down what was found, unless it is what was found before, and show it."""
        first = isinstance(before, Looking) and self._why is not None
        if first or self._told is None or (found.health, found.kind) != (self._told.health, self._told.kind):
            why = asdict(self._why) if self._why is not None else None
            await self._port.tell("session.looked", asdict(found) | {"suspicion": why})
        self._told, self._why = found, None
        if found.missed_ms is not None:
            await self._port.lost_hearing(found.missed_ms, found.said)
        if isinstance(self.state, Looking | rungs.Wanting):
            kind = found.kind or Truth(self.state.cause)
            evidence = {name: value for name, value in found.evidence.items() if name != "kind"}
            await self._port.suspect(found.said, kind=kind, **evidence)

    # Acting.

    async def _claim(self, rung: Rung, cause: str) -> None:
        try:
            claimed = await self._port.claim(rung, Truth(cause), self._ladder)
        except StoreUnavailable:
            # What cannot be written down is not done.
            self._put(rungs.Held(self._clock.now() + self._ladder.look_every))
            return
        self._claimed = claimed if isinstance(claimed.answer, rungs.Granted) else None
        self._put(claimed.answer)

    async def _act(self, rung: Rung, cause: Truth) -> None:
        try:
            await within(self._clock, ACT_WITHIN_S, self._hands.act(rung, cause))
        except TimeoutError:
            self._put(rungs.Failed("It took too long."))
        except Refused as no:
            self._put(rungs.Needed(cause, no.ask), Found("person", cause, str(no), no.ask))
        except UpstreamError as error:
            self._put(rungs.Failed(str(error)))
        else:
            self._put(rungs.Done())

    def _wake_at(self, when: datetime) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.create_task(self._wake(when))

    async def _wake(self, when: datetime) -> None:
        await self._clock.sleep(max(0.0, (when - self._clock.now()).total_seconds()))
        self._put(rungs.Tick())


_KINDS = {"silent": Truth.SILENT, "deaf": Truth.DEAF}
