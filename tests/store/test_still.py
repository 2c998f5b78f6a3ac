"""What is done in stillness meets no statement of anybody, and holds nobody up for good."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import Connection, text

from atalaia.store.store import Store
from tests.store.bases import Base, base, sqlite, store

__all__ = ["base", "sqlite", "store"]


class Traffic:
    """Counts works that are being done."""

    def __init__(self) -> None:
        self.now, self.done = 0, 0
        self._lock = threading.Lock()

    def work(self, tx: Connection) -> None:
        with self._lock:
            self.now += 1
        for _ in range(20):
            tx.execute(text("select 1"))
        with self._lock:
            self.now -= 1
            self.done += 1


async def test_no_work_is_under_way_while_it_is_still(sqlite: Base):
    # On PostgreSQL statements are made and run on the loop, which does nothing else meanwhile.
    store = await sqlite.open()
    traffic, met = Traffic(), list[int]()
    works = [store.read(traffic.work) if n % 2 else store.write(traffic.work) for n in range(60)]
    busy = asyncio.gather(*works)
    for _ in range(5):
        await store.still(lambda: met.append(traffic.now))
    await busy

    assert met == [0] * 5
    assert traffic.done == 60


async def test_what_fails_in_stillness_fails_alone(store: Store):
    def fail() -> None:
        raise KeyError("no such module")

    with pytest.raises(KeyError):
        await asyncio.gather(store.still(fail), store.still(lambda: None))
    assert await store.read(lambda tx: tx.scalar(text("select 1"))) == 1
    assert await store.write(lambda tx: tx.scalar(text("select 1"))) == 1
