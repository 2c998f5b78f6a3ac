"""Installations in the shapes of both generations, on the hub's own acts. Contract §12.1, §12.3."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from sqlalchemy import Connection

from atalaia.connectors.traffilog.installing import Form, Known, start_of
from atalaia.connectors.traffilog.portal import lookups
from atalaia.connectors.traffilog.portal.client import Portal
from atalaia.connectors.traffilog.portal.lookups import Found, Vehicle
from atalaia.desk.installations import queries
from atalaia.desk.installations.actions import Done, Installations, NoSuchInstallation, NotPossible
from atalaia.desk.installations.queries import SERVICES, Seen, Wanted
from atalaia.desk.installations.state import PORTAL_ERROR
from atalaia.errors import AtalaiaError
from atalaia.web.api.jobs import orders_of
from atalaia.web.idempotency import HEADER
from atalaia.web.old.traffilog.access import Caller, Technician, TechnicianReads, need_session
from atalaia.web.old.traffilog.common import (
    CREATED,
    Body,
    OldRefusal,
    body_of,
    mapping,
    meant,
    meant_of,
    old_router,
    refusal_of,
    takes,
    word,
)
from atalaia.web.old.traffilog.jobs import Id
from atalaia.web.old.traffilog.model import type_of
from atalaia.web.old.traffilog.portal import ask_portal
from atalaia.web.old.traffilog.records import record_of
from atalaia.web.parts import parts_of

routes = old_router()
LISTED = 200
_technician = need_session("installations:write")
# Refusals whose status is not 409 in the original.
_STATUSES = {"job_type_invalido": 400, "vehicle_id_ausente": 422}


async def acting(request: Request, installation: Id) -> Caller:
    """Answer who acts: one with a session or key, or who knows this installation's own token."""
    given = request.headers.get("x-installation-token", "")
    if given:
        seen = await _seen(request, installation)
        if hmac.compare_digest(given.encode(errors="replace"), seen.installation.token.encode()):
            return Caller("technician", "installation token", str(request.state.address))
    caller = await _technician(request)
    if caller.session is not None:
        _check_sees(caller, await _seen(request, installation))
    return caller


Actor = Annotated[Caller, Depends(acting)]


_FORM = ("service", "client_id", "plate_real", "plate", "serial", "gsensor:object", "technician:any")


@routes.post("/api/installations", status_code=201, responses=CREATED, openapi_extra=takes(*_FORM))
async def start(request: Request, caller: Technician) -> JSONResponse:
    """Ask for an installation; the same `Idempotency-Key` answers the same one."""
    parts, body = parts_of(request), await body_of(request)
    service = word(body, "service", most=40).upper()
    if service not in SERVICES:
        raise OldRefusal(400, "service_invalido", services=list(SERVICES))
    client = word(body, "client_id", "clientId", "target_client_id", most=40)
    if caller.session is not None and client and not caller.session.sees(client):
        raise OldRefusal(403, "client_not_allowed")
    acts, key = Installations(orders_of(parts)), request.headers.get(HEADER)

    def write(tx: Connection) -> Done:
        connection = meant(tx, parts)
        form = form_of(body, service, connection.id)
        asked = start_of(form, Known.read(tx, form.client_id))
        return acts.start(tx, asked, by=caller.name, key=key[:200] if key else None)

    try:
        done = await parts.store.write(write)
    except AtalaiaError as error:
        raise refusal_of(error) from None
    told = {"job_id": done.job, "type": type_of(done.seen.chain[0].kind), "service": service}
    enqueue = {"enqueue": {"job_id": done.job}}
    return JSONResponse(record_of(done.seen, parts.redactor) | told | enqueue, 201)


@routes.get("/api/installations")
async def listed(
    request: Request, caller: TechnicianReads, limit: Annotated[int, Query(ge=1, le=LISTED)] = 50
) -> JSONResponse:
    """List the latest installations, for a technician those of his clients."""
    parts = parts_of(request)
    found = await parts.store.read(lambda tx: queries.list_installations(tx, Wanted(), limit=limit))
    told = [record_of(one, parts.redactor, token=False) for one in found if _sees(caller, one)]
    return JSONResponse({"ok": True, "count": len(told), "installations": told})


