"""The server's HTTP API: tokens, the session routes, and the way to reads and sends.

Source: the contract's sections 2.1, 2.2 and 2.9, and the transcripts 01, 02, 03, 09 to 12.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from atalaia.clock import rfc3339, to_ms
from simulators.wppconnect.doors import answer, no_such_route, read_object
from simulators.wppconnect.host import VERSION
from simulators.wppconnect.models import Json, as_object
from simulators.wppconnect.page import Page, PageGone
from simulators.wppconnect.pictures import PAGE_PX, ROUTE_PX, STATUS_PX, qr_base64, qr_png
from simulators.wppconnect.reads import Reads
from simulators.wppconnect.sends import Sends
from simulators.wppconnect.session import Client, Session

if TYPE_CHECKING:
    from simulators.wppconnect.server import WppSimulator

JSON = "application/json"  # exactly: the server compares the whole header
BODY_BYTES = 50 * 1024 * 1024
NOT_ACTIVE: Json = {
    "response": None,
    "status": "Disconnected",
    "message": "A sessão do WhatsApp não está ativa.",
}
CLOSED: Json = {"status": "CLOSED", "qrcode": None}
NOT_STARTED = "Session not started. Please, use the /start-session route, for initialization your session"
WRONG_KEY: Json = {"response": "error", "message": "The token is incorrect"}
NO_TOKEN: Json = {"message": "Token is not present. Check your header and try again"}
BAD_TOKEN: Json = {"error": "Check that the Session and Token are correct"}


@dataclass
class Call:
    """One authenticated request to a session, and what was remembered under its name when it came."""

    session: Session
    client: Client | None
    request: web.Request
    body: Json

    def reply(self, data: Any, status: int = 200) -> web.Response:
        """Answer JSON; a request that says it is JSON gets the session's name too, arrays do not."""
        told = as_object(data)
        if told and not told.get("session") and self.request.headers.get("Content-Type") == JSON:
            name = self.session.reply_name(self.client)
            told = {key: value for key, value in told.items() if key != "session"}
            return answer(told if name is None else {**told, "session": name}, status)
        return answer(data, status)


@dataclass
class PageCall(Call):
    """A request to a session whose page answered a moment ago."""

    page: Page


Handler = Callable[[Call], Awaitable[web.StreamResponse]]
PageHandler = Callable[[PageCall], Awaitable[web.StreamResponse]]


