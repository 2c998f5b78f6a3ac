"""HTTP clients that the sessions of one place share: thousands of sessions, and a few open sockets.

A client of its own for each session costs a socket, a pool and its timers, and its socket is closed again
before the next look. Nothing of a session is kept in here: no cookies, no headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import aiohttp

IDLE_SOCKET_S = 4.0  # Node closes an idle socket after five; a call on a closing one is in doubt


@dataclass
class _Line:
    http: aiohttp.ClientSession
    users: int = 0


_Lines = dict[tuple[str, bool], _Line]
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lines] = WeakKeyDictionary()


@asynccontextmanager
async def shared_client(base: str, *, tls_verify: bool) -> AsyncGenerator[aiohttp.ClientSession]:
    """Answer the client of a place; it is closed when the last one leaves.

    It has no limit of its own: calls to hung pages wait long, and must not hold up those of other sessions.
    """
    lines = _open.setdefault(asyncio.get_running_loop(), {})
    line = lines.get((base, tls_verify))
    if line is None:
        line = lines[base, tls_verify] = _Line(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, ssl=tls_verify or False, keepalive_timeout=IDLE_SOCKET_S
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        )
    line.users += 1
    try:
        yield line.http
    finally:
        line.users -= 1
        if not line.users:
            del lines[base, tls_verify]
            await line.http.close()
