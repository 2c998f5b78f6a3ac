"""Who listens: ARI applications, their WebSockets, and the bad weather between them and the events."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

import orjson
from aiohttp import web

from atalaia.clock import Clock
from simulators.asterisk.models import Json
from simulators.frames import text_frame


class Connection:
    """One open WebSocket. Frames of one turn of the loop leave in one write.

    `mute`: events are dropped. `deaf`: pings and close frames get no answer. `held`: frames wait, as
    in a process that was stopped. `given_up`: the client read too slowly for `write_timeout_s`; from
    then on the socket is open, mute and deaf, as Asterisk leaves it (contract section 1.1, case 2).
    """

    def __init__(
        self, app: str, socket: web.WebSocketResponse, transport: asyncio.Transport, write_timeout_s: float
    ) -> None:
        self.app = app
        self.socket = socket
        self.transport = transport
        self.write_timeout_s = write_timeout_s
        self.mute = self.deaf = self.held = self.given_up = False
        self.sent = 0
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []
        self._full_since: float | None = None

    def write(self, frames: bytes, count: int = 1) -> None:
        """Send ready frames; never waits."""
        if self.mute or self.given_up or self.transport.is_closing():
            return
        self.sent += count
        self._pending.append(frames)
        if len(self._pending) == 1 and not self.held:
            self._loop.call_soon(self._flush)

    def release(self) -> None:
        """Let everything held back go out at once."""
        self.held = self.deaf = False
        self._flush()

    def abort(self) -> None:
        """Cut the TCP connection without a close frame."""
        self.transport.abort()

    def _flush(self) -> None:
        if self.held or not self._pending or self.transport.is_closing():
            return
        if self._reader_is_too_slow():
            self.given_up = self.deaf = True
            self._pending.clear()
            return
        self.transport.write(b"".join(self._pending))
        self._pending.clear()

    def _reader_is_too_slow(self) -> bool:
        # What stays in the transport's buffer is what the kernel did not take. Real time, because the
        # client reads in real time.
        if self.transport.get_write_buffer_size() == 0:
            self._full_since = None
            return False
        now = self._loop.time()
        self._full_since = self._full_since or now
        return now - self._full_since > self.write_timeout_s


@dataclass
class Application:
    """One ARI application: a name, the connection that owns it, and what it wants to hear."""

    name: str
    connection: Connection
    subscribe_all: bool
    allowed: frozenset[str] = frozenset()

    def wants(self, kind: str) -> bool:
        return self.subscribe_all and (not self.allowed or kind in self.allowed)

    def as_ari(self) -> Json:
        """Answer `GET /applications/NAME`."""
        everything = self.subscribe_all
        return {
            "name": self.name,
            "channel_ids": ["__AST_CHANNEL_ALL_TOPIC"] if everything else [],
            "bridge_ids": ["__AST_BRIDGE_ALL_TOPIC"] if everything else [],
            "endpoint_ids": ["__AST_ENDPOINT_ALL_TOPIC"] if everything else [],
            "device_names": ["__AST_DEVICE_STATE_ALL_TOPIC"] if everything else [],
            "events_allowed": [{"type": kind} for kind in sorted(self.allowed)],
            "events_disallowed": [],
        }


@dataclass
class Weather:
    """What happens to events on their way to every client."""

    duplicate_share: float = 0.0
    reorder: bool = False
    delay_s: float = 0.0


@dataclass
class Hub:
    """Hands every event to every application that wants it."""

    clock: Clock
    random: Random
    weather: Weather = field(default_factory=Weather)
    apps: dict[str, Application] = field(default_factory=dict[str, Application])
    sockets: set[Connection] = field(default_factory=set[Connection])
    names_used: set[str] = field(default_factory=set[str])
    told: int = 0
    _swapped: Json | None = None
    _late: deque[tuple[float, Json]] = field(default_factory=deque[tuple[float, Json]])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    # ---- applications --------------------------------------------------------------------

    def join(self, app: Application, goodbye: Json) -> None:
        """Register an application. Its former owner hears `goodbye`, and then nothing for ever."""
        former = self.apps.get(app.name)
        if former is not None:
            self.send(former, goodbye)
            former.connection.mute = True
        self.apps[app.name] = app
        self.names_used.add(app.name)

    def part(self, connection: Connection) -> None:
        """A socket is gone: its application goes with it, unless somebody else owns the name by now."""
        self.sockets.discard(connection)
        app = self.apps.get(connection.app)
        if app is not None and app.connection is connection:
            del self.apps[connection.app]

    def send(self, app: Application, event: Json) -> None:
        """Send one event to one application, whatever its filter."""
        app.connection.write(text_frame(orjson.dumps({**event, "application": app.name})))

    def connections(self) -> list[Connection]:
        return list(self.sockets)

    # ---- events --------------------------------------------------------------------------

    def tell(self, event: Json) -> None:
        """Take one event from the engine; the weather decides when and how often it arrives."""
        self.told += 1
        for one in self._reordered(event):
            self._forward(one)
            if self.weather.duplicate_share and self.random.random() < self.weather.duplicate_share:
                self._forward(one)

    def flush(self) -> None:
        """Let go of everything that the weather holds back."""
        if (last := self._swapped) is not None:
            self._swapped = None
            self._forward(last)
        while self._late:
            self._deliver(self._late.popleft()[1])

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _reordered(self, event: Json) -> Iterable[Json]:
        if not self.weather.reorder and self._swapped is None:
            return (event,)
        held, self._swapped = self._swapped, None
        if held is None:
            self._swapped = event
            self._spawn(self._do_not_hold_for_ever(event))
            return ()
        return (event, held) if _leg(event) != _leg(held) else (held, event)

    async def _do_not_hold_for_ever(self, event: Json) -> None:
        await self.clock.sleep(0.2)
        if self._swapped is event:
            self._swapped = None
            self._forward(event)

    def _forward(self, event: Json) -> None:
        if self.weather.delay_s or self._late:
            self._late.append((self.clock.monotonic() + self.weather.delay_s, event))
            if len(self._late) == 1:
                self._spawn(self._deliver_late())
            return
        self._deliver(event)

    async def _deliver_late(self) -> None:
        while self._late:
            due, event = self._late[0]
            wait = due - self.clock.monotonic()
            if wait > 0:
                await self.clock.sleep(wait)
                continue
            self._late.popleft()
            self._deliver(event)

    def _deliver(self, event: Json) -> None:
        kind = str(event["type"])
        listeners = [app for app in self.apps.values() if app.wants(kind)]
        if not listeners:
            return
        body = orjson.dumps(event)[:-1]
        for app in listeners:
            payload = body + b',"application":' + orjson.dumps(app.name) + b"}"
            app.connection.write(text_frame(payload))

    def _spawn(self, work: object) -> None:
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _leg(event: Json) -> str:
    """Answer which leg an event is about; `Dial` is about its peer."""
    leg: Json = event.get("channel") or event.get("peer") or {}
    return str(leg.get("id", ""))
