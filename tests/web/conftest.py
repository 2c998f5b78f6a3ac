"""The site that each test of the web gets for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atalaia.ambient import Ambient
from tests.web.site import Site, running


@pytest.fixture
async def site(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    """A running site on SQLite with a held clock."""
    async with running(tmp_path, ambient) as site:
        yield site
