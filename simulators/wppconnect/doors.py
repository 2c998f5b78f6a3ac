"""What both HTTP doors are made of: a port that can close and come back, replies as Express gives them."""

from __future__ import annotations

import io
from typing import Any

import orjson
from aiohttp import web

from simulators.wppconnect.models import Json, as_object


class Door:
    """One HTTP server on one port. `open` takes the same port again after `close`."""

    def __init__(self, app: web.Application, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self._site: web.TCPSite | None = None
        self._set_up = False
        # As in Express, a handler goes on when its client has gone: what was begun is finished.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handle_signals=False)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def open(self) -> None:
        if self._site is not None:
            return
        if not self._set_up:
            await self._runner.setup()
            self._set_up = True
        self._site = web.TCPSite(self._runner, self.host, self.port, reuse_address=True)
        await self._site.start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Refuse new connections and break the old ones; what goes on behind goes on."""
        if self._site is None:
            return
        site, self._site = self._site, None
        await site.stop()
        if self._runner.server is not None:
            for handler in self._runner.server.connections:
                if handler.transport is not None:
                    handler.transport.abort()

    async def stop(self) -> None:
        await self._runner.cleanup()


def html(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8")


def no_such_route(request: web.Request) -> web.Response:
    """Answer what Express says of a route that it does not have."""
    said = f"Cannot {request.method} {request.path}"
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Error</title>\n</head>\n'
    )
    return html(404, f"{page}<body>\n<pre>{said}</pre>\n</body>\n</html>\n")


def dump(data: Any) -> bytes:
    return orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS)


def answer(data: Any, status: int = 200) -> web.Response:
    return web.Response(body=dump(data), status=status, content_type="application/json", charset="utf-8")


def upload(value: Any) -> bytes | io.BytesIO:
    """Answer a JSON body; a large one as a file, which aiohttp sends in pieces."""
    raw = dump(value)
    return raw if len(raw) < 1_000_000 else io.BytesIO(raw)


async def read_object(request: web.Request) -> Json:
    """Read a JSON body; anything else is an empty one, as body-parser has it."""
    raw = await request.read()
    if not raw or "json" not in request.content_type:
        return {}
    try:
        body: Any = orjson.loads(raw)
    except ValueError:
        return {}
    return as_object(body)
