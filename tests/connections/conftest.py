"""The two databases, and a keeper on strings over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.connections.rig import Rig
from tests.store.bases import base, shared, sqlite, store

__all__ = ["base", "shared", "sqlite", "store"]


@pytest_asyncio.fixture
async def rig(store, clock, ambient) -> AsyncIterator[Rig]:
    rig = Rig(store, clock, ambient)
    yield rig
    await tidy(rig)


@pytest_asyncio.fixture
async def one(sqlite, clock, ambient) -> AsyncIterator[Rig]:
    """A rig on SQLite, for what does not depend on the database."""
    rig = Rig(await sqlite.open(), clock, ambient)
    yield rig
    await tidy(rig)


async def tidy(rig: Rig) -> None:
    for task in rig.tasks:
        task.cancel()
    await asyncio.gather(*rig.tasks, return_exceptions=True)
