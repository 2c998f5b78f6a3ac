"""What the old clients' routes share: refusals in their shape, bodies, and which connection they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection

from atalaia.clock import rfc3339, to_ms
from atalaia.connections.registry import Configured
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.errors import AtalaiaError, Refused, StoreUnavailable
from atalaia.jobs.submit import KeyReused, NoSuchJob, NotNow, WrongParams
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import MEDIA_TYPE

TAG = "old clients"
GATEWAY_TAG = "old gateway"  # of `old/gateway`, which is loaded late
TAGS = frozenset({TAG, GATEWAY_TAG})
CONNECTOR = "traffilog"
WORD_CHARS = 400

Body = dict[str, Any]

_OBJECT: Body = {"application/json": {"schema": {"type": "object"}}}
_PROBLEM: Body = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
_SAID = {
    400: "Something is missing or does not fit; `error` is a stable word.",
    401: "The key, session or token is missing or wrong.",
    403: "The one who asks may not do that.",
    404: "There is no such thing.",
    409: "It does not fit the present state, or no telematics connection is set up.",
    413: "The body is too large.",
    422: "A field does not fit.",
    429: "Too many requests; see Retry-After.",
    500: "A key that this address needs is not configured.",
    502: "The portal cannot be reached or refuses.",
    503: "The database cannot be used now; nothing was done.",
}
ANSWERS: dict[int | str, Body] = {
    200: {"description": "Done, in the old shape.", "content": _OBJECT},
    **{status: {"description": said, "content": _OBJECT | _PROBLEM} for status, said in _SAID.items()},
}
CREATED: dict[int | str, Body] = {201: {"description": "Made, in the old shape.", "content": _OBJECT}}


_WORD = ["string", "integer", "null"]  # ids come as text and as numbers
_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "null": (type(None),), "boolean": (bool,), "object": (dict,),
    "array": (list,),
}  # fmt: skip


def takes(*fields: str) -> Body:
    """Answer the description of a JSON body with these fields, none required; `body_of` holds bodies to it.

    fields: `name` for a word, `name:type` for that type or null, `name:any` for what the clients differ in.
    """
    properties: Body = {}
    for name, _, kind in (field.partition(":") for field in fields):
        properties[name] = {} if kind == "any" else {"type": [kind, "null"] if kind else _WORD}
    schema: Body = {"type": "object", "properties": properties, "additionalProperties": True}
    return {"requestBody": {"required": False, "content": {"application/json": {"schema": schema}}}}


class OldRefusal(Exception):
    """A refusal in the old shape: `{ok: false, error, reason, …}`; both generations find their word."""

    def __init__(
        self, status: int, error: str, /, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(error)
        self.status = status
        self.body: Body = {"ok": False, "error": error, "reason": error, **more}
        self.headers = dict(headers or {})


def old_router() -> APIRouter:
    """Answer a router whose routes are described as the old clients'."""
    return APIRouter(tags=[TAG], responses=ANSWERS)


def install(app: FastAPI) -> None:
    """Make the app answer refusals of these routes in the old shape."""

    async def answer(_: Request, error: Exception) -> Response:
        refusal = cast("OldRefusal", error)
        return JSONResponse(refusal.body, refusal.status, refusal.headers)

    app.add_exception_handler(OldRefusal, answer)


def refusal_of(error: AtalaiaError) -> OldRefusal:
    """Translate what the house raises into the old words; what is no answer to the asker is raised on."""
    match error:
        case NoSuchJob():
            return OldRefusal(404, "not_found")
        case KeyReused():
            return OldRefusal(409, "key_reused", detail=str(error))
        case WrongParams():
            return OldRefusal(400, "missing_fields", detail=str(error), fields=error.fields)
        case NotNow():
            return OldRefusal(409, str(getattr(error, "code", "")) or "status_invalido", detail=str(error))
        case StoreUnavailable():
            raise error
        case Refused():
            return OldRefusal(502, "portal_refused", detail=str(error))
        case _:
            return OldRefusal(502, "upstream_down", detail=str(error))


async def body_of(request: Request) -> Body:
    """Answer the JSON object of a request, `{}` for none, as its route `takes` it.

    Errors: `OldRefusal` 400.
    """
    raw = await request.body()
    if not raw.strip():
        return {}
    try:
        read: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise OldRefusal(400, "invalid_json") from None
    if not isinstance(read, dict):
        raise OldRefusal(400, "invalid_json", detail="Send a JSON object.")
    body = cast("Body", read)
    _check_types(request, body)
    return body


def word(body: Mapping[str, Any], *names: str, most: int = WORD_CHARS) -> str:
    """Answer the first of these fields that says something, as text. Errors: `OldRefusal` 400 when too long.

    Ids come as numbers and as text; objects and lists are no words.
    """
    for name in names:
        value = body.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            continue
        text = str(value).strip()
        if len(text) > most:
            raise OldRefusal(400, "too_long", detail=f"{name} may have {most} characters at most.")
        if text:
            return text
    return ""


def _check_types(request: Request, body: Body) -> None:
    extra: Body = getattr(request.scope.get("route"), "openapi_extra", None) or {}
    described = mapping(extra.get("requestBody")).get("content", {}).get("application/json", {})
    for name, field in mapping(described.get("schema")).get("properties", {}).items():
        if name in body and "type" in field and not _is_one_of(body[name], field["type"]):
            said = f"Send {' or '.join(kind for kind in field['type'] if kind != 'null')}."
            raise OldRefusal(400, "wrong_type", fields=[{"field": name, "said": said}])


def _is_one_of(value: Any, kinds: Sequence[str]) -> bool:
    if isinstance(value, bool):  # which Python takes for a number
        return "boolean" in kinds
    return any(isinstance(value, _KINDS[kind]) for kind in kinds)


def mapping(value: Any) -> Body:
    """Answer a JSON object, `{}` for everything else."""
    return cast("Body", value) if isinstance(value, dict) else {}


def now_ms(parts: Parts) -> int:
    """Answer the moment in Unix milliseconds."""
    return to_ms(parts.ambient.clock.now())


def iso(moment_ms: int | None) -> str | None:
    """Answer a moment as JavaScript writes it, `2026-11-26T15:38:55.000Z`."""
    if moment_ms is None:
        return None
    return rfc3339(moment_ms)


def meant(tx: Connection, parts: Parts) -> Configured:
    """Answer the telematics connection that old clients mean.

    Errors: `OldRefusal` 409 `not_configured` when there is none, or several and no setting says which.
    """
    found = [one for one in parts.registry.all(tx) if one.connector == CONNECTOR]
    wanted = parts.settings.old_connection
    if wanted:
        found = [one for one in found if wanted in (one.id, one.name)]
    if len(found) != 1:
        said = (
            "There is no such telematics connection."
            if not found
            else "There are several telematics connections: say which in the setting old_connection."
        )
        raise OldRefusal(409, "not_configured", detail=said)
    return found[0]


async def meant_of(request: Request) -> tuple[Configured, TraffilogSettings]:
    """Answer the connection that is meant, and its settings. Errors: as `meant`."""
    parts = parts_of(request)
    found = await parts.store.read(lambda tx: meant(tx, parts))
    return found, cast("TraffilogSettings", found.settings)
