"""The steps that only read: which vehicle is meant, may the unit be used, what is recorded, is it applied."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from atalaia.connectors.traffilog.portal import lookups
from atalaia.connectors.traffilog.portal.checks import Standing, judge
from atalaia.connectors.traffilog.portal.client import Portal, portal_of
from atalaia.connectors.traffilog.portal.lookups import Found, Unsure, Vehicle
from atalaia.connectors.traffilog.portal.xml import Row
from atalaia.desk.words import N_
from atalaia.errors import Rejected, Unreadable
from atalaia.jobs.model import Effect, JobContext, JobFailed, StepKind

T = TypeVar("T")

OFFERED_MAX = 8
CHOOSE_WITHIN_S = 12 * 3600.0
NONE_OF_THEM = "none"
WHICH = N_("Which vehicle is meant? None of those that the portal found is surely the one.")
PLATE = "plate"


@dataclass(frozen=True, slots=True)
class Resolved:
    """The vehicle that is meant. by: `plate` or `serial`; how: `exact`, `substring`, `person`, `serial`."""

    vehicle: Vehicle
    by: str
    how: str
    warnings: tuple[str, ...] = ()


async def read(ctx: JobContext, name: str, ask: Callable[[Portal], Awaitable[T]], *, broke: str) -> T:
    """Run a step that asks the portal; a portal that is away is waited for by the engine.

    Errors: `JobFailed` under `broke` when the portal's answer cannot be used; `Refused`.
    """

    async def work(_: Effect) -> T:
        async with portal_of(ctx) as portal:
            return await ask(portal)

    try:
        return await ctx.step(name, StepKind.READ, work)
    except (Rejected, Unreadable) as error:
        raise JobFailed(broke, str(error)) from error


async def find_by_plate(
    ctx: JobContext, plate: str, name: str = "resolve", *, vehicle_id: str = ""
) -> Resolved | None:
    """Find a vehicle by its plate; a person chooses where the portal's rows leave it open. None: not there.

    vehicle_id: the one it must be, when whoever asks knows it.

    Errors: `JobFailed` with `missing_plate`, `vehicle_id_not_found`, `vhcls_no_vehicle_id`.
    """
    if not lookups.normal_plate(plate):
        raise JobFailed("missing_plate", "No plate was given.")

    async def ask(portal: Portal) -> dict[str, Any]:
        match await lookups.by_plate(portal, plate):
            case Found(vehicle, how, duplicates):
                return {"rows": [dict(vehicle.row)], "how": how, "duplicates": list(duplicates)}
            case Unsure(vehicles):
                return {
                    "rows": [dict(one.row) for one in vehicles[:OFFERED_MAX]],
                    "how": "",
                    "duplicates": [],
                }
            case _:
                return {"rows": [], "how": "", "duplicates": []}

    answer = await read(ctx, name, ask, broke="vehicle_id_not_found")
    vehicles = [Vehicle(row) for row in answer["rows"]]
    if not vehicles:
        return None
    how = str(answer["how"])
    vehicle = vehicles[0] if how else await _let_choose(ctx, name, plate, vehicles)
    if not vehicle.id:
        said = f"The portal's row for {plate} has no vehicle id."
        raise JobFailed("vhcls_no_vehicle_id", said, row=dict(vehicle.row))
    if vehicle_id and vehicle.id != vehicle_id:
        said = f"The plate {plate} is vehicle {vehicle.id} in the portal, not {vehicle_id}."
        raise JobFailed("vehicle_id_not_found", said, plate=plate, vehicle_id=vehicle.id)
    return Resolved(vehicle, PLATE, how or "person", _warnings(vehicle, answer["duplicates"]))


async def check_serial(
    ctx: JobContext, serial: str, own_id: str, name: str = "serial_check"
) -> list[Vehicle]:
    """Answer the stock records that must be deactivated first, after a look that believes nothing stale.

    Errors: `JobFailed` with `SERIAL_NOT_REGISTERED` or `serial_in_use`: before anything is written.
    """

    async def ask(portal: Portal) -> dict[str, Any]:
        records = await lookups.by_serial(portal, serial)
        judged = judge(records, serial, own_id)
        return {"standing": judged.standing.value, "rows": [dict(one.row) for one in judged.blocking]}

    answer = await read(ctx, name, ask, broke="unexpected_error")
    blocking = [Vehicle(row) for row in answer["rows"]]
    if answer["standing"] == Standing.UNKNOWN:
        said = f"The unit {serial} is not registered. A supervisor has to register and test it first."
        raise JobFailed("SERIAL_NOT_REGISTERED", said, serial=serial)
    if answer["standing"] == Standing.IN_USE:
        first = blocking[0]
        said = f"The unit {serial} is in use by {first.plate} (vehicle {first.id})."
        raise JobFailed("serial_in_use", said, serial=serial, vehicle_id=first.id, plate=first.plate)
    return blocking


async def baseline(ctx: JobContext, vehicle_id: str, *, missing: str, name: str = "baseline") -> Row:
    """Answer a vehicle's activation data. Errors: `JobFailed` under `missing` when there is none."""

    async def ask(portal: Portal) -> Row:
        row = await lookups.activation_of(portal, vehicle_id)
        if row is None:
            raise JobFailed(missing, f"The portal shows no vehicle {vehicle_id}.", vehicle_id=vehicle_id)
        return row

    return await read(ctx, name, ask, broke=missing)


async def _let_choose(ctx: JobContext, name: str, plate: str, vehicles: list[Vehicle]) -> Vehicle:
    shown = {"plate": plate, "vehicles": [one.told() for one in vehicles]}
    choices = [*(one.id for one in vehicles if one.id), NONE_OF_THEM]
    decision = await ctx.ask(f"{name}:which", WHICH, choices, shown=shown, within_s=CHOOSE_WITHIN_S)
    chosen = decision.choice if decision else NONE_OF_THEM
    for vehicle in vehicles:
        if vehicle.id == chosen:
            return vehicle
    who = "Nobody chose a vehicle in time." if decision is None else "None of the vehicles is the one."
    raise JobFailed("vehicle_id_not_found", f"{who} Asked for: {plate}.", plate=plate)


def _warnings(vehicle: Vehicle, duplicates: list[str]) -> tuple[str, ...]:
    if not duplicates:
        return ()
    others = ", ".join(duplicates)
    return (
        f"The plate {vehicle.plate} is recorded more than once: {vehicle.id} is used, {others} are newer.",
    )
