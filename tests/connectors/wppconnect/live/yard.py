"""WhatsApp sessions over a real database and the simulated server, webhooks included, on a held clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson
from aiohttp import web
from sqlalchemy import insert, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connections.keeper import Keeper, Kind
from atalaia.connections.pace import Pace
from atalaia.connections.registry import Configured
from atalaia.connectors.wppconnect import CONNECTOR
from atalaia.connectors.wppconnect.hook import take_hook
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.wids import read_message_id
from atalaia.errors import StoreUnavailable
from atalaia.events.gaps import Gaps
from atalaia.events.log import EventLog, Source
from atalaia.events.policy import Policies
from atalaia.reactions.folding import Folding
from atalaia.store.store import Store
from atalaia.store.tables import FACT, HEARD, connection_states, connections, events, gaps
from simulators.wppconnect import Pace as SimulatedPace
from simulators.wppconnect import WppSimulator
from simulators.wppconnect.world import World, owner
from tests.connections.rig import take_over
from tests.stillness import StillClock, StillStore

KEY, GATEWAY_SECRET, TOKEN = "test-only-key", "test-only-gateway", "test-only-hook-token"
FRIEND = "5511955500107@c.us"


@dataclass(frozen=True)
class Told:
    """One fact of a connection: when it was written, in seconds of the held clock since the beginning."""

    at_s: float
    type: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Placed:
    """A message that was placed on the phone. lost: no webhook brings it."""

    at_s: float
    chat: str
    lost: bool


@dataclass
class Kept:
    """One session, and the keeper that keeps it."""

    yard: Yard
    name: str
    settings: WppconnectSettings
    keeping: asyncio.Task[None] | None = None
    placed: list[Placed] = field(default_factory=list[Placed])

    # What tests do.

    def write(self, text: str, chat: str = FRIEND) -> None:
        """Have a friend write to the session's phone."""
        sim, webhooks = self.yard.sim, self.yard.sim.host.webhooks
        before = webhooks.counts.get("onmessage", 0)
        sim.phone(self.name).receive(chat, text)
        lost = webhooks.counts.get("onmessage", 0) == before or bool(webhooks.sent[-1].lost)
        self.placed.append(Placed(self.yard.now_s, chat, lost))

    def answer(self, text: str, chat: str = FRIEND) -> None:
        """Have the session's owner write from the phone; it arrives, and a receipt says so."""
        phone = self.yard.sim.phone(self.name)
        phone.acknowledge(phone.write(chat, text).key, 2)

    async def starts(self, fault: str, seconds: float | None = None, **options: Any) -> None:
        """Begin a fault of this session."""
        await self.yard.sim.faults.start(fault, seconds, session=self.name, **options)

    async def keep(self) -> None:
        """Keep the session, as a worker does that has just gained its lease."""
        yard = self.yard
        lease = await take_over(yard.store, identity=self.name)
        assert CONNECTOR.run_session is not None
        kind = Kind(
            CONNECTOR.run_session, CONNECTOR.planes, CONNECTOR.silence, CONNECTOR.routine, CONNECTOR.server
        )
        configured = Configured(self.name, "wppconnect", self.name, self.settings, "on", 0, 0)
        keeper = Keeper(configured, kind, lease, yard.log, yard.ambient, Pace())
        self.keeping = asyncio.create_task(keeper.run())

    async def leave(self) -> None:
        """Stop keeping it, as a worker that is stopped or killed; its webhooks still find the door."""
        if self.keeping is not None:
            self.keeping.cancel()
            await asyncio.wait({self.keeping})
            self.keeping = None

    async def try_again(self) -> None:
        """Have it tried from the beginning, as a person does on its page."""
        await self.leave()
        await self.keep()

    # What tests ask.

    async def state(self) -> tuple[str, str]:
        query = select(connection_states).where(connection_states.c.connection == self.name)
        rows = await self.yard.store.read(lambda tx: list(tx.execute(query)))
        return (rows[0].state, rows[0].kind) if rows else ("", "")

    async def is_live(self) -> bool:
        return (await self.state())[0] == "live"

    async def told(self, *prefixes: str, since_s: float = 0.0) -> list[Told]:
        """Answer the facts of this connection, in order."""
        e = events.c
        query = select(e.recorded_ms, e.type, e.body).where(e.connection == self.name, e.family == FACT)
        rows = await self.yard.store.read(lambda tx: list(tx.execute(query.order_by(e.seq))))
        found = [
            Told(self.yard.since_s(row.recorded_ms), row.type, orjson.loads(row.body))
            for row in rows
            if row.type.startswith(prefixes or ("",))
        ]
        return [one for one in found if one.at_s >= since_s]

    async def looked(self) -> list[str]:
        """Answer what looks found, in their order."""
        return [str(one.data["kind"]) for one in await self.told("session.looked")]

    async def tried(self) -> list[str]:
        """Answer the rungs that were tried, in their order."""
        return [str(one.data["rung"]) for one in await self.told("recovery.tried")]

    async def heard_keys(self) -> list[str]:
        """Answer the keys of messages of others in our log, one for each event that has content."""
        e = events.c
        wanted = (e.connection == self.name, e.family == HEARD, e.type == "wppconnect.onmessage")
        bodies = await self.yard.store.read(
            lambda tx: [orjson.loads(body) for body in tx.scalars(select(e.body).where(*wanted))]
        )
        ids = [read_message_id(one["id"]) for one in bodies if one.get("type") != "ciphertext"]
        return [found.key for found in ids if found is not None]

    def placed_keys(self) -> list[str]:
        """Answer the keys of messages of others that were placed on the phone."""
        return [row["key"] for row in self.yard.sim.ledger(self.name)["messages"] if not row["from_me"]]

    async def known_keys(self) -> set[str]:
        """Answer the keys of messages of others that are in our log in any form, also undecrypted."""
        e = events.c
        wanted = (e.connection == self.name, e.family == HEARD, e.type == "wppconnect.onmessage")
        bodies = await self.yard.store.read(lambda tx: list(tx.scalars(select(e.body).where(*wanted))))
        return {found.key for one in bodies if (found := read_message_id(orjson.loads(one)["id"]))}

    async def has_all(self) -> bool:
        """Answer whether each message of others on the phone is in our log."""
        return set(await self.heard_keys()) == set(self.placed_keys())

    async def gaps(self) -> list[Any]:
        query = select(gaps).where(gaps.c.connection == self.name).order_by(gaps.c.from_ms)
        return await self.yard.store.read(lambda tx: list(tx.execute(query)))

    def disturbed(self) -> int:
        """Answer how often somebody closed, started or logged out this session at the server."""
        return self.yard.sim.disturbed(self.name)


