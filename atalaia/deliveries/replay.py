"""Sends again what was sent or given up: by delivery, stretch of the log or filter; lets go of dead ones.

A replay is a new delivery at the end of its lane that names the one it repeats, so the order per key of what
is on its way is kept; its message id is the old one, so a consumer that drops repeats drops it, unless it
forgot.
A dead letter is tried again in its own place, because later events of its key may be waiting behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, func, select, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.deliveries.filter import Filter, client_of
from atalaia.deliveries.formats import Format
from atalaia.deliveries.router import address, insert_deliveries
from atalaia.deliveries.subscription import Subscription, get_subscription, touch_lanes
from atalaia.deliveries.told import PRODUCER, alert_resolved, dead_cause
from atalaia.errors import ConfigError
from atalaia.events.log import append_facts, to_event
from atalaia.events.model import Event
from atalaia.store.store import serialise
from atalaia.store.tables import deliveries, events

READ_MOST = 1000
REPLAY_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events to send again; everything that is set must hold. Times in Unix milliseconds, inclusive.

    deliveries: these rows, whatever else. types: patterns as in a filter. client: the data's field `client`.
    """

    deliveries: tuple[int, ...] = ()
    from_seq: int | None = None
    to_seq: int | None = None
    types: tuple[str, ...] = ()
    key: str = ""
    client: str = ""
    from_ms: int | None = None
    to_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did, or with a dry run would do.

    matched: events that fit. queued: deliveries written (0 in a dry run). upto_seq: the last event looked at.
    more: there are events after it; go on with `from_seq` behind it.
    """

    matched: int
    queued: int
    upto_seq: int
    more: bool


def replay(
    tx: Connection,
    ambient: Ambient,
    formats: Mapping[str, Format],
    subscription: str,
    chosen: Selection,
    *,
    dry_run: bool = False,
    most: int = REPLAY_MOST,
) -> Replayed:
    """Send the chosen events to one subscription again, at most `most` of them.

    Only events that the subscription's filter wants are chosen, also those from before it existed.
    Errors: `ConfigError` when there is no such subscription, or nothing is chosen.
    """
    one = _get(tx, subscription)
    if chosen == Selection():
        raise ConfigError(
            "The selection is empty. Name deliveries, a stretch of the log, a time, a type or a key."
        )
    if not dry_run:
        serialise(tx)
    matched, queued, position, more = 0, 0, 0, True
    while more and matched < most:
        found = _page(tx, one, chosen, position)
        more = len(found) == READ_MOST
        fitting = [event for event in found if _fits(one, chosen, event)]
        cut = len(fitting) > most - matched
        if cut:
            fitting, more = fitting[: most - matched], True
        if found:
            position = (fitting if cut else found)[-1].seq
        addressed = [(one, event, address(formats, one, event)) for event in fitting]
        matched += sum(to is not None for _, _, to in addressed)
        if not dry_run:
            queued += insert_deliveries(tx, ambient, addressed, _earlier(tx, one.id, fitting))
    return Replayed(matched, queued, position, more)


def _page(tx: Connection, one: Subscription, chosen: Selection, after: int) -> list[Event]:
    """Answer the next events that may fit, in the order of the log."""
    query = select(events).where(events.c.seq > after).order_by(events.c.seq).limit(READ_MOST)
    if chosen.deliveries:
        wanted = select(deliveries.c.seq).where(
            deliveries.c.id.in_(chosen.deliveries), deliveries.c.subscription == one.id
        )
        query = query.where(events.c.seq.in_(wanted))
    if chosen.from_seq is not None:
        query = query.where(events.c.seq >= chosen.from_seq)
    if chosen.to_seq is not None:
        query = query.where(events.c.seq <= chosen.to_seq)
    if chosen.key:
        query = query.where(events.c.key == chosen.key)
    if chosen.from_ms is not None:
        query = query.where(events.c.occurred_ms >= chosen.from_ms)
    if chosen.to_ms is not None:
        query = query.where(events.c.occurred_ms <= chosen.to_ms)
    if one.filter.connection:
        query = query.where(events.c.connection == one.filter.connection)
    return [to_event(row) for row in tx.execute(_narrowed(query, one, chosen))]


def _narrowed(
    query: Select[tuple[object, ...]], one: Subscription, chosen: Selection
) -> Select[tuple[object, ...]]:
    """Let the database leave out types when they are all spelled out or all facts."""
    types = chosen.types or one.filter.types
    if not any("*" in pattern for pattern in types):
        return query.where(events.c.type.in_(types))
    return query


def _fits(one: Subscription, chosen: Selection, event: Event) -> bool:
    heard = event.family == "heard"
    if not one.filter.wants_type(event.type, heard=heard):
        return False
    if chosen.types and not Filter(chosen.types).wants_type(event.type, heard=heard):
        return False
    client = client_of(event) if chosen.client or one.filter.clients else None
    if chosen.client and client != chosen.client:
        return False
    return one.filter.wants(event, client)


def _earlier(tx: Connection, subscription: str, found: Sequence[Event]) -> dict[int, int]:
    """Answer the last delivery of each event, by its sequence."""
    answer: dict[int, int] = {}
    seqs = [event.seq for event in found]
    for start in range(0, len(seqs), 500):
        query = (
            select(deliveries.c.seq, func.max(deliveries.c.id).label("last"))
            .where(deliveries.c.subscription == subscription, deliveries.c.seq.in_(seqs[start : start + 500]))
            .group_by(deliveries.c.seq)
        )
        answer.update({row.seq: row.last for row in tx.execute(query)})
    return answer


# --- dead letters ----------------------------------------------------------------------------------


def redo(tx: Connection, ambient: Ambient, subscription: str, ids: Sequence[int] | None = None) -> int:
    """Try dead letters again, all or those named, in their own place; answer how many."""
    change = {"state": "pending", "attempts": 0, "next_ms": None, "failing_ms": None, "done_ms": None}
    return _settle(tx, ambient, subscription, ids, change)


def skip(tx: Connection, ambient: Ambient, subscription: str, ids: Sequence[int] | None = None) -> int:
    """Let dead letters go, all or those named, so that later events go on; answer how many."""
    now = to_ms(ambient.clock.now())
    return _settle(tx, ambient, subscription, ids, {"state": "cancelled", "done_ms": now})


def count_dead(tx: Connection, subscription: str) -> int:
    """Answer how many dead letters a subscription has: what `redo` and `skip` without ids would touch."""
    query = select(func.count()).where(
        deliveries.c.subscription == subscription, deliveries.c.state == "dead"
    )
    return int(tx.execute(query).scalar_one())


def _settle(
    tx: Connection,
    ambient: Ambient,
    subscription: str,
    ids: Sequence[int] | None,
    change: Mapping[str, object],
) -> int:
    serialise(tx)
    _get(tx, subscription)
    chosen = [deliveries.c.subscription == subscription, deliveries.c.state == "dead"]
    if ids is not None:
        chosen.append(deliveries.c.id.in_(ids))
    touched = select(deliveries.c.destination).where(*chosen).distinct()
    lanes = [str(row.destination) for row in tx.execute(touched)]
    changed = tx.execute(update(deliveries).where(*chosen).values(change)).rowcount
    for destination in lanes:
        touch_lanes(tx, subscription, destination)
    if changed and not count_dead(tx, subscription):
        now = to_ms(ambient.clock.now())
        append_facts(tx, ambient, PRODUCER, [alert_resolved(dead_cause(subscription), now)])
    return changed


def _get(tx: Connection, id: str) -> Subscription:
    one = get_subscription(tx, id)
    if one is None:
        raise ConfigError(f"There is no subscription {id}. It may have been deleted; look at the list.")
    return one
