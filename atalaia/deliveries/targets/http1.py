"""A small HTTP/1.1 client that does one thing: POST, look at the status, read a little of the answer.

A general client spends more on each request than the rest of a delivery together, and here every rule of
safety is in sight: the guard is asked at the dial, no redirect is followed, nothing is decompressed, no
cookie kept, no proxy asked, and a body is read up to its limit and not further.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import httptools

from atalaia.deliveries.guard import Guard, Refusal

BODY_MOST = 4096
HEAD_MOST = 65_536
IDLE_S = 30.0
CONNECT_S = 5.0
NAMES_S = 30.0
NAMES_MOST = 10_000

Info = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]
Resolve = Callable[[str, int], Awaitable[list[Info]]]


class NoConnection(Exception):
    """Nobody was reached: the request has not left. said: why, in words."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class Broken(Exception):
    """The connection ended before an answer. stale: it had been idle, so a fresh one may do."""

    def __init__(self, said: str, *, stale: bool) -> None:
        super().__init__(said)
        self.said = said
        self.stale = stale


@dataclass(frozen=True, slots=True)
class Origin:
    """Where requests go. host: as it is resolved and as its certificate must say."""

    host: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. body: at most `BODY_MOST` bytes, as sent. retry_after: that header's text."""

    status: int
    body: bytes
    retry_after: str


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.used = False
        self.reusable = False
        self.idle_since = 0.0
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Answer] | None = None
        self._body = bytearray()
        self._came = 0
        self._status = 0
        self._retry_after = ""

    def ask(self, request: bytes, waiting: asyncio.Future[Answer]) -> None:
        """Send a request; the future is settled by what comes back."""
        assert self.transport is not None
        self._waiting = waiting
        self._body.clear()
        self._came, self._status, self._retry_after = 0, 0, ""
        self.reusable = False
        self.transport.write(request)

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def close(self) -> None:
        """End it at once; whoever waits is told."""
        if self.transport is not None:
            self.transport.abort()

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:
            self.close()  # nobody asked: whatever it is, it is no answer to our next request
            return
        self._came += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("its answer is not HTTP/1.1")
            return
        if self._status == 0 and self._came > HEAD_MOST:
            self._fail("its answer has too long a head")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._status and self._waiting is not None:
            self._settle()  # a body without a length ends so; and the status is what counts
        elif self._waiting is not None:
            self._fail("it closed the connection without an answer")

    # What the parser says.

    def on_message_begin(self) -> None:
        if self._waiting is None:
            self.close()  # more than the answer came: it must not become the answer to another request

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 11 and name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:  # 1xx only says that the answer is on its way
            self._status = status

    def on_body(self, body: bytes) -> None:
        if self._waiting is None:
            return
        self._body += body[: BODY_MOST - len(self._body)]
        if len(self._body) >= BODY_MOST:
            self._settle()
            self.close()

    def on_message_complete(self) -> None:
        if self._status and self._waiting is not None:
            self.reusable = self._parser.should_keep_alive()
            self._settle()

    def _settle(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(Answer(self._status, bytes(self._body), self._retry_after))

    def _fail(self, said: str) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(Broken(said, stale=self.used and self._came == 0))
        self.close()


class Http1Pool:
    """Connections by origin, used last in first out. resolve: answers the addresses of a host and port."""

    def __init__(self, guard: Guard, resolve: Resolve | None = None) -> None:
        self._guard = guard
        self._resolve = resolve or _resolve
        self._idle: dict[Origin, list[_Connection]] = {}
        self._all: set[_Connection] = set()
        self._names: dict[tuple[str, int], tuple[float, list[Info]]] = {}
        self._looking: dict[tuple[str, int], asyncio.Task[list[Info]]] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def post(self, origin: Origin, request: bytes, timeout_s: float, *, fresh: bool = False) -> Answer:
        """Send a whole request and answer what came back. fresh: on a new connection.

        Errors: `NoConnection`, `Broken`, `Refusal` (the guard's no), `TimeoutError`.
        """
        async with asyncio.timeout(timeout_s):
            connection = (None if fresh else self._take(origin)) or await self._connect(origin)
            waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            try:
                connection.ask(request, waiting)
                answer = await waiting
            except BaseException:
                self._drop(connection)
                raise
        self._give_back(origin, connection)
        return answer

    async def close(self) -> None:
        """Close every connection."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in list(self._all):
            self._drop(connection)
        self._idle.clear()
        for task in self._looking.values():
            task.cancel()
        await asyncio.sleep(0)  # the transports' turn to let go of their sockets

    def _take(self, origin: Origin) -> _Connection | None:
        idle = self._idle.get(origin)
        limit = asyncio.get_running_loop().time() - IDLE_S
        while idle:
            connection = idle.pop()
            if connection.open and connection.idle_since > limit:
                return connection
            self._drop(connection)
        return None

    def _give_back(self, origin: Origin, connection: _Connection) -> None:
        if not (connection.reusable and connection.open):
            self._drop(connection)
            return
        loop = asyncio.get_running_loop()
        connection.used = True
        connection.idle_since = loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(IDLE_S, self._close_idle)

    def _drop(self, connection: _Connection) -> None:
        self._all.discard(connection)
        connection.close()

    def _close_idle(self) -> None:
        loop = asyncio.get_running_loop()
        limit = loop.time() - IDLE_S
        for origin, idle in list(self._idle.items()):
            young = [one for one in idle if one.open and one.idle_since > limit]
            for old in set(idle) - set(young):
                self._drop(old)
            if young:
                self._idle[origin] = young
            else:
                del self._idle[origin]
        self._sweep = loop.call_later(IDLE_S, self._close_idle) if self._idle else None

    # Dialling.

    async def _connect(self, origin: Origin) -> _Connection:
        last: Exception | None = None
        for info in await self._addresses(origin):
            try:
                connection = await self._dial(origin, info)
            except (OSError, ssl.SSLError) as error:
                last = error if last is None or isinstance(last, Refusal) else last
                continue
            self._all.add(connection)
            return connection
        if isinstance(last, Refusal):
            raise last
        raise NoConnection(_reason(last)) from None

    async def _dial(self, origin: Origin, info: Info) -> _Connection:
        loop = asyncio.get_running_loop()
        sock = self._guard.make_socket(info)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(CONNECT_S):
                await loop.sock_connect(sock, info[4])
                _, connection = await loop.create_connection(
                    _Connection,
                    sock=sock,
                    ssl=self._context() if origin.tls else None,
                    server_hostname=origin.host.rstrip(".") if origin.tls else None,
                )
        except BaseException:
            sock.close()
            raise
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    async def _addresses(self, origin: Origin) -> list[Info]:
        """Answer where a name leads; known for a while, and asked once for all who wait."""
        name = (origin.host, origin.port)
        now = asyncio.get_running_loop().time()
        known = self._names.get(name)
        if known is not None and known[0] > now:
            return known[1]
        task = self._looking.get(name)
        if task is None:
            task = self._looking[name] = asyncio.create_task(self._look_up(name))
            task.add_done_callback(lambda _: self._looking.pop(name, None))
        return await asyncio.shield(task)

    async def _look_up(self, name: tuple[str, int]) -> list[Info]:
        host, port = name
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise NoConnection(f"the name {host} was not found") from None
        self._guard.note(host, [str(info[4][0]) for info in found])
        if len(self._names) >= NAMES_MOST:
            self._names.clear()
        self._names[name] = (asyncio.get_running_loop().time() + NAMES_S, found)
        return found


async def _resolve(host: str, port: int) -> list[Info]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, kind, protocol, name, peer) for family, kind, protocol, name, peer in found]  # type: ignore[misc]


def _reason(error: Exception | None) -> str:
    match error:
        case None:
            return "the name has no address"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not good: {error.verify_message}"
        case ssl.SSLError():
            return f"no secure connection: {error.reason or 'the handshake failed'}"
        case TimeoutError():
            return f"no connection within {CONNECT_S:g} s"
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return type(error).__name__
