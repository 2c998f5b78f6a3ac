"""Writes rows so that an older fact never overwrites what a newer one told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert


def upsert_newer(
    tx: Connection, table: Table, rows: Sequence[dict[str, Any]], *, first_only: Collection[str] = ()
) -> None:
    """Insert rows; one that is there already changes only when `changed_seq` grows.

    All rows have the same columns. first_only: columns that keep the value they were first given.
    """
    if not rows:
        return
    insert = pg_insert if tx.dialect.name == "postgresql" else sqlite_insert
    statement = insert(table)
    keys = [column.name for column in table.primary_key.columns]
    changed = {
        name: statement.excluded[name] for name in rows[0] if name not in keys and name not in first_only
    }
    newer = statement.excluded["changed_seq"] > table.c.changed_seq
    tx.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed, where=newer), list(rows))
