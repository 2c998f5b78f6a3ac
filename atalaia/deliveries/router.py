"""Turns events into deliveries: one row for each subscription that wants the event."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, text, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.deliveries import told
from atalaia.deliveries.filter import client_of, first_words
from atalaia.deliveries.formats import Format
from atalaia.deliveries.lane import Row
from atalaia.deliveries.subscription import (
    CONTROL,
    Subscription,
    list_subscriptions,
    newest_version,
    touch_lanes,
)
from atalaia.events.log import append_facts
from atalaia.events.model import Event, Fact
from atalaia.store.bell import DELIVERIES
from atalaia.store.bulk import allocate, insert_rows
from atalaia.store.store import ring_after, serialise, tell_after
from atalaia.store.tables import connections, cursors, deliveries, lanes, subscriptions

COLUMNS = (
    "id", "subscription", "destination", "seq", "type", "key", "message_id", "state", "attempts", "next_ms",
    "failing_ms", "created_ms", "done_ms", "error", "replay_of",
)  # fmt: skip
DESTINATION_MOST = 110  # the lane's lease is named after it
MESSAGE_ID_MOST = 120
TYPES_MOST = 10_000  # upstreams may invent types without end
# Facts about deliveries are keyed by `<subscription>:<destination>`; nobody is told of his own failures.
_ABOUT_US = ("delivery.", "target.", "alert.")


@dataclass(frozen=True, slots=True)
class Addressed:
    """Where one event goes for one subscription; `error` when its message could not be made."""

    destination: str
    message_id: str
    error: str = ""


class _Known:
    """The subscriptions as one version has them; replaced as a whole, for two threads look at it."""

    def __init__(self, version: int, known: list[Subscription], made: set[tuple[str, str]]) -> None:
        self.version = version
        self.lanes = made
        self.words = first_words([one.filter for one in known])
        self._subscriptions = known
        self._by_type: dict[tuple[str, str], list[Subscription]] = {}

    def interested(self, event: Event) -> list[Subscription]:
        """Answer who wants this event."""
        about = (event.type, event.family)
        by_type = self._by_type.get(about)
        if by_type is None:
            heard = event.family == "heard"
            by_type = [one for one in self._subscriptions if one.filter.wants_type(event.type, heard=heard)]
            if len(self._by_type) < TYPES_MOST:
                self._by_type[about] = by_type
        if not by_type:
            return by_type
        client = client_of(event) if any(one.filter.clients for one in by_type) else None
        own = event.type.startswith(_ABOUT_US)
        return [
            one
            for one in by_type
            if event.seq > one.from_seq
            and one.filter.wants(event, client)
            and not (own and one.id in event.key)
        ]


class Router:
    """The projection named `deliveries`. An event that was routed once is not routed again.

    Paused subscriptions get their deliveries too; they are sent when the subscription is on again.
    """

    name = "deliveries"
    types: tuple[str, ...] = ("*",)

    def __init__(self, ambient: Ambient, formats: Mapping[str, Format]) -> None:
        self._ambient = ambient
        self._formats = formats
        self._cache = _Known(-1, [], set())

    def reads_heard(self, tx: Connection) -> bool:
        """Answer whether a subscription may select heard events, so that they have to be read at all."""
        known = self._known(tx)
        if not known.words:
            return False
        found = tx.execute(select(connections.c.connector).distinct())
        return any(row.connector in known.words for row in found)

    def reset(self, tx: Connection) -> None:
        """Forget nothing: what was routed stays routed, also where retention took the deliveries."""
        done = tx.scalar(select(cursors.c.seq).where(cursors.c.reaction == self.name)) or 0
        late = subscriptions.c.from_seq < done
        mark = {"from_seq": done, "version": newest_version(tx) + 1}
        tx.execute(update(subscriptions).where(late).values(mark))

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Write the deliveries of these events, in their order."""
        if not events:
            return
        serialise(tx)
        known = self._known(tx)
        wanted = [(one, event) for event in events for one in known.interested(event)]
        if not wanted:
            return
        routed = _already_routed(tx, wanted[0][1].seq, wanted[-1][1].seq)
        fresh = [(one, event) for one, event in wanted if (one.id, event.seq) not in routed]
        addressed = [(one, event, address(self._formats, one, event)) for one, event in fresh]
        insert_deliveries(tx, self._ambient, addressed, made=known.lanes)

    def _known(self, tx: Connection) -> _Known:
        """Read the subscriptions again when one changed; cheap otherwise."""
        version = newest_version(tx)
        known = self._cache
        if known.version != version:
            made = {(row.subscription, row.destination) for row in tx.execute(select(lanes))}
            known = self._cache = _Known(version, list_subscriptions(tx), made)
        return known


