"""A message that no queue takes is an error that people see, and waits until a queue does."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import aio_pika

from tests.journeys.conftest import PlaceMaker
from tests.journeys.hubs import Furnisher, Place
from tests.journeys.ledger import Ledger, entry
from tests.journeys.truth import alerts_of, deliveries_by_state, is_settled
from tests.journeys.waiting import until
from tests.peers.rabbitmq import PASSWORD, USER, RabbitMQ

VHOST = "cliente113"


async def test_messages_without_a_queue_wait_with_an_alarm_and_arrive_once_there_is_one(
    rabbitmq: RabbitMQ, make_place: PlaceMaker
) -> None:
    place = make_place()
    intake = await place.furnish(lambda furnisher, tx: _furnish(furnisher, tx, rabbitmq))
    token = await place.token()
    worker = await place.worker().start()
    ledger = Ledger(token, intake, lambda: [worker.url])
    sender = asyncio.create_task(ledger.send_on("key", random.Random(1)))
    await until(lambda: _has(place, "delivered", 10), "messages arrive")

    await _bind(rabbitmq, False)
    (alarm,) = await until(lambda: _open_alerts(place), "an alarm is raised")
    before = ledger.total
    await until(lambda: ledger.total > before + 10, "senders go on")
    assert "queue" in str(alarm).lower(), alarm
    await _bind(rabbitmq, True)
    sender.cancel()
    with suppress(asyncio.CancelledError):
        await sender
    await is_settled(place)

    messages = await rabbitmq.consume(VHOST, "calls")
    ledger.check("bus", [entry(one.body) for one in messages])
    await until(lambda: _is_calm(place), "the alarm is over")


def _furnish(furnisher: Furnisher, tx: Any, rabbitmq: RabbitMQ) -> str:
    target = {
        "kind": "amqp", "servers": [{"host": "127.0.0.1", "port": rabbitmq.port, "user": USER}],
        "vhost": VHOST, "exchange": "calls", "queue": "calls", "declare": False,
    }  # fmt: skip
    given = {"name": "bus", "format": "cloudevents", "filter": {"types": ["intake.*"]}, "target": target}
    furnisher.subscribe(tx, {**given, "secrets": {"passwords": {USER: PASSWORD}}})
    return furnisher.connection(tx, "intake", "ledger")


async def _bind(rabbitmq: RabbitMQ, there: bool) -> None:
    """Take the only binding away, or put it back."""
    async with await aio_pika.connect(rabbitmq.url_for(VHOST)) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("calls")
        await (queue.bind if there else queue.unbind)("calls", "#")


async def _has(place: Place, state: str, count: int) -> bool:
    return (await deliveries_by_state(place)).get(state, 0) >= count


async def _open_alerts(place: Place) -> list[dict[str, Any]]:
    return [one for one in await alerts_of(place) if one["resolved_ms"] is None]


async def _is_calm(place: Place) -> bool:
    return not await _open_alerts(place)
