"""What somebody else than a look finds missing is a proof as well: of deafness, or of one lost webhook."""

from __future__ import annotations

from typing import Any

from atalaia.connectors.wppconnect.session import LONE
from tests.connectors.wppconnect.live.yard import Kept, Yard

NAME = "one"
MINUTE_S = 60.0
BEHIND_S, STORE_EVERY_S = 120, 300
# Probes so far apart that a message is read before any of them may name it missing.
SELDOM = {"probe_every_s": 240, "behind_s": 30, "store_every_s": 2700}


async def live(open_yard: Any, **changes: object) -> Kept:
    """Open a yard with one session that was started long ago."""
    yard: Yard = await open_yard(NAME)
    kept = await yard.keep(NAME, **changes)
    await yard.passing(kept.is_live, at_most_s=600)
    await yard.idle(600)
    return kept


async def checks(kept: Kept) -> int:
    """Answer how often the routine check was made."""
    return sum(one.data.get("routine", False) for one in await kept.told("gap.closed"))


async def shortly_before_a_check(kept: Kept) -> None:
    """Let time pass until the next routine check comes within two minutes."""
    before = await checks(kept)

    async def was_checked() -> bool:
        return await checks(kept) > before

    await kept.yard.passing(was_checked, step_s=5)
    await kept.yard.idle(28.5 * MINUTE_S)


async def test_a_deaf_session_is_found_although_the_routine_check_brought_its_message_in(open_yard: Any):
    kept = await live(open_yard, **SELDOM)
    yard = kept.yard
    await shortly_before_a_check(kept)
    await kept.starts("deaf")
    kept.write("alguém me ouve?")

    await yard.passing(kept.has_all, at_most_s=200)
    assert await kept.tried() == [], "the check was first: nobody had looked at it"
    assert "deaf" not in await kept.looked()

    async def was_restarted() -> bool:
        return await kept.tried() == ["restart"]

    await yard.passing(was_restarted, at_most_s=SELDOM["probe_every_s"] + 30)
    [sick] = [one for one in await kept.told("session.looked") if one.data["health"] == "sick"]
    assert sick.data["evidence"] == {"messages": 1, "oldest_ms": sick.data["missed_ms"]}
    await yard.passing(kept.is_live, at_most_s=900)
    kept.write("agora sim")
    await yard.idle(10)
    assert await kept.has_all()


async def test_one_lost_webhook_among_others_is_recovered_and_told_and_nothing_is_restarted(open_yard: Any):
    kept = await live(open_yard)
    yard, began_s, asked = kept.yard, kept.yard.now_s, kept.yard.sim.api.calls[NAME]
    quiet = asked["get-messages"]
    gaps, disturbed = len(await kept.gaps()), kept.disturbed()
    await yard.idle(STORE_EVERY_S + 30)
    assert asked["get-messages"] == quiet, "while nobody writes no chat is read"

    lost_s = yard.now_s
    await kept.starts("webhook_lost", times=1)
    kept.write("este se perde")
    assert kept.placed[-1].lost
    kept.write("e este chega")
    await yard.passing(kept.has_all, at_most_s=BEHIND_S + STORE_EVERY_S + 60)
    await yard.idle(60)

    [gap] = (await kept.gaps())[gaps:]
    assert (gap.cause, gap.origin, gap.recovered) == (LONE, "found", '{"messages":1,"upgraded":0}')
    assert lost_s - 1 <= yard.since_s(gap.from_ms) <= yard.since_s(gap.to_ms) <= lost_s + 1
    assert gap.closed_ms is not None
    assert await kept.told("connection.", "recovery.", "session.looked", since_s=began_s) == []
    assert kept.disturbed() == disturbed
