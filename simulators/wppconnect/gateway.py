"""The gateway-wrapper: one secret, its own list of channels, and a proxy in front that has a will of its own.

Source: the contract's section 1 and the recordings in `gateway-api/`.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from atalaia.clock import rfc3339, to_ms
from simulators.wppconnect.doors import answer, html, read_object
from simulators.wppconnect.gateway_sends import GatewaySends
from simulators.wppconnect.models import Json
from simulators.wppconnect.objects import key_of
from simulators.wppconnect.relay import Relay
from simulators.wppconnect.wrapped import Answered, WrapError, Wrapped, path_part, pause

if TYPE_CHECKING:
    from simulators.wppconnect.host import Host

WORDS = {
    "CONNECTED": "connected",
    "CLOSED": "disconnected",
    "QRCODE": "qr_required",
    "PHONECODE": "qr_required",
    "INITIALIZING": "waiting_qr",
}
HTML_504 = "<html>\n<head><title>504 Gateway Time-out</title></head>\n<body>nginx</body>\n</html>\n"
HTML_401 = "<html>\n<head><title>401 Authorization Required</title></head>\n<body>nginx</body>\n</html>\n"
NOT_FOUND: Json = {"success": False, "error": "Channel not found", "error_code": "CHANNEL_NOT_FOUND"}
INTAKE = "/webhook/wppconnect"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gateway:
    """The wrapper's API. `aliases`: from a channel's id to the session's name at the server.

    `newer`: whether this build has `start-session`.
    """

    def __init__(
        self, host: Host, secret: str, aliases: dict[str, str], folder: Path | None, *, newer: bool = True
    ) -> None:
        self.host = host
        self.secret = secret
        self.aliases = aliases
        self.newer = newer
        self.relay = Relay(host, secret)
        self.server = Wrapped(host)
        self.refused = 0  # webhooks of the server that were too large
        self._path = folder / "sessions.json" if folder is not None else None
        self.channels: dict[str, Json] = {}
        if self._path is not None and self._path.is_file():
            kept: list[Json] = json.loads(self._path.read_text(encoding="utf-8"))
            self.channels = {str(one["session_id"]): one for one in kept}

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[self._proxy, self._errors])
        add = app.router.add_route
        for method, path, handler in (
            ("GET", "/api/channels", self.list),
            ("POST", "/api/channels", self.create),
            ("GET", "/api/channels/{id}", self.show),
            ("GET", "/api/channels/{id}/qr", self.qr),
            ("DELETE", "/api/channels/{id}", self.delete),
            ("POST", "/api/channels/{id}/webhook", self.channel_webhook),
            ("POST", "/api/webhooks", self.webhook),
            ("GET", "/api/available-sessions", self.available),
            ("POST", "/api/messages", GatewaySends(self).send),
            ("GET", "/api/media/{channel}/{id}", self.media),
            ("GET", "/api/{session}/contact/pn-lid/{lid}", self.pn_lid),
        ):
            add(method, path, self._with_secret(handler))
        if self.newer:
            add("POST", "/api/channels/{id}/start-session", self._with_secret(self.start_session))
        add("POST", INTAKE, self.intake)
        add("GET", "/health", self.health)
        add("GET", "/ui/sessoes", self.page)
        add("GET", "/ui/sessoes/{id}", self.page)
        return app

    async def close(self) -> None:
        await self.relay.close()
        await self.server.close()

    # ---- the way in ----------------------------------------------------------------------

    @web.middleware
    async def _proxy(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The TLS proxy in front: a password of its own, a limit of its own, both answered in HTML."""
        if request.path == INTAKE:
            return await handler(request)
        if self.host.rules.take("proxy_basic_auth") is not None:
            reply = html(401, HTML_401)
            reply.headers["WWW-Authenticate"] = 'Basic realm="restricted"'
            return reply
        rule = next((one for one in self.host.rules.active if one.name == "proxy_504_html"), None)
        if rule is None or str(rule.options.get("path", "")) not in request.path:
            return await handler(request)
        self.host.rules.take("proxy_504_html")
        await request.read()

        async def behind() -> None:
            await handler(request)

        self.host.spawn(behind())
        await pause(self.host, rule.number("after_s", 60.0))
        return html(504, HTML_504)

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            return answer({"success": False, "error": "Route not found"}, 404)
        except WrapError as error:
            return answer({"success": False, "error": str(error), "error_code": error.code}, 500)

    def _with_secret(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("X-Gateway-Secret")
            if given is None:
                return answer({"success": False, "error": "Missing X-Gateway-Secret header"}, 401)
            if not hmac.compare_digest(given.encode(), self.secret.encode()):
                return answer({"success": False, "error": "Invalid X-Gateway-Secret"}, 403)
            return await handler(request)

        return guarded

    # ---- channels ------------------------------------------------------------------------

    def add_channel(self, name: str) -> None:
        """Write a channel into `sessions.json`, the gateway's own truth."""
        if self.channel(name) is None:
            now = rfc3339(to_ms(self.host.clock.now()))
            row = {"session_id": name, "created_at": now, "updated_at": now, "status": "unknown"}
            self.channels[name] = row
            self._save()

    def channel(self, name: str) -> str | None:
        """Answer the id of a channel by its exact name, or by its session's; case counts."""
        by_alias = next((one for one, session in self.aliases.items() if session == name), "")
        return next((one for one in (name, by_alias) if one in self.channels), None)

    def session(self, channel: str) -> str:
        return self.aliases.get(channel, channel)

    def _save(self) -> None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(
                json.dumps([*self.channels.values()], ensure_ascii=False, indent=1), encoding="utf-8"
            )

    async def _status(self, channel: str) -> str:
        try:
            told = await self.server.ask("GET", self.session(channel), "status-session")
        except WrapError:
            return "unknown"
        word = WORDS.get(str(told.object.get("status")), "unknown")
        if channel in self.channels:  # it may have been deleted meanwhile
            self.channels[channel]["status"] = word
        return word

    async def list(self, request: web.Request) -> web.Response:
        """List the channels of `sessions.json`, asking the server for one after the other."""
        rule = self.host.rules.take("slow_list")
        if rule is not None:
            await pause(self.host, rule.number("delay_s", 45.0))
        rows: list[Json] = []
        for name in list(self.channels):
            rows.append({"id": name, "name": name, "status": await self._status(name)})
        return answer({"success": True, "channels": rows, "total": len(rows)})

    async def create(self, request: web.Request) -> web.Response:
        """Create a channel, in `sessions.json` alone: the server hears nothing of it."""
        name = str((await read_object(request)).get("channel") or "")
        if not name:
            return answer({"success": False, "error": "channel is required"}, 400)
        self.add_channel(name)
        told = {"success": True, "qr_required": True, "channel": name}
        return answer({**told, "message": "Session created successfully"}, 201)

    async def show(self, request: web.Request) -> web.Response:
        name = self.channel(request.match_info["id"])
        if name is None:
            return answer(NOT_FOUND, 404)
        asked = request.match_info["id"]
        told = {"id": asked, "name": asked, "status": await self._status(name)}
        return answer({"success": True, "channel": told})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a channel, and its pairing with it."""
        name = self.channel(request.match_info["id"])
        if name is None:
            return answer(NOT_FOUND, 404)
        await self.server.ask("POST", self.session(name), "logout-session", {})
        self.channels.pop(name, None)
        self._save()
        return answer({"success": True})

    async def start_session(self, request: web.Request) -> web.Response:
        name = self.channel(request.match_info["id"])
        if name is None:
            return answer(NOT_FOUND, 404)
        await self.server.ask("POST", self.session(name), "start-session", {})
        return answer({"success": True})

    # ---- the code ------------------------------------------------------------------------

    async def qr(self, request: web.Request) -> web.Response:
        """Answer the code, and start or reconnect the session on the way: what a click on it did.

        How a CONNECTED session whose browser is dead comes back by this call is assumed: close, then start.
        """
        name = self.channel(request.match_info["id"])
        if name is None:
            return answer(NOT_FOUND, 404)
        session = self.session(name)
        told = (await self.server.ask("GET", session, "status-session")).object
        if told.get("status") == "QRCODE":
            return answer({"success": True, "qr": told.get("qrcode")})
        if told.get("status") == "CLOSED":
            await self.server.ask("POST", session, "start-session", {})
            await pause(self.host, self.host.pace.gateway_qr_s)
            return answer(_no_code("INITIALIZING", "Session is starting"))
        if told.get("status") == "CONNECTED":
            check = (await self.server.ask("GET", session, "check-connection-session")).object
            if not check.get("status"):
                await self.server.ask("POST", session, "close-session", {})
                await self.server.ask("POST", session, "start-session", {})
                return answer(_no_code("INITIALIZING", "Session is reconnecting"))
        return self._picture(session, await self.server.ask("GET", session, "qrcode-session"))

    def _picture(self, session: str, told: Answered) -> web.Response:
        if told.kind == "image/png":
            return answer({"success": True, "qr": base64.b64encode(told.data).decode()})
        status = str(told.object.get("status"))
        if status == "CONNECTED" and self.host.rules.has("qr_500", session=session):
            error = "WPPConnect getQRCode failed: Invalid QR code response from server"
            return answer({"success": False, "error": error}, 500)
        if status in ("CONNECTED", "INITIALIZING"):
            return answer(_no_code(status, str(told.object.get("message"))))
        return answer({"success": False, "error": str(told.object.get("message"))}, 409)

    # ---- webhooks ------------------------------------------------------------------------

    async def channel_webhook(self, request: web.Request) -> web.Response:
        name, body = self.channel(request.match_info["id"]), await read_object(request)
        if name is None:
            return answer(NOT_FOUND, 404)
        self.relay.subscribe(str(body["url"]), str(body.get("secret") or ""), name)
        return answer({"success": True})

    async def webhook(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        self.relay.subscribe(str(body["url"]), str(body.get("secret") or ""))
        return answer({"success": True})

    async def intake(self, request: web.Request) -> web.Response:
        """Take a webhook of the server; one whose session is not named belongs to nobody."""
        raw = await request.read()
        payload: Json = json.loads(raw)
        session = str(payload.get("session") or "unknown")
        rule = next(
            (one for one in self.host.rules.active
             if one.name == "payload_too_large" and one.fits({"session": session})), None
        )  # fmt: skip
        if rule is not None and len(raw) > rule.number("limit_bytes", 102_400):
            self.refused += 1
            return answer({"error": "PayloadTooLargeError: request entity too large"}, 413)
        self.forward(payload, session)
        return answer({"success": True})

    def forward(self, payload: Json, session: str) -> None:
        self.relay.take(payload, self.spelled(session), self.channel(session) or session)

    def spelled(self, session: str) -> str:
        """Answer how envelopes call a session: by the server's name, or by another spelling of it."""
        rule = self.host.rules.take("case_alias", session=session)
        if rule is None:
            return session
        known = next((alias for alias, name in self.aliases.items() if name == session), "")
        folded = session.lower().replace(" ", "")
        return str(rule.options.get("alias") or known or (folded if folded != session else session.upper()))

    # ---- the rest ------------------------------------------------------------------------

    async def available(self, request: web.Request) -> web.Response:
        names = list(self.host.tokens)
        return answer({"success": True, "sessions": names, "total": len(names)})

    async def media(self, request: web.Request) -> web.Response:
        """Answer a file; for some seconds after its message there is none yet."""
        name = self.channel(request.match_info["channel"])
        if name is None:
            return answer(NOT_FOUND, 404)
        session, identity = self.session(name), request.match_info["id"]
        phone = self.host.session(session).phone
        message = phone.messages.get(key_of(identity)) if phone is not None else None
        age = to_ms(self.host.clock.now()) - message.at_ms if message is not None else 0
        if message is not None and age < self.host.pace.gateway_media_s * 1000:
            return answer({"success": False, "error": "Media not available yet"}, 404)
        told = await self.server.ask("GET", session, f"get-media-by-message/{path_part(identity)}")
        if told.status != 200:
            return answer({"success": False, "error": str(told.object.get("message"))}, 404)
        data, mimetype = str(told.object["base64"]), str(told.object["mimetype"])
        if self.host.rules.take("media_wrapped", session=session) is not None:
            data = base64.b64encode(json.dumps({"mimetype": mimetype, "data": data}).encode()).decode()
        return answer({"success": True, "media_base64": data, "mime_type": mimetype})

    async def pn_lid(self, request: web.Request) -> web.Response:
        session, lid = request.match_info["session"], request.match_info["lid"]
        told = await self.server.ask("GET", self.session(session), f"contact/pn-lid/{path_part(lid)}")
        return answer(told.object, told.status)

    async def health(self, request: web.Request) -> web.Response:
        return answer({"status": "ok"})

    async def page(self, request: web.Request) -> web.Response:
        names = list(self.channels)
        rows = "".join(
            f"<li>{name} <button>Atualizar QR</button> <button>Excluir</button></li>" for name in names
        )
        return html(200, f"<!DOCTYPE html>\n<title>Sessões</title>\n<ul>{rows}</ul>\n")


def _no_code(status: str, message: str) -> dict[str, Any]:
    return {"success": True, "qr": None, "status": status, "message": message}
