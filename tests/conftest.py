"""What every test can ask for, and in which order the tests run."""

from __future__ import annotations

import inspect
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.ids import CountedIds

pytest_plugins = ["tests.peers.fixtures"]

# A busy machine is no defect: property tests are never judged by how long they take.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

# Which fixture makes a test need what; the first that fits names the worker's group under xdist,
# so that each peer is started once and the tests of one peer do not disturb each other.
GROUPS = {
    "asterisk16_server": "asterisk",
    "asterisk_server": "asterisk",
    "rabbitmq_server": "services",
    "postgresql_server": "services",
    "mariadb_server": "services",
    "chromium": "browser",
}


# Folders and files whose tests serve, start programs, or read the whole tree.
SERVED = (
    "tests/browser/", "tests/cli/", "tests/journeys/", "tests/peers/", "tests/simulators/", "tests/web/",
    "tests/test_package.py", "tests/test_reference.py", "tests/connectors/asterisk/test_properties.py",
    "tests/desk/test_folds.py",
)  # fmt: skip
# Whole hubs with a clock of their own: two cores that also carry SIP phones are too few for them. They come
# after the phones, in two rows that run beside each other.
BUSY = {
    "tests/jobs/": "hubs",
    "tests/journeys/test_telematics_kills.py": "hubs",
    "tests/web/old/": "hubs",
    "tests/connectors/traffilog/live/": "fleet",
    "tests/connectors/traffilog/portal/": "fleet",
    "tests/connectors/wppconnect/live/": "fleet",
}
PLACES = ("asterisk", "services", "browser", "hubs", "fleet", "")  # in this order


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run what is marked long: hours, not minutes")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a peer, leave out what is long, and begin with what takes longest to run."""
    long_ones = [item for item in items if item.get_closest_marker("long")]
    if long_ones and not config.getoption("--long"):
        config.hook.pytest_deselected(items=long_ones)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    places = {name: place for place, name in enumerate(PLACES)}
    order: dict[pytest.Item, int] = {}
    for item in items:
        group = _group(item)
        order[item] = places[group]
        if not group and _is_pure(item):
            item.add_marker("pure")
        if group:
            item.add_marker("browser" if group == "browser" else "peers")
            if not item.get_closest_marker("xdist_group"):
                item.add_marker(pytest.mark.xdist_group(group))
        row = next((row for begin, row in BUSY.items() if item.nodeid.startswith(begin)), "")
        if row:
            order[item] = places[row]
            item.add_marker(pytest.mark.xdist_group(row), append=False)
        if config.getoption("loadgroup", False):
            _name_group(item)
    # Under xdist the long row of peers must start first; alone, a quick failure should come first.
    shared_out = bool(config.getoption("numprocesses", None)) or hasattr(config, "workerinput")
    items.sort(key=lambda item: order[item] if shared_out else -order[item])


def _name_group(item: pytest.Item) -> None:
    """Put the group into the test's id, where xdist's scheduler looks for it.

    xdist 3.8 does that itself, but in a field that pytest 9.2 no longer reads; without this the tests of one
    peer go to all workers.
    """
    mark = item.get_closest_marker("xdist_group")
    identity: Any = getattr(item, "_id", None)
    if mark is not None and identity is not None:
        item._id = identity.parse(f"{item.nodeid}@{mark.args[0]}")  # pyright: ignore[reportAttributeAccessIssue]


def _is_pure(item: pytest.Item) -> bool:
    """Answer whether a test opens neither a socket nor a database nor a process: those run within seconds."""
    if inspect.iscoroutinefunction(getattr(item, "obj", None)) or item.get_closest_marker("slow"):
        return False
    return not item.nodeid.startswith(SERVED)


def _group(item: pytest.Item) -> str:
    names: list[str] = getattr(item, "fixturenames", [])
    return next((group for name, group in GROUPS.items() if name in names), "")


@pytest.fixture
def clock() -> HeldClock:
    """A clock in our hand: it stands still until `await clock.run_for(seconds)`."""
    return HeldClock()


@pytest.fixture
def ambient(clock: HeldClock) -> Ambient:
    """Held time, counted ids and dice that always fall alike."""
    return Ambient(clock=clock, ids=CountedIds(), random=random.Random(1))
