"""The session token of workers outside: handed in by one, kept encrypted, given to those that claim.

The hub's own jobs log in themselves and do not use it. Source: contract §12.2.
"""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import JSONResponse

from atalaia.store.sealed import get_value, set_value
from atalaia.web.old.traffilog.access import AdminKey, Watching, WorkerKey
from atalaia.web.old.traffilog.common import Body, OldRefusal, body_of, now_ms, old_router, takes, word
from atalaia.web.parts import Parts, parts_of

routes = old_router()
TOKEN = "session_token"  # noqa: S105  # the name of a value
TOKEN_CHARS = 4096
PLACE = "database"  # where the original answered a file's path


@routes.get("/api/session-status")
async def status(request: Request, _: Watching) -> JSONResponse:
    """Answer whether there is a session token, and how long it is; never the token."""
    return JSONResponse(_told(await _token(parts_of(request))))


@routes.get("/api/admin/session-token/status")
async def admin_status(request: Request, _: AdminKey) -> JSONResponse:
    """Answer whether there is a session token, how long it is, and where it is kept."""
    return JSONResponse(_told(await _token(parts_of(request))) | {"path": PLACE})


@routes.post("/api/admin/session-token", openapi_extra=takes("token", "sessionToken"))
async def admin_set(request: Request, caller: AdminKey) -> JSONResponse:
    """Keep a session token, encrypted."""
    token = await _set(request, caller.name, "token", "sessionToken")
    return JSONResponse({"ok": True, **_told(token), "path": PLACE})


@routes.get("/api/admin/session-token")
async def admin_get(request: Request, _: AdminKey) -> JSONResponse:
    """Answer the token in the clear, if the setting `old_token_shown` allows it; 403 otherwise."""
    parts = parts_of(request)
    token = await _token(parts)
    if not token:
        raise OldRefusal(404, "not_found")
    if not parts.settings.old_token_shown:
        raise OldRefusal(403, "token_not_shown", detail="The setting old_token_shown is off.", **_told(token))
    return JSONResponse({"token": token}, headers={"Cache-Control": "no-store"})


@routes.post("/api/worker/session-token", openapi_extra=takes("session_token"))
async def worker_set(request: Request, caller: WorkerKey) -> JSONResponse:
    """Keep the session token that a worker has got."""
    await _set(request, caller.name, "session_token", "sessionToken", "token")
    return JSONResponse({"ok": True})


async def _set(request: Request, by: str, *names: str) -> str:
    token = word(await body_of(request), *names, most=TOKEN_CHARS)
    if not token or not token.isprintable():
        raise OldRefusal(400, "missing_token")
    parts = parts_of(request)
    await parts.store.write(
        lambda tx: set_value(tx, parts.secretbox, TOKEN, token, by=by, now_ms=now_ms(parts))
    )
    return token


async def _token(parts: Parts) -> str:
    return await parts.store.read(lambda tx: get_value(tx, parts.secretbox, TOKEN))


def _told(token: str) -> Body:
    return {"hasToken": bool(token), "tokenLen": len(token)}
