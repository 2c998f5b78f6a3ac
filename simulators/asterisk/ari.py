"""The HTTP side of the simulated Asterisk: REST and the event socket (contract sections 1, 6, 7)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from simulators.asterisk.hub import Application, Connection
from simulators.asterisk.models import Json, Phone
from simulators.asterisk.scenarios import Plan

if TYPE_CHECKING:
    from simulators.asterisk.server import AsteriskSimulator

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def says(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


def page(status: int, text: str) -> web.Response:
    """Answer as a web server does that is not ARI."""
    text = f"<html><h1>{status} {text}</h1></html>"
    return web.Response(status=status, text=text, content_type="text/html")


def credentials(request: web.Request) -> tuple[str, str]:
    """Answer user and password from the Basic header, or from `api_key` in the query."""
    header = request.headers.get("Authorization", "")
    if header.startswith("Basic "):
        try:
            user, _, password = base64.b64decode(header[6:], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    user, _, password = request.query.get("api_key", "").partition(":")
    return user, password


class Ari:
    """Routes and their answers. `prefix` is http.conf's, without slashes."""

    def __init__(self, sim: AsteriskSimulator, prefix: str) -> None:
        self.sim = sim
        self.root = f"/{prefix.strip('/')}/ari" if prefix.strip("/") else "/ari"

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._gate, self._door], client_max_size=1024 * 1024)
        root = self.root
        app.router.add_get(f"{root}/events", self.events)
        app.router.add_post(f"{root}/events/user/{{event}}", self.user_event)
        app.router.add_get(f"{root}/asterisk/info", self.info)
        app.router.add_put(f"{root}/asterisk/modules/{{module}}", self.reload)
        app.router.add_get(f"{root}/applications", self.applications)
        app.router.add_get(f"{root}/applications/{{name}}", self.one_application)
        app.router.add_put(f"{root}/applications/{{name}}/eventFilter", self.event_filter)
        app.router.add_get(f"{root}/channels", self.channels)
        app.router.add_post(f"{root}/channels", self.originate)
        app.router.add_post(f"{root}/channels/{{id}}", self.originate)
        app.router.add_get(f"{root}/channels/{{id}}", self.one_channel)
        app.router.add_delete(f"{root}/channels/{{id}}", self.hang_up)
        app.router.add_get(f"{root}/channels/{{id}}/variable", self.variable)
        app.router.add_get(f"{root}/bridges", self.bridges)
        app.router.add_get(f"{root}/bridges/{{id}}", self.one_bridge)
        app.router.add_get(f"{root}/endpoints", self.endpoints)
        app.router.add_get(f"{root}/endpoints/{{technology}}", self.endpoints)
        app.router.add_get(f"{root}/endpoints/{{technology}}/{{number}}", self.one_endpoint)
        return app

    # ---- before any route ----------------------------------------------------------------

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Faults that everybody meets, whatever he asks."""
        gate = self.sim.faults.gate
        if gate.hung is not None:
            await gate.hung.wait()
        if gate.answer == 502:
            return page(502, "Bad Gateway")
        if gate.answer == 404 or not request.path.startswith(self.root + "/"):
            return page(404, "Not Found")
        return await handler(request)

    @web.middleware
    async def _door(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who may come in, and who may write."""
        user, password = credentials(request)
        known = user in self.sim.users and self.sim.users[user][0] == password
        if not known or self.sim.faults.gate.answer == 401:
            answer = says(401, "Authentication required")
            answer.headers["WWW-Authenticate"] = 'Basic realm="Asterisk REST Interface"'
            return answer
        if self.sim.users[user][1] and request.method not in ("GET", "HEAD", "OPTIONS"):
            return says(403, "Write access denied")
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return says(404, "Resource not found")
        except web.HTTPMethodNotAllowed:
            return says(405, "Invalid method")

    # ---- events --------------------------------------------------------------------------

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Open the event socket."""
        name = request.query.get("app", "").split(",")[0]
        if not name:
            return says(400, "HTTP request is missing param: [app]")
        socket = web.WebSocketResponse(
            autoping=False, autoclose=False, compress=False, protocols=("ari",), max_msg_size=0
        )
        if not socket.can_prepare(request).ok:
            return web.Response(status=426, text="Upgrade Required")
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        connection = Connection(name, socket, transport, self.sim.write_timeout_s)
        everything = request.query.get("subscribeAll", "false").lower() in ("true", "yes", "1")
        self._register(connection, everything)
        try:
            await self._listen(connection)
        finally:
            self.sim.hub.part(connection)
        return socket

    def _register(self, connection: Connection, everything: bool) -> None:
        hub, name = self.sim.hub, connection.app
        hub.sockets.add(connection)
        if self.sim.faults.gate.newborn_is_mute(name in hub.names_used):
            connection.mute = True
            hub.apps.pop(name, None)
            hub.names_used.add(name)
            return
        hub.join(Application(name, connection, everything), self.sim.goodbye())
        self.sim.heard_somebody.set()

    async def _listen(self, connection: Connection) -> None:
        """Answer pings and the close frame, unless deaf; what else a client sends is ignored."""
        socket = connection.socket
        while True:
            message = await socket.receive()
            if message.type in (WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR):
                return
            if connection.deaf:
                if message.type == WSMsgType.CLOSE:
                    await self._stay_open(connection)
                    return
                continue
            if message.type == WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type == WSMsgType.CLOSE:
                await socket.close()
                return

    async def _stay_open(self, connection: Connection) -> None:
        # A deaf socket answers no close frame either: it lasts until the client's TCP goes.
        while not connection.transport.is_closing():
            await asyncio.sleep(0.05)

    async def user_event(self, request: web.Request) -> web.Response:
        """Send a `ChannelUserevent` to one application: what a canary flies on."""
        name = request.query.get("application", "")
        if not name:
            return says(400, "Application must be specified")
        app = self.sim.hub.apps.get(name)
        if app is None:
            return says(404, "Application not found")
        event = request.match_info["event"]
        body = await read_json(request)
        variables: Json = body.get("variables") or {}
        told = self.sim.stamped("ChannelUserevent")
        told |= {"eventname": event, "userevent": {**variables, "eventname": event}}
        self.sim.hub.send(app, told)
        return web.Response(status=204)

    # ---- the server ----------------------------------------------------------------------

    async def info(self, request: web.Request) -> web.Response:
        return web.json_response(self.sim.pbx.info())

    async def reload(self, request: web.Request) -> web.Response:
        module = request.match_info["module"]
        if not re.fullmatch(r"\w+\.so", module):
            return says(404, "Module not found in running modules")
        self.sim.reloads.append(module)
        if module == "res_pjsip.so":
            self.sim.pbx.reload()
        return web.Response(status=204)

    async def applications(self, request: web.Request) -> web.Response:
        return web.json_response([app.as_ari() for app in self.sim.hub.apps.values()])

    async def one_application(self, request: web.Request) -> web.Response:
        app = self.sim.hub.apps.get(request.match_info["name"])
        return says(404, "Application not found") if app is None else web.json_response(app.as_ari())

    async def event_filter(self, request: web.Request) -> web.Response:
        app = self.sim.hub.apps.get(request.match_info["name"])
        if app is None:
            return says(404, "Application not found")
        allowed: list[Json] = (await read_json(request)).get("allowed") or []
        app.allowed = frozenset(str(row.get("type")) for row in allowed)
        return web.json_response(app.as_ari())

    # ---- channels and bridges ------------------------------------------------------------

    async def channels(self, request: web.Request) -> web.Response:
        return web.json_response([self.sim.pbx.of(leg) for leg in self.sim.legs()])

    async def one_channel(self, request: web.Request) -> web.Response:
        leg = self.sim.leg(request.match_info["id"])
        return says(404, "Channel not found") if leg is None else web.json_response(self.sim.pbx.of(leg))

    async def variable(self, request: web.Request) -> web.Response:
        leg = self.sim.leg(request.match_info["id"])
        name = request.query.get("variable", "")
        if not name:
            return says(400, "Variable name is required")
        if leg is None:
            return says(404, "Channel not found")
        value = leg.variable(name)
        if value is None:
            return says(404, "Provided variable was not found")
        return web.json_response({"value": value})

    async def hang_up(self, request: web.Request) -> web.Response:
        leg = self.sim.pbx.channels.get(request.match_info["id"])
        if leg is None:
            return says(404, "Channel not found")
        self.sim.player.hang_up(leg)
        return web.Response(status=204)

    async def originate(self, request: web.Request) -> web.Response:
        """Click-to-call: 200 with the first leg; 500 when the phone is unknown or not registered."""
        asked: Json = {**await read_json(request), **request.query}
        endpoint = str(asked.get("endpoint", ""))
        if not endpoint:
            return says(400, "Endpoint must be specified")
        if not asked.get("extension") and not asked.get("app"):
            return says(400, "Application or extension must be specified")
        technology, _, number = endpoint.partition("/")
        phone = self.sim.pbx.phones.get(number)
        if technology != "PJSIP" or phone is None or not phone.online:
            return web.json_response({"error": "Allocation failed"}, status=500)
        plan = self.sim.people(
            Plan(
                origin=number,
                destiny=str(asked.get("extension", "")),
                channel_id=str(asked.get("channelId") or request.match_info.get("id") or ""),
                caller_name=caller_name(str(asked.get("callerId", ""))),
                context=str(asked.get("context") or "from-endpoints"),
                ring_s=1.0,
                talk_s=5.0,
            )
        )
        return web.json_response(self.sim.pbx.of(self.sim.player.originate(plan)))

    async def bridges(self, request: web.Request) -> web.Response:
        return web.json_response([bridge.as_ari() for bridge in self.sim.bridges()])

    async def one_bridge(self, request: web.Request) -> web.Response:
        for bridge in self.sim.bridges():
            if bridge.id == request.match_info["id"]:
                return web.json_response(bridge.as_ari())
        return says(404, "Bridge not found")

    # ---- endpoints -----------------------------------------------------------------------

    async def endpoints(self, request: web.Request) -> web.Response:
        if request.match_info.get("technology", "PJSIP") != "PJSIP":
            return web.json_response([])
        return web.json_response([self.sim.pbx.endpoint(phone) for phone in self._known()])

    async def one_endpoint(self, request: web.Request) -> web.Response:
        number, technology = request.match_info["number"], request.match_info["technology"]
        for phone in self._known():
            if technology == "PJSIP" and phone.number == number:
                return web.json_response(self.sim.pbx.endpoint(phone))
        return says(404, "Endpoint not found")

    def _known(self) -> list[Phone]:
        return [phone for phone in self.sim.pbx.phones.values() if phone.known]


async def read_json(request: web.Request) -> Json:
    """Answer the body as an object; an empty or unreadable body is an empty object."""
    if not request.can_read_body:
        return {}
    try:
        body: Any = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def caller_name(caller_id: str) -> str:
    """Answer the name of `Name <number>`, of `"Name" <number>`, or nothing."""
    found = re.match(r'\s*"?([^"<]*?)"?\s*<', caller_id)
    return found.group(1) if found else ""
