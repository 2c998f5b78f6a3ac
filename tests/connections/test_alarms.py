"""What a session raises and calms."""

from __future__ import annotations

import asyncio

import pytest_asyncio

from atalaia.clock import to_ms
from tests.connections.rig import Rig, data


@pytest_asyncio.fixture
async def one(sqlite, clock, ambient):
    rig = Rig(await sqlite.open(), clock, ambient)
    yield rig
    for task in rig.tasks:
        task.cancel()
    await asyncio.gather(*rig.tasks, return_exceptions=True)


async def test_alarms_are_facts_of_the_connection(one: Rig):
    session = await one.live()
    await session.port.alert("asterisk:muted:c1", "Asterisk is open and mute.", todo="Restart it.", missed=3)
    await session.port.calm("asterisk:muted:c1")

    raised, resolved = (await one.facts())[-2:]
    assert (raised.type, raised.key, raised.connection) == ("alert.raised", "asterisk:muted:c1", "c1")
    assert data(raised) == {
        "title": "Asterisk is open and mute.",
        "detail": {"known": {"missed": 3}, "todo": "Restart it.", "since_ms": to_ms(one.clock.now())},
        "severity": "warning",
        "grouping": "asterisk||Asterisk is open and mute.",
    }
    assert (resolved.type, resolved.key) == ("alert.resolved", "asterisk:muted:c1")


async def test_what_raises_an_alarm_may_say_how_it_hurries_and_what_it_is_one_with(one: Rig):
    session = await one.live()
    await session.port.alert(
        "asterisk.mute:c1", "Gate is mute.", todo="Restart it.", severity="urgent", grouping="power cut"
    )

    assert {"severity": "urgent", "grouping": "power cut"}.items() <= data((await one.facts())[-1]).items()


async def test_calming_what_nobody_raised_says_nothing(one: Rig):
    session = await one.live()
    before = await one.types()
    await session.port.calm("asterisk:muted:c1")

    assert await one.types() == before
