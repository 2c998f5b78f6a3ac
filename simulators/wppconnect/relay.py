"""The gateway's way out: webhooks of the server become envelopes, queued and delivered with retries.

Source: the contract's section 4.1 and the recordings in `hub-envelope/`.
"""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from atalaia.clock import rfc3339, to_ms
from simulators.wppconnect.doors import upload
from simulators.wppconnect.models import Json, as_object
from simulators.wppconnect.webhooks import SOCKETS

if TYPE_CHECKING:
    from simulators.wppconnect.host import Host

MAPPED = {
    "onmessage": "message",
    "onselfmessage": "message",
    "unreadmessages": "message",
    "onack": "message.ack",
    "onpresencechanged": "connection.update",
}


@dataclass(frozen=True)
class Target:
    """Where envelopes go, and the secret that they carry."""

    url: str
    secret: str


@dataclass
class Delivery:
    """One envelope in the gateway's queue. `statuses`: what each attempt was answered, 0 for nothing."""

    envelope: Json
    target: Target
    statuses: list[int] = field(default_factory=list[int])
    lost: bool = False

    @property
    def delivered(self) -> bool:
        return bool(self.statuses) and 200 <= self.statuses[-1] < 300


class Relay:
    """The queue of the gateway: in memory, at least once, in no order."""

    def __init__(self, host: Host, secret: str) -> None:
        self.host = host
        self.everything: Target | None = None
        self.by_channel: dict[str, Target] = {}
        self.deliveries: deque[Delivery] = deque(maxlen=5_000)
        self._secret = secret
        self._client: aiohttp.ClientSession | None = None

    def subscribe(self, url: str, secret: str = "", channel: str = "") -> None:
        target = Target(url, secret or self._secret)
        if channel:
            self.by_channel[channel] = target
        else:
            self.everything = target

    def take(self, payload: Json, name: str, channel: str) -> None:
        """Queue what the server said. `name` is how the envelope calls the session, `channel` its id here."""
        target = self.by_channel.get(channel) or self.everything
        if target is None or self.host.rules.has("events_disabled", session=str(payload.get("session"))):
            return
        delivery = Delivery(self.envelope(payload, name), target)
        self.deliveries.append(delivery)
        self.host.spawn(self._deliver(delivery))

    def envelope(self, payload: Json, name: str) -> Json:
        """Answer the envelope of an event: exactly one of `message`, `ack`, `connection` is not null."""
        raw_event = str(payload.get("event"))
        event = self._event(raw_event, str(payload.get("session")))
        now = to_ms(self.host.clock.now())
        told: Json = {"spec_version": "1.0", "event": event, "session": {"id": name, "name": name}}
        told |= {"message": None, "ack": None, "connection": None}
        stamp: int | str = int(payload.get("t") or now // 1000)
        if event in ("message", "message.sent", "message.failed"):
            told["message"] = {
                "id": payload.get("id"),
                "from": payload.get("from"),
                "to": payload.get("to"),
                "text": payload.get("body"),
                "timestamp": payload.get("t"),
            }
        elif event == "message.ack":
            identity = as_object(payload["id"]).get("_serialized") or payload["id"]
            told["ack"] = {"id": identity, "ack": payload.get("ack"), "to": payload.get("to")}
            stamp = now // 1000
        else:
            told["connection"] = {"status": payload.get("state") or payload.get("status") or raw_event}
            stamp = rfc3339(now)
        told["raw"] = {"provider": "wppconnect", "payload": payload}
        return told | {"event_id": self.new_id(), "correlation_id": self.new_id(), "timestamp": stamp}

    def _event(self, raw_event: str, session: str) -> str:
        renamed = self.host.natural("presence_as_connection_update", session)
        if raw_event == "onpresencechanged" and not renamed:
            return raw_event
        return MAPPED.get(raw_event, raw_event)

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.host.random.getrandbits(128), version=4))

    async def _deliver(self, delivery: Delivery) -> None:
        for pause in (*self.host.pace.gateway_retry_s, None):
            delivery.statuses.append(await self._post(delivery))
            if delivery.delivered:
                return
            if pause is not None:
                await self.host.clock.sleep(pause)
        delivery.lost = True

    async def _post(self, delivery: Delivery) -> int:
        if self._client is None:
            self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=SOCKETS))
        headers = {"Content-Type": "application/json", "X-Gateway-Secret": delivery.target.secret}
        try:
            async with self._client.post(
                delivery.target.url, data=upload(delivery.envelope), headers=headers
            ) as answer:
                return answer.status
        except (TimeoutError, aiohttp.ClientError, OSError):
            return 0

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None
