"""Both databases behind one fixture: `base` opens, closes and opens them again as a restart does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from atalaia.store.connect import open_store
from atalaia.store.store import Store

BOTH = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param(
        "postgresql", id="postgresql", marks=[pytest.mark.peers, pytest.mark.xdist_group("services")]
    ),
]


class Base:
    """One database of a test, which any number of stores may open (SQLite: one at a time)."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self._opened: list[Store] = []

    async def open(self) -> Store:
        """Open it as a process does at its start."""
        store = await open_store(self.url, self.folder)
        self._opened.append(store)
        return store

    async def close(self) -> None:
        for store in self._opened:
            await store.close()
        self._opened.clear()


def on_both(fixture: str) -> pytest.MarkDecorator:
    """Run a test on both databases whose fixture is on SQLite else; the fixture asks `url_of`."""
    return pytest.mark.parametrize(fixture, BOTH, indirect=True)


def url_of(request: pytest.FixtureRequest) -> str:
    """Answer the address of an empty PostgreSQL, or "" for SQLite, as a fixture's parameter says."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return ""
    return request.getfixturevalue("postgresql").new_database()


@pytest_asyncio.fixture(params=BOTH)
async def base(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Base]:
    """An empty database, once on SQLite and once on PostgreSQL."""
    base = Base(url_of(request), tmp_path)
    yield base
    await base.close()


@pytest_asyncio.fixture
async def store(base: Base) -> Store:
    """The database, opened."""
    return await base.open()


@pytest_asyncio.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Base]:
    """An empty SQLite, for what only it does."""
    base = Base("", tmp_path)
    yield base
    await base.close()


@pytest_asyncio.fixture
async def shared(postgresql, tmp_path: Path) -> AsyncIterator[Base]:
    """An empty PostgreSQL, for what only several workers do."""
    base = Base(postgresql.new_database(), tmp_path)
    yield base
    await base.close()
