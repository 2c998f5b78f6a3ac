"""Time in our hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.clock import HeldClock, ScaledClock, SystemClock, from_ms, rfc3339, to_ms, within

START = datetime(2026, 1, 1, tzinfo=UTC)


async def test_sleepers_wake_in_the_order_of_their_times_and_see_them():
    clock, woke = HeldClock(START), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woke.append((seconds, (clock.now() - START).total_seconds(), clock.monotonic()))

    tasks = [asyncio.ensure_future(sleeper(seconds)) for seconds in (3, 1, 2, 1.5)]
    await clock.run_for(2)
    assert woke == [(1, 1, 1), (1.5, 1.5, 1.5), (2, 2, 2)]
    assert clock.now() == START + timedelta(seconds=2)
    await clock.run_for(1)
    assert woke[-1] == (3, 3, 3)
    await asyncio.gather(*tasks)


async def test_a_sleeper_that_sleeps_again_is_woken_again_within_the_same_run():
    clock, beats = HeldClock(START), []

    async def heart() -> None:
        while True:
            await clock.sleep(1)
            beats.append(clock.monotonic())

    task = asyncio.ensure_future(heart())
    await clock.run_for(5)
    assert beats == [1, 2, 3, 4, 5]
    task.cancel()


async def test_a_cancelled_sleeper_is_passed_over():
    clock = HeldClock(START)
    task = asyncio.ensure_future(clock.sleep(1))
    await asyncio.sleep(0)
    task.cancel()
    await clock.run_for(2)
    assert task.cancelled()


async def test_no_sleep_at_all_still_lets_others_run():
    clock, ran = HeldClock(START), []
    other = asyncio.ensure_future(asyncio.sleep(0, ran.append(1)))
    await clock.sleep(0)
    assert ran == [1]
    await other


async def test_the_clock_knows_whom_it_would_wake():
    clock = HeldClock(START)
    assert not clock.wakes(60)
    sleeper = asyncio.ensure_future(clock.sleep(30))
    await asyncio.sleep(0)
    assert clock.wakes(30) and not clock.wakes(29)
    sleeper.cancel()
    assert not clock.wakes(30)


def test_the_hands_can_be_put_forward_and_back_but_passed_time_only_grows():
    clock = HeldClock(START)
    clock.set(START + timedelta(seconds=10))
    clock.set(START + timedelta(seconds=4))
    assert clock.now() == START + timedelta(seconds=4)
    assert clock.monotonic() == 10


async def test_a_scaled_clock_runs_faster_from_its_start():
    clock = ScaledClock(1_000_000, START)
    before = clock.now()
    await clock.sleep(3_600)
    assert before >= START
    assert clock.now() >= before + timedelta(seconds=3_600)
    assert clock.monotonic() >= 3_600


async def test_the_machines_clock_is_aware_and_in_utc():
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() >= before


@pytest.mark.parametrize(
    ("unix_ms", "said"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_767_225_600_007, "2026-01-01T00:00:00.007Z"),
        (1_795_207_736_130, "2026-11-20T20:48:56.130Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_times_look_like_this_on_the_wire(unix_ms: int, said: str):
    assert rfc3339(unix_ms) == said
    assert to_ms(datetime.fromisoformat(said)) == unix_ms


@given(st.integers(0, 253_402_300_799_999))
def test_milliseconds_survive_the_way_there_and_back(unix_ms: int):
    assert to_ms(from_ms(unix_ms)) == unix_ms


ZONES = [UTC, timezone(timedelta(hours=-3)), timezone(timedelta(hours=5, minutes=45))]
FIRST, LAST = START.replace(year=1971, tzinfo=None), START.replace(year=9998, tzinfo=None)


@given(st.datetimes(min_value=FIRST, max_value=LAST, timezones=st.sampled_from(ZONES)))
def test_a_moment_is_the_same_in_every_zone(moment: datetime):
    cut = moment - timedelta(microseconds=moment.microsecond % 1000)
    assert from_ms(to_ms(moment)) == cut


async def test_what_lies_there_when_the_time_is_up_gets_the_turns_that_it_needs():
    async def takes(turns: int) -> str:
        for _ in range(turns):
            await asyncio.sleep(0)
        return "here"

    assert await within(SystemClock(), 0, takes(8), turns=12) == "here"
    with pytest.raises(TimeoutError):
        await within(SystemClock(), 0, takes(20), turns=12)
