"""HTTP to a server or gateway: time limits, and failures told apart by who must act.

A proxy's 401, a gateway's 401, an HTML page with 502 and a body that is no JSON are four different things.
Source: contract WhatsApp, sections 1.1 to 1.3 and 2.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import urlsplit

import aiohttp
import orjson

from atalaia.clock import Clock, within
from atalaia.connectors.wppconnect.lines import shared_client
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.errors import InDoubt, Refused, Unavailable, Unreadable

Json = dict[str, Any]
BODY_BYTES_MAX = 128 * 1024 * 1024  # media come as base64 within JSON
RAW_KEPT = 4_000
AT_ONCE = 8  # calls of one session
LATE_S = 1.0  # a time limit that is noticed so much too late says nothing of the other side
# After the time limit, in turns of the event loop: to connect, to ask and to read takes about six. They pass
# in no time, except where this hub itself is what was too slow.
TURNS = 12


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, whatever its status. took_ms: from asking until the whole body was there."""

    status: int
    content_type: str
    body: bytes
    took_ms: float

    @property
    def ok(self) -> bool:
        """The class of the code alone tells: the server mixes 200 and 201, and errors 400, 401, 404, 500."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Answer the body as JSON. Errors: `Unreadable`, or `Unavailable` for a proxy's HTML page."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            if "html" in self.content_type or self.status in (502, 503, 504):
                raise Unavailable(
                    f"A proxy answered in place of the upstream (HTTP {self.status})."
                ) from None
            raise Unreadable(
                f"The answer is no JSON (HTTP {self.status}, {self.content_type or 'no content type'}).",
                raw=self.body[:RAW_KEPT],
            ) from None

    def object(self) -> Json:
        """Answer the body as a JSON object. Errors: as `json`."""
        found = self.json()
        if not isinstance(found, dict):
            raise Unreadable("The answer is JSON, but no object.", raw=self.body[:RAW_KEPT])
        return cast("Json", found)

    def said(self) -> str:
        """Answer what the other side says went wrong, wherever it put that; `""` for nothing."""
        try:
            found = self.json()
        except (Unavailable, Unreadable):
            return ""
        return _said(found)


@dataclass(frozen=True, slots=True)
class Place:
    """One upstream's address, and how a person is told of it."""

    base: str
    name: str  # "server", "gateway", "browser agent"

    @property
    def host(self) -> str:
        parts = urlsplit(self.base)
        return parts.netloc or self.base


class Calls:
    """One session's calls to one place. No error text repeats a path: the upstream wants its key in some."""

    def __init__(
        self, place: Place, clock: Clock, headers: Mapping[str, str], *, connect_s: float, tls_verify: bool
    ) -> None:
        self.place = place
        self._clock = clock
        self._headers = dict(headers)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
        self._tls_verify = tls_verify
        self._room = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        shared = shared_client(self.place.base, tls_verify=self._tls_verify)
        self._http = await self._stack.enter_async_context(shared)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def ask(
        self, method: str, path: str, *, within_s: float, body: Any = None,
        headers: Mapping[str, str] | None = None, acts: bool = False,
    ) -> Reply:  # fmt: skip
        """Answer one call.

        acts: it may have had its effect although no answer came. Errors: `Unavailable` when the place is not
        reachable or does not answer in time; with `acts`, `InDoubt` when it left and no answer came.
        """
        began = self._clock.monotonic()
        try:
            asking = self._ask(method, path, body, headers)
            status, kind, raw = await within(self._clock, within_s, asking, turns=TURNS)
        except TimeoutError:
            said = f"The {self.place.name} {self.place.host} gave no answer within {within_s:g} s."
            if acts:
                raise InDoubt(said) from None
            late_s = self._clock.monotonic() - began - within_s
            # The answer may lie here unread: a hub without time must not take its own delay for a hung page.
            raise (Busy() if late_s > LATE_S else NoAnswer(said)) from None
        except aiohttp.ClientError as error:
            if acts and not isinstance(error, aiohttp.ClientConnectorError):
                said = f"The {self.place.name} {self.place.host} broke the connection before it answered."
                raise InDoubt(said) from None
            raise self._unreached(error) from None
        return Reply(status, kind, raw, round((self._clock.monotonic() - began) * 1000, 2))

    async def _ask(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None
    ) -> tuple[int, str, bytes]:
        whole = self._headers | dict(headers or {})
        async with self._room, self._http.request(
            method, self.place.base + path, json=body, headers=whole, allow_redirects=False,
            timeout=self._timeout,
        ) as answer:  # fmt: skip
            raw = await answer.content.read(BODY_BYTES_MAX + 1)
            while len(raw) <= BODY_BYTES_MAX and (more := await answer.content.read(BODY_BYTES_MAX)):
                raw += more
            return answer.status, answer.headers.get("Content-Type", "").lower(), raw

    def _unreached(self, error: aiohttp.ClientError) -> Unavailable:
        """Say what aiohttp found in our words: its own hold addresses."""
        where = f"The {self.place.name} {self.place.host}"
        match error:
            case aiohttp.ClientConnectorDNSError():
                return Unavailable(f"{where} is not known by that name here.")
            case aiohttp.ClientConnectorCertificateError():
                return Unavailable(f"{where} shows a certificate that is not trusted.")
            case aiohttp.ClientSSLError():
                return Unavailable(f"{where} does not speak TLS with us.")
            case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
                return Unavailable(f"{where} accepts no connection.")
            case _:
                return Unavailable(f"{where} broke the connection without an answer.")


class Caller:
    """Who calls one place, from the beginning of an `async with` to its end."""

    def __init__(
        self, settings: WppconnectSettings, place: Place, clock: Clock, headers: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._calls = Calls(
            place, clock, headers, connect_s=settings.connect_within_s, tls_verify=settings.tls_verify
        )

    async def __aenter__(self) -> Self:
        await self._calls.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._calls.__aexit__()


class NoAnswer(Unavailable):
    """It was reached and stayed mute: a hung page, a hung process."""


class Busy(Unavailable):
    """This hub had no time to hear the answer: nothing is known of the other side."""

    def __init__(self) -> None:
        super().__init__("This hub was too busy to hear the answer.")


def refused(reply: Reply, place: Place) -> Refused | None:
    """Answer who has to mend a 401 or 403: a proxy's login is not the gateway's secret."""
    if reply.status not in (401, 403):
        return None
    if "json" not in reply.content_type and "Missing X-Gateway-Secret" not in reply.body.decode(
        errors="replace"
    ):
        return Refused(
            f"A proxy before the {place.name} {place.host} wants a login (HTTP {reply.status}).",
            ask="Check the proxy login in the connection's settings.",
        )
    return Refused(
        f"The {place.name} {place.host} does not take our secret (HTTP {reply.status}).",
        ask="Check the secret in the connection's settings.",
    )


def _said(found: Any) -> str:
    if not isinstance(found, dict):
        return ""
    whole = cast("Json", found)
    for key in ("error", "message", "error_message", "details"):
        value = whole.get(key)
        if isinstance(value, str) and value:
            return value
    inner = whole.get("data")
    return _said(inner) if isinstance(inner, dict) else ""
