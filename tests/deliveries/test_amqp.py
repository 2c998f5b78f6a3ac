"""RabbitMQ, the real one: told-apart errors, nothing lost, order kept, whatever happens to the broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest
import pytest_asyncio

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.deliveries.formats import Outgoing
from atalaia.deliveries.targets.amqp import IDLE_S, AmqpPool, AmqpTarget
from atalaia.deliveries.targets.settings import check_target
from atalaia.deliveries.targets.target import Attempt, Secrets, Unreachable, witness
from atalaia.errors import Refused, Rejected, UpstreamError
from atalaia.store.store import Store
from tests.deliveries.hub import Hub
from tests.peers.fixtures import ProxyMaker
from tests.peers.rabbitmq import PASSWORD, USER, RabbitMQ

VHOST = "cliente112"


def outgoing(number: int, routing_key: str = "received-call") -> Outgoing:
    return Outgoing(VHOST, f"guid:{number}", json.dumps({"n": number}).encode(), routing_key=routing_key)


def attempt(number: int) -> Attempt:
    return Attempt(number, 1, number, "call.ended", "guid", 1_767_225_600_000)


def config(port: int, **more: Any) -> dict[str, Any]:
    server = {"host": "127.0.0.1", "port": port, "user": USER}
    return check_target({"kind": "amqp", "servers": [server], "queue": "calls", **more})


class Maker:
    def __init__(self) -> None:
        self.clock = HeldClock()
        self.pool = AmqpPool(Ambient(clock=self.clock))
        self._made = 0

    def target(self, given: dict[str, Any], password: str = PASSWORD) -> AmqpTarget:
        self._made += 1

        async def none(_: str) -> list[Any]:
            return []

        return AmqpTarget(self.pool, given, Secrets(passwords={"": password}), none, f"target-{self._made}")


@pytest_asyncio.fixture
async def maker() -> AsyncIterator[Maker]:
    maker = Maker()
    yield maker
    await maker.pool.close()


async def _error(target: AmqpTarget, vhost: str = VHOST) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await target.send(vhost, outgoing(1), attempt(1))
    return caught.value


async def test_a_message_is_persistent_confirmed_and_says_what_it_is(rabbitmq: RabbitMQ, maker: Maker):
    sent = await maker.target(config(rabbitmq.port)).send(VHOST, outgoing(7), attempt(7))

    assert sent.status == "confirmed"
    [got] = await rabbitmq.consume(VHOST, "calls")
    assert (got.body, got.message_id, got.routing_key) == ({"n": 7}, "guid:7", "received-call")
    assert (got.exchange, got.content_type, got.persistent) == ("calls", "application/json", True)
    assert got.headers == {"x-seq": 7}


async def test_a_missing_virtual_host_is_told_and_asks_a_person(rabbitmq: RabbitMQ, maker: Maker):
    error = await _error(maker.target(config(rabbitmq.port)), "cliente999")
    assert isinstance(error, Refused)
    assert "no virtual host cliente999" in str(error)
    assert "Create the virtual host cliente999" in error.ask


async def test_a_wrong_password_is_told_without_it(rabbitmq: RabbitMQ, maker: Maker):
    error = await _error(maker.target(config(rabbitmq.port), "canary-pw-71"))
    assert isinstance(error, Refused)
    assert "refused the user atalaia or the password" in str(error)
    assert "canary-pw-71" not in str(error) + error.ask


async def test_nobody_listening_is_unreachable(maker: Maker):
    error = await _error(maker.target(config(1)))
    assert type(error) is Unreachable
    assert "No connection to 127.0.0.1:1" in str(error)


async def test_the_next_server_is_tried_when_the_first_is_away(rabbitmq: RabbitMQ, maker: Maker):
    given = config(rabbitmq.port)
    given["servers"] = [{"host": "127.0.0.1", "port": 1, "user": USER}, *given["servers"]]
    await maker.target(given).send(VHOST, outgoing(1), attempt(1))
    assert await rabbitmq.count(VHOST, "calls") == 1


async def test_topology_is_made_where_it_is_missing(rabbitmq: RabbitMQ, maker: Maker):
    rabbitmq.add_vhost("cliente200")
    await maker.target(config(rabbitmq.port)).send("cliente200", outgoing(1), attempt(1))
    assert await rabbitmq.count("cliente200", "calls") == 1


async def test_what_somebody_else_made_otherwise_is_used_as_it_is(rabbitmq: RabbitMQ, maker: Maker):
    rabbitmq.add_vhost("cliente201")
    async with await aio_pika.connect(rabbitmq.url_for("cliente201")) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("calls", "fanout", durable=True)
        queue = await channel.declare_queue("calls", durable=True, arguments={"x-max-length": 100})
        await queue.bind(exchange)

    await maker.target(config(rabbitmq.port)).send("cliente201", outgoing(1), attempt(1))

    assert await rabbitmq.count("cliente201", "calls") == 1


async def test_without_the_right_to_configure_what_is_there_is_used(rabbitmq: RabbitMQ, maker: Maker):
    rabbitmq.ctl("add_user", "publisher", "pub-pw")
    rabbitmq.ctl("set_permissions", "-p", VHOST, "publisher", "^$", "^calls$", "^$")
    try:
        given = config(rabbitmq.port)
        given["servers"][0]["user"] = "publisher"
        await maker.target(given, "pub-pw").send(VHOST, outgoing(1), attempt(1))
        assert await rabbitmq.count(VHOST, "calls") == 1

        error = await _error(maker.target({**given, "exchange": "other"}, "pub-pw"))
        assert isinstance(error, Refused)
        assert "exchange other" in str(error) or "access" in str(error)

        refused = await _error(maker.target(given, "pub-pw"), "cliente113")
        assert isinstance(refused, Refused)
        assert "does not let the user publisher into the virtual host cliente113" in str(refused)
    finally:
        rabbitmq.ctl("delete_user", "publisher")


async def test_a_message_that_no_queue_takes_comes_back_and_is_an_error(rabbitmq: RabbitMQ, maker: Maker):
    rabbitmq.add_vhost("cliente202")
    target = maker.target(config(rabbitmq.port, binding="only.this"))

    error = await _error(target, "cliente202")

    assert type(error) is Unreachable
    assert "has no queue for received-call" in str(error)
    assert witness(error)[0] == "returned"


async def test_a_queue_that_vanished_is_made_again_and_nothing_is_lost(rabbitmq: RabbitMQ, maker: Maker):
    rabbitmq.add_vhost("cliente203")
    target = maker.target(config(rabbitmq.port))
    await target.send("cliente203", outgoing(1), attempt(1))
    for part in ("queue", "exchange"):
        async with await aio_pika.connect(rabbitmq.url_for("cliente203")) as connection:
            channel = await connection.channel()
            if part == "queue":
                await channel.queue_delete("calls")
            else:
                await channel.exchange_delete("calls")
        assert (await target.send("cliente203", outgoing(2), attempt(2))).status == "confirmed"
    assert await rabbitmq.count("cliente203", "calls") == 2


async def test_a_full_queue_refuses_the_message(rabbitmq: RabbitMQ, maker: Maker):
    rabbitmq.add_vhost("cliente204")
    async with await aio_pika.connect(rabbitmq.url_for("cliente204")) as connection:
        channel = await connection.channel()
        arguments: dict[str, Any] = {"x-max-length": 1, "x-overflow": "reject-publish"}
        await channel.declare_queue("calls", durable=True, arguments=arguments)
    target = maker.target(config(rabbitmq.port))
    await target.send("cliente204", outgoing(1), attempt(1))

    error = await _error(target, "cliente204")

    assert type(error) is Rejected
    assert witness(error)[0] == "nack"


async def test_an_idle_connection_is_closed_and_opened_again(
    rabbitmq: RabbitMQ, maker: Maker, tcp_proxy: ProxyMaker
):
    proxy = await tcp_proxy("127.0.0.1", rabbitmq.port)
    target = maker.target(config(proxy.port))
    await target.send(VHOST, outgoing(1), attempt(1))
    assert proxy.connections == 1

    await maker.clock.run_for(2 * IDLE_S)
    await proxy.wait_for_connections(0)

    await target.send(VHOST, outgoing(2), attempt(2))
    assert await rabbitmq.count(VHOST, "calls") == 2


async def test_connections_cut_in_the_middle_lose_nothing_and_keep_the_order(
    rabbitmq: RabbitMQ, store: Store, clock: HeldClock, tcp_proxy: ProxyMaker
):
    proxy = await tcp_proxy("127.0.0.1", rabbitmq.port)
    hub = await _hub(store, clock, proxy.port)
    try:
        for turn in range(10):
            await hub.happen(*(f"{VHOST}-{n}" for n in range(40)))
            if turn % 2:
                await hub.until(lambda: proxy.connections, passing_s=1)
                proxy.cut()
        await hub.settled(passing_s=2)
    finally:
        await hub.close()
    await _check_nothing_lost(rabbitmq, keys=40, each=10)


async def test_a_broker_stopped_and_killed_in_the_middle_loses_nothing(
    rabbitmq: RabbitMQ, store: Store, clock: HeldClock
):
    hub = await _hub(store, clock, rabbitmq.port)
    try:
        await hub.happen(*(f"{VHOST}-{n}" for n in range(40)))
        for end in (rabbitmq.stop, rabbitmq.crash):
            ending = asyncio.to_thread(end)
            await hub.happen(*(f"{VHOST}-{n}" for n in range(40)))
            await ending
            await hub.happen(*(f"{VHOST}-{n}" for n in range(40)))
            await hub.until(lambda: hub.rows("select 1 from lanes where circuit = 'open'"))
            await asyncio.to_thread(rabbitmq.start)
            await hub.settled(passing_s=5)
    finally:
        await hub.close()
    await _check_nothing_lost(rabbitmq, keys=40, each=5)


async def test_a_deleted_virtual_host_holds_up_that_client_alone(
    rabbitmq: RabbitMQ, store: Store, clock: HeldClock
):
    hub = await _hub(store, clock, rabbitmq.port)
    rabbitmq.add_vhost("cliente205")
    try:
        await hub.happen("cliente205-1", f"{VHOST}-1")
        await hub.settled()
        await asyncio.to_thread(rabbitmq.delete_vhost, "cliente205")
        await hub.happen("cliente205-1", f"{VHOST}-1", "cliente205-2")
        await hub.until(lambda: hub.rows("select 1 from lanes where circuit = 'open'"), passing_s=1)
        await hub.until(lambda: rabbitmq.count(VHOST, "calls"))

        [lane] = await hub.rows("select destination, ask from lanes where circuit = 'open'")
        assert lane.destination == "cliente205"
        assert "Create the virtual host cliente205" in lane.ask
        [alert] = await hub.rows("select body from events where type = 'alert.raised'")
        assert "no virtual host cliente205" in alert.body

        await asyncio.to_thread(rabbitmq.add_vhost, "cliente205")
        await hub.settled(passing_s=5)
        assert await rabbitmq.count("cliente205", "calls") == 2
        assert await hub.facts("target.%") == ["target.opened", "target.closed"]
    finally:
        await hub.close()


async def test_the_test_of_a_target_tells_each_step(rabbitmq: RabbitMQ, maker: Maker):
    steps = await maker.target(config(rabbitmq.port)).test(VHOST)
    assert [step.state for step in steps] == ["ok", "ok", "ok"]
    assert "virtual host cliente112 is there" in steps[0].said

    for target, vhost in (
        (maker.target(config(1)), VHOST),
        (maker.target(config(rabbitmq.port), "wrong"), VHOST),
        (maker.target(config(rabbitmq.port)), "cliente999"),
        (maker.target(config(rabbitmq.port, declare=False, exchange="absent")), VHOST),
    ):
        failed = [step for step in await target.test(vhost) if step.state == "failed"]
        assert len(failed) == 1
        assert failed[0].remedy


async def _hub(store: Store, clock: HeldClock, port: int) -> Hub:
    hub = Hub(store, clock)
    target = {"kind": "amqp", "servers_from": "connection:asterisk-1"}
    hub.servers = [{"host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD, "tls": False}]
    await hub.subscribe(target, format="by-client")
    hub.start()
    return hub


async def _check_nothing_lost(rabbitmq: RabbitMQ, *, keys: int, each: int) -> None:
    """Look at it as a consumer that drops repeats by message id: all there, in order per key."""
    first: dict[str, None] = {}
    for message in await rabbitmq.consume(VHOST, "calls"):
        assert message.message_id is not None
        first.setdefault(message.message_id)
    by_key: dict[str, list[int]] = {}
    for id in first:
        key, _, seq = id.rpartition(":")
        by_key.setdefault(key, []).append(int(seq))
    assert len(by_key) == keys
    assert all(len(seqs) == each for seqs in by_key.values())
    assert all(seqs == sorted(seqs) for seqs in by_key.values())
