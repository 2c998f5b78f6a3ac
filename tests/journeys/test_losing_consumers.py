"""RabbitMQ or one vhost goes away in the middle of calls; nothing is lost and no other client waits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from atalaia.store.tables import deliveries
from tests.journeys.calls import compare, set_out, told
from tests.journeys.conftest import PlaceMaker
from tests.journeys.hubs import Place
from tests.journeys.truth import alerts_of, facts, is_settled, open_calls
from tests.journeys.waiting import until
from tests.peers.asterisk import Asterisk
from tests.peers.rabbitmq import RabbitMQ


@pytest.mark.parametrize("how", [pytest.param("stopped", marks=pytest.mark.long), "killed"])
async def test_what_happens_while_rabbitmq_is_away_is_delivered_in_order_when_it_is_back(
    asterisk: Asterisk, rabbitmq: RabbitMQ, make_place: PlaceMaker, tmp_path: Path, how: str
) -> None:
    place = make_place()
    await set_out(place, asterisk, rabbitmq, tmp_path)
    calls = asterisk.start_call("many", count=12, rate=3, ring=0.5, talk=3)
    await until(lambda: _more_calls_than(place, 4), "five calls are open")

    await asyncio.to_thread(rabbitmq.stop if how == "stopped" else rabbitmq.crash)
    result = await calls.wait()
    await until(lambda: _has_ended(place, 12), "all calls have ended")
    raised = await until(lambda: _open_alerts(place), "an alarm is raised")
    await asyncio.to_thread(rabbitmq.start)
    await is_settled(place)

    assert result["ok"], result["phones"]
    assert compare(await told(rabbitmq), result["expect"]) == ([], [])
    assert "cliente114" in raised[0]["cause"]
    await until(lambda: _no_open_alert(place), "the alarm is over")


async def _more_calls_than(place: Place, count: int) -> bool:
    return await open_calls(place) > count


async def _has_ended(place: Place, count: int) -> bool:
    return len(await facts(place, "call.ended")) >= count


async def _open_alerts(place: Place) -> list[dict[str, Any]]:
    return [one for one in await alerts_of(place) if one["resolved_ms"] is None]


async def _no_open_alert(place: Place) -> bool:
    return not await _open_alerts(place)


async def test_a_deleted_vhost_holds_up_that_client_alone_and_gets_everything_when_it_is_back(
    asterisk: Asterisk, rabbitmq: RabbitMQ, make_place: PlaceMaker, tmp_path: Path
) -> None:
    place = make_place()
    await set_out(place, asterisk, rabbitmq, tmp_path)
    await asterisk.play("answered", origin="1131001", to="1131002", ring=0.5, talk=1)
    await is_settled(place)
    await told(rabbitmq, "cliente113")  # what lies in a vhost goes with it; the consumer has taken it before
    other = asterisk.start_call("answered", origin="1121001", to="1121002", ring=0.5, talk=6)
    await until(lambda: _more_calls_than(place, 0), "the other client's call is open")

    await asyncio.to_thread(rabbitmq.delete_vhost, "cliente113")
    held_up = await asterisk.play("answered", origin="1131001", to="1131002", ring=0.5, talk=1)
    others = await other.wait()
    await until(lambda: _has_ended(place, 3), "all three calls have ended")
    await until(lambda: _all_delivered(place, "cliente112"), "the other client has its messages")
    # The alarm names the client, and only this one is held up.
    raised = await until(lambda: _open_alerts(place), "an alarm is raised")
    assert [one["cause"].rpartition(":")[2] for one in raised] == ["cliente113"]
    assert not await _all_delivered(place, "cliente113")
    assert await _slowest_ms(place, "cliente112") < 5_000
    assert compare(await told(rabbitmq, "cliente112"), others["expect"]) == ([], [])

    await asyncio.to_thread(rabbitmq.import_definitions)
    await is_settled(place)
    assert compare(await told(rabbitmq, "cliente113"), held_up["expect"]) == ([], [])
    await until(lambda: _no_open_alert(place), "the alarm is over")


async def _all_delivered(place: Place, vhost: str) -> bool:
    rows = await place.read(lambda tx: _rows(tx, vhost))
    return bool(rows) and all(row.state == "delivered" for row in rows)


async def _slowest_ms(place: Place, vhost: str) -> int:
    """Answer the longest time from a fact to its delivery, both of the database."""
    return max(row.done_ms - row.created_ms for row in await place.read(lambda tx: _rows(tx, vhost)))


def _rows(tx: Connection, vhost: str) -> list[Any]:
    return list(tx.execute(select(deliveries).where(deliveries.c.destination == vhost)))
