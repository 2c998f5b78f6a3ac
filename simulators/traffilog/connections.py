"""The open sockets of surface B, what each subscribed, and the pushes that go to them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from simulators.frames import text_frame
from simulators.traffilog.models import Row
from simulators.traffilog.tokens import Session
from simulators.traffilog.wire import push

MESSAGES, STATUS, PARAMETERS = "UNIT_MESSAGES", "UNIT_CONFIG_STATUS", "UNIT_PARAMETERS"
CONNECTION = "unit_connection_status"
SUBSCRIBABLE = (MESSAGES, STATUS, PARAMETERS)


class Connection:
    """One open WebSocket.

    `number` grows with each that is opened. `mute`: nothing is sent any more. `deaf`: nothing is read
    as well, pings included: half-open.
    `wants` maps vehicle ids to the object types subscribed on this socket.
    """

    def __init__(
        self, session: Session, socket: web.WebSocketResponse, transport: asyncio.Transport, number: int = 0
    ) -> None:
        self.number = number
        self.session = session
        self.socket = socket
        self.transport = transport
        self.mute = self.deaf = False
        self.sent = self.heard = 0
        self.wants: dict[str, set[str]] = {}
        self.recorded: dict[str, str] | None = (
            None  # while a recording speaks: mtkn of the last request by action
        )
        self.tasks: set[asyncio.Task[None]] = set()

    def write(self, text: str) -> None:
        """Send one text message; never waits."""
        if self.mute or self.transport.is_closing():
            return
        self.sent += 1
        self.transport.write(text_frame(text.encode()))

    def abort(self) -> None:
        """Cut the TCP connection without a close frame."""
        self.transport.abort()

    def hears(self, vehicle_id: str, source: str) -> bool:
        """Answer whether a push of `source` goes here; statuses need the messages as well."""
        wanted = self.wants.get(vehicle_id, ())
        if source == STATUS:
            return STATUS in wanted and MESSAGES in wanted
        if source == CONNECTION:
            return MESSAGES in wanted
        return source in wanted


@dataclass
class Connections:
    """All open sockets. `pushed` counts the pushes that somebody heard."""

    open: set[Connection] = field(default_factory=set[Connection])
    pushed: int = 0
    opened: int = 0

    def listening(self, vehicle_id: str, source: str) -> bool:
        return any(one.hears(vehicle_id, source) for one in self.open)

    def push(self, vehicle_id: str, source: str, rows: list[Row]) -> None:
        """Send a push to every socket that subscribed this vehicle."""
        for connection in self.open:
            if connection.hears(vehicle_id, source):
                connection.write(push(source, rows, connection.session.token))
                self.pushed += 1

    def abort_all(self) -> None:
        for connection in list(self.open):
            connection.abort()
