"""The first generation's catalogs of settings and models, with its admin key. Source: contract §12.4."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import JSONResponse

from atalaia.connectors.traffilog.catalogs import Catalog, Model, Scheme
from atalaia.connectors.traffilog.importing import items_of as entries_of
from atalaia.connectors.traffilog.importing import schemes_of
from atalaia.desk.catalogs.catalogs import MODELS, SCHEMES, Catalogs, count_entries, list_entries
from atalaia.desk.catalogs.catalogs import Wanted as Entries
from atalaia.web.old.traffilog.access import CatalogKey
from atalaia.web.old.traffilog.admin import items_of, scheme_of
from atalaia.web.old.traffilog.common import Body, OldRefusal, body_of, old_router, takes, word
from atalaia.web.parts import parts_of

routes = old_router()
MODELS_SHOWN = 500
_ITEMS = takes("updatedBy", "items:array")


@routes.get("/api/admin/catalogs/db/status")
async def status(request: Request, _: CatalogKey) -> JSONResponse:
    """Answer how many entries each catalog has."""
    counts = await parts_of(request).store.read(count_entries)
    return JSONResponse({"ok": True, "status": "ok", "counts": counts})


@routes.get("/api/admin/catalogs/vehicle-settings")
async def settings(request: Request, _: CatalogKey) -> JSONResponse:
    """List the schemes of all clients and profiles, with the file they came from as `source`."""
    found = await parts_of(request).store.read(schemes_of)
    return JSONResponse({"ok": True, "count": len(found), "items": [_setting(one) for one in found]})


@routes.post("/api/admin/catalogs/vehicle-settings/bulk-upsert", openapi_extra=_ITEMS)
async def put_settings(request: Request, caller: CatalogKey) -> JSONResponse:
    """Add or change schemes by client and profile; one change in the history, which can be undone."""
    body = await body_of(request)
    found = [scheme_of(row, n, "items") for n, row in enumerate(items_of(body, "items"))]
    return await _put(request, Catalog(schemes=found), SCHEMES, _by(body, caller.name), len(found))


@routes.get("/api/admin/catalogs/vehicle-models")
async def models(
    request: Request, _: CatalogKey, q: Annotated[str, Query(max_length=120)] = ""
) -> JSONResponse:
    """Find vehicle models whose name or id holds this text; at most 500."""
    found = await parts_of(request).store.read(
        lambda tx: list_entries(tx, MODELS, Entries(words=q.strip()), limit=MODELS_SHOWN)
    )
    return JSONResponse({"ok": True, "count": len(found), "items": [one.value for one in found]})


@routes.post("/api/admin/catalogs/vehicle-models/bulk-upsert", openapi_extra=_ITEMS)
async def put_models(request: Request, caller: CatalogKey) -> JSONResponse:
    """Add or change vehicle models by their asset type; one change in the history, which can be undone."""
    body = await body_of(request)
    found = [_model(row, n) for n, row in enumerate(items_of(body, "items"))]
    return await _put(request, Catalog(models=found), MODELS, _by(body, caller.name), len(found))


async def _put(request: Request, catalog: Catalog, name: str, by: str, count: int) -> JSONResponse:
    parts = parts_of(request)
    items = entries_of(catalog)[name]
    keeper = Catalogs(parts.ambient)
    counts = await parts.store.write(
        lambda tx: keeper.put(tx, name, items, by=by, source="old clients: bulk-upsert")
    )
    return JSONResponse({"ok": True, "upserted": count, "new": counts.new, "changed": counts.changed})


def _by(body: Body, caller: str) -> str:
    """Answer who did it: the key proves only the screen, so the name it tells stands beside."""
    told = word(body, "updatedBy", most=80)
    return f"{told} ({caller})" if told else caller


def _model(row: Body, n: int) -> Model:
    identity = word(row, "id", "asset_type", "assetType", "vehicle_type_id", "vehicleTypeId", most=12)
    if not identity.isdigit():
        raise OldRefusal(400, "missing_fields", fields=[{"field": f"items.{n}.id", "said": "Digits only."}])
    return Model(
        identity,
        word(row, "manufacturer", "manufacturer_descr", most=120),
        word(row, "model", "friendly_name", "friendlyName", most=160),
        word(row, "sub_model", "subModel", most=160),
        word(row, "client_id", "clientId", most=12),
    )


def _setting(one: Scheme) -> Body:
    return {
        "client_id": one.client_id, "client_descr": one.client_name, "vehicle_setting_id": one.scheme_id,
        "setting_name": one.name, "profile": one.profile, "is_default": one.default, "source": one.source,
    }  # fmt: skip
