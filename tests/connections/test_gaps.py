"""The account of what may have been missed: opened by every loss, closed by reconciliation alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest_asyncio

from atalaia.clock import to_ms
from atalaia.connections.truth import Truth
from atalaia.errors import Unavailable
from atalaia.events.gaps import Gap, GapFilter, Gaps, Reconcile, Reconciled, find_gaps
from atalaia.reactions.folding import Folding
from tests.connections.rig import Rig, Session, until_async

MINUTE = 60_000
CLEAN = Reconciled(checked={"chats": 20}, lost="no")


class Ledger:
    """A rig whose gaps are folded whenever somebody looks."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.began = to_ms(rig.clock.now())
        self._fold = Folding(Gaps(), rig.store, rig.ambient)
        self._fold.begin(None)

    async def gaps(self, wanted: GapFilter | None = None) -> list[Gap]:
        while await self._fold.turn():
            pass
        return await self.rig.store.read(lambda tx: find_gaps(tx, wanted or GapFilter()))

    async def due(self, session: Session) -> Reconcile:
        """Wait for what is to be reconciled while time passes."""
        task = asyncio.create_task(session.port.to_reconcile())
        while not task.done():
            await self.gaps()
            await self.rig.clock.run_for(5)
            await self.rig.store.read(lambda tx: None)
        return task.result()

    async def falls_and_comes_back(self, session: Session, after: float = 10) -> Session:
        await self.rig.clock.run_for(after)
        opened = len(self.rig.upstream.sessions) + 1
        session.falls(Unavailable("The server is away."))
        await self.rig.state("waiting")
        await self.rig.clock.run_for(4)
        again = await self.rig.upstream.opened(opened)
        await self.rig.state("opening")
        await again.lives()
        await self.rig.state("live")
        return again


@pytest_asyncio.fixture
async def ledger(one: Rig) -> AsyncIterator[Ledger]:
    one.kind = replace(one.kind, silence=timedelta(days=9), routine=timedelta(minutes=30))
    yield Ledger(one)


async def test_a_reconnect_is_a_gap_that_ends_with_hearing_and_closes_with_a_report(ledger: Ledger):
    again = await ledger.falls_and_comes_back(await ledger.rig.live())

    [gap] = await ledger.gaps(GapFilter(state="open"))
    assert (gap.origin, gap.cause, gap.from_ms) == ("loss", "The server is away.", ledger.began)
    assert gap.to_ms == ledger.began + 14_000, "hearing is back, nothing is reconciled"

    what = await ledger.due(again)
    assert (what.gaps, what.routine, what.from_ms) == ((gap.id,), False, ledger.began - 10 * MINUTE)
    report = Reconciled({"chats": 4}, {"messages": 3}, {"ciphertexts": 1}, "yes", "texts of one message")
    await again.port.reconciled(what, report)

    [closed] = await ledger.gaps()
    assert closed.closed_ms is not None
    assert (closed.to_ms, closed.lost) == (gap.to_ms, "yes")
    assert (closed.checked, closed.recovered) == ({"chats": 4}, {"messages": 3})
    assert closed.detail["left"] == {"ciphertexts": 1}
    assert closed.detail["unknown"] == "texts of one message"
    assert await ledger.gaps(GapFilter(state="lost")) == [closed]


async def test_a_gap_that_was_not_reconciled_is_handed_out_again_and_not_at_once(ledger: Ledger):
    again = await ledger.falls_and_comes_back(await ledger.rig.live())
    first = await ledger.due(again)
    handed = to_ms(ledger.rig.clock.now())
    second = await ledger.due(again)
    assert second.gaps == first.gaps
    assert to_ms(ledger.rig.clock.now()) - handed >= MINUTE


async def test_our_own_downtime_is_a_gap(ledger: Ledger):
    await ledger.rig.live()
    await ledger.rig.kill()
    await ledger.rig.clock.run_for(100)
    session = await ledger.rig.live()

    [gap] = await ledger.gaps()
    assert (gap.origin, gap.cause) == ("downtime", "The hub was not running.")
    assert (await ledger.due(session)).gaps == (gap.id,)


async def test_what_a_look_finds_and_the_doubt_that_follows_are_one_gap(ledger: Ledger):
    session = await ledger.rig.live()
    await ledger.rig.clock.run_for(600)
    await session.port.lost_hearing(ledger.began - 5 * MINUTE, "The page has what never came.")
    await session.port.suspect("The page has what never came.", kind=Truth.DEAF)
    await until_async(lambda: _is(ledger, "deaf"))
    [gap] = await ledger.gaps()
    assert (gap.origin, gap.from_ms, gap.to_ms) == ("found", ledger.began - 5 * MINUTE, None)


async def test_every_half_hour_a_session_is_asked_although_no_gap_is_known(ledger: Ledger):
    session = await ledger.rig.live()
    what = await ledger.due(session)
    assert what.routine
    assert 30 * MINUTE <= what.to_ms - ledger.began < 31 * MINUTE
    assert what.from_ms == ledger.began - 10 * MINUTE


