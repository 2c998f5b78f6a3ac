"""Signed HTTP POSTs: one session and one guard for all webhooks of a process."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from atalaia import __version__
from atalaia.ambient import Ambient
from atalaia.clock import rfc3339, to_ms
from atalaia.deliveries.formats import CloudEventsFormat, Outgoing
from atalaia.deliveries.guard import Guard, Refusal
from atalaia.deliveries.signing import sign
from atalaia.deliveries.targets.target import (
    Attempt,
    Busy,
    Forbidden,
    Secrets,
    Sent,
    Step,
    Unreachable,
    witnessed,
)
from atalaia.errors import ConfigError, InDoubt, Refused, Rejected, Unavailable, UpstreamError
from atalaia.events.model import Event

RESPONSE_BYTES = 4096
RETRY_AFTER_MOST_S = 3600.0
_PING = "atalaia.ping"
_ASK_STATUS = {
    401: "The consumer answers 401: correct the secret header or the signing secret.",
    403: "The consumer answers 403: ask its owner to let the hub in.",
    410: "The consumer answers 410: it is gone for good. Delete the subscription or change its address.",
}


class GuardedResolver(AbstractResolver):
    """The machine's resolver, telling the guard which allowed name led to an address."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._resolver = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        self._guard.note(host, [one["host"] for one in found])
        allowed: list[ResolveResult] = []
        refusal: Refusal | None = None
        for one in found:
            try:
                self._guard.check_address(one["host"], port, host)
                allowed.append(one)
            except Refusal as no:
                refusal = no
        if refusal is not None and not allowed:
            raise refusal
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


class WebhookPool:
    """The connections of all webhooks of this process. Proxy variables of the environment are not read."""

    def __init__(self, guard: Guard, ambient: Ambient) -> None:
        self.guard = guard
        self.ambient = ambient
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The one session, made at the first use because it belongs to the running loop."""
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,
                resolver=GuardedResolver(self.guard),
                ttl_dns_cache=30,
                keepalive_timeout=30,
                socket_factory=self.guard.make_socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("Accept", "Accept-Encoding"),
                headers={"User-Agent": f"Atalaia/{__version__}"},
                max_line_size=8190,
                read_bufsize=RESPONSE_BYTES,
            )
        return self._session

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class WebhookTarget:
    """One consumer's address. See `Target` for the promise."""

    def __init__(self, pool: WebhookPool, config: Mapping[str, Any], secrets: Secrets) -> None:
        self._pool = pool
        self._url = URL(str(config["url"]))
        self._signing = secrets.signing
        self._headers = {**config.get("headers", {}), **secrets.headers}
        self._timeout = aiohttp.ClientTimeout(total=float(config.get("timeout_s", 10)))
        self._hidden = tuple(text for text in secrets.headers.values() if len(text) >= 4)

    async def send(self, destination: str, message: Outgoing, attempt: Attempt) -> Sent:
        now = to_ms(self._pool.ambient.clock.now())
        headers = {
            **self._headers,
            "Content-Type": message.content_type,
            **{name: _CONTROL.sub(" ", value) for name, value in message.headers.items()},
            **sign(self._signing, _CONTROL.sub(" ", message.message_id), now, message.body),
        }
        if attempt.replay_of is not None:
            headers["x-replay"] = str(attempt.replay_of)
        try:
            status, response, again = await self._post(message.body, headers)
        except _FAILURES as error:
            if not _is_stale(error):
                raise self._translated(error) from None
            # The consumer closed an idle connection just as we wrote to it; a fresh one tells the truth.
            try:
                status, response, again = await self._post(message.body, headers)
            except _FAILURES as again_error:
                raise self._translated(again_error) from None
        return _judged(status, response, again)

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str, str]:
        answer = await self._pool.session.post(
            self._url, data=body, headers=headers, allow_redirects=False, timeout=self._timeout
        )
        raw = b""
        try:
            while len(raw) < RESPONSE_BYTES and (more := await answer.content.read(RESPONSE_BYTES)):
                raw += more
        except aiohttp.ClientPayloadError:
            pass  # the status is what counts; the rest of the answer was cut
        finally:
            answer.close()  # read to its end, it has given its connection back; longer ones lose theirs
        return answer.status, self._shown(raw[:RESPONSE_BYTES]), answer.headers.get("Retry-After", "")

    def _shown(self, raw: bytes) -> str:
        text = raw.decode("utf-8", "replace")
        for hidden in self._hidden:
            text = text.replace(hidden, "***")
        return _CONTROL.sub(" ", text).strip() if text else ""

    def _translated(self, error: Exception) -> UpstreamError:
        host = self._url.host or ""
        match error:
            case TimeoutError():
                return InDoubt(f"{host} did not answer within {self._timeout.total:g} s.")
            case aiohttp.ClientConnectorError() if isinstance(error.os_error, Refusal):
                ask = "Correct the address, or allow it in the setting allow_private_targets."
                return Forbidden(f"Not sent: {error.os_error}", ask=ask)
            case aiohttp.ClientConnectorDNSError():
                return Unreachable(f"The name {host} was not found. Check the address.")
            case (
                aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError()
            ):
                return Unreachable(f"No secure connection to {host}: {_reason(error)}.")
            case aiohttp.ClientConnectorError():
                return Unreachable(f"No connection to {host}:{error.port}: {_reason(error)}.")
            case aiohttp.ServerDisconnectedError():
                return Unavailable(f"{host} closed the connection without an answer.")
            case aiohttp.ClientResponseError():
                return Unavailable(f"What {host} answered is not HTTP/1.1, or its head is too long.")
            case aiohttp.InvalidURL():
                return Forbidden("Not sent: the address is not usable.", ask="Correct the address.")
            case _:
                return Unavailable(f"The connection to {host} broke: {type(error).__name__}.")

    async def test(self, destination: str) -> list[Step]:
        """Send a signed ping event and tell what became of it."""
        try:
            self._pool.guard.check_url(str(self._url))
        except ConfigError as no:
            return [Step("address", "failed", str(no), "Correct the address, or allow the network.")]
        event = ping(self._pool.ambient)
        message = CloudEventsFormat().render(event, {})
        assert message is not None
        attempt = Attempt(0, 1, 0, event.type, event.key, event.occurred_ms)
        steps = [
            Step("address", "ok", f"{self._url.scheme}://{self._url.host}:{self._url.port} may be called.")
        ]
        try:
            sent = await self.send(destination, message, attempt)
        except Refused as no:
            return [*steps, Step("ping", "failed", str(no), no.ask)]
        except Rejected as no:
            return [*steps, Step("ping", "failed", str(no), "Answer 2xx to events you do not know.")]
        except UpstreamError as no:
            return [
                *steps,
                Step("ping", "failed", str(no), "See that the consumer runs and is reachable from here."),
            ]
        return [*steps, Step("ping", "ok", f"The consumer answered {sent.status} to a signed ping.")]

    async def close(self) -> None:
        """The connections belong to the pool."""


