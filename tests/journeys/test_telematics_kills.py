"""The hub is killed amid Scheme Builders and G-sensor commands: the upstream did each of them once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from sqlalchemy import Connection, select

from atalaia.clock import ScaledClock
from atalaia.connectors import CONNECTORS
from atalaia.jobs.rows import Job, read_job
from atalaia.jobs.submit import Order, Orders
from atalaia.store.connect import open_store
from atalaia.store.tables import alerts
from simulators.traffilog import Pace, TraffilogSimulator
from tests.connectors.traffilog.live.rig import CLIENT, CLIENT_NAME, SCHEME, VEHICLE, settings_for
from tests.journeys.hubs import Place, Stable, Worker
from tests.journeys.waiting import until

T = TypeVar("T")
QUIET = {"ATALAIA_LOG_LEVEL": "warning"}
FASTER = 20.0  # the upstream lives so much faster than the hub
EXECUTE = "execute_action_opr"
JOBS: dict[str, dict[str, Any]] = {
    "scheme_builder": {"vehicle_setting_id": SCHEME},
    "gsensor_command": {"label": "RIGHT", "harness": "DOWN"},
}
EFFECTS = {"scheme_builder": "scheme_builder", "gsensor_command": "gsensor"}


@pytest.fixture(scope="module")
def stable() -> Iterator[Stable]:
    stable = Stable("tests.jobs.stable")  # it has loaded the engine
    yield stable
    stable.close()


class Ground:
    """One hub, the simulated upstream, and who kills the hub when the upstream comes to a point."""

    def __init__(self, place: Place) -> None:
        self.place = place
        pace = replace(Pace.at_once(), command_s=(1.0, 1.1), sb_first_ack_s=(1.0, 2.0), reboot_s=(5.0, 6.0))
        self.sim = TraffilogSimulator(
            clock=ScaledClock(FASTER), random=Random(7), user="monitor", password="test-only-a",
            portal_user="office", portal_password="test-only-c", pace=pace,
        )  # fmt: skip
        schemes = self.sim.upstream.schemes
        schemes[SCHEME] = replace(schemes[SCHEME], commands=60)
        kinds = {f"traffilog.{kind.name}": kind for kind in CONNECTORS["traffilog"].jobs}
        self.orders = Orders(place.ambient, kinds)
        self.hub: Worker | None = None
        self.kills = 0
        self.decided: list[str] = []

    async def start(self) -> None:
        await self.sim.start()
        patience = {"probe_within_s": 5, "proof_within_s": 20, "gs_ack_within_s": 10, "review_every_s": 0.2}
        settings = settings_for(self.sim, **patience).model_dump()
        plain = {
            name: value.get_secret_value() if hasattr(value, "get_secret_value") else value
            for name, value in settings.items()
        }

        def furnish(furnisher: Any, tx: Any) -> str:
            return furnisher.connection(tx, "traffilog", "Telematics", **plain)

        self.connection = await self.place.furnish(furnish)

    async def stop(self) -> None:
        self.place.close()
        await self.sim.stop()

    def kill_at(self, point: str, times: int = 1) -> None:
        """Kill the hub the next times the upstream comes to this point."""
        left = times

        def kill() -> None:
            nonlocal left
            if left and self.hub is not None and self.hub.runs:
                left -= 1
                self.kills += 1
                os.kill(self.hub.pid, signal.SIGKILL)

        self.sim.upstream.at(point, kill)

    async def submit(self, kind: str) -> Job:
        asked = {"client_id": CLIENT, "client_name": CLIENT_NAME, "vehicle_id": VEHICLE, **JOBS[kind]}
        order = Order(f"traffilog.{kind}", self.connection, asked, "ana")
        return await self._write(lambda tx: self.orders.submit(tx, order))

    async def _write(self, work: Callable[[Connection], T]) -> T:
        store = await open_store("", self.place.folder, exclusive=False)
        try:
            return await store.write(work)
        finally:
            await store.close()

    async def job(self, job: Job) -> Job:
        found = await self.place.read(lambda tx: read_job(tx, job.id))
        assert found is not None
        return found

    async def ends(self, job: Job) -> Job:
        """Start the hub again whenever it died, until the job has ended."""

        async def ended() -> Job | None:
            assert self.hub is not None
            if not self.hub.runs:
                await self.hub.start(**QUIET)
            now = await self.job(job)
            if now.state == "in_doubt" and await self._is_alerted(job):
                await self._decide(now)
            return now if now.ended_ms else None

        found = await until(ended, "the job has ended", within_s=180, every_s=0.2)
        assert found is not None
        return found

    async def _is_alerted(self, job: Job) -> bool:
        cause = (alerts.c.cause == f"job:{job.id}", alerts.c.resolved_ms.is_(None))
        return bool(await self.place.read(lambda tx: tx.scalar(select(alerts.c.cause).where(*cause))))

    async def _decide(self, job: Job) -> None:
        """Say what a person sees who looks at the portal's history."""
        choice = "happened" if self.sim.ledger.of(trace=job.trace) else "again"
        self.decided.append(choice)
        await self._write(lambda tx: self.orders.decide(tx, job.id, choice, by="ana"))

    async def serve(self) -> None:
        self.hub = await self.place.worker().start(**QUIET)


