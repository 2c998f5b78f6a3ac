"""Upstreams' door: webhooks in, durable before the answer. A plain ASGI app, because it is a hot path.

`POST /hooks/<connection>/<token>`. 200: written down, whatever it says. 401: no such address. 503 with
Retry-After: nothing was taken, send again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import Request
from starlette.types import Receive, Scope, Send

from atalaia.clock import to_ms
from atalaia.connections.pairing import note_code
from atalaia.connections.registry import Version
from atalaia.connections.session import Hook, Hooked
from atalaia.errors import ConfigError, StoreUnavailable
from atalaia.events.log import Source
from atalaia.store.bell import LEASES
from atalaia.store.files import FOLDER, FileStore
from atalaia.web import bodies
from atalaia.web.i18n import N_
from atalaia.web.limits import Limiter
from atalaia.web.parts import Parts
from atalaia.web.problems import Problem, defect, of_error, respond, too_many

log = structlog.get_logger(__name__)

PREFIX = "/hooks/"
BYTES_MAX = 96 * 1024 * 1024  # a file of 64 MB as base64, and its message around it
LARGE_BYTES = 1024 * 1024
LARGE_AT_ONCE = 4
_KNOWN_S = 2.0
_HEADERS = [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff")]
_RETRY = {"Retry-After": "1"}
_TAKEN = b'{"success":true}'


@dataclass(frozen=True, slots=True)
class _Known:
    """One address that takes webhooks, as it was read in this version."""

    version: Version
    hook: Hook | None
    settings: Any
    on: bool


class Hooks:
    """Takes webhooks for the connections whose connector declares a hook."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._clock = parts.ambient.clock
        self._files = FileStore(parts.settings.data_dir / FOLDER, parts.ambient)
        self._known: dict[str, _Known] = {}
        self._versions: dict[str, Version] = {}
        self._versions_until, self._rung = 0.0, -1
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._waiting = 0
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._strangers = Limiter(parts.ambient.clock, parts.settings.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._take(scope, receive)
        except (Problem, StoreUnavailable) as error:
            await self._refuse(scope, receive, send, of_error(error) or defect())
            return
        except Exception as error:
            log.error("hooks.defect", exc_info=error)
            await self._refuse(scope, receive, send, defect())
            raise
        length = (b"content-length", str(len(_TAKEN)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, length]})
        await send({"type": "http.response.body", "body": _TAKEN})

    async def _take(self, scope: Scope, receive: Receive) -> None:
        if scope["method"] != "POST":
            raise Problem(
                405, "method-not-allowed", N_("This address does not take that method"),
                "Send webhooks by POST.", headers={"Allow": "POST"},
            )  # fmt: skip
        connection, _, token = scope["path"][len(PREFIX) :].partition("/")
        known = await self._look(connection)
        if (
            known is None
            or known.hook is None
            or not hmac.compare_digest(known.hook.token(known.settings).encode(), token.encode())
        ):
            raise self._stranger(scope)
        if not known.on:
            raise Problem(
                409, "switched-off", N_("This connection is switched off"), "Nothing was taken.",
                todo=N_("Switch the connection on, then send again."),
            )  # fmt: skip
        await self.hear(connection, known.hook, known.settings, _length(scope), receive)

    async def hear(
        self, connection: str, hook: Hook, settings: Any, announced: str, receive: Receive
    ) -> None:
        """Write down one webhook; durable when this returns. Errors: `Problem`, `StoreUnavailable`."""
        if self._waiting >= self._parts.settings.intake_waiting_max:
            raise Problem(
                503, "busy", N_("Too much is waiting to be written"),
                "Nothing was taken. Send it again in a second.", headers=_RETRY,
            )  # fmt: skip
        self._waiting += 1
        try:
            if announced.isdigit() and int(announced) < LARGE_BYTES:
                await self._write(connection, hook, settings, announced, receive)
                return
            async with self._large:  # a few large ones at once would be the memory of the whole hub
                await self._write(connection, hook, settings, announced, receive)
        finally:
            self._waiting -= 1

    async def _write(
        self, connection: str, hook: Hook, settings: Any, announced: str, receive: Receive
    ) -> None:
        body = await bodies.read_body(announced, receive, most=BYTES_MAX)
        came_ms = to_ms(self._clock.now())
        if len(body) < LARGE_BYTES:
            hooked = hook.take(settings, body, came_ms)
        else:
            hooked = await asyncio.to_thread(hook.take, settings, body, came_ms)
        if hooked.files:
            await self._keep_files(hooked)
        if hooked.code is not None:
            box, code = self._parts.secretbox, hooked.code
            await self._parts.store.write(lambda tx: note_code(tx, box, connection, code, came_ms))
        await self._parts.log.put(Source(connection), hooked.heard)

    async def _keep_files(self, hooked: Hooked) -> None:
        """Keep the files before the event that names them."""
        try:
            for content in hooked.files.values():
                await asyncio.to_thread(self._files.keep, content)
        except OSError as error:
            raise StoreUnavailable(f"A file could not be written: {error.strerror}.") from error

    async def _look(self, connection: str) -> _Known | None:
        """Answer the address as it is; what another worker changed counts seconds later.

        Opening the settings of a thousand sessions each two seconds would be a third of the hub's work.
        """
        if self._rung != self._parts.store.bell.count(LEASES):
            await self._look_for_changes()
        elif self._is_old() and not self._reading.locked():
            # Whether another worker changed something is read beside: a webhook waits for no read.
            self._task = asyncio.create_task(self._look_beside())
        version = self._versions.get(connection)
        if version is None:
            return None
        known = self._known.get(connection)
        if known is None or known.version != version:
            known = await self._find(connection, version)
            self._known[connection] = known
        return known

    async def _look_beside(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self._look_for_changes()

    def _is_old(self) -> bool:
        rung = self._parts.store.bell.count(LEASES)
        return rung != self._rung or self._versions_until <= self._clock.monotonic()

    async def _look_for_changes(self) -> None:
        async with self._reading:
            if not self._is_old():
                return  # somebody else has just looked
            rung, now = self._parts.store.bell.count(LEASES), self._clock.monotonic()
            self._versions = await self._parts.store.read(self._parts.registry.versions)
            self._rung, self._versions_until = rung, now + _KNOWN_S
            for gone in self._known.keys() - self._versions.keys():
                del self._known[gone]

    async def _find(self, connection: str, version: Version) -> _Known:
        registry = self._parts.registry
        try:
            found = await self._parts.store.read(lambda tx: registry.get(tx, connection))
        except ConfigError as error:
            raise Problem(
                503, "wrong-settings", N_("The settings of this connection cannot be read"), str(error),
                headers=_RETRY,
            ) from None  # fmt: skip
        connector = self._parts.connectors.get(found.connector) if found is not None else None
        if found is None or connector is None:
            return _Known(version, None, None, False)
        return _Known(version, connector.hook, found.settings, found.desired == "on")

    def _stranger(self, scope: Scope) -> Problem:
        """Answer the refusal of an address that nobody has; guessing is slowed down."""
        client = scope.get("client")
        wait_s = self._strangers.take(str(client[0]) if client else "")
        if wait_s:
            return too_many(wait_s)
        return Problem(
            401, "unknown-hook", N_("This address takes no webhooks"), "Nothing was taken.",
            todo=N_("Copy the webhook address from the connection's page."),
        )  # fmt: skip

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, problem: Problem) -> None:
        state = scope.setdefault("state", {})
        state["request_id"] = self._parts.ambient.ids.new()
        # Not the path: it holds the token.
        log.info("hooks.refused", id=state["request_id"], problem=problem.slug)
        await respond(Request(scope), problem)(scope, receive, send)


def _length(scope: Scope) -> str:
    raw: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value.decode("latin-1") for name, value in raw if name == b"content-length"), "")
