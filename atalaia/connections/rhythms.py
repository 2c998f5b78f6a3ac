"""Reads what a connection used to hear; the log counts it by hour as it appends."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from atalaia.clock import Clock, to_ms
from atalaia.connections.silence import HOUR_MS, WEEKS, Rhythm
from atalaia.store.store import Store
from atalaia.store.tables import connections, gaps
from atalaia.store.truth_tables import heard_hours

WINDOW_MS = (WEEKS * 7 * 24 + 2) * HOUR_MS
READ_AGAIN_MS = 15 * 60_000
SHORT_MS = 10 * 60_000  # a shorter gap does not spoil its hour


class RhythmReader:
    """Answers the rhythm of one connection. The weeks are read now and then, the last sign each time."""

    def __init__(self, store: Store, clock: Clock, connection: str) -> None:
        self._store, self._clock, self._connection = store, clock, connection
        self._known: Rhythm | None = None
        self._read_ms = 0

    async def read(self) -> Rhythm:
        """Answer it as of now. Errors: `StoreUnavailable`."""
        now = to_ms(self._clock.now())
        known = self._known
        if known is None or now - self._read_ms > READ_AGAIN_MS:
            self._known = known = await self._store.read(lambda tx: read_rhythm(tx, self._connection, now))
            self._read_ms = now
            return known
        last = await self._store.read(lambda tx: _last(tx, self._connection, self._read_ms - HOUR_MS))
        return Rhythm(known.counts, {**known.last_ms, **last}, known.since_ms, known.unheard)


def read_rhythm(tx: Connection, connection: str, now_ms: int) -> Rhythm:
    """Answer what a connection heard in the last four weeks."""
    h = heard_hours.c
    query = select(h.kind, h.hour_ms, h.n, h.last_ms).where(h.connection == connection)
    counts: dict[str, dict[int, int]] = {}
    last: dict[str, int] = {}
    for row in tx.execute(query.where(h.hour_ms >= now_ms - WINDOW_MS)):
        counts.setdefault(row.kind, {})[row.hour_ms] = row.n
        last[row.kind] = max(last.get(row.kind, 0), row.last_ms or 0)
    created = tx.scalar(select(connections.c.created_ms).where(connections.c.id == connection)) or now_ms
    return Rhythm(counts, {k: at for k, at in last.items() if at}, created, _unheard(tx, connection, now_ms))


def _last(tx: Connection, connection: str, since_ms: int) -> Mapping[str, int]:
    h = heard_hours.c
    query = select(h.kind, func.max(h.last_ms).label("last")).where(
        h.connection == connection, h.hour_ms >= since_ms - HOUR_MS, h.last_ms.is_not(None)
    )
    return {row.kind: row.last for row in tx.execute(query.group_by(h.kind))}


def _unheard(tx: Connection, connection: str, now_ms: int) -> list[tuple[int, int]]:
    """Answer the times of which too little is known: gaps whose events were not all brought in."""
    g = gaps.c
    query = select(g.from_ms, func.coalesce(g.to_ms, now_ms).label("to_ms")).where(
        g.connection == connection, g.from_ms < now_ms, g.lost != "no", g.origin != "routine"
    )
    since = now_ms - WINDOW_MS
    rows = tx.execute(query)
    return [(r.from_ms, r.to_ms) for r in rows if r.to_ms > since and r.to_ms - r.from_ms >= SHORT_MS]
