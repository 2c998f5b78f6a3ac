"""Who may call the old clients' addresses: a key, a portal session, an API token, or a network that is open.

The original left most of them open. Here everybody has to show something, unless `old_open_networks` says
otherwise; what the original protected stays protected there, too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal, cast

import orjson
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import SecretStr

from atalaia.desk.old_clients.kept import OldSession, find_session
from atalaia.web.access import who_of
from atalaia.web.old.traffilog.common import OldRefusal, now_ms
from atalaia.web.parts import Parts, parts_of

Role = Literal["worker", "admin", "technician", "program", "open"]
ADMIN_UNSET, ADMIN_WRONG = "SESSION_TOKEN_ADMIN_KEY not set", "unauthorized"
WORKER_UNSET, WORKER_WRONG = "WORKER_KEY_NOT_SET", "WORKER_KEY_INVALID"
NO_SESSION, BAD_SESSION = "missing_token", "expired_or_invalid"
WORKER_KEY, ADMIN_KEY, SESSION = "x-worker-key", "x-admin-key", "x-session-token"
KEY_CHARS = 400

_bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="An API token (Settings, API tokens)."
)
_worker = APIKeyHeader(name=WORKER_KEY, auto_error=False, scheme_name="worker key")
_admin = APIKeyHeader(name=ADMIN_KEY, auto_error=False, scheme_name="admin key")
_session = APIKeyHeader(name=SESSION, auto_error=False, scheme_name="portal session")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. name: for the record of what was done. session: a technician's."""

    role: Role
    name: str
    address: str
    session: OldSession | None = None


async def caller_of(request: Request, scope: str) -> Caller | None:
    """Answer who calls by what he shows, None when it is nothing good. scope: what an API token needs."""
    parts = parts_of(request)
    address = str(request.state.address)
    who = who_of(request)
    if who.kind != "nobody":
        if not who.may(scope):
            raise OldRefusal(403, "forbidden", detail=f"This needs the scope {scope}.")
        return Caller("program", who.name or who.id, address)
    settings = parts.settings
    if _same(request.headers.get(ADMIN_KEY), settings.old_admin_key):
        return Caller("admin", "admin key", address)
    if _same(worker_key_of(request), settings.old_worker_key):
        return Caller("worker", "worker key", address)
    session = await session_of(request, parts)
    return Caller("technician", session.username, address, session) if session else None


def allow(*roles: Role, scope: str) -> Callable[..., Awaitable[Caller]]:
    """Answer a dependency for what the original left open: one of these roles, or an open network."""

    async def allowed(
        request: Request, _t: object = Security(_bearer), _w: object = Security(_worker),
        _a: object = Security(_admin), _s: object = Security(_session),
    ) -> Caller:  # fmt: skip
        caller = await caller_of(request, scope)
        if caller is not None:
            if caller.role in (*roles, "program", "admin"):
                return caller
            raise OldRefusal(403, "forbidden")
        if is_open(parts_of(request), str(request.state.address)):
            return Caller("open", f"network {request.state.address}", str(request.state.address))
        raise OldRefusal(401, BAD_SESSION if session_token(request) else "unauthorized")

    return allowed


def need_key(kind: Literal["worker", "admin"], scope: str) -> Callable[..., Awaitable[Caller]]:
    """Answer a dependency for what the original protected by a key; its words for a missing or wrong one."""
    unset, wrong = (WORKER_UNSET, WORKER_WRONG) if kind == "worker" else (ADMIN_UNSET, ADMIN_WRONG)

    async def allowed(
        request: Request, _t: object = Security(_bearer), _w: object = Security(_worker),
        _a: object = Security(_admin),
    ) -> Caller:  # fmt: skip
        caller = await caller_of(request, scope)
        if caller is not None and caller.role in (kind, "program"):
            return caller
        settings = parts_of(request).settings
        key = settings.old_worker_key if kind == "worker" else settings.old_admin_key
        if not key.get_secret_value():
            raise OldRefusal(500, unset)
        raise OldRefusal(401, wrong)

    return allowed


def need_session(scope: str) -> Callable[..., Awaitable[Caller]]:
    """Answer a dependency for what the original protected by a portal session."""

    async def allowed(
        request: Request, _t: object = Security(_bearer), _s: object = Security(_session),
        _a: object = Security(_admin),
    ) -> Caller:  # fmt: skip
        caller = await caller_of(request, scope)
        if caller is not None and caller.role in ("technician", "program", "admin"):
            return caller
        raise OldRefusal(401, BAD_SESSION if session_token(request) else NO_SESSION)

    return allowed


async def session_of(request: Request, parts: Parts) -> OldSession | None:
    """Answer the technician's session that a request shows."""
    token = session_token(request)
    if not token:
        return None
    return await parts.store.read(lambda tx: find_session(tx, token, now_ms(parts)))


def session_token(request: Request) -> str:
    """Answer the session token of a request, from its header or, for event streams, its query."""
    return (request.headers.get(SESSION) or request.query_params.get("token") or "")[:KEY_CHARS]


def worker_key_of(request: Request) -> str:
    """Answer the worker key of a request: header, or as the newer workers send it, in body or query."""
    given = request.headers.get(WORKER_KEY) or request.query_params.get("worker_key")
    if given:
        return given
    raw: bytes = getattr(request.state, "body", b"")
    if b'"worker_key"' not in raw:
        return ""
    try:
        read: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return ""
    key = cast("Mapping[str, Any]", read).get("worker_key") if isinstance(read, dict) else None
    return key if isinstance(key, str) else ""


def is_open(parts: Parts, address: str) -> bool:
    """Answer whether this address is in a network that needs no key."""
    if not parts.settings.old_open_networks:
        return False
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in ip_network(word, strict=False) for word in parts.settings.old_open_networks)


def _same(given: str | None, key: SecretStr) -> bool:
    """Compare in constant time; an unset key fits nothing."""
    wanted = key.get_secret_value()
    if not given or not wanted or len(given) > KEY_CHARS:
        return False
    digest = [hashlib.sha256(text.encode(errors="surrogatepass")).digest() for text in (given, wanted)]
    return hmac.compare_digest(*digest)


Reader = Annotated[Caller, Depends(allow("worker", "technician", scope="jobs:read"))]
Writer = Annotated[Caller, Depends(allow("worker", "technician", scope="jobs:write"))]
Working = Annotated[Caller, Depends(allow("worker", scope="jobs:write"))]
Watching = Annotated[Caller, Depends(allow("worker", scope="system:read"))]
Administering = Annotated[Caller, Depends(allow(scope="jobs:write"))]
CatalogReader = Annotated[Caller, Depends(allow("worker", "technician", scope="installations:read"))]
CatalogAdmin = Annotated[Caller, Depends(allow(scope="catalogs:write"))]
WorkerKey = Annotated[Caller, Depends(need_key("worker", "jobs:write"))]
AdminKey = Annotated[Caller, Depends(need_key("admin", "settings:admin"))]
CatalogKey = Annotated[Caller, Depends(need_key("admin", "catalogs:write"))]
Technician = Annotated[Caller, Depends(need_session("installations:write"))]
TechnicianReads = Annotated[Caller, Depends(need_session("installations:read"))]
