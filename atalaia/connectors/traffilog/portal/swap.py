"""Maintenance: replace a vehicle's unit, or only find the vehicle whose unit stays. Contract §10.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atalaia.connectors.traffilog.jobs.plans import refuse_read_only
from atalaia.connectors.traffilog.portal import chain, effects, plans, reading
from atalaia.connectors.traffilog.portal.effects import Reasons, unit_of
from atalaia.connectors.traffilog.portal.forms import Activation
from atalaia.connectors.traffilog.portal.install import SAVING, free_unit
from atalaia.connectors.traffilog.portal.known import known_locks, vehicle_lock
from atalaia.connectors.traffilog.portal.lookups import Vehicle, same_serial
from atalaia.connectors.traffilog.portal.params import NoSwap, Swap, locks_of
from atalaia.connectors.traffilog.portal.reading import Resolved
from atalaia.connectors.traffilog.portal.xml import Row
from atalaia.jobs.model import JobContext, JobFailed, JobKind

TAKING_OFF = Reasons("mws_deactivate_action_error", "mws_deactivate_error", "mws_swap_error")


async def run_swap(ctx: JobContext, params: Swap) -> Mapping[str, Any]:
    """Swap the unit; answer as the original did, plus warnings. Errors: `JobFailed`."""
    refuse_read_only(ctx.settings)
    await ctx.progress(0, "Looking for the vehicle")
    found = await _find(ctx, params)
    vehicle = found.vehicle
    await ctx.lock(vehicle_lock(vehicle.id))
    stock = await reading.check_serial(ctx, params.serial_new, vehicle.id)
    await ctx.lock(*(vehicle_lock(record.id) for record in stock))
    before = await reading.baseline(ctx, vehicle.id, missing="vehicle_id_not_found")
    old = unit_of(before)
    assigned = before.get("ASSIGNED_VEHICLE_SETTING_ID", "")
    scheme = params.vehicle_setting_id or (assigned if assigned.isdigit() else "")
    chain.need_scheme(params.chain, scheme, skip_sb=False)
    await ctx.progress(25, "Freeing the new unit")
    await free_unit(ctx, stock, params.serial_new, params.installed_by)
    if old and not same_serial(old, params.serial_new):
        await ctx.progress(40, "Taking the old unit off")
        await _take_off(ctx, vehicle, old, params)
    with effects.half_way(f"Until the new unit is saved, the vehicle {vehicle.plate} carries none."):
        row = await reading.baseline(ctx, vehicle.id, missing="mws_swap_error", name="baseline_after")
        await ctx.progress(60, "Saving the new unit")
        merged = {**before, **{name: value for name, value in row.items() if value}}
        await effects.save(ctx, "save", _wanted(vehicle, before, params), merged, reasons=SAVING)
    result = {
        "ok": True, "flow": "maint_with_swap", "service": "MAINT_WITH_SWAP", "vehicle_id": vehicle.id,
        "plate": vehicle.plate, "serial_old": old, "serial_new": params.serial_new, "dial": params.serial_new,
        "client_id": vehicle.client_id, "vehicle_setting_id": scheme, "skip_sb": False,
        "warnings": list(found.warnings), "meta": vehicle.told(),
    }  # fmt: skip
    return await chain.go_on(ctx, params.chain, vehicle, result, comment=params.comment)


async def run_no_swap(ctx: JobContext, params: NoSwap) -> Mapping[str, Any]:
    """Find the vehicle; what follows is the technician's choice. Errors: `JobFailed`."""
    found = await _find(ctx, params)
    return {
        "ok": True, "flow": "maint_no_swap", "service": "MAINT_NO_SWAP", "vehicle_id": found.vehicle.id,
        "monitor_skip": 1, "warnings": list(found.warnings), "meta": found.vehicle.told(),
    }  # fmt: skip


async def _find(ctx: JobContext, params: Swap | NoSwap) -> Resolved:
    found = await reading.find_by_plate(ctx, params.plate, vehicle_id=params.vehicle_id)
    if found is None:
        said = f"The portal knows no vehicle {params.plate}."
        raise JobFailed("vehicle_id_not_found", said, plate=params.plate)
    return found


async def _take_off(ctx: JobContext, vehicle: Vehicle, old: str, params: Swap) -> None:
    await effects.deactivate(
        ctx, "deactivate", vehicle, old, by=params.installed_by, comment=params.comment, reasons=TAKING_OFF
    )


def _wanted(vehicle: Vehicle, before: Row, params: Swap) -> Activation:
    return Activation(
        vehicle.id, vehicle.plate, params.serial_new, before.get("ASSET_TYPE") or vehicle.asset_type,
        vehicle.client_id, "", params.installed_by, params.place, params.comment,
    )  # fmt: skip


SWAP = JobKind(
    "maint_with_swap", "Swap a unit", Swap, run_swap,
    locks=locks_of, known_locks=known_locks, plan=plans.swap, seconds_max=2 * 3600.0,
)  # fmt: skip
NO_SWAP = JobKind(
    "maint_no_swap", "Service a vehicle without swapping its unit", NoSwap, run_no_swap,
    locks=locks_of, known_locks=known_locks, plan=plans.no_swap, seconds_max=24 * 3600.0,
)  # fmt: skip
