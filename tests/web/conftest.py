"""The site that each test of the web gets for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atalaia.ambient import Ambient
from tests.web.site import Site, running


@pytest.fixture
async def site(request: pytest.FixtureRequest, tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    """A running site with a held clock; on SQLite unless a test asks for `BOTH` databases."""
    url = ""
    if getattr(request, "param", "sqlite") == "postgresql":
        url = request.getfixturevalue("postgresql").new_database()
    async with running(tmp_path, ambient, url) as site:
        yield site
