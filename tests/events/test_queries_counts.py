"""Counts per kind: what sparklines and the page of a connection are drawn from, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from atalaia.events.queries import counts, rates, rates_of
from atalaia.store.connect import open_store
from atalaia.store.tables import event_counts

MINUTE = 60_000
START = 1_800_000_000_000 - 1_800_000_000_000 % MINUTE


def fill(tx: Connection) -> None:
    rows = [
        {
            "connection": connection, "type": kind, "minute_ms": START + minute * MINUTE,
            "kept": minute, "counted": 1, "dropped": 0, "duplicate": 2,
        }
        for connection in ("c1", "c2")
        for kind in ("a.One", "a.Two")
        for minute in range(-5, 10)
        if kind == "a.One" or minute % 2
    ]  # fmt: skip
    tx.execute(insert(event_counts), [row | {"kept": abs(int(str(row["kept"])))} for row in rows])


@pytest.mark.parametrize("base", ["sqlite", pytest.param("postgresql", marks=pytest.mark.peers)])
async def test_hopping_over_kinds_counts_as_reading_everything_does(
    base: str, request: pytest.FixtureRequest, tmp_path: Path
):
    url = request.getfixturevalue("postgresql").new_database() if base == "postgresql" else ""
    store = await open_store(url, tmp_path)
    try:
        await store.write(fill)
        span = {"from_ms": START, "to_ms": START + 10 * MINUTE}
        for bucket in (MINUTE, 3 * MINUTE):
            hopped = await store.read(lambda tx, b=bucket: rates_of(tx, "c1", **span, bucket_ms=b))
            read = await store.read(lambda tx, b=bucket: rates(tx, **span, bucket_ms=b, connection="c1"))
            assert hopped == read["c1"]
        assert hopped["a.One"] == [0 + 1 + 2 + 3, 3 + 4 + 5 + 3, 6 + 7 + 8 + 3, 9 + 1]
        of_one = await store.read(lambda tx: counts(tx, since_ms=START, connection="c1"))
        of_all = await store.read(lambda tx: counts(tx, since_ms=START))
        assert of_one == [row for row in of_all if row["connection"] == "c1"]
        assert await store.read(lambda tx: rates_of(tx, "nobody", **span)) == {}
    finally:
        await store.close()
