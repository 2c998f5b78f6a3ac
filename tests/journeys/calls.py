"""What a journey with calls sets up, and how it compares what was told with what the phones did."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.journeys.bus import Conversation, check_order, conversations, near
from tests.journeys.hubs import Place, Worker
from tests.journeys.truth import is_live
from tests.journeys.world import connection_settings, write_configuration
from tests.peers.asterisk import Asterisk
from tests.peers.rabbitmq import RabbitMQ

VHOSTS = ("cliente112", "cliente113", "cliente114")


async def set_out(
    place: Place,
    asterisk: Asterisk,
    rabbitmq: RabbitMQ,
    folder: Path,
    *,
    mq_port: int | None = None,
    **more: Any,
) -> tuple[str, Worker]:
    """Start a hub that hears this Asterisk and delivers to this RabbitMQ; answer connection and worker."""
    etc = write_configuration(folder / "etc", rabbitmq, mq_port)
    settings = connection_settings(asterisk, etc, **more)
    connection = await place.furnish(
        lambda furnisher, tx: furnisher.connection(tx, "asterisk", settings["server"], **settings)
    )
    worker = await place.worker().start()
    await is_live(place, connection)
    return connection, worker


async def told(rabbitmq: RabbitMQ, *vhosts: str) -> list[Conversation]:
    """Take everything from the clients' queues; every conversation is complete and in order."""
    messages = [one for vhost in vhosts or VHOSTS for one in await rabbitmq.consume(vhost, "calls")]
    found = conversations(messages)
    check_order(found)
    return list(found.values())


def compare(
    found: Iterable[Conversation], records: Iterable[dict[str, Any]], *, tolerance: float = 1.0
) -> tuple[list[str], list[dict[str, Any]]]:
    """Answer what was told without being expected, and what was expected without being told."""
    left, missing = list(found), list[dict[str, Any]]()
    for record in records:
        fitting = [one for one in left if fits(one, record, tolerance)]
        if fitting:
            left.remove(fitting[0])
        else:
            missing.append(record)
    return [str(one) for one in left], missing


def fits(one: Conversation, record: dict[str, Any], tolerance: float = 1.0) -> bool:
    """Answer whether a conversation is the one that the phones had; seconds within the tolerance."""
    last = one.last
    return (
        (last["origin"], last["destiny"], last["channelstatus"])
        == (record["origin"], record["destiny"], record["channelstatus"])
        and near(last["ringduration"], record.get("ringduration"), tolerance)
        and near(last["callduration"], record.get("callduration"), tolerance)
        and record.get("reason", last["extra"]["reason"]) == last["extra"]["reason"]
    )
