"""PostgreSQL is stopped in the middle of calls; the hub hears on and writes down what it heard."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.journeys.calls import compare, set_out, told
from tests.journeys.conftest import PlaceMaker
from tests.journeys.hubs import Place
from tests.journeys.truth import gaps_of, is_live, is_settled, open_calls
from tests.journeys.waiting import until
from tests.peers.asterisk import Asterisk
from tests.peers.postgresql import PostgreSQL
from tests.peers.rabbitmq import RabbitMQ


@pytest.mark.parametrize(("away_s", "how"), [pytest.param(3, "stop", marks=pytest.mark.long), (13, "crash")])
async def test_calls_go_on_while_postgresql_is_away(
    asterisk: Asterisk, rabbitmq: RabbitMQ, postgresql: PostgreSQL, make_place: PlaceMaker, tmp_path: Path,
    away_s: float, how: str,
) -> None:  # fmt: skip
    place = make_place(postgresql.new_database())
    connection, _ = await set_out(place, asterisk, rabbitmq, tmp_path)
    # Longer than the hub is deaf when the leases ran out with the database.
    calls = asterisk.start_call("many", count=12, rate=3, ring=0.5, talk=away_s + 5)
    await until(lambda: _more_calls_than(place, 5), "six calls are open")

    await asyncio.to_thread(postgresql.stop if how == "stop" else postgresql.crash)
    await asyncio.sleep(away_s)  # so long it is away
    await asyncio.to_thread(postgresql.start)
    result = await calls.wait()
    await is_live(place, connection)
    await is_settled(place)

    assert result["ok"], result["phones"]
    assert compare(await told(rabbitmq), result["expect"]) == ([], [])
    gaps = await gaps_of(place)
    assert all(one["closed_ms"] for one in gaps)
    # A short absence is bridged from memory: hearing never stopped. After a long one the leases are gone.
    assert bool(gaps) == (how == "crash")


async def _more_calls_than(place: Place, count: int) -> bool:
    return await open_calls(place) > count
