"""Sessions as the old gateway listed them: their status, their code, no deletion. Contract §1.2, §1.4."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import JSONResponse

from atalaia.connectors.wppconnect.door import Claim, Word
from atalaia.connectors.wppconnect.gateway import GatewayDoor
from atalaia.connectors.wppconnect.server import ServerDoor
from atalaia.errors import Rejected, UpstreamError
from atalaia.web.old.gateway.common import (
    OBJECT_BODY,
    Caller,
    Channel,
    GatewayRefusal,
    body_of,
    channel_named,
    channels_of,
    gateway_router,
    word,
)
from atalaia.web.parts import Parts, parts_of

routes = gateway_router()
Name = Annotated[str, Path(min_length=1, max_length=100)]
CODES = {Word.INITIALIZING: "INITIALIZING", Word.CONNECTED: "CONNECTED"}


@routes.get("/api/channels")
async def listed(request: Request, _: Caller) -> JSONResponse:
    """List the sessions with what the hub knows of them; only a proven one is `connected`."""
    found = [one.out() for one in await channels_of(parts_of(request))]
    return JSONResponse({"success": True, "channels": found, "total": len(found)})


@routes.get("/api/available-sessions")
async def available(request: Request, _: Caller) -> JSONResponse:
    """List the sessions, for discovery."""
    found = [one.out() for one in await channels_of(parts_of(request))]
    return JSONResponse({"success": True, "sessions": found, "total": len(found)})


@routes.post("/api/channels", openapi_extra=OBJECT_BODY)
async def make(request: Request, _: Caller) -> JSONResponse:
    """Answer for a session that is there whether it has to be paired; others are set up in the hub."""
    name = word(await body_of(request), "channel")
    if not name:
        raise GatewayRefusal(400, "channel is required")
    try:
        found = await channel_named(parts_of(request), name)
    except GatewayRefusal:
        said = "Set the session up in the hub: Connections, new connection, WhatsApp."
        raise GatewayRefusal(403, said) from None
    paired = found.status != "qr_required"
    said = "Session exists already"
    return JSONResponse({"success": True, "qr_required": not paired, "channel": name, "message": said})


@routes.get("/api/channels/{name}")
async def one(request: Request, _: Caller, name: Name) -> JSONResponse:
    """Answer one session."""
    found = await channel_named(parts_of(request), name)
    return JSONResponse({"success": True, "channel": found.out(name)})


@routes.get("/api/channels/{name}/qr")
async def code(request: Request, _: Caller, name: Name) -> JSONResponse:
    """Answer the code to scan while one is wanted. As before, asking starts a session that is closed."""
    parts = parts_of(request)
    found = await channel_named(parts, name)
    claim = await _asked(parts, found)
    if claim.word is Word.QRCODE and claim.code:
        return JSONResponse({"success": True, "qr": claim.code, "status": "QRCODE"})
    status = CODES.get(claim.word, "INITIALIZING")
    said = "No code is wanted." if status == "CONNECTED" else "The code is not there yet; ask again."
    return JSONResponse({"success": True, "qr": None, "status": status, "message": said})


@routes.post("/api/channels/{name}/start-session")
async def start(request: Request, caller: Caller, name: Name) -> JSONResponse:
    """Start a session. A running one is left as it is."""
    parts = parts_of(request)
    await _asked(parts, await channel_named(parts, name))
    return JSONResponse({"success": True})


@routes.delete("/api/channels/{name}")
async def delete(request: Request, _: Caller, name: Name) -> JSONResponse:
    """Refuse: deleting a session destroys its pairing. A person does that on the phone."""
    await channel_named(parts_of(request), name)
    raise GatewayRefusal(403, "The hub never deletes a session: its pairing would be lost.")


@routes.post("/api/channels/{name}/webhook")
async def webhook(request: Request, _: Caller, name: Name) -> JSONResponse:
    """Refuse: consumers are subscriptions of the hub, with retries and signatures."""
    await channel_named(parts_of(request), name)
    raise GatewayRefusal(403, "Make a subscription in the hub: Deliveries, new subscription, webhook.")


@routes.post("/api/webhooks")
async def webhooks(_: Caller) -> JSONResponse:
    """Refuse, as for one session."""
    raise GatewayRefusal(403, "Make a subscription in the hub: Deliveries, new subscription, webhook.")


@routes.get("/api/{name}/contact/pn-lid/{contact}")
async def alias(request: Request, _: Caller, name: Name, contact: Name) -> JSONResponse:
    """Answer which number a hidden identity is, as the page knows it; each part may be missing."""
    from atalaia.connectors.wppconnect.wids import read_wid

    wid = read_wid(contact)
    if wid is None or not wid.is_person:
        raise GatewayRefusal(400, "That is no contact; give an id like …@lid or …@c.us.")
    parts = parts_of(request)
    found = await channel_named(parts, name)
    try:
        if found.settings.server_url:
            async with ServerDoor(found.settings, parts.ambient.clock, "") as server:
                return JSONResponse(await server.alias(wid))
        async with GatewayDoor(found.settings, parts.ambient.clock) as gateway:
            return JSONResponse(await gateway.alias(wid))
    except (UpstreamError, Rejected) as error:
        raise GatewayRefusal(502, str(error)) from None


async def _asked(parts: Parts, found: Channel) -> Claim:
    """Ask the session's server how it is, and start it when it is closed. Errors: `GatewayRefusal` 502."""
    settings, clock = found.settings, parts.ambient.clock
    try:
        if not settings.server_url:
            async with GatewayDoor(settings, clock) as gateway:
                return await gateway.code()
        async with ServerDoor(settings, clock, hook_url(found)) as server:
            claim = await server.status()
            return await server.start() if claim.word is Word.CLOSED else claim
    except UpstreamError as error:
        raise GatewayRefusal(502, str(error), "GATEWAY_CONNECTION_ERROR") from None


def hook_url(found: Channel) -> str:
    """Answer where the server sends this session's webhooks, `""` when that is set elsewhere."""
    base, token = found.settings.hub_url, found.settings.hook_token.get_secret_value()
    return f"{base}/hooks/{found.configured.id}/{token}" if base else ""


@routes.api_route(
    "/api/channels/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
)
async def nothing(_: Caller, rest: str) -> JSONResponse:
    """Say of the gateway's other addresses that there are none, as it did."""
    raise GatewayRefusal(404, "Route not found")
