"""The hub's own address that old gateways deliver to. Contract §4.2; but 200 only after it is durable."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from atalaia.clock import to_ms
from atalaia.connectors.wppconnect.envelope import Said, read_said, session_key
from atalaia.connectors.wppconnect.hook import take_hook
from atalaia.errors import StoreUnavailable, Unreadable
from atalaia.events.log import Source
from atalaia.store.files import FOLDER, FileStore
from atalaia.web.old.gateway.common import GatewayRefusal, channels_of, gateway_router
from atalaia.web.old.gateway.secret import shows_secret
from atalaia.web.parts import Parts, parts_of

routes = gateway_router()


@routes.post("/api/whatsapp/webhook")
async def take(request: Request) -> JSONResponse:
    """Take one envelope of a gateway that was told this address; whatever its kind, it is kept.

    Refusals have the old codes: INVALID_SECRET, INVALID_JSON, MISSING_EVENT_TYPE; an unknown session is
    CHANNEL_NOT_FOUND with 404, so that the gateway keeps and retries it.
    """
    parts = parts_of(request)
    if not shows_secret(request.headers, parts.settings):
        return JSONResponse({"success": False, "code": "INVALID_SECRET"}, 403)
    raw = await request.body()
    try:
        said = read_said(raw)
    except Unreadable as error:
        code = "MISSING_EVENT_TYPE" if "`event`" in str(error) else "INVALID_JSON"
        return JSONResponse({"success": False, "code": code, "error": str(error)}, 400)
    try:
        return JSONResponse(await _keep(parts, said, raw))
    except (StoreUnavailable, OSError) as error:  # the old hub said 200 here, and the message was lost
        said_why = str(error) if isinstance(error, StoreUnavailable) else "A file could not be written."
        return JSONResponse({"success": False, "code": "INTERNAL_ERROR", "error": said_why}, 503)


async def _keep(parts: Parts, said: Said, raw: bytes) -> dict[str, Any]:
    """Write one envelope down; durable when this returns. Errors: `GatewayRefusal`, `StoreUnavailable`."""
    found = [one for one in await channels_of(parts) if session_key(said.session) in one.settings.names]
    if not found:
        raise GatewayRefusal(404, "No session of this name is set up in the hub.", "CHANNEL_NOT_FOUND")
    hooked = take_hook(found[0].settings, raw, to_ms(parts.ambient.clock.now()))
    files = FileStore(parts.settings.data_dir / FOLDER, parts.ambient)
    for content in hooked.files.values():
        files.keep(content)
    [place] = await parts.log.put(Source(found[0].configured.id), hooked.heard)
    code = "DUPLICATE" if place.duplicate else "SUCCESS"
    return {"success": True, "event_id": said.event_id or str(place.seq), "code": code}
