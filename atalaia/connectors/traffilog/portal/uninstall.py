"""Take the unit off a vehicle and park it under a stock record, so that it is never without one.

DEACTIVATE, ORDER_SAVE, find, SAVE: after the first the unit is nowhere until the last is done. So a retry
goes on where the attempt before it failed: what it knew of the unit and what it changed is kept, and what
only looks done is proven before it counts. Source: contract §10.5, §15.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atalaia.connectors.traffilog.jobs.plans import refuse_read_only
from atalaia.connectors.traffilog.portal import chain, effects, forms, lookups, plans, reading
from atalaia.connectors.traffilog.portal.client import Portal
from atalaia.connectors.traffilog.portal.effects import Reasons, unit_of
from atalaia.connectors.traffilog.portal.known import known_locks, vehicle_lock
from atalaia.connectors.traffilog.portal.lookups import Vehicle, same_serial
from atalaia.connectors.traffilog.portal.params import Uninstall, locks_of
from atalaia.connectors.traffilog.portal.xml import Row
from atalaia.jobs.model import Effect, JobContext, JobFailed, JobKind, StepKind

TAKING_OFF = Reasons(
    "deactivate_action_error", "deactivate_exception", "uninstall_not_applied", "deactivate_session_expired"
)
ORDERING = Reasons("order_save_failed", "order_save_failed", "order_save_failed")
PARKING = Reasons("save_cmdt_failed", "save_cmdt_failed", "save_cmdt_failed")

ORDER_TRIES, ORDER_PAUSE_S = 5, 1.0  # the vehicle of an order shows up about a second later

# What the stock record takes over from the vehicle; the rest is the vehicle's own.
INHERITED = ("FIELD_IDS", "FIELD_VALUE", "ASSET_TYPE", "UNIT_TYPE_ID", "FIRMWARE_TYPE_ID", "GROUP_ID")


async def run(ctx: JobContext, params: Uninstall) -> Mapping[str, Any]:
    """Uninstall; answer as the original did, plus warnings. Errors: `JobFailed` with the contract's words."""
    refuse_read_only(ctx.settings)
    await ctx.progress(0, "Looking for the vehicle")
    found = await reading.find_by_plate(ctx, params.plate, vehicle_id=params.vehicle_id)
    if found is None:
        said = f"The portal knows no vehicle {params.plate}."
        raise JobFailed("vehicle_id_not_found", said, plate=params.plate)
    vehicle = found.vehicle
    await ctx.lock(vehicle_lock(vehicle.id))
    row = await reading.baseline(ctx, vehicle.id, missing="vehicle_id_not_found")
    held = unit_of(row)
    if held and params.serial and not same_serial(held, params.serial):
        said = f"The vehicle {vehicle.plate} carries the unit {held}, not {params.serial}."
        raise JobFailed("ERROR_PLATE_INVALID", said, vehicle_id=vehicle.id, serial=held)
    unit = await _unit(ctx, row, params)
    serial = str(unit["serial"])
    await ctx.progress(20, "Taking the unit off")
    await _take_off(ctx, vehicle, serial, params)
    result = {
        "ok": True, "flow": "uninstall", "plate": params.plate, "vehicle_id": vehicle.id,
        "serial_old": serial, "client_id": vehicle.client_id, "warnings": list(found.warnings),
    }  # fmt: skip
    with effects.half_way(f"Until it is parked, the unit {serial} is on no record."):
        parked = await _is_parked(ctx, serial) if serial else ""
        if not serial or not vehicle.client_id or parked:
            stock: dict[str, Any] = {"cmdt_skip": True, "new_vehicle_id": parked, "order_id": ""}
        else:
            stock = await _park(ctx, vehicle, unit, params)
    return await chain.go_on(ctx, params.chain, vehicle, {**result, **stock}, comment=params.comment)


