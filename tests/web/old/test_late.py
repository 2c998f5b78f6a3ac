"""The old clients' addresses are loaded when somebody calls one, and not before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI

from atalaia.web.api import health, routers
from atalaia.web.old.traffilog.cors import OldOrigins
from atalaia.web.old.traffilog.late import OldAddresses
from atalaia.web.old.traffilog.routes import ROUTERS

ROOT = Path(__file__).resolve().parents[3]
PATHS = sorted({str(getattr(route, "path", "")) for router in ROUTERS for route in router.routes})
OWN = sorted(
    {
        str(getattr(route, "path", ""))
        for router in (*routers.ROUTERS, health.routes)
        for route in router.routes
    }
)


@pytest.fixture
def addresses() -> OldAddresses:
    return OldAddresses(FastAPI(), OldOrigins(()))


@pytest.mark.parametrize("path", PATHS)
def test_each_old_address_is_known_by_how_it_begins(addresses: OldAddresses, path: str):
    assert addresses.meant_by(path)


@pytest.mark.parametrize("path", [*OWN, "/events", "/events/17", "/jobs", "/installations", "/health", "/"])
def test_none_of_our_own_is_taken_for_one(addresses: OldAddresses, path: str):
    assert not addresses.meant_by(path)


def test_a_hub_that_nobody_calls_there_does_not_load_them():
    asked = "import sys, atalaia.web.app; print('atalaia.web.old.traffilog.jobs' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"
