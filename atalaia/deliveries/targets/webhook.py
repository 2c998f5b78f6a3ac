"""Signed HTTP POSTs: one pool of connections and one guard for all webhooks of a process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from yarl import URL

from atalaia import __version__
from atalaia.ambient import Ambient
from atalaia.clock import rfc3339, to_ms
from atalaia.deliveries.formats import CloudEventsFormat, Outgoing
from atalaia.deliveries.guard import Guard, Refusal
from atalaia.deliveries.signing import sign
from atalaia.deliveries.targets.http1 import Answer, Broken, Http1Pool, NoConnection, Origin, Resolve
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

RETRY_AFTER_MOST_S = 3600.0
_PING = "atalaia.ping"
_ASK_STATUS = {
    401: "The consumer answers 401: correct the secret header or the signing secret.",
    403: "The consumer answers 403: ask its owner to let the hub in.",
    410: "The consumer answers 410: it is gone for good. Delete the subscription or change its address.",
}


class WebhookPool:
    """What all webhooks of this process share: connections, guard, clock."""

    def __init__(self, guard: Guard, ambient: Ambient, resolve: Resolve | None = None) -> None:
        self.guard = guard
        self.ambient = ambient
        self.http = Http1Pool(guard, resolve)

    async def close(self) -> None:
        """Close every connection."""
        await self.http.close()


class WebhookTarget:
    """One consumer's address. See `Target` for the promise."""

    def __init__(self, pool: WebhookPool, config: Mapping[str, Any], secrets: Secrets) -> None:
        self._pool = pool
        url = URL(str(config["url"]))
        self._origin = Origin(url.raw_host or "", url.port or 0, url.scheme == "https")
        self._url = str(url)
        self._signing = secrets.signing
        self._timeout_s = float(config.get("timeout_s", 10))
        self._hidden = tuple(text for text in secrets.headers.values() if len(text) >= 4)
        first = f"POST {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n"
        agent = f"User-Agent: Atalaia/{__version__}\r\n"
        self._head = (first + agent + _lines({**config.get("headers", {}), **secrets.headers})).encode()

    async def send(self, destination: str, message: Outgoing, attempt: Attempt) -> Sent:
        request = self._request(message, attempt)
        try:
            answer = await self._post(request)
        except TimeoutError:
            raise InDoubt(f"{self._origin.host} did not answer within {self._timeout_s:g} s.") from None
        except Broken as broken:
            raise Unavailable(f"{self._origin.host} failed: {broken.said}.") from None
        except NoConnection as no:
            place = f"{self._origin.host}:{self._origin.port}"
            raise Unreachable(f"No connection to {place}: {no.said}.") from None
        except Refusal as no:
            ask = "Correct the address, or allow it in the setting allow_private_targets."
            raise Forbidden(f"Not sent: {no}", ask=ask) from None
        return _judged(answer.status, self._shown(answer.body), answer.retry_after)

    async def _post(self, request: bytes) -> Answer:
        try:
            return await self._pool.http.post(self._origin, request, self._timeout_s)
        except Broken as broken:
            if not broken.stale:
                raise
        # The consumer closed an idle connection just as we wrote to it; others may be as old.
        return await self._pool.http.post(self._origin, request, self._timeout_s, fresh=True)

    def _request(self, message: Outgoing, attempt: Attempt) -> bytes:
        now = to_ms(self._pool.ambient.clock.now())
        headers = {
            "Content-Type": message.content_type,
            "Content-Length": str(len(message.body)),
            **message.headers,
            **sign(self._signing, message.message_id, now, message.body),
        }
        if attempt.replay_of is not None:
            headers["x-replay"] = str(attempt.replay_of)
        return b"".join((self._head, _lines(headers).encode(), b"\r\n", message.body))

    def _shown(self, raw: bytes) -> str:
        if not raw:
            return ""
        text = raw.decode("utf-8", "replace")
        for hidden in self._hidden:
            text = text.replace(hidden, "***")
        return _CONTROL.sub(" ", text).strip()

    async def test(self, destination: str) -> list[Step]:
        """Send a signed ping event and tell what became of it."""
        try:
            self._pool.guard.check_url(self._url)
        except ConfigError as no:
            return [Step("address", "failed", str(no), "Correct the address, or allow the network.")]
        event = ping(self._pool.ambient)
        message = CloudEventsFormat().render(event, {})
        assert message is not None
        attempt = Attempt(0, 1, 0, event.type, event.key, event.occurred_ms)
        steps = [Step("address", "ok", f"{self._origin.host}:{self._origin.port} may be called.")]
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


def _lines(headers: Mapping[str, str]) -> str:
    """Answer header lines; what would break out of its line is made a space."""
    text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if text.count("\r") == text.count("\n") == len(headers):
        return text
    return "".join(f"{name}: {_CONTROL.sub(' ', value)}\r\n" for name, value in headers.items())


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
    if status in (408, 409, 425, 429) or status >= 500:
        raise witnessed(Unavailable(said), f"HTTP {status}", response)
    raise witnessed(Rejected(said), f"HTTP {status}", response)


def _retry_after(text: str) -> float:
    return min(float(text), RETRY_AFTER_MOST_S) if text.isdecimal() and len(text) < 10 else 0.0
