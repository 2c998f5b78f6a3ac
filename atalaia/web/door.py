"""What happens to every request before a route sees it, and to every answer before it leaves.

Written as one plain ASGI layer: who asks, whether the browser was tricked, how big, how often; request
id, security headers and one access line on the way out.
"""

from __future__ import annotations

import hmac

import structlog
from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atalaia.errors import StoreUnavailable
from atalaia.web import bodies, flash
from atalaia.web.access import COOKIE, NOBODY, TokenCache, Who, bearer_of, of_session, of_token
from atalaia.web.headers import Origin, security_headers
from atalaia.web.i18n import N_
from atalaia.web.limits import Limiter
from atalaia.web.old.gateway.secret import BYTES_MAX, shows_secret, takes_files
from atalaia.web.old.traffilog.cors import OldOrigins
from atalaia.web.parts import Parts
from atalaia.web.problems import Problem, of_error, respond, shown_path, too_many
from atalaia.web.render import CSRF_FIELD, CSRF_HEADER

log = structlog.get_logger("atalaia.web.access_log")

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Neither identity nor a line in the access log.
_PLAIN = ("/static/", "/favicon")


class Door:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, parts: Parts, cache: TokenCache, origins: OldOrigins) -> None:
        self._app = app
        self._parts = parts
        self._cache = cache
        self._old_origins = origins
        self._origin = Origin(parts.settings)
        self._limiter = Limiter(parts.ambient.clock, parts.settings.requests_per_minute)
        self._headers = security_headers(parts.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        answer = _Answer(self._headers, send)
        if path.startswith(_PLAIN):
            await self._app(scope, receive, answer.send)
            return
        began = self._parts.ambient.clock.monotonic()
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        state["request_id"] = answer.id = self._parts.ambient.ids.new()
        scope["scheme"] = self._origin.scheme(scope, headers)
        try:
            receive = await self._let_in(scope, headers, receive, answer)
        except (Problem, StoreUnavailable) as error:
            problem = of_error(error)
            assert problem is not None
            state.setdefault("who", NOBODY)
            await respond(Request(scope), problem)(scope, receive, answer.send)
        else:
            await self._app(scope, receive, answer.send)
        finally:
            self._note(scope, answer, began)

    async def _let_in(self, scope: Scope, headers: Headers, receive: Receive, answer: _Answer) -> Receive:
        """Find out who asks and whether he may ask at all; answer how to read the body from here on."""
        state = scope["state"]
        state["address"] = address = self._origin.address(scope, headers)
        bodies.check_address(scope.get("raw_path") or b"", scope.get("query_string") or b"")
        state["who"] = who = await self._identify(scope, headers, address)
        state["person"] = who.person
        state["counts"] = scope["app"].state.health_service.counts()
        state["csrf"] = who.session.csrf if who.session else ""
        state["flashes"] = self._flashes(scope, headers, answer)
        path, settings = scope["path"], self._parts.settings
        # A gateway that delivers is no stranger: what it is refused, it may lose.
        gateway = path.startswith("/api/") and shows_secret(headers, settings)
        if path.startswith("/api/") and not gateway and (wait_s := self._limiter.take(who.id or address)):
            raise too_many(wait_s)
        if scope["method"] in SAFE:
            return receive
        most = bodies.most_bytes(path, settings.body_bytes_max)
        if takes_files(path) and (gateway or who.kind == "token"):
            most = max(most, BYTES_MAX)
        body = await bodies.read_body(headers.get("content-length", ""), receive, most=most)
        bodies.check_body(headers, body)
        self._check_forgery(path, who, headers, body)
        state["body"] = body
        return bodies.again(body, receive)

    async def _identify(self, scope: Scope, headers: Headers, address: str) -> Who:
        authorization = headers.get("authorization")
        if authorization is not None:
            token = await self._cache.find(bearer_of(authorization)) if bearer_of(authorization) else None
            return of_token(token, address) if token is not None else NOBODY
        cookie = Request(scope).cookies.get(COOKIE)
        session = await self._parts.sessions.find(cookie) if cookie else None
        return of_session(session, address) if session is not None else NOBODY

    def _flashes(self, scope: Scope, headers: Headers, answer: _Answer) -> list[tuple[str, str]]:
        """Answer what the last request had to say, once, to the page that shows it."""
        if scope["method"] != "GET" or "text/html" not in headers.get("accept", ""):
            return []
        cookie = Request(scope).cookies.get(flash.COOKIE)
        if not cookie:
            return []
        answer.more.append((b"set-cookie", flash.gone()))
        return flash.read(cookie)

    def _check_forgery(self, path: str, who: Who, headers: Headers, body: bytes) -> None:
        """Refuse what another site makes a browser send. Programs with a token carry no cookie to abuse."""
        if who.kind == "token":
            return
        if who.session is None and self._old_origins.allow(path, headers.get("origin")):
            return  # a page that the settings name; it proves itself by a key or a portal session
        if not self._origin.same(headers):
            raise _forged("It came from another site.")
        if who.session is None:
            return
        given = headers.get(CSRF_HEADER) or bodies.form_field(headers, body, CSRF_FIELD)
        if not hmac.compare_digest(given.encode(), who.session.csrf.encode()):
            raise _forged("The token that proves it came from our page is missing or old.")

    def _note(self, scope: Scope, answer: _Answer, began: float) -> None:
        who: Who = scope["state"].get("who", NOBODY)
        took_ms = round((self._parts.ambient.clock.monotonic() - began) * 1000, 1)
        # No colon behind the kind: `token:…` looks like a secret, and the id that finds the sender is masked.
        say = log.debug if scope["path"].startswith(("/health", "/metrics", "/live")) else log.info
        say(
            "request", id=answer.id, method=scope["method"], path=shown_path(scope["path"]),
            status=answer.status or 500, took_ms=took_ms, by=f"{who.kind} {who.id}".rstrip(),
            address=scope["state"].get("address", ""),
        )  # fmt: skip


class _Answer:
    """Adds our headers to an answer and remembers its status."""

    def __init__(self, headers: list[tuple[bytes, bytes]], send: Send) -> None:
        self.status = 0
        self.id = ""
        self.more: list[tuple[bytes, bytes]] = []
        self._headers = headers
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.setdefault("headers", [])
            there = {name.lower() for name, _ in headers}
            headers += [one for one in self._headers if one[0] not in there] + self.more
            if self.id:
                headers.append((b"x-request-id", self.id.encode()))
        await self._send(message)


def _forged(detail: str) -> Problem:
    return Problem(
        403, "forged", N_("The request was not made on our page"), detail,
        todo=N_("Load the page again and repeat what you did."),
    )  # fmt: skip
