"""Insert or change, spelled the same for both databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert


def upsert(tx: Connection, table: Table, row: Mapping[str, Any], key: tuple[str, ...]) -> None:
    """Insert the row, or change the one with the same key."""
    upsert_many(tx, table, [row], key)


def upsert_many(
    tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]
) -> None:
    """Insert the rows, all with the same columns, or change those with the same keys."""
    if not rows:
        return
    insert = pg_insert if tx.dialect.name == "postgresql" else sqlite_insert
    statement = insert(table)
    change = {name: statement.excluded[name] for name in rows[0] if name not in key}
    tx.execute(
        statement.on_conflict_do_update(index_elements=list(key), set_=change), [dict(row) for row in rows]
    )


def insert_new(tx: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert the row unless there is one with the same key; answer whether it was inserted."""
    insert = pg_insert if tx.dialect.name == "postgresql" else sqlite_insert
    return bool(tx.execute(insert(table).values(dict(row)).on_conflict_do_nothing()).rowcount)
