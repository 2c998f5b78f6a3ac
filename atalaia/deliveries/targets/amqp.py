"""RabbitMQ: persistent, mandatory, confirmed messages; one connection for each virtual host.

The destination of a message is its virtual host. Connections are plain ones that we make anew ourselves: the
next message does it, on the first server of the list that answers, and looks at exchange and queue again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aiormq.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError, PublishError

from atalaia.ambient import Ambient
from atalaia.clock import from_ms
from atalaia.deliveries.formats import Outgoing
from atalaia.deliveries.targets.broker import Server, connect, said_by, translated
from atalaia.deliveries.targets.target import (
    Attempt,
    Secrets,
    Sent,
    ServersOf,
    Step,
    Unreachable,
    witnessed,
)
from atalaia.deliveries.targets.topology import Topology, ensure
from atalaia.errors import ConfigError, InDoubt, Refused, Rejected, UpstreamError

CONFIRM_S = 10.0
IDLE_S = 300.0

Servers = Callable[[], Awaitable[list[Server]]]


@dataclass
class _Open:
    """A connection with its one confirming channel, ready to publish."""

    connection: AbstractConnection
    channel: AbstractChannel
    exchange: AbstractExchange
    uses: int = 0
    discarded: bool = False

    @property
    def usable(self) -> bool:
        return not (self.discarded or self.channel.is_closed or self.connection.is_closed)


class _Link:
    """The way to one virtual host; many senders share it, one of them opens it."""

    def __init__(self, vhost: str, topology: Topology, servers: Servers, ambient: Ambient) -> None:
        self.vhost = vhost
        self._topology = topology
        self._servers = servers
        self._ambient = ambient
        self._opening: asyncio.Task[_Open] | None = None
        self._open: _Open | None = None
        self.used = ambient.clock.monotonic()

    @property
    def idle(self) -> bool:
        return self._opening is None and (self._open is None or self._open.uses == 0)

    async def publish(self, parcel: aio_pika.Message, routing_key: str) -> None:
        """Publish and wait for the confirm; whatever fails makes the next message open another connection."""
        ready = await self._ready()
        ready.uses += 1
        try:
            await ready.exchange.publish(parcel, routing_key, mandatory=True, timeout=CONFIRM_S)
        except DeliveryError as error:
            ready.discarded = isinstance(error, PublishError)  # queue or binding may have gone: look again
            raise
        except asyncio.CancelledError:
            ready.discarded = True
            if _cancelled_by_us():
                raise
            # The library cancels what waits for a confirm when its connection ends; nobody cancelled us.
            raise ChannelInvalidStateError("closed") from None
        except BaseException:
            ready.discarded = True
            raise
        finally:
            ready.uses -= 1
            self.used = self._ambient.clock.monotonic()
            if ready.discarded and not ready.uses:
                await _close(ready.connection)

    async def _ready(self) -> _Open:
        if self._open is not None and self._open.usable:
            return self._open
        if self._opening is None:
            self._opening = asyncio.create_task(self._connect())
            self._opening.add_done_callback(self._opened)
        try:
            return await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            if _cancelled_by_us():
                raise
            raise Unreachable(
                f"The connection to virtual host {self.vhost} broke while it was opened."
            ) from None

    def _opened(self, task: asyncio.Task[_Open]) -> None:
        self._opening = None
        if not task.cancelled() and task.exception() is None:
            self._open = task.result()

    async def _connect(self) -> _Open:
        last: UpstreamError | None = None
        for server in await self._servers():
            try:
                connection = await connect(server, self.vhost)
            except UpstreamError as error:
                last = last if isinstance(last, Refused) else error
                continue
            try:
                channel, exchange, _ = await ensure(connection, self._topology, self.vhost)
            except BaseException:
                await _close(connection)
                raise
            return _Open(connection, channel, exchange)
        raise last or Unreachable("No RabbitMQ server is configured.")

    async def close(self) -> None:
        """Close the connection; a later message would open another."""
        if self._opening is not None:
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError, UpstreamError):
                await self._opening
        ready, self._open = self._open, None
        if ready is not None:
            await _close(ready.connection)


class AmqpPool:
    """The connections of this process, one for each list of servers and virtual host."""

    def __init__(self, ambient: Ambient) -> None:
        self.ambient = ambient
        self._links: dict[tuple[str, str], _Link] = {}
        self._sweeper: asyncio.Task[None] | None = None

    def link(self, name: str, vhost: str, topology: Topology, servers: Servers) -> _Link:
        """Answer the shared way to `vhost`. name: tells one list of servers and topology from another."""
        link = self._links.get((name, vhost))
        if link is None:
            link = self._links[name, vhost] = _Link(vhost, topology, servers, self.ambient)
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep())
        return link

    async def _sweep(self) -> None:
        """Close what nobody used for a while: a hundred virtual hosts are a hundred connections."""
        while self._links:
            await self.ambient.clock.sleep(IDLE_S / 4)
            now = self.ambient.clock.monotonic()
            for key, link in list(self._links.items()):
                if link.idle and now - link.used > IDLE_S:
                    del self._links[key]
                    await link.close()

    async def close_named(self, name: str) -> None:
        """Close the connections of one target."""
        for key in [key for key in self._links if key[0] == name]:
            await self._links.pop(key).close()

    async def close(self) -> None:
        """Close every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        for link in self._links.values():
            await link.close()
        self._links.clear()


