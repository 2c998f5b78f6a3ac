"""What the tests of the simulated telematics upstream share: recordings, a world on free ports, a client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from atalaia.clock import Clock, ScaledClock
from simulators.traffilog import ORIGIN, WS_GUID, Pace, TraffilogSimulator
from tests.peers.ground import SHARED, missing

RECORDINGS = SHARED / "contracts" / "traffilog"
USER, PASSWORD = "monitor", "test-only-a"
PORTAL_USER, PORTAL_PASSWORD = "office", "test-only-c"
CLIENT, CLIENT_NAME, VEHICLE = "310209", "Rápido Exemplo", "2900108"
Json = dict[str, Any]


def recording(name: str) -> Path:
    """Answer the path of a recording of the sockets."""
    path = RECORDINGS / "ws" / name
    if not path.is_file():
        missing(f"no recording {path}")
    return path


def recorded(name: str) -> list[Json]:
    return [json.loads(line) for line in recording(name).read_text(encoding="utf-8").splitlines()]


@asynccontextmanager
async def running(
    clock: Clock | None = None, *, pace: Pace | None = None, **settings: Any
) -> AsyncIterator[TraffilogSimulator]:
    """A simulator on free ports; by default a hundred times faster than life, answering at once."""
    sim = TraffilogSimulator(
        clock=clock or ScaledClock(100),
        random=Random(7),
        user=USER,
        password=PASSWORD,
        portal_user=PORTAL_USER,
        portal_password=PORTAL_PASSWORD,
        pace=pace or Pace.at_once(),
        **settings,
    )
    await sim.start()
    try:
        yield sim
    finally:
        await sim.stop()
        assert sim.upstream.failures == []


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def frame(name: str, parameters: Json, token: str, mtkn: str) -> str:
    """Build a frame by hand, after the contract's section 3.2."""
    inner = {**parameters, "_action_name": name, "mtkn": mtkn}
    action = {"flow_id": "204417", "name": name, "parameters": inner, "session_token": token, "mtkn": mtkn}
    return compact({"action": action})


@dataclass
class Peer:
    """One socket of a client. `heard` keeps every text, as it came."""

    socket: aiohttp.ClientWebSocketResponse
    token: str
    heard: list[str] = field(default_factory=list[str])
    numbers: count[int] = field(default_factory=lambda: count(10**24))

    async def send(self, name: str, *, mtkn: str = "", **parameters: Any) -> str:
        """Send a frame; answers its mtkn."""
        mtkn = mtkn or str(next(self.numbers))
        await self.socket.send_str(frame(name, parameters, self.token, mtkn))
        return mtkn

    async def next(self) -> str:
        message = await self.socket.receive(timeout=20)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        self.heard.append(message.data)
        return message.data

    async def until(self, fits: Callable[[Json], bool]) -> Json:
        """Read until the properties of a whole message fit; answers those."""
        while True:
            properties = properties_of(await self.next())
            if properties and fits(properties):
                return properties

    async def ask(self, name: str, **parameters: Any) -> Json:
        """Send a frame and read up to its answer."""
        mtkn = await self.send(name, **parameters)
        return await self.until(lambda properties: properties.get("mtkn") == mtkn)

    async def status(self, word: str) -> Json:
        """Read up to a status of this word; answers its row."""
        push = await self.until(
            lambda one: one.get("data_source") == "UNIT_CONFIG_STATUS" and one["data"][0]["status"] == word
        )
        return push["data"][0]

    async def watch(self, vehicle_id: str = VEHICLE) -> None:
        for kind in ("UNIT_MESSAGES", "UNIT_CONFIG_STATUS", "UNIT_PARAMETERS"):
            assert (await self.ask("vehicle_subscribe", vehicle_id=vehicle_id, object_type=kind))[
                "action_value"
            ] == "0"

    async def prepare(
        self, setting_id: str = "9000", vehicle_id: str = VEHICLE, client: str = CLIENT
    ) -> Json:
        """Go from the tick to the answer of the second association."""
        about = {"client_id": client, "client_name": CLIENT_NAME}
        await self.ask("vcls_check_opr", client_id=client, vehicle_id=vehicle_id, is_checked="1")
        work = {"action_source": "0", "action_id": "1"}
        await self.ask("associate_vehicles_actions_opr", **about, **work, call_num="0")
        return await self.ask(
            "associate_vehicles_actions_opr", **about, vehicle_setting_id=setting_id, **work, call_num="1"
        )

    async def process_id(self, client: str = CLIENT) -> str:
        answer = await self.ask("get_vcls_action_review_opr", client_id=client, action_source="0")
        return answer["data"][0]["process_id"] if answer["data"] else ""

    async def execute(self, process_id: str, comment: str = "", client: str = CLIENT) -> Json:
        return await self.ask(
            "execute_action_opr",
            client_id=client,
            action_source="0",
            process_id=process_id,
            comment=comment,
            toggle_check="1",
        )

    async def build(self, setting_id: str = "9000", comment: str = "", vehicle_id: str = VEHICLE) -> str:
        """Prepare and execute a Scheme Builder; answers its process id."""
        assert (await self.prepare(setting_id, vehicle_id))["action_value"] == "0"
        process_id = await self.process_id()
        assert (await self.execute(process_id, comment))["action_value"] == "0"
        return process_id


def properties_of(text: str) -> Json:
    """Answer the properties of a whole message, or nothing for fragments and raw errors."""
    try:
        return json.loads(text).get("response", {}).get("properties", {})
    except ValueError:
        return {}


async def log_in(sim: TraffilogSimulator, password: str = PASSWORD) -> Json:
    """Log in by surface A; answers the properties, nothing for an empty body."""
    body = {"action": {"name": "user_login", "parameters": {"login_name": USER, "password": password}}}
    async with aiohttp.ClientSession() as session, session.post(sim.api_url, json=body) as answer:
        return properties_of(await answer.text())


@asynccontextmanager
async def peer_of(sim: TraffilogSimulator, token: str = "", origin: str = ORIGIN) -> AsyncIterator[Peer]:
    """A client with one socket, logged in unless a token is given."""
    token = token or (await log_in(sim))["session_token"]
    url = f"{sim.ws_url}/{WS_GUID}/{token}/json?defragment=1"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, origin=origin, max_msg_size=0) as socket,
    ):
        yield Peer(socket, token)
