"""The hub is killed again and again at random moments under load: what it acknowledged is never lost."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import orjson
import pytest

from atalaia.deliveries.receiver import Receiver
from atalaia.deliveries.signing import new_secret
from tests.journeys.conftest import PlaceMaker
from tests.journeys.hubs import Furnisher, Place, Worker
from tests.journeys.ledger import Ledger, entry
from tests.journeys.rounds import rounds
from tests.journeys.truth import is_settled
from tests.peers.postgresql import PostgreSQL
from tests.peers.rabbitmq import PASSWORD, USER, RabbitMQ

KEYS = 12
IN_CI, LONG = 16, rounds(500)
LIVES_S = (0.05, 1.0)


CYCLES = [
    pytest.param(IN_CI, id=f"{IN_CI} kills"),
    pytest.param(LONG, id=f"{LONG} kills", marks=[pytest.mark.long, pytest.mark.timeout(7200)]),
]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kills", CYCLES)
async def test_on_sqlite_no_acknowledged_event_is_lost_however_often_the_hub_is_killed(
    rabbitmq: RabbitMQ, make_place: PlaceMaker, kills: int
) -> None:
    await _check_kills(rabbitmq, make_place, kills, workers=1)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kills", CYCLES)
async def test_on_postgresql_no_acknowledged_event_is_lost_while_one_of_two_workers_is_always_killed(
    rabbitmq: RabbitMQ, postgresql: PostgreSQL, make_place: PlaceMaker, kills: int
) -> None:
    await _check_kills(rabbitmq, make_place, kills, workers=2, database_url=postgresql.new_database())


async def _check_kills(
    rabbitmq: RabbitMQ, make_place: PlaceMaker, kills: int, *, workers: int,
    database_url: str = "",
) -> None:  # fmt: skip
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    dice = random.Random(seed)
    receiver = Receiver([new_secret()], keep=10_000_000)
    url = await receiver.start()
    try:
        place = make_place(database_url, allow=(url.split("/")[2],))
        connection = await place.furnish(lambda furnisher, tx: _furnish(furnisher, tx, receiver, rabbitmq))
        token = await place.token()
        hubs = [place.worker() for _ in range(workers)]
        ledger = Ledger(token, connection, lambda: [one.url for one in hubs if one.runs and one.url])
        await _kill_under_load(hubs, ledger, dice, kills)
        await is_settled(place, within_s=120)
        await _check_books(place, ledger, receiver, rabbitmq, kills)
    finally:
        await receiver.stop()


def _furnish(furnisher: Furnisher, tx: Any, receiver: Receiver, rabbitmq: RabbitMQ) -> str:
    wanted = {"types": ["intake.*"]}
    furnisher.webhook(tx, receiver.url, receiver.secrets[0], filter=wanted)
    server = {"host": "127.0.0.1", "port": rabbitmq.port, "user": USER}
    target = {"kind": "amqp", "servers": [server], "vhost": "cliente112", "exchange": "calls"}
    furnisher.subscribe(
        tx,
        {
            "name": "bus", "format": "cloudevents", "filter": wanted,
            "target": {**target, "queue": "calls"}, "secrets": {"passwords": {USER: PASSWORD}},
        },
    )  # fmt: skip
    return furnisher.connection(tx, "intake", "ledger")


async def _kill_under_load(hubs: list[Worker], ledger: Ledger, dice: random.Random, kills: int) -> None:
    for hub in hubs:
        await hub.start()
    senders = [
        asyncio.create_task(ledger.send_on(f"key-{number}", random.Random(dice.random())))
        for number in range(KEYS)
    ]
    try:
        for cycle in range(kills):
            await asyncio.sleep(dice.uniform(*LIVES_S))  # the moment is the test's own choice
            victim = hubs[cycle % len(hubs)]
            await asyncio.to_thread(victim.kill)
            if dice.random() < 0.2:  # now and then it does not even live to serve
                victim.spawn()
                await asyncio.sleep(dice.uniform(0, 0.5))
                await asyncio.to_thread(victim.kill)
            await victim.start()
            assert not [one for one in senders if one.done()], "a sender ended"
    finally:
        for sender in senders:
            sender.cancel()
        for sender in senders:
            with suppress(asyncio.CancelledError):
                await sender


async def _check_books(
    place: Place, ledger: Ledger, receiver: Receiver, rabbitmq: RabbitMQ, kills: int
) -> None:
    on_bus = await rabbitmq.consume("cliente112", "calls")
    webhooks = list(receiver.messages)
    print(
        f"{kills} kills, {ledger.total} acknowledged, {ledger.unanswered} without an answer, "
        f"{len(webhooks)} webhooks, {len(on_bus)} on the bus"
    )
    assert ledger.total > kills * KEYS / 4, "there was hardly any load"
    assert not [one.problem for one in webhooks if one.problem]
    ledger.check("webhook", [entry(orjson.loads(one.body)) for one in webhooks])
    ledger.check("bus", [entry(one.body) for one in on_bus])
