"""One cause on 500 sessions is one alert, also when the sessions raise it by themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Connection

from atalaia.connections.keeper import Keeper, Kind
from atalaia.connections.pace import Pace
from atalaia.connections.port import Port
from atalaia.connections.registry import Configured
from atalaia.events.log import EventLog
from atalaia.events.policy import Policies
from atalaia.store.leases import Lease, claim
from tests.desk.alerts.rig import Desk

MANY = 500


class Settings(BaseModel):
    server_url: str


async def _nothing(_: Any, __: Any) -> None:
    return None


async def sessions(desk: Desk, connector: str, server: str, first: int, count: int) -> list[Port]:
    """Answer the ports of so many sessions of one server, each with its lease."""
    kind = Kind(_nothing, (), timedelta(minutes=3), None, lambda settings: settings.server_url)
    log = EventLog(desk.store, desk.ambient, Policies({}, {}))
    names = [f"connection:s{number}" for number in range(first, first + count)]

    def take(tx: Connection) -> list[Lease]:
        return claim(tx, names, "worker", ttl_ms=10**9, process_ms=desk.now(), most=count)

    ports: list[Port] = []
    for lease in await desk.store.write(take):
        identity = lease.name.partition(":")[2]
        given = Settings(server_url=server)
        configured = Configured(identity, connector, f"Session {identity}", given, "on", 0, 0)
        ports.append(Port(Keeper(configured, kind, lease, log, desk.ambient, Pace()), 1))
    return ports


@pytest.mark.parametrize(
    ("cause", "title", "todo"),
    [
        ("wppconnect.versions", "Server 2.8.6 may take an unpaired phone for a paired one.", "Update it."),
        ("asterisk.unheard", "{name} sends nothing although calls are made.", "Restart it."),
        ("traffilog.portal", "The portal did not answer {name} within {number} s.", "Look at it."),
    ],
)
async def test_what_500_sessions_of_one_server_raise_by_themselves_is_one_alert(
    desk: Desk, cause: str, title: str, todo: str
):
    await desk.channel()
    connector = cause.partition(".")[0]
    ports = await sessions(desk, connector, "http://10.0.0.5:21465", 0, MANY)
    [other] = await sessions(desk, connector, "http://10.0.0.6:21465", MANY, 1)
    for number, port in enumerate([*ports, other]):
        said = title.format(name=f"Session {port.connection}", number=number)
        await port.alert(f"{cause}:{port.connection}", said, todo=todo)
    await desk.pass_s(60, every_s=30)

    alone, alert = await desk.alerts()
    assert (alert.members, alert.standing, alone.members) == (MANY, MANY, 1)
    assert len(desk.pigeon.titles()) == 2

    for port in ports:
        await port.calm(f"{cause}:{port.connection}")
    await desk.pass_s(200, every_s=100)
    assert [one.state for one in await desk.alerts()] == ["raised", "resolved"]
    assert len(desk.pigeon.titles()) == 3
