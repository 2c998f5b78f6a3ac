"""One worker's jobs against the simulated telematics upstream: real database, real engine, real sockets."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.connections.registry import Registry
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.events.log import EventLog, read_after
from atalaia.events.model import Event
from atalaia.events.policy import Policies
from atalaia.ids import SystemIds
from atalaia.jobs.rows import Job
from atalaia.jobs.submit import Order, Orders
from atalaia.redact import Redactor
from atalaia.store.store import Store
from simulators.traffilog import Pace, TraffilogSimulator
from simulators.traffilog.world import World
from tests.connections.rig import Plain
from tests.connectors.traffilog.live.rig import (
    CLIENT,
    CLIENT_NAME,
    SCHEME,
    VEHICLE,
    make_simulator,
    settings_for,
)
from tests.jobs.yard import CONNECTION, Yard

# Schemes so short that a Scheme Builder takes about half a minute of held time.
COMMANDS = 30
QUICK = replace(
    Pace.at_once(), sb_start_s=(3.0, 5.0), sb_first_ack_s=(1.0, 2.0), reboot_s=(3.0, 5.0), silence_s=20.0
)
IMPATIENT: dict[str, Any] = {
    "sb_silence_s": 40,
    "sb_within_min": 2,
    "proof_within_s": 30,
    "probe_within_s": 15,
}


class Telematics(Yard):
    """A yard whose connection leads to the simulator. Each look lets `step_s` of held time pass."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        clock: HeldClock,
        *,
        url: str = "",
        pace: Pace = QUICK,
        world: World | None = None,
        step_s: float = 0.4,
    ) -> None:
        super().__init__(store, url, folder, clock)
        self.ambient = Ambient(clock=clock, ids=SystemIds(), random=Random(1))
        self.kinds = {f"traffilog.{kind.name}": kind for kind in CONNECTOR.jobs}
        self.orders = Orders(self.ambient, self.kinds, Redactor())
        self.registry = Registry({"traffilog": TraffilogSettings}, Plain())
        self.log = EventLog(store, self.ambient, Policies({"traffilog": CONNECTOR.keep}, {}))
        self.sim: TraffilogSimulator = make_simulator(clock, pace=pace, world=world)
        schemes = self.sim.upstream.schemes
        schemes.update({name: replace(one, commands=COMMANDS) for name, one in schemes.items()})
        self.step_s = step_s

    async def open(self, **changes: Any) -> None:
        """Open the upstream, and set the connection up with settings as impatient as its units are quick."""
        await self.sim.start()
        settings = settings_for(self.sim, **(IMPATIENT | changes))
        now = to_ms(self.clock.now())
        await self.store.write(
            lambda tx: self.registry.create(tx, CONNECTION, "traffilog", "Telematics", settings, now)
        )

    async def close(self) -> None:
        passing = asyncio.create_task(self._pass())
        await self.stop()
        await self.sim.stop()
        passing.cancel()
        assert self.sim.upstream.failures == []
        assert list(self.sim.doors.bad_frames) == []

    async def _pass(self) -> None:
        while True:
            await self.clock.run_for(self.step_s)
            await asyncio.sleep(0.005)

    # Asking.

    async def ask(self, kind: str, *, key: str | None = None, **params: Any) -> Job:
        """Ask for a job about the usual vehicle, unless another is named."""
        usual = {"client_id": CLIENT, "client_name": CLIENT_NAME, "vehicle_id": VEHICLE}
        order = Order(f"traffilog.{kind}", CONNECTION, usual | params, "ana", key=key)
        return await self.store.write(lambda tx: self.orders.submit(tx, order))

    async def build(self, **params: Any) -> Job:
        """Ask for a Scheme Builder."""
        return await self.ask("scheme_builder", **{"vehicle_setting_id": SCHEME, **params})

    async def ends(self, job: Job) -> Job:
        """Let time pass until the job has ended, however it ends."""

        async def over() -> bool:
            return (await self.job(job)).state in ("done", "failed", "cancelled", "expired")

        await self.until(over, f"{job.kind} ends", passing_s=self.step_s, known=lambda: self.job(job))
        return await self.job(job)

    async def reaches(self, job: Job, state: str) -> Job:
        return await self.comes_to(job, state, passing_s=self.step_s)

    async def passes(self, wanted: Any, what: str) -> None:
        """Let time pass until `wanted()` is true."""
        await self.until(wanted, what, passing_s=self.step_s)

    async def fault(self, name: str, **options: Any) -> None:
        await self.sim.faults.start(name, **options)

    # Looking.

    async def heard(self, kind: str) -> list[Event]:
        found = await self.store.read(lambda tx: read_after(tx, 0, family=0, limit=10_000))
        return [one for one in found if one.type == f"traffilog.{kind}"]

    def executed(self, kind: str = "scheme_builder", vehicle: str = VEHICLE) -> int:
        """How often the upstream really did it."""
        return self.sim.ledger.count(kind, vehicle)
