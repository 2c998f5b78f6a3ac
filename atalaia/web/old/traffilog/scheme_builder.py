"""Scheme Builders as the first generation asks for them. Source: contract §12.2."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import JSONResponse

from atalaia.desk.vehicles.queries import get_vehicle
from atalaia.web.old.traffilog.access import Reader, Writer
from atalaia.web.old.traffilog.acting import ask, shown
from atalaia.web.old.traffilog.common import (
    CREATED,
    OldRefusal,
    body_of,
    meant_of,
    old_router,
    takes,
    word,
)
from atalaia.web.old.traffilog.jobs import Id
from atalaia.web.parts import parts_of

routes = old_router()


@routes.post(
    "/api/scheme-builder/start", status_code=201, responses=CREATED,
    openapi_extra=takes("clientId", "clientName", "vehicleId", "vehicleSettingId", "comment"),
)  # fmt: skip
async def start(request: Request, caller: Writer) -> JSONResponse:
    """Ask for a Scheme Builder. Without `clientId` the client is the one the vehicle is known under."""
    body = await body_of(request)
    vehicle = word(body, "vehicleId", "vehicle_id", most=40)
    if not vehicle or not word(body, "vehicleSettingId", "vehicle_setting_id", most=40):
        raise OldRefusal(400, "missing_fields", detail="vehicleId and vehicleSettingId are required.")
    if not word(body, "clientId", "client_id"):
        connection, _ = await meant_of(request)
        known = await parts_of(request).store.read(lambda tx: get_vehicle(tx, vehicle, connection.id))
        body |= {"clientId": known.client if known else ""}
    client = word(body, "clientId", "client_id")
    if caller.session is not None and not caller.session.sees(client):
        raise OldRefusal(403, "client_not_allowed")
    job = await ask(request, caller, "scheme_builder", body)
    return JSONResponse({"ok": True, "jobId": job.id, "job": await shown(parts_of(request), job.id)}, 201)


@routes.get("/api/scheme-builder/{job}")
async def one(request: Request, _: Reader, job: Id) -> JSONResponse:
    """Answer the job of a Scheme Builder."""
    found = await shown(parts_of(request), job)
    if found["type"] != "scheme_builder":
        raise OldRefusal(404, "not_found")
    return JSONResponse({"ok": True, "job": found})
