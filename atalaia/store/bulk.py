"""The hot path's raw statements: many rows in one trip, the same call on both databases."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    CursorResult,
    Float,
    Integer,
    SmallInteger,
    Table,
    text,
)

Row = tuple[Any, ...]
_PART_MOST = 128  # rows in a statement; with 15 columns far below the 32,766 parameters of SQLite


def allocate(tx: Connection, table: str, count: int) -> int:
    """Reserve `count` consecutive sequence numbers and answer the first.

    The caller is the only one who appends (one writer or the append lock), so numbers that are
    reserved but not used may be given again (SQLite) or leave a hole that nobody fills later (PostgreSQL).
    """
    if count == 0:
        return 0
    if tx.dialect.name == "postgresql":
        statement = (
            "select min(n), max(n) from (select nextval(pg_get_serial_sequence(:t, :c)) as n "
            "from generate_series(1, :k)) as numbers"
        )
        column = "id" if table == "deliveries" else "seq"
        row = tx.execute(text(statement), {"t": table, "c": column, "k": count}).one()
        return int(row[0])
    last = tx.exec_driver_sql("select seq from sqlite_sequence where name = ?", (table,)).scalar()
    return int(last or 0) + 1


def run(tx: Connection, sql: str, *values: Any) -> CursorResult[Any]:
    """Execute constant SQL with `?` for each value, handed to the driver as it is."""
    return tx.exec_driver_sql(_numbered(sql) if tx.dialect.name == "postgresql" else sql, values)


def fetch_rows(tx: Connection, columns: str, sql: str, *values: Any) -> Iterable[Sequence[Any]]:
    """Answer the rows of a select with these columns (text and whole numbers only), in its order.

    On SQLite all rows come in one step as JSON: reading them one by one takes a step each, see `in_parts`.
    """
    if tx.dialect.name == "postgresql":
        return run(tx, sql, *values)
    whole = f"select json_group_array(json_array({columns})) from ({sql})"  # noqa: S608
    return orjson.loads(tx.exec_driver_sql(whole, values).scalar_one())


@lru_cache(maxsize=256)
def _numbered(sql: str) -> str:
    """Write placeholders as PostgreSQL's driver wants them."""
    count = itertools.count(1)
    return re.sub(r"\?", lambda _: f"${next(count)}", sql)


def insert_rows(
    tx: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], *, also: str = ""
) -> None:
    """Insert tuples whose order is that of `columns`.

    also: how the statement goes on, e.g. ` on conflict do nothing`.
    """
    if not rows:
        return
    names = ", ".join(columns)
    if tx.dialect.name == "postgresql":
        arrays = ", ".join(f"${i}::{_pg_type(table, name)}[]" for i, name in enumerate(columns, 1))
        statement = f"insert into {table.name} ({names}) select * from unnest({arrays}){also}"  # noqa: S608
        tx.exec_driver_sql(statement, tuple(list(column) for column in zip(*rows, strict=True)))
        return
    for part in in_parts(rows):
        statement = f"insert into {table.name} ({names}) values {tuples_of(len(columns), len(part))}{also}"  # noqa: S608
        tx.exec_driver_sql(statement, flat(part))


def in_parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut rows into parts for one SQLite statement each, whose sizes are powers of two.

    Python's driver lets go of the interpreter at each step of a statement, and gets it back only when the
    busy event loop gives it: what counts is how many steps there are, and `executemany` takes one a row.
    Few sizes, because the driver keeps the statements it has prepared.
    """
    start = 0
    while start < len(rows):
        size = min(_PART_MOST, 1 << ((len(rows) - start).bit_length() - 1))
        yield rows[start : start + size]
        start += size


def flat(rows: Iterable[Row]) -> Row:
    """Answer the values of all rows in a row."""
    return tuple(itertools.chain.from_iterable(rows))


@lru_cache(maxsize=256)
def tuples_of(columns: int, rows: int) -> str:
    """Answer the marks of `rows` rows: `(?, ?), (?, ?)`."""
    one = f"({', '.join('?' * columns)})"
    return ", ".join([one] * rows)


def given(tx: Connection, names: Mapping[str, str], rows: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    """Answer rows as a table `given` to select from: its SQL and the values for its marks.

    names: column -> its type on PostgreSQL, e.g. `text`. SQLite may need several parts, see `in_parts`; a
    statement for each row would let go of the interpreter as often, and under load wait for it each time.
    """
    columns = ", ".join(names)
    if tx.dialect.name == "postgresql":
        if rows:
            arrays = ", ".join(f"?::{kind}[]" for kind in names.values())
            yield f"unnest({arrays}) as given({columns})", tuple(list(one) for one in zip(*rows, strict=True))
        return
    named = ", ".join(f"column{place} as {name}" for place, name in enumerate(names, 1))
    for part in in_parts(rows):
        yield f"(select {named} from (values {tuples_of(len(names), len(part))})) as given", flat(part)  # noqa: S608


def seen(tx: Connection, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Answer which (scope, dedupe) pairs are in the log already, and where."""
    found: dict[tuple[str, str], int] = {}
    for table, values in given(tx, {"scope": "text", "dedupe": "text"}, list(dict.fromkeys(wanted))):
        # CROSS JOIN: SQLite would else be free to walk through everything that was ever seen.
        sql = f"select s.scope, s.dedupe, s.seq from {table} cross join events_seen s {_SAME}"  # noqa: S608
        rows = fetch_rows(tx, "scope, dedupe, seq", sql, *values)
        found.update({(scope, dedupe): seq for scope, dedupe, seq in rows})
    return found


_SAME = "where s.scope = given.scope and s.dedupe = given.dedupe"


def _pg_type(table: Table, name: str) -> str:
    kind = table.c[name].type
    if isinstance(kind, SmallInteger):
        return "smallint"
    if isinstance(kind, BigInteger):
        return "bigint"
    if isinstance(kind, Integer):
        return "integer"
    if isinstance(kind, Float):
        return "double precision"
    return "boolean" if isinstance(kind, Boolean) else "text"