class Api:
    """The Express application."""

    def __init__(self, sim: WppSimulator) -> None:
        self.sim = sim
        self.host = sim.host
        self.calls: dict[str, Counter[str]] = {}  # session -> how often each route was called

    def application(self) -> web.Application:
        app = web.Application(client_max_size=BODY_BYTES, middlewares=[self._express])
        add = app.router.add_route
        add("POST", "/api/{session}/{key}/generate-token", self.generate_token)
        add("POST", "/api/{session}/{key}/clear-session-data", self.clear_session_data)
        add("GET", "/api/{key}/show-all-sessions", self.show_all_sessions)
        add("POST", "/api/{key}/start-all", self.start_all)
        add("GET", "/healthz", self.healthz)
        add("GET", "/unhealthy", self.unhealthy)
        add("GET", "/metrics", self.metrics)
        sessions: dict[tuple[str, str], Handler] = {
            ("POST", "start-session"): self.start_session,
            ("GET", "status-session"): self.status_session,
            ("GET", "check-connection-session"): self.check_connection,
            ("GET", "qrcode-session"): self.qrcode,
            ("POST", "close-session"): self.close,
            ("POST", "logout-session"): self.logout,
        }
        for (method, path), handler in sessions.items():
            add(method, f"/api/{{session}}/{path}", self._with_token(handler))
        for method, path, page_handler in (*Reads(self.host).routes(), *Sends(self.host).routes()):
            add(method, f"/api/{{session}}/{path}", self._with_page(page_handler))
        return app

    # ---- the way in ----------------------------------------------------------------------

    @web.middleware
    async def _express(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            return no_such_route(request)

    def _with_token(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            name, _, in_path = request.match_info["session"].partition(":")
            token = in_path or request.headers.get("Authorization", "").partition(" ")[2]
            if not token:
                return answer(NO_TOKEN, 401)
            if not self.host.is_token(name, token):
                return answer(BAD_TOKEN, 401)
            self.calls.setdefault(name, Counter())[request.path.split("/")[3]] += 1
            session = self.host.session(name)
            return await handler(Call(session, session.client, request, await read_object(request)))

        return guarded

    def _with_page(self, handler: PageHandler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Let a request through to a live page; without one 404, in front of a crashed one it waits."""

        async def guarded(call: Call) -> web.StreamResponse:
            page = call.session.page
            if page is None:
                return call.reply(NOT_ACTIVE, 404)
            try:
                await page.run_script()
                return await handler(PageCall(call.session, call.client, call.request, call.body, page))
            except PageGone:
                return call.reply(NOT_ACTIVE, 404)

        return self._with_token(guarded)

    # ---- with the key --------------------------------------------------------------------

    async def generate_token(self, request: web.Request) -> web.Response:
        name, key = request.match_info["session"], request.match_info["key"]
        if key != self.host.config.secret_key:
            return answer({"response": False, "message": "The SECRET_KEY is incorrect"}, 400)
        token = self.host.token_of(name)
        told = {"status": "success", "session": name, "token": token, "full": f"{name}:{token}"}
        return answer(told, 201)

    async def clear_session_data(self, request: web.Request) -> web.Response:
        """Delete profile and token. A wrong key is answered with 400 and the deed is done all the same."""
        name = request.match_info["session"]
        self.calls.setdefault(name, Counter())["clear-session-data"] += 1
        self.host.delete_profile(name)
        self.host.tokens.pop(name, None)
        self.host.save()
        if request.match_info["key"] != self.host.config.secret_key:
            return answer(WRONG_KEY, 400)
        return answer({"success": True})

    async def show_all_sessions(self, request: web.Request) -> web.Response:
        if request.match_info["key"] != self.host.config.secret_key:
            return answer({"response": False, "message": "The token is incorrect"}, 400)
        return answer({"response": list(self.host.tokens)})

    async def start_all(self, request: web.Request) -> web.Response:
        """Start every stored session. A wrong key is answered with 400 and starts them all the same."""
        self.sim.start_all()
        if request.match_info["key"] != self.host.config.secret_key:
            return answer(WRONG_KEY, 400)
        return answer({"status": "success", "message": "Starting all sessions"}, 201)

    # ---- the process ---------------------------------------------------------------------

    async def healthz(self, request: web.Request) -> web.Response:
        up = self.host.clock.monotonic() - self.host.started_at
        return answer({"uptime": round(up, 3), "message": "OK", "timestamp": to_ms(self.host.clock.now())})

    async def unhealthy(self, request: web.Request) -> web.Response:
        """Answer 503 and end the process, whoever asks; its supervisor starts it again."""
        told = answer({"message": "ERROR", "timestamp": rfc3339(to_ms(self.host.clock.now()))}, 503)
        await told.prepare(request)
        await told.write_eof()
        self.host.spawn(self.sim.faults.start("server_restart"))
        return told

    async def metrics(self, request: web.Request) -> web.Response:
        up = self.host.clock.monotonic() - self.host.started_at
        text = f"# TYPE process_uptime_seconds gauge\nprocess_uptime_seconds {up:.3f}\n"
        return web.Response(text=text, content_type="text/plain")

    # ---- sessions ------------------------------------------------------------------------

    async def start_session(self, call: Call) -> web.StreamResponse:
        """Start, and answer the state before that; held until the first code where that was asked for."""
        waits = bool(call.body.get("waitQrCode")) and call.session.client is None
        before = None if waits else self._state(call)
        client = call.session.start(call.body)
        if before is not None:
            return before
        await client.first_code.wait()
        if client.status == "PHONECODE":
            phone = str(client.config.get("phone"))
            told: Json = {"status": "phoneCode", "phone": phone, "phoneCode": client.phone_code}
        else:
            picture = qr_base64(client.urlcode, PAGE_PX)
            told = {"status": "qrcode", "qrcode": picture, "urlcode": client.urlcode}
        return call.reply({**told, "session": call.session.name})

    async def status_session(self, call: Call) -> web.Response:
        return self._state(call)

    def _state(self, call: Call) -> web.Response:
        client = call.session.client
        if client is None or client.status is None:
            return call.reply(CLOSED)
        skewed = self.host.rules.has("version_skew", session=call.session.name)
        told: Json = {"status": client.status, "qrcode": None}
        if urlcode := self._shown_code(call.session, client):
            told["qrcode"] = f"data:image/png;base64,{qr_base64(urlcode, STATUS_PX)}"
            told["urlcode"] = urlcode
        return call.reply({**told, "version": "2.8.6" if skewed else VERSION})

    def _shown_code(self, session: Session, client: Client) -> str:
        """Answer the last code text; after the login it is a lie that version 2.10.4 keeps telling."""
        stale = client.status == "CONNECTED"
        return "" if stale and not self._keeps_code(session) else client.urlcode

    def _keeps_code(self, session: Session) -> bool:
        return self.host.natural("stale_qr_after_login", session.name)

    async def check_connection(self, call: Call) -> web.Response:
        """Say whether the page can run a script; nothing at all while it is hung or crashed."""
        page = call.session.page
        try:
            if page is None:
                raise PageGone
            await page.run_script()
        except PageGone:
            return call.reply({"status": False, "message": "Disconnected"})
        return call.reply({"status": True, "message": "Connected"})

    async def qrcode(self, call: Call) -> web.Response:
        client = call.session.client
        if client is None:
            return call.reply({"status": None, "message": NOT_STARTED})
        if urlcode := self._shown_code(call.session, client):
            return web.Response(body=qr_png(urlcode, ROUTE_PX), content_type="image/png")
        return call.reply({"status": client.status, "message": "QRCode is not available..."})

    async def close(self, call: Call) -> web.Response:
        status = await call.session.close()
        if status == 200:
            return call.reply({"status": True, "message": "Session successfully closed"})
        error = {"status": False, "message": "Error closing session", "error": {"level": "error"}}
        return call.reply(error, status)

    async def logout(self, call: Call) -> web.Response:
        page = call.session.page
        if page is not None:
            try:
                await page.run_script()
            except PageGone:
                page = None
        if page is None or not await call.session.log_out():
            told = {"status": False, "message": "Error closing session", "error": {"level": "error"}}
            return call.reply(told, 500)
        return call.reply({"status": True, "message": "Session successfully closed"})
