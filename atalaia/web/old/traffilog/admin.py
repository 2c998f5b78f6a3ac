"""What the old administration screen calls. Source: contract §12.1 (`/api/admin/*`)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from atalaia.connectors.traffilog.catalogs import Model, Scheme
from atalaia.connectors.traffilog.importing import models_of, scheme_item, schemes_of
from atalaia.connectors.traffilog.portal import people
from atalaia.desk.catalogs.catalogs import CLIENTS, SCHEMES, Catalogs, Item, all_entries
from atalaia.jobs.submit import Order, Orders
from atalaia.web.old.traffilog.access import Administering, CatalogAdmin
from atalaia.web.old.traffilog.acting import act, must, shown
from atalaia.web.old.traffilog.common import (
    CONNECTOR,
    Body,
    OldRefusal,
    body_of,
    meant,
    meant_of,
    old_router,
    takes,
    word,
)
from atalaia.web.old.traffilog.installations import cancel as cancel_installation
from atalaia.web.old.traffilog.installations import listed as list_installations
from atalaia.web.old.traffilog.jobs import LISTED, Id, cancel_job
from atalaia.web.old.traffilog.jobs import listed as list_jobs
from atalaia.web.old.traffilog.portal import ask_portal, companies
from atalaia.web.parts import parts_of

routes = old_router()
ITEMS_MAX = 5_000
ClientId = Annotated[str, Query(alias="clientId", max_length=40)]


@routes.get("/api/admin/jobs")
async def jobs(
    request: Request, caller: Administering, limit: Annotated[int, Query(ge=1, le=LISTED)] = LISTED
) -> JSONResponse:
    """List the latest jobs that old clients know."""
    return await list_jobs(request, caller, limit=limit)


@routes.post("/api/admin/jobs/{job}/cancel", openapi_extra=takes("reason"))
async def cancel(request: Request, caller: Administering, job: Id) -> JSONResponse:
    """Call a job off; one that has ended is skipped."""
    reason = word(await body_of(request), "reason") or "asked by an old client"
    return JSONResponse(await cancel_job(request, job, caller.name, reason))


@routes.post("/api/admin/jobs/{job}/retry", openapi_extra=takes("reason"))
async def retry(request: Request, caller: Administering, job: Id) -> JSONResponse:
    """Run a job again that ended in error; 409 for all others."""
    reason = word(await body_of(request), "reason") or "asked by an old client"

    def write(tx: Connection, orders: Orders) -> None:
        known = must(tx, job)
        if known.state not in ("failed", "expired"):
            raise OldRefusal(409, "status_invalido", status=known.state)
        orders.retry(tx, known.id, reason=reason, by=caller.name)

    await act(request, write)
    return JSONResponse({"ok": True, "job": await shown(parts_of(request), job)})


@routes.get("/api/admin/installations")
async def installations(
    request: Request, caller: Administering, limit: Annotated[int, Query(ge=1, le=200)] = 200
) -> JSONResponse:
    """List the latest installations."""
    return await list_installations(request, caller, limit=limit)


@routes.post("/api/admin/installations/{installation}/cancel", openapi_extra=takes("reason"))
async def cancel_one(request: Request, caller: Administering, installation: Id) -> JSONResponse:
    """Call an installation off."""
    return await cancel_installation(request, caller, installation)


# Models of vehicles.


@routes.get("/api/admin/asset-types")
async def asset_types(request: Request, _: Administering) -> JSONResponse:
    """List the vehicle models of the general catalog."""
    return _models(await parts_of(request).store.read(models_of))


@routes.get("/api/admin/asset-types/by-client")
async def asset_types_by_client(request: Request, _: Administering, client: ClientId = "") -> JSONResponse:
    """List the vehicle models of a client, or the general ones when it has no list of its own."""
    if not client:
        raise OldRefusal(400, "clientId_ausente")
    return _models(await parts_of(request).store.read(lambda tx: models_of(tx, client)))


@routes.post("/api/admin/asset-types/sync")
async def sync(request: Request, caller: Administering) -> JSONResponse:
    """Ask for the job that reads the models in use from the portal; its result holds both lists."""
    return await _sync(request, caller.name)


@routes.post("/api/admin/asset-types/sync-by-client")
async def sync_by_client(request: Request, caller: Administering) -> JSONResponse:
    """As `sync`: one job reads the general list and those of all clients."""
    return await _sync(request, caller.name)


# Schemes.


@routes.get("/api/admin/schemes")
async def schemes(request: Request, _: Administering) -> JSONResponse:
    """List the scheme in force of each client."""
    found = await parts_of(request).store.read(schemes_of)
    clients = [_scheme(one) for one in found if one.source == "active"]
    return JSONResponse({"ok": True, "count": len(clients), "clients": clients})


@routes.post("/api/admin/schemes", openapi_extra=takes("clients:array"))
async def set_schemes(request: Request, caller: CatalogAdmin) -> JSONResponse:
    """Set the scheme in force of each of `clients`: {client_id, client_descr, vehicle_setting_id, name?}.

    Clients that are not named keep theirs. It is one change in the catalog's history and can be undone.
    """
    parts, rows = parts_of(request), items_of(await body_of(request), "clients")
    wanted = [scheme_item(scheme_of(row, n, "clients", active=True)) for n, row in enumerate(rows)]
    named = [Item(one.client, word(row, "client_descr", "clientName"), {"id": one.client}, one.client)
             for one, row in zip(wanted, rows, strict=True)]  # fmt: skip

    def write(tx: Connection) -> Any:
        there = {one.key for one in all_entries(tx, CLIENTS)}
        keeper = Catalogs(parts.ambient)
        new = [Item(one.key, one.name, {"id": one.key, "name": one.name}, one.client)
               for one in named if one.name and one.key not in there]  # fmt: skip
        counts = keeper.put(tx, SCHEMES, wanted, by=caller.name, source="old clients: schemes")
        keeper.put(tx, CLIENTS, new, by=caller.name, source="old clients: schemes", batch=counts.batch)
        return counts

    counts = await parts.store.write(write)
    return JSONResponse({"ok": True, "count": len(wanted), "changed": counts.new + counts.changed})


@routes.get("/api/admin/schemes/clients")
async def scheme_clients(request: Request, _: Administering) -> JSONResponse:
    """List the companies of the portal."""
    connection, _settings = await meant_of(request)
    found, cached = await companies(request, connection)
    told = [{"client_id": one.client_id, "client_descr": one.client_descr} for one in found]
    return JSONResponse({"ok": True, "cached": cached, "count": len(told), "clients": told})


@routes.get("/api/admin/schemes/client/{client}")
async def schemes_of_client(request: Request, _: Administering, client: Id) -> JSONResponse:
    """List the schemes that the portal has for a company."""
    if not client.isdigit():
        raise OldRefusal(404, "not_found")
    connection, _settings = await meant_of(request)
    rows = await ask_portal(parts_of(request), connection, lambda portal: people.schemes(portal, client))
    told = [{name.lower(): value for name, value in row.items()} for row in rows]
    return JSONResponse({"ok": True, "client_id": client, "count": len(told), "schemes": told})


def items_of(body: Body, name: str) -> list[Body]:
    """Answer the rows of a list in a body. Errors: `OldRefusal` 400."""
    rows: Any = body.get(name)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):  # pyright: ignore[reportUnknownVariableType]
        raise OldRefusal(400, f"{name}_ausente", detail=f"{name} is a list of objects.")
    if len(rows) > ITEMS_MAX:  # pyright: ignore[reportUnknownArgumentType]
        raise OldRefusal(400, "too_many", detail=f"At most {ITEMS_MAX} at a time.")
    return rows  # pyright: ignore[reportUnknownVariableType]


def scheme_of(row: Body, n: int, place: str, *, active: bool = False) -> Scheme:
    """Read one row. Errors: `OldRefusal` 400 that names the field."""
    client = word(row, "client_id", "clientId", most=12)
    setting = word(row, "vehicle_setting_id", "vehicleSettingId", most=12)
    for name, value in (("client_id", client), ("vehicle_setting_id", setting)):
        if not value.isdigit():
            raise OldRefusal(
                400, "missing_fields", fields=[{"field": f"{place}.{n}.{name}", "said": "Digits only."}]
            )
    name = word(row, "setting_name", "settingName", "vehicle_setting_name", "name", most=200)
    client_name = word(row, "client_descr", "client_name", "clientName", most=200)
    if active:
        return Scheme(client, setting, name, "active", client_name=client_name, default=True)
    default = row.get("is_default") is True or row.get("isDefault") is True
    profile = word(row, "profile", "profile_key", "profileKey", "key", most=60)
    return Scheme(client, setting, name, "settings", profile, default, client_name=client_name)


async def _sync(request: Request, by: str) -> JSONResponse:
    parts = parts_of(request)

    def write(tx: Connection, orders: Orders) -> str:
        order = Order(f"{CONNECTOR}.sync_asset_types", meant(tx, parts).id, {}, by)
        return orders.submit(tx, order).id

    job = await act(request, write)
    return JSONResponse({"ok": True, "job_id": job})


def _models(found: list[Model]) -> JSONResponse:
    rows = [
        {"id": one.id, "manufacturer": one.manufacturer, "model": one.model, "sub_model": one.sub_model}
        for one in found
    ]
    return JSONResponse({"ok": True, "count": len(rows), "asset_types": rows})


def _scheme(one: Scheme) -> Body:
    return {
        "client_id": one.client_id, "client_descr": one.client_name, "vehicle_setting_id": one.scheme_id,
        "vehicle_setting_name": one.name,
    }  # fmt: skip