def address(formats: Mapping[str, Format], one: Subscription, event: Event) -> Addressed | None:
    """Answer where the event goes for this subscription, None when its format means nobody."""
    made = formats.get(one.format)
    if made is None:
        return Addressed("", event.id, f"The format {one.format} does not exist in this version.")
    try:
        quick = getattr(made, "address", None)
        if quick is not None:
            destination, message_id = quick(event, one.options)
        else:
            message = made.render(event, one.options)
            if message is None:
                return None
            destination, message_id = message.destination, message.message_id
    except Exception as error:  # noqa: BLE001 - one event that a format cannot render must not stop the others
        return Addressed(
            "", event.id, f"The message could not be made: {type(error).__name__}: {error}"[:500]
        )
    if len(destination) > DESTINATION_MOST or len(message_id) > MESSAGE_ID_MOST:
        return Addressed("", event.id, "The message names a destination or an id that is too long.")
    return Addressed(shard(destination, event.key, one.policy.shards), message_id)


def shard(destination: str, key: str, shards: int) -> str:
    """Answer the lane of a key within its destination."""
    return destination if shards <= 1 else f"{destination}#{zlib.crc32(key.encode()) % shards}"


def unsharded(lane: str, shards: int) -> str:
    """Answer the destination as the target knows it."""
    return lane if shards <= 1 else lane.rpartition("#")[0]


def insert_deliveries(
    tx: Connection,
    ambient: Ambient,
    wanted: Sequence[tuple[Subscription, Event, Addressed | None]],
    replays: Mapping[int, int] | None = None,
    *,
    made: Collection[tuple[str, str]] = (),
) -> int:
    """Append deliveries at the end of their lanes; answer how many. replays: seq -> the delivery repeated.

    made: lanes that surely have a row.
    """
    meant = [(one, event, to) for one, event, to in wanted if to is not None]
    if not meant:
        return 0
    serialise(tx)
    now = to_ms(ambient.clock.now())
    first = allocate(tx, "deliveries", len(meant))
    rows: list[tuple[Any, ...]] = [
        (
            first + offset, one.id, to.destination, event.seq, event.type, event.key, to.message_id,
            "dead" if to.error else "pending", 0, None, None, now, now if to.error else None, to.error,
            None if replays is None else replays.get(event.seq, 0),
        )
        for offset, (one, event, to) in enumerate(meant)
    ]  # fmt: skip
    insert_rows(tx, deliveries, COLUMNS, rows)
    tell_after(tx, DELIVERIES, [_told(row, event) for row, (_, event, _) in zip(rows, meant, strict=True)])
    ensure_lanes(tx, {(one.id, to.destination) for one, _, to in meant}.difference(made))
    _tell_unmade(tx, ambient, first, meant, now)
    ring_after(tx, DELIVERIES)
    return len(rows)


def _told(row: tuple[Any, ...], event: Event) -> Row:
    """Answer the row as loading would."""
    id, subscription, destination, _, _, key, _, state, attempts, next_ms, failing_ms, *_, replay_of = row
    return Row(id, subscription, destination, key, state, attempts, next_ms, failing_ms, replay_of, event)


def _tell_unmade(
    tx: Connection,
    ambient: Ambient,
    first: int,
    meant: Sequence[tuple[Subscription, Event, Addressed]],
    now: int,
) -> None:
    """Tell of deliveries that are dead from the start; their lanes must learn that a key is blocked."""
    facts: list[Fact] = []
    for offset, (one, event, to) in enumerate(meant):
        if to.error:
            about = {"seq": event.seq, "type": event.type, "key": event.key, "attempts": 0, "error": to.error}
            facts += told.delivery_dead(one, to.destination, now, delivery=first + offset, about=about)
            touch_lanes(tx, one.id, to.destination)
    append_facts(tx, ambient, told.PRODUCER, facts)


_NEW_LANE = text(
    "insert into lanes (subscription, destination, circuit, failures, error, ask, touched) "
    "values (:s, :d, 'closed', 0, '', '', :v) on conflict do nothing"
)


def ensure_lanes(tx: Connection, wanted: set[tuple[str, str]]) -> None:
    """Make the lanes' rows that are missing, and tell dispatchers and routers of new ones."""
    for subscription, destination in sorted(wanted):
        about = {"s": subscription, "d": destination, "v": newest_version(tx) + 1}
        if tx.execute(_NEW_LANE, about).rowcount:
            ring_after(tx, CONTROL)


_ROUTED = "select subscription, seq from deliveries where seq between {} and {} and replay_of is null"
_ROUTED_SQLITE, _ROUTED_POSTGRES = _ROUTED.format("?", "?"), _ROUTED.format("$1", "$2")


def _already_routed(tx: Connection, first: int, last: int) -> set[tuple[str, int]]:
    sql = _ROUTED_POSTGRES if tx.dialect.name == "postgresql" else _ROUTED_SQLITE
    return {(row[0], row[1]) for row in tx.exec_driver_sql(sql, (first, last))}
