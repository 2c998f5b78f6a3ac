"""A session that is another one than a moment ago: unproven, accounted for, and never disturbed for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio
from sqlalchemy import select

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.connectors.wppconnect.canary import ACKED
from atalaia.store.tables import planes
from tests.connectors.wppconnect.live.yard import KEY, SESSION, Yard
from tests.store.bases import Base, sqlite

__all__ = ["sqlite"]


@pytest_asyncio.fixture
async def yard(sqlite: Base, clock: HeldClock, ambient: Ambient) -> AsyncIterator[Yard]:
    made = Yard(await sqlite.open(), clock, ambient)
    yield made
    await made.close()


async def live(yard: Yard, **changes: object) -> None:
    await yard.open(**changes)
    await yard.comes_to("live", at_most_s=300)
    await yard.idle(600)  # the start is long ago


async def plane(yard: Yard, name: str) -> tuple[str, str]:
    rows = await yard.store.read(lambda tx: tx.execute(select(planes).where(planes.c.plane == name)).all())
    return rows[0].state, str(orjson.loads(rows[0].evidence).get("said"))


async def test_a_page_that_was_loaded_anew_between_two_looks_is_unproven_and_its_gap_is_reconciled(
    yard: Yard,
):
    await live(yard)
    disturbed, tried = yard.sim.disturbed(SESSION), await yard.tried()
    before = len(await yard.gaps())
    await yard.sim.faults.start("server_restart", down_s=2.0)
    yard.write("durante o reinício")

    async def is_accounted_for() -> bool:
        found = (await yard.gaps())[before:]
        return bool(found) and all(gap.closed_ms is not None for gap in found)

    await yard.passing(is_accounted_for, at_most_s=600)
    await yard.passing(yard.all_heard)
    await yard.comes_to("live")
    assert (await yard.facts("connection.suspect"))[-1:] != []
    assert await yard.tried() == tried, "the server opened it by itself: there was nothing to recover"
    assert yard.sim.disturbed(SESSION) == disturbed


async def test_a_session_that_a_person_pairs_again_is_live_without_a_restart(yard: Yard):
    await live(yard, phone="551155500201")
    await yard.sim.faults.start("device_removed", session=SESSION)
    yard.write("enquanto estava sem pareamento")
    await yard.comes_to("needs_person", "pairing")
    await yard.idle(900)  # the code was given up long ago
    tried = await yard.tried()
    asked = yard.sim.one(SESSION)
    assert asked is not None

    from atalaia.connectors.wppconnect import pairing

    await pairing.begin(yard.settings, yard.ambient, "c1", "")
    await yard.passing(lambda: yard.sim.scan(SESSION) == "")
    await yard.comes_to("live", at_most_s=300)
    await yard.passing(yard.all_heard, at_most_s=4000)
    assert await yard.tried() == tried, "what it missed is brought in, and nothing is restarted for it"
    assert all(gap.closed_ms is not None for gap in await yard.gaps())


async def test_another_number_than_the_expected_one_needs_a_person(yard: Yard):
    await yard.open(phone="5511999990000")
    await yard.comes_to("needs_person", "pairing", at_most_s=600)
    tried = len(await yard.tried())
    await yard.idle(3600)
    assert len(await yard.tried()) == tried


async def test_a_canary_to_itself_proves_speaking_and_makes_no_conversation(yard: Yard):
    await live(yard, canary_to="own", canary_min=5)

    async def has_sung() -> bool:
        return await plane(yard, "message_out") == ("proven", ACKED)

    await yard.passing(has_sung, at_most_s=900)
    assert await yard.facts("wppconnect.canary")
    assert (await yard.state())[0] == "live"


@pytest.mark.parametrize(("version", "alerts"), [("version_skew", 1), ("", 0)])
async def test_a_server_that_does_not_fit_its_library_is_warned_of_at_the_start(
    yard: Yard, version: str, alerts: int
):
    if version:
        await yard.sim.faults.start(version)
    await live(yard)
    assert len(await yard.facts("alert.raised")) == alerts
    assert KEY not in str(await yard.facts("alert.raised"))