@pytest_asyncio.fixture
async def ground(tmp_path: Path, stable: Stable) -> AsyncIterator[Ground]:
    ground = Ground(Place(tmp_path / "hub", "", (), stable))
    await ground.start()
    yield ground
    await ground.stop()


SB, GS = "scheme_builder", "gsensor_command"
LONG = pytest.mark.long
# Where the hub dies, and what a person has to decide: before the intent, with the frame arrived, with its
# effect, with its answer. A Scheme Builder leaves traces, an executed command none.
POINTS = [
    pytest.param(SB, "done:associate_vehicles_actions_opr", [], marks=LONG),
    pytest.param(SB, "done:get_vcls_action_review_opr", []),
    pytest.param(SB, f"heard:{EXECUTE}", [], marks=LONG),
    pytest.param(SB, f"done:{EXECUTE}", []),
    pytest.param(SB, f"answered:{EXECUTE}", [], marks=LONG),
    pytest.param(GS, "done:add_remove_custom_command", [], marks=LONG),
    pytest.param(GS, f"done:{EXECUTE}", ["happened"]),
    pytest.param(GS, f"answered:{EXECUTE}", ["happened"], marks=LONG),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "point", "decided"), POINTS)
async def test_a_hub_that_dies_at_any_boundary_doubles_nothing(
    ground: Ground, kind: str, point: str, decided: list[str]
):
    await ground.serve()
    ground.kill_at(point)
    ended = await ground.ends(await ground.submit(kind))

    assert ground.kills == 1
    assert ended.state == "done", ended
    assert ground.sim.ledger.count(EFFECTS[kind], VEHICLE) == ground.sim.ledger.asked[EXECUTE] == 1
    assert ground.decided == decided
    assert ended.result["process_id"]  # known also to who was only told that it happened


@pytest.mark.slow
async def test_a_frame_that_died_with_the_hub_is_known_by_the_review_and_sent_again(ground: Ground):
    await ground.serve()
    ground.kill_at(f"heard:{EXECUTE}")
    await ground.sim.faults.start("lost-request", times=1, action=EXECUTE)
    ended = await ground.ends(await ground.submit("scheme_builder"))

    assert (ended.state, ended.result["outcome"]) == ("done", "confirmed")
    assert ground.sim.ledger.count("scheme_builder", VEHICLE) == 1


@pytest.mark.slow
async def test_a_hub_that_dies_amid_a_scheme_builder_follows_it_again_to_its_proof(ground: Ground):
    await ground.serve()
    job = await ground.submit("scheme_builder")

    def amid() -> bool:
        return any(one.acknowledged > 10 for one in ground.sim.upstream.processes.values())

    await until(amid, "the unit is being configured", within_s=60)
    assert ground.hub is not None
    await asyncio.to_thread(ground.hub.kill)
    ended = await ground.ends(job)

    assert (ended.state, ended.result["outcome"]) == ("done", "confirmed")
    assert ground.sim.ledger.count("scheme_builder", VEHICLE) == 1
