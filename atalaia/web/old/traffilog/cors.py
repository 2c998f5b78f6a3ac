"""Pages of other origins may call the old clients' addresses, and only these, when a setting names them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = (
    "content-type, authorization, x-admin-key, x-worker-key, x-session-token, x-installation-token, "
    "x-lease-token, idempotency-key"
)
METHODS = "GET, POST, OPTIONS"
KEPT_S = 600


class OldOrigins:
    """Knows which origins may call which paths."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)
        self._paths: list[re.Pattern[str]] = []

    def learn(self, routers: Sequence[APIRouter]) -> None:
        """Hear which paths there are."""
        self._paths = [
            route.path_regex for router in routers for route in router.routes if isinstance(route, APIRoute)
        ]

    def allow(self, path: str, origin: str | None) -> bool:
        """Answer whether a page of this origin may call this path."""
        if not origin or origin not in self._origins:
            return False
        return any(pattern.match(path) for pattern in self._paths)


class Cors:
    """The layer in front of the door: answers what browsers ask first, and adds the headers they want."""

    def __init__(self, app: ASGIApp, allowed: OldOrigins) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if not self._allowed.allow(scope["path"], origin):
            await self._app(scope, receive, send)
            return
        told = [(b"access-control-allow-origin", str(origin).encode()), (b"vary", b"Origin")]
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            told += [
                (b"access-control-allow-methods", METHODS.encode()),
                (b"access-control-allow-headers", HEADERS.encode()),
                (b"access-control-max-age", str(KEPT_S).encode()),
                (b"content-length", b"0"),
            ]
            await send({"type": "http.response.start", "status": 204, "headers": told})
            await send({"type": "http.response.body", "body": b""})
            return

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                exposed = (b"access-control-expose-headers", b"x-jobsnext-gate, x-request-id, retry-after")
                message["headers"] = [*message.get("headers", []), *told, exposed]
            await send(message)

        await self._app(scope, receive, add)
