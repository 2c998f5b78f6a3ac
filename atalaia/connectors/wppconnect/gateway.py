"""The door to a gateway-wrapper: few calls, status words inside `channel`, and no way to read the store.

Source: contract WhatsApp, section 1; recordings `gateway-api/*`.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote

import aiohttp
import orjson

from atalaia.clock import Clock
from atalaia.connectors.wppconnect.calls import Caller, Json, Place, Reply, refused
from atalaia.connectors.wppconnect.door import (
    Claim,
    File,
    Sent,
    Word,
    code_in,
    read_base64,
    read_sent,
    read_word,
)
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.wids import Wid
from atalaia.errors import InDoubt, Rejected, Unavailable, Unreadable

NEVER_SENT = frozenset(
    {
        "AUDIO_TOO_LARGE", "MISSING_MEDIA", "AUDIO_CONVERT_FAILED", "CHANNEL_NOT_FOUND",
        "SESSION_DISCONNECTED", "UNAUTHORIZED",
    }
)  # fmt: skip


class GatewayDoor(Caller):
    """One channel of one gateway."""

    name = "gateway"

    def __init__(self, settings: WppconnectSettings, clock: Clock) -> None:
        headers = {"X-Gateway-Secret": settings.gateway_secret.get_secret_value()}
        if settings.proxy_user:
            password = settings.proxy_password.get_secret_value()
            headers["Authorization"] = aiohttp.encode_basic_auth(settings.proxy_user, password, "utf-8")
        super().__init__(settings, Place(settings.gateway_url, "gateway"), clock, headers)

    async def status(self) -> Claim:
        """Answer the channel's status. It stands inside `channel`, not beside it."""
        reply = await self._call("GET", self._channel)
        if reply.status == 404:
            raise Unavailable(f"The gateway does not know this channel. {reply.said()}".strip())
        body = self._read(reply)
        channel: Any = body.get("channel")
        if not isinstance(channel, dict):
            raise Unreadable("The gateway's answer holds no `channel`.", raw=reply.body)
        said = cast("Json", channel).get("status")
        return Claim(read_word(said), said if isinstance(said, str) else "")

    async def start(self) -> Claim:
        """Do what a person did: ask for the code. That starts the session; the picture is no proof.

        Newer gateways have a call of its own for it, which is tried first.
        """
        reply = await self._call("POST", f"{self._channel}/start-session", acts=True)
        if reply.ok and reply.object().get("success") is True:
            return Claim(Word.UNKNOWN, "")
        return await self.code()

    async def code(self) -> Claim:
        """Ask for the code to scan. Side effect: it starts the session."""
        reply = await self._call(
            "GET", f"{self._channel}/qr", within_s=self._settings.list_within_s, acts=True
        )
        if not reply.ok:
            # Before its patch the gateway answered 500 when there was no code because all was well.
            if "Invalid QR code response" in reply.said():
                return Claim(Word.UNKNOWN, reply.said())
            raise Unavailable(f"The gateway gave no code (HTTP {reply.status}). {reply.said()}".strip())
        body = reply.object()
        said = body.get("status")
        word = read_word(said) if isinstance(said, str) else Word.UNKNOWN
        code = code_in(body)
        return Claim(Word.QRCODE if code and word is Word.UNKNOWN else word, str(said or ""), code)

    async def names(self) -> list[tuple[str, Word]]:
        """Answer the channels that the gateway knows, with their status words. Can take tens of seconds."""
        reply = await self._call("GET", "/api/channels", within_s=self._settings.list_within_s)
        rows: Any = self._read(reply).get("channels")
        if not isinstance(rows, list):
            raise Unreadable("The gateway's answer holds no list `channels`.", raw=reply.body)
        found: list[tuple[str, Word]] = []
        for row in cast("list[Any]", rows):
            one = cast("Json", row) if isinstance(row, dict) else {}
            name = one.get("id")
            if isinstance(name, str):
                found.append((name, read_word(one.get("status"))))
        return found

    async def alias(self, wid: Wid) -> Json:
        """Answer what the page knows of a contact's number and lid. Not every gateway passes it on."""
        path = f"/api/{quote(self._settings.session_name, safe='')}/contact/pn-lid/{quote(str(wid), safe='')}"
        reply = await self._call("GET", path)
        if not reply.ok:
            raise Rejected(f"The gateway does not look up contacts (HTTP {reply.status}).")
        return reply.object()

    async def media(self, message_id: str) -> File:
        """Download one attachment. The base64 may hold a JSON object that holds the real one."""
        channel = quote(self._settings.session_name, safe="")
        path = f"/api/media/{channel}/{quote(message_id, safe='')}"
        reply = await self._call("GET", path, within_s=self._settings.media_within_s)
        if not reply.ok:
            raise Rejected(f"The file was not given (HTTP {reply.status}). {reply.said()}".strip())
        body = reply.object()
        kind = body.get("mime_type")
        return _file(body.get("media_base64"), kind if isinstance(kind, str) else "")

    async def send(self, to: str, body: Json) -> Sent:
        """Send one message to a number; `body` says its kind.

        Errors: `Unavailable` and `Rejected` when it was not sent, `InDoubt`.
        """
        whole: Json = {"channel": self._settings.session_name, "to": to, "text": "", **body}
        within_s = self._settings.media_within_s if body.get("type") else self._settings.list_within_s
        reply = await self._call("POST", "/api/messages", body=whole, within_s=within_s, acts=True)
        try:
            if reply.ok and reply.object().get("success") is True:
                return read_sent(reply.object())
        except (Unavailable, Unreadable):
            raise InDoubt("The gateway's answer to the message cannot be read.") from None
        raise self._not_sent(reply)

    def _not_sent(self, reply: Reply) -> Exception:
        """A time limit on the way says nothing about the message: it is often sent all the same."""
        try:
            code = reply.object().get("error_code")
        except (Unavailable, Unreadable):
            code = None
        said = reply.said()
        if code in NEVER_SENT or 400 <= reply.status < 500:
            return Rejected(f"The gateway did not send (HTTP {reply.status}). {said}".strip())
        return InDoubt(f"The gateway does not say whether it sent (HTTP {reply.status}). {said}".strip())

    # Calling.

    @property
    def _channel(self) -> str:
        return f"/api/channels/{quote(self._settings.session_name, safe='')}"

    async def _call(
        self, method: str, path: str, *, body: Any = None, within_s: float | None = None, acts: bool = False
    ) -> Reply:
        reply = await self._calls.ask(
            method, path, body=body, within_s=within_s or self._settings.answer_within_s, acts=acts
        )
        error = refused(reply, self._calls.place)
        if error is not None:
            raise error
        return reply

    def _read(self, reply: Reply) -> Json:
        body = reply.object()
        if not reply.ok or body.get("success") is False:
            raise Unavailable(f"The gateway says no (HTTP {reply.status}). {reply.said()}".strip())
        return body


def _file(value: Any, mimetype: str) -> File:
    raw = read_base64(value)
    if raw[:1] == b"{":
        try:
            inner: Any = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return File(raw, mimetype)
        if isinstance(inner, dict):
            held = cast("Json", inner)
            places = (held.get("data"), held.get("base64"), held.get("body"))
            found = next((place for place in places if isinstance(place, str) and place), None)
            kind = held.get("mimetype")
            if found is not None:
                return File(read_base64(found), kind if isinstance(kind, str) else mimetype)
    return File(raw, mimetype)
