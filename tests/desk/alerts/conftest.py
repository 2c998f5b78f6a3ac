"""A desk on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from atalaia.clock import HeldClock
from atalaia.store.store import Store
from tests.desk.alerts.rig import Desk
from tests.store.bases import base, store

__all__ = ["base", "store"]


@pytest_asyncio.fixture
async def desk(store: Store, clock: HeldClock) -> AsyncIterator[Desk]:
    """A worker that has begun, with a channel that takes everything still to be made."""
    desk = await Desk(store, clock).start()
    yield desk
    desk.notifier.lost("")