@routes.get("/api/installations/vhcls-lookup")
async def lookup(
    request: Request, _: TechnicianReads, plate: Annotated[str, Query(max_length=40)] = "",
    by: Annotated[str, Query(max_length=20)] = "",
) -> JSONResponse:  # fmt: skip
    """Find a vehicle in the portal by its plate, or with `by=serial` by the serial of its unit.

    A row that only resembles what was asked is not taken: it is answered as not found, with `candidates`.
    """
    plate = plate.strip()
    if not plate:
        raise OldRefusal(400, "plate_ausente")
    connection, _settings = await meant_of(request)
    found, others = await ask_portal(
        parts_of(request), connection, lambda portal: _look(portal, plate, by == "serial")
    )
    if found is None:
        told: Body = {"ok": False, "plate": plate, "vehicle_id": None, "serial": None}
        return JSONResponse(told | {"candidates": [one.told() for one in others]})
    duplicates = [one.id for one in others]
    return JSONResponse(
        {"ok": True, "plate": plate, **found.told(), "serial": found.serial or None, "duplicates": duplicates}
    )


@routes.get("/api/installations/{installation}")
async def one(request: Request, caller: TechnicianReads, installation: Id) -> JSONResponse:
    """Answer one installation, by its id or its token; its status follows from its jobs."""
    seen = await _seen(request, installation)
    if installation != seen.installation.token:
        _check_sees(caller, seen)
    return JSONResponse(record_of(seen, parts_of(request).redactor))


@routes.post(
    "/api/installations/{installation}/approve-can", openapi_extra=takes("override:boolean", "reason")
)
@routes.post("/api/installations/{installation}/actions/approve-can", include_in_schema=False)
async def approve(request: Request, caller: Actor, installation: Id) -> JSONResponse:
    """Approve the CAN check; `override` approves it against what it shows, and then `reason` says why."""
    body = await body_of(request)
    override, reason = body.get("override") is True, word(body, "reason")
    if override and not reason:
        raise OldRefusal(400, "reason_ausente", detail="Approving against the check needs a reason.")
    done = await _act(
        request,
        lambda tx, acts: acts.approve(tx, installation, by=caller.name, override=override, reason=reason),
    )
    return JSONResponse(_told(done) | {"status": "approved"})


@routes.post("/api/installations/{installation}/start-can")
async def start_can(request: Request, caller: Actor, installation: Id) -> JSONResponse:
    """Begin the CAN check of a maintenance without swap."""
    done = await _act(request, lambda tx, acts: acts.start_can(tx, installation, by=caller.name))
    return JSONResponse(_told(done) | {"can_job_id": done.job})


@routes.post("/api/installations/{installation}/refresh-can")
@routes.post("/api/installations/{installation}/actions/request-can-snapshot", include_in_schema=False)
async def refresh(request: Request, caller: Actor, installation: Id) -> JSONResponse:
    """Check the CAN once more; where a maintenance without swap has no check yet, begin it."""

    def work(tx: Connection, acts: Installations) -> Done:
        try:
            return acts.refresh(tx, installation, by=caller.name)
        except NotPossible as error:
            first = error.code == "can_ausente" and request.url.path.endswith("/request-can-snapshot")
            if not first:
                raise
        return acts.start_can(tx, installation, by=caller.name)

    done = await _act(request, work)
    return JSONResponse(_told(done) | {"can_job_id": done.job})


@routes.post(
    "/api/installations/{installation}/complete-maint",
    openapi_extra=takes("vehicle_setting_id", "comment"),
)
@routes.post("/api/installations/{installation}/actions/complete-maint", include_in_schema=False)
async def complete(request: Request, caller: Actor, installation: Id) -> JSONResponse:
    """End a maintenance without swap without a check. Vehicle and client are those the portal named."""
    body = await body_of(request)
    scheme, comment = word(body, "vehicle_setting_id", most=12), word(body, "comment")
    if scheme and not scheme.isdigit():
        raise OldRefusal(400, "vehicle_setting_id_invalido")
    done = await _act(
        request,
        lambda tx, acts: acts.complete(tx, installation, by=caller.name, scheme=scheme, comment=comment),
    )
    queued = any(job.params.get("terminal") for job in done.seen.chain)
    return JSONResponse(
        _told(done) | {"status": done.seen.standing.word, "sb_queued": queued, "snapshot_job": done.job}
    )


@routes.post("/api/installations/{installation}/retry-html5", openapi_extra=takes("reason"))
@routes.post("/api/installations/{installation}/actions/retry-html5", include_in_schema=False)
async def retry(request: Request, caller: Actor, installation: Id) -> JSONResponse:
    """Run the portal's part again when it failed; what surely happened is not sent again."""
    reason = word(await body_of(request), "reason") or "asked by an old client"

    def work(tx: Connection, acts: Installations) -> Done:
        seen = queries.get(tx, installation)
        if seen is not None and seen.standing.word != PORTAL_ERROR:
            raise OldRefusal(409, "status_invalido", status=seen.standing.word)
        return acts.retry(tx, installation, reason=reason, by=caller.name)

    done = await _act(request, work)
    return JSONResponse(_told(done) | {"status": done.seen.standing.word})


