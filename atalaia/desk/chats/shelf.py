"""The rows that a batch of facts touches: each is read once, changed in memory, and written once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, select, tuple_

from atalaia.store.upsert import upsert_many

Row = dict[str, Any]
Key = tuple[Any, ...]
_CHUNK = 200


class Shelf:
    """Rows by table and primary key; what was put is written by `flush`.

    Every row has `changed_seq`: the last event that touched it. An event that is not newer changes nothing
    in it, which makes folding again harmless.
    """

    def __init__(self, tx: Connection) -> None:
        self.tx = tx
        self._rows: dict[str, dict[Key, Row | None]] = {}
        self._dirty: dict[str, tuple[Table, dict[Key, Row]]] = {}

    def preload(self, table: Table, keys: Iterable[Key]) -> None:
        """Read these rows in few trips."""
        known = self._rows.setdefault(table.name, {})
        wanted = sorted({key for key in keys if key not in known})
        columns = list(table.primary_key.columns)
        for start in range(0, len(wanted), _CHUNK):
            some = wanted[start : start + _CHUNK]
            known.update(dict.fromkeys(some))
            one = columns[0].in_([key[0] for key in some]) if len(columns) == 1 else None
            self._read(table, one if one is not None else tuple_(*columns).in_(some))

    def get(self, table: Table, *key: Any) -> Row | None:
        """Answer a row; it may be changed only by `put` of another one."""
        known = self._rows.setdefault(table.name, {})
        if key not in known:
            self.preload(table, [key])
        return known[key]

    def put(self, table: Table, row: Row) -> Row:
        """Take a row with all its columns in."""
        key = tuple(row[column.name] for column in table.primary_key.columns)
        self._rows.setdefault(table.name, {})[key] = row
        self._dirty.setdefault(table.name, (table, {}))[1][key] = row
        return row

    def find(self, table: Table, condition: ColumnElement[bool]) -> list[Row]:
        """Answer the rows that fit, as they stand after what was put."""
        self.flush()
        keys = self._read(table, condition)
        found = [self._rows[table.name][key] for key in keys]
        return [row for row in found if row is not None]

    def flush(self) -> None:
        """Write what was put."""
        for table, rows in self._dirty.values():
            _write(self.tx, table, list(rows.values()))
        self._dirty.clear()

    def _read(self, table: Table, condition: ColumnElement[bool]) -> list[Key]:
        keys: list[Key] = []
        known = self._rows.setdefault(table.name, {})
        primary = [column.name for column in table.primary_key.columns]
        for row in self.tx.execute(select(table).where(condition).order_by(*table.primary_key)).mappings():
            key = tuple(row[name] for name in primary)
            keys.append(key)
            known[key] = dict(row)
        return keys


def _write(tx: Connection, table: Table, rows: Sequence[Row]) -> None:
    keys = tuple(column.name for column in table.primary_key.columns)
    names = [column.name for column in table.columns]
    upsert_many(tx, table, [{name: row[name] for name in names} for row in rows], keys)
