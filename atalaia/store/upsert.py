"""Insert or change, the same call on both databases; many rows in one trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from atalaia.store.bulk import insert_rows


def upsert(tx: Connection, table: Table, row: Mapping[str, Any], key: tuple[str, ...]) -> None:
    """Insert the row, or change the one with the same key."""
    upsert_many(tx, table, [row], key)


def upsert_many(
    tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]
) -> None:
    """Insert the rows, all with the same columns, or change those with the same keys.

    The last of several rows with the same key wins, as if they were written one after the other.
    """
    if not rows:
        return
    columns = tuple(rows[0])
    last = {tuple(row[name] for name in key): tuple(row[name] for name in columns) for row in rows}
    insert_rows(tx, table, columns, list(last.values()), also=_on_conflict(columns, key))


@lru_cache(maxsize=256)
def _on_conflict(columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    change = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
    return f" on conflict ({', '.join(key)}) do " + (f"update set {change}" if change else "nothing")


def insert_new(tx: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert the row unless there is one with the same key; answer whether it was inserted."""
    insert = pg_insert if tx.dialect.name == "postgresql" else sqlite_insert
    return bool(tx.execute(insert(table).values(dict(row)).on_conflict_do_nothing()).rowcount)
