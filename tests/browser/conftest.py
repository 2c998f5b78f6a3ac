"""One furnished house for all browser tests, and pages in it that note every complaint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.browser.house import House
from tests.browser.house import house as build
from tests.browser.looking import Visitor

OpenPage = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="package")
def house(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A hub with live calls, trouble and consumers; nobody rebuilds it between tests.

    It ends with this folder's tests: the engine of its jobs throws dice of its own every second, which
    hypothesis takes for the doing of its strategies.
    """
    with build(tmp_path_factory.mktemp("house")) as built:
        yield built


@pytest_asyncio.fixture
async def visitor(browser: Browser, house: House) -> AsyncIterator[Visitor]:
    """Somebody who opens pages as an administrator; at the end nothing may have been complained about."""
    visitor = Visitor(browser, house)
    yield visitor
    await visitor.close()
    assert visitor.complaints == []
