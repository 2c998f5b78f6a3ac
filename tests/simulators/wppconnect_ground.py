"""What the tests of the simulated WhatsApp gateway share: recordings, a world on free ports, a consumer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp import web

from atalaia.clock import Clock, ScaledClock
from simulators.wppconnect import Account, Pace, Person, PhoneOwner, World, WppSimulator
from tests.peers.ground import SHARED, missing

RECORDINGS = SHARED / "contracts" / "wppconnect"
KEY, SECRET = "SECRETKEY", "test-only-gateway"
S, NUMBER = "alpha", "550000000001"
ANA = "550000000002@c.us"
ANA_LID = "100000000000002@lid"
Json = dict[str, Any]


def recording(folder: str, name: str) -> Json:
    """Read one recording of the contract."""
    path = RECORDINGS / folder / name
    if not path.is_file():
        missing(f"no recording {path}")
    return json.loads(path.read_text(encoding="utf-8"))


def recordings() -> list[Path]:
    return sorted((RECORDINGS / "wppconnect-server").glob("*.json"))


def lab_world(*, paired: bool = False, **more: Any) -> World:
    """The account and the people of the transcripts; the first is known by lid already."""
    people = [
        Person("550000000002", "100000000000002", "Ana", name="Lab"),
        Person("550000000003", "100000000000003", "Bruno", name="Bruno Modelo"),
        Person("550000000004", "65000000000001", "Carla", migrated=True),
    ]
    account = Account(NUMBER, "190000000000001", "Laboratório")
    return World([PhoneOwner(S, account, people, paired=paired)], channels=[S], **more)


@dataclass
class Heard:
    """One request that the consumer got."""

    path: str
    headers: dict[str, str]
    body: Json

    @property
    def event(self) -> str:
        return str(self.body["event"])


@dataclass
class Consumer:
    """A hub to be: keeps what it hears. `status` is what it answers."""

    heard: list[Heard] = field(default_factory=list[Heard])
    status: int = 200
    url: str = ""
    _rang: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.status < 300:
            self.heard.append(Heard(request.path, dict(request.headers), body))
        self._rang.set()
        return web.json_response({"success": True}, status=self.status)

    def events(self, *names: str) -> list[Json]:
        return [one.body for one in self.heard if not names or one.event in names]

    def told(self) -> list[str]:
        """Answer the events as words: `qrcode`, `status-find notLogged`."""
        return [f"{one.event} {one.body.get('status', '')}".strip() for one in self.heard]

    async def until(self, fits: Callable[[], bool]) -> None:
        """Wait until the heard fulfils a condition."""
        async with asyncio.timeout(20):
            while not fits():
                self._rang.clear()
                if fits():
                    return
                await self._rang.wait()

    async def event(self, name: str, count: int = 1) -> Json:
        """Wait for the `count`th event of a name; answers its body."""
        await self.until(lambda: len(self.events(name)) >= count)
        return self.events(name)[count - 1]

    async def status_find(self, word: str) -> Json:
        await self.until(lambda: f"status-find {word}" in self.told())
        return next(one for one in self.events("status-find") if one["status"] == word)


@asynccontextmanager
async def consuming() -> AsyncIterator[Consumer]:
    """A consumer on a free port that takes anything."""
    consumer = Consumer()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/{tail:.*}", consumer.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    consumer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield consumer
    finally:
        await runner.cleanup()


@dataclass
class Peer:
    """A client of one session at the server, of the gateway and of the control port."""

    sim: WppSimulator
    http: aiohttp.ClientSession
    hook: str
    session: str = S

    async def call(self, method: str, route: str, body: Json | None = None, **query: str) -> tuple[int, Any]:
        """Call a route of the session as the bench did: JSON type, bearer token. Answers status and body."""
        token = self.sim.host.token_of(self.session)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        url = f"{self.sim.server_url}/api/{quote(self.session)}/{route}"
        data = None if body is None else json.dumps(body)
        async with self.http.request(method, url, data=data, headers=headers, params=query) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.read()

    async def get(self, route: str, **query: str) -> Any:
        return (await self.call("GET", route, None, **query))[1]

    async def post(self, route: str, body: Json | None = None) -> Any:
        return (await self.call("POST", route, body or {}))[1]

    async def start(self, **more: Any) -> Any:
        return await self.post("start-session", {"webhook": self.hook, **more})

    async def status(self) -> str:
        return (await self.get("status-session"))["status"]

    async def log_in(self, consumer: Consumer) -> None:
        """Start a session whose phone is paired, and wait for its main screen."""
        await self.start()
        await consumer.status_find("inChat")

    async def recover(self, consumer: Consumer) -> None:
        """Close and start, and wait for the main screen."""
        consumer.heard.clear()
        await self.post("close-session")
        await self.log_in(consumer)

    async def texts(self, wid: str = ANA, **query: str) -> list[str]:
        rows = (await self.get(f"get-messages/{wid}", **query))["response"]
        return [one["body"] for one in rows]

    async def gateway(
        self, method: str, path: str, body: Json | None = None, *, secret: str | None = SECRET
    ) -> tuple[int, Any]:
        headers = {} if secret is None else {"X-Gateway-Secret": secret}
        async with self.http.request(
            method, self.sim.gateway_url + path, json=body, headers=headers
        ) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.text()

    async def control(self, method: str, path: str, body: Json | None = None) -> tuple[int, Any]:
        async with self.http.request(method, self.sim.control_url + path, json=body) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def running(
    clock: Clock | None = None, *, world: World | None = None, pace: Pace | None = None, **settings: Any
) -> AsyncIterator[WppSimulator]:
    """A simulator on free ports; by default a hundred times faster than life, answering at once."""
    sim = WppSimulator(
        clock=clock or ScaledClock(100),
        random=Random(7),
        secret_key=KEY,
        gateway_secret=SECRET,
        pace=pace or Pace.at_once(),
        world=world or lab_world(paired=True),
        **settings,
    )
    await sim.start()
    try:
        yield sim
    finally:
        await sim.stop()
        assert sim.host.failures == []


Lab = tuple[WppSimulator, Peer, Consumer]


@asynccontextmanager
async def lab(
    clock: Clock | None = None, **settings: Any
) -> AsyncIterator[tuple[WppSimulator, Peer, Consumer]]:
    """A simulator, a client of its session, and a consumer of that session's webhooks."""
    async with (
        consuming() as consumer,
        running(clock, **settings) as sim,
        aiohttp.ClientSession() as http,
    ):
        yield sim, Peer(sim, http, f"{consumer.url}/hooks/{S}"), consumer
