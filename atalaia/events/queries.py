"""Questions that screens and the API ask the log; every one is bounded, whatever the log holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, and_, func, select, text, union_all

from atalaia.events.log import to_event
from atalaia.events.model import Event, Family
from atalaia.store.tables import FACT, event_counts, events

# A search for words reads bodies; one page reads at most so many and says where to go on.
SCAN_MAX = 20_000
_UNION_MAX = 60


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events. Empty fields do not restrict.

    types: exact names or patterns with `*`.
    from_ms, to_ms: when the hub wrote the event down; to_ms is excluded.
    words: found in the body, whatever the case of ASCII letters.
    """

    family: Family | None = None
    types: tuple[str, ...] = ()
    connection: str | None = None
    key: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in the order asked for; `next_seq` is where the next page begins, None at the end."""

    events: list[Event]
    next_seq: int | None


def newest(tx: Connection, wanted: EventFilter, *, before: int | None = None, limit: int = 50) -> EventPage:
    """Answer the newest events with a sequence below `before`, newest first."""
    return _page(tx, wanted, before, limit, newest_first=True)


def oldest(tx: Connection, wanted: EventFilter, *, after: int | None = None, limit: int = 50) -> EventPage:
    """Answer the oldest events with a sequence above `after`, oldest first."""
    return _page(tx, wanted, after, limit, newest_first=False)


def known_types(tx: Connection) -> list[str]:
    """Answer every event type in the log, by hopping over the index instead of reading it."""
    hop = (
        "with recursive t(x) as (select min(type) from events union all "
        "select (select min(type) from events where type > t.x) from t where t.x is not null) "
        "select x from t where x is not null"
    )
    return [row[0] for row in tx.execute(text(hop))]


def counts(tx: Connection, *, since_ms: int, connection: str | None = None) -> list[dict[str, Any]]:
    """Answer per connection and kind how many events since then were kept, counted, dropped, duplicate."""
    rows = (
        tx.execute(_COUNTS_OF, {"c": connection, "low": since_ms})
        if connection is not None
        else (tx.execute(_counts_of_all(since_ms)))
    )
    return [
        {"connection": r.connection, "type": r.type, **{name: int(getattr(r, name)) for name in _COUNTS}}
        for r in rows
    ]


_COUNTS = ("kept", "counted", "dropped", "duplicate")

# The kinds of one connection, found by hopping over the index: counts are kept for months.
_KINDS = (
    "with recursive t(x) as (select min(type) from event_counts where connection = :c union all "
    "select (select min(type) from event_counts where connection = :c and type > t.x) from t "
    "where t.x is not null) "
)
_COUNTS_OF = text(
    f"{_KINDS} select k.connection, k.type, sum(k.kept) as kept, "  # noqa: S608 - our own words
    "sum(k.counted) as counted, sum(k.dropped) as dropped, sum(k.duplicate) as duplicate "
    "from t join event_counts k "
    "on k.connection = :c and k.type = t.x and k.minute_ms >= :low "
    "group by k.connection, k.type order by k.type"
)
_RATES_OF = text(
    f"{_KINDS} select k.type, (k.minute_ms - :low) / :bucket as place, "  # noqa: S608 - our own words
    "sum(k.kept + k.counted + k.dropped) as n from t join event_counts k "
    "on k.connection = :c and k.type = t.x and k.minute_ms >= :low and k.minute_ms < :high group by 1, 2"
)


def _counts_of_all(since_ms: int) -> Select[Any]:
    c = event_counts.c
    sums = (func.sum(c[name]).label(name) for name in _COUNTS)
    query = select(c.connection, c.type, *sums).where(c.minute_ms >= since_ms)
    return query.group_by(c.connection, c.type).order_by(c.connection, c.type)


def rates(
    tx: Connection, *, from_ms: int, to_ms: int, bucket_ms: int = 60_000, connection: str | None = None
) -> dict[str, dict[str, list[int]]]:
    """Answer events per bucket, by connection and kind: what sparklines draw. Heard and facts alike."""
    c = event_counts.c
    query = select(c.connection, c.type, c.minute_ms, (c.kept + c.counted + c.dropped).label("n"))
    query = query.where(c.minute_ms >= from_ms, c.minute_ms < to_ms)
    if connection is not None:
        query = query.where(c.connection == connection)
    size = max(1, -(-(to_ms - from_ms) // bucket_ms))
    found: dict[str, dict[str, list[int]]] = {}
    for row in tx.execute(query):
        line = found.setdefault(row.connection, {}).setdefault(row.type, [0] * size)
        line[(row.minute_ms - from_ms) // bucket_ms] += int(row.n)
    return found


def rates_of(
    tx: Connection, connection: str, *, from_ms: int, to_ms: int, bucket_ms: int = 60_000
) -> dict[str, list[int]]:
    """Answer events per bucket of one connection, by kind, by hopping over its kinds.

    Cheap however long counts are kept: each kind costs one short walk over the index.
    """
    size = max(1, -(-(to_ms - from_ms) // bucket_ms))
    found: dict[str, list[int]] = {}
    asked = {"c": connection, "low": from_ms, "high": to_ms, "bucket": bucket_ms}
    for row in tx.execute(_RATES_OF, asked):
        found.setdefault(row.type, [0] * size)[int(row.place)] += int(row.n)
    return found


def caused_by(tx: Connection, seq: int, *, limit: int = 200) -> list[Event]:
    """Answer the facts that name this event as their cause; they follow it closely in the log."""
    query = select(events).where(events.c.seq > seq, events.c.seq <= seq + 100_000, text("family = 1"))
    query = query.where(events.c.cause_seq == seq).order_by(events.c.seq).limit(limit)
    return [to_event(row) for row in tx.execute(query)]


def by_id(tx: Connection, identity: str, *, near_ms: int) -> Event | None:
    """Answer the event with this id (UUIDv7, whose time is `near_ms`); ids carry no index of their own."""
    low, high = seq_at(tx, near_ms - 3_600_000), seq_at(tx, near_ms + 3_600_000)
    query = select(events).where(events.c.seq >= low, events.c.seq <= high, events.c.id == identity)
    row = tx.execute(query).first()
    return to_event(row) if row else None


def seq_at(tx: Connection, recorded_ms: int) -> int:
    """Answer the first sequence written at `recorded_ms` or later; past the end when there is none."""
    return first_since(tx, events.c.seq, events.c.recorded_ms, recorded_ms)


def first_since(tx: Connection, number: Column[int], moment: Column[int], since_ms: int) -> int:
    """Answer the first number whose row is of `since_ms` or later; past the end when there is none.

    Found by halving: numbers grow with the time, and times carry no index.
    """
    low = tx.scalar(select(func.min(number))) or 0
    high = (tx.scalar(select(func.max(number))) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = tx.execute(select(number, moment).where(number >= middle).order_by(number).limit(1)).first()
        if row is None or row[1] >= since_ms:
            high = middle
        else:
            low = row[0] + 1
    return low


def _page(
    tx: Connection, wanted: EventFilter, start: int | None, limit: int, *, newest_first: bool
) -> EventPage:
    low, high = _bounds(tx, wanted, start, newest_first)
    edge: int | None = None
    if wanted.words and low < high:
        if newest_first and high - low > SCAN_MAX:
            edge = low = high - SCAN_MAX
        elif not newest_first and high - low > SCAN_MAX:
            edge = high = low + SCAN_MAX
    if low >= high:
        return EventPage([], None)
    query = _query(tx, wanted, low, high, limit + 1, newest_first)
    found = [to_event(row) for row in tx.execute(query)] if query is not None else []
    if len(found) > limit:
        return EventPage(found[:limit], found[limit - 1].seq)
    if edge is None:
        return EventPage(found, None)
    return EventPage(found, edge if newest_first else edge - 1)


def _bounds(tx: Connection, wanted: EventFilter, start: int | None, newest_first: bool) -> tuple[int, int]:
    """Answer the half-open range of sequences in question."""
    low = seq_at(tx, wanted.from_ms) if wanted.from_ms is not None else 0
    if wanted.to_ms is not None:
        high = seq_at(tx, wanted.to_ms)
    else:
        high = (tx.scalar(select(func.max(events.c.seq))) or 0) + 1
    if start is not None and newest_first:
        high = min(high, start)
    elif start is not None:
        low = max(low, start + 1)
    return low, high


def _query(
    tx: Connection, wanted: EventFilter, low: int, high: int, limit: int, newest_first: bool
) -> Select[Any] | None:
    order = events.c.seq.desc() if newest_first else events.c.seq
    base = select(events).where(events.c.seq >= low, events.c.seq < high, *_conditions(wanted))
    types = _expand(tx, wanted.types)
    if types is None or not types:
        return base.order_by(order).limit(limit) if types is None else None
    if wanted.key is not None or len(types) > _UNION_MAX:
        return base.where(events.c.type.in_(types)).order_by(order).limit(limit)
    # One short walk per type over (type, seq) instead of one long walk over the log.
    walks = [base.where(events.c.type == one).order_by(order).limit(limit).subquery() for one in types]
    if len(walks) == 1:
        return base.where(events.c.type == types[0]).order_by(order).limit(limit)
    merged = union_all(*(select(walk) for walk in walks)).subquery()
    return select(merged).order_by(merged.c.seq.desc() if newest_first else merged.c.seq).limit(limit)


def _conditions(wanted: EventFilter) -> Iterable[ColumnElement[bool]]:
    if wanted.family is not None:
        yield text("family = 1") if wanted.family == "fact" else and_(events.c.family != FACT)  # type: ignore[misc]
    if wanted.connection is not None:
        yield events.c.connection == wanted.connection
    if wanted.key is not None:
        yield events.c.key == wanted.key
    if wanted.words:
        yield events.c.body.icontains(wanted.words, autoescape=True)


def _expand(tx: Connection, patterns: tuple[str, ...]) -> list[str] | None:
    """Answer the exact types behind the patterns; None when every type is meant."""
    if not patterns or "*" in patterns:
        return None
    exact = {pattern for pattern in patterns if "*" not in pattern}
    wild = [pattern for pattern in patterns if "*" in pattern]
    if wild:
        exact |= {one for one in known_types(tx) if any(fnmatchcase(one, pattern) for pattern in wild)}
    return sorted(exact)
