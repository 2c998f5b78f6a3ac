"""The server's sending routes, with their double replies and their way with numbers.

Source: the contract's section 2.5 and the transcript 08.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulators.wppconnect import objects
from simulators.wppconnect.models import GROUP, LID, PHONE, Json, Media, Message, as_list, digits_of
from simulators.wppconnect.page import Page
from simulators.wppconnect.session import either

if TYPE_CHECKING:
    from simulators.wppconnect.api import PageCall
    from simulators.wppconnect.host import Host

Route = tuple[str, str, Callable[["PageCall"], Awaitable[web.StreamResponse]]]
Build = Callable[[Json], dict[str, Any]]

NOT_SENT: Json = {"status": "Error", "message": "Erro ao enviar a mensagem.", "error": {}}
_SUFFIXES = {"image": "image/jpeg", "voice": "audio/ogg; codecs=opus", "file": "application/octet-stream"}


class BadPath(Exception):
    """A file that is neither a data URL nor somewhere to be found."""


class Sends:
    """Everything that leaves the page. There is no idempotency key: a repeated request sends twice."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def routes(self) -> list[Route]:
        kinds: dict[str, Build] = {
            "send-message": _text,
            "send-reply": _reply,
            "send-mentioned": _text,
            "send-link-preview": _link,
            "send-location": _location,
            "send-image": _file("image"),
            "send-file": _file("file"),
            "send-file-base64": _file("file"),
            "send-voice": _file("voice"),
            "send-voice-base64": _file("voice"),
            "send-sticker": _file("sticker"),
            "send-poll-message": _poll,
            "contact-vcard": _vcard,
        }
        sends: list[Route] = [("POST", path, self._sending(build)) for path, build in kinds.items()]
        return [
            *sends,
            ("POST", "edit-message", self.edit),
            ("POST", "delete-message", self.delete),
            ("POST", "react-message", self.react),
            ("POST", "send-seen", self.seen),
            ("POST", "mark-unseen", self.unseen),
            ("POST", "typing", self.nothing),
            ("POST", "recording", self.nothing),
            ("POST", "chat-state", self.nothing),
            ("POST", "subscribe-presence", self.nothing),
        ]

    # ---- whom for ------------------------------------------------------------------------

    def _recipients(self, body: Json, session: str) -> list[str]:
        """Answer the wids that the server makes of `phone`; its digits alone decide, and `isLid`."""
        asked: Any = body.get("phone") or []
        several = as_list(asked) or str(asked or "").replace(";", ",").split(",")
        return [self._wid(str(one), body, session) for one in several if str(one).strip()]

    def _wid(self, entry: str, body: Json, session: str) -> str:
        head, _, tail = entry.strip().partition("@")
        digits = "".join(one for one in head if one.isalnum() or one == "_")
        if body.get("isGroup"):
            return digits + GROUP
        if body.get("isNewsletter"):
            return f"{digits}@newsletter"
        mended = tail == "lid" and not self.host.natural("lid14_bug", session)
        return digits + (LID if body.get("isLid") or mended or len(digits) > 14 else PHONE)

    def _missing(self, wids: list[str], session: str) -> str:
        """Answer the first number that is not on the network."""
        named = self.host.called_strangers.get(session, set())
        for wid in wids:
            digits = digits_of(wid)
            if wid.endswith(PHONE) and (digits in named or not self.host.number_exists(digits)):
                return digits
        return ""

    # ---- sending -------------------------------------------------------------------------

    def _sending(self, build: Build) -> Callable[[PageCall], Awaitable[web.StreamResponse]]:
        async def send(call: PageCall) -> web.StreamResponse:
            name = call.session.name
            wids = self._recipients(call.body, name)
            if self.host.rules.take("send_request_lost", session=name) is not None:
                _hang_up(call)
                return call.reply(NOT_SENT, 500)
            if self.host.rules.take("send_error", session=name) is not None:
                return call.reply(NOT_SENT, 500)
            try:
                about = build(call.body)
            except BadPath:
                return call.reply(NOT_SENT, 500)
            missing = self._missing(wids, name)
            if missing and not self.host.natural("double_reply_400_but_sent", name):
                return self._no_such_number(call, missing)
            # What was begun goes on, whether somebody still waits for the answer or not.
            work = self.host.spawn(self._deliver(call.page, wids, about))
            if missing:
                return self._no_such_number(call, missing)
            sent: list[Message] | None = await asyncio.shield(work)
            if (slow := self.host.rules.take("send_slow", session=name)) is not None:
                await self.host.clock.sleep(slow.number("delay_s", 45.0))
            if self.host.rules.take("send_answer_lost", session=name) is not None:
                _hang_up(call)
            if sent is None:
                return call.reply(NOT_SENT, 500)
            return call.reply(
                {"status": "success", "response": self._told(call.page, sent), "mapper": "return"}, 201
            )

        return send

    def _no_such_number(self, call: PageCall, digits: str) -> web.Response:
        told = {"response": None, "status": "Connected", "message": f"O número {digits} não existe."}
        return call.reply(told, 400)

    def _told(self, page: Page, sent: list[Message]) -> list[Json]:
        phone = page.phone
        return [
            objects.sent_json(phone, one)
            if one.media is None
            else {"ack": one.ack, "id": objects.serialized(phone, one)}
            for one in sent
        ]

    async def _deliver(self, page: Page, wids: list[str], about: dict[str, Any]) -> list[Message] | None:
        """Put a message to each into the store, and wait until the network has taken them.

        Answers `None` when the browser ended before that; the messages stay, and leave when it is back.
        """
        sent: list[Message] = []
        for wid in wids:
            message = page.phone.write(wid, source="api", **about)
            page.learn([message.key])
            sent.append(message)
            if page.connected:
                self.host.spawn(self.host.travel(page.phone, message))
        for one in sent:
            taken = page.phone.taken(one.key)
            await either(self.host.clock, float("inf"), taken, page.browser.ended)
            if not taken.is_set():
                return None
        return sent

    # ---- changing ------------------------------------------------------------------------

    def _message(self, page: Page, identity: Any) -> Message | None:
        message = page.phone.messages.get(objects.key_of(str(identity or "")))
        return message if message is not None and page.knows(message.key) else None

    async def edit(self, call: PageCall) -> web.Response:
        message = self._message(call.page, call.body.get("id"))
        if message is None or not message.from_me:
            return call.reply(NOT_SENT, 500)
        call.page.phone.edit(message.key, str(call.body.get("newText", "")))
        told = [objects.sent_json(call.page.phone, message)]
        return call.reply({"status": "success", "response": told, "mapper": "return"}, 201)

    async def delete(self, call: PageCall) -> web.Response:
        """Delete for everybody. The server sends a second reply, 401, which nobody can read."""
        message = self._message(call.page, call.body.get("messageId"))
        if message is None:
            return call.reply({"status": "error", "message": "Error on delete message"}, 401)
        if not call.body.get("onlyLocal"):
            call.page.phone.revoke(message.key)
        return call.reply({"status": "success", "response": {"message": "Message deleted"}})

    async def react(self, call: PageCall) -> web.Response:
        message = self._message(call.page, call.body.get("msgId"))
        if message is None:
            return call.reply({"status": "error", "message": "Error on send reaction to message"}, 500)
        call.page.phone.react(message.key, "me", str(call.body.get("reaction") or ""))
        return call.reply({"status": "success", "response": {"message": "Reaction sended successfully"}})

    async def seen(self, call: PageCall) -> web.Response:
        for wid in self._recipients(call.body, call.session.name):
            call.page.phone.read(call.page.phone.find(wid))
        return call.reply({"status": "success", "response": {}})

    async def unseen(self, call: PageCall) -> web.Response:
        for wid in self._recipients(call.body, call.session.name):
            if handle := call.page.phone.find(wid):
                call.page.phone.unread[handle] = max(1, call.page.phone.unread.get(handle, 0))
        return call.reply({"status": "success", "response": {}})

    async def nothing(self, call: PageCall) -> web.Response:
        return call.reply({"status": "success", "response": {}})


