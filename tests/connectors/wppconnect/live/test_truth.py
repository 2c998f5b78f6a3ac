"""What is wrong with a session is found, named and mended, and nothing that is well is ever disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from tests.connectors.wppconnect.live.cases import (
    BY_GATEWAY,
    LASTS_S,
    LOSSES,
    NO_LOSSES,
    Case,
    Played,
)
from tests.connectors.wppconnect.live.yard import Kept, Yard

# Seconds between two probes, and so many intervals until a fault must be known by its name.
PROFILES = (30.0, 5.0)
INTERVALS = 2
# One of each is enough for every change; the others run with `--long`.
SEEDS: list[Any] = [(30.0, 0), (5.0, 1)] + [
    pytest.param(probe_s, seed, marks=pytest.mark.long)
    for probe_s in PROFILES
    for seed in range(8)
    if (probe_s, seed) not in ((30.0, 0), (5.0, 1))
]
# A session that starts is called stuck after 90 s; the ladder may have waited a minute before it was started.
STUCK_S = 90.0 + 60.0
HEALTHY = 3
OF_THE_GATEWAY = ("proxy_504_html", "slow_list")


async def keep_all(open_yard: Any, cases: Sequence[Case], seed: int, probe_s: float) -> list[Played]:
    """Open a yard with one session for each case, and healthy ones beside them; all are live."""
    names = [f"{place:02}-{case.fault}" for place, case in enumerate(cases)]
    yard: Yard = await open_yard(*names, *[f"well-{place}" for place in range(HEALTHY)], seed=seed)
    played = [
        Played(case, await keep_one(yard, name, case, probe_s), Random(f"{seed} {name}"))
        for name, case in zip(names, cases, strict=True)
    ]
    for name in yard.names[len(cases) :]:
        await yard.keep(name, probe_every_s=probe_s)
    await yard.idle(1)
    for kept in yard.kept.values():
        kept.write("bom dia")  # a gateway proves nothing before something came, and something left
        kept.answer("bom dia, já vejo")
        await yard.passing(kept.is_live, at_most_s=120)
    await yard.idle(600 if probe_s > 5 else 60)
    return played


async def keep_one(yard: Yard, name: str, case: Case, probe_s: float) -> Kept:
    if case in BY_GATEWAY:
        return await yard.keep_by_gateway(name, probe_every_s=probe_s)
    return await yard.keep(name, probe_every_s=probe_s)


async def play_all(yard: Yard, played: Sequence[Played], probe_s: float) -> None:
    """Let every fault run its course, while the healthy sessions have visitors of their own."""

    async def live(kept: Kept, random: Random) -> None:
        while True:
            await yard.clock.sleep(random.uniform(1, 120))
            kept.write(f"tudo bem {random.random():.6f}")

    well = [kept for name, kept in yard.kept.items() if name.startswith("well")]
    tasks = [asyncio.create_task(live(kept, Random(kept.name))) for kept in well]
    tasks += [asyncio.create_task(one.play(probe_s)) for one in played]
    await yard.idle(LASTS_S + 2 * probe_s + 60)
    for task in tasks[: len(well)]:
        task.cancel()
    for task in tasks[len(well) :]:
        await task


async def comes_back(kept: Kept) -> None:
    """Wait until a session is live; a person tries again what was given up while the fault lasted."""

    async def is_over() -> bool:
        return (await kept.state())[0] in ("live", "needs_person")

    for _ in range(3):
        await kept.yard.passing(is_over, step_s=30, at_most_s=3 * 3600)
        if await kept.is_live():
            return
        await kept.try_again()
        await kept.yard.idle(120)
    raise AssertionError(f"{kept.name}: {await kept.state()} {await kept.tried()}")


@pytest.mark.parametrize(("probe_s", "seed"), SEEDS)
async def test_each_fault_is_known_by_its_name_within_two_probes(
    open_yard: Any, record: Any, probe_s: float, seed: int
):
    played = await keep_all(open_yard, LOSSES, seed, probe_s)
    yard = played[0].kept.yard
    before = {name: kept.disturbed() for name, kept in yard.kept.items()}
    await play_all(yard, played, probe_s)

    late: list[str] = []
    for one in played:
        within_s = INTERVALS * probe_s + one.case.page_s + one.case.more_s
        found = [await one.named_s(word, within_s) for word in one.case.named]
        record(probe_s, seed, one, found, await one.kept.tried())
        bounds = [within_s, within_s + STUCK_S]
        for word, after_s, most_s in zip(one.case.named, found, bounds, strict=False):
            if after_s is None or not 0 <= after_s <= most_s:
                late.append(f"{one.case.fault}: {word} after {after_s} s, of {most_s}")
    assert late == []
    assert yard.sim.destroyed() == []
    assert all(
        kept.disturbed() == before[name] for name, kept in yard.kept.items() if name.startswith("well")
    )

    for kept in yard.kept.values():
        await comes_back(kept)
        await yard.passing(kept.has_all, step_s=30, at_most_s=3 * 3600)
    for kept in yard.kept.values():
        assert all(gap.closed_ms is not None for gap in await kept.gaps()), kept.name


@pytest.mark.parametrize("probe_s", PROFILES)
async def test_what_is_no_loss_of_truth_disturbs_no_session_and_loses_nothing(open_yard: Any, probe_s: float):
    played = await keep_all(open_yard, (*NO_LOSSES, *BY_GATEWAY), 1, probe_s)
    yard = played[0].kept.yard
    await play_all(yard, played, probe_s)

    for one in played:
        assert one.kept.disturbed() == 0, one.case.fault
        assert await one.kept.tried() == [], one.case.fault
        assert await one.kept.is_live(), one.case.fault
        assert await one.kept.known_keys() == set(one.kept.placed_keys()), one.case.fault


@pytest.mark.parametrize("fault", OF_THE_GATEWAY)
async def test_a_gateway_that_answers_late_or_in_html_is_waited_for_and_no_session_is_disturbed(
    open_yard: Any, fault: str
):
    yard: Yard = await open_yard("by-gateway", "by-both", "by-server")
    opened = [await yard.keep_by_gateway("by-gateway"), await yard.keep_by_both("by-both")]
    opened.append(await yard.keep("by-server"))
    await yard.idle(1)
    for kept in opened:
        kept.write("bom dia")
        kept.answer("bom dia, já vejo")
        await yard.passing(kept.is_live, at_most_s=120)
    before = [kept.disturbed() for kept in opened]
    await yard.sim.faults.start(fault, LASTS_S)
    for place in range(20):
        opened[place % 3].write(f"tudo bem {place}")
        await yard.idle(LASTS_S / 20)

    await yard.idle(60)
    for kept in opened:
        kept.write("estou aqui")  # what was away is unproven until something comes and something leaves
        kept.answer("pois não")
        await yard.passing(kept.is_live, at_most_s=120)
        await yard.passing(kept.has_all, at_most_s=120)
        assert await kept.tried() == []
    assert [kept.disturbed() for kept in opened] == before
