"""Deletes old attempts and settled deliveries, in small bites so that nobody waits."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select

from atalaia.store.store import Store
from atalaia.store.tables import attempts, deliveries

BITE = 2000
SETTLED = ("delivered", "cancelled")


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many rows went."""

    deliveries: int
    attempts: int


async def forget_old(store: Store, *, deliveries_before_ms: int, attempts_before_ms: int) -> Deleted:
    """Delete settled deliveries and attempts older than these Unix ms. Open and dead ones always stay.

    Rows are deleted in the order of their ids, so a pass over a large table ends at the first young one.
    """
    gone = await _in_bites(store, deliveries_before_ms)
    tried = 0
    while True:
        old = select(attempts.c.id).where(attempts.c.started_ms < attempts_before_ms)
        chosen = old.order_by(attempts.c.started_ms).limit(BITE)
        statement = delete(attempts).where(attempts.c.id.in_(chosen))
        count = await store.write(lambda tx, statement=statement: tx.execute(statement).rowcount)
        tried += count
        if count < BITE:
            return Deleted(gone, tried)


async def _in_bites(store: Store, before_ms: int) -> int:
    gone, after = 0, 0
    while True:
        page = (
            select(deliveries.c.id, deliveries.c.state, deliveries.c.created_ms)
            .where(deliveries.c.id > after)
            .order_by(deliveries.c.id)
            .limit(BITE)
        )
        rows = await store.read(lambda tx, page=page: list(tx.execute(page)))
        old = [row.id for row in rows if row.created_ms < before_ms and row.state in SETTLED]
        if old:
            statement = delete(deliveries).where(
                deliveries.c.id.between(old[0], old[-1]),
                deliveries.c.created_ms < before_ms,
                deliveries.c.state.in_(SETTLED),
            )
            gone += await store.write(lambda tx, statement=statement: tx.execute(statement).rowcount)
        if len(rows) < BITE or rows[-1].created_ms >= before_ms:
            return gone
        after = rows[-1].id