_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)


def _is_stale(error: Exception) -> bool:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return True
    return isinstance(error, aiohttp.ClientOSError) and not isinstance(error, aiohttp.ClientConnectorError)


def ping(ambient: Ambient) -> Event:
    """Answer an event that only says that somebody tries the way; it is in no log."""
    now = to_ms(ambient.clock.now())
    body = f'{{"said":"A test of this subscription, sent at {rfc3339(now)}."}}'
    return Event(0, ambient.ids.new(), "fact", _PING, "ping", "", now, now, None, False, body)


def _judged(status: int, response: str, again: str) -> Sent:
    if 200 <= status < 300:
        return Sent(f"HTTP {status}", response)
    said = f"The consumer answered HTTP {status}."
    if status in _ASK_STATUS:
        raise witnessed(Refused(said, ask=_ASK_STATUS[status]), f"HTTP {status}", response)
    if 300 <= status < 400:
        said = f"The consumer answered HTTP {status}, a redirect; those are never followed."
        raise witnessed(
            Refused(said, ask="Write the final address into the subscription."), f"HTTP {status}", response
        )
    if status in (429, 503) and (pause := _retry_after(again)):
        raise witnessed(
            Busy(f"{said[:-1]} and asked for a pause.", retry_after_s=pause), f"HTTP {status}", response
        )
    if status < 200 or status in (408, 409, 425, 429) or status >= 500:
        raise witnessed(Unavailable(said), f"HTTP {status}", response)
    raise witnessed(Rejected(said), f"HTTP {status}", response)


def _retry_after(text: str) -> float:
    return min(float(text), RETRY_AFTER_MOST_S) if text.isdecimal() and len(text) < 10 else 0.0


def _reason(error: Exception) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    text = getattr(cause, "strerror", "") or type(cause).__name__
    return str(text)[:200]
