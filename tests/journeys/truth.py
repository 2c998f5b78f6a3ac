"""Reading what the hub knows: states, facts, gaps, alerts, leases."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, func, select

from atalaia.store.tables import (
    FACT,
    alerts,
    calls,
    connection_states,
    cursors,
    deliveries,
    events,
    gaps,
    leases,
)
from tests.journeys.hubs import Place
from tests.journeys.waiting import until


async def state_of(place: Place, connection: str) -> str:
    """Answer the state of a connection, "" before it has one."""
    query = select(connection_states.c.state).where(connection_states.c.connection == connection)
    return await place.read(lambda tx: tx.scalar(query)) or ""


async def is_live(place: Place, connection: str, *, within_s: float = 60) -> None:
    """Wait until a connection is live."""

    async def look() -> bool:
        return await state_of(place, connection) == "live"

    await until(look, f"connection {connection} is live", within_s=within_s)


async def facts(place: Place, *patterns: str, after: int = 0) -> list[dict[str, Any]]:
    """Answer facts whose type begins so, in order: seq, type, key, connection, occurred_ms, late, data."""

    def work(tx: Connection) -> list[dict[str, Any]]:
        query = select(events).where(events.c.family == FACT, events.c.seq > after).order_by(events.c.seq)
        return [
            {
                "seq": row.seq, "id": row.id, "type": row.type, "key": row.key, "connection": row.connection,
                "occurred_ms": row.occurred_ms, "recorded_ms": row.recorded_ms, "late": row.late,
                "epoch": row.epoch, "data": json.loads(row.body),
            }
            for row in tx.execute(query)
            if row.type.startswith(patterns)
        ]  # fmt: skip

    return await place.read(work)


async def head(place: Place) -> int:
    return await place.read(lambda tx: tx.scalar(select(func.max(events.c.seq))) or 0)


async def open_calls(place: Place) -> int:
    query = select(func.count()).select_from(calls).where(calls.c.status.in_(("open", "oncall")))
    return await place.read(lambda tx: tx.scalar(query) or 0)


async def deliveries_by_state(place: Place) -> dict[str, int]:
    query = select(deliveries.c.state, func.count()).group_by(deliveries.c.state)
    return await place.read(lambda tx: {row[0]: row[1] for row in tx.execute(query)})


async def is_settled(place: Place, *, within_s: float = 90) -> None:
    """Wait until every event is understood, every fact delivered and no call is open."""
    seen: dict[str, Any] = {}

    def work(tx: Connection) -> bool:
        last = tx.scalar(select(func.max(events.c.seq))) or 0
        slowest = tx.scalar(select(func.min(cursors.c.seq)))
        living = select(func.count()).select_from(calls).where(calls.c.status.in_(("open", "oncall")))
        open_ = select(func.count()).select_from(deliveries)
        open_ = open_.where(deliveries.c.state.in_(("pending", "sending", "waiting")))
        seen.update(head=last, slowest=slowest, living=tx.scalar(living), undelivered=tx.scalar(open_))
        return not seen["living"] and not seen["undelivered"] and slowest is not None and slowest >= last

    await until(
        lambda: place.read(work), "all is understood and delivered", within_s=within_s, every_s=0.2,
        known=lambda: seen,
    )  # fmt: skip


async def gaps_of(place: Place, connection: str = "") -> list[dict[str, Any]]:
    """Answer the gap records, oldest first."""
    query = select(gaps).order_by(gaps.c.from_ms)
    if connection:
        query = query.where(gaps.c.connection == connection)
    return await place.read(lambda tx: [dict(row._mapping) for row in tx.execute(query)])


async def alerts_of(place: Place) -> list[dict[str, Any]]:
    query = select(alerts).order_by(alerts.c.raised_ms)
    return await place.read(lambda tx: [dict(row._mapping) for row in tx.execute(query)])


async def leases_of(place: Place) -> dict[str, dict[str, Any]]:
    return await place.read(lambda tx: {row.name: dict(row._mapping) for row in tx.execute(select(leases))})
