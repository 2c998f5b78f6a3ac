"""Screens and API are loaded when somebody asks for one, and not before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.web.site import Site

ROOT = Path(__file__).resolve().parents[2]
_ASKED = """
import sys
import atalaia.cli.up
print([name for name in ("atalaia.web.api.jobs", "atalaia.web.pages.now", "prometheus_client", "alembic")
       if name in sys.modules])
"""


def test_a_hub_that_nobody_looks_at_loads_neither():
    found = subprocess.run(
        [sys.executable, "-c", _ASKED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


async def test_what_is_asked_for_first_is_answered_as_ever(site: Site):
    client = await site.api()
    for path in (
        "/health",
        "/metrics",
        "/api/connections",
        "/system",
        "/connections",
        "/api/openapi.json",
    ):
        async with client.get(path) as answer:
            assert answer.status == 200, path
    async with client.get("/api/nothing") as api, client.get("/nothing") as page:
        assert (api.status, page.status) == (404, 404)
