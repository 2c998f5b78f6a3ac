"""What the tests of the simulated Asterisk share: recordings, an engine without ports, a client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from atalaia.clock import Clock, HeldClock
from simulators.asterisk import AsteriskSimulator, Plan
from simulators.asterisk.models import Json, Phone
from simulators.asterisk.pbx import Pbx
from simulators.asterisk.player import Player
from simulators.asterisk.truth import Scores
from tests.peers.ground import SHARED, missing

RECORDINGS = SHARED / "contracts" / "asterisk"
USER, PASSWORD = "monitor", "test-only-ari"
OFFLINE = {"1123002"}
PHONES = [f"112100{n}" for n in range(1, 9)] + [f"112200{n}" for n in range(1, 4)] + ["1123001", "1123002"]


def recording(number: str) -> Path:
    """Answer the path of the recording with this number."""
    found = sorted(RECORDINGS.glob(f"{number}-*.jsonl"))
    if not found:
        missing(f"no recording {number} in {RECORDINGS}")
    return found[0]


def recorded_events(number: str) -> list[Json]:
    lines = recording(number).read_text(encoding="utf-8").splitlines()
    return [line["event"] for line in map(json.loads, lines) if "event" in line]


def expected(number: str) -> Json:
    """Answer what the recording's makers say a monitor must come to."""
    return json.loads(recording(number).with_suffix("").with_suffix(".expected.json").read_text())


def phones() -> list[Phone]:
    return [Phone(number, "112", online=number not in OFFLINE) for number in PHONES]


class Stage:
    """The engine alone, on a held clock: it keeps every event that is told."""

    def __init__(self, seed: int = 1, **pbx: Any) -> None:
        self.clock = HeldClock()
        self.told: list[Json] = []
        self.pbx = Pbx(self.clock, Random(seed), self.told.append, systemname="voip1", **pbx)
        for phone in phones():
            self.pbx.add_phone(phone)
        self.scores = Scores()
        self.player = Player(self.pbx, self.scores)

    async def play(self, scenario: str, plan: Plan) -> list[Json]:
        """Play one call to its end; a failure in its script fails the test."""
        task = self.player.begin(scenario, plan)
        await self.clock.run_for(180)
        await task
        return self.told


@asynccontextmanager
async def running(clock: Clock, **settings: Any) -> AsyncIterator[AsteriskSimulator]:
    """A simulator on free ports with the phones of the recordings."""
    sim = AsteriskSimulator(
        clock=clock, random=Random(7), user=USER, password=PASSWORD, systemname="voip1", **settings
    )
    sim.add_phones(phones())
    await sim.start()
    try:
        yield sim
    finally:
        await sim.stop()


class Client:
    """A client of ARI that asks and listens."""

    def __init__(self, sim: AsteriskSimulator, session: aiohttp.ClientSession) -> None:
        self.sim = sim
        self.session = session

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.session.request(method, f"{self.sim.url}/ari{path}", **more) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith(("{", "[")) else text

    async def listen(self, app: str = "atalaia", everything: bool = True) -> aiohttp.ClientWebSocketResponse:
        url = f"{self.sim.url}/ari/events?app={app}" + ("&subscribeAll=true" if everything else "")
        return await self.session.ws_connect(url, autoping=False, max_msg_size=0)

    async def canary(self, app: str = "atalaia", n: str = "1") -> int:
        body = {"variables": {"n": n}}
        return (await self.ask("POST", f"/events/user/canary?application={app}", json=body))[0]


@asynccontextmanager
async def client_of(
    sim: AsteriskSimulator, user: str = USER, password: str = PASSWORD
) -> AsyncIterator[Client]:
    headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield Client(sim, session)


async def hear(socket: aiohttp.ClientWebSocketResponse) -> Json:
    """Answer the next event; a closed socket fails the test."""
    message = await socket.receive(timeout=20)
    assert message.type is aiohttp.WSMsgType.TEXT, message
    return json.loads(message.data)


async def hear_until(socket: aiohttp.ClientWebSocketResponse, kind: str) -> list[Json]:
    """Answer all events up to and with the first of `kind`."""
    heard: list[Json] = []
    while not heard or heard[-1]["type"] != kind:
        heard.append(await hear(socket))
    return heard


async def ends_without_close_frame(socket: aiohttp.ClientWebSocketResponse) -> bool:
    """Read on to the end of the connection; answers whether it broke."""
    while True:
        message = await socket.receive(timeout=20)
        if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING):
            return False
        if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            return socket.close_code in (None, 1006)
