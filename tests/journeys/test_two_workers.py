"""Two workers on one PostgreSQL: what one holds goes to the other in time, and never to both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest_asyncio
from sqlalchemy import Connection, select

from atalaia.clock import SystemClock
from atalaia.deliveries.receiver import Receiver
from atalaia.deliveries.signing import new_secret
from atalaia.store.ownership import BEAT_S, TTL_S
from atalaia.store.tables import HEARD, events, leases, workers
from simulators.asterisk import AsteriskSimulator
from simulators.asterisk.world import load_world, write_etc
from tests.journeys.conftest import PlaceMaker
from tests.journeys.hubs import Furnisher, Place, Worker
from tests.journeys.ledger import Ledger, entry
from tests.journeys.truth import facts, is_live
from tests.journeys.waiting import until
from tests.peers.postgresql import PostgreSQL

SERVERS, HOOKS, KEYS = 4, 4, 8
ENOUGH = 50
PASSWORD = "test-only"
# The other one looks at every beat; one more beat for a busy machine.
TAKEN_WITHIN_MS = (TTL_S + 2 * BEAT_S) * 1000


@dataclass
class Pair:
    """Two workers, four simulated Asterisks with calls, four webhooks, and senders with a ledger."""

    place: Place
    one: Worker
    other: Worker
    connections: list[str]
    ledger: Ledger
    receivers: list[Receiver]
    senders: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    granted: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])

    async def leases(self) -> dict[str, Any]:
        """Read the leases, and hold each epoch that is seen to its first owner."""
        rows = await self.place.read(lambda tx: list(tx.execute(select(leases))))
        for row in rows:
            if row.owner is not None:
                assert self.granted.setdefault((row.name, row.epoch), row.owner) == row.owner, row
        return {row.name: row for row in rows}

    async def owned_by(self, worker: Worker, *prefixes: str) -> dict[str, Any]:
        """Answer the leases that a worker's process holds."""
        query = select(workers.c.id).where(workers.c.pid == worker.pid)
        identity = await self.place.read(lambda tx: tx.scalar(query))
        found = await self.leases()
        return {
            name: row
            for name, row in found.items()
            if row.owner == identity and name.startswith(prefixes or ("",))
        }

    async def shares(self) -> bool:
        """Answer whether both hold connections and lanes."""
        owned = [
            await self.owned_by(worker, prefix)
            for worker in (self.one, self.other)
            for prefix in ("connection:", "lane:")
        ]
        return all(owned)

    async def is_handed_over(self, before: dict[str, Any], to: Worker) -> dict[str, Any]:
        """Answer the new leases once all of these belong to the other worker."""
        now = await self.owned_by(to)
        return {name: now[name] for name in before} if before.keys() <= now.keys() else {}

    async def stop_sending(self) -> None:
        """Let them send until there is something to compare, however slow the machine is."""
        if any(not sender.done() for sender in self.senders):
            await until(lambda: self.ledger.total > ENOUGH, "enough was sent", within_s=120)
        for sender in self.senders:
            sender.cancel()
        for sender in self.senders:
            with suppress(asyncio.CancelledError):
                await sender

    def has_everything(self) -> bool:
        return all(self.ledger.is_in(self._seen(one)) for one in self.receivers)

    @staticmethod
    def _seen(receiver: Receiver) -> list[tuple[str, int]]:
        return [entry(orjson.loads(one.body)) for one in receiver.messages]

    def check_ledgers(self) -> None:
        assert self.ledger.total > ENOUGH
        for number, receiver in enumerate(self.receivers):
            self.ledger.check(f"webhook {number}", self._seen(receiver))


@pytest_asyncio.fixture
async def pair(postgresql: PostgreSQL, make_place: PlaceMaker, tmp_path: Path) -> AsyncIterator[Pair]:
    simulators = [await _simulator(number) for number in range(SERVERS)]
    receivers = [Receiver([new_secret()], keep=100_000) for _ in range(HOOKS)]
    urls = [await one.start() for one in receivers]
    place = make_place(postgresql.new_database(), allow=tuple(url.split("/")[2] for url in urls))
    write_etc(tmp_path / "etc", load_world())

    def furnish(furnisher: Furnisher, tx: Connection) -> tuple[str, list[str]]:
        for one in receivers:
            furnisher.webhook(tx, one.url, one.secrets[0], filter={"types": ["intake.*"]})
        made = [
            furnisher.connection(
                tx, "asterisk", f"sim{number}", url=one.url, user="atalaia", password=PASSWORD,
                server=f"sim{number}", ami_port=one.ami_port, etc_folder=str(tmp_path / "etc"),
            )
            for number, one in enumerate(simulators)
        ]  # fmt: skip
        return furnisher.connection(tx, "intake", "ledger"), made

    intake, connections = await place.furnish(furnish)
    token = await place.token()
    hubs = [await place.worker().start() for _ in range(2)]
    ledger = Ledger(token, intake, lambda: [one.url for one in hubs if one.runs and one.url])
    pair = Pair(place, hubs[0], hubs[1], connections, ledger, receivers)
    dice = random.Random(1)
    pair.senders = [
        asyncio.create_task(ledger.send_on(f"key-{number}", random.Random(dice.random())))
        for number in range(KEYS)
    ]
    for one in simulators:
        one.begin_load(rate=2, calls=100_000)
    for connection in connections:
        await is_live(place, connection)
    await until(pair.shares, "both workers hold connections and lanes", every_s=0.3)
    yield pair
    await pair.stop_sending()
    for one in simulators:
        await one.stop()
    for one in receivers:
        await one.stop()


