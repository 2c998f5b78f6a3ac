"""A worker with a connection to the simulated portal."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from atalaia.clock import HeldClock
from atalaia.connectors.traffilog.portal import client
from tests.connectors.traffilog.portal.bench import Bench, benched
from tests.store.bases import Base, base, shared, sqlite, store

__all__ = ["base", "shared", "sqlite", "store"]


@pytest_asyncio.fixture
async def bench(sqlite: Base, clock: HeldClock) -> AsyncIterator[Bench]:
    client.forget_all()
    async with benched(await sqlite.open(), sqlite.url, sqlite.folder, clock) as bench:
        yield bench
