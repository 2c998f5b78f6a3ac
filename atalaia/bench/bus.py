"""The message bus of `bench calls`: a RabbitMQ of its own where there is one, else a webhook consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aio_pika
import aiohttp

from atalaia.bench.broker import broker, is_installed
from atalaia.deliveries.receiver import Received, Receiver

VHOST = "cliente114"  # of the load's one client
Take = Callable[[bytes], None]
Publish = Callable[[bytes], Awaitable[None]]


class Bus(Protocol):
    """Where records arrive."""

    name: str

    def subscriptions(self) -> Sequence[Mapping[str, Any]]:
        """Answer the subscriptions it needs beside those that come with the connection."""
        ...

    def environment(self) -> dict[str, str]:
        """Answer what the hub's environment needs for it."""
        ...

    def write_servers(self, etc: Path) -> None:
        """Write the file that names the AMQP servers, where it is one."""
        ...

    async def listen(self, take: Take) -> None:
        """Hand every message's body over until cancelled."""
        ...

    def forwarder(self) -> AbstractAsyncContextManager[Publish]:
        """Answer a function that publishes one body and waits for the confirmation."""
        ...


@asynccontextmanager
async def bus() -> AsyncGenerator[Bus]:
    """Answer a RabbitMQ where it is installed, else a webhook consumer."""
    if is_installed():
        async with broker(VHOST) as url:
            yield Rabbit(url)
        return
    receiver = Receiver(keep=1)
    await receiver.start()
    try:
        yield Hook(receiver)
    finally:
        await receiver.stop()


class Rabbit:
    """A RabbitMQ with the load client's vhost."""

    name = "RabbitMQ"

    def __init__(self, url: str) -> None:
        self._url = url

    def subscriptions(self) -> Sequence[Mapping[str, Any]]:
        return ()

    def environment(self) -> dict[str, str]:
        return {}

    def write_servers(self, etc: Path) -> None:
        server = urlsplit(self._url)
        lines = [
            "[bench]",
            f"host = {server.hostname}",
            f"port = {server.port}",
            "user = guest",
            "password = guest",
        ]
        (etc / "__MQSERVERS__.DEF").write_text("\n".join([*lines, "tls = no", ""]))

    async def listen(self, take: Take) -> None:
        connection = await aio_pika.connect(self._url + VHOST)
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(500)
            exchange = await channel.declare_exchange("calls", aio_pika.ExchangeType.TOPIC, durable=True)
            queue = await channel.declare_queue("calls", durable=True)
            await queue.bind(exchange, "#")
            async with queue.iterator(no_ack=True) as messages:
                async for message in messages:
                    take(message.body)

    @asynccontextmanager
    async def forwarder(self) -> AsyncGenerator[Publish]:
        connection = await aio_pika.connect(self._url)
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue("baseline", exclusive=True)
        pending: set[asyncio.Task[Any]] = set()

        async def publish(body: bytes) -> None:
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            task = asyncio.ensure_future(channel.default_exchange.publish(message, queue.name))
            pending.add(task)
            task.add_done_callback(pending.discard)
            while len(pending) >= 100:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)

        async with connection:
            yield publish


class Hook:
    """A webhook consumer in this process."""

    name = "webhook (rabbitmq-server is not installed)"

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def subscriptions(self) -> Sequence[Mapping[str, Any]]:
        target = {"kind": "webhook", "url": self._receiver.url}
        return ({"name": "bench", "format": "asterisk", "filter": {"types": ["call.*"]}, "target": target},)

    def environment(self) -> dict[str, str]:
        return {"ATALAIA_ALLOW_PRIVATE_TARGETS": urlsplit(self._receiver.url).netloc}

    def write_servers(self, etc: Path) -> None:
        """There are none."""

    async def listen(self, take: Take) -> None:
        def hand_over(message: Received) -> None:
            take(message.body)

        self._receiver.on_received = hand_over
        await asyncio.Event().wait()

    @asynccontextmanager
    async def forwarder(self) -> AsyncGenerator[Publish]:
        url = self._receiver.url
        self._receiver.on_received = None
        async with aiohttp.ClientSession() as session:

            async def publish(body: bytes) -> None:
                async with session.post(url, data=body) as answer:
                    await answer.read()

            yield publish