class Yard:
    """The simulator, the hub's door for webhooks, and keepers of its sessions between them."""

    def __init__(
        self, store: Store, clock: StillClock, ambient: Ambient, names: Sequence[str], seed: int = 1
    ) -> None:
        self.store, self.clock, self.ambient = StillStore(store), clock, ambient
        self.random = Random(seed)
        policies = Policies({"wppconnect": CONNECTOR.keep}, {}, {"wppconnect": CONNECTOR.rhythms})
        self.log = EventLog(self.store, ambient, policies)
        owners = [owner(name, f"5511955{20_000 + place}", 10 + place) for place, name in enumerate(names)]
        self.sim = WppSimulator(
            clock=clock, random=Random(seed), secret_key=KEY, gateway_secret=GATEWAY_SECRET,
            pace=SimulatedPace.at_once(), world=World(owners, channels=list(names)),
            config={"on_self_message": True, "auto_download": False},
        )  # fmt: skip
        self.names = list(names)
        self.kept: dict[str, Kept] = {}
        self.stored = True  # whether our own intake can write
        self._began_ms = to_ms(clock.now())

    def since_s(self, at_ms: int) -> float:
        return (at_ms - self._began_ms) / 1000

    @property
    def now_s(self) -> float:
        return self.since_s(to_ms(self.clock.now()))

    async def open(self) -> None:
        """Open the upstream and the door; the sessions are up before anybody keeps them."""
        app = web.Application(client_max_size=2**27)
        app.router.add_post("/hooks/{connection}/{token}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._folding = asyncio.create_task(self._fold())
        await self.sim.start()
        for name in self.names:
            self.sim.session(name).start({"webhook": self.hook_url(name)})
        await self.clock.run_for(1)

    def hook_url(self, name: str) -> str:
        return f"{self._url}/hooks/{name}/{TOKEN}"

    async def close(self) -> None:
        for one in self.kept.values():
            await one.leave()
        await self.sim.stop()
        await self._runner.cleanup()
        self._folding.cancel()
        await asyncio.wait({self._folding})

    async def _fold(self) -> None:
        """Keep the ledger of gaps as the hub does: what is to be reconciled is read from it."""
        folding = Folding(Gaps(), self.store, self.ambient)
        folding.begin(None)
        while True:
            rung = self.store.bell.count(folding.topic)
            if not await folding.turn():
                await self.store.bell.wait(folding.topic, rung, at_most_s=60)

    async def keep(self, name: str, **changes: Any) -> Kept:
        """Configure one session by the server's door, and keep it."""
        given = {
            "session_name": name, "server_url": self.sim.server_url, "secret_key": KEY,
            "hub_url": self._url, "hook_token": TOKEN, "browser_url": self.sim.control_url, **changes,
        }  # fmt: skip
        return await self._configure(name, given)

    async def keep_by_gateway(self, name: str, **changes: Any) -> Kept:
        """Configure one session by the gateway's door alone, and keep it."""
        self.sim.gateway.relay.subscribe(self.hook_url(name), channel=name)
        given = {
            "session_name": name, "gateway_url": self.sim.gateway_url, "gateway_secret": GATEWAY_SECRET,
            "hook_token": TOKEN, **changes,
        }  # fmt: skip
        return await self._configure(name, given)

    async def keep_by_both(self, name: str, **changes: Any) -> Kept:
        """Configure one session by both doors: its webhooks come through the gateway."""
        self.sim.gateway.relay.subscribe(self.hook_url(name), channel=name)
        session = self.sim.session(name)
        await session.close()
        session.start({"deviceName": "gateway"})  # without an address of its own: the gateway's
        await self.clock.run_for(1)
        more = {"gateway_url": self.sim.gateway_url, "gateway_secret": GATEWAY_SECRET, "hub_url": ""}
        return await self.keep(name, **{**more, **changes})

    async def _configure(self, name: str, given: dict[str, Any]) -> Kept:
        now = to_ms(self.clock.now())
        row = {
            "id": name, "connector": "wppconnect", "name": name, "settings": "{}", "secrets": "",
            "desired": "on", "created_ms": now, "changed_ms": now,
        }  # fmt: skip
        await self.store.write(lambda tx: tx.execute(insert(connections).values(row)))
        kept = self.kept[name] = Kept(self, name, WppconnectSettings.model_validate(given))
        await kept.keep()
        return kept

    async def _take(self, request: web.Request) -> web.Response:
        """Take a webhook as the hub's own door does: stored, then answered; 503 when it could not be."""
        kept = self.kept.get(request.match_info["connection"])
        if kept is None or not self.stored:
            return web.json_response({"success": False}, status=503)
        hooked = take_hook(kept.settings, await request.read(), to_ms(self.clock.now()))
        try:
            await self.log.put(Source(kept.name), hooked.heard)
        except StoreUnavailable:
            return web.json_response({"success": False}, status=503)
        return web.json_response({"success": True})

    async def passing(self, true: Callable[[], Any], step_s: float = 5.0, at_most_s: float = 3600) -> float:
        """Let held time pass until `true`; answer how much of it passed."""
        return await self.clock.run_until(true, step_s=step_s, at_most_s=at_most_s)

    async def idle(self, seconds: float) -> None:
        """Let so much held time pass."""
        await self.clock.run_for(seconds)
