"""Technicians sign in with their own account of the portal. Source: contract §12.1."""

from __future__ import annotations

import uuid
from typing import Annotated, cast

from fastapi import Query, Request
from fastapi.responses import JSONResponse

from atalaia.connections.registry import Configured
from atalaia.connectors.traffilog.portal.people import Client, groups_of_person, seen_by
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.desk.old_clients.kept import find_session, open_session
from atalaia.errors import Refused, UpstreamError
from atalaia.web.limits import Limiter
from atalaia.web.old.traffilog.access import BAD_SESSION, NO_SESSION
from atalaia.web.old.traffilog.common import OldRefusal, body_of, meant_of, now_ms, old_router, takes, word
from atalaia.web.old.traffilog.portal import companies
from atalaia.web.parts import parts_of

routes = old_router()
PASSWORD_CHARS = 200


@routes.post("/api/auth/html5-login", openapi_extra=takes("username", "password"))
async def login(request: Request) -> JSONResponse:
    """Sign in at the portal; the session lasts eight hours and knows the clients that both accounts see.

    The password is used once and not kept. Failed tries are limited as those of people are.
    """
    parts, body = parts_of(request), await body_of(request)
    username, password = word(body, "username", most=120), body.get("password")
    if not username or not isinstance(password, str) or not 0 < len(password) <= PASSWORD_CHARS:
        raise OldRefusal(400, "missing_credentials")
    try:
        connection, settings = await meant_of(request)
    except OldRefusal as refusal:
        raise OldRefusal(500, "not_configured", detail=refusal.body.get("detail")) from None
    if not settings.portal_url:
        raise OldRefusal(500, "not_configured", detail="The telematics connection has no portal.")
    if username.casefold() == settings.portal_login.casefold():
        said = "This is the hub's own account: to sign in with it would end its session."
        raise OldRefusal(403, "account_in_use", detail=said)
    clients = await _clients(request, connection, settings, username, password)
    token = str(uuid.uuid4())
    told = [_told(one) for one in clients]
    await parts.store.write(lambda tx: open_session(tx, token, connection.id, username, told, now_ms(parts)))
    answer = {"ok": True, "session_token": token, "username": username, "clients": told}
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


@routes.get("/api/auth/session")
async def session(request: Request, token: Annotated[str, Query(max_length=400)] = "") -> JSONResponse:
    """Answer whose session this is, while it lasts. `html5_ok`: its connection still has a portal."""
    if not token:
        raise OldRefusal(400, NO_SESSION)
    parts = parts_of(request)
    found = await parts.store.read(lambda tx: find_session(tx, token, now_ms(parts)))
    if found is None:
        raise OldRefusal(401, BAD_SESSION)
    configured = await parts.store.read(lambda tx: parts.registry.get(tx, found.connection))
    portal = bool(configured and cast("TraffilogSettings", configured.settings).portal_url)
    return JSONResponse({"ok": True, "username": found.username, "html5_ok": portal})


async def _clients(
    request: Request, connection: Configured, settings: TraffilogSettings, username: str, password: str
) -> list[Client]:
    parts = parts_of(request)
    limiter: Limiter = request.app.state.sign_in_limiter
    buckets = (f"old:{request.state.address}", f"old:{username.casefold()}")
    wait_s = max(limiter.wait_s(one) for one in buckets)
    if wait_s:
        raise OldRefusal(429, "too_many", headers={"Retry-After": str(round(wait_s + 0.5))})
    try:
        groups = await groups_of_person(settings, parts.ambient, username, password)
    except Refused:
        for one in buckets:
            limiter.take(one)
        raise OldRefusal(401, "invalid_credentials") from None
    except UpstreamError as error:
        raise OldRefusal(502, "portal_down", detail=parts.redactor.text(str(error))) from None
    found = seen_by(groups, (await companies(request, connection))[0])
    if not found:
        raise OldRefusal(403, "no_clients")
    return found


def _told(one: Client) -> dict[str, str]:
    return {
        "client_id": one.client_id,
        "client_descr": one.client_descr,
        "default_group_name": one.default_group_name,
    }
