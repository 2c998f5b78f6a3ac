"""A real RabbitMQ with the vhosts of the test world, through ../shared/asterisk/rabbit-up."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from tests.peers.ground import SHARED, Ground, children, end, is_running, missing, run

UP = SHARED / "asterisk" / "rabbit-up"
DEFINITIONS = SHARED / "asterisk" / "rabbit" / "definitions.json"
USER, PASSWORD = "atalaia", "test-only-rabbit"


@dataclass(frozen=True)
class Received:
    """One message as a consumer gets it."""

    body: Any
    raw: bytes
    message_id: str | None
    routing_key: str
    exchange: str
    content_type: str | None
    headers: dict[str, Any] = field(default_factory=dict[str, Any])
    persistent: bool = False
    redelivered: bool = False


class RabbitMQ:
    """One broker of this test session."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        # rabbit-up also takes the ports +20000 (distribution) and +20002 (name server).
        self.port = ground.port(20_000, 20_002)
        self.folder = ground.folder / "rabbit"
        self.env = {"ATALAIA_RABBIT_PORT": str(self.port), "ATALAIA_RABBIT_CACHE": str(self.folder)}
        self.url = f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self.port}/"
        self.definitions: dict[str, Any] = json.loads(DEFINITIONS.read_text())
        self.vhosts: list[str] = [one["name"] for one in self.definitions["vhosts"] if one["name"] != "/"]
        self._changed = False

    def url_for(self, vhost: str) -> str:
        return self.url + vhost.replace("/", "%2F")

    def up(self, *words: str, check: bool = True) -> str:
        return run([UP, *words], env=self.env, seconds=120, check=check)

    @property
    def pid(self) -> int | None:
        note = self.folder / str(self.port) / "pid"
        pid = int(note.read_text()) if note.exists() and note.read_text().strip() else None
        return pid if pid and is_running(pid) else None

    def start(self) -> None:
        """Start it and wait until it answers; what was durable is there again."""
        self.up("start")
        self.ctl("await_startup")
        pid = self.pid
        assert pid is not None
        for one in [*children(pid), *self._name_servers()]:
            self._ground.remember(f"rabbit-{one}", one)

    def _name_servers(self) -> list[int]:
        """Answer the broker's own epmd: a daemon that names its port nowhere but in its environment."""
        mark = f"ERL_EPMD_PORT={self.port + 20_002}\0".encode()
        found: list[int] = []
        for note in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in note.read_bytes() and (note.parent / "comm").read_text() == "epmd\n":
                    found.append(int(note.parent.name))
            except OSError:
                continue  # not ours to read, or gone
        return found

    def stop(self) -> None:
        self.resume()
        self.up("stop")

    def crash(self) -> None:
        """End it as a power cut would."""
        if pid := self.pid:
            end(pid)

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay, nothing answers."""
        if pid := self.pid:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        if pid := self.pid:
            os.kill(pid, signal.SIGCONT)

    def ctl(self, *words: str) -> str:
        """Run rabbitmqctl; it takes a second or two each time."""
        return self.up("ctl", *words)

    def add_vhost(self, name: str) -> None:
        """Make an empty vhost that our user may use: no exchange, no queue."""
        self._changed = True
        self.ctl("add_vhost", name)
        self.ctl("set_permissions", "-p", name, USER, ".*", ".*", ".*")

    def delete_vhost(self, name: str) -> None:
        self._changed = True
        self.ctl("delete_vhost", name)

    def import_definitions(self, path: Path = DEFINITIONS) -> None:
        """Put back what the test world has: vhosts, exchanges, queues, bindings."""
        self.ctl("import_definitions", str(path))

    async def publish(
        self, vhost: str, exchange: str, routing_key: str, body: bytes, **properties: Any
    ) -> None:
        """Publish one persistent message with a confirm."""
        async with await aio_pika.connect(self.url_for(vhost)) as connection:
            channel = await connection.channel(on_return_raises=True)
            target = (
                await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
            )
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, **properties)
            await target.publish(message, routing_key)

    async def consume(self, vhost: str, queue: str) -> list[Received]:
        """Take everything that lies in the queue now, oldest first."""
        got: list[Received] = []
        async with await aio_pika.connect(self.url_for(vhost)) as connection:
            channel = await connection.channel()
            source = await channel.get_queue(queue)
            while (message := await source.get(no_ack=True, fail=False)) is not None:
                got.append(_received(message))
        return got

    async def take(self, vhost: str, queue: str, count: int, seconds: float = 60) -> list[Received]:
        """Take `count` messages as they come; fails when they have not come within `seconds`."""
        got: list[Received] = []
        try:
            async with asyncio.timeout(seconds), await aio_pika.connect(self.url_for(vhost)) as connection:
                channel = await connection.channel()
                await channel.set_qos(prefetch_count=1)  # what comes after the last one stays in the queue
                source = await channel.get_queue(queue)
                async with source.iterator() as messages:
                    async for message in messages:
                        await message.ack()
                        got.append(_received(message))
                        if len(got) >= count:
                            return got
        except TimeoutError:
            pytest.fail(f"{vhost}/{queue}: {len(got)} of {count} messages within {seconds:g} s: {got}"[:3000])
        return got

    async def count(self, vhost: str, queue: str) -> int:
        """Answer how many messages are ready in the queue."""
        async with await aio_pika.connect(self.url_for(vhost)) as connection:
            channel = await connection.channel()
            declared = await channel.declare_queue(queue, passive=True)
            return declared.declaration_result.message_count or 0

    def heal(self) -> None:
        """Bring it back to where a test may begin: running, the test world's vhosts, empty queues."""
        self.resume()
        if self.pid is None:
            self.start()
        if self._changed:
            present = set(self.ctl("list_vhosts", "--quiet", "name").split())
            for extra in present - {*self.vhosts, "/", "name"}:
                self.ctl("delete_vhost", extra)
            self.import_definitions()
            self._changed = False
        # In a thread, because a test's own event loop may already be set up in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, self._purge()).result()

    async def _purge(self) -> None:
        for vhost in self.vhosts:
            queues = [one["name"] for one in self.definitions.get("queues", []) if one["vhost"] == vhost]
            if not queues:
                continue
            async with await aio_pika.connect(self.url_for(vhost)) as connection:
                channel = await connection.channel()
                for name in queues:
                    await (await channel.get_queue(name)).purge()

    def close(self) -> None:
        self.resume()
        self.up("clean", check=False)
        for one in self._name_servers():
            end(one)


def _received(message: aio_pika.abc.AbstractIncomingMessage) -> Received:
    try:
        body = json.loads(message.body)
    except ValueError:
        body = None
    return Received(
        body=body,
        raw=message.body,
        message_id=message.message_id,
        routing_key=message.routing_key or "",
        exchange=message.exchange or "",
        content_type=message.content_type,
        headers=dict(message.headers),
        persistent=message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT,
        redelivered=bool(message.redelivered),
    )


def make(ground: Ground) -> RabbitMQ:
    """Start one, or say why that is not possible here."""
    if not UP.exists():
        missing(f"no {UP}: the folder with the test RabbitMQ is not beside this checkout")
    if not Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists():
        missing("RabbitMQ is not installed: apt-get install rabbitmq-server")
    rabbit = RabbitMQ(ground)
    rabbit.start()
    return rabbit
