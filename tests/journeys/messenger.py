"""A whole hub with one session on the simulated WhatsApp server, webhooks included, on the real clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

import aiohttp
from sqlalchemy import select

from atalaia.clock import SystemClock
from atalaia.connectors.setup import Setup
from atalaia.connectors.wppconnect import CONNECTOR
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.desk.people.roles import SCOPES
from atalaia.desk.people.tokens import Tokens
from atalaia.serve import Hub, running
from atalaia.settings import load_settings
from atalaia.store.tables import connection_states
from atalaia.web.host import listen, serving
from simulators.wppconnect import Pace, WppSimulator, demo_world
from tests.journeys.waiting import until

SESSION, FRIEND = "Canal Um", "5511955500107@c.us"
KEY, SECRET = "test-only-key", "test-only-gateway"


@dataclass
class Messenger:
    """The hub, its address, and the phone beside its session. channel: the connection's id."""

    hub: Hub
    url: str
    sim: WppSimulator
    channel: str
    http: aiohttp.ClientSession

    @property
    def phone(self) -> Any:
        return self.sim.phone(SESSION)

    def hear(self, text: str = "", **about: Any) -> Any:
        """Have a friend write to the phone."""
        return self.phone.receive(FRIEND, text, **about)

    def placed(self) -> list[dict[str, Any]]:
        """Answer what we wrote and is on the phone, oldest first."""
        return [row for row in self.sim.ledger(SESSION)["messages"] if row["from_me"]]

    async def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """Ask the hub's API."""
        async with self.http.request(method, f"{self.url}{path}", **more) as answer:
            body = await answer.json() if "json" in answer.content_type else await answer.read()
            assert answer.status == status, body
            return body

    async def chat(self) -> str:
        """Answer the conversation with the friend, once there is one."""

        async def look() -> str:
            found = await self.ask("GET", "/api/hub/chats")
            return next((one["id"] for one in found["items"] if not one["group"]), "")

        return await until(look, "the friend's conversation")

    async def send(self, chat: str, **asked: Any) -> dict[str, Any]:
        """Ask to send something into a conversation."""
        return await self.ask("POST", f"/api/hub/chats/{chat}/send", 201, json=asked)

    async def comes_to(self, request: str, *states: str) -> dict[str, Any]:
        """Wait until a request is in one of these states."""

        async def look() -> dict[str, Any] | None:
            found = await self.ask("GET", f"/api/hub/sends/{request}")
            return found if found["state"] in states else None

        found = await until(look, f"a request that is {states}")
        assert found is not None
        return found


@asynccontextmanager
async def messenger(folder: Path, *, by: str = "server", **settings: Any) -> AsyncIterator[Messenger]:
    """Run a hub whose session is live until the block ends. settings: of the hub.

    by: the door, `server` or `gateway`. A session by a gateway is open, and live once it is proven.
    """
    async with AsyncExitStack() as stack:
        sim = WppSimulator(
            clock=SystemClock(), random=Random(1), secret_key=KEY, gateway_secret=SECRET,
            pace=Pace.at_once(), world=demo_world(), config={"on_self_message": True, "auto_download": False},
        )  # fmt: skip
        await sim.start()
        stack.push_async_callback(sim.stop)
        given = load_settings(
            data_dir=folder, port=0, requests_per_minute=100_000, old_gateway_secret=SECRET, **settings
        )
        hub = await stack.enter_async_context(running(given, {"wppconnect": CONNECTOR}))
        url = await stack.enter_async_context(serving(hub, listen("127.0.0.1", 0), lambda _: None))
        channel = await (_connect if by == "server" else _connect_by_gateway)(hub, sim, url)
        _, token = await Tokens(hub.store, hub.ambient).make("Portaria", tuple(SCOPES))
        http = aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})
        stack.push_async_callback(http.close)
        one = Messenger(hub, url, sim, channel, http)
        await until(lambda: _is_open(one, ["live"] if by == "server" else ["live", "suspect"]), "a session")
        await until(lambda: sim.session(SESSION).page is not None, "its page")
        yield one


async def _connect(hub: Hub, sim: WppSimulator, url: str) -> str:
    given = {
        "server_url": sim.server_url, "secret_key": KEY, "hub_url": url, "browser_url": sim.control_url,
        "store_every_s": 2,
    }  # fmt: skip
    return (await _create(hub, given))[0]


async def _connect_by_gateway(hub: Hub, sim: WppSimulator, url: str) -> str:
    channel, token = await _create(hub, {"gateway_url": sim.gateway_url, "gateway_secret": SECRET})
    sim.gateway.relay.subscribe(f"{url}/hooks/{channel}/{token}", SECRET)
    return channel


async def _create(hub: Hub, given: dict[str, Any]) -> tuple[str, str]:
    """Configure the session; answer the connection and the token of its webhooks."""
    setup = Setup(hub.registry, hub.ambient, hub.secretbox, hub.connectors, hub.formats)
    read = cast("WppconnectSettings", setup.read("wppconnect", {"session_name": SESSION, **given}))
    made = await hub.store.write(lambda tx: setup.create(tx, "wppconnect", SESSION, read, by="test"))
    return made.id, read.hook_token.get_secret_value()


async def _is_open(one: Messenger, states: list[str]) -> bool:
    c = connection_states.c
    state = await one.hub.store.read(lambda tx: tx.scalar(select(c.state).where(c.connection == one.channel)))
    return state in states
