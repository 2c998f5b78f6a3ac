"""A yard of jobs on each database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from atalaia.clock import HeldClock
from tests.jobs.yard import Yard
from tests.store.bases import Base, base, shared, sqlite, store

__all__ = ["base", "shared", "sqlite", "store"]


@pytest_asyncio.fixture
async def yard(base: Base, clock: HeldClock) -> AsyncIterator[Yard]:
    """A worker's jobs, not started yet, with a connection to a toy."""
    yard = Yard(await base.open(), base.url, base.folder, clock)
    await yard.open()
    yield yard
    await yard.close()
