"""A worker that is paused in the middle of a transaction must not hold the others up."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import Connection, insert, select, text

from atalaia.errors import StoreUnavailable
from atalaia.store import postgres
from atalaia.store.connect import open_store
from atalaia.store.store import serialise
from atalaia.store.tables import hub_settings
from tests.peers.postgresql import PostgreSQL


async def test_the_transaction_of_a_paused_worker_is_undone_and_the_others_go_on(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr(postgres, "PAUSED_MS", 300)
    url = postgresql.new_database()
    other = await open_store(url, tmp_path)
    holds, wakes = threading.Event(), threading.Event()

    def paused(tx: Connection) -> None:
        serialise(tx)
        tx.execute(insert(hub_settings).values(name="paused", value="1", changed_ms=1))
        holds.set()
        wakes.wait(30)  # blocks its whole event loop, as SIGSTOP does
        tx.execute(text("select 1"))

    async def run_paused() -> None:
        store = await open_store(url, tmp_path)
        try:
            with pytest.raises(StoreUnavailable):
                await store.write(paused)
        finally:
            await store.close()

    def append(tx: Connection) -> None:
        serialise(tx)
        tx.execute(insert(hub_settings).values(name="other", value="1", changed_ms=1))

    sleeper = asyncio.create_task(asyncio.to_thread(asyncio.run, run_paused()))
    try:
        assert await asyncio.to_thread(holds.wait, 30)
        async with asyncio.timeout(30):
            await other.write(append)
        wakes.set()
        await sleeper
        names = await other.read(lambda tx: set(tx.scalars(select(hub_settings.c.name))))
        assert "other" in names and "paused" not in names
    finally:
        wakes.set()
        await other.close()
