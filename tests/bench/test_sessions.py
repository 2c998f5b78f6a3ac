"""`bench sessions` in small: the account it gives of real processes."""

from __future__ import annotations

from atalaia.bench import sessions
from atalaia.bench.sessions import Plan


async def test_every_message_is_accounted_for_and_a_browser_that_ends_is_found_and_named():
    plan = Plan(busy=3, idle=3, seconds=6, rate=2, faults=0, deaf=0, probe_every_s=1)

    figures = await sessions.bench(plan)

    assert figures["live"] == 6
    assert (figures["placed"], figures["lost"], figures["not_understood"]) == (36, 0, 0)
    assert figures["disturbed_but_well"] == 0
    assert figures["baseline"]["rss_mb"] > 0
