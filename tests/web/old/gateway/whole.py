"""A whole hub that runs, and a simulated WhatsApp server, gateway and phones before it; nothing is held."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.clock import SystemClock, to_ms
from atalaia.connectors import CONNECTORS
from atalaia.connectors.setup import Setup
from atalaia.desk.people.roles import SCOPES
from atalaia.desk.people.tokens import Tokens
from atalaia.events.log import read_after
from atalaia.ids import SystemIds
from atalaia.serve import Hub, running
from atalaia.settings import Settings
from atalaia.web.host import listen, serving
from simulators.wppconnect import Pace, WppSimulator, demo_world

SECRET, KEY = "test-only-gateway-secret", "test-only-key"
SESSION, OTHER, FRIEND = "Canal Um", "CanalDois", "5511955500107"


@dataclass
class Whole:
    """What runs. http: a caller with the gateway's secret; api: a program of the hub with all scopes.

    ids: of connections that a test has set up, by name.
    """

    sim: WppSimulator
    hub: Hub
    url: str
    http: aiohttp.ClientSession
    api: aiohttp.ClientSession
    ids: dict[str, str] = field(default_factory=dict[str, str])

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.http.request(method, path, **more) as answer:
            return answer.status, await answer.json()

    async def told(self, path: str, body: Any = None) -> Any:
        """Ask the hub's own API; answer the JSON of a good answer."""
        async with self.api.request("POST" if body is not None else "GET", path, json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def connect(self, name: str = SESSION, **settings: Any) -> str:
        """Set a session up, as a person does; answer its id."""
        by_server = {
            "server_url": self.sim.server_url, "secret_key": KEY, "hub_url": self.url,
            "browser_url": self.sim.control_url, "probe_every_s": 5,
        }  # fmt: skip
        formats = {one.name: one for connector in CONNECTORS.values() for one in connector.formats}
        setup = Setup(self.hub.registry, self.hub.ambient, self.hub.secretbox, CONNECTORS, formats)
        read = setup.read("wppconnect", {"session_name": name, **(settings or by_server)})
        made = await self.hub.store.write(lambda tx: setup.create(tx, "wppconnect", name, read, by="test"))
        return made.id

    async def status(self, name: str) -> str:
        """Answer what the old gateway's callers are told of a session."""
        _, answer = await self.ask("GET", f"/api/channels/{name}")
        return str(answer["channel"]["status"])

    async def heard(self, *types: str) -> list[str]:
        """Answer the types of events in the log, only these."""

        def read(tx: Connection) -> list[str]:
            return [event.type for event in read_after(tx, 0, limit=10_000) if event.type in types]

        return await self.hub.store.read(read)

    def now_ms(self) -> int:
        return to_ms(self.hub.ambient.clock.now())

    def texts(self, name: str = SESSION) -> list[str]:
        """Answer what was sent by a session's phone, in order."""
        return [row["text"] for row in self.sim.ledger(name)["messages"] if row["from_me"]]


@contextlib.asynccontextmanager
async def simulator() -> AsyncIterator[WppSimulator]:
    """A server, a gateway and two paired phones; nothing pauses but retries."""
    pace = replace(Pace.at_once(), gateway_retry_s=(0.5,) * 120)
    sim = WppSimulator(
        clock=SystemClock(), random=Random(1), secret_key=KEY, gateway_secret=SECRET, pace=pace,
        world=demo_world(), config={"on_self_message": True, "auto_download": False},
    )  # fmt: skip
    await sim.start()
    try:
        yield sim
    finally:
        await sim.stop()


@contextlib.asynccontextmanager
async def whole(
    folder: Path, sim: WppSimulator, port: int = 0, database_url: str = ""
) -> AsyncIterator[Whole]:
    """Run a hub until the block ends."""
    given: dict[str, Any] = {
        "old_gateway_secret": SECRET, "database_url": database_url, "allow_private_targets": ("127.0.0.0/8",),
    }  # fmt: skip
    settings = Settings(data_dir=folder, requests_per_minute=100_000, **given)
    door = listen("127.0.0.1", port)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(door.close)
        ambient = Ambient(SystemClock(), SystemIds(), Random(1))
        hub = await stack.enter_async_context(running(settings, CONNECTORS, ambient=ambient))
        url = await stack.enter_async_context(serving(hub, door, lambda _: None))
        _, token = await Tokens(hub.store, hub.ambient).make("test", tuple(SCOPES))
        http = aiohttp.ClientSession(url, headers={"X-Gateway-Secret": SECRET})
        api = aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {token}"})
        await stack.enter_async_context(http)
        await stack.enter_async_context(api)
        yield Whole(sim, hub, url, http, api)
