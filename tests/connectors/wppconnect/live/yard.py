"""One WhatsApp session over a real database and the simulated server, webhooks included, on a held clock."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from random import Random
from typing import Any

import orjson
from aiohttp import web
from sqlalchemy import insert, select

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.connections.keeper import Keeper, Kind
from atalaia.connections.pace import Pace
from atalaia.connections.registry import Configured
from atalaia.connectors.wppconnect import CONNECTOR
from atalaia.connectors.wppconnect.hook import take_hook
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.wids import read_message_id
from atalaia.events.log import EventLog, Source, read_after
from atalaia.events.model import Event
from atalaia.events.policy import Policies
from atalaia.store.store import Store
from atalaia.store.tables import connection_states, connections, gaps
from simulators.wppconnect import Pace as SimulatedPace
from simulators.wppconnect import WppSimulator, demo_world
from tests.connections.rig import take_over

IDENTITY, SESSION, FRIEND = "c1", "Canal Um", "5511955500107@c.us"
KEY = "test-only-key"
TOKEN = "test-only-hook-token"
# How long a test waits in real time for sockets and threads before it fails.
PATIENCE_S = 60.0
PROBE_S = 30.0


class Yard:
    """The simulator, the hub's door for webhooks, and a keeper of one session between them."""

    def __init__(self, store: Store, clock: HeldClock, ambient: Ambient) -> None:
        self.store, self.clock, self.ambient = store, clock, ambient
        policies = Policies({"wppconnect": CONNECTOR.keep}, {}, {"wppconnect": CONNECTOR.rhythms})
        self.log = EventLog(store, ambient, policies)
        self.sim = WppSimulator(
            clock=clock, random=Random(1), secret_key=KEY, gateway_secret="test-only-gateway",
            pace=SimulatedPace.at_once(), world=demo_world(),
            config={"on_self_message": True, "auto_download": False},
        )  # fmt: skip
        self.keeping: asyncio.Task[None] | None = None

    async def open(self, **changes: Any) -> None:
        """Open the upstream and the door, and keep the session."""
        await self.sim.start()
        await self._open_door()
        now = to_ms(self.clock.now())
        row = {
            "id": IDENTITY, "connector": "wppconnect", "name": SESSION, "settings": "{}", "secrets": "",
            "desired": "on", "created_ms": now, "changed_ms": now,
        }  # fmt: skip
        await self.store.write(lambda tx: tx.execute(insert(connections).values(row)))
        given = {
            "session_name": SESSION, "server_url": self.sim.server_url, "secret_key": KEY,
            "hub_url": self._url, "hook_token": TOKEN, "browser_url": self.sim.control_url, **changes,
        }  # fmt: skip
        self.settings = WppconnectSettings.model_validate(given)
        await self.keep()

    async def keep(self) -> None:
        """Keep the session, as a worker does that has just gained its lease."""
        lease = await take_over(self.store, identity=IDENTITY)
        assert CONNECTOR.run_session is not None
        kind = Kind(
            CONNECTOR.run_session, CONNECTOR.planes, CONNECTOR.silence, CONNECTOR.routine, CONNECTOR.server
        )
        configured = Configured(IDENTITY, "wppconnect", SESSION, self.settings, "on", 0, 0)
        keeper = Keeper(configured, kind, lease, self.log, self.ambient, Pace())
        self.keeping = asyncio.create_task(keeper.run())

    async def close(self) -> None:
        await self.leave()
        await self._runner.cleanup()
        await self.sim.stop()

    async def leave(self) -> None:
        """Stop keeping the session; its webhooks still find the door."""
        if self.keeping is not None:
            self.keeping.cancel()
            await asyncio.wait({self.keeping})

    async def _open_door(self) -> None:
        app = web.Application(client_max_size=2**27)
        app.router.add_post(f"/hooks/{IDENTITY}/{TOKEN}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _take(self, request: web.Request) -> web.Response:
        hooked = take_hook(self.settings, await request.read(), to_ms(self.clock.now()))
        await self.log.put(Source(IDENTITY), hooked.heard)
        return web.json_response({"success": True})

    # What tests do and ask.

    def write(self, text: str) -> None:
        """Have a friend write to the session's phone."""
        self.sim.phone(SESSION).receive(FRIEND, text)

    async def passing(self, true: Callable[[], Any], step_s: float = 1.0, at_most_s: float = 3600) -> float:
        """Let held time pass, and sockets and threads work, until `true`; answer how much of it passed."""
        until, began = time.monotonic() + PATIENCE_S, self.clock.monotonic()
        while not await _answer(true):
            assert time.monotonic() < until, "waited in vain"
            assert self.clock.monotonic() - began < at_most_s, "it took too long by the held clock"
            await self.clock.run_for(step_s)
            await self.settle()
        return self.clock.monotonic() - began

    async def idle(self, seconds: float, step_s: float = 5.0) -> None:
        """Let so much held time pass in steps that leave sockets the time to answer."""
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            await self.clock.run_for(step_s)
            await self.settle()

    async def settle(self) -> None:
        """Let what is due now be done."""
        for _ in range(4):
            await asyncio.sleep(0.002)

    async def comes_to(self, state: str, kind: str = "", at_most_s: float = 3600) -> float:
        """Wait until the session is in a state; answer how long that took by the held clock."""

        async def is_there() -> bool:
            return await self.state() == (state, kind)

        return await self.passing(is_there, at_most_s=at_most_s)

    async def all_heard(self) -> bool:
        """Answer whether each message of others on the phone is in our log exactly once."""
        return sorted(await self.heard_keys()) == sorted(self.placed_keys())

    async def state(self) -> tuple[str, str]:
        rows = await self.store.read(lambda tx: list(tx.execute(select(connection_states))))
        return (rows[0].state, rows[0].kind) if rows else ("", "")

    async def facts(self, prefix: str) -> list[Event]:
        return await self.store.read(lambda tx: read_after(tx, 0, limit=5000, prefix=prefix))

    async def looked(self) -> list[str]:
        """Answer what looks found, in their order."""
        found = await self.facts("session.looked")
        return [str(orjson.loads(one.body)["kind"]) for one in found]

    async def tried(self) -> list[str]:
        return [str(orjson.loads(one.body)["rung"]) for one in await self.facts("recovery.tried")]

    async def heard_keys(self) -> list[str]:
        """Answer the keys of messages of others in our log, one for each event that has content."""
        events = [one for one in await self.facts("wppconnect.onmessage") if one.family == "heard"]
        bodies = [orjson.loads(one.body) for one in events]
        ids = [read_message_id(one["id"]) for one in bodies if one.get("type") != "ciphertext"]
        return [found.key for found in ids if found is not None]

    def placed_keys(self) -> list[str]:
        """Answer the keys of messages of others that were placed on the phone."""
        return [row["key"] for row in self.sim.ledger(SESSION)["messages"] if not row["from_me"]]

    async def gaps(self) -> list[Any]:
        return await self.store.read(lambda tx: list(tx.execute(select(gaps).order_by(gaps.c.from_ms))))


async def _answer(true: Callable[[], Any]) -> Any:
    found = true()
    return await found if inspect.isawaitable(found) else found
