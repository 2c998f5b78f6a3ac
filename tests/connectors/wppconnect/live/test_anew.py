"""A session that is another one than a moment ago: unproven, accounted for, and never disturbed for it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from sqlalchemy import select

from atalaia.connectors.wppconnect import pairing
from atalaia.connectors.wppconnect.canary import ACKED
from atalaia.connectors.wppconnect.gateway import GatewayDoor
from atalaia.store.tables import events, planes
from tests.connectors.wppconnect.live.yard import KEY, Kept, Yard

NAME, NUMBER, OTHER_NUMBER = "one", "551195520000", "5511999990000"


async def live(open_yard: Any, **changes: object) -> Kept:
    """Open a yard with one session that was started long ago."""
    yard: Yard = await open_yard(NAME)
    kept = await yard.keep(NAME, **changes)
    await yard.passing(kept.is_live, at_most_s=300)
    await yard.idle(600)
    return kept


async def comes_to(kept: Kept, *wanted: str, at_most_s: float = 3600) -> None:
    async def is_there() -> bool:
        return (await kept.state())[: len(wanted)] == wanted

    await kept.yard.passing(is_there, at_most_s=at_most_s)


async def plane(kept: Kept, name: str) -> tuple[str, str]:
    query = select(planes).where(planes.c.plane == name)
    rows = await kept.yard.store.read(lambda tx: tx.execute(query).all())
    return rows[0].state, str(orjson.loads(rows[0].evidence).get("said"))


async def test_a_page_that_was_loaded_anew_between_two_looks_is_unproven_and_its_gap_is_reconciled(
    open_yard: Any,
):
    kept = await live(open_yard)
    yard, disturbed, tried = kept.yard, kept.disturbed(), await kept.tried()
    before = len(await kept.gaps())
    await yard.sim.faults.start("server_restart", down_s=2.0)
    kept.write("durante o reinício")

    async def is_accounted_for() -> bool:
        found = (await kept.gaps())[before:]
        return bool(found) and all(gap.closed_ms is not None for gap in found)

    await yard.passing(is_accounted_for)
    await yard.passing(kept.has_all)
    await comes_to(kept, "live", "")
    assert await kept.told("connection.suspect") != []
    assert await kept.tried() == tried, "the server opened it by itself: there was nothing to recover"
    assert kept.disturbed() == disturbed


async def test_a_session_that_a_person_pairs_again_is_live_without_a_restart(open_yard: Any):
    kept = await live(open_yard, phone=NUMBER)
    yard = kept.yard
    await kept.starts("device_removed")
    kept.write("enquanto estava sem pareamento")
    await comes_to(kept, "needs_person")
    await yard.idle(900)  # the code was given up long ago
    tried = await kept.tried()

    await pairing.begin(kept.settings, yard.ambient, NAME, "")
    await yard.passing(lambda: yard.sim.scan(NAME) == "")
    await comes_to(kept, "live", at_most_s=300)
    await yard.passing(kept.has_all, at_most_s=4000)
    assert await kept.tried() == tried, "what it missed is brought in, and nothing is restarted for it"

    async def is_accounted_for() -> bool:
        return all(gap.closed_ms is not None for gap in await kept.gaps())

    await yard.passing(is_accounted_for)


async def test_another_number_than_the_expected_one_needs_a_person(open_yard: Any):
    yard: Yard = await open_yard(NAME)
    kept = await yard.keep(NAME, phone=OTHER_NUMBER)
    await comes_to(kept, "needs_person", "pairing", at_most_s=600)
    tried = len(await kept.tried())
    await yard.idle(3600)
    assert len(await kept.tried()) == tried


async def test_a_canary_to_itself_proves_speaking_and_makes_no_conversation(open_yard: Any):
    kept = await live(open_yard, canary_to="own", canary_min=5)

    async def has_sung() -> bool:
        return await plane(kept, "message_out") == ("proven", ACKED)

    await kept.yard.passing(has_sung, at_most_s=900)
    query = select(events.c.seq).where(events.c.type == "wppconnect.canary")
    assert await kept.yard.store.read(lambda tx: tx.scalars(query).all())
    assert await kept.is_live()


@pytest.mark.parametrize(("version", "alerts"), [("version_skew", 1), ("", 0)])
async def test_a_server_that_does_not_fit_its_library_is_warned_of_at_the_start(
    open_yard: Any, version: str, alerts: int
):
    yard: Yard = await open_yard(NAME)
    if version:
        await yard.sim.faults.start(version)
    kept = await yard.keep(NAME)
    await yard.passing(kept.is_live, at_most_s=300)
    await yard.idle(60)
    raised = await kept.told("alert.raised")
    assert len(raised) == alerts
    assert KEY not in str(raised)


async def test_the_warning_of_a_server_goes_with_the_last_session_that_tells_it(open_yard: Any):
    yard: Yard = await open_yard(NAME, "canaldois")
    await yard.sim.faults.start("version_skew")
    one, two = [await yard.keep(name) for name in yard.names]
    await yard.passing(lambda: _told(two, "alert.raised"), at_most_s=300)
    [first], [second] = [await kept.told("alert.raised") for kept in (one, two)]
    assert first.data == second.data | {"detail": first.data["detail"]}, "one grouping, so one alert"

    await yard.sim.faults.stop("version_skew")
    await two.starts("version_skew")
    await yard.passing(lambda: _told(one, "alert.resolved"), at_most_s=300)
    await yard.idle(60)
    assert not await two.told("alert.resolved")
    query = select(events.c.key).where(events.c.type.like("alert.%")).order_by(events.c.seq)
    keys = await yard.store.read(lambda tx: list(tx.scalars(query)))
    assert len(keys) == 3 and keys[0] != keys[1] and keys[2] in keys[:2], "another one still tells it"


async def _told(kept: Kept, kind: str) -> bool:
    return bool(await kept.told(kind))


async def test_by_a_gateway_alone_a_session_that_was_paired_is_unproven_until_something_comes(open_yard: Any):
    yard: Yard = await open_yard(NAME)
    session = yard.sim.session(NAME)
    await session.close()
    yard.sim.phone(NAME).unlink()
    session.start({"deviceName": "gateway"})
    kept = await yard.keep_by_gateway(NAME)
    await comes_to(kept, "needs_person")
    async with GatewayDoor(kept.settings, yard.clock) as gateway:
        await gateway.start()  # as a person does who asks for a code
    await yard.passing(lambda: yard.sim.scan(NAME) == "")
    await comes_to(kept, "suspect", "unproven")
    assert (await kept.state())[1] == "unproven", "it is connected, but a gateway proves nothing"
