"""Waking up: no ring is missed, no cancellation is forgotten."""

from __future__ import annotations

import asyncio

import pytest

from atalaia.store.bell import Bell


async def test_a_ring_that_came_before_the_wait_is_not_missed():
    bell = Bell()
    rung = bell.count("log")
    bell.ring(["log"])
    assert await bell.wait("log", rung, at_most_s=30) == rung + 1


async def test_everybody_who_waits_for_the_topic_wakes_and_nobody_else():
    bell = Bell()
    waiting = [asyncio.ensure_future(bell.wait("log", 0, at_most_s=30)) for _ in range(3)]
    other = asyncio.ensure_future(bell.wait("leases", 0, at_most_s=30))
    await asyncio.sleep(0)

    bell.ring(["log", "unheard"])

    assert await asyncio.gather(*waiting) == [1, 1, 1]
    assert not other.done()
    bell.ring(["leases"])
    assert await other == 1


async def test_a_wait_without_a_ring_ends_by_itself():
    assert await Bell().wait("log", 0, at_most_s=0.001) == 0


async def test_a_cancellation_together_with_the_ring_is_a_cancellation():
    bell = Bell()
    waiting = asyncio.ensure_future(bell.wait("log", 0, at_most_s=30))
    await asyncio.sleep(0)

    bell.ring(["log"])
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_who_gave_up_waiting_is_forgotten():
    bell = Bell()
    for _ in range(100):
        await bell.wait("log", 0, at_most_s=0)
    assert not bell._waiting["log"]
