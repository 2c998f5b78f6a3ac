"""Proofs, alarms and odd evidence: what a keeper writes besides its transitions."""

from __future__ import annotations

from datetime import UTC, datetime

from atalaia.clock import to_ms
from atalaia.errors import Refused, StoreUnavailable, Unavailable
from tests.connections.rig import Rig, Rough, data, until_flushed

START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))


async def test_proofs_are_written_once_a_second_and_the_latest_wins(one: Rig):
    rough = Rough(one.store)
    one.log.store = rough  # type: ignore[assignment]
    session = await one.live()
    await until_flushed(one, START)
    await until_planes(one, 2)
    before = await at_rest(one, rough)
    moment = to_ms(one.clock.now())
    for n in range(500):
        session.port.prove("canary", "proven", pong_ms=n)
    session.port.prove("ami", "failing", claim="Asterisk Call Manager/9.0.0", said="refused")
    await until_planes(one, 3)

    assert rough.writes == before + 1
    seen = await one.planes()
    assert seen["canary"]["evidence"] == '{"pong_ms": 499}'
    assert (seen["canary"]["state"], seen["canary"]["seen_ms"]) == ("proven", moment)
    assert (seen["ami"]["state"], seen["ami"]["seen_ms"]) == ("failing", None)
    assert seen["ami"]["claim"] == "Asterisk Call Manager/9.0.0"
    assert seen["ami"]["checked_ms"] == moment


async def at_rest(rig: Rig, rough: Rough) -> int:
    """Wait until what is still to be flushed is written; answer the number of writes."""
    before = -1
    while rough.writes != before:
        before = rough.writes
        await rig.clock.run_for(2)
        await rig.planes()
    return before


async def until_planes(rig: Rig, count: int) -> None:
    while len(await rig.planes()) < count:
        await rig.clock.run_for(0.1)


async def test_nothing_is_written_while_nothing_is_proven(one: Rig):
    rough = Rough(one.store)
    one.log.store = rough  # type: ignore[assignment]
    await one.live()
    await until_planes(one, 2)
    await one.clock.run_for(2)
    before = rough.writes
    await one.clock.run_for(10)
    assert rough.writes == before


async def test_a_failed_proof_keeps_the_time_of_the_last_good_one(one: Rig):
    session = await one.live()
    await one.clock.run_for(9)
    session.port.prove("canary", "failing")
    while (await one.planes()).get("canary", {}).get("state") != "failing":
        await one.clock.run_for(0.1)

    canary = (await one.planes())["canary"]
    assert (canary["seen_ms"], canary["checked_ms"]) == (START, START + 9_000)


async def test_proofs_that_could_not_be_written_are_written_later(one: Rig):
    rough = Rough(one.store)
    one.log.store = rough  # type: ignore[assignment]
    session = await one.live()
    await until_planes(one, 2)
    rough.fails = [StoreUnavailable("full")]
    session.port.prove("ami", "proven")
    await until_planes(one, 3)
    assert rough.failed == 1


async def test_evidence_may_be_anything_and_text_may_be_odd(rig: Rig):
    session = await rig.live()
    odd = "nul \x00 half \ud83d"
    session.port.prove("canary", "proven", claim=odd, at=rig.clock.now(), odd=odd, big=2**80)
    await session.port.suspect(odd, where=object)
    await rig.state("suspect")
    await session.port.alert("cause " + odd, odd, todo=odd, at=rig.clock.now())
    session.falls(Unavailable(odd))
    await rig.state("waiting")
    await rig.clock.run_for(2)

    assert (await rig.row())["reason"] == "nul \ufffd half \ufffd"
    assert "alert.raised" in await rig.types()


async def test_every_fact_a_keeper_states_is_in_the_catalogue_with_its_data(one: Rig):
    from atalaia.events.catalogue import FACTS

    session = await one.live()
    await session.port.suspect("x")
    await one.state("suspect")
    session.falls(Refused("no", ask="Do something."))
    await one.state("needs_person")
    await one.stop()

    listed = {fact.type: set(fact.data) for fact in FACTS}
    for fact in await one.facts():
        assert listed[fact.type] <= set(data(fact)), fact.type
