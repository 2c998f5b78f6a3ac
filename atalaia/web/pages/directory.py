"""Names behind numbers: what the connections' own directories say, as last heard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from sqlalchemy import Connection

from atalaia.connections.queries import Brief, ConnectionSeen
from atalaia.events.queries import EventFilter, newest

_READ_MAX = 32


@dataclass(frozen=True)
class Book:
    """Client names by code, names by number, and what is wrong with the files they come from.

    problems: [{"file", "line", "reason", "kind", "remedy", "level"}]. Numbers of two servers that have the
    same name stand for the same phone here; pages that must tell them apart read one connection's book.
    """

    clients: Mapping[str, str] = field(default_factory=dict[str, str])
    numbers: Mapping[str, str] = field(default_factory=dict[str, str])
    problems: tuple[dict[str, Any], ...] = ()
    read_ms: int | None = None

    def client(self, code: str) -> str:
        """Answer how a client is called; his code when nobody named him."""
        return self.clients.get(code) or code

    def name(self, number: str) -> str:
        """Answer the name behind a number, "" when there is none."""
        return self.numbers.get(number, "")


_read: dict[int, Book] = {}


def book_of(tx: Connection, connections: Iterable[ConnectionSeen | Brief]) -> Book:
    """Answer the directories of these connections as one book."""
    listed = list(connections)
    with_one = {kind for kind in {one.connector for one in listed} if _has_directories(tx, kind)}
    books = [book for one in listed if one.connector in with_one and (book := _last(tx, one)) is not None]
    if len(books) == 1:
        return books[0]
    clients: dict[str, str] = {}
    numbers: dict[str, str] = {}
    for book in books:
        clients.update(book.clients)
        numbers.update(book.numbers)
    return Book(clients, numbers, tuple(one for book in books for one in book.problems))


def _has_directories(tx: Connection, connector: str) -> bool:
    """Answer whether a connection of this kind ever told a directory: most never do, and may be thousands."""
    return bool(newest(tx, EventFilter(types=(f"{connector}.directory",)), limit=1).events)


def _last(tx: Connection, one: ConnectionSeen | Brief) -> Book | None:
    wanted = EventFilter(types=(f"{one.connector}.directory",), connection=one.id)
    found = newest(tx, wanted, limit=1).events
    if not found:
        return None
    event = found[0]
    if event.seq not in _read:
        if len(_read) >= _READ_MAX:
            _read.clear()
        _read[event.seq] = read_book(event.body, event.occurred_ms)
    return _read[event.seq]


def read_book(body: str, at_ms: int) -> Book:
    """Read what a directory event says; what is missing or of another shape is left out."""
    try:
        content: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Book(read_ms=at_ms)
    clients = {str(row.get("code", "")): str(row.get("name", "")) for row in _rows(content, "clients")}
    numbers: dict[str, str] = {}
    for part in ("endpoints", "ring_groups"):
        numbers.update(
            {str(row.get("number", "")): str(row["name"]) for row in _rows(content, part) if row.get("name")}
        )
    return Book(clients, numbers, tuple(_rows(content, "problems")), at_ms)


def _rows(content: Any, name: str) -> list[dict[str, Any]]:
    found: Any = cast("dict[str, Any]", content).get(name) if isinstance(content, dict) else None
    if not isinstance(found, list):
        return []
    return [cast("dict[str, Any]", row) for row in cast("list[Any]", found) if isinstance(row, dict)]
