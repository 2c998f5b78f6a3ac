"""Counts what is asked of a database: a list asks as often for many rows as for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event


@contextmanager
def counted(tx: Connection) -> Iterator[list[str]]:
    """Answer the statements that are executed by this connection meanwhile."""
    said: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if not statement.startswith("BEGIN"):  # SQLite's comes with the first of them
            said.append(statement)

    event.listen(tx, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(tx, "before_cursor_execute", note)
