"""ARI's two doors, REST and the event socket, with time limits and failures told apart."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import orjson

from atalaia.ambient import Ambient
from atalaia.clock import within
from atalaia.connectors.asterisk.protocol import CANARY, BadTls, Failure, NoAnswer, NotConnected, Status
from atalaia.connectors.asterisk.settings import AsteriskSettings
from atalaia.errors import Refused

T = TypeVar("T")
Socket = aiohttp.ClientWebSocketResponse[bool]

PARALLEL_MAX = 8
PROBE_WITHIN_S = 1.0
# Above this aiohttp closes the socket (1009): a frame must fit into memory a few times over.
FRAME_BYTES_MAX = 512 * 1024 * 1024


class AriFailed(Exception):
    """A request or the socket failed; `failure` says how. Never leaves this connector."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whatever its status; `body` as it came."""

    status: int
    body: bytes
    took_ms: float

    def json(self) -> Any:
        """Answer the body as JSON, None when it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


class Ari:
    """One client of one Asterisk. The password travels in a header, never in an address."""

    def __init__(self, settings: AsteriskSettings, ambient: Ambient, *, base: str = "") -> None:
        self.base = base or settings.ari
        self._settings = settings
        self._clock = ambient.clock

    async def __aenter__(self) -> Self:
        password = self._settings.password.get_secret_value()
        login = aiohttp.encode_basic_auth(self._settings.user, password, "utf-8")
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=_tls(self._settings)),
            headers={"Authorization": login},
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._room = asyncio.Semaphore(PARALLEL_MAX)
        self._sockets: list[Socket] = []
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        await self._http.close()

    def hang_up(self) -> None:
        """Break open event sockets without a word: whom we leave so does not answer anyway."""
        for socket in self._sockets:
            socket._response.close()  # pyright: ignore[reportPrivateUsage]  # close() would wait

    async def get(self, path: str, *, within_s: float | None = None) -> Answer:
        """Answer `GET path`. Errors: `AriFailed` when nothing HTTP came back in time."""
        return await self._request("GET", path, within_s=within_s)

    async def send_canary(self, app: str, n: int, *, within_s: float) -> Answer:
        """Send our own event through Asterisk to `app`. Errors: as `get`."""
        path = f"/events/user/{CANARY}?application={quote(app, safe='')}"
        return await self._request("POST", path, within_s=within_s, body={"variables": {"n": str(n)}})

    async def open_events(self, app: str) -> Socket:
        """Open the event socket of a fresh application. Errors: `AriFailed`."""
        path = f"/events?app={quote(app, safe='')}&subscribeAll=true"

        async def dial() -> Socket:
            return await self._http.ws_connect(
                self.base + path,
                autoping=False,  # pongs are our evidence, so we take them ourselves
                autoclose=False,
                max_msg_size=FRAME_BYTES_MAX,
                decode_text=False,  # text that is no UTF-8 is kept, not a reason to close
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),  # pyright: ignore[reportCallIssue]  # attrs
            )

        socket = await self._limited(dial(), "/ari/events", self._settings.answer_within_s)
        self._sockets.append(socket)
        return socket

    async def _request(
        self, method: str, path: str, *, within_s: float | None, body: dict[str, Any] | None = None
    ) -> Answer:
        async def ask() -> Answer:
            async with (
                self._room,
                self._http.request(method, self.base + path, json=body, allow_redirects=False) as response,
            ):
                return Answer(response.status, await response.read(), 0)

        began = self._clock.monotonic()
        answer = await self._limited(ask(), path, within_s or self._settings.answer_within_s)
        return Answer(answer.status, answer.body, round((self._clock.monotonic() - began) * 1000, 2))

    async def _limited(self, work: Coroutine[Any, Any, T], path: str, seconds: float) -> T:
        try:
            return await within(self._clock, seconds, work)
        except TimeoutError:
            failure: Failure = NoAnswer(seconds, connects=await self.connects())
        except aiohttp.ClientError as error:
            failure = read_failure(error, path.partition("?")[0])
        raise AriFailed(failure)

    async def connects(self) -> bool:
        """Answer whether the port accepts a TCP connection. A hung Asterisk's does."""
        return await connects(self._settings.host, self._settings.port, self._clock_limit)

    async def _clock_limit(self, work: Coroutine[Any, Any, T]) -> T:
        return await within(self._clock, PROBE_WITHIN_S, work)


async def connects(host: str, port: int, limit: Any) -> bool:
    """Answer whether `host:port` accepts a TCP connection; `limit` runs the attempt under a time limit."""
    try:
        _, writer = await limit(asyncio.open_connection(host, port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def read_failure(error: aiohttp.ClientError, path: str) -> Failure:
    """Translate what aiohttp raises; its own texts may hold addresses: only the system's words are kept."""
    match error:
        case aiohttp.WSServerHandshakeError(status=status):
            return Status(status, path)
        case aiohttp.ClientConnectorDNSError():
            return NotConnected("the name is not known")
        case aiohttp.ClientConnectorCertificateError():
            return BadTls("the certificate is not trusted")
        case aiohttp.ClientSSLError():
            return BadTls("no TLS is spoken there")
        case aiohttp.ClientConnectorError(os_error=cause):
            return NotConnected(words_of(cause))
        case aiohttp.ClientOSError():
            return NotConnected("the connection broke")
        case aiohttp.ServerDisconnectedError():
            return NotConnected("the connection was closed without an answer")
        case _:
            return NotConnected(f"no HTTP is spoken there ({type(error).__name__})")


def words_of(error: OSError) -> str:
    """Answer the system's own words: asyncio's texts repeat the address instead of the reason."""
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


def _tls(settings: AsteriskSettings) -> ssl.SSLContext | bool:
    if not settings.tls_verify:
        return False
    if not settings.tls_ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=settings.tls_ca_file)
    except (OSError, ssl.SSLError):
        said = "The file of the certificate authority is not there or holds no PEM certificate."
        raise Refused(said, ask="Correct the path in the connection's settings.") from None
