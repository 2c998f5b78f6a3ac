"""Reads what a connection used to hear; the log counts it by hour as it appends."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from atalaia.clock import Clock, to_ms
from atalaia.connections.silence import HOUR_MS, WEEKS, Rhythm
from atalaia.events.log import EventLog
from atalaia.store.bulk import fetch_rows, run

WINDOW_MS = (WEEKS * 7 * 24 + 2) * HOUR_MS
READ_AGAIN_MS = 15 * 60_000
SHORT_MS = 10 * 60_000  # a shorter gap does not spoil its hour


class RhythmReader:
    """Answers the rhythm of one connection. The weeks are read now and then, the last sign each time."""

    def __init__(self, eventlog: EventLog, clock: Clock, connection: str) -> None:
        self._log, self._store = eventlog, eventlog.store
        self._clock, self._connection = clock, connection
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
        last = self._log.signs(self._connection)
        if last is None:
            last = await self._store.read(lambda tx: _last(tx, self._connection, self._read_ms - HOUR_MS))
        return Rhythm(known.counts, {**known.last_ms, **last}, known.since_ms, known.unheard)


def read_rhythm(tx: Connection, connection: str, now_ms: int) -> Rhythm:
    """Answer what a connection heard in the last four weeks."""
    counts: dict[str, dict[int, int]] = {}
    last: dict[str, int] = {}
    for kind, hour_ms, n, last_ms in fetch_rows(tx, _HOURS, _WEEKS, connection, now_ms - WINDOW_MS):
        counts.setdefault(kind, {})[hour_ms] = n
        last[kind] = max(last.get(kind, 0), last_ms or 0)
    created = run(tx, "select created_ms from connections where id = ?", connection).scalar() or now_ms
    return Rhythm(counts, {k: at for k, at in last.items() if at}, created, _unheard(tx, connection, now_ms))


def _last(tx: Connection, connection: str, since_ms: int) -> Mapping[str, int]:
    return {row[0]: row[1] for row in fetch_rows(tx, "kind, last", _LAST, connection, since_ms - HOUR_MS)}


def _unheard(tx: Connection, connection: str, now_ms: int) -> list[tuple[int, int]]:
    """Answer the times of which too little is known: gaps whose events were not all brought in."""
    rows = fetch_rows(tx, "from_ms, ended", _GAPS, now_ms, connection, now_ms)
    since = now_ms - WINDOW_MS
    return [(start, end) for start, end in rows if end > since and end - start >= SHORT_MS]


_HOURS = "kind, hour_ms, n, last_ms"
_WEEKS = f"select {_HOURS} from heard_hours where connection = ? and hour_ms >= ?"  # noqa: S608
_LAST = (
    "select kind, max(last_ms) as last from heard_hours where connection = ? and hour_ms >= ? "
    "and last_ms is not null group by kind"
)
_GAPS = (
    "select from_ms, coalesce(to_ms, ?) as ended from gaps where connection = ? and from_ms < ? "
    "and lost <> 'no' and origin <> 'routine'"
)
