"""The rig of the sessions, the yard of the jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_asyncio

from atalaia.clock import HeldClock
from tests.connectors.traffilog.live.rig import Rig
from tests.connectors.traffilog.live.yard import Telematics
from tests.store.bases import Base, base, sqlite

__all__ = ["base", "sqlite"]


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.start()
    yield rig
    await rig.close()


@pytest_asyncio.fixture
async def yard(sqlite: Base, clock: HeldClock) -> AsyncIterator[Telematics]:
    """A running worker with a connection to the simulator."""
    yard = Telematics(await sqlite.open(), sqlite.folder, clock)
    await yard.open()
    await yard.start()
    yield yard
    await yard.close()


@pytest_asyncio.fixture
async def yard_with(sqlite: Base, clock: HeldClock) -> AsyncIterator[Callable[..., Awaitable[Telematics]]]:
    """Make a running worker whose connection has other settings."""
    made: list[Telematics] = []

    async def make(**changes: Any) -> Telematics:
        made.append(Telematics(await sqlite.open(), sqlite.folder, clock))
        await made[-1].open(**changes)
        await made[-1].start()
        return made[-1]

    yield make
    for yard in made:
        await yard.close()