async def test_what_was_lost_while_others_came_is_a_gap_that_is_over_and_handed_out_at_once(ledger: Ledger):
    session = await ledger.rig.live()
    await ledger.rig.clock.run_for(600)
    lost = ledger.began + 2 * MINUTE
    await session.port.lost_hearing(lost, "A webhook was lost while others came.", lost + 1000)
    what = await ledger.due(session)
    assert (len(what.gaps), what.spans) == (1, ((lost, lost + 1000),))
    await session.port.reconciled(what, replace(CLEAN, recovered={"messages": 1}))

    [gap] = await ledger.gaps()
    assert (gap.origin, gap.to_ms, gap.recovered) == ("found", lost + 1000, {"messages": 1})
    assert gap.closed_ms is not None
    assert (await ledger.rig.row())["state"] == "live"


async def test_a_gap_whose_reading_does_not_reach_back_to_the_last_check_puts_none_off(ledger: Ledger):
    ledger.rig.kind = replace(ledger.rig.kind, routine=timedelta(minutes=13))
    session = await ledger.rig.live()
    first = await ledger.due(session)
    await session.port.reconciled(first, CLEAN)
    await ledger.rig.clock.run_for(12 * 60)
    lost = first.to_ms + 11 * MINUTE
    await session.port.lost_hearing(lost, "A webhook was lost while others came.", lost + 1000)
    await ledger.gaps()
    await session.port.reconciled(await ledger.due(session), CLEAN)

    await ledger.gaps()
    second = await ledger.due(session)
    assert second.routine
    assert second.from_ms == first.to_ms - 10 * MINUTE


async def test_clean_routine_checks_of_a_day_are_one_record_that_lists_leave_out(ledger: Ledger):
    session = await ledger.rig.live()
    for _ in range(3):
        await session.port.reconciled(await ledger.due(session), CLEAN)

    assert await ledger.gaps() == []
    [record] = await ledger.gaps(GapFilter(origin="routine"))
    assert record.detail["checks"] == 3
    assert record.closed_ms is not None
    assert record.to_ms is not None
    assert record.to_ms - ledger.began >= 90 * MINUTE


async def test_a_routine_check_that_brings_something_in_is_a_gap_of_its_own(ledger: Ledger):
    session = await ledger.rig.live()
    await session.port.reconciled(await ledger.due(session), CLEAN)
    what = await ledger.due(session)
    await session.port.reconciled(what, replace(CLEAN, recovered={"messages": 2}))
    await session.port.reconciled(await ledger.due(session), CLEAN)

    [gap] = await ledger.gaps()
    assert (gap.origin, gap.recovered, gap.to_ms) == ("routine", {"messages": 2}, what.to_ms)
    assert len(await ledger.gaps(GapFilter(origin="routine"))) == 3


async def test_a_check_that_failed_makes_the_next_one_reach_back_to_the_last_that_did_not(ledger: Ledger):
    session = await ledger.rig.live()
    first = await ledger.due(session)
    second = await ledger.due(session)
    assert second.from_ms == first.from_ms
    assert second.to_ms - first.to_ms >= 30 * MINUTE


async def test_who_cannot_check_without_a_gap_is_not_asked(ledger: Ledger):
    ledger.rig.kind = replace(ledger.rig.kind, routine=None)
    session = await ledger.rig.live()
    task = asyncio.create_task(session.port.to_reconcile())
    await ledger.rig.clock.run_for(4000)
    assert not task.done()
    task.cancel()


async def test_a_gap_within_a_gap_is_the_same_gap(ledger: Ledger):
    session = await ledger.rig.live()
    await session.port.suspect("The browser ended.", kind=Truth.BROWSER_LOST)
    await until_async(lambda: _is(ledger, "browser_lost"))
    await ledger.rig.kill()
    await ledger.rig.clock.run_for(60)
    await ledger.rig.live()

    [gap] = await ledger.gaps()
    assert gap.to_ms == ledger.began + 60_000


async def test_hearing_that_is_back_but_unproven_ends_the_gap_so_that_it_can_be_reconciled(ledger: Ledger):
    session = await ledger.rig.live()
    session.falls(Unavailable("gone"))
    await ledger.rig.state("waiting")
    await ledger.rig.clock.run_for(4)
    again = await ledger.rig.upstream.opened(2)
    await ledger.rig.state("opening")
    await again.port.suspect("Not proven yet.", kind=Truth.UNPROVEN)
    await until_async(lambda: _is(ledger, "unproven"))
    [gap] = await ledger.gaps()
    assert gap.to_ms is not None
    assert (await ledger.due(again)).gaps == (gap.id,)


async def _is(ledger: Ledger, kind: str) -> bool:
    return (await ledger.rig.row()).get("kind") == kind
