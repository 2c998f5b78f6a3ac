"""The old clients' side of a site."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.connectors.traffilog.portal import client
from tests.simulators.traffilog_ground import running as simulating
from tests.store.bases import url_of
from tests.web.old.rig import KEYS, Old
from tests.web.site import running

Make = Callable[..., Awaitable[Old]]


@pytest_asyncio.fixture
async def old_with(tmp_path: Path, ambient: Ambient, clock: HeldClock) -> AsyncIterator[Make]:
    """Make a site whose settings differ."""
    async with AsyncExitStack() as stack:

        async def make(database_url: str = "", **settings: Any) -> Old:
            client.forget_all()
            sim = await stack.enter_async_context(simulating(clock))
            given = KEYS | settings
            site = await stack.enter_async_context(
                running(tmp_path, ambient, database_url, more=(CONNECTOR,), **given)
            )
            old = Old(site, sim, site.client())
            await old.connect()
            return old

        yield make


@pytest_asyncio.fixture
async def old(request: pytest.FixtureRequest, old_with: Make) -> Old:
    """A site with keys, all jobs done by the hub; on SQLite but for tests marked `on_both("old")`."""
    return await old_with(url_of(request))


@pytest_asyncio.fixture
async def outside(request: pytest.FixtureRequest, old_with: Make) -> Old:
    """A site that leaves some types to workers outside; `on_both("outside")` as with `old`."""
    types = "scheme_builder monitor_can_snapshot html5_warmup"
    return await old_with(url_of(request), old_outside_types=types)
