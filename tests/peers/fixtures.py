"""The fixtures: one peer per session and worker, put right before each test that asks for it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.peers import asterisk as asterisk_peer
from tests.peers import mariadb as mariadb_peer
from tests.peers import postgresql as postgresql_peer
from tests.peers import rabbitmq as rabbitmq_peer
from tests.peers.asterisk import Asterisk
from tests.peers.ground import Ground, missing
from tests.peers.mariadb import MariaDB
from tests.peers.postgresql import PostgreSQL
from tests.peers.proxy import TcpProxy
from tests.peers.rabbitmq import RabbitMQ

if TYPE_CHECKING:
    from playwright.async_api import Browser

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]

ProxyMaker = Callable[..., Awaitable[TcpProxy]]


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    """Ports and a folder of this session's own."""
    ground = Ground()
    yield ground
    ground.close()


@pytest.fixture(scope="session")
def asterisk_server(ground: Ground) -> Iterator[Asterisk]:
    peer = asterisk_peer.make(ground)
    yield peer
    peer.close()


@pytest.fixture
def asterisk(asterisk_server: Asterisk) -> Iterator[Asterisk]:
    """A real Asterisk 22 with the test world, running and without calls."""
    asterisk_server.heal()
    yield asterisk_server
    asterisk_server.end_calls()


@pytest.fixture(scope="session")
def asterisk16_server(ground: Ground) -> Iterator[Asterisk]:
    asterisk_peer.make(ground).close()  # its phones come from the newer one's root file system
    peer = asterisk_peer.make(ground, "16")
    yield peer
    peer.close()


@pytest.fixture
def asterisk16(asterisk16_server: Asterisk) -> Iterator[Asterisk]:
    """A real Asterisk 16 with the same numbers, running and without calls."""
    asterisk16_server.heal()
    yield asterisk16_server
    asterisk16_server.end_calls()


@pytest.fixture(scope="session")
def rabbitmq_server(ground: Ground) -> Iterator[RabbitMQ]:
    peer = rabbitmq_peer.make(ground)
    yield peer
    peer.close()


@pytest.fixture
def rabbitmq(rabbitmq_server: RabbitMQ) -> RabbitMQ:
    """A real RabbitMQ with the test world's vhosts, running and with empty queues."""
    rabbitmq_server.heal()
    return rabbitmq_server


@pytest.fixture(scope="session")
def postgresql_server(ground: Ground) -> Iterator[PostgreSQL]:
    peer = postgresql_peer.make(ground)
    yield peer
    peer.close()


@pytest.fixture
def postgresql(postgresql_server: PostgreSQL) -> PostgreSQL:
    """A real PostgreSQL, running; `new_database()` answers the URL of an empty one."""
    postgresql_server.heal()
    return postgresql_server


@pytest.fixture(scope="session")
def mariadb_server(ground: Ground) -> Iterator[MariaDB]:
    peer = mariadb_peer.make(ground)
    yield peer
    peer.close()


@pytest.fixture
def mariadb(mariadb_server: MariaDB) -> MariaDB:
    """A real MariaDB, running."""
    mariadb_server.heal()
    return mariadb_server


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Debian's Chromium; start it with CHROMIUM_OPTIONS."""
    path = shutil.which("chromium")
    if path is None:
        missing("Chromium is not installed: apt-get install chromium")
    return path


@pytest_asyncio.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A fresh Chromium, driven by playwright."""
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def tcp_proxy() -> AsyncIterator[ProxyMaker]:
    """Makes proxies: `await tcp_proxy("127.0.0.1", port)` or `await tcp_proxy(url)`."""
    made: list[TcpProxy] = []

    async def make(host: str, port: int | None = None) -> TcpProxy:
        if port is None:
            parts = urlsplit(host)
            assert parts.hostname is not None
            assert parts.port is not None
            host, port = parts.hostname, parts.port
        made.append(await TcpProxy(host, port).start())
        return made[-1]

    yield make
    for proxy in made:
        await proxy.close()