@routes.post("/api/installations/{installation}/cancel", openapi_extra=takes("reason"))
async def cancel(request: Request, caller: Actor, installation: Id) -> JSONResponse:
    """Call off what has not ended; what happened upstream stays as it is."""
    reason = word(await body_of(request), "reason") or "asked by an old client"
    done = await _act(request, lambda tx, acts: acts.cancel(tx, installation, reason=reason, by=caller.name))
    return JSONResponse(_told(done) | {"status": done.seen.standing.word})


def form_of(body: Body, service: str, connection: str) -> Form:
    """Answer the technician's form. For INSTALL the app sends `plate` = serial, so `plate_real` counts first.

    Errors: `OldRefusal` 400 that names the fields which do not fit.
    """
    vehicle, mount = mapping(body.get("vehicle")), mapping(body.get("gsensor"))
    technician = mapping(body.get("technician"))
    given = {
        "service": service,
        "connection": connection,
        "plate": word(body, "plate_real", "plate"),
        "client_id": word(body, "client_id", "clientId", "target_client_id"),
        "client_name": word(body, "client_descr", "client_name", "clientName"),
        "serial": word(body, "serial"),
        "serial_new": word(body, "serial_new"),
        "asset_type": word(body, "assetType", "asset_type"),
        "manufacturer": word(vehicle, "manufacturer"),
        "model": word(vehicle, "model"),
        "label": word(mount, "label_pos", "label"),
        "harness": word(mount, "harness_pos", "harness"),
        "technician_id": word(technician, "id"),
        "technician": word(technician, "nick", "name") or word(body, "technician"),
        "year": word(body, "vehicle_year") or word(vehicle, "year"),
        "color": word(body, "vehicle_color"),
        "chassis": word(body, "vehicle_chassis"),
        "place": word(body, "install_location"),
        "comment": word(body, "comment"),
        "vehicle_setting_id": word(body, "vehicle_setting_id", "vehicleSettingId"),
        "profile": word(body, "profile", "profile_key"),
    }
    if service == "MAINT_WITH_SWAP" and not given["serial_new"]:
        given["serial_new"], given["serial"] = given["serial"], ""
    try:
        return Form.model_validate(given)
    except ValidationError as error:
        fields = [{"field": ".".join(map(str, one["loc"])), "said": one["msg"]} for one in error.errors()]
        raise OldRefusal(400, "missing_fields", fields=fields) from None


async def _look(portal: Portal, asked: str, by_serial: bool) -> tuple[Vehicle | None, list[Vehicle]]:
    """Answer the vehicle that is surely meant, and the others: its duplicates, or what only resembles it."""
    if by_serial:
        rows = await lookups.by_serial(portal, asked)
        return (rows[0], rows[1:]) if rows else (None, [])
    choice = await lookups.by_plate(portal, asked)
    if isinstance(choice, Found):
        return choice.vehicle, [Vehicle({"VEHICLE_ID": one}) for one in choice.duplicates]
    return None, list(getattr(choice, "vehicles", ()))


def _sees(caller: Caller, seen: Seen) -> bool:
    """Answer whether an installation is one of the caller's: of his clients, of none, or begun by himself."""
    one, session = seen.installation, caller.session
    return session is None or not one.client or session.sees(one.client) or one.by == caller.name


def _check_sees(caller: Caller, seen: Seen) -> None:
    if not _sees(caller, seen):
        raise OldRefusal(404, "not_found")


async def _seen(request: Request, installation: str) -> Seen:
    found = await parts_of(request).store.read(lambda tx: queries.get(tx, installation))
    if found is None:
        raise OldRefusal(404, "not_found")
    return found


async def _act(request: Request, work: Callable[[Connection, Installations], Done]) -> Done:
    parts = parts_of(request)
    acts = Installations(orders_of(parts))

    def write(tx: Connection) -> Done:
        seen = queries.get(tx, str(request.path_params["installation"]))
        if seen is None:
            raise NoSuchInstallation("There is no such installation.")
        return work(tx, acts)

    try:
        return await parts.store.write(write)
    except NoSuchInstallation:
        raise OldRefusal(404, "not_found") from None
    except NotPossible as error:
        status = _STATUSES.get(error.code, 409)
        raise OldRefusal(status, error.code, detail=str(error)) from None
    except AtalaiaError as error:
        raise refusal_of(error) from None


def _told(done: Done) -> dict[str, Any]:
    return {"ok": True, "job_id": done.seen.installation.root, "id": done.seen.installation.root}
