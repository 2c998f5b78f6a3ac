"""A WhatsApp phone, a hub that is killed, a broker that is away: what was written arrives.

The phone and its server are simulated, everything else is real: the hub's process, its database, RabbitMQ.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from atalaia.clock import SystemClock
from simulators.wppconnect import Pace, WppSimulator
from simulators.wppconnect.world import World, owner
from tests.journeys.conftest import PlaceMaker
from tests.journeys.hubs import Furnisher, Place, Worker
from tests.journeys.truth import facts, gaps_of, is_live, is_settled
from tests.journeys.waiting import until
from tests.peers.proxy import TcpProxy
from tests.peers.rabbitmq import PASSWORD, USER, RabbitMQ

SESSION, KEY, VHOST = "Canal Um", "test-only-key", "cliente113"
# So impatient that a schedule takes a minute of real time.
IMPATIENT: dict[str, Any] = {
    "probe_every_s": 1, "store_every_s": 3, "behind_s": 3, "starting_within_s": 5, "answer_within_s": 5,
    "check_within_s": 1, "reconcile_min": 1,
}  # fmt: skip
FAULTS = (
    "deaf", "webhook_lost", "webhook_reorder", "ciphertext_then_chat", "browser_killed", "page_crash",
    "lid_migration", "server_gone", "no_session_name_after_close", "ack_repeated",
)  # fmt: skip
STEPS, LONG_STEPS = 6, 10
PATIENCE_S, LONG_PATIENCE_S = 120, 1800  # between two tries the ladder waits 1, 2, 5, 15 minutes


@dataclass
class Scene:
    """What the journey is made of. `done`: for the words of a failure."""

    place: Place
    worker: Worker
    sim: WppSimulator
    rabbitmq: RabbitMQ
    proxy: TcpProxy
    connection: str
    random: Random
    done: list[str] = field(default_factory=list[str])

    def placed(self) -> set[str]:
        """Answer the keys of what others wrote; deletions are of another test."""
        return {row["key"] for row in self.sim.ledger(SESSION)["messages"] if not row["from_me"]}

    async def begin(self) -> None:
        """Start the hub; the simulated server finds it where it was before."""
        await self.worker.start()
        host, _, port = self.worker.url.rpartition("//")[2].rpartition(":")
        self.proxy.target = (host, int(port))

    def schedule(self, steps: int) -> list[str]:
        """Answer what comes over them, in this order; a kill and an outage are always among it."""
        drawn = self.random.choices([*FAULTS, "kill", "kill", "broker", "broker"], k=steps - 2)
        return self.random.sample(["kill", "broker", *drawn], k=steps)

    async def step(self, what: str) -> None:
        """Let people write while one fault, a kill of the hub or an outage of the broker comes over them."""
        self.done.append(what)
        scope: dict[str, Any] = {} if what.startswith("server_") else {"session": SESSION}
        if what == "kill":
            self.worker.kill()
        elif what == "broker":
            await asyncio.to_thread(self.rabbitmq.stop)
        else:
            await self.sim.faults.start(what, 2.0, **scope)
        population = self.sim.populate(SESSION, 0.001, seed=self.random.randrange(2**32))
        for _ in range(30):
            population.act()
            await asyncio.sleep(0.02)  # people write at some pace
        if what == "kill":
            await self.begin()
        elif what == "broker":
            await asyncio.to_thread(self.rabbitmq.start)


@asynccontextmanager
async def scene(rabbitmq: RabbitMQ, make_place: PlaceMaker, seed: int) -> AsyncIterator[Scene]:
    sim = WppSimulator(
        clock=SystemClock(), random=Random(seed), secret_key=KEY, gateway_secret="test-only",
        pace=Pace.at_once(), world=World([owner(SESSION, "551155500201", 1)]),
        config={"on_self_message": True, "auto_download": False},
    )  # fmt: skip
    await sim.start()
    proxy = await TcpProxy("127.0.0.1", 9).start()
    place = make_place()

    def furnish(furnisher: Furnisher, tx: Any) -> str:
        target = {
            "kind": "amqp", "servers": [{"host": "127.0.0.1", "port": rabbitmq.port, "user": USER}],
            "vhost": VHOST, "exchange": "calls", "queue": "calls", "declare": False,
        }  # fmt: skip
        given = {"name": "bus", "format": "cloudevents", "filter": {"types": ["message.*"]}, "target": target}
        furnisher.subscribe(tx, {**given, "secrets": {"passwords": {USER: PASSWORD}}})
        return furnisher.connection(
            tx, "wppconnect", SESSION, session_name=SESSION, server_url=sim.server_url, secret_key=KEY,
            hub_url=f"http://127.0.0.1:{proxy.port}", browser_url=sim.control_url, **IMPATIENT,
        )  # fmt: skip

    try:
        connection = await place.furnish(furnish)
        found = Scene(place, place.worker(), sim, rabbitmq, proxy, connection, Random(seed))
        await found.begin()
        await is_live(place, connection)
        yield found
    finally:
        place.close()
        await proxy.close()
        await sim.stop()


async def check(scene: Scene, seed: int, patience_s: float) -> None:
    """In the log exactly once with its time; at the consumer at least once, in order per conversation."""

    async def received() -> list[dict[str, Any]]:
        return await facts(scene.place, "message.received")

    async def revoked() -> set[str]:
        return {one["data"]["key"] for one in await facts(scene.place, "message.revised")}

    async def is_whole() -> bool:
        return {one["data"]["key"] for one in await received()} | await revoked() >= scene.placed()

    said = f"seed {seed}: {', '.join(scene.done)}"
    await until(is_whole, f"all messages are in the log; {said}", within_s=patience_s, every_s=0.5)
    await until(lambda: is_calm(scene), f"its gaps are closed; {said}", within_s=patience_s)
    await is_settled(scene.place)

    told = await received()
    assert len({one["data"]["key"] for one in told}) == len(told), said
    truth = {row["key"]: row["t"] * 1000 for row in scene.sim.ledger(SESSION)["messages"]}
    assert [
        one["data"]["key"] for one in told if one["data"]["occurred_at"] != truth[one["data"]["key"]]
    ] == []
    wanted: dict[str, list[str]] = {}
    for one in await facts(scene.place, "message."):
        wanted.setdefault(one["key"], []).append(one["id"])
    got: dict[str, dict[str, None]] = {}
    for message in await scene.rabbitmq.consume(VHOST, "calls"):
        got.setdefault(message.body["subject"], {}).setdefault(message.body["id"])
    assert {key: list(ids) for key, ids in got.items()} == wanted, said


async def is_calm(scene: Scene) -> bool:
    gaps = await gaps_of(scene.place, scene.connection)
    return bool(gaps) and all(one["closed_ms"] is not None for one in gaps)


async def journey(
    rabbitmq: RabbitMQ, make_place: PlaceMaker, seed: int, steps: int, patience_s: float
) -> list[str]:
    """Run one schedule and check it; answer what of the pairing was destroyed."""
    async with scene(rabbitmq, make_place, seed) as found:
        for what in found.schedule(steps):
            await found.step(what)
        await found.sim.faults.stop_all()
        await is_live(found.place, found.connection, within_s=patience_s)
        await check(found, seed, patience_s)
        print(f"seed {seed}: {len(found.placed())} messages; {', '.join(found.done)}")
        lost = [] if found.sim.phone(SESSION).linked == SESSION else ["the pairing"]
        return found.sim.destroyed() + lost


@pytest.mark.timeout(400)
async def test_what_was_written_reaches_log_and_consumer_through_kills_and_outages(
    rabbitmq: RabbitMQ, make_place: PlaceMaker
) -> None:
    assert await journey(rabbitmq, make_place, 1, STEPS, PATIENCE_S) == []


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 150))
async def test_what_was_written_reaches_log_and_consumer_through_longer_schedules(
    rabbitmq: RabbitMQ, make_place: PlaceMaker, seed: int
) -> None:
    assert await journey(rabbitmq, make_place, seed, LONG_STEPS, LONG_PATIENCE_S) == []
