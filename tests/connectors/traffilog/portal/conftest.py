"""A worker with a connection to the simulated portal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from atalaia.clock import HeldClock
from atalaia.connectors.traffilog.portal import client
from tests.connectors.traffilog.portal.bench import Bench, benched
from tests.store.bases import Base, base, shared, sqlite, store, url_of

__all__ = ["base", "shared", "sqlite", "store"]


@pytest_asyncio.fixture
async def bench(request: pytest.FixtureRequest, tmp_path: Path, clock: HeldClock) -> AsyncIterator[Bench]:
    """A bench on SQLite; a test marked `on_both("bench")` gets one on each database."""
    client.forget_all()
    base = Base(url_of(request), tmp_path)
    async with benched(await base.open(), base.url, base.folder, clock) as bench:
        yield bench
    await base.close()
