"""The demo's telematics: a simulated portal with a few companies, and people who ask it for things."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Any

import structlog
from sqlalchemy import Connection

from atalaia.cli.demo.fleet import fleet_history
from atalaia.clock import SystemClock, to_ms
from atalaia.connectors.traffilog.catalogs import Catalog, Model, Scheme, Source, Technician
from atalaia.connectors.traffilog.importing import put, put_rules
from atalaia.connectors.traffilog.installing import Form, Known, start_of
from atalaia.desk.catalogs.catalogs import Catalogs
from atalaia.desk.installations import queries
from atalaia.desk.installations.actions import Done, Installations, NotPossible
from atalaia.desk.installations.state import COMPLETED
from atalaia.errors import AtalaiaError
from atalaia.events.log import append_facts
from atalaia.jobs.submit import Order
from atalaia.serve import Hub
from simulators.traffilog import APP_GUID, Pace, TraffilogSimulator
from simulators.traffilog import Scheme as Setting
from simulators.traffilog import World as Fleet
from simulators.traffilog import demo_world as demo_fleet

log = structlog.get_logger(__name__)

TITLE = "Telemetria (demo)"
PASSWORD = "demo-only"  # noqa: S105  # opens nothing but the simulator of this process
ROOT_GROUP = "330020"
OFFICE = "Central (demo)"
# Everything as recorded, but what makes people wait for minutes.
PACE = Pace(
    sb_start_s=(3.0, 6.0),
    sb_first_ack_s=(1.0, 4.0),
    reboot_s=(4.0, 10.0),
    registry_some_s=(3.0, 6.0),
    registry_full_s=(8.0, 20.0),
    asset_types_s=(4.0, 8.0),
    commands=110,
)
PATIENCE: dict[str, Any] = {
    "warmup_s": 4, "gate_every_s": 5, "can_window_s": 25, "can_pause_s": 3, "modules_within_s": 30,
    "modules_every_s": 5, "proof_within_s": 60, "probe_within_s": 6, "verify_every_min": 0.5,
}  # fmt: skip
# By turns, for what is assigned already is not written again; each takes a minute or two.
SCHEMES = {"310209": ("5411", "5412"), "310273": ("5470", "5410"), "310206": ("5433", "5434")}
MORE_SCHEMES = (
    Setting("5412", "Default - Telemetria", "310209", 100),
    Setting("5434", "Default - Frota", "310206", 80),
)
WATCHED = ("2900104", "2900108", "2900117", "2900133", "2900151")
WRITTEN = ("2900133", "2900151", "2900108", "2900117")  # by turns, for as long as the demo runs
READ = ("2900133", "2900104", "2900108", "2900117", "2900151", "2900141")
DOUBTFUL = "2900160"
SOURCES: tuple[Source, ...] = ("active", "settings")
DEAF_S, PAUSE_S, LOOK_S = 45.0, 75.0, 3.0
ROUNDS_MAX = 400  # eight hours; after that the demo only listens


@dataclass
class Telematics:
    """The simulated portal, and the office that asks it for things through the hub."""

    simulator: TraffilogSimulator
    fleet: Fleet
    connection: str = ""

    @classmethod
    def make(cls, random: Random) -> Telematics:
        fleet = demo_fleet()
        fleet.schemes += MORE_SCHEMES
        simulator = TraffilogSimulator(
            clock=SystemClock(), random=random, user="demo", password=PASSWORD, portal_user="portal",
            portal_password=PASSWORD, pace=PACE, world=fleet,
        )  # fmt: skip
        return cls(simulator, fleet)

    def settings(self) -> dict[str, Any]:
        """Answer what a person would fill in."""
        sim = self.simulator
        return {
            "api_url": sim.api_url.partition(f"/{APP_GUID}")[0], "app_guid": APP_GUID, "user": "demo",
            "password": PASSWORD, "socket_url": sim.ws_url, "origin": sim.doors.origin,
            "portal_url": sim.portal_url, "portal_start_url": sim.portal_bootstrap_url,
            "portal_user": "portal", "portal_password": PASSWORD, "root_group": ROOT_GROUP,
            "watched": list(WATCHED), **PATIENCE,
        }  # fmt: skip

    def furnish(self, tx: Connection, hub: Hub, *, fresh: bool) -> None:
        """Fill the catalogs, and with `fresh` write the fleet's yesterday."""
        catalogs = Catalogs(hub.ambient)
        put(tx, catalogs, self._catalog(), by=OFFICE, source="demo")
        put_rules(tx, catalogs, by=OFFICE)
        if fresh:
            now = to_ms(hub.ambient.clock.now())
            append_facts(tx, hub.ambient, "demo", fleet_history(self.fleet, now), connection=self.connection)

    def _catalog(self) -> Catalog:
        names = {one.id: one.name for one in self.fleet.schemes}
        schemes = [
            Scheme(client, one, names[one], source, default=source == "active")
            for client, pair in SCHEMES.items()
            for one, source in zip(pair, SOURCES, strict=True)
        ]
        models = [Model(one.id, one.manufacturer, one.model) for one in self.fleet.asset_types]
        people = [Technician(f"tech_{n:02}", nick) for n, nick in enumerate(self.fleet.technicians, 1)]
        clients = {one.id: one.name for one in self.fleet.clients}
        return Catalog(clients, schemes, models, technicians=people)


