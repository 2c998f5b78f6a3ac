"""The upstream goes away in the middle of twenty processes, for ten minutes, and comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from atalaia.clock import HeldClock, to_ms
from atalaia.jobs.rows import Job
from atalaia.store.job_tables import job_frames
from simulators.traffilog.models import Scheme
from simulators.traffilog.world import load_world
from tests.connectors.traffilog.live.yard import QUICK, Telematics
from tests.store.bases import BOTH, Base

VEHICLES = 20
AWAY_S = 600.0
SHORT, LONG = "9000", "5411"
USEFUL_WITHIN_MS = 2_000


@pytest_asyncio.fixture
async def fleet(base: Base, clock: HeldClock) -> AsyncIterator[Telematics]:
    """Twenty vehicles of one client; one scheme takes three minutes, the other a quarter of an hour."""
    pace = replace(QUICK, command_s=(3.0, 3.2), transport_ack_s=(0.5, 0.8), command_ack_s=(1.0, 1.4))
    yard = Telematics(
        await base.open(), base.folder, clock, url=base.url, pace=pace, world=load_world(VEHICLES)
    )
    schemes = yard.sim.upstream.schemes
    schemes[SHORT] = replace(schemes[SHORT], commands=60)
    schemes[LONG] = Scheme(LONG, "Long", schemes[LONG].client_id, commands=300)
    await yard.open()
    await yard.start()
    yield yard
    await yard.close()


async def first_heard_ms(yard: Telematics, job: Job, since_ms: int) -> int | None:
    """Answer when the first frame came after a moment."""
    c = job_frames.c
    query = select(func.min(c.at_ms)).where(
        c.job == job.id, c.direction == "received", c.at_ms >= since_ms, c.surface == "websocket"
    )
    return await yard.store.read(lambda tx: tx.scalar(query))


ON_POSTGRESQL = pytest.param("postgresql", marks=[*BOTH[1].marks, pytest.mark.long], id="postgresql")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("base", [BOTH[0], ON_POSTGRESQL], indirect=True)
async def test_an_upstream_that_is_gone_for_ten_minutes_restarts_nothing(fleet: Telematics):
    yard = fleet
    vehicles = sorted(yard.sim.upstream.vehicles)
    jobs = [
        await yard.build(vehicle_id=vehicle, vehicle_setting_id=LONG if n % 2 else SHORT)
        for n, vehicle in enumerate(vehicles)
    ]
    ledger = yard.sim.ledger
    await yard.until(lambda: ledger.count("scheme_builder") == VEHICLES, "all are queued", passing_s=0.1)

    await yard.fault("gone")
    end = yard.clock.monotonic() + AWAY_S
    await yard.until(lambda: yard.clock.monotonic() >= end, "ten minutes", passing_s=2.0)
    assert [str((await yard.job(job)).state) for job in jobs] == ["running"] * VEHICLES
    back_ms = to_ms(yard.clock.now())
    await yard.sim.faults.stop("gone")

    async def all_hear() -> bool:
        return None not in [await first_heard_ms(yard, job, back_ms) for job in jobs]

    await yard.until(all_hear, "all hear again", passing_s=0.05)
    heard = [await first_heard_ms(yard, job, back_ms) for job in jobs]
    assert max((at or 0) - back_ms for at in heard) <= USEFUL_WITHIN_MS  # all of them, not only the first

    yard.step_s = 2.0
    ended = [await yard.ends(job) for job in jobs]
    assert [job.said for job in ended if job.state != "done"] == []
    assert {(str(job.state), job.result["outcome"]) for job in ended} == {("done", "confirmed")}
    assert [ledger.count("scheme_builder", vehicle) for vehicle in vehicles] == [1] * VEHICLES
    assert ledger.asked["execute_action_opr"] == VEHICLES
    assert {(job.attempt, job.epoch) for job in ended} == {(1, 1)}
