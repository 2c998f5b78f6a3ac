"""A server full of sessions that fell at once is brought back gently, each session by one try at a time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from tests.connectors.wppconnect.live.yard import Yard

SESSIONS, BEAT_S, MOST = 45, 30, 20


async def test_of_many_that_fell_at_once_at_most_twenty_are_opened_in_a_beat(open_yard: Any):
    yard: Yard = await open_yard(*[f"s{place:02}" for place in range(SESSIONS)])
    for name in yard.names:
        await yard.keep(name, browser_url="")
    for kept in yard.kept.values():
        await yard.passing(kept.is_live, at_most_s=120)
    fell_s = yard.now_s
    for name in yard.names:
        await yard.sim.session(name).close()
    await yard.idle(60)  # two probes

    for kept in yard.kept.values():
        await yard.passing(kept.is_live, at_most_s=600)

    tried = [
        one.at_s for kept in yard.kept.values() for one in await kept.told("recovery.tried", since_s=fell_s)
    ]
    assert len(tried) == SESSIONS
    assert all(sum(begin <= at < begin + BEAT_S for at in tried) <= MOST for begin in tried)
    assert max(tried) - fell_s <= 5 * BEAT_S
    assert [yard.sim.disturbed(name) for name in yard.names] == [1] * SESSIONS
    assert yard.sim.destroyed() == []


async def test_a_session_that_cannot_be_helped_is_tried_one_by_one_six_times_an_hour_and_then_by_nobody(
    open_yard: Any,
):
    yard: Yard = await open_yard("lost")
    lost = await yard.keep("lost")
    await yard.passing(lost.is_live, at_most_s=120)
    await lost.starts("socket_timeout", stubborn=True)
    await yard.idle(4 * 3600)

    told = await lost.told("recovery.")
    open_ones = 0
    for one in told:
        open_ones += 1 if one.type == "recovery.tried" else -1
        assert open_ones in (0, 1), "one recovery at a time"
    tried = [one.at_s for one in told if one.type == "recovery.tried"]
    assert all(sum(begin <= at < begin + 3600 for at in tried) <= 6 for begin in tried)
    pauses = [after - before for before, after in pairwise(tried)]
    assert all(later >= before for before, later in pairwise(pauses)), pauses
    assert (await lost.state())[0] == "needs_person"

    before = Counter(yard.sim.api.calls["lost"])
    await yard.idle(2 * 3600)
    more = yard.sim.api.calls["lost"] - before
    assert more["status-session"] > 100, "it is looked at all the while"
    assert more["start-session"] + more["close-session"] == 0
    assert yard.sim.destroyed() == []
