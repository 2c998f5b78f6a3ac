"""Asterisk: calls heard over ARI. `CONNECTOR` is the only name others import."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from atalaia.connections.session import Plane
from atalaia.connectors.asterisk.check import check
from atalaia.connectors.asterisk.interpret import INTERPRETATION
from atalaia.connectors.asterisk.messages import MESSAGES
from atalaia.connectors.asterisk.session import run_session
from atalaia.connectors.asterisk.settings import AsteriskSettings
from atalaia.connectors.asterisk.sources import read_mq_servers
from atalaia.connectors.connector import Connector
from atalaia.events.policy import Keep

PLANES = (
    Plane("socket", "Event socket", fresh_s=20, by_events=True),
    Plane("canary", "Own event through Asterisk", fresh_s=75, by_events=True),
    Plane("rest", "REST requests", fresh_s=45),
    Plane("events", "Channel events while channels exist", essential=False, fresh_s=45),
    Plane("ami", "Manager port (AMI)", essential=False, fresh_s=90),
)


def subscriptions(settings: AsteriskSettings) -> list[dict[str, Any]]:
    """Answer the subscription that comes with the connection when its configuration lists RabbitMQ servers.

    The caller fills the connection's id in, into `filter` and into the target's `servers_from`.
    """
    if not read_mq_servers(settings.sources)[0]:
        return []
    target = {
        "kind": "amqp",
        "servers_from": "connection",
        "exchange": settings.mq_exchange,
        "exchange_type": "topic",
        "queue": settings.mq_queue,
        "binding": "#",
    }
    return [
        {
            "name": f"RabbitMQ ({settings.server})",
            "format": MESSAGES.name,
            "filter": {"types": ["call.*", "endpoint.*"], "connection": ""},
            "target": target,
            "options": {"event_codes": dict(settings.event_codes)},
        }
    ]


def servers(settings: AsteriskSettings) -> list[dict[str, Any]]:
    """Answer the RabbitMQ servers of the configuration, passwords included, in order of preference."""
    found, _ = read_mq_servers(settings.sources)
    return [
        {"host": one.host, "port": one.port, "user": one.user, "password": one.password, "tls": one.tls}
        for one in found
    ]


CONNECTOR = Connector(
    name="asterisk",
    title="Asterisk (calls)",
    settings=AsteriskSettings,
    run_session=run_session,
    check=check,
    planes=PLANES,
    interpretations=(INTERPRETATION,),
    formats=(MESSAGES,),
    silence=timedelta(seconds=60),
    keep={"canary": Keep.COUNT, "*": Keep.KEEP},
    rhythms={
        "ChannelCreated": "calls",
        "ContactStatusChange": "endpoints",
        "DeviceStateChanged": "endpoints",
        "EndpointStateChange": "endpoints",
        "PeerStatusChange": "endpoints",
    },
    routine=timedelta(minutes=30),
    subscriptions=subscriptions,
    servers=servers,
    world="calls",
)
