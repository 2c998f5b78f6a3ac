"""Which lanes are ours: one transaction renews, takes and hands back, and tells what people changed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select, text

from atalaia.deliveries.circuit import Circuit, Closed, Open
from atalaia.deliveries.lane import Lane, lease_name
from atalaia.deliveries.loading import dead_keys
from atalaia.deliveries.subscription import Subscription, list_subscriptions, newest_version
from atalaia.store.leases import Lease, claim, release, renew
from atalaia.store.store import database_ms
from atalaia.store.tables import lanes, leases

TTL_S = 10.0
BEAT_S = 2.5
MARGIN_S = 2.0  # we stop so long before others may take over
WORKER_SEEN_MS = 15_000

Name = tuple[str, str]


@dataclass(frozen=True)
class Taken:
    """A lane that is ours from now on, as the database has it."""

    name: Name
    epoch: int
    circuit: Circuit
    dead: set[str]


@dataclass
class Beat:
    """What one beat gave."""

    version: int
    subscriptions: list[Subscription] | None  # None = nothing changed
    kept: set[str] = field(default_factory=set[str])  # lease names
    taken: list[Taken] = field(default_factory=list[Taken])
    touched: set[Name] = field(default_factory=set[Name])
    surplus: int = 0


def beat(
    tx: Connection, held: Collection[Lane], owner: str, version: int, process_ms: int, *, take: bool = True
) -> Beat:
    """Renew our leases and take a fair share of the free ones. version: up to which changes are known."""
    newest = newest_version(tx)
    subscriptions = list_subscriptions(tx)
    known = {one.id: one for one in subscriptions}
    answer = Beat(newest, subscriptions if newest != version else None)
    rows = {(row.subscription, row.destination): row for row in tx.execute(select(lanes))}
    wanted = {lease_name(*name): name for name in rows if name[0] in known}
    mine = [Lease(lane.lease, lane.epoch, 0) for lane in held]
    ttl_ms = int(TTL_S * 1000)
    kept = renew(tx, mine, owner, ttl_ms=ttl_ms, process_ms=process_ms)
    answer.kept = {lease.name for lease in kept}
    answer.touched = {name for name, row in rows.items() if row.touched > version}
    share = -(-len(wanted) // _alive(tx, process_ms))
    answer.surplus = max(0, len(answer.kept & set(wanted)) - share)
    free = [name for name in wanted if name not in answer.kept]
    if take and free and share > len(answer.kept):
        most = share - len(answer.kept)
        for lease in claim(tx, free, owner, ttl_ms=ttl_ms, process_ms=process_ms, most=most):
            answer.taken.append(_take(tx, wanted[lease.name], lease.epoch, rows[wanted[lease.name]], known))
    return answer


def hand_back(tx: Connection, held: Collection[Lane], owner: str) -> None:
    """Let go of lanes, so that others need not wait until the leases expire."""
    release(tx, [Lease(lane.lease, lane.epoch, 0) for lane in held], owner)


_AGAIN = text(
    "update deliveries set state = 'pending' where subscription = :s and destination = :d "
    "and state in ('pending','sending','waiting') and state = 'sending'"
)


def _take(tx: Connection, name: Name, epoch: int, row: Row[Any], known: dict[str, Subscription]) -> Taken:
    """Begin to own a lane: what its last owner was sending is in line again."""
    tx.execute(_AGAIN, {"s": name[0], "d": name[1]})
    dead = dead_keys(tx, *name) if _blocks(known, name) else set[str]()
    return Taken(name, epoch, _circuit(row), dead)


def _blocks(known: dict[str, Subscription], name: Name) -> bool:
    one = known.get(name[0])
    return one is not None and one.policy.order == "block"


def _circuit(row: Row[Any]) -> Circuit:
    if row.circuit != "open":
        return Closed()
    since = int(row.opened_ms or 0)
    return Open(since, int(row.probe_ms or since), row.failures, row.error, row.ask)


_ALIVE = text("select count(*) from workers where gone_ms is null and seen_ms > :since")


def _alive(tx: Connection, process_ms: int) -> int:
    """Answer how many workers share the lanes; the one that asks counts always."""
    since = database_ms(tx, process_ms) - WORKER_SEEN_MS
    return max(1, int(tx.execute(_ALIVE, {"since": since}).scalar_one()))


def owners(tx: Connection, names: Collection[str]) -> dict[str, str]:
    """Answer who holds which of these leases, for the screens."""
    query = select(leases.c.name, leases.c.owner).where(
        leases.c.name.in_(list(names)), leases.c.owner.is_not(None)
    )
    return {str(row.name): str(row.owner) for row in tx.execute(query)}
