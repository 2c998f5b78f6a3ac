"""Keeps account of what one connection may have missed: hands out what is to be reconciled, closes what was.

The rows are folded from facts (`events/gaps.py`), so that a gap opened by a process that was killed is
closed by the next one. Only a reconciliation closes a gap; that hearing is back does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from sqlalchemy import Connection, func, select

from atalaia.ambient import Ambient
from atalaia.clock import Clock, to_ms
from atalaia.errors import StoreUnavailable
from atalaia.events.gaps import Reconcile, Reconciled, closing
from atalaia.events.model import Fact
from atalaia.ids import derived_uuid7
from atalaia.store.store import Store
from atalaia.store.tables import gaps

LOOK_S = 15.0
FRESH_S = 1.0
READ_MOST = 10_000  # of all connections, the oldest first
AGAIN_MS = 60_000
BEFORE_MS = 10 * 60_000  # clocks differ, and what came right before a loss may be lost with it


class OpenGaps:
    """The gaps after which hearing is back, of all connections: one read a second for whoever looks.

    Thousands look every few seconds, and nearly always there is none.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._read: asyncio.Future[dict[str, dict[str, tuple[int, int]]]] | None = None
        self._read_at = 0.0

    async def of(self, connection: str) -> dict[str, tuple[int, int]]:
        """Answer them and their spans, as of at most a second ago. Errors: `StoreUnavailable`."""
        now = self._clock.monotonic()
        if self._read is None or self._read.cancelled() or now - self._read_at >= FRESH_S:
            self._read, self._read_at = asyncio.ensure_future(self._store.read(_ended_of_all)), now
        reading = self._read
        try:
            return (await asyncio.shield(reading)).get(connection, {})
        except StoreUnavailable:
            self._read = None
            raise


class GapLedger:
    """One connection's. append: writes facts under the lease. routine: None = no look without a gap.

    everyone: what is read for all connections of this process; None = this is the only one.
    """

    def __init__(
        self, connection: str, store: Store, ambient: Ambient, routine: timedelta | None,
        append: Callable[[Sequence[Fact]], Awaitable[None]], everyone: OpenGaps | None = None,
    ) -> None:  # fmt: skip
        self._connection, self._store, self._ambient = connection, store, ambient
        self._everyone = everyone or OpenGaps(store, ambient.clock)
        self._routine_ms = None if routine is None else round(routine.total_seconds() * 1000)
        self._append = append
        self._handed: dict[str, int] = {}
        self._checked_ms: int | None = None
        self._asked_ms = 0
        self._news = asyncio.Event()

    def news(self) -> None:
        """Take it that a gap was opened or ended, so that nobody waits for the next look."""
        self._news.set()

    async def due(self) -> Reconcile:
        """Wait for something to reconcile; see `SessionPort.to_reconcile`. Errors: `StoreUnavailable`."""
        told = True
        while True:
            now = to_ms(self._ambient.clock.now())
            found = await self._due(now, told=told)
            if found is not None:
                self._handed.update(dict.fromkeys(found.gaps, now))
                return found
            told = await self._wait()

    async def _due(self, now: int, *, told: bool) -> Reconcile | None:
        mine = self._store.read(lambda tx: _ended(tx, self._connection)) if told else None
        open_ones = await (mine or self._everyone.of(self._connection))
        self._handed = {one: at for one, at in self._handed.items() if one in open_ones}
        fresh = [one for one in open_ones if self._handed.get(one, 0) <= now - AGAIN_MS]
        if fresh:
            # All of them, because what is read for one is read for all.
            spans = tuple(open_ones.values())
            return Reconcile(min(spans)[0] - BEFORE_MS, now, tuple(open_ones), spans)
        if self._routine_ms is None:
            return None
        if self._checked_ms is None:
            last = await self._store.read(lambda tx: _last_checked(tx, self._connection))
            self._checked_ms = now if last is None else last
        if now < max(self._checked_ms, self._asked_ms) + self._routine_ms:
            return None
        self._asked_ms = now
        return Reconcile(self._checked_ms - BEFORE_MS, now)

    async def _wait(self) -> bool:
        """Pause until the next look, or shortly after news (the fold may be late); answer which."""
        timer = asyncio.create_task(self._ambient.clock.sleep(LOOK_S))
        news = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait((timer, news), return_when=asyncio.FIRST_COMPLETED)
            told = self._news.is_set()
            if told:
                self._news.clear()
                await self._ambient.clock.sleep(1.0)
            return told
        finally:
            timer.cancel()
            news.cancel()

    async def close(self, what: Reconcile, report: Reconciled) -> None:
        """Close the gaps of `what`, or write the routine check down. Errors: `Fenced`, `StoreUnavailable`."""
        data = closing(report, what.from_ms, what.to_ms, gaps=what.gaps)
        mark = f"closed:{what.to_ms}:{','.join(what.gaps)}"
        mark = mark if len(mark) <= 200 else derived_uuid7(what.to_ms, mark)
        await self._append(
            [Fact("gap.closed", self._connection, to_ms(self._ambient.clock.now()), data, mark)]
        )
        if what.routine or what.from_ms <= (self._checked_ms or 0):
            # Else what lies between the last check and this gap was not read, and is still due.
            self._checked_ms = max(self._checked_ms or 0, what.to_ms)


def _ended(tx: Connection, connection: str) -> dict[str, tuple[int, int]]:
    """Answer the gaps after which hearing is back, and from when to when they were."""
    g = gaps.c
    wanted = (g.connection == connection, g.closed_ms.is_(None), g.to_ms.is_not(None))
    query = select(g.id, g.from_ms, g.to_ms).where(*wanted).limit(500)
    return {row.id: (row.from_ms, row.to_ms) for row in tx.execute(query)}


def _ended_of_all(tx: Connection) -> dict[str, dict[str, tuple[int, int]]]:
    g = gaps.c
    wanted = (g.closed_ms.is_(None), g.to_ms.is_not(None))
    query = select(g.connection, g.id, g.from_ms, g.to_ms).where(*wanted).order_by(g.from_ms).limit(READ_MOST)
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for connection, gap, began_ms, ended_ms in tx.execute(query):
        found.setdefault(connection, {})[gap] = (began_ms, ended_ms)
    return found


def _last_checked(tx: Connection, connection: str) -> int | None:
    query = select(func.max(gaps.c.to_ms)).where(
        gaps.c.connection == connection, gaps.c.closed_ms.is_not(None)
    )
    return tx.scalar(query)
