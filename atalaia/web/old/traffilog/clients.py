"""The clients with their schemes, as the first generation's app asks for them. Source: contract §12.4."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request
from fastapi.responses import JSONResponse

from atalaia.connectors.traffilog.catalogs import Scheme, choose_scheme
from atalaia.connectors.traffilog.importing import schemes_of
from atalaia.connectors.traffilog.portal.people import Client
from atalaia.desk.catalogs.catalogs import CLIENTS, all_entries
from atalaia.web.old.traffilog.access import Administering, CatalogReader
from atalaia.web.old.traffilog.common import Body, OldRefusal, meant_of, old_router
from atalaia.web.old.traffilog.portal import companies
from atalaia.web.parts import parts_of

routes = old_router()


@routes.get("/api/clients")
async def clients(request: Request, caller: CatalogReader) -> JSONResponse:
    """List the clients; with a portal session only those that it may see.

    They come from the portal (believed for five minutes); when it cannot be asked, from the catalog, with a
    `warning`.
    """
    parts = parts_of(request)
    cached, warning = False, ""
    try:
        connection, _ = await meant_of(request)
        found, cached = await companies(request, connection)
    except OldRefusal as refusal:
        warning = str(refusal.body.get("detail") or refusal.body["error"])
        known = await parts.store.read(lambda tx: all_entries(tx, CLIENTS))
        found = [Client(one.key, one.name, "") for one in known]
    if caller.session is not None:
        found = [one for one in found if caller.session.sees(one.client_id)]
    schemes = await parts.store.read(schemes_of)
    answer: Body = {"ok": True, "status": "ok", "cached": cached}
    answer["clients"] = [enriched(one, schemes) for one in found]
    return JSONResponse(answer | {"warning": warning} if warning else answer)


@routes.post("/api/clients/reload-schemes")
async def reload(request: Request, _: Administering) -> JSONResponse:
    """Answer how many schemes there are: catalogs are read each time, there is nothing to load again."""
    schemes = await parts_of(request).store.read(schemes_of)
    return JSONResponse({"ok": True, "status": "ok", "schemes": len(schemes)})


def enriched(one: Client, schemes: Sequence[Scheme]) -> Body:
    """Answer a client with its schemes. Source: contract §12.4, last line."""
    own = [scheme for scheme in schemes if scheme.client_id == one.client_id]
    chosen = choose_scheme(own, one.client_id)
    profiles = [
        {
            "key": scheme.profile, "label": scheme.name or scheme.profile,
            "vehicle_setting_id": scheme.scheme_id, "is_default": scheme.default,
        }
        for scheme in own
        if scheme.profile
    ]  # fmt: skip
    return {
        "client_id": one.client_id,
        "client_descr": one.client_descr,
        "default_group_name": one.default_group_name,
        "vehicle_setting_id": chosen.scheme_id if chosen else None,
        "profiles": profiles,
        "has_scheme": chosen is not None,
        "multi_profile": len(profiles) > 1,
    }
