"""`POST /api/messages` of the gateway: what each kind becomes at the server.

Source: the contract's sections 1.3 and 1.5.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulators.wppconnect.doors import answer, read_object
from simulators.wppconnect.models import Json, digits_of
from simulators.wppconnect.wrapped import Answered, WrapError

if TYPE_CHECKING:
    from simulators.wppconnect.gateway import Gateway

AUDIO_BYTES = 16 * 1024 * 1024
MIMES = {"image": "image/jpeg", "document": "application/pdf", "video": "video/mp4"}


class SendError(Exception):
    """The gateway refuses a message by itself."""

    def __init__(self, code: str, text: str, status: int = 400, reason: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.status = status
        self.more: Json = {"origin": "gateway", "reason": reason} if reason else {}


class GatewaySends:
    """One route for all kinds of messages."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.host = gateway.host

    async def send(self, request: web.Request) -> web.Response:
        """Send a message; `correlationId` is always answered, `messageId` only where it is known."""
        body = await read_object(request)
        trace = self.gateway.relay.new_id()
        channel = self.gateway.channel(str(body.get("channel") or ""))
        if channel is None:
            return _failed("CHANNEL_NOT_FOUND", "Channel not found", trace, 404)
        session = self.gateway.session(channel)
        try:
            route, wanted = _translate(body)
            if body.get("type") == "image" and self.host.rules.take("image_swallowed", session=session):
                return answer({"success": True, "correlationId": trace, "raw": None})
            self._convert(body, session)
            told = await self.gateway.server.ask("POST", session, route, wanted)
        except SendError as error:
            return _failed(error.code, str(error), trace, error.status, error.more)
        except WrapError as error:
            self._tell("message.failed", session, body, "")
            return _failed(error.code, str(error), trace, 500)
        return self._answered(told, session, body, trace)

    def _convert(self, body: Json, session: str) -> None:
        """Make WebM an OGG. Errors: `SendError` where ffmpeg is not there."""
        if "webm" in str(body.get("audio_mime") or ""):
            rule = self.host.rules.take("audio_convert_failed", session=session)
            if rule is not None:
                reason = str(rule.options.get("reason", "FFMPEG_NOT_FOUND"))
                raise SendError("AUDIO_CONVERT_FAILED", "Audio conversion failed", 500, reason)

    def _answered(self, told: Answered, session: str, body: Json, trace: str) -> web.Response:
        said = told.object
        if told.status == 404:
            return _failed("SESSION_DISCONNECTED", str(said.get("message")), trace, 400)
        if told.status >= 400:
            self._tell("message.failed", session, body, "")
            return _failed("WPPCONNECT_SEND_ERROR", str(said.get("message")), trace, 500)
        rows: list[Any] = list(said.get("response") or [])
        identity = str(rows[0]["id"]) if rows else ""
        self._tell("message.sent", session, body, identity)
        if self.host.rules.take("no_message_id", session=session) is not None:
            return answer({"success": True, "correlationId": trace, "raw": None})
        return answer({"success": True, "messageId": identity, "correlationId": trace, "raw": said})

    def _tell(self, event: str, session: str, body: Json, identity: str) -> None:
        phone = self.host.session(session).phone
        payload = {
            "event": event,
            "session": session,
            "id": identity or None,
            "body": str(body.get("text") or body.get("caption") or ""),
            "from": phone.account.wid if phone is not None else None,
            "to": f"{digits_of(str(body.get('to')))}@c.us",
            "fromMe": True,
            "t": int(self.host.clock.now().timestamp()),
        }
        self.gateway.forward(payload, session)


def _translate(body: Json) -> tuple[str, Json]:
    """Answer the server's route and body. Errors: `SendError` for what the gateway does not take."""
    kind = str(body.get("type") or "text")
    phone: Json = {"phone": str(body.get("to") or ""), "isGroup": False}
    if "@" in phone["phone"]:
        phone["isGroup"], phone["isLid"] = phone["phone"].endswith("@g.us"), phone["phone"].endswith("@lid")
    if kind == "text":
        return "send-message", {**phone, "message": str(body.get("text") or "")}
    if kind == "audio":
        return "send-voice-base64", {**phone, "base64Ptt": _audio(body)}
    if kind not in MIMES:
        raise SendError("WPPCONNECT_SEND_ERROR", f"Unsupported type {kind}")
    if kind in ("image", "document") and "text" not in body:
        raise SendError("WPPCONNECT_SEND_ERROR", "text is required")
    given = str(body.get("base64") or "")
    source = {"base64": f"data:{MIMES[kind]};base64,{given}"} if given else {"path": body.get("url")}
    if not given and not body.get("url"):
        raise SendError("MISSING_MEDIA", "base64 or url is required")
    caption = str(body.get("caption") or body.get("text") or "")
    filename = str(body.get("fileName") or kind)
    return "send-image" if kind == "image" else "send-file", {
        **phone,
        **source,
        "filename": filename,
        "caption": caption,
    }


def _audio(body: Json) -> str:
    given = str(body.get("base64Ptt") or "")
    if not given:
        raise SendError("MISSING_MEDIA", "base64Ptt is required")
    try:
        size = len(base64.b64decode(given, validate=True))
    except binascii.Error:
        raise SendError("AUDIO_CONVERT_FAILED", "The audio is not base64") from None
    if size > AUDIO_BYTES:
        raise SendError("AUDIO_TOO_LARGE", "The audio is larger than 16 MB", 413)
    return f"data:audio/ogg;base64,{given}"


def _failed(code: str, text: str, trace: str, status: int, more: Json | None = None) -> web.Response:
    told = {"success": False, "error": text, "error_code": code, "correlationId": trace}
    return answer({**told, **(more or {})}, status)
