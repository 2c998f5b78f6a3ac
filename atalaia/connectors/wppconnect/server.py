"""The door to a wppconnect-server: only the calls of a short list, each with its own time limit.

The server's calls that log out, clear or delete are not in the list, so nothing here can make them.
Source: contract WhatsApp, section 2; transcripts `wppconnect-server/*`.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote

from atalaia.clock import Clock
from atalaia.connectors.wppconnect.calls import Caller, Json, Place, Reply
from atalaia.connectors.wppconnect.door import (
    ChatHead,
    Claim,
    File,
    Sent,
    read_base64,
    read_chats,
    read_claim,
    read_messages,
    read_sent,
)
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.wids import GROUP, LID, NEWSLETTER, Wid, comparable, read_wid
from atalaia.errors import InDoubt, Refused, Rejected, Unavailable, Unreadable

# All that is ever called of a session's routes.
ALLOWED = frozenset(
    {
        "generate-token", "start-session", "status-session", "check-connection-session", "close-session",
        "list-chats", "get-messages", "message-by-id", "get-media-by-message", "contact", "host-device",
        "check-number-status", "reactions", "votes", "take-screenshot", "send-message", "send-image",
        "send-file-base64",
        "send-voice-base64", "send-location", "send-reply", "react-message",
    }
)  # fmt: skip
NOT_ACTIVE = "Disconnected"
ASK_KEY = "Check the secret key in the connection's settings."


class NoSession(Unavailable):
    """The server has no live page for this session: it was not started, or it closed."""


class ServerDoor(Caller):
    """One session of one server."""

    name = "server"

    def __init__(self, settings: WppconnectSettings, clock: Clock, hook_url: str) -> None:
        self._hook_url = hook_url
        self._token = ""
        super().__init__(settings, Place(settings.server_url, "server"), clock, {})

    # The session.

    async def status(self) -> Claim:
        return read_claim((await self._get("status-session")).object())

    async def start(self, phone: str = "") -> Claim:
        """Start it with its whole configuration: a later start without the webhook would silently drop it.

        phone: pair by a code that is typed on the phone with this number.
        """
        body: Json = {"waitQrCode": False, "deviceName": self._settings.device_name, "poweredBy": "Atalaia"}
        if self._hook_url:
            body["webhook"] = self._hook_url
        if phone:
            body["phone"] = phone
        return read_claim((await self._post("start-session", body, acts=True)).object())

    async def close(self) -> bool:
        """Close it; the pairing stays. Answers False for the 500 of a session that is stuck: it is reset all
        the same, and its browser may still run.
        """
        reply = await self._call("POST", "close-session", body={}, acts=True)
        return reply.ok and reply.object().get("status") is True

    async def check(self) -> bool:
        """Answer what the check of the page says. It is true on a page that can run any script at all.

        Errors: `NoAnswer` while the page is hung or crashed.
        """
        # Two checks in a row must fit into two probes, or a crashed page would be named too late.
        within_s = min(self._settings.check_within_s, self._settings.probe_every_s / 3)
        return (await self._get("check-connection-session", within_s=within_s)).object().get("status") is True

    async def own_number(self) -> Wid | None:
        """Answer which account the session is; None when the page does not tell yet."""
        body = (await self._page("GET", "host-device")).object()
        inner: Any = body.get("response")
        if isinstance(inner, dict):
            device = cast("Json", inner)
            return read_wid(device.get("phoneNumber")) or read_wid(device.get("wid"))
        return read_wid(inner)

    async def round_trip(self, own: Wid) -> None:
        """Have the page ask WhatsApp itself about our own number. Errors: `NoAnswer` when none comes back."""
        path = f"check-number-status/{quote(own.user, safe='')}"
        reply = await self._page("GET", path)
        if not reply.ok:
            raise Unavailable(
                f"The page could not ask WhatsApp (HTTP {reply.status}). {reply.said()}".strip()
            )

    async def number(self, wid: Wid) -> tuple[bool, Wid]:
        """Have the page ask WhatsApp about a number. Answers (it is not there, how WhatsApp writes it).

        What the page cannot tell is no "no". Errors: `NoAnswer` when none comes back.
        """
        reply = await self._page("GET", f"check-number-status/{quote(wid.user, safe='')}")
        body: Any = reply.json() if reply.ok else None
        inner: Any = cast("Json", body).get("response") if isinstance(body, dict) else None
        told = cast("Json", inner) if isinstance(inner, dict) else {}
        own = read_wid(told.get("id"))
        same = own is not None and own.server == wid.server and comparable(own.user) == comparable(wid.user)
        return told.get("numberExists") is False, own if same and own is not None else wid

    async def alive(self) -> None:
        """Return when the server's process answers. Errors: `Unavailable`."""
        reply = await self._calls.ask("GET", "/healthz", within_s=self._settings.check_within_s)
        if not reply.ok:
            raise Unavailable(f"The server's own health page says HTTP {reply.status}.")

    async def screenshot(self) -> bytes:
        """Answer a picture of the page, for a person. Errors: as all, `Unreadable` when it is no picture."""
        reply = await self._page("GET", "take-screenshot")
        text = reply.body.decode("ascii", errors="replace").strip().strip('"')
        return read_base64(text)

    # The page's store.

    async def chats(self, count: int | None = None, *, within_s: float | None = None) -> list[ChatHead]:
        body: Json = {} if count is None else {"count": count}
        within_s = within_s or self._settings.list_within_s
        reply = await self._page("POST", "list-chats", body=body, within_s=within_s)
        return read_chats(reply.json())

    async def messages(self, chat: Wid, *, count: int, before: str = "") -> list[Json]:
        """Answer messages from the page's own database. count: never all, that can freeze the page."""
        if count < 1:
            raise ValueError("count must be positive: all messages at once can freeze the page")
        query = f"?count={count}" + (f"&direction=before&id={quote(before, safe='')}" if before else "")
        path = f"get-messages/{quote(str(chat), safe='')}{query}"
        reply = await self._page("GET", path, within_s=self._settings.list_within_s)
        if not reply.ok:
            raise Unavailable(f"The page could not read a chat (HTTP {reply.status}). {reply.said()}".strip())
        return read_messages(reply.json())

    async def alias(self, wid: Wid) -> Json:
        """Answer what the page knows of a contact's number and lid; each part may be missing."""
        reply = await self._page("GET", f"contact/pn-lid/{quote(str(wid), safe='')}")
        if not reply.ok:
            raise Rejected(f"The server does not look up {wid.server} contacts. {reply.said()}".strip())
        return reply.object()

    async def media(self, message_id: str) -> File:
        """Download one attachment. Errors: also `Rejected` when the message has none or is not there."""
        path = f"get-media-by-message/{quote(message_id, safe='')}"
        reply = await self._page("GET", path, within_s=self._settings.media_within_s)
        if not reply.ok:
            raise Rejected(f"The file was not given (HTTP {reply.status}). {reply.said()}".strip())
        body = reply.object()
        kind = body.get("mimetype")
        return File(read_base64(body.get("base64")), kind if isinstance(kind, str) else "")

    # Sending.

    async def send(self, route: str, chat: Wid, body: Json) -> Sent:
        """Send one message. route: `send-message`, `send-image`, …; its text or file stands in `body`.

        Errors: `Unavailable` when it was not reached; `Rejected` when the server says that it was not sent;
            `InDoubt` when nobody can tell: no answer, or the 400 of a number that "does not exist", after
            which the server goes on to send.
        """
        whole = {"phone": chat.user, **_kind_of(chat), **body}
        reply = await self._page("POST", route, body=whole, within_s=self._settings.media_within_s, acts=True)
        if not reply.ok:
            raise refusal_of_send(reply)
        try:
            return read_sent(reply.json())
        except (Unavailable, Unreadable):
            raise InDoubt("The server's answer to the message cannot be read.") from None

    # Calling.

    async def _get(self, path: str, *, within_s: float | None = None) -> Reply:
        return await self._call("GET", path, within_s=within_s)

    async def _post(self, path: str, body: Json, *, acts: bool = False) -> Reply:
        return await self._call("POST", path, body=body, acts=acts)

    async def _page(
        self, method: str, path: str, *, body: Any = None, within_s: float | None = None, acts: bool = False
    ) -> Reply:
        """Call what needs a live page. Errors: also `NoSession`."""
        reply = await self._call(method, path, body=body, within_s=within_s, acts=acts)
        if reply.status == 404 and "json" in reply.content_type:
            found = reply.json()
            if isinstance(found, dict) and cast("Json", found).get("status") == NOT_ACTIVE:
                raise NoSession("The server has no live page for this session.")
        return reply

    async def _call(
        self, method: str, path: str, *, body: Any = None, within_s: float | None = None, acts: bool = False
    ) -> Reply:
        """Call one route of the session, with a token that is made when there is none or it is not taken."""
        route = path.partition("/")[0].partition("?")[0]
        if route not in ALLOWED:
            raise ValueError(f"{route} is not among the server's calls that are allowed")
        for fresh in (False, True):
            if fresh or not self._token:
                await self._make_token()
            reply = await self._calls.ask(
                method, f"/api/{self._session}/{path}", body=body, acts=acts,
                within_s=within_s or self._settings.answer_within_s,
                headers={"Authorization": f"Bearer {self._token}"},
            )  # fmt: skip
            # `get-messages` answers 401 for any failure of its own.
            if reply.status != 401 or not _is_token_refused(reply):
                return reply
        raise Refused("The server does not take the token that it made itself.", ask=ASK_KEY)

    async def _make_token(self) -> None:
        """Make a token. Each call makes a new good one, and none expires while the key stays."""
        key = quote(self._settings.secret_key.get_secret_value(), safe="")
        path = f"/api/{self._session}/{key}/generate-token"
        reply = await self._calls.ask("POST", path, within_s=self._settings.answer_within_s)
        if reply.status in (400, 401, 403):
            raise Refused("The server does not take our secret key.", ask=ASK_KEY)
        token = reply.object().get("token")
        if not reply.ok or not isinstance(token, str) or not token:
            raise Unreadable(f"The server made no token (HTTP {reply.status}).")
        self._token = token

    @property
    def _session(self) -> str:
        return quote(self._settings.session_name, safe="")


def refusal_of_send(reply: Reply) -> Exception:
    """Answer what a send that was not answered with success means.

    Source: transcript 08: a 400 "does not exist", after which the message was sent all the same.
    """
    said = reply.said()
    if reply.status == 400 and "não existe" in said:
        return InDoubt(f"The server says there is no such number, and may have sent all the same. {said}")
    if reply.status >= 500:
        return InDoubt(f"The server failed while sending (HTTP {reply.status}). {said}".strip())
    return Rejected(f"The server did not send (HTTP {reply.status}). {said}".strip())


def _is_token_refused(reply: Reply) -> bool:
    said = reply.said()
    return "Token" in said or "not present" in said


def _kind_of(chat: Wid) -> Json:
    """Say what the id is: the server takes a lid of 14 digits for a phone number unless it is told."""
    server = chat.server
    return {"isGroup": server == GROUP, "isNewsletter": server == NEWSLETTER, "isLid": server == LID}