def _hang_up(call: PageCall) -> None:
    """Break the connection; the answer that is still given reaches nobody."""
    if call.request.transport is not None:
        call.request.transport.abort()


# ---- what a body means ----------------------------------------------------------------------


def _text(body: Json) -> dict[str, Any]:
    return {"text": str(body.get("message", ""))}


def _reply(body: Json) -> dict[str, Any]:
    return {**_text(body), "quoted": objects.key_of(str(body.get("messageId", "")))}


def _link(body: Json) -> dict[str, Any]:
    return {"text": f"{body.get('caption') or ''} {body.get('url') or ''}".strip()}


def _location(body: Json) -> dict[str, Any]:
    place = (float(body.get("lat") or 0), float(body.get("lng") or 0))
    return {"text": str(body.get("title") or ""), "kind": "location", "location": place}


def _poll(body: Json) -> dict[str, Any]:
    return {"text": str(body.get("name") or ""), "kind": "poll_creation"}


def _vcard(body: Json) -> dict[str, Any]:
    return {"text": str(body.get("name") or ""), "kind": "vcard"}


def _file(kind: str) -> Build:
    def build(body: Json) -> dict[str, Any]:
        """Read a file from a data URL. A path or an address stands for a small file of its kind.

        Errors: `BadPath` for what is neither, like base64 without its `data:`.
        """
        given = str(body.get("base64Ptt") or body.get("base64") or body.get("path") or "")
        filename = str(body.get("filename") or "")
        caption = str(body.get("caption") or body.get("message") or "")
        if given.startswith("data:"):
            mimetype, _, data = given.removeprefix("data:").partition(";base64,")
            media = Media(mimetype, filename, len(data) * 3 // 4, 0, caption, data)
        elif given.startswith(("http://", "https://", "/", "./")) and len(given) < 500:
            media = Media(_SUFFIXES.get(kind, "image/webp"), filename, 2_000, len(given), caption)
        else:
            raise BadPath
        shown = {"voice": "ptt", "file": _kind_of(media.mimetype)}.get(kind, kind)
        quoted = objects.key_of(str(body.get("quotedMessageId") or ""))
        return {"text": "", "kind": shown, "media": media, "quoted": quoted}

    return build


def _kind_of(mimetype: str) -> str:
    head = mimetype.partition("/")[0]
    return head if head in ("image", "video", "audio") else "document"
