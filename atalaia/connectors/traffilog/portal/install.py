"""Put a unit on a vehicle: find it, check the unit, save, prove, move to the company. Source: contract §10.5.

Nothing is written before both are known: the vehicle, by its plate or, when a fresh session does not know the
plate, by the unit's stock record; and the unit, which has to be registered and on nobody else's vehicle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atalaia.connectors.traffilog.jobs.plans import refuse_read_only
from atalaia.connectors.traffilog.portal import chain, company, effects, plans, reading
from atalaia.connectors.traffilog.portal.checks import is_parked
from atalaia.connectors.traffilog.portal.effects import Reasons, unit_of
from atalaia.connectors.traffilog.portal.forms import Activation
from atalaia.connectors.traffilog.portal.known import known_locks, vehicle_lock
from atalaia.connectors.traffilog.portal.lookups import Vehicle, by_serial, same_serial
from atalaia.connectors.traffilog.portal.params import Install, locks_of
from atalaia.connectors.traffilog.portal.reading import Resolved
from atalaia.jobs.model import JobContext, JobFailed, JobKind

SAVING = Reasons("mws_save_action_error", "mws_save_exception", "mws_save_not_applied")
FREEING = Reasons("mws_deactivate_action_error", "mws_deactivate_error", "mws_deactivate_error")


async def run(ctx: JobContext, params: Install) -> Mapping[str, Any]:
    """Install; answer as the original did, plus warnings. Errors: `JobFailed` with the contract's words."""
    refuse_read_only(ctx.settings)
    await ctx.progress(0, "Looking for the vehicle")
    found = await reading.find_by_plate(ctx, params.plate, vehicle_id=params.vehicle_id)
    if found is None:
        found = await _by_unit(ctx, params)
    vehicle = found.vehicle
    await ctx.lock(vehicle_lock(vehicle.id))
    stock = await reading.check_serial(ctx, params.serial, vehicle.id)
    await ctx.lock(*(vehicle_lock(record.id) for record in stock))
    row = await reading.baseline(ctx, vehicle.id, missing="vehicle_id_not_found")
    if unit_of(row) and not same_serial(unit_of(row), params.serial):
        said = (
            f"The vehicle {params.plate} carries another unit ({unit_of(row)}): swap or uninstall it first."
        )
        raise JobFailed("ERROR_PLATE_INVALID", said, vehicle_id=vehicle.id, serial=unit_of(row))
    skip_sb = _has_scheme(row, params)
    chain.need_scheme(params.chain, params.vehicle_setting_id, skip_sb=skip_sb)
    moves = vehicle.client_id != params.client_id
    group = await company.find_group(ctx, params.client_name) if moves else ""
    await ctx.progress(30, "Freeing the unit")
    await free_unit(ctx, stock, params.serial, params.installed_by)
    await ctx.progress(50, "Saving the activation")
    wanted = Activation(
        vehicle.id, params.plate, params.serial, params.asset_type, params.client_id, "",
        params.installed_by, params.place, params.comment,
    )  # fmt: skip
    await effects.save(ctx, "save", wanted, row, reasons=SAVING)
    if moves:
        await ctx.progress(80, "Moving the vehicle to its company")
        await company.move(ctx, company.Wanted.of(params, vehicle.id, params.serial), group)
    return await chain.go_on(
        ctx, params.chain, vehicle, _result(params, found, skip_sb),
        client_id=params.client_id, client_name=params.client_name, comment=params.comment,
    )  # fmt: skip


async def free_unit(ctx: JobContext, stock: list[Vehicle], serial: str, by: str) -> None:
    """Take the unit off the stock records that hold it."""
    for record in stock:
        step = f"free:{record.id}"
        comment = f"auto-deactivate {serial}"
        await effects.deactivate(ctx, step, record, serial, by=by, comment=comment, reasons=FREEING)


async def _by_unit(ctx: JobContext, params: Install) -> Resolved:
    """Answer the unit's own stock record, which becomes the vehicle's: the plate is surely not there."""

    async def ask(portal: Any) -> list[dict[str, str]]:
        return [dict(one.row) for one in await by_serial(portal, params.serial)]

    records = [
        Vehicle(row) for row in await reading.read(ctx, "resolve_unit", ask, broke="vehicle_id_not_found")
    ]
    if not records:
        said = f"The unit {params.serial} is not registered. A supervisor has to register and test it first."
        raise JobFailed("SERIAL_NOT_REGISTERED", said, serial=params.serial)
    usable = [one for one in records if is_parked(one, params.serial) and one.id]
    if not usable:
        first = records[0]
        said = f"The unit {params.serial} is in use by {first.plate} (vehicle {first.id})."
        raise JobFailed("serial_in_use", said, serial=params.serial, vehicle_id=first.id, plate=first.plate)
    if params.vehicle_id and params.vehicle_id not in {one.id for one in usable}:
        said = (
            f"The portal knows no vehicle {params.plate}, and {params.vehicle_id} is not the unit's record."
        )
        raise JobFailed("vehicle_id_not_found", said, plate=params.plate, vehicle_id=params.vehicle_id)
    usable.sort(
        key=lambda one: (one.id != params.vehicle_id, not one.carries(params.serial))
    )  # the one asked for, the one that holds it, else the oldest
    return Resolved(usable[0], "serial", "serial")


def _has_scheme(row: Mapping[str, str], params: Install) -> bool:
    """Answer whether the vehicle has the scheme assigned already, for the same model."""
    assigned = row.get("ASSIGNED_VEHICLE_SETTING_ID", "")
    same = bool(params.vehicle_setting_id) and assigned == params.vehicle_setting_id
    return same and row.get("ASSET_TYPE") == params.asset_type


def _result(params: Install, found: Resolved, skip_sb: bool) -> dict[str, Any]:
    return {
        "ok": True, "flow": "install", "resolved_by": found.by, "matched": found.how,
        "plate": params.plate, "vehicle_id": found.vehicle.id, "serial": params.serial, "dial": params.serial,
        "vehicle_setting_id": params.vehicle_setting_id, "client_id": params.client_id,
        "client_id_found": found.vehicle.client_id, "skip_sb": skip_sb, "warnings": list(found.warnings),
    }  # fmt: skip


INSTALL = JobKind(
    "install", "Install a unit", Install, run,
    locks=locks_of, known_locks=known_locks, plan=plans.install, seconds_max=2 * 3600.0,
)  # fmt: skip
