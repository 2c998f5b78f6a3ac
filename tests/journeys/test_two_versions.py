"""Asterisk 16 and 22 side by side, with the same numbers at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.journeys.bus import Conversation, check_order, check_shape, conversations, near
from tests.journeys.conftest import PlaceMaker
from tests.journeys.truth import is_live, is_settled
from tests.journeys.world import connection_settings, write_configuration
from tests.peers.asterisk import Asterisk
from tests.peers.rabbitmq import RabbitMQ

PLAYED: list[tuple[str, dict[str, Any]]] = [
    ("answered", {"origin": "1121001", "to": "1121002", "talk": 2}),
    ("ring-group", {"origin": "1121003", "winner": 3, "talk": 2}),
    ("busy", {"origin": "1131001", "to": "1131002"}),
    ("blind-by-callee", {"origin": "1131003", "to": "1131004", "target": "1131005", "talk": 2}),
    ("ia", {"origin": "1121004", "talk": 2}),
    ("many", {"count": 8, "rate": 20, "talk": 2}),
]
VHOSTS = ("cliente112", "cliente113", "cliente114")


async def test_two_servers_with_the_same_numbers_are_heard_side_by_side_without_mixing(
    asterisk: Asterisk, asterisk16: Asterisk, rabbitmq: RabbitMQ, make_place: PlaceMaker, tmp_path: Path
) -> None:
    place = make_place()
    etc = write_configuration(tmp_path / "etc", rabbitmq)
    servers = {"voip1": asterisk, "voip16": asterisk16}
    found = await place.furnish(
        lambda furnisher, tx: {
            server: furnisher.connection(
                tx, "asterisk", server, **connection_settings(peer, etc, server=server)
            )
            for server, peer in servers.items()
        }
    )
    await place.worker().start()
    for connection in found.values():
        await is_live(place, connection)

    expected = {server: await _play(peer) for server, peer in servers.items()}
    results = {server: await asyncio.gather(*calls) for server, calls in expected.items()}
    await is_settled(place)
    for outcome in [one for outcomes in results.values() for one in outcomes]:
        assert outcome["ok"], outcome["phones"]

    messages = [one for vhost in VHOSTS for one in await rabbitmq.consume(vhost, "calls")]
    told = conversations(messages)
    check_order(told)
    for one in messages:
        if one.body["operation"]["type"] == "received-call":
            check_shape(one)
    for server, outcomes in results.items():
        mine = [one for one in told.values() if one.first["extra"]["server"] == server]
        assert {one.last["extra"]["server"] for one in mine} == {server}
        records = [record for outcome in outcomes for record in outcome["expect"]]
        assert _unfitting(mine, records) == ([], [])
        numbers = sorted(one.first["callnumber"] for one in mine)
        assert numbers == list(range(1, len(mine) + 1))


async def _play(peer: Asterisk) -> list[asyncio.Task[dict[str, Any]]]:
    return [asyncio.create_task(peer.play(name, **options)) for name, options in PLAYED]


def _unfitting(
    told: Iterable[Conversation], records: list[dict[str, Any]]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Answer what was told without being expected, and the other way round."""
    left, missing = list(told), list[dict[str, Any]]()
    for record in records:
        fitting = [one for one in left if _fits(one, record)]
        if fitting:
            left.remove(fitting[0])
        else:
            missing.append(record)
    return [str(one) for one in left], missing


def _fits(one: Conversation, record: dict[str, Any]) -> bool:
    last = one.last
    return (
        (last["origin"], last["destiny"], last["channelstatus"])
        == (record["origin"], record["destiny"], record["channelstatus"])
        and near(last["ringduration"], record.get("ringduration"))
        and near(last["callduration"], record.get("callduration") or 0)
        and not one.is_forceclosed
    )
