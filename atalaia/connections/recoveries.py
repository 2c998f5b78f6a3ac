"""What was tried to bring sessions back: the rows that limit the next try, and their facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from atalaia.ambient import Ambient
from atalaia.clock import from_ms, to_ms
from atalaia.connections.ladder import Granted, Ladder, Rung, ServerSeen, Tried, allowed
from atalaia.connections.session import Claimed
from atalaia.connections.truth import Truth
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.store.leases import Lease, check
from atalaia.store.store import serialise
from atalaia.store.tables import connection_states, connections
from atalaia.store.truth_tables import recoveries

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WHOLE_MS = 10 * 60_000  # a rung that touches a whole server is over by then
ENDED = "The session ended while this was tried."
_BAD = (
    Truth.DEAF, Truth.SILENT, Truth.HUNG, Truth.BROWSER_LOST, Truth.CLOSED, Truth.RECOVERING, Truth.NO_ACK,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recovered:
    """One try. ended_ms: None while it is under way. outcome: proved, failed, or "" while under way."""

    id: str
    connection: str
    rung: str
    title: str
    step: int
    cause: str
    started_ms: int
    ended_ms: int | None
    outcome: str
    said: str


@dataclass(frozen=True)
class Asked:
    """Who asks for which rung, and why. server: what its sessions share; "" = it shares nothing."""

    connection: str
    lease: Lease
    server: str
    rung: Rung
    cause: Truth
    ladder: Ladder


def claim(tx: Connection, ambient: Ambient, asked: Asked) -> Claimed:
    """Write down that a rung is tried, when the limits allow it. Errors: `Fenced`."""
    check(tx, asked.lease.name, asked.lease.epoch)
    serialise(tx)  # sessions of one server ask one after the other, whichever worker they are on
    now = ambient.clock.now()
    _settle_lost(tx, ambient, asked)
    mine = [_tried(row) for row in list_recoveries(tx, asked.connection, since_ms=to_ms(now) - DAY_MS)[::-1]]
    answer = allowed(asked.rung, mine, _server(tx, asked, now), now, asked.ladder)
    if not isinstance(answer, Granted):
        return Claimed(answer)
    identity = ambient.ids.new()
    row = {
        "id": identity, "connection": asked.connection, "server": asked.server, "rung": asked.rung.name,
        "title": asked.rung.title, "step": asked.ladder.rungs.index(asked.rung) + 1, "cause": asked.cause,
        "opens": asked.rung.opens, "whole": asked.rung.server, "epoch": asked.lease.epoch,
        "started_ms": to_ms(now), "ended_ms": None, "outcome": "", "said": "",
    }  # fmt: skip
    tx.execute(insert(recoveries).values(row))
    more = {"does": asked.rung.does, "proof": asked.rung.proof, "server": asked.server}
    _tell(tx, ambient, asked.lease, "recovery.tried", row, more)
    return Claimed(answer, identity)


def settle(tx: Connection, ambient: Ambient, lease: Lease, identity: str, outcome: str, said: str) -> None:
    """Write down how a try ended; one that is settled stays so. Errors: `Fenced`."""
    check(tx, lease.name, lease.epoch)
    row = tx.execute(select(recoveries).where(recoveries.c.id == identity)).mappings().first()
    if row is None or row["outcome"]:
        return
    ended = to_ms(ambient.clock.now())
    values = {"ended_ms": ended, "outcome": outcome, "said": said}
    tx.execute(update(recoveries).where(recoveries.c.id == identity).values(values))
    more = {"said": said, "took_ms": ended - row["started_ms"]}
    _tell(tx, ambient, lease, f"recovery.{outcome}", dict(row), more)


def list_recoveries(tx: Connection, connection: str, *, since_ms: int, limit: int = 200) -> list[Recovered]:
    """Answer what was tried since then, the latest first."""
    r = recoveries.c
    query = select(
        r.id, r.connection, r.rung, r.title, r.step, r.cause, r.started_ms, r.ended_ms, r.outcome, r.said
    )
    query = query.where(r.connection == connection, r.started_ms >= since_ms)
    return [
        Recovered(*row) for row in tx.execute(query.order_by(r.started_ms.desc(), r.id.desc()).limit(limit))
    ]


def _settle_lost(tx: Connection, ambient: Ambient, asked: Asked) -> None:
    """End what nobody is trying any more: whoever asks anew has no rung under way."""
    left = and_(recoveries.c.connection == asked.connection, recoveries.c.outcome == "")
    for identity in list(tx.scalars(select(recoveries.c.id).where(left))):
        settle(tx, ambient, asked.lease, identity, "failed", ENDED)


def _server(tx: Connection, asked: Asked, now: datetime) -> ServerSeen:
    if not asked.server:
        return ServerSeen(bad=1, all=1)
    r, s, c = recoveries.c, connection_states.c, connections.c
    since = to_ms(now) - max(WHOLE_MS, round(asked.ladder.beat.total_seconds() * 1000))
    rows = tx.execute(select(recoveries).where(r.server == asked.server, r.started_ms > since)).all()
    joined = connection_states.join(connections, c.id == s.connection)
    wanted = (s.server == asked.server, c.desired == "on", c.deleted_ms.is_(None))
    kinds = tx.scalars(select(s.kind).select_from(joined).where(*wanted)).all()
    return ServerSeen(
        opened=[from_ms(row.started_ms) for row in rows if row.opens or row.whole],
        busy=any(row.whole and not row.outcome and row.connection != asked.connection for row in rows),
        bad=sum(kind in _BAD for kind in kinds),
        all=len(kinds),
    )


def _tried(row: Recovered) -> Tried:
    ended = from_ms(row.ended_ms) if row.ended_ms is not None else None
    return Tried(row.rung, from_ms(row.started_ms), ended, row.outcome)


_SAID = ("rung", "title", "step", "cause")


def _tell(
    tx: Connection, ambient: Ambient, lease: Lease, kind: str, row: dict[str, Any], more: dict[str, Any]
) -> None:
    data = {"id": row["id"], **{name: row[name] for name in _SAID}, **more}
    fact = Fact(kind, row["connection"], to_ms(ambient.clock.now()), data)
    _append(tx, ambient, lease, [fact], row["connection"])


def _append(tx: Connection, ambient: Ambient, lease: Lease, facts: Sequence[Fact], connection: str) -> None:
    append_facts(tx, ambient, "recovery", facts, connection=connection, epoch=lease.epoch)
