"""A hub is killed at each boundary of a portal job: what it left is found, and nothing is done twice."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from atalaia.ambient import Ambient
from atalaia.clock import ScaledClock, to_ms
from atalaia.connections.registry import Registry
from atalaia.connectors.traffilog.portal import PORTAL_JOBS
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.jobs.rows import Job, read_job
from atalaia.jobs.submit import Order, Orders
from atalaia.redact import Redactor
from atalaia.secretbox import SecretBox
from atalaia.settings import Settings
from atalaia.store.connect import open_store
from simulators.rules import Rule
from simulators.traffilog import TraffilogSimulator
from tests.connectors.traffilog.portal.bench import (
    EMPTY,
    STOCK,
    USED,
    USED_PLATE,
    USED_SERIAL,
    install_of,
    settings_for,
)
from tests.peers.ground import ROOT
from tests.simulators.traffilog_ground import running

WITHIN_S = 90
CONNECTION = "c1"
TAKE_OFF, ORDER, SAVE = "DEACTIVATE_VEHICLE_HIST", "ORDER_SAVE", "SAVE_VHCL_ACTIVATION_NEW"
ASKED: Mapping[str, dict[str, Any]] = {
    "install": install_of(),
    "uninstall": {"plate": USED_PLATE, "installed_by": "ANA EXEMPLO"},
}
WRITES = {"install": (TAKE_OFF, SAVE), "uninstall": (TAKE_OFF, ORDER, SAVE)}
REQUESTS = {"install": 16, "uninstall": 22}  # each job needs about as many


class Victim:
    """The hub's process; `kill` may be called in the midst of a request of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kills = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        words = ["-m", "tests.connectors.traffilog.portal.hub", str(self.folder)]
        with open(self.folder / "hub.log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *words], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        assert self._process is not None
        self.kills += 1
        self._process.kill()
        self._process.wait()


class Story:
    """One job, asked for before the hub starts, and the hub that is started again after each kill."""

    def __init__(self, folder: Path, sim: TraffilogSimulator) -> None:
        self.folder, self.sim = folder, sim
        self.victim = Victim(folder)
        self.job = ""

    async def ask(self, kind: str) -> None:
        ambient = Ambient()
        settings = Settings.model_validate({"data_dir": self.folder})
        registry = Registry({"traffilog": TraffilogSettings}, SecretBox.from_file(settings.key_path))
        kinds = {f"traffilog.{one.name}": one for one in PORTAL_JOBS}
        orders = Orders(ambient, kinds, Redactor())
        order = Order(f"traffilog.{kind}", CONNECTION, ASKED[kind], "ana")
        now = to_ms(ambient.clock.now())
        store = await open_store("", self.folder)
        try:
            portal = settings_for(self.sim, portal_within_s=30, portal_login_within_s=30)
            await store.write(lambda tx: registry.create(tx, CONNECTION, "traffilog", "Portal", portal, now))
            self.job = (await store.write(lambda tx: orders.submit(tx, order))).id
        finally:
            await store.close()

    def kill_at(self, point: str) -> None:
        """Kill the hub the first time the simulator comes to this point."""
        points: list[str] = [point]

        def strike() -> None:
            if points:
                points.clear()
                self.victim.kill()

        self.sim.upstream.at(point, strike)

    def kill_at_request(self, number: int) -> None:
        """Kill the hub when its request of this number has its answer and does not know it yet."""
        seen: list[str] = []

        def strike(action: str) -> None:
            seen.append(action)
            if len(seen) == number:
                self.victim.kill()

        for action in ("APPLICATION_LOGIN", *self.sim.portal.table):
            self.sim.upstream.at(f"done:{action}", lambda action=action: strike(action))

    async def to_its_end(self) -> Job:
        """Start the hub, again after each kill, until the job has ended."""
        end = time.monotonic() + WITHIN_S
        while time.monotonic() < end:
            if not self.victim.runs:
                self.victim.start()
            job = await self._look()
            if job.state not in ("queued", "running", "in_doubt"):
                return job
            await asyncio.sleep(0.1)
        log = (self.folder / "hub.log").read_text()[-3000:]
        pytest.fail(f"not within {WITHIN_S} s: {await self._look()}\n{log}", pytrace=False)

    async def _look(self) -> Job:
        store = await open_store("", self.folder, exclusive=False)
        try:
            job = await store.read(lambda tx: read_job(tx, self.job))
            assert job is not None
            return job
        finally:
            await store.close()


@asynccontextmanager
async def story(folder: Path, kind: str) -> AsyncIterator[Story]:
    """A simulated portal and a job that waits for a hub."""
    async with running(ScaledClock(20)) as sim:
        story = Story(folder, sim)
        await story.ask(kind)
        try:
            yield story
        finally:
            if story.victim.runs:
                story.victim.kill()


def check_done_once(sim: TraffilogSimulator, kind: str, job: Job) -> None:
    assert job.state == "done", (job.state, job.reason, job.said)
    effects = [(one.kind, one.subject) for one in sim.ledger.effects]
    if kind == "install":
        assert effects == [("deactivation", STOCK), ("activation", EMPTY)]
    else:
        new_id = job.result["new_vehicle_id"]
        assert effects == [("deactivation", USED), ("order", "310209"), ("activation", new_id)]
        assert sim.upstream.vehicles[new_id].serial == USED_SERIAL.zfill(16)


LONG = pytest.mark.long


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        pytest.param("install", "heard", marks=LONG),
        ("uninstall", "done"),
        pytest.param("uninstall", "lost", marks=LONG),
        pytest.param("install", "done", marks=LONG),
        pytest.param("install", "lost", marks=LONG),
        pytest.param("uninstall", "heard", marks=LONG),
    ],
)
async def test_a_hub_that_is_killed_at_every_write_does_each_once(tmp_path: Path, kind: str, moment: str):
    async with story(tmp_path, kind) as told:
        for action in WRITES[kind]:
            if moment == "lost":  # it left, the hub died, and it never had its effect
                told.kill_at(f"heard:{action}")
                told.sim.upstream.rules.add(Rule("portal-lost-request", {"action": action}, 1))
            else:
                told.kill_at(f"{moment}:{action}")
        job = await told.to_its_end()

        assert told.victim.kills == len(WRITES[kind])
        check_done_once(told.sim, kind, job)


@LONG
@pytest.mark.parametrize(
    ("kind", "number"), [(kind, number) for kind, most in REQUESTS.items() for number in range(1, most)]
)
async def test_a_hub_that_is_killed_at_any_request_does_each_once(tmp_path: Path, kind: str, number: int):
    async with story(tmp_path, kind) as told:
        told.kill_at_request(number)
        job = await told.to_its_end()

        check_done_once(told.sim, kind, job)
