"""Many rows in few steps, the same rows on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from atalaia.store.bulk import fetch_rows, in_parts, insert_rows
from atalaia.store.store import Store
from atalaia.store.tables import hub_settings

COLUMNS = ("name", "value", "changed_ms")
NAMES = ", ".join(COLUMNS)
ODD = 'quote " back \\ line \n tab \t umlaut ü astral 🦉 \x01'


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 300])
async def test_all_rows_arrive_whatever_their_number(store: Store, count: int):
    rows = [(f"{n:04}", ODD, 2**60 + n) for n in range(count)]

    def work(tx: Connection) -> list[tuple[object, ...]]:
        insert_rows(tx, hub_settings, COLUMNS, rows)
        sql = f"select {NAMES} from hub_settings where name >= ? order by name desc limit ?"
        return [tuple(row) for row in fetch_rows(tx, NAMES, sql, "", 1000)]

    assert await store.write(work) == rows[::-1]


def test_rows_go_in_parts_of_few_sizes_and_in_their_order():
    rows = [(n,) for n in range(300)]
    parts = list(in_parts(rows))
    assert [len(part) for part in parts] == [128, 128, 32, 8, 4]
    assert [row for part in parts for row in part] == rows
    assert list(in_parts([])) == []