async def _simulator(number: int) -> AsteriskSimulator:
    simulator = AsteriskSimulator(
        clock=SystemClock(), random=random.Random(number), user="atalaia", password=PASSWORD,
        systemname=f"sim{number}", entity_id=f"00:00:5e:00:53:{number:02}",
    )  # fmt: skip
    simulator.add_phones(load_world().phones())
    await simulator.start()
    return simulator


async def test_a_killed_workers_connections_and_lanes_go_to_the_other_within_the_lease_time(
    pair: Pair,
) -> None:
    before = await pair.owned_by(pair.one)
    pair.one.kill()
    after = await until(
        lambda: pair.is_handed_over(before, pair.other), "all is taken over", within_s=60, every_s=0.3
    )

    for name, row in after.items():
        assert row.epoch > before[name].epoch, name
        # Both times are the database's: it was last renewed a lease time before it would have expired.
        assert row.taken_ms - (before[name].expires_ms - TTL_S * 1000) <= TAKEN_WITHIN_MS, name
    for connection in pair.connections:
        await is_live(pair.place, connection)
    await until(lambda: facts(pair.place, "worker.lost"), "the loss of the worker is told")

    await pair.one.start()
    await until(pair.shares, "the new worker has its share", every_s=0.3)
    await pair.stop_sending()
    await until(pair.has_everything, "every consumer has as many as were acknowledged", within_s=90)
    pair.check_ledgers()
    await _check_epochs(pair.place, pair.connections)


async def test_a_paused_worker_that_wakes_cannot_write_for_what_it_has_lost(pair: Pair) -> None:
    before = await pair.owned_by(pair.one)
    mine = [name.removeprefix("connection:") for name in before if name.startswith("connection:")]
    pair.one.pause()
    await until(
        lambda: pair.is_handed_over(before, pair.other), "all is taken over", within_s=60, every_s=0.3
    )
    for connection in mine:
        await until(
            lambda connection=connection: _lives_under(pair.place, connection, before),
            "the new owner is live",
            every_s=0.3,
        )
    slept = await _seen_ms(pair.place, pair.one)
    pair.one.resume()

    async def beats_again() -> bool:
        return await _seen_ms(pair.place, pair.one) > slept

    await until(beats_again, "the woken worker beats again")
    await until(pair.shares, "it gets its share anew", every_s=0.3)
    await pair.stop_sending()
    await until(pair.has_everything, "every consumer has as many as were acknowledged", within_s=90)
    pair.check_ledgers()
    await _check_epochs(pair.place, pair.connections)


async def _seen_ms(place: Place, worker: Worker) -> int:
    query = select(workers.c.seen_ms).where(workers.c.pid == worker.pid, workers.c.gone_ms.is_(None))
    return await place.read(lambda tx: tx.scalar(query)) or 0


async def _lives_under(place: Place, connection: str, before: dict[str, Any]) -> bool:
    """Answer whether a newer owner has written that the connection is live."""
    told = [one for one in await facts(place, "connection.live") if one["key"] == connection]
    return bool(told) and told[-1]["epoch"] > before[f"connection:{connection}"].epoch


async def _check_epochs(place: Place, connections: list[str]) -> None:
    """In the log nothing of an older epoch stands behind the first of a newer one.

    A session's words stand under the connection's lease, what follows from them under the reaction's.
    """
    for connection in connections:
        query = select(events.c.seq, events.c.epoch, events.c.type, events.c.family).order_by(events.c.seq)
        query = query.where(events.c.connection == connection, events.c.epoch > 0)
        rows = await place.read(lambda tx, query=query: list(tx.execute(query)))
        said = [row for row in rows if row.family == HEARD or row.type.startswith("connection.")]
        understood = [row for row in rows if row.type.startswith(("call.", "endpoint."))]
        for written in (said, understood):
            assert written
            newest = 0
            for row in written:
                assert row.epoch >= newest, f"{row.type} of epoch {row.epoch} at {row.seq}, after {newest}"
                newest = row.epoch
