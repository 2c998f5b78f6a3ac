"""The deliveries' fixtures: a store of each kind, a hub on it, a consumer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from atalaia.clock import HeldClock
from atalaia.deliveries.receiver import Receiver
from atalaia.store.connect import open_store
from atalaia.store.store import Store
from tests.deliveries.hub import Hub, sqlite_store
from tests.peers.postgresql import PostgreSQL

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A fresh SQLite store."""
    async with sqlite_store(tmp_path) as store:
        yield store


@pytest_asyncio.fixture
async def postgres_store(postgresql: PostgreSQL, tmp_path: Path) -> AsyncIterator[Store]:
    """A fresh PostgreSQL database."""
    store = await open_store(postgresql.new_database(), tmp_path)
    yield store
    await store.close()


@pytest_asyncio.fixture
async def hub(store: Store, clock: HeldClock) -> AsyncIterator[Hub]:
    """A hub with real targets on SQLite; its dispatcher is not running yet."""
    hub = Hub(store, clock)
    yield hub
    await hub.close()


@pytest_asyncio.fixture
async def receiver(clock: HeldClock) -> AsyncIterator[Receiver]:
    """A consumer that verifies signatures and keeps what came."""
    receiver = Receiver(secrets=[SECRET], clock=clock, keep=10_000)
    await receiver.start()
    yield receiver
    await receiver.stop()


@pytest.fixture
def secret() -> str:
    return SECRET
