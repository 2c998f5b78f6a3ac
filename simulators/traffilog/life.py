"""The demo's daily life: vehicles drive and stand, units tell values by themselves, some go away."""

from __future__ import annotations

from math import cos, radians, sin
from typing import TYPE_CHECKING

from simulators.traffilog import reports
from simulators.traffilog.models import Unit

if TYPE_CHECKING:
    from simulators.traffilog.upstream import Upstream

STEP_S = 20.0
AWAY_S = (120.0, 600.0)


class Life:
    """Moves every unit that carries a vehicle; one of them is away now and then."""

    def __init__(self, up: Upstream) -> None:
        self.up = up
        self.away: dict[str, float] = {}  # serial -> when it comes back

    async def run(self) -> None:
        while True:
            await self.up.clock.sleep(STEP_S)
            for unit in list(self.up.units.values()):
                self._step(unit)

    def _step(self, unit: Unit) -> None:
        up = self.up
        vehicle = up.vehicle_of(unit.serial)
        if vehicle is None or vehicle.status or unit.serial in up.played:
            return  # a running Scheme Builder is enough for a unit
        now = up.clock.monotonic()
        if not unit.online:
            if self.away.get(unit.serial, now + 1) <= now:
                del self.away[unit.serial]
                reports.connected(up, unit, True)
            return
        if up.random.random() < 0.001:
            self.away[unit.serial] = now + up.draw(AWAY_S)
            reports.connected(up, unit, False)
            return
        self._drive(unit)
        if unit.ignition:
            self._tell(unit, vehicle.id)

    def _drive(self, unit: Unit) -> None:
        """Move a unit on by one step; speeds in km/h, positions in degrees."""
        chance = self.up.random
        if chance.random() < 0.02:
            unit.ignition = not unit.ignition
        if not unit.ignition:
            unit.speed = 0
            return
        unit.speed = max(0, min(100, unit.speed + chance.randint(-12, 14)))
        unit.heading = (unit.heading + chance.randint(-15, 15)) % 360
        way_km = unit.speed * STEP_S / 3600
        unit.latitude = round(unit.latitude + way_km / 111 * cos(radians(unit.heading)), 6)
        unit.longitude = round(unit.longitude + way_km / 105 * sin(radians(unit.heading)), 6)
        unit.way_km += way_km
        unit.fuel_l = round(unit.fuel_l + way_km * 0.32, 2)

    def _tell(self, unit: Unit, vehicle_id: str) -> None:
        names = ["00002713", "00002714", "00002715", "00002717", "00000118", "00000119"]
        names += self.up.random.sample(unit.parameters, 6)
        reports.tell_parameters(self.up, unit, list(dict.fromkeys(names)))
