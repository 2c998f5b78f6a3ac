"""Asterisk 16 and 22 side by side, with the same numbers at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.journeys.bus import check_order, check_shape, conversations
from tests.journeys.calls import compare
from tests.journeys.conftest import PlaceMaker
from tests.journeys.scenarios import Played, play_rows
from tests.journeys.truth import is_live, is_settled
from tests.journeys.world import connection_settings, write_configuration
from tests.peers.asterisk import Asterisk
from tests.peers.rabbitmq import RabbitMQ

ROWS = [
    [Played(name, options, "")]
    for name, options in (
        ("answered", {"origin": "1121001", "to": "1121002", "talk": 2}),
        ("ring-group", {"origin": "1121003", "winner": 3, "talk": 2}),
        ("busy", {"origin": "1131001", "to": "1131002"}),
        ("blind-by-callee", {"origin": "1131003", "to": "1131004", "target": "1131005", "talk": 2}),
        ("ia", {"origin": "1121004", "talk": 2}),
        ("many", {"count": 8, "rate": 20, "talk": 2}),
    )
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

    played = [asyncio.to_thread(play_rows, peer, ROWS) for peer in servers.values()]
    outcomes = dict(zip(servers, await asyncio.gather(*played), strict=True))
    await is_settled(place)

    messages = [one for vhost in VHOSTS for one in await rabbitmq.consume(vhost, "calls")]
    told = conversations(messages)
    check_order(told)
    for one in messages:
        if one.body["operation"]["type"] == "received-call":
            check_shape(one)
    for server, done in outcomes.items():
        mine = [one for one in told.values() if one.first["extra"]["server"] == server]
        assert {one.last["extra"]["server"] for one in mine} == {server}
        for outcome in done:
            assert outcome.result["ok"], outcome.result["phones"]
            assert compare(outcome.pick(mine), outcome.expected) == ([], []), outcome.played
        numbers = sorted(one.first["callnumber"] for one in mine)
        assert numbers == list(range(1, len(mine) + 1))
