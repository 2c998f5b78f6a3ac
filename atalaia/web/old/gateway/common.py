"""What the old gateway's addresses share: the one secret, the shapes of answers, which session is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

import orjson
from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection, select

from atalaia.connections.registry import Configured
from atalaia.connectors.wppconnect.envelope import session_key
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.store.tables import connection_states
from atalaia.web.access import who_of
from atalaia.web.old.gateway.secret import SECRET, shows_secret
from atalaia.web.old.traffilog.common import GATEWAY_TAG, OldRefusal
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import MEDIA_TYPE

CONNECTOR = "wppconnect"
Body = dict[str, Any]

_SAID = {
    400: "Something is missing or does not fit.",
    401: "The secret is missing or wrong.",
    403: "The hub does not do that.",
    404: "There is no such channel or message.",
    409: "It does not fit the present state.",
    413: "The body is too large.",
    422: "A field does not fit.",
    429: "Too many requests; see Retry-After.",
    500: "Something broke inside the hub.",
    502: "The session's server refuses.",
    503: "The database cannot be used now; nothing was taken.",
    504: "It is not known whether the message was sent; its job is in doubt.",
}
_OBJECT: Body = {"application/json": {"schema": {"type": "object"}}}
_PROBLEM: Body = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
OBJECT_BODY: Body = {"requestBody": {"required": False, "content": _OBJECT}}
ANSWERS: dict[int | str, Body] = {
    200: {"description": "Done, in the old shape.", "content": _OBJECT},
    **{status: {"description": said, "content": _OBJECT | _PROBLEM} for status, said in _SAID.items()},
}


class GatewayRefusal(OldRefusal):
    """A refusal in the gateway's shape: `{success: false, error, error_code?, …}`."""

    def __init__(self, status: int, error: str, code: str = "", /, **more: Any) -> None:
        super().__init__(status, error)
        self.body = {"success": False, "error": error, **({"error_code": code} if code else {}), **more}


def gateway_router() -> APIRouter:
    """Answer a router whose routes are described as the old gateway's."""
    return APIRouter(tags=[GATEWAY_TAG], responses=ANSWERS)


async def caller(request: Request) -> str:
    """Answer who calls: by the secret, or by a token of the hub. Errors: `GatewayRefusal` 401, 403."""
    parts = parts_of(request)
    if shows_secret(request.headers, parts.settings):
        return "gateway secret"
    who = who_of(request)
    if who.kind == "nobody" and request.headers.get(SECRET):
        raise GatewayRefusal(403, f"Invalid {SECRET}", "UNAUTHORIZED")
    if who.kind == "nobody":
        raise GatewayRefusal(401, f"Missing {SECRET} header", "UNAUTHORIZED")
    if not who.may("jobs:write"):
        raise GatewayRefusal(403, "This needs the scope jobs:write.", "UNAUTHORIZED")
    return who.name or who.id


Caller = Annotated[str, Depends(caller)]


@dataclass(frozen=True, slots=True)
class Channel:
    """One session of the hub, as the gateway's callers know it."""

    configured: Configured
    settings: WppconnectSettings
    state: str
    kind: str

    @property
    def status(self) -> str:
        """Answer the word that the gateway used; only a proven session is connected."""
        if self.state == "live":
            return "connected"
        if self.kind == "pairing":
            return "qr_required"
        if self.kind == "starting":
            return "waiting_qr"
        return "disconnected" if self.state else "unknown"

    def out(self, asked: str = "") -> Body:
        """Answer it in the gateway's shape. asked: the id by which a caller knows it."""
        name = asked or self.settings.session_name
        return {"id": name, "name": name, "status": self.status}


async def channels_of(parts: Parts) -> list[Channel]:
    """Answer every WhatsApp session that is switched on, by name."""

    def read(tx: Connection) -> list[Channel]:
        c = connection_states.c
        states = {row.connection: row for row in tx.execute(select(c.connection, c.state, c.kind))}
        found = [one for one in parts.registry.all(tx) if one.connector == CONNECTOR and one.desired == "on"]
        return [_channel(one, states.get(one.id)) for one in found]

    return sorted(await parts.store.read(read), key=lambda one: one.settings.session_name)


def _channel(one: Configured, row: Any) -> Channel:
    settings = cast("WppconnectSettings", one.settings)
    return Channel(one, settings, row.state if row else "", row.kind if row else "")


async def channel_named(parts: Parts, name: str) -> Channel:
    """Answer the session of this name: exactly so if there is one, else whatever its spelling.

    Errors: `GatewayRefusal` 404.
    """
    found = await channels_of(parts)
    exact = [one for one in found if one.settings.session_name == name]
    known = exact or [one for one in found if session_key(name) in one.settings.names]
    if not known:
        raise GatewayRefusal(404, "Channel not found", "CHANNEL_NOT_FOUND")
    return known[0]


async def body_of(request: Request) -> Body:
    """Answer the JSON object of a request, `{}` for none. Errors: `GatewayRefusal` 400."""
    raw = await request.body()
    if not raw.strip():
        return {}
    try:
        read: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise GatewayRefusal(400, "The body is not JSON.", "INVALID_JSON") from None
    if not isinstance(read, dict):
        raise GatewayRefusal(400, "Send a JSON object.", "INVALID_JSON")
    return cast("Body", read)


def word(body: Mapping[str, Any], *names: str) -> str:
    """Answer the first of these fields that is a text, `""` for none."""
    return next((value for name in names if isinstance(value := body.get(name), str) and value), "")
