"""What the connector asks of a session, whichever door leads to it, and how answers are read.

Source: contract WhatsApp, sections 1 and 2. Status words are claims; nothing here takes them for proof.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, cast

from atalaia.connectors.wppconnect.envelope import Json, read_time_ms
from atalaia.connectors.wppconnect.wids import MessageId, Wid, read_message_id, read_wid
from atalaia.errors import Unreadable


class Word(StrEnum):
    """What an upstream says of a session, in one spelling."""

    CLOSED = "closed"
    INITIALIZING = "initializing"
    QRCODE = "qrcode"
    PHONECODE = "phonecode"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    UNKNOWN = "unknown"


# Compared for equality: "disconnected" contains "connected".
_WORDS = {
    "closed": Word.CLOSED, "null": Word.CLOSED, "": Word.CLOSED, "initializing": Word.INITIALIZING,
    "starting": Word.INITIALIZING, "qrcode": Word.QRCODE, "qr_required": Word.QRCODE,
    "waiting_qr": Word.QRCODE,
    "phonecode": Word.PHONECODE, "connected": Word.CONNECTED, "disconnected": Word.DISCONNECTED,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claim:
    """What the upstream says of the session. said: its own word, as it came.

    code: base64 of a picture to scan; only given while it says that one is wanted, because the server goes on
        drawing one after the login. text: what the picture encodes.
    """

    word: Word
    said: str
    code: str = ""
    text: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class ChatHead:
    """One chat of the page's list. newest_ms: of its last message; None when it has none."""

    wid: Wid
    newest_ms: int | None
    unread: int
    name: str
    archived: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to a send: the id of the message, where the upstream gives one at once."""

    id: MessageId | None
    ack: int | None
    raw: Json = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class File:
    """One downloaded attachment."""

    content: bytes
    mimetype: str


class Door(Protocol):
    """One session as it can be reached.

    Errors of all of them: `Unavailable` (`NoAnswer` when it was reached and stayed mute), `Refused`,
    `Unreadable`; where they act, also `Rejected` and `InDoubt`. None of them logs out, clears or deletes.
    """

    @property
    def name(self) -> str: ...

    async def status(self) -> Claim:
        """Answer what the upstream says of the session."""
        ...

    async def start(self) -> Claim:
        """Ask for the session to be started, with all of its settings. Harmless while it runs."""
        ...


class Store(Protocol):
    """The page's own message store, as a door that has one shows it."""

    async def chats(self, count: int | None = None) -> list[ChatHead]:
        """Answer the chats, the newest first; all of them, or so many."""
        ...

    async def messages(self, chat: Wid, *, count: int, before: str = "") -> list[Json]:
        """Answer messages of a chat, the newest ones or those before an id, in no promised order."""
        ...


def read_word(value: Any) -> Word:
    """Answer the word for a status as it was written; `UNKNOWN` for one that nobody has seen."""
    if value is None:
        return Word.CLOSED
    return _WORDS.get(value.strip().lower(), Word.UNKNOWN) if isinstance(value, str) else Word.UNKNOWN


def read_claim(body: Mapping[str, Any], version: str = "") -> Claim:
    """Read the server's `status-session`, or the reply of `start-session`.

    Shape: {"status": str | null, "qrcode": base64 | data URL | null, "urlcode"?: str, "version"?: str}.
    """
    said = body.get("status")
    word = read_word(said)
    wanted = word is Word.QRCODE
    text = body.get("urlcode")
    found = body.get("version")
    return Claim(
        word,
        said if isinstance(said, str) else "",
        code_in(body) if wanted else "",
        text if wanted and isinstance(text, str) else "",
        found if isinstance(found, str) else version,
    )


CODE_PLACES = (
    ("qr",), ("qr_base64",), ("qrcode",), ("base64Qrimg",), ("base64",), ("base64Image",), ("image",),
    ("qrcode_base64",), ("data", "qr"), ("data", "base64"), ("data", "base64Qrimg"), ("result", "qr"),
    ("result", "base64"), ("result", "base64Qrimg"),
)  # fmt: skip


def code_in(body: Mapping[str, Any]) -> str:
    """Answer the picture of a code from the first place that has one, without its data-URL prefix."""
    for place in CODE_PLACES:
        value: Any = body
        for key in place:
            value = cast("Mapping[str, Any]", value).get(key) if isinstance(value, Mapping) else None
        if isinstance(value, str) and value:
            return value.partition("base64,")[2] if value.startswith("data:") else value
    return ""


def read_chats(whole: Any) -> list[ChatHead]:
    """Read the answer to `list-chats`: a bare list, or one within `response`. Without an id it is no chat.

    Errors: `Unreadable` when there is no list. An empty one is an answer.
    """
    rows: Any = cast("Json", whole).get("response") if isinstance(whole, dict) else whole
    if not isinstance(rows, list):
        raise Unreadable("The list of chats is no list.")
    found = [read_chat(cast("Json", row)) for row in cast("list[Any]", rows) if isinstance(row, dict)]
    return [chat for chat in found if chat is not None]


def read_chat(row: Mapping[str, Any]) -> ChatHead | None:
    """Read one chat; None when nothing says which."""
    wid = read_wid(row.get("id"))
    if wid is None:
        return None
    contact: Any = row.get("contact")
    names = (row.get("name"), cast("Json", contact).get("name") if isinstance(contact, dict) else None)
    unread = row.get("unreadCount")
    return ChatHead(
        wid,
        read_time_ms(row.get("t")),
        unread if isinstance(unread, int) and not isinstance(unread, bool) else 0,
        next((name for name in names if isinstance(name, str)), ""),
        row.get("archive") is True,
    )


def read_messages(whole: Any) -> list[Json]:
    """Read the answer to `get-messages`. Errors: `Unreadable` when there is no list."""
    rows: Any = cast("Json", whole).get("response") if isinstance(whole, dict) else whole
    if not isinstance(rows, list):
        raise Unreadable("The answer holds no list of messages.")
    return [cast("Json", row) for row in cast("Sequence[Any]", rows) if isinstance(row, dict)]


def read_sent(whole: Any) -> Sent:
    """Read the answer to a send; the id may be missing, and then comes with a receipt.

    Shape: {"response": [{"id": …, "ack": …}]} of the server, {"messageId"?: str, "raw"?: …} of the gateway.
    """
    body = cast("Json", whole) if isinstance(whole, dict) else {}
    rows: Any = body.get("response")
    first: Any = next(iter(cast("list[Any]", rows)), None) if isinstance(rows, list) else rows
    inner = cast("Json", first) if isinstance(first, dict) else {}
    places = (inner.get("id"), body.get("messageId"), body.get("message_id"), body.get("id"))
    found = next((one for one in map(read_message_id, places) if one is not None), None)
    ack = inner.get("ack")
    return Sent(found, ack if isinstance(ack, int) and not isinstance(ack, bool) else None, body)


def read_base64(value: Any) -> bytes:
    """Answer the file that an answer or a webhook carries as base64, with or without `data:…;base64,`.

    Errors: `Unreadable` when there is none, or it is no base64.
    """
    if not isinstance(value, str) or not value:
        raise Unreadable("The answer holds no file.")
    try:
        return base64.b64decode(value.partition("base64,")[2] or value, validate=True)
    except (ValueError, binascii.Error):
        raise Unreadable("The file is no base64.") from None
