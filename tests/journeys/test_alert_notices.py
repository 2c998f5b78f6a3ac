"""Real workers tell a real web hook of an alert, each kill of a worker notwithstanding: once."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, select

from atalaia.clock import to_ms
from atalaia.desk.alerts.channels import Policy, create_channel
from atalaia.desk.people.model import HUB
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.store.alert_tables import alert_notices, incidents
from tests.desk.alerts.test_channels import receiver
from tests.journeys.conftest import PlaceMaker
from tests.journeys.hubs import Place
from tests.journeys.waiting import until
from tests.store.bases import BOTH


# SQLite's one worker with --long: there two of PostgreSQL's fall over each other, which asks for more.
@pytest.mark.parametrize("database", [pytest.param("sqlite", marks=pytest.mark.long), BOTH[-1]])
async def test_an_alert_is_told_once_however_often_the_worker_is_killed(
    request: pytest.FixtureRequest, make_place: PlaceMaker, database: str
):
    url = request.getfixturevalue("postgresql").new_database() if database == "postgresql" else ""
    place = make_place(url, ("127.0.0.0/8",))
    async with receiver() as (host, got):
        await place.furnish(lambda _, tx: furnish(place, tx, f"json://{host}/hook"))
        for kill_after_s in (1.0, 6.0):
            worker = await place.worker().start()
            await asyncio.sleep(kill_after_s)  # a kill has to come at some moment
            worker.kill()
        await place.worker().start()
        if url:
            await place.worker().start()
        await until(lambda: got, "the web hook is told", within_s=90)
        await until(lambda: is_sent(place), "and that is written down")
    assert [body["title"] for _, body in got] == ["Alert: The disk is full"]


def furnish(place: Place, tx: Connection, hook: str) -> None:
    policy = Policy(language="en", zone="UTC")
    create_channel(tx, place.ambient, place.box, name="hook", place=hook, hint="JSON", policy=policy, by=HUB)
    now = to_ms(place.ambient.clock.now()) + 1_000
    data = {"title": "The disk is full.", "detail": {"todo": "Free some."}}
    append_facts(tx, place.ambient, "test", [Fact("alert.raised", "disk", now, data)])


async def is_sent(place: Place) -> bool:
    def look(tx: Connection) -> bool:
        states = list(tx.scalars(select(alert_notices.c.state).where(alert_notices.c.incident != "")))
        return states == ["sent"] and tx.scalar(select(incidents.c.title)) == "The disk is full."

    return await place.read(look)
