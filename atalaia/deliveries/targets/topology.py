"""Exchange, queue and binding of a virtual host: declared where we may, looked at where we may not."""

from __future__ import annotations

from dataclasses import dataclass

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractQueue, FieldValue
from aiormq.exceptions import (
    AMQPError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from atalaia.deliveries.targets.broker import translated
from atalaia.errors import Refused


@dataclass(frozen=True, slots=True)
class Topology:
    """What a virtual host must have so that messages arrive. declare: we make what is missing."""

    exchange: str
    exchange_type: str
    queue: str
    queue_type: str
    binding: str
    declare: bool


async def ensure(
    connection: AbstractConnection, topology: Topology, vhost: str
) -> tuple[AbstractChannel, AbstractExchange, list[str]]:
    """Answer a fresh confirming channel, the exchange on it, and in words what was found or made.

    What exists with other properties is the owner's choice and used as it is.
    Errors: `Refused` when something is missing that we may not make; `Unreachable` when we are cut off.
    """
    said: list[str] = []
    try:
        if topology.declare:
            said.append(await _declare_exchange(connection, topology, vhost))
            said.append(await _declare_queue(connection, topology, vhost))
        else:
            await _look_for_exchange(connection, topology, vhost)
            said.append(f"Exchange {topology.exchange} is there.")
        channel = await _channel(connection)
        return channel, await channel.get_exchange(topology.exchange, ensure=False), said
    except (AMQPError, OSError, RuntimeError) as error:
        raise translated(error, vhost, None) from None


async def _channel(connection: AbstractConnection) -> AbstractChannel:
    return await connection.channel(publisher_confirms=True, on_return_raises=True)


async def _declare_exchange(connection: AbstractConnection, topology: Topology, vhost: str) -> str:
    channel = await _channel(connection)
    try:
        await channel.declare_exchange(topology.exchange, topology.exchange_type, durable=True)
    except (ChannelAccessRefused, ChannelPreconditionFailed):
        await _look_for_exchange(connection, topology, vhost)
        return f"Exchange {topology.exchange} is there, made by somebody else."
    await channel.close()
    return f"Exchange {topology.exchange} ({topology.exchange_type}) is there."


async def _look_for_exchange(connection: AbstractConnection, topology: Topology, vhost: str) -> None:
    channel = await _channel(connection)
    try:
        await channel.get_exchange(topology.exchange)
    except ChannelNotFoundEntity:
        said = f"The virtual host {vhost} has no exchange {topology.exchange}, and we may not make it."
        ask = (
            f"Create the exchange {topology.exchange} in {vhost}, or give our user the right to configure it."
        )
        raise Refused(said, ask=ask) from None
    await channel.close()


async def _declare_queue(connection: AbstractConnection, topology: Topology, vhost: str) -> str:
    channel = await _channel(connection)
    quorum: dict[str, FieldValue] = {"x-queue-type": "quorum"}
    arguments = quorum if topology.queue_type == "quorum" else None
    try:
        queue = await channel.declare_queue(topology.queue, durable=True, arguments=arguments)
        made = ""
    except (ChannelAccessRefused, ChannelPreconditionFailed):
        channel = await _channel(connection)
        found = await _look_for_queue(channel, topology, vhost)
        if found is None:
            return f"We may not look at queue {topology.queue}; a message that no queue takes comes back."
        queue, made = found, ", made by somebody else"
    try:
        await queue.bind(topology.exchange, topology.binding)
    except ChannelAccessRefused:
        return f"Queue {topology.queue} is there{made}; we may not bind it, so its owner must have done so."
    await channel.close()
    return f"Queue {topology.queue} is there{made}, bound with {topology.binding}."


async def _look_for_queue(channel: AbstractChannel, topology: Topology, vhost: str) -> AbstractQueue | None:
    """Answer the queue; None when we may not even look."""
    try:
        return await channel.get_queue(topology.queue)
    except ChannelNotFoundEntity:
        said = f"The virtual host {vhost} has no queue {topology.queue}, and we may not make it."
        ask = f"Create the queue {topology.queue} in {vhost}, or give our user the right to configure it."
        raise Refused(said, ask=ask) from None
    except ChannelAccessRefused:
        return None
