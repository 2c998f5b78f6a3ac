"""Facts of a small fleet, folded at once: what pages and API of vehicles show."""

from __future__ import annotations

from typing import Any

from atalaia.clock import to_ms
from atalaia.desk.vehicles.fold import Vehicles
from atalaia.events.log import append_facts, read_after
from atalaia.events.model import Fact
from tests.web.site import Site

VEHICLE, SERIAL, PROCESS = "2900108", "920000797", "10422606"
HEADER = {
    "vehicle_id": VEHICLE, "license_nmbr": "ABC1D23", "inner_id": f"0000000{SERIAL}", "client_id": "310042",
    "vcl_client_description": "Transportes Aurora", "unit_type": "SPETROTEC", "ignition": "1",
    "mileage": "243394.90", "configuration_key_db": "6a1c5000", "configuration_key_unit": "00000000",
}  # fmt: skip


def parameter(name: str, value: Any, unit: str, seen_ms: int, **more: Any) -> dict[str, Any]:
    """Answer one parameter as a merged snapshot tells it."""
    return {"name": name, "raw": "00003039", "value": value, "unit": unit, "seen_ms": seen_ms, **more}


def snapshot(at_ms: int, *, battery: float = 27.4, can0: bool = True, **more: Any) -> Fact:
    """Answer a merged snapshot with two parameters, one of them under two ids, and three modules."""
    data = {
        "header": HEADER,
        "parameters": {
            "00002712": parameter("Battery", battery, "V", at_ms),
            "00002717": parameter("Fuel level", 61, "%", at_ms),
            "00000032": parameter("Fuel level", 60, "%", at_ms, preferred=False),
        },
        "modules": {
            "CAN/CAN0": {"active": True, "ok": can0, "was_ok": True, "error_descr": ""},
            "CAN/CAN1": {
                "active": True,
                "ok": False,
                "was_ok": False,
                "error_descr": "CAN_NO_ACTIVE_ERROR_CODE",
            },
            "GPS/GPS": {"active": False, "ok": False, "was_ok": False},
        },
        "modules_complete": False,
        "missing": ["oil_temperature"],
        **more,
    }
    return Fact("vehicle.snapshot_merged", VEHICLE, at_ms, data)


def running(at_ms: int, **more: Any) -> Fact:
    """Answer a Scheme Builder under way."""
    data = {
        "vehicle_id": VEHICLE, "kind": "scheme_builder", "acknowledged": 78, "total": 460, "percent": 16.96,
        "last_command": "(o2w,24,1502FEFB0F06)", **more,
    }  # fmt: skip
    return Fact("process.progressed", PROCESS, at_ms, data)


async def learn(site: Site, connection: str, *facts: Fact) -> None:
    """State facts and fold them."""

    def write(tx: Any) -> None:
        appended = append_facts(tx, site.parts.ambient, "test", list(facts), connection=connection)
        first = min(one.seq for one in appended)
        fold = Vehicles()
        fold.apply(tx, [event for event in read_after(tx, first - 1, limit=500) if event.type in fold.types])

    await site.parts.store.write(write)


def now_ms(site: Site) -> int:
    """Answer the site's time."""
    return to_ms(site.parts.ambient.clock.now())
