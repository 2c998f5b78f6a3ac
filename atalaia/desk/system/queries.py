"""What the hub knows of itself: workers, queues, cursors, sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Select, Table, func, select, text

from atalaia.events.log import head
from atalaia.events.queries import EventFilter, newest
from atalaia.store.tables import (
    cursors,
    deliveries,
    events,
    lanes,
    leases,
    parked,
    subscriptions,
    workers,
)

# A worker that did not show itself for so long is gone: twice the time of a lease.
GONE_MS = 20_000


@dataclass(frozen=True, slots=True)
class Worker:
    """One process. owns: how many leases it holds."""

    id: str
    host: str
    pid: int
    version: str
    git_sha: str
    started_ms: int
    seen_ms: int
    gone_ms: int | None
    alive: bool
    owns: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a reaction has read. behind: sequences between it and the end of the log."""

    reaction: str
    seq: int
    behind: int
    changed_ms: int
    parked: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is. The log is told by its ends."""

    first_seq: int
    last_seq: int
    deliveries_open: int
    deliveries_dead: int
    oldest_open_ms: int | None
    circuits_open: int
    subscriptions: int


@dataclass(frozen=True, slots=True)
class Media:
    """What attachments of messages took on the disk when retention last looked, at `at_ms`."""

    files: int
    bytes: int
    oldest_ms: int | None
    at_ms: int


def list_workers(tx: Connection, now_ms: int) -> list[Worker]:
    """Answer the workers of the last day, the living first."""
    owned = (
        select(leases.c.owner, func.count().label("n"))
        .where(leases.c.owner.is_not(None), leases.c.expires_ms > now_ms)
        .group_by(leases.c.owner)
        .subquery()
    )
    query = (
        select(workers, func.coalesce(owned.c.n, 0).label("owns"))
        .outerjoin(owned, owned.c.owner == workers.c.id)
        .where(workers.c.seen_ms > now_ms - 86_400_000)
        .order_by(workers.c.gone_ms.is_not(None), workers.c.seen_ms.desc())
        .limit(100)
    )
    return [_read_worker(row, now_ms) for row in tx.execute(query)]


def list_cursors(tx: Connection) -> list[Cursor]:
    """Answer every reaction's position."""
    last = head(tx)
    open_ = select(parked.c.reaction, func.count()).where(parked.c.settled_ms.is_(None))
    waiting = {reaction: int(number) for reaction, number in tx.execute(open_.group_by(parked.c.reaction))}
    return [
        Cursor(r.reaction, r.seq, max(0, last - r.seq), r.changed_ms, waiting.get(r.reaction, 0))
        for r in tx.execute(select(cursors).order_by(cursors.c.reaction))
    ]


def list_parked(tx: Connection, *, after: int = 0, limit: int = 50) -> list[dict[str, Any]]:
    """Answer the events that a reaction could not take and nobody settled, oldest first."""
    query = select(parked).where(parked.c.settled_ms.is_(None), parked.c.id > after)
    return [dict(row) for row in tx.execute(query.order_by(parked.c.id).limit(limit)).mappings()]


def sizes(tx: Connection) -> Sizes:
    """Answer how much there is."""
    waiting = text("state in ('pending','sending','waiting')")  # spelled like the partial index
    d = deliveries.c
    pending = tx.execute(select(func.count(), func.min(d.created_ms)).where(waiting)).one()
    return Sizes(
        first_seq=tx.scalar(select(func.min(events.c.seq))) or 0,
        last_seq=head(tx),
        deliveries_open=pending[0],
        oldest_open_ms=pending[1],
        deliveries_dead=tx.scalar(_count(deliveries).where(text("state = 'dead'"))) or 0,
        circuits_open=tx.scalar(_count(lanes).where(lanes.c.circuit == "open")) or 0,
        subscriptions=tx.scalar(_count(subscriptions).where(subscriptions.c.deleted_ms.is_(None))) or 0,
    )


def media(tx: Connection) -> Media | None:
    """Answer what attachments take, None before retention has looked: no page walks the folder itself."""
    found = newest(tx, EventFilter(types=("retention.swept",)), limit=1).events
    told = orjson.loads(found[0].body).get("files") if found else None
    if not told:
        return None
    return Media(told["kept"], told["kept_bytes"], told["oldest_ms"], found[0].occurred_ms)


def _count(table: Table) -> Select[Any]:
    return select(func.count()).select_from(table)


def store_bytes(tx: Connection) -> int:
    """Answer how much room the database takes."""
    if tx.dialect.name == "postgresql":
        return int(tx.scalar(text("select pg_database_size(current_database())")) or 0)
    pages = tx.scalar(text("select page_count * page_size from pragma_page_count(), pragma_page_size()"))
    return int(pages or 0)


def _read_worker(row: Row[Any], now_ms: int) -> Worker:
    alive = row.gone_ms is None and row.seen_ms > now_ms - GONE_MS
    return Worker(
        row.id, row.host, row.pid, row.version, row.git_sha, row.started_ms, row.seen_ms, row.gone_ms, alive,
        int(row.owns),
    )  # fmt: skip