class Office:
    """Asks for what an office and its technicians ask for, in the order in which a visitor shall see it."""

    def __init__(self, hub: Hub, telematics: Telematics) -> None:
        self._hub = hub
        self._connection = telematics.connection
        self._sim = telematics.simulator
        self._acts = Installations(hub.orders)
        self._clients = {one.id: one.name for one in telematics.fleet.clients}
        self._vehicles = {one.id: one for one in telematics.fleet.vehicles}

    async def run(self) -> None:
        """Begin with one of everything, then write a scheme now and then. Ends only by being cancelled."""
        try:
            await self._doubt()
            await self._write_scheme(WRITTEN[0])
            for vehicle in READ:
                await self._snapshot(vehicle)
            await asyncio.gather(
                self._finished(), self._serviced(), self._waiting(), self._running(), self._daily()
            )
        except AtalaiaError as error:  # the visitor may have taken away what this needs
            log.info("demo.office_stopped", said=str(error))

    async def _daily(self) -> None:
        vehicles = cycle((*WRITTEN[1:], WRITTEN[0]))
        for _ in range(ROUNDS_MAX):
            await asyncio.sleep(PAUSE_S)
            await self._write_scheme(next(vehicles))

    async def _doubt(self) -> None:
        """Cut the socket as a G-sensor command leaves: it is done, and nobody is told."""
        await self._sim.faults.start("mute-pushes", DEAF_S, vehicle_id=DOUBTFUL)
        await self._sim.faults.start("cut-after", times=1, action="execute_action_opr")
        await self._order("gsensor_command", DOUBTFUL, label="RIGHT", harness="DOWN")
        while self._sim.upstream.rules.has("cut-after", action="execute_action_opr"):
            await asyncio.sleep(LOOK_S)  # the next such frame would be somebody else's

    async def _write_scheme(self, vehicle: str) -> None:
        now, (one, other) = self._vehicles[vehicle].assigned_setting, SCHEMES[self._client(vehicle)]
        await self._order("scheme_builder", vehicle, vehicle_setting_id=other if now == one else one)

    async def _snapshot(self, vehicle: str) -> None:
        await self._order("vehicle_snapshot", vehicle, mode="full")

    async def _finished(self) -> None:
        """A unit is taken off: the portal alone does that, in seconds."""
        await self._begin(service="UNINSTALL", plate="TST3V80", serial="920002931", comment="Fim de contrato")

    async def _serviced(self) -> None:
        """A maintenance that ends without a check; its scheme is written, and verified a minute later."""
        root = await self._begin(
            service="MAINT_NO_SWAP", plate="TST2P41", serial="920002890", client_id="310273",
            technician_id="tech_03", comment="Troca do chicote",
        )  # fmt: skip
        while root and not await self._try(lambda tx: self._acts.complete(tx, root, by=OFFICE)):
            await asyncio.sleep(LOOK_S)

    async def _waiting(self) -> None:
        """A maintenance without swap, up to its CAN check: approving that is left to the visitor."""
        root = await self._begin(
            service="MAINT_NO_SWAP", plate="TST2M27", serial="920002861", client_id="310273",
            technician_id="tech_02", comment="Revisão do chicote",
        )  # fmt: skip
        while root and not await self._try(lambda tx: self._acts.start_can(tx, root, by=OFFICE)):
            await asyncio.sleep(LOOK_S)

    async def _running(self) -> None:
        """Put a unit into a vehicle and take it off again, over and over, so that one is always under way."""
        for _ in range(ROUNDS_MAX):
            if not await self._ends_well(await self._install()):
                return  # a fault of the panel came between: how to go on is the visitor's decision
            await asyncio.sleep(PAUSE_S)
            off = await self._begin(
                service="UNINSTALL", plate="TST3T66", serial="920003010", comment="Troca de frota"
            )
            if not await self._ends_well(off):
                return
            await asyncio.sleep(LOOK_S)

    async def _install(self) -> str:
        """A whole installation: record, scheme, CAN check, approval, G-sensor, saved record."""
        return await self._begin(
            service="INSTALL", plate="TST3T66", serial="920003010", client_id="310206", asset_type="7547",
            manufacturer="Iveco", model="Stralis-480-800S48TZ-M-6x4", label="RIGHT", harness="DOWN",
            technician_id="tech_01", year="2024", color="Branco", place="Painel",
            comment="Instalação nova",
        )  # fmt: skip

    async def _ends_well(self, root: str) -> bool:
        """Approve where that is asked, until it has ended; answer whether it is completed."""
        while True:
            await asyncio.sleep(LOOK_S)
            seen = await self._hub.store.read(lambda tx: queries.get(tx, root))
            if seen is None or seen.standing.ended:
                return seen is not None and seen.standing.word == COMPLETED
            if seen.standing.needs:
                await self._try(lambda tx: self._acts.approve(tx, root, by=OFFICE))

    # ---- how it asks ---------------------------------------------------------------------

    async def _order(self, kind: str, vehicle: str, **more: Any) -> None:
        client = self._client(vehicle)
        params = {"client_id": client, "client_name": self._clients[client], "vehicle_id": vehicle, **more}
        order = Order(f"traffilog.{kind}", self._connection, params, by=OFFICE)
        await self._hub.store.write(lambda tx: self._hub.orders.submit(tx, order))

    async def _begin(self, **given: Any) -> str:
        """Start an installation; answer its id."""
        form = Form.model_validate({"connection": self._connection, **given})

        def work(tx: Connection) -> str:
            start = start_of(form, Known.read(tx, form.client_id))
            return self._acts.start(tx, start, by=OFFICE).seen.installation.root

        return await self._hub.store.write(work)

    async def _try(self, act: Callable[[Connection], Done]) -> bool:
        """Do what may not be possible yet; answer whether it was."""
        try:
            await self._hub.store.write(act)
        except NotPossible:
            return False
        return True

    def _client(self, vehicle: str) -> str:
        return self._vehicles[vehicle].client_id
