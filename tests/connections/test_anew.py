"""A session that another one took the place of: unproven until each of its ways is proven again."""

from __future__ import annotations

from dataclasses import replace

from atalaia.clock import to_ms
from atalaia.connections.session import Plane
from atalaia.errors import Unavailable
from tests.connections.rig import Rig, of, until_async

ANEW = (Plane("in", "Messages in", anew=True), Plane("out", "Messages out", anew=True), Plane("page", "Page"))


async def test_a_session_is_unproven_until_hearing_and_speaking_are_each_proven(one: Rig):
    one.kind = replace(one.kind, planes=ANEW)
    await one.start()
    session = await one.upstream.opened(1)
    await session.proves("page", "in")
    await session.port.live()
    await until_async(lambda: _is(one, "suspect", "unproven"))
    assert (await one.row())["reason"] == "Not proven since it was opened: out."
    await session.proves("in")
    await session.port.live()
    assert await _is(one, "suspect", "unproven")
    await session.proves("out")
    await until_async(lambda: _is(one, "live", ""))


async def test_what_the_session_before_proved_does_not_count_after_a_reconnect(one: Rig):
    one.kind = replace(one.kind, planes=ANEW)
    await one.start()
    session = await one.upstream.opened(1)
    await session.proves("in", "out")
    await session.port.live()
    await one.state("live")
    session.falls(Unavailable("gone"))
    await one.state("waiting")
    await one.clock.run_for(4)
    again = await one.upstream.opened(2)
    await again.proves("page")
    await again.port.live()
    await until_async(lambda: _is(one, "suspect", "unproven"))
    await again.proves("in", "out")
    await until_async(lambda: _is(one, "live", ""))
    assert (await one.types())[-3:] == ["connection.opening", "connection.suspect", "connection.live"]


async def test_an_upstreams_session_that_was_opened_anew_is_unproven_and_what_it_missed_is_a_gap(one: Rig):
    one.kind = replace(one.kind, planes=ANEW)
    await one.start()
    session = await one.upstream.opened(1)
    await session.proves("page", "in", "out")
    await session.port.live()
    await one.state("live")
    proven = to_ms(one.clock.now())
    await one.clock.run_for(9)
    await session.port.reopened("It was paired anew.")
    await session.proves("page", "in")
    await until_async(lambda: _is(one, "suspect", "unproven"))
    while not await _plane(one, "out", "unknown"):  # written by the clock, one write after the other
        await one.clock.run_for(1)

    seen = await one.planes()
    assert seen["out"]["seen_ms"] == proven
    assert "Not proven since the session was opened." in seen["out"]["evidence"]
    [gap] = of(await one.facts(), "gap.opened")
    assert (gap["from_ms"], gap["cause"]) == (proven, "It was paired anew.")
    await session.proves("out")
    await until_async(lambda: _is(one, "live", ""))


async def test_the_next_process_shows_planes_as_unproven_and_still_knows_when_they_were_proven(one: Rig):
    one.kind = replace(one.kind, planes=ANEW)
    await one.start()
    session = await one.upstream.opened(1)
    await session.proves("page", "in", "out")
    await session.port.live()
    await one.state("live")
    proven = to_ms(one.clock.now())
    await one.clock.run_for(2)
    await one.stop()
    await one.clock.run_for(60)
    await one.start()
    await one.upstream.opened(2)
    await one.clock.run_for(2)

    await until_async(lambda: _plane(one, "in", "unknown"))
    assert (await one.planes())["in"]["seen_ms"] == proven


async def test_whose_session_it_is_stays_known_whatever_proves_its_plane_next(one: Rig):
    await one.start()
    session = await one.upstream.opened(1)
    session.port.prove("page", "proven", account="5511955500201@c.us")
    session.port.prove("page", "failing", said="gone")
    await one.clock.run_for(2)
    await until_async(lambda: _plane(one, "page", "failing"))
    assert "5511955500201@c.us" in (await one.planes())["page"]["evidence"]


async def _plane(rig: Rig, name: str, state: str) -> bool:
    return (await rig.planes()).get(name, {}).get("state") == state


async def _is(rig: Rig, state: str, kind: str) -> bool:
    row = await rig.row()
    return (row["state"], row["kind"]) == (state, kind)