async def _unit(ctx: JobContext, row: Row, params: Uninstall) -> dict[str, Any]:
    """Write down what the stock record will need, before it is gone from the vehicle.

    Shape: {"serial": digits or "", "inherited": {field: value}}. It sends nothing; it is declared unsafe
    because a retry keeps the answers of those steps: the portal could not tell it a second time.
    """

    async def work(_: Effect) -> dict[str, Any]:
        inherited = {name: row[name] for name in INHERITED if name in row}
        return {"serial": lookups.normal_serial(unit_of(row) or params.serial), "inherited": inherited}

    return await ctx.step("unit", StepKind.UNSAFE, work)


async def _take_off(ctx: JobContext, vehicle: Vehicle, serial: str, params: Uninstall) -> None:
    await effects.deactivate(
        ctx, "deactivate", vehicle, serial, by=params.installed_by, comment=params.comment, reasons=TAKING_OFF
    )


async def _is_parked(ctx: JobContext, serial: str) -> str:
    """Answer the record that holds the unit already, after somebody parked it by hand; "" for none."""

    async def ask(portal: Portal) -> str:
        records = await lookups.by_serial(portal, serial)
        return next((one.id for one in records if one.carries(serial)), "")

    return await reading.read(ctx, "parked_check", ask, broke="order_save_failed")


async def _park(
    ctx: JobContext, vehicle: Vehicle, unit: Mapping[str, Any], params: Uninstall
) -> dict[str, Any]:
    """Order a stock vehicle, find it, and put the unit on it under the plate CMDT."""
    await ctx.progress(50, "Ordering the stock record")
    known = await _known(ctx, vehicle)
    order_id = await effects.order(ctx, "order", vehicle, known, reasons=ORDERING)
    await ctx.progress(70, "Looking for the stock record")
    new_id = await _find(ctx, vehicle, known, order_id)
    await ctx.progress(85, "Parking the unit")
    serial: str = unit["serial"]
    inherited: Row = unit["inherited"]
    wanted = forms.Activation(
        new_id, forms.PARKED, serial, inherited.get("ASSET_TYPE", ""), vehicle.client_id, "",
        params.installed_by, comment=params.comment, unit_type_id=inherited.get("UNIT_TYPE_ID") or "1",
        firmware_type_id=inherited.get("FIRMWARE_TYPE_ID") or "2",
    )  # fmt: skip
    await effects.save(ctx, "save_cmdt", wanted, inherited, reasons=PARKING)
    return {"cmdt_skip": False, "new_vehicle_id": new_id, "order_id": order_id}


async def _known(ctx: JobContext, vehicle: Vehicle) -> list[str]:
    """Answer the company's vehicles before the order."""

    async def ask(portal: Portal) -> list[str]:
        return [one.id for one in await lookups.of_client(portal, vehicle.client_id, vehicle.client_name)]

    return await reading.read(ctx, "vehicles_before", ask, broke="order_save_failed")


async def _find(ctx: JobContext, vehicle: Vehicle, known: list[str], order_id: str) -> str:
    """Answer the id of the vehicle that came with the order. Errors: `JobFailed`."""

    async def ask(portal: Portal) -> str:
        found: list[Vehicle] = []
        for turn in range(ORDER_TRIES):
            await portal.clock.sleep(ORDER_PAUSE_S if turn else 0)
            if turn == ORDER_TRIES - 1 and not portal.fresh:
                await portal.renew()
            found = await effects.ordered(portal, vehicle, known, order_id)
            if len(found) == 1 and found[0].id:
                return found[0].id
        ids = ", ".join(one.id for one in found)
        said = (
            f"Several stock vehicles came with the order {order_id or '(without a number)'}: {ids}."
            if found
            else f"The stock vehicle of the order {order_id or '(without a number)'} does not show up."
        )
        raise JobFailed("new_vehicle_id_not_found", said, order_id=order_id, vehicles=ids)

    return await reading.read(ctx, "find_ordered", ask, broke="new_vehicle_id_not_found")


UNINSTALL = JobKind(
    "uninstall", "Uninstall a unit", Uninstall, run,
    locks=locks_of, known_locks=known_locks, plan=plans.uninstall, seconds_max=2 * 3600.0,
)  # fmt: skip
