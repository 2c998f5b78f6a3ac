"""Developers' door: CloudEvents in, durable before the answer. A plain ASGI app, because it is the hot path.

202: written down. 200: all of it was known already. 503 with Retry-After: nothing was taken, send again.
"""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import Request
from sqlalchemy import Connection, select
from starlette.types import Receive, Scope, Send

from atalaia.clock import to_ms
from atalaia.desk.people.model import Token
from atalaia.errors import StoreUnavailable
from atalaia.events.log import Source
from atalaia.events.model import Appended, Heard
from atalaia.store.tables import connections
from atalaia.web import bodies
from atalaia.web.access import TokenCache, bearer_of, unauthenticated
from atalaia.web.cloudevents import NotCloudEvents, read_request
from atalaia.web.i18n import N_
from atalaia.web.limits import Limiter
from atalaia.web.parts import Parts
from atalaia.web.problems import Problem, defect, not_found, of_error, respond, too_many

log = structlog.get_logger(__name__)

PREFIX = "/api/intake/"
SCOPE = "events:write"
_KNOWN_S = 2.0
_KNOWN_MAX = 1_000
_HEADERS = [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff")]
_RETRY = {"Retry-After": "1"}
_WANTED = frozenset({b"authorization", b"content-type", b"content-length", b"ce-specversion"})


class Intake:
    """Takes events for the connections whose connector is `intake`."""

    def __init__(self, parts: Parts, cache: TokenCache) -> None:
        self._parts = parts
        self._cache = cache
        self._clock = parts.ambient.clock
        self._waiting = 0
        self._strangers = Limiter(parts.ambient.clock, parts.settings.requests_per_minute)
        self._known: dict[str, tuple[str, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, answer = await self._take(scope, receive)
        except (Problem, StoreUnavailable) as error:
            problem = of_error(error) or defect()
            await self._refuse(scope, receive, send, problem)
            return
        except Exception as error:
            log.error("intake.defect", exc_info=error)
            await self._refuse(scope, receive, send, defect())
            raise
        await send({"type": "http.response.start", "status": status, "headers": [*_HEADERS, _length(answer)]})
        await send({"type": "http.response.body", "body": answer})

    async def _take(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        raw: list[tuple[bytes, bytes]] = scope["headers"]
        connection: str = scope["path"][len(PREFIX) :]
        headers = {name: value for name, value in raw if name in _WANTED}
        if scope["method"] != "POST":
            raise _only_post()
        secret = bearer_of(headers.get(b"authorization", b"").decode("latin-1"))
        token = self._cache.peek(secret) or await self._cache.find(secret)
        if token is None:
            raise self._stranger(scope)
        _check_token(token)
        now = self._clock.monotonic()
        known = self._known.get(connection)
        if known is None or known[1] < now:
            known = await self._look(connection, now)
        _check_connection(known[0])
        most = self._parts.settings.intake_bytes_max
        body = await bodies.read_body(
            headers.get(b"content-length", b"").decode("latin-1"), receive, most=most
        )
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        attributes = _attributes(raw) if b"ce-specversion" in headers else {}
        try:
            heard = read_request(content_type, attributes, body, to_ms(self._clock.now()))
        except NotCloudEvents as error:
            raise Problem(
                400,
                "not-cloudevents",
                N_("These are no CloudEvents that fit"),
                str(error),
                errors=error.faults,
            ) from None
        return _answer(await self._append(connection, heard))

    async def _append(self, connection: str, heard: list[Heard]) -> list[Appended]:
        """Write them down, unless so many wait already that the answer would be late."""
        if self._waiting and self._waiting + len(heard) > self._parts.settings.intake_waiting_max:
            raise Problem(
                503, "busy", N_("Too much is waiting to be written"), "Nothing was taken. Send it again "
            "in a second.",
                headers=_RETRY,
            )  # fmt: skip
        self._waiting += len(heard)
        try:
            return await self._parts.log.put(Source(connection), heard)
        finally:
            self._waiting -= len(heard)

    def _stranger(self, scope: Scope) -> Problem:
        """Answer the refusal of a request without a good token; made-up tokens cost a read each."""
        client = scope.get("client")
        wait_s = self._strangers.take(str(client[0]) if client else "")
        return too_many(wait_s) if wait_s else unauthenticated()

    async def _look(self, connection: str, now: float) -> tuple[str, float]:
        """Look whether a connection takes events, and believe it for seconds."""
        desired = await self._parts.store.read(lambda tx: _desired(tx, connection))
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        known = self._known[connection] = (desired, now + _KNOWN_S)
        return known

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, problem: Problem) -> None:
        state = scope.setdefault("state", {})
        state["request_id"] = self._parts.ambient.ids.new()
        log.info("intake.refused", id=state["request_id"], path=scope["path"], problem=problem.slug)
        await respond(Request(scope), problem)(scope, receive, send)


def _answer(appended: list[Appended]) -> tuple[int, bytes]:
    duplicates = sum(1 for one in appended if one.duplicate)
    seqs = ",".join([str(one.seq) for one in appended])
    text = f'{{"accepted":{len(appended) - duplicates},"duplicates":{duplicates},"seqs":[{seqs}]}}'
    return (200 if duplicates and duplicates == len(appended) else 202), text.encode()


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode()


def _attributes(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Answer the headers of binary mode."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in raw if name.startswith(b"ce-")}


def _check_token(token: Token) -> None:
    if SCOPE not in token.scopes:
        raise Problem(403, "forbidden", N_("You may not do that"), f"This needs the scope {SCOPE}.")


def _check_connection(desired: str) -> None:
    """Refuse events for a connection that takes none."""
    if desired == "":
        raise not_found("intake connection")
    if desired != "on":
        raise Problem(
            409, "switched-off", N_("This connection is switched off"), "Nothing was taken.",
            todo=N_("Switch the connection on, then send again."),
        )  # fmt: skip


def _only_post() -> Problem:
    return Problem(
        405, "method-not-allowed", N_("This address does not take that method"), "Send events by POST.",
        headers={"Allow": "POST"},
    )  # fmt: skip


def _desired(tx: Connection, identity: str) -> str:
    """Answer whether an intake connection is on or off, `""` when there is none."""
    c = connections.c
    found = select(c.desired).where(c.id == identity, c.connector == "intake", c.deleted_ms.is_(None))
    return tx.scalar(found) or ""


_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 512},
        "source": {"type": "string", "minLength": 1, "maxLength": 512},
        "type": {"type": "string", "minLength": 1, "maxLength": 100},
        "subject": {"type": "string", "maxLength": 200},
        "time": {"type": "string", "format": "date-time"},
        "data": {},
    },
}


def describe() -> dict[str, Any]:
    """Answer the OpenAPI path item of the route."""
    taken = {
        "type": "object",
        "required": ["accepted", "duplicates", "seqs"],
        "properties": {
            "accepted": {"type": "integer"},
            "duplicates": {"type": "integer"},
            "seqs": {"type": "array", "items": {"type": "integer"}},
        },
    }
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    refusals = {"400", "401", "403", "404", "409", "413", "503"}
    return {
        "post": {
            "tags": ["intake"],
            "operationId": "send_events",
            "summary": "Send CloudEvents in",
            "description": "One CloudEvents 1.0 event (structured or binary mode) or a batch. Each is "
            "written "
            "down once, by `source` and `id`, and is durable when the answer comes.",
            "security": [{"token": []}],
            "parameters": [
                {"name": "connection", "in": "path", "required": True, "schema": {"type": "string"}},
            ],
            "requestBody": {
                "required": True,
                "content": {
                    "application/cloudevents+json": {"schema": _EVENT},
                    "application/cloudevents-batch+json": {"schema": {"type": "array", "items": _EVENT}},
                },
            },
            "responses": {
                "202": {"description": "Written down.", "content": {"application/json": {"schema": taken}}},
                "200": {
                    "description": "All known already.",
                    "content": {"application/json": {"schema": taken}},
                },
                **{status: {"description": "Nothing was taken.", "content": problem} for status in refusals},
            },
        }
    }
