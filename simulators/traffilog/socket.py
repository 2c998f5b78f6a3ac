"""Surface B: the handshake, one reader per socket, answers whole or in fragments."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from simulators.traffilog import wire
from simulators.traffilog.actions import Actions
from simulators.traffilog.connections import Connection
from simulators.traffilog.wire import Answer, BadFrame, Request

if TYPE_CHECKING:
    from simulators.traffilog.server import Doors, TraffilogSimulator


class SocketSurface:
    """`/{ws_guid}/{token}/json?defragment=1`."""

    def __init__(self, sim: TraffilogSimulator) -> None:
        self.up = sim.upstream
        self.doors: Doors = sim.doors
        self.actions = Actions(self.up)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{guid}/{token}/json", self.open)
        return app

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Check origin and token, then serve the socket until it closes."""
        if self.up.rules.take("handshake-hangs") is not None:
            await asyncio.Event().wait()
        if (rule := self.up.rules.take("handshake-refused")) is not None:
            return web.Response(status=int(rule.number("status", 502)))
        if self.doors.origin and request.headers.get("Origin") != self.doors.origin:
            return web.Response(status=403)
        session = self.up.accounts.find(request.match_info["token"])
        if session is None:
            return web.Response(status=self.doors.bad_token_status)
        socket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=0)
        if not socket.can_prepare(request).ok:
            return web.Response(status=400)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        self.up.connections.opened += 1
        connection = Connection(session, socket, transport, self.up.connections.opened)
        self.up.accounts.opened(session)
        self.up.connections.open.add(connection)
        try:
            await self._listen(connection)
        finally:
            self._close(connection)
        return socket

    def _close(self, connection: Connection) -> None:
        self.up.connections.open.discard(connection)
        self.up.accounts.closed(connection.session, subscribed=any(connection.wants.values()))
        for task in list(connection.tasks):
            task.cancel()

    async def _listen(self, connection: Connection) -> None:
        socket = connection.socket
        while True:
            message = await socket.receive()
            if message.type in (WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR):
                return
            if connection.deaf:
                # A deaf socket answers no close frame either: it lasts until the client's TCP goes.
                if message.type == WSMsgType.CLOSE:
                    while not connection.transport.is_closing():
                        await asyncio.sleep(0.05)
                    return
                continue
            if message.type == WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type == WSMsgType.CLOSE:
                await socket.close()
                return
            elif message.type == WSMsgType.TEXT:
                self.heard(connection, message.data)

    # ---- frames --------------------------------------------------------------------------

    def heard(self, connection: Connection, text: str) -> None:
        """Take one frame: its effect is now, its answer later."""
        connection.heard += 1
        try:
            request = wire.read_request(text, strict=self.doors.strict)
        except BadFrame as error:
            self.doors.bad_frames.append(str(error))
            self._raw(connection, wire.BAD)
            return
        own = request.token.lower() == connection.session.token.lower()
        if not own or self.up.rules.take("forbidden", action=request.name) is not None:
            self._raw(connection, wire.FORBIDDEN)
            return
        if request.name not in self.actions.table or request.name == "refresh":
            self._raw(connection, wire.UNKNOWN)
            return
        if connection.recorded is not None:
            connection.recorded[request.name] = request.mtkn
            return
        about = {"action": request.name, "vehicle_id": request.get("vehicle_id")}
        self.up.reach(f"heard:{request.name}")
        if self.up.rules.take("lost-request", **about) is not None:
            return
        if self.up.rules.take("cut-before", **about) is not None:
            connection.abort()
            return
        answer = self.actions.run(connection, request)
        self.up.reach(f"done:{request.name}")
        if self.up.rules.take("cut-after", **about) is not None:
            connection.abort()
        elif answer.silent or self.up.rules.take("drop-answer", **about) is not None:
            return
        else:
            self._later(connection, self._answer(connection, request, answer))

    def _raw(self, connection: Connection, text: str) -> None:
        async def say() -> None:
            await self.up.pause(self.up.pace.answer_s)
            connection.write(text)

        self._later(connection, say())

    def _later(self, connection: Connection, work: object) -> None:
        assert asyncio.iscoroutine(work)
        task = self.up.spawn(work)
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)

    async def _answer(self, connection: Connection, request: Request, answer: Answer) -> None:
        up = self.up
        slow = request.name == "vehicle_subscribe"
        seconds = up.draw(up.pace.subscribe_s if slow else up.pace.answer_s)
        rule = up.rules.take("delay-answer", action=request.name)
        if rule is not None:
            seconds += rule.number("delay_s", 30.0)
        timing = up.timing(seconds)
        token = connection.session.token
        if request.mtkn.isdigit() and not up.rules.has("fragments"):
            if seconds > 0:
                await up.clock.sleep(seconds)
            text = wire.whole(request.name, request.mtkn, token, answer, timing)
            if up.rules.take("encoded-answer", action=request.name) is not None:
                text = wire.encode_whole(text)
            connection.write(text)
        else:
            await self._in_fragments(connection, request, answer, seconds)
        up.reach(f"answered:{request.name}")

    async def _in_fragments(
        self, connection: Connection, request: Request, answer: Answer, seconds: float
    ) -> None:
        up = self.up
        timing = up.timing(seconds)
        texts = wire.fragments_of(
            request.name, request.mtkn, connection.session.token, answer, timing, nuls=self.doors.nul_tails
        )
        # The head of an answer leaves early and its tail late; others find their way between.
        if seconds > 0:
            await up.clock.sleep(seconds / 2)
        orphaned = up.rules.take("orphan-fragments", action=request.name) is not None
        for place, text in enumerate(texts):
            if place == 1 and seconds > 0:
                await up.clock.sleep(seconds / 2)
            if place % 8 == 7:
                await up.clock.sleep(up.pace.fragments_s * 8)
            if not (orphaned and place == 0):
                connection.write(text)
