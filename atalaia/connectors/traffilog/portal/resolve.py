"""Find a vehicle without changing anything: by plate, by the serial of its unit, or by both in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atalaia.connectors.traffilog.portal import lookups, plans, reading
from atalaia.connectors.traffilog.portal.checks import judge
from atalaia.connectors.traffilog.portal.client import Portal
from atalaia.connectors.traffilog.portal.lookups import Vehicle
from atalaia.connectors.traffilog.portal.params import Resolve
from atalaia.jobs.model import JobContext, JobFailed, JobKind


async def run(ctx: JobContext, params: Resolve) -> Mapping[str, Any]:
    """Answer the vehicle and how it was found; `standing` says what the portal knows of the serial.

    Errors: `JobFailed` with `missing_plate`, `vehicle_id_not_found`.
    """
    if not params.plate and not params.serial:
        raise JobFailed("missing_plate", "Neither a plate nor a serial was given.")
    found = await reading.find_by_plate(ctx, params.plate) if params.plate else None
    records = await _records(ctx, params.serial) if params.serial else []
    judged = judge(records, params.serial, found.vehicle.id if found else "") if params.serial else None
    standing = judged.standing.value if judged else ""
    if found is not None:
        vehicle, by, how, warnings = found.vehicle, found.by, found.how, found.warnings
    elif records:
        vehicle, by, how, warnings = records[0], "serial", "serial", ()
    else:
        asked = params.plate or params.serial
        raise JobFailed("vehicle_id_not_found", f"The portal knows no vehicle {asked}.", standing=standing)
    return {
        "ok": True, "flow": "vehicle_resolve", **vehicle.told(), "plate": params.plate, "resolved_by": by,
        "matched": how, "standing": standing, "warnings": list(warnings), "row": dict(vehicle.row),
    }  # fmt: skip


async def _records(ctx: JobContext, serial: str) -> list[Vehicle]:
    async def ask(portal: Portal) -> list[dict[str, str]]:
        return [dict(one.row) for one in await lookups.by_serial(portal, serial)]

    rows = await reading.read(ctx, "resolve_unit", ask, broke="vehicle_id_not_found")
    return [Vehicle(row) for row in rows]


VEHICLE_RESOLVE = JobKind(
    "vehicle_resolve",
    "Find a vehicle in the portal",
    Resolve,
    run,
    plan=plans.resolve,
    seconds_max=24 * 3600.0,
)
