"""Accounts that are well and quiet, by night and over a weekend: looked at, and never touched.

The judge's own month of many more accounts is in `tests/connections/test_silence.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.connectors.wppconnect.live.yard import Kept, Yard
from tests.stillness import StillClock

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
HOUR_S, DAY_S, PROBE_S = 3600, 86_400, 100
SUNDAY = datetime(2026, 1, 5, tzinfo=UTC)  # nine in the evening in São Paulo

# Messages in an hour that begins then, by the clock on the account's wall.
RHYTHMS: dict[str, Callable[[datetime], float]] = {
    "office": lambda at: 8.0 if at.weekday() < 5 and 8 <= at.hour < 18 else 0.0,
    "weekly": lambda at: 1.0 if at.weekday() == 0 and at.hour == 9 else 0.0,
    "bursts": lambda at: 40.0 if at.hour == 14 and at.weekday() in (0, 3, 6) else 0.0,
    "shop": lambda at: 6.0 if 9 <= at.hour < 20 else 0.2,
}


@pytest.fixture
def clock() -> StillClock:
    return StillClock(SUNDAY)


async def live(kept: Kept, random: Random) -> None:
    """Let people write at the account's rhythm, and come and go a little more often."""
    yard, phone = kept.yard, kept.yard.sim.phone(kept.name)
    while True:
        rate = RHYTHMS[kept.name](yard.clock.now().astimezone(SAO_PAULO))
        left = float(HOUR_S)
        while rate and (pause := random.expovariate(2.5 * rate / HOUR_S)) < left:
            left -= pause
            await yard.clock.sleep(pause)
            person = random.choice(list(phone.people))
            if random.random() < 0.4:
                kept.write(f"bom dia {random.random():.6f}", person)
            else:
                yard.sim.host.presence(phone, phone.people[person], "available")
        await yard.clock.sleep(left)


async def is_left_alone(open_yard: Any, days: float) -> Yard:
    """Let each account live for so long; asserts that nobody touched it and nothing was said of it."""
    yard: Yard = await open_yard(*RHYTHMS)
    for name in RHYTHMS:
        await yard.keep(name, probe_every_s=PROBE_S)
    for kept in yard.kept.values():
        await yard.passing(kept.is_live, at_most_s=120)
    began_s = yard.now_s
    lives = [asyncio.create_task(live(kept, Random(name))) for name, kept in yard.kept.items()]
    await yard.idle(days * DAY_S)
    for one in lives:
        one.cancel()
    await yard.idle(2 * PROBE_S)

    for kept in yard.kept.values():
        assert await kept.told("connection.", "recovery.", since_s=began_s) == [], kept.name
        assert await kept.is_live(), kept.name
        assert await kept.has_all(), kept.name
    return yard


async def test_from_sunday_to_monday_nothing_is_done_to_accounts_that_are_well_and_no_alarm_is_raised(
    open_yard: Any,
):
    yard = await is_left_alone(open_yard, 15 / 24)

    assert [yard.sim.disturbed(name) for name in RHYTHMS] == [0] * len(RHYTHMS)
    assert len(yard.kept["office"].placed) > 10


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_in_thirty_days_nothing_is_done_to_accounts_that_are_well(open_yard: Any):
    yard = await is_left_alone(open_yard, 30)

    assert [yard.sim.disturbed(name) for name in RHYTHMS] == [0] * len(RHYTHMS)
