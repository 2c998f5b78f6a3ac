"""What the screens and the API show of deliveries. Every answer turns into JSON by `dataclasses.asdict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, text

from atalaia.deliveries.lane import lease_name
from atalaia.deliveries.ownership import owners
from atalaia.deliveries.subscription import list_subscriptions
from atalaia.store.tables import attempts, deliveries, lanes

STATES = ("pending", "sending", "waiting", "delivered", "dead", "cancelled")
RATE_MS = 60_000
_OPEN = text("state in ('pending','sending','waiting')")  # spelled like the partial index


@dataclass(frozen=True, slots=True)
class LaneView:
    """One destination of a subscription. oldest_ms: when its oldest open one was written, None = no such.

    circuit: `closed` (it sends) or `open` (it waits for the target). ask: what a person must do, or "".
    """

    subscription: str
    destination: str
    circuit: str
    opened_ms: int | None
    probe_ms: int | None
    delivered_ms: int | None
    failures: int
    error: str
    ask: str
    pending: int
    waiting: int
    oldest_ms: int | None
    owner: str


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """A subscription with how it does. rate_per_s: attempts that arrived in the last minute, a second.

    lag_ms: age of the oldest open delivery, 0 = none.
    """

    id: str
    name: str
    state: str
    format: str
    filter: Mapping[str, Any]
    options: Mapping[str, Any]
    target: Mapping[str, Any]
    policy: Mapping[str, Any]
    managed_by: str
    from_seq: int
    created_ms: int
    changed_ms: int
    pending: int
    waiting: int
    dead: int
    lag_ms: int
    rate_per_s: float
    lanes: tuple[LaneView, ...]


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One delivery. next_ms: when a waiting one is tried again; replay_of: None = the first of its event."""

    id: int
    subscription: str
    destination: str
    seq: int
    type: str
    key: str
    message_id: str
    state: str
    attempts: int
    next_ms: int | None
    failing_ms: int | None
    created_ms: int
    done_ms: int | None
    error: str
    replay_of: int | None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt. outcome: delivered, unavailable, refused, rejected or in_doubt."""

    id: int
    delivery: int
    number: int
    started_ms: int
    took_ms: int
    outcome: str
    status: str
    error: str
    response: str


@dataclass(frozen=True, slots=True)
class Page:
    """Deliveries, newest first. before: pass it on to get the next page; None = this is the last."""

    items: tuple[DeliveryView, ...]
    before: int | None


def list_views(tx: Connection, now_ms: int) -> list[SubscriptionView]:
    """Answer all subscriptions with lag, rate and the circuit of each lane."""
    by_subscription: dict[str, list[LaneView]] = {}
    for lane in list_lanes(tx):
        by_subscription.setdefault(lane.subscription, []).append(lane)
    dead = _dead_counts(tx)
    rates = _rates(tx, now_ms)
    views: list[SubscriptionView] = []
    for one in list_subscriptions(tx):
        own = by_subscription.get(one.id, [])
        oldest = min((lane.oldest_ms for lane in own if lane.oldest_ms is not None), default=now_ms)
        views.append(
            SubscriptionView(
                **one.to_json(),
                pending=sum(lane.pending for lane in own),
                waiting=sum(lane.waiting for lane in own),
                dead=dead.get(one.id, 0),
                lag_ms=max(0, now_ms - oldest),
                rate_per_s=round(rates.get(one.id, 0) * 1000 / RATE_MS, 2),
                lanes=tuple(own),
            )
        )
    return views


def get_view(tx: Connection, id: str, now_ms: int) -> SubscriptionView | None:
    """Answer one subscription as `list_views` does."""
    return next((one for one in list_views(tx, now_ms) if one.id == id), None)


def list_lanes(tx: Connection) -> list[LaneView]:
    """Answer all lanes, by subscription and destination."""
    counts = _open_counts(tx)
    rows = list(tx.execute(select(lanes).order_by(lanes.c.subscription, lanes.c.destination)))
    held = owners(tx, [lease_name(row.subscription, row.destination) for row in rows])
    return [_lane(row, counts, held) for row in rows]


def _lane(
    row: Row[Any], counts: Mapping[tuple[str, str], tuple[int, int, int | None]], held: Mapping[str, str]
) -> LaneView:
    pending, waiting, oldest = counts.get((row.subscription, row.destination), (0, 0, None))
    return LaneView(
        row.subscription, row.destination, row.circuit, row.opened_ms, row.probe_ms, row.delivered_ms,
        row.failures, row.error, row.ask, pending, waiting, oldest,
        held.get(lease_name(row.subscription, row.destination), ""),
    )  # fmt: skip


def _open_counts(tx: Connection) -> dict[tuple[str, str], tuple[int, int, int | None]]:
    where = (deliveries.c.subscription, deliveries.c.destination)
    query = (
        select(
            *where,
            deliveries.c.state,
            func.count().label("n"),
            func.min(deliveries.c.created_ms).label("oldest"),
        )
        .where(_OPEN)
        .group_by(*where, deliveries.c.state)
    )
    counts: dict[tuple[str, str], tuple[int, int, int | None]] = {}
    for row in tx.execute(query):
        name = (row.subscription, row.destination)
        pending, waiting, oldest = counts.get(name, (0, 0, None))
        if row.state == "waiting":
            waiting += row.n
        else:
            pending += row.n
        counts[name] = (pending, waiting, row.oldest if oldest is None else min(oldest, row.oldest))
    return counts


_DEAD = text("select subscription, count(*) as n from deliveries where state = 'dead' group by subscription")
_RATES = text(
    "select d.subscription, count(*) as n from attempts a join deliveries d on d.id = a.delivery "
    "where a.started_ms > :since and a.outcome = 'delivered' group by d.subscription"
)


def _dead_counts(tx: Connection) -> dict[str, int]:
    return {row.subscription: int(row.n) for row in tx.execute(_DEAD)}


def _rates(tx: Connection, now_ms: int) -> dict[str, int]:
    return {row.subscription: int(row.n) for row in tx.execute(_RATES, {"since": now_ms - RATE_MS})}


def list_deliveries(
    tx: Connection,
    *,
    subscription: str = "",
    destination: str | None = None,
    state: str = "",
    seq: int | None = None,
    key: str = "",
    before: int | None = None,
    limit: int = 50,
) -> Page:
    """Answer deliveries, newest first; everything that is set must hold. state: one of `STATES` or `open`."""
    query = select(deliveries).order_by(deliveries.c.id.desc()).limit(limit + 1)
    if subscription:
        query = query.where(deliveries.c.subscription == subscription)
    if destination is not None:
        query = query.where(deliveries.c.destination == destination)
    if state == "open":
        query = query.where(_OPEN)
    elif state == "dead":
        query = query.where(text("state = 'dead'"))
    elif state:
        query = query.where(deliveries.c.state == state)
    if seq is not None:
        query = query.where(deliveries.c.seq == seq)
    if key:
        query = query.where(deliveries.c.key == key)
    if before is not None:
        query = query.where(deliveries.c.id < before)
    rows = [_delivery(row) for row in tx.execute(query)]
    return Page(tuple(rows[:limit]), rows[limit - 1].id if len(rows) > limit else None)


def list_dead(tx: Connection, subscription: str = "", *, before: int | None = None, limit: int = 50) -> Page:
    """Answer the dead letters, newest first."""
    return list_deliveries(tx, subscription=subscription, state="dead", before=before, limit=limit)


def get_delivery(tx: Connection, id: int) -> DeliveryView | None:
    """Answer one delivery."""
    row = tx.execute(select(deliveries).where(deliveries.c.id == id)).first()
    return _delivery(row) if row is not None else None


def list_attempts(tx: Connection, delivery: int) -> list[AttemptView]:
    """Answer the attempts of one delivery, oldest first."""
    query = select(attempts).where(attempts.c.delivery == delivery).order_by(attempts.c.id)
    return [
        AttemptView(
            row.id, row.delivery, row.number, row.started_ms, row.took_ms, row.outcome, row.status, row.error,
            row.response,
        )
        for row in tx.execute(query)
    ]  # fmt: skip


def _delivery(row: Row[Any]) -> DeliveryView:
    return DeliveryView(
        row.id, row.subscription, row.destination, row.seq, row.type, row.key, row.message_id, row.state,
        row.attempts, row.next_ms, row.failing_ms, row.created_ms, row.done_ms, row.error, row.replay_of,
    )  # fmt: skip


# What a screen shows of several deliveries in one word: the worst wins.
_BADNESS = ("delivered", "cancelled", "sending", "pending", "waiting", "dead")


def worst_by_key(tx: Connection, keys: Sequence[str]) -> dict[str, str]:
    """Answer the state that needs most attention among the deliveries of each key; others are left out."""
    worst: dict[str, str] = {}
    if not keys:
        return worst
    query = select(deliveries.c.key, deliveries.c.state).where(deliveries.c.key.in_(keys)).distinct()
    for key, state in tx.execute(query):
        if key not in worst or _BADNESS.index(state) > _BADNESS.index(worst[key]):
            worst[key] = state
    return worst
