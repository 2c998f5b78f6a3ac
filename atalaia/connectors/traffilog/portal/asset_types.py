"""Which models are in use: the portal's catalog, cut down to what its vehicles are. Source: contract §13."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atalaia.clock import rfc3339, to_ms
from atalaia.connectors.traffilog.portal import forms, lookups, plans, reading, xml
from atalaia.connectors.traffilog.portal.client import Portal
from atalaia.connectors.traffilog.portal.lookups import Vehicle
from atalaia.connectors.traffilog.portal.params import SyncAssetTypes
from atalaia.errors import Unreadable
from atalaia.jobs.model import JobContext, JobKind


async def run(ctx: JobContext, params: SyncAssetTypes) -> Mapping[str, Any]:
    """Answer both lists in the form of the catalog files: models in use, and models by company.

    Shape: {"ok", "generated_at", "total_matched", "total_vhcls_ids", "total_catalog", "asset_types": [{"id",
    "manufacturer", "model", "sub_model"}], "by_client": {client_id: [id]}, "total_clients", "total_vehicles"}
    Errors: `JobFailed` when the portal's lists cannot be used, also when one of them is empty.
    """

    async def ask(portal: Portal) -> dict[str, Any]:
        within_s = portal.settings.asset_types_within_s

        async def catalog() -> list[dict[str, str]]:
            answer = xml.read(await portal.ask(forms.asset_types(), within_s=within_s))
            return answer.rows(forms.ASSET_TYPES, "ASSET_TYPE")

        rows = await lookups.believed(portal, catalog)
        vehicles = await lookups.everything(portal)
        if not rows or not vehicles:
            raise Unreadable("The portal's list of models or of vehicles is empty, also in a fresh session.")
        return {"generated_at": rfc3339(to_ms(portal.clock.now())), **in_use(rows, vehicles)}

    await ctx.progress(None, "Reading all models and vehicles; this takes minutes")
    found = await reading.read(ctx, "asset_types", ask, broke="unexpected_error")
    return {"ok": True, **found}


def in_use(catalog: Sequence[Mapping[str, str]], vehicles: Sequence[Vehicle]) -> dict[str, Any]:
    """Cut a catalog down to the models that vehicles have: by manufacturer and model, in any letter case.

    Only vehicles with a unit count for the companies' lists.
    """
    names = {_name(one.row) for one in vehicles if one.asset_type}
    matched = [row for row in catalog if _name(row) in names]
    by_client: dict[str, set[str]] = {}
    with_unit = [one for one in vehicles if one.serial and one.client_id and one.asset_type]
    for one in with_unit:
        by_client.setdefault(one.client_id, set()).add(one.asset_type)
    return {
        "total_matched": len(matched),
        "total_vhcls_ids": len({one.asset_type for one in vehicles if one.asset_type}),
        "total_catalog": len(catalog),
        "asset_types": [_told(row) for row in sorted(matched, key=_name)],
        "total_clients": len(by_client),
        "total_vehicles": len(with_unit),
        "by_client": {client: sorted(ids, key=_number) for client, ids in sorted(by_client.items())},
    }


def _name(row: Mapping[str, str]) -> tuple[str, str]:
    return row.get("MANUFACTURER_DESCR", "").strip().casefold(), row.get("MODEL", "").strip().casefold()


def _told(row: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": _number(row.get("ASSET_TYPE", "")),
        "manufacturer": row.get("MANUFACTURER_DESCR", "").strip(),
        "model": row.get("MODEL", "").strip(),
        "sub_model": row.get("SUB_MODEL", "").strip(),
    }


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


SYNC_ASSET_TYPES = JobKind(
    "sync_asset_types", "Read the models in use", SyncAssetTypes, run,
    locks=lambda _: ["asset_types"], plan=plans.sync_asset_types, seconds_max=3600.0,
)  # fmt: skip
