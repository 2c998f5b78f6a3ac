"""A hub on a simulated Asterisk, for what no real one can be asked to do."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from atalaia.clock import SystemClock
from atalaia.deliveries.receiver import Receiver
from atalaia.deliveries.signing import new_secret
from simulators.asterisk import AsteriskSimulator, demo_world, write_etc
from simulators.asterisk.world import Rabbit
from tests.journeys.conftest import PlaceMaker
from tests.journeys.hubs import Furnisher, Place, Worker
from tests.journeys.truth import is_live

PASSWORD = "test-only-simulator"
ORIGIN, DESTINY = "1121001", "1121002"


@dataclass
class Stage:
    """One hub, one simulated Asterisk, one webhook, one intake."""

    place: Place
    worker: Worker
    simulator: AsteriskSimulator
    receiver: Receiver
    connection: str
    intake: str
    token: str
    etc: Path

    async def api(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """Ask the hub's API; answer the JSON of a good answer."""
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {self.token}"}) as session,
            session.request(method, f"{self.worker.url}/api{path}", json=body) as answer,
        ):
            text = await answer.text()
            assert answer.status < 300, f"{answer.status} {text}"
            return orjson.loads(text) if text else None

    def statuses(self, origin: str = ORIGIN) -> list[list[str]]:
        """Answer what the webhook was told of this phone's calls: one list of states per conversation."""
        found: dict[str, dict[str, None]] = {}
        for one in self.receiver.messages:
            event = one.json()
            if event["type"].startswith("call.") and event["data"]["origin"] == origin:
                found.setdefault(event["data"]["guid"], {})[event["data"]["channelstatus"]] = None
        return [list(one) for one in found.values()]


@asynccontextmanager
async def stage(
    make_place: PlaceMaker, folder: Path, *, live: bool = True, secret: str = PASSWORD,
    rabbit: Rabbit | None = None, webhook: dict[str, Any] | None = None, **settings: Any,
) -> AsyncIterator[Stage]:  # fmt: skip
    """Start everything; `settings` of the connection win. live: wait until the connection is.

    secret: the simulator's password. webhook: more secrets of the subscription.
    """
    world = demo_world()
    simulator = AsteriskSimulator(
        clock=SystemClock(), random=random.Random(1), user="atalaia", password=secret, systemname="voip1"
    )
    simulator.add_phones(world.phones())
    await simulator.start()
    receiver = Receiver([new_secret()], keep=100_000)
    url = await receiver.start()
    etc = folder / "etc"
    write_etc(etc, world, rabbit=rabbit)
    place = make_place(allow=(url.split("/")[2],))
    given = {
        "url": simulator.url, "user": "atalaia", "password": secret, "server": "voip1",
        "ami_port": simulator.ami_port, "etc_folder": str(etc), **settings,
    }  # fmt: skip

    def furnish(furnisher: Furnisher, tx: Any) -> tuple[str, str]:
        wanted = {"types": ["call.*", "endpoint.*", "intake.*"]}
        secrets = {"signing": [{"secret": receiver.secrets[0]}], **(webhook or {})}
        furnisher.webhook(tx, url, receiver.secrets[0], filter=wanted, secrets=secrets)
        intake = furnisher.connection(tx, "intake", "intake")
        return furnisher.connection(tx, "asterisk", "voip1", **given), intake

    try:
        connection, intake = await place.furnish(furnish)
        token = await place.token()
        worker = await place.worker().start()
        if live:
            await is_live(place, connection)
        yield Stage(place, worker, simulator, receiver, connection, intake, token, etc)
    finally:
        place.close()
        await simulator.stop()
        await receiver.stop()
