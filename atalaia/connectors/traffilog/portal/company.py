"""Move a vehicle to another company, into that company's root group. Source: contract §10.3, §10.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from atalaia.connectors.traffilog.jobs.plans import refuse_read_only
from atalaia.connectors.traffilog.portal import effects, forms, lookups, plans, reading
from atalaia.connectors.traffilog.portal.client import Portal
from atalaia.connectors.traffilog.portal.effects import Reasons
from atalaia.connectors.traffilog.portal.known import known_locks, vehicle_lock
from atalaia.connectors.traffilog.portal.lookups import Vehicle
from atalaia.connectors.traffilog.portal.params import ChangeCompany, Install, locks_of
from atalaia.jobs.model import JobContext, JobFailed, JobKind

FAILED = "change_company_failed"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a vehicle shall be. asset_type: empty keeps the record's, which may be a placeholder's."""

    vehicle_id: str
    plate: str
    serial: str
    client_id: str
    client_name: str
    asset_type: str
    asset_name: str

    @classmethod
    def of(cls, params: Install | ChangeCompany, vehicle_id: str, serial: str) -> Self:
        """Answer it for a vehicle that was found."""
        name = f"{params.manufacturer} {params.model}".strip()
        return cls(
            vehicle_id, params.plate, serial, params.client_id, params.client_name, params.asset_type, name
        )


async def run(ctx: JobContext, params: ChangeCompany) -> Mapping[str, Any]:
    """Change the company; answer vehicle, companies and whether it was there. Errors: `JobFailed`."""
    refuse_read_only(ctx.settings)
    found = await reading.find_by_plate(ctx, params.plate, vehicle_id=params.vehicle_id)
    if found is None:
        said = f"The portal knows no vehicle {params.plate}."
        raise JobFailed("vehicle_id_not_found", said, plate=params.plate)
    vehicle = found.vehicle
    await ctx.lock(vehicle_lock(vehicle.id))
    group = await find_group(ctx, params.client_name)
    already = await move(ctx, Wanted.of(params, vehicle.id, vehicle.serial), group)
    return {
        "ok": True, "flow": "change_company", "plate": vehicle.plate, "vehicle_id": vehicle.id,
        "client_id_found": vehicle.client_id, "client_id": params.client_id, "already": already,
        "warnings": list(found.warnings),
    }  # fmt: skip


async def find_group(ctx: JobContext, client_name: str) -> str:
    """Answer the id of a company's root group. Errors: `JobFailed` when nothing shows it."""
    if not ctx.settings.root_group:
        said = "The settings name no production root group, under which the companies' groups are."
        raise JobFailed(FAILED, said, setting="root_group")

    async def ask(portal: Portal) -> str:
        rows = await lookups.believed(portal, lambda: lookups.groups(portal))
        return root_group(rows, client_name, ctx.settings.root_group)

    group = await reading.read(ctx, "company_group", ask, broke=FAILED)
    if not group:
        said = f"The portal shows no root group of the company {client_name}."
        raise JobFailed(FAILED, said, client_name=client_name)
    return group


async def move(ctx: JobContext, wanted: Wanted, group: str) -> bool:
    """Move a vehicle and see that it is there; answer whether it was before. Errors: `JobFailed`."""

    async def ask(portal: Portal) -> dict[str, str] | None:
        record = await lookups.record_of(portal, wanted.vehicle_id, plate=wanted.plate, serial=wanted.serial)
        return dict(record.row) if record else None

    row = await reading.read(ctx, "company_record", ask, broke=FAILED)
    if row is None:
        raise JobFailed(FAILED, f"The portal's search does not show vehicle {wanted.vehicle_id}.")
    vehicle = Vehicle(row)
    asset = asset_of(vehicle, wanted, group)
    answer = await effects.move(ctx, "change_company", vehicle, asset, Reasons(FAILED, FAILED, FAILED))
    return bool((answer or {}).get("already"))


def root_group(groups: list[dict[str, str]], client_name: str, parent: str) -> str:
    """Answer the id of the company's root group: its name, right under the production root; "" when none."""
    asked = client_name.strip().casefold()
    for group in groups:
        name = group.get("CLIENT_DESCR", "").strip().casefold()
        if name == asked and group.get("PARENT_OBJECT", "").strip() == parent:
            return group.get("GROUP_ID", "").strip()
    return ""


def asset_of(vehicle: Vehicle, wanted: Wanted, group: str) -> forms.Asset:
    """Answer the master record to write: what is wanted, the rest as the portal's search shows it."""
    row = vehicle.row
    own_name = f"{row.get('MANUFACTURER_DESCR', '')} {row.get('MODEL', '')}".strip()
    keeps = not wanted.asset_type
    return forms.Asset(
        vehicle.id, vehicle.plate or wanted.plate, wanted.client_id, group, vehicle.serial or wanted.serial,
        vehicle.asset_type if keeps else wanted.asset_type,
        own_name if keeps or not wanted.asset_name else wanted.asset_name,
        row.get("URL", ""), row.get("UNIT_TYPE", ""), row.get("FIRMWARE", ""),
    )  # fmt: skip


CHANGE_COMPANY = JobKind(
    "change_company", "Change the company of a vehicle", ChangeCompany, run,
    locks=locks_of, known_locks=known_locks, plan=plans.change_company, seconds_max=2 * 3600.0,
)  # fmt: skip
