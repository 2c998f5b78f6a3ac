"""A plausible yesterday of the demo's vehicles: snapshots twice an hour, and Scheme Builders that ended."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from atalaia.events.model import Fact
from simulators.traffilog import Unit, Vehicle
from simulators.traffilog import World as Fleet

MINUTE_MS = 60_000
EVERY_MIN, HOURS = 30, 24
# Of the unit itself, as its registry names them.
MODULES = (
    "GPS/other", "BLACKBOX/BLACKBOX_MODULE", "COLLISION/COLLISION", "GSENSOR/GSENSOR_3D_WITH_FIFO",
    "KEYPAD/KEYPAD_RAMZOR", "MODEM/MODEM_QUECTEL_BG600L_MODULE", "POWER_SYSTEM/BATTERY_CHARGER",
)  # fmt: skip
FIRST_PROCESS = 10_421_800


def fleet_history(fleet: Fleet, now_ms: int) -> Iterator[Fact]:
    """Answer the facts of the last 24 hours of every vehicle with a unit, in order of time per vehicle."""
    names = {one.id: one.name for one in fleet.clients}
    units = {one.serial: one for one in fleet.units}
    for place, vehicle in enumerate(fleet.vehicles):
        unit = units.get(vehicle.serial)
        if unit is None or not vehicle.assigned_setting:
            continue
        for ago in range(HOURS * 60 - place, 2, -EVERY_MIN):
            yield _snapshot(vehicle, unit, names[vehicle.client_id], now_ms - ago * MINUTE_MS, ago, place)
        yield _ended(place, vehicle, now_ms - (20 + 47 * place) * MINUTE_MS)


def _snapshot(vehicle: Vehicle, unit: Unit, client: str, at_ms: int, ago: int, place: int) -> Fact:
    wave = math.sin((ago + 17 * place) / 90)
    speed = max(0, round(55 * wave)) if unit.online else 0
    values: dict[str, tuple[str, Any, str]] = {
        "00002710": ("Sys Param Ignition", int(speed > 0), ""),
        "00002712": ("Sys Param Battery Voltage", round(27.1 + 0.6 * wave, 2), "V"),
        "00002713": ("Sys Param Speed", speed, "km/h"),
        "00002714": ("Sys Param Vehicle Distance", round(unit.mileage_km - ago / 3, 1), "km"),
        "00002715": ("Sys Param RPM", 620 + 18 * speed, "RPM"),
        "00002717": ("Sys Param Fuel Level", round(30 + (ago % 700) / 12, 1), "%"),
        "00002718": ("Sys Param Fuel Rate", round(1.2 + speed / 6, 2), "L/h"),
        "00002719": ("Sys Param Total Fuel Used", 65_565 - ago // 5, "L"),
        "0000271F": ("Sys Param Coolant Temp", 70 + speed // 3, "°C"),
        "00002723": ("Sys Param Oil Pressure", round(1.9 + speed / 40, 2), "bar"),
    }
    parameters = {
        one: {
            "id": one, "name": name, "raw": "", "value": value, "unit": measure, "source": "FF",
            "seen_ms": at_ms, "preferred": True,
        }
        for one, (name, value, measure) in values.items()
    }  # fmt: skip
    header = {
        "vehicle_id": vehicle.id, "license_nmbr": vehicle.plate, "inner_id": vehicle.serial,
        "client_id": vehicle.client_id, "vcl_client_description": client, "unit_type": "SPETROTEC",
        "unit_version": unit.version, "ignition": str(int(speed > 0)), "driver_code": unit.driver_code,
        "mileage": f"{unit.mileage_km - ago / 3:.2f}", "configuration_key_db": vehicle.key_db,
        "configuration_key_unit": unit.key,
    }  # fmt: skip
    buses = zip(("CAN/CAN0", "CAN/CAN1", "J1708/J1708"), unit.buses, strict=True)
    modules = {name: _module(name, at_ms, ok=ok) for name, ok in (*buses, *((one, True) for one in MODULES))}
    told: dict[str, Any] = {
        "vehicle_id": vehicle.id, "client_id": vehicle.client_id, "plate": vehicle.plate, "header": header,
        "parameters": parameters, "ages": {"header": at_ms, "modules": at_ms}, "modules": modules,
        "modules_complete": True, "missing": [], "complete": True, "job": "", "history": True,
    }  # fmt: skip
    return Fact("vehicle.snapshot_merged", vehicle.id, at_ms, told)


def _module(name: str, at_ms: int, *, ok: bool) -> dict[str, Any]:
    module, _, sub = name.partition("/")
    told = {"active": ok, "ok": ok, "was_ok": ok, "error": False, "error_descr": ""}
    return {"module": module, "sub": sub, "seen_ms": at_ms, **told}


def _ended(place: int, vehicle: Vehicle, at_ms: int) -> Fact:
    told = {
        "vehicle_id": vehicle.id, "kind": "scheme_builder", "job": "", "percent": 100.0, "acknowledged": 459,
        "total": 460, "outcome": "confirmed", "configuration_key": vehicle.key_db, "history": True,
    }  # fmt: skip
    return Fact("process.confirmed", str(FIRST_PROCESS + 7 * place), at_ms, told)
