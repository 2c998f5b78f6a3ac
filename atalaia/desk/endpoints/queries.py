"""Phones and whether they can be reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, tuple_

from atalaia.store.tables import endpoints


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One phone as last told by its server; `since_ms` is None when its status was never heard."""

    connection: str
    endpoint: str
    client: str
    type: str
    status: str
    address: str
    since_ms: int | None
    seq: int


def list_endpoints(
    tx: Connection, *, connection: str | None = None, client: str | None = None, status: str | None = None,
    words: str = "", after: tuple[str, str] | None = None, limit: int = 50,
) -> list[Endpoint]:  # fmt: skip
    """Answer phones by number. words: part of number or address. after: (endpoint, connection) known."""
    c = endpoints.c
    query = select(endpoints).order_by(c.endpoint, c.connection).limit(limit)
    for column, value in ((c.connection, connection), (c.client, client), (c.status, status)):
        if value is not None:
            query = query.where(column == value)
    if words:
        found = c.endpoint.contains(words, autoescape=True) | c.address.contains(words, autoescape=True)
        query = query.where(found)
    if after is not None:
        query = query.where(tuple_(c.endpoint, c.connection) > after)
    return [_read(row) for row in tx.execute(query)]


def count_by_status(tx: Connection, *, connection: str | None = None) -> dict[str, int]:
    """Answer how many phones are online, offline, unknown."""
    query = select(endpoints.c.status, func.count()).group_by(endpoints.c.status)
    if connection is not None:
        query = query.where(endpoints.c.connection == connection)
    return {status: int(number) for status, number in tx.execute(query)}


def count_by_client(tx: Connection) -> dict[str, tuple[int, int]]:
    """Answer per client how many phones are online and how many there are, by client."""
    c = endpoints.c
    query = select(c.client, c.status, func.count().label("n"))
    query = query.group_by(c.client, c.status).order_by(c.client)
    found: dict[str, tuple[int, int]] = {}
    for row in tx.execute(query):
        online, known = found.get(row.client, (0, 0))
        found[row.client] = (online + (int(row.n) if row.status == "online" else 0), known + int(row.n))
    return found


def _read(row: Any) -> Endpoint:
    return Endpoint(
        row.connection,
        row.endpoint,
        row.client,
        row.type,
        row.status,
        row.address,
        row.since_ms,
        row.changed_seq,
    )
