"""Reads deliveries with their events: what is new, the backlog of a lane, the rest of a key."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, TextClause, text

from atalaia.deliveries.lane import LINE_MOST, Row
from atalaia.events.model import Event
from atalaia.store.bulk import fetch_rows, run

FEED_MOST = 2000
_FIELDS = (
    "select d.id, d.subscription, d.destination, d.key, d.state, d.attempts, d.next_ms, d.failing_ms, "
    "d.replay_of, e.seq, e.id as event_id, e.family, e.type, e.connection, e.occurred_ms, e.recorded_ms, "
    "e.cause_seq, e.late, e.body from deliveries d left join events e on e.seq = d.seq "
)
_NAMES = (
    "id, subscription, destination, key, state, attempts, next_ms, failing_ms, replay_of, seq, event_id, "
    "family, type, connection, occurred_ms, recorded_ms, cause_seq, late, body"
)
_OPEN = "d.state in ('pending','sending','waiting')"


def _sql(rest: str) -> TextClause:
    return text(_FIELDS + rest)


# The feed is looked at for every wake-up, so it goes to the driver as it is.
_FEED = f"{_FIELDS}where d.id > ? and d.state = 'pending' order by d.id limit {FEED_MOST}"
_FEED_OWN = (
    f"{_FIELDS}where d.id > ? and d.state = 'pending' and (d.subscription || ':' || d.destination) = "
    f"any(?::text[]) order by d.id limit {FEED_MOST}"
)
_LANE = _sql(
    f"where d.subscription = :s and d.destination = :d and d.id > :after and d.id <= :upto and {_OPEN} "
    "order by d.id limit :most"
)
_KEY = _sql(
    "where d.key = :k and d.id > :after and d.id <= :upto and d.subscription = :s and d.destination = :d "
    f"and {_OPEN} order by d.id limit :most"
)
_HEAD = "select coalesce(max(id), 0) from deliveries"
_DEAD = text(
    "select distinct key from deliveries where subscription = :s and destination = :d and state = 'dead'"
)


def last_id(tx: Connection) -> int:
    """Answer the id of the newest delivery."""
    return int(tx.exec_driver_sql(_HEAD).scalar_one())


def read_feed(tx: Connection, after: int, names: Collection[str]) -> tuple[list[Row], int]:
    """Answer pending rows after an id, and the id up to which everything was seen.

    names: `<subscription>:<destination>` of the lanes that interest; SQLite, where one worker has all lanes,
    answers the others too. Ids become visible in their order: nothing can appear later below the answered id.
    """
    if not names:
        return [], last_id(tx)
    if tx.dialect.name == "postgresql":
        newest = last_id(tx)  # first: what commits after this look is seen next time
        found = run(tx, _FEED_OWN, after, list(names))
    else:
        newest = after
        found = fetch_rows(tx, _NAMES, _FEED, after)
    rows = [_row(one) for one in found]
    last = rows[-1].id if rows else after
    return rows, last if len(rows) == FEED_MOST else max(newest, last)


def read_lane(
    tx: Connection, subscription: str, destination: str, after: int, upto: int, most: int
) -> list[Row]:
    """Answer the next open rows of one lane, at most up to the id that the feed has reached."""
    about = {"s": subscription, "d": destination, "after": after, "upto": upto, "most": most}
    return [_row(one) for one in tx.execute(_LANE, about)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rest of one key: rows after `after`, up to `upto`."""

    subscription: str
    destination: str
    key: str
    after: int
    upto: int


def read_keys(tx: Connection, wanted: Collection[Wanted]) -> list[tuple[list[Row], bool]]:
    """Answer the next open rows of each wanted key, and whether those were all."""
    answers: list[tuple[list[Row], bool]] = []
    for want in wanted:
        about = {
            "k": want.key, "after": want.after, "upto": want.upto, "s": want.subscription,
            "d": want.destination, "most": LINE_MOST,
        }  # fmt: skip
        rows = [_row(one) for one in tx.execute(_KEY, about)]
        answers.append((rows, len(rows) < LINE_MOST))
    return answers


def dead_keys(tx: Connection, subscription: str, destination: str) -> set[str]:
    """Answer the keys of a lane that have a dead delivery."""
    return {str(row.key) for row in tx.execute(_DEAD, {"s": subscription, "d": destination})}


def _row(found: Iterable[Any]) -> Row:
    (
        id, subscription, destination, key, state, attempts, next_ms, failing_ms, replay_of,
        seq, event_id, family, kind, connection, occurred_ms, recorded_ms, cause_seq, late, body,
    ) = found  # fmt: skip
    event = None
    if seq is not None:
        event = Event(
            seq, event_id, "fact" if family else "heard", kind, key, connection, occurred_ms, recorded_ms,
            cause_seq, bool(late), body,
        )  # fmt: skip
    return Row(id, subscription, destination, key, state, attempts, next_ms, failing_ms, replay_of, event)
