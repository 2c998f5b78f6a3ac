"""The portal's jobs on a real engine, against the simulated portal, with the clock in hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from atalaia.clock import HeldClock, to_ms
from atalaia.connections.registry import Registry
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.jobs.rows import Job, read_job
from atalaia.jobs.submit import Order, Orders
from atalaia.redact import Redactor
from atalaia.store.store import Store
from simulators.traffilog import TraffilogSimulator
from simulators.traffilog.models import Vehicle
from tests.connections.rig import Plain
from tests.jobs.yard import CONNECTION, Yard
from tests.simulators.traffilog_ground import PORTAL_PASSWORD, PORTAL_USER, running

LOOK_S = 0.5  # of the held clock, at each look at a job

# In the simulator's world.
EMPTY, EMPTY_PLATE, EMPTY_CLIENT = "2900166", "TST3T66", "310206"  # a vehicle without a unit
USED, USED_PLATE, USED_SERIAL = "2900117", "TST2L74", "920002852"
STOCK, STOCK_SERIAL = "2900195", "920003010"  # its plate is its serial
PARKED, PARKED_SERIAL = "2900198", "920003013"  # its plate holds CMDT


def settings_for(sim: TraffilogSimulator, **more: Any) -> TraffilogSettings:
    """Answer the settings of a connection to the simulated portal; the sockets are not needed here."""
    given: dict[str, Any] = {
        "api_url": "http://127.0.0.1:9/appengine_3", "app_guid": "GUID", "user": "monitor",
        "password": "test-only-a", "socket_url": "ws://127.0.0.1:9",
        "origin": "https://operation.example.test", "portal_url": sim.portal_url,
        "portal_start_url": sim.portal_bootstrap_url, "portal_user": PORTAL_USER,
        "portal_password": PORTAL_PASSWORD, "root_group": "330020", "portal_within_s": 600,
        "portal_login_within_s": 600,
    }  # fmt: skip
    return TraffilogSettings.model_validate({**given, **more})


class Bench(Yard):
    """One worker with a connection to the portal."""

    def __init__(
        self, store: Store, url: str, folder: Path, clock: HeldClock, sim: TraffilogSimulator, **settings: Any
    ) -> None:
        super().__init__(store, url, folder, clock)
        self.sim = sim
        self.settings = settings_for(sim, **settings)
        self.kinds = {f"traffilog.{kind.name}": kind for kind in CONNECTOR.jobs}
        self.orders = Orders(self.ambient, self.kinds, Redactor())
        self.registry = Registry({"traffilog": TraffilogSettings}, Plain())

    async def open(self) -> None:
        now = to_ms(self.clock.now())
        await self.store.write(
            lambda tx: self.registry.create(tx, CONNECTION, "traffilog", "Portal", self.settings, now)
        )

    async def close(self) -> None:
        await self.stop()

    async def ask(self, kind: str, **params: Any) -> Job:
        order = Order(f"traffilog.{kind}", CONNECTION, params, "ana")
        return await self.store.write(lambda tx: self.orders.submit(tx, order))

    async def ends(self, job: Job, state: str = "done") -> Job:
        """Wait until the job is in this state; time goes by meanwhile."""
        return await self.comes_to(job, state, passing_s=LOOK_S)

    async def run(self, kind: str, state: str = "done", **params: Any) -> Job:
        """Ask for a job and wait for its end."""
        return await self.ends(await self.ask(kind, **params), state)

    async def named(self, identity: str) -> Job:
        """Answer a job by its id."""
        found = await self.store.read(lambda tx: read_job(tx, identity))
        assert found is not None
        return found

    async def fault(self, name: str, times: int | None = 1, **options: Any) -> None:
        """Have the portal misbehave, once by default."""
        await self.sim.faults.start(name, times=times, **options)

    def vehicle(self, vehicle_id: str) -> Vehicle:
        return self.sim.upstream.vehicles[vehicle_id]

    def effects(self) -> list[tuple[str, str]]:
        """Answer what really happened upstream, in order: (kind, subject)."""
        return [(one.kind, one.subject) for one in self.sim.ledger.effects]


@asynccontextmanager
async def benched(
    store: Store, url: str, folder: Path, clock: HeldClock, **settings: Any
) -> AsyncIterator[Bench]:
    """Start simulator and worker."""
    async with running(clock) as sim:
        bench = Bench(store, url, folder, clock, sim, **settings)
        await bench.open()
        await bench.start()
        try:
            yield bench
        finally:
            await bench.close()


def install_of(plate: str = EMPTY_PLATE, serial: str = STOCK_SERIAL, **more: Any) -> dict[str, Any]:
    """Answer the params of an installation on the empty vehicle."""
    return {
        "plate": plate, "serial": serial, "client_id": EMPTY_CLIENT, "client_name": "Marítima Transportes",
        "asset_type": "7547", "manufacturer": "Iveco", "model": "Stralis-480-800S48TZ-M-6x4",
        "installed_by": "ANA EXEMPLO", "comment": "Installed", **more,
    }  # fmt: skip
