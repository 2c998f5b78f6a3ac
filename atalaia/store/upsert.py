"""Insert or change, spelled the same for both databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert


def upsert(tx: Connection, table: Table, row: Mapping[str, Any], key: tuple[str, ...]) -> None:
    """Insert the row, or change the one with the same key."""
    insert = pg_insert if tx.dialect.name == "postgresql" else sqlite_insert
    change = {name: value for name, value in row.items() if name not in key}
    tx.execute(insert(table).values(dict(row)).on_conflict_do_update(index_elements=list(key), set_=change))
