"""What a session is given: its keeper, narrowed to what a session may do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connections import recoveries
from atalaia.connections.ladder import Ladder, Rung
from atalaia.connections.session import Claimed, PlaneState, Severity
from atalaia.connections.silence import Rhythm
from atalaia.connections.state import Doubt, Need, Proven
from atalaia.connections.truth import Truth
from atalaia.events.gaps import Reconcile, Reconciled
from atalaia.events.grouping import same
from atalaia.events.log import known_marks, newest_of
from atalaia.events.model import Appended, Fact, Heard
from atalaia.store.tables import alerts, planes

if TYPE_CHECKING:
    from atalaia.connections.keeper import Keeper


class Port:
    """A session's view of its keeper; see `session.SessionPort`. number: tells it from sessions before it."""

    def __init__(self, keeper: Keeper, number: int) -> None:
        self._keeper = keeper
        self._number = number
        self._store = keeper.log.store
        self.connection = keeper.configured.id
        self.ambient: Ambient = keeper.ambient

    async def append(self, heard: Sequence[Heard], *, came_ms: int | None = None) -> list[Appended]:
        return await self._keeper.append(heard, came_ms, self._number)

    def prove(self, plane: str, state: PlaneState, *, claim: str = "", **evidence: Any) -> None:
        self._keeper.prove(plane, state, claim, evidence, self._number)

    async def live(self, **evidence: Any) -> None:
        self._keeper.tell(Proven(), evidence, self._number)

    async def suspect(self, reason: str, /, *, kind: Truth = Truth.NONE, **evidence: Any) -> None:
        self._keeper.tell(Doubt(reason, kind), evidence, self._number)

    async def needs(self, reason: str, /, *, ask: str, kind: Truth, **evidence: Any) -> None:
        self._keeper.tell(Need(reason, ask, kind), evidence, self._number)

    async def reopened(self, reason: str, /) -> None:
        self._keeper.reopened(reason, self._number)

    # Alarms.

    async def alert(
        self, cause: str, title: str, *, todo: str, severity: Severity = "warning", grouping: str = "",
        **known: Any,
    ) -> None:  # fmt: skip
        now, keeper = self._now(), self._keeper
        detail = {"known": plain(known), "todo": todo, "since_ms": now}
        shared = title.replace(keeper.configured.name, "…") if keeper.configured.name else title
        grouping = grouping or same(cause.partition(":")[0], keeper.server, shared)
        data = {"title": title, "detail": detail, "severity": severity, "grouping": grouping}
        self._keeper.alarms.add(cause)
        await self._keeper.append_facts([Fact("alert.raised", cause, now, data)])

    async def calm(self, cause: str) -> None:
        """Say that a cause is gone, if it was there: every session calms its causes at its start."""
        raised = self._keeper.alarms
        if cause not in raised and not await self._store.read(lambda tx: _stands(tx, cause)):
            return
        raised.discard(cause)
        await self._keeper.append_facts([Fact("alert.resolved", cause, self._now(), {})])

    # What was heard.

    async def known(self, starts: Sequence[str]) -> set[str]:
        return await self._store.read(lambda tx: known_marks(tx, self.connection, starts))

    async def newest(self, keys: Sequence[str], types: Sequence[str]) -> Mapping[str, int]:
        return await self._store.read(lambda tx: newest_of(tx, self.connection, keys, types))

    async def accounts(self) -> frozenset[str]:
        return await self._store.read(_accounts)

    # What may have been missed.

    async def rhythm(self) -> Rhythm:
        return await self._keeper.rhythms.read()

    async def lost_hearing(self, since_ms: int, cause: str, upto_ms: int | None = None) -> None:
        await self._keeper.append_facts([self._keeper.gap(since_ms, cause, "found", upto_ms)])
        self._keeper.gaps.news()

    async def to_reconcile(self) -> Reconcile:
        return await self._keeper.gaps.due()

    async def reconciled(self, what: Reconcile, report: Reconciled) -> None:
        await self._keeper.gaps.close(what, report)

    # The ladder.

    async def claim(self, rung: Rung, cause: Truth, ladder: Ladder) -> Claimed:
        keeper = self._keeper
        asked = recoveries.Asked(self.connection, keeper.lease, keeper.server, rung, cause, ladder)
        return await self._store.write(lambda tx: recoveries.claim(tx, self.ambient, asked))

    async def settle(self, claimed: Claimed, outcome: str, said: str) -> None:
        lease = self._keeper.lease
        await self._store.write(
            lambda tx: recoveries.settle(tx, self.ambient, lease, claimed.id, outcome, said)
        )

    async def tell(self, fact: str, data: Mapping[str, Any]) -> None:
        await self._keeper.append_facts([Fact(fact, self.connection, self._now(), plain(data))])

    def _now(self) -> int:
        return to_ms(self.ambient.clock.now())


def _stands(tx: Connection, cause: str) -> bool:
    query = select(alerts.c.cause).where(alerts.c.cause == cause, alerts.c.resolved_ms.is_(None))
    return tx.execute(query).first() is not None


def _accounts(tx: Connection) -> frozenset[str]:
    rows = tx.scalars(select(planes.c.evidence).where(planes.c.evidence.contains('"account"')))
    seen = (str(json.loads(row).get("account") or "") for row in rows)
    return frozenset(one for one in seen if one)


def plain(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Answer evidence as JSON has it: sessions may hand in times, addresses and the like."""
    return json.loads(json.dumps(evidence, default=str))