class AmqpTarget:
    """Exchanges on RabbitMQ servers. See `Target` for the promise."""

    def __init__(
        self, pool: AmqpPool, config: Mapping[str, Any], secrets: Secrets, servers_of: ServersOf, name: str
    ) -> None:
        self._pool = pool
        self._name = name
        self._servers_of = servers_of
        self._config = config
        self._passwords = secrets.passwords
        self._vhost = str(config.get("vhost") or "/")
        self._topology = Topology(
            exchange=str(config["exchange"]),
            exchange_type=str(config["exchange_type"]),
            queue=str(config["queue"]),
            queue_type=str(config["queue_type"]),
            binding=str(config["binding"]),
            declare=bool(config["declare"]),
        )

    async def send(self, destination: str, message: Outgoing, attempt: Attempt) -> Sent:
        vhost = destination or self._vhost
        link = self._pool.link(self._name, vhost, self._topology, self._servers)
        parcel = _parcel(message, attempt)
        try:
            await _publish_twice(link, parcel, message.routing_key)
        except TimeoutError:
            raise InDoubt(f"RabbitMQ did not confirm within {CONFIRM_S:g} s.") from None
        except (AMQPError, ChannelInvalidStateError, OSError) as error:
            raise self._judged(error, vhost, message) from None
        return Sent("confirmed")

    def _judged(self, error: Exception, vhost: str, message: Outgoing) -> UpstreamError:
        match error:
            case PublishError():
                said = (
                    f"Exchange {self._topology.exchange} in virtual host {vhost} has no queue for "
                    f"{message.routing_key or 'an empty routing key'}; RabbitMQ sent the message back."
                )
                return witnessed(Unreachable(said), "returned")
            case DeliveryError():
                said = (
                    f"RabbitMQ refused the message in virtual host {vhost} (nack): its queue is full or away."
                )
                return witnessed(Rejected(said), "nack")
            case _:
                return translated(error, vhost, None)

    async def _servers(self) -> list[Server]:
        source = str(self._config.get("servers_from") or "")
        if source:
            try:
                given = await self._servers_of(source.removeprefix("connection:"))
            except ConfigError as error:
                ask = "Correct the connection's settings, or name servers in the target."
                raise Refused(str(error), ask=ask) from error
        else:
            given = self._config["servers"]
        return [self._server(one) for one in given]

    def _server(self, given: Mapping[str, Any]) -> Server:
        user = str(given.get("user") or "guest")
        tls = bool(given.get("tls"))
        password = given.get("password") or self._passwords.get(user) or self._passwords.get("") or ""
        port = int(given.get("port") or (5671 if tls else 5672))
        return Server(str(given["host"]), port, user, str(password), tls)

    async def test(self, destination: str) -> list[Step]:
        """Reach each server, open the virtual host, look at exchange and queue; publishes nothing."""
        vhost = destination or self._vhost
        try:
            servers = await self._servers()
        except UpstreamError as error:
            return [Step("servers", "failed", str(error), "Name at least one RabbitMQ server.")]
        if not servers:
            return [
                Step("servers", "failed", "No server is configured.", "Name at least one RabbitMQ server.")
            ]
        steps: list[Step] = []
        for server in servers:
            steps += await self._test_server(server, vhost)
        return steps

    async def _test_server(self, server: Server, vhost: str) -> list[Step]:
        place = f"{server.host}:{server.port}"
        try:
            connection = await connect(server, vhost)
        except Refused as no:
            return [Step(place, "failed", str(no), no.ask)]
        except UpstreamError as no:
            return [
                Step(place, "failed", str(no), "See that RabbitMQ runs there and is reachable from here.")
            ]
        steps = [Step(place, "ok", f"Signed in as {server.user}; virtual host {vhost} is there.")]
        try:
            _, _, said = await ensure(connection, self._topology, vhost)
            steps += [Step(f"{place} {vhost}", "ok", one) for one in said]
        except Refused as no:
            steps.append(Step(f"{place} {vhost}", "failed", str(no), no.ask))
        except (UpstreamError, AMQPError) as no:
            steps.append(Step(f"{place} {vhost}", "failed", said_by(no), "Try again; see RabbitMQ's log."))
        finally:
            await _close(connection)
        return steps

    async def close(self) -> None:
        """Close this target's connections."""
        await self._pool.close_named(self._name)


def _parcel(message: Outgoing, attempt: Attempt) -> aio_pika.Message:
    headers: dict[str, Any] = {**message.headers, "x-seq": attempt.seq}
    if attempt.replay_of is not None:
        headers["x-replay"] = attempt.replay_of
    return aio_pika.Message(
        message.body,
        message_id=message.message_id,
        type=attempt.type,
        timestamp=from_ms(attempt.occurred_ms),
        content_type=message.content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        headers=headers,
        app_id="atalaia",
    )


def _cancelled_by_us() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _publish_twice(link: _Link, parcel: aio_pika.Message, routing_key: str) -> None:
    """Publish; when exchange, queue, binding or connection turn out to be gone, look again, once."""
    try:
        await link.publish(parcel, routing_key)
    except TimeoutError:
        raise
    except (AMQPError, ChannelInvalidStateError, OSError) as error:
        if isinstance(error, DeliveryError) and not isinstance(error, PublishError):
            raise
        await link.publish(parcel, routing_key)


async def _close(connection: AbstractConnection) -> None:
    """Close quietly: what is being thrown away may be broken in any way, or hang."""
    with contextlib.suppress(AMQPError, OSError, RuntimeError, TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(2):
            await connection.close()
