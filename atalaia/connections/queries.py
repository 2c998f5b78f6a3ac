"""Connections with the truth about them: state, evidence by plane, owner. Settings are the registry's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import orjson
from sqlalchemy import Connection, Row, func, select

from atalaia.store.bulk import fetch_rows, tuples_of
from atalaia.store.tables import connection_states, connections, leases, planes, workers

UNKNOWN = "unknown"
TOLD_HEALTH = ("hung", "mute")  # claims of a failing plane that say more than the state


@dataclass(frozen=True, slots=True)
class PlaneSeen:
    """One way in which a session proves that it lives. claim: its own word; evidence: what we saw."""

    plane: str
    state: str
    claim: str
    evidence: dict[str, Any]
    seen_ms: int | None
    checked_ms: int | None


@dataclass(frozen=True, slots=True)
class ConnectionSeen:
    """One connection as a wall shows it.

    state: opening, live, suspect, lost, waiting, needs_person, stopped, or unknown when nobody looked yet.
    kind: what is known of the upstream's session beside it, a value of `truth.Truth`.
    until_ms: when a waiting one tries again. owner: the worker that runs it.
    """

    id: str
    connector: str
    name: str
    desired: str
    created_ms: int
    changed_ms: int
    state: str = UNKNOWN
    since_ms: int | None = None
    attempt: int = 0
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict[str, Any])
    until_ms: int | None = None
    heard_ms: int | None = None
    epoch: int = 0
    owner: str = ""
    planes: list[PlaneSeen] = field(default_factory=list[PlaneSeen])
    kind: str = ""

    @property
    def told(self) -> str:
        """What a failing plane says that is more than the state, one of `TOLD_HEALTH` or ""."""
        failing = (one.claim for one in self.planes if one.state == "failing")
        return next((claim for claim in failing if claim in TOLD_HEALTH), "")

    @property
    def failure(self) -> dict[str, str]:
        """Why the last try ended, until one is live: {"said", "cause"?, "todo"?}, {} when nothing failed."""
        told: Any = self.evidence.get("failure")
        found = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
        return {name: str(value) for name, value in found.items()}


class Brief(NamedTuple):
    """What tells the state of one connection among thousands; the names are those of `ConnectionSeen`.

    server: the upstream's, shared by sessions.
    """

    id: str
    connector: str
    name: str
    desired: str
    state: str
    kind: str
    heard_ms: int | None
    server: str
    told: str = ""


_BRIEF = (
    "select c.id, c.connector, c.name, c.desired, coalesce(s.state, 'unknown') as state, "
    "coalesce(s.kind, '') as kind, s.heard_ms, coalesce(s.server, '') as server "
    "from connections c left join connection_states s on s.connection = c.id where c.deleted_ms is null"
)


def list_briefs(tx: Connection) -> list[Brief]:
    """Answer every connection that is not deleted, in no order."""
    among = tuples_of(len(TOLD_HEALTH), 1)
    query = (
        f"select connection, claim from planes where state = 'failing' and claim in {among} order by plane"  # noqa: S608
    )
    told: dict[str, str] = {}
    for row in fetch_rows(tx, "connection, claim", query, *TOLD_HEALTH):
        told.setdefault(row[0], row[1])
    columns = "id, connector, name, desired, state, kind, heard_ms, server"
    return [Brief._make((*row, told.get(row[0], ""))) for row in fetch_rows(tx, columns, _BRIEF)]


def list_connections(tx: Connection, *, with_planes: bool = True) -> list[ConnectionSeen]:
    """Answer every connection that is not deleted, by name. with_planes: also what proves them."""
    query = _query().order_by(func.lower(connections.c.name), connections.c.id)
    by_connection = _planes(tx, select(planes).order_by(planes.c.plane)) if with_planes else {}
    return [_read(row, by_connection.get(row.id, [])) for row in tx.execute(query)]


def get_connections(tx: Connection, identities: Sequence[str]) -> list[ConnectionSeen]:
    """Answer these connections in their order; who was deleted meanwhile is left out."""
    query = _query().where(connections.c.id.in_(identities))
    mine = select(planes).where(planes.c.connection.in_(identities)).order_by(planes.c.plane)
    by_connection = _planes(tx, mine)
    found = {row.id: _read(row, by_connection.get(row.id, [])) for row in tx.execute(query)}
    return [found[one] for one in identities if one in found]


def _planes(tx: Connection, query: Any) -> dict[str, list[PlaneSeen]]:
    found: dict[str, list[PlaneSeen]] = {}
    for row in tx.execute(query):
        found.setdefault(row.connection, []).append(_read_plane(row))
    return found


def get_connection(tx: Connection, identity: str) -> ConnectionSeen | None:
    """Answer one connection."""
    row = tx.execute(_query().where(connections.c.id == identity)).first()
    if row is None:
        return None
    found = tx.execute(select(planes).where(planes.c.connection == identity).order_by(planes.c.plane))
    return _read(row, [_read_plane(one) for one in found])


def names(tx: Connection) -> dict[str, str]:
    """Answer the name of every connection there ever was, by id: old events name deleted ones."""
    return {row.id: row.name for row in tx.execute(select(connections.c.id, connections.c.name))}


def states(tx: Connection) -> dict[str, int]:
    """Answer how many of the connections that should be on are in each state."""
    query = (
        select(func.coalesce(connection_states.c.state, UNKNOWN).label("state"), func.count().label("n"))
        .select_from(
            connections.outerjoin(connection_states, connection_states.c.connection == connections.c.id)
        )
        .where(connections.c.deleted_ms.is_(None), connections.c.desired == "on")
        .where(connections.c.connector != "intake")  # others call us: there is no session to lose
        .group_by("state")
    )
    return {row.state: int(row.n) for row in tx.execute(query)}


def _query() -> Any:
    c, s = connections, connection_states
    joined = c.outerjoin(s, s.c.connection == c.c.id)
    joined = joined.outerjoin(leases, leases.c.name == "connection:" + c.c.id)
    joined = joined.outerjoin(workers, workers.c.id == leases.c.owner)
    columns = (
        c.c.id, c.c.connector, c.c.name, c.c.desired, c.c.created_ms, c.c.changed_ms, s.c.state, s.c.since_ms,
        s.c.attempt, s.c.reason, s.c.evidence, s.c.until_ms, s.c.heard_ms, s.c.epoch, workers.c.host,
        workers.c.pid, s.c.kind,
    )  # fmt: skip
    return select(*columns).select_from(joined).where(c.c.deleted_ms.is_(None))


def _read(row: Row[Any], seen: list[PlaneSeen]) -> ConnectionSeen:
    base = (row.id, row.connector, row.name, row.desired, row.created_ms, row.changed_ms)
    if row.state is None:
        return ConnectionSeen(*base, planes=seen)
    owner = f"{row.host} ({row.pid})" if row.host else ""
    return ConnectionSeen(
        *base, row.state, row.since_ms, row.attempt, row.reason, orjson.loads(row.evidence or "{}"),
        row.until_ms, row.heard_ms, row.epoch, owner, seen, row.kind,
    )  # fmt: skip


def _read_plane(row: Row[Any]) -> PlaneSeen:
    evidence = orjson.loads(row.evidence or "{}")
    return PlaneSeen(row.plane, row.state, row.claim, evidence, row.seen_ms, row.checked_ms)
