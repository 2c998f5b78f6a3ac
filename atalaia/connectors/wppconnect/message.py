"""WhatsApp's message object, read without trusting it: unknown types and keys pass, nothing is a crash.

Source: contract WhatsApp, section 3.3; recordings `hub-envelope/message-*.json`, `wppconnect-server/*`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from atalaia.connectors.wppconnect.envelope import Json, read_time_ms
from atalaia.connectors.wppconnect.wids import MessageId, Wid, phone_in, read_message_id, read_wid
from atalaia.errors import Unreadable

CIPHERTEXT = "ciphertext"
CONTENT = "content"
REVOKED = "revoked"
NOTICE = "notice"  # the chat's own words: a changed key, a group's change, a missed call

MEDIA = frozenset({"image", "video", "audio", "ptt", "sticker", "document", "ptv"})
NOTICES = frozenset(
    {
        "e2e_notification", "notification", "notification_template", "gp2", "protocol", "call_log",
        "broadcast_notification",
    }
)  # fmt: skip
# Key material: never stored, by contract.
SECRETS = ("messageSecret", "reportingTokenInfo", "mediaKey", "mediaKeyTimestamp", "encFilehash")
TEXT_CHARS_MAX = 100_000
FILE = "$file"  # stands where a webhook carried the file itself, with the hash under which it is kept
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Media:
    """What is attached; its bytes come by another call. size_bytes is the sender's word.

    kept: {"file", "mimetype", "size_bytes"} of a file that came with the message, None when none did.
    """

    mimetype: str
    filename: str
    size_bytes: int | None
    filehash: str  # base64 of a SHA-256, as WhatsApp writes it; "" when unknown
    seconds: int | None
    kept: Json | None


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it stands in one event or one answer.

    kind: `ciphertext` (not readable yet), `content`, `revoked`, `notice`. type: WhatsApp's own word.
    chat: where it belongs, a person or a group. author: who wrote it; None for an own message.
    sent_ms: the sender's or server's time; None when it is missing. fresh: the page took it for new.
    """

    id: MessageId
    kind: str
    type: str
    chat: Wid | None
    author: Wid | None
    from_me: bool
    sent_ms: int | None
    text: str
    media: Media | None
    ack: int | None
    quoted: str
    name: str  # what the author calls himself
    phone_hint: str  # a number that the page shows for an author known by lid
    own: Wid | None  # our account, as this message names it
    more: Json = field(default_factory=dict[str, Any])  # place, contact cards, forwarded, mentioned


def read_message(payload: Mapping[str, Any]) -> Message:
    """Read one message object.

    Errors: `Unreadable` when it has no id: then nothing tells it from another message.
    """
    identity = read_message_id(payload.get("id"))
    if identity is None:
        raise Unreadable("a message without an id")
    kind_word = payload.get("type")
    word = kind_word if isinstance(kind_word, str) and kind_word else "unknown"
    from_me = identity.from_me if identity.chat else payload.get("fromMe") is True
    chat = _chat(payload, identity, from_me)
    sender = _dict(payload.get("sender"))
    return Message(
        id=identity,
        kind=_kind(word),
        type=word,
        chat=chat,
        author=None if from_me else _author(payload, identity, chat, sender),
        from_me=from_me,
        sent_ms=read_time_ms(payload.get("t")) or read_time_ms(payload.get("timestamp")),
        text=_text(payload, word),
        media=_media(payload) if word in MEDIA else None,
        ack=_int(payload.get("ack")),
        quoted=_quoted(payload),
        name=_first(payload.get("notifyName"), sender.get("pushname"), sender.get("name")),
        phone_hint=phone_in(sender.get("formattedName")),
        own=read_wid(payload.get("from" if from_me else "to")) if _is_own(payload, chat, from_me) else None,
        more=_more(payload, word),
    )


def without_secrets(payload: Json) -> Json:
    """Answer the payload without key material; everything else stays as it came, in its order."""
    return {
        key: without_secrets(cast("Json", value)) if isinstance(value, dict) else value
        for key, value in payload.items()
        if key not in SECRETS
    }


def _kind(word: str) -> str:
    if word == CIPHERTEXT:
        return CIPHERTEXT
    if word == REVOKED:
        return REVOKED
    return NOTICE if word in NOTICES else CONTENT


def _chat(payload: Mapping[str, Any], identity: MessageId, from_me: bool) -> Wid | None:
    """A group's message belongs to the group, whoever wrote it."""
    places = (payload.get("chatId"), identity.chat, payload.get("to" if from_me else "from"))
    for place in places:
        found = place if isinstance(place, Wid) else read_wid(place)
        if found is not None:
            return found
    return None


def _author(payload: Mapping[str, Any], identity: MessageId, chat: Wid | None, sender: Json) -> Wid | None:
    in_group = chat is not None and not chat.is_person
    places = (payload.get("author"), identity.author, sender.get("id"))
    for place in (*places, *(() if in_group else (chat, payload.get("from")))):
        found = place if isinstance(place, Wid) else read_wid(place)
        if found is not None and found.is_person:
            return found
    return None


def _is_own(payload: Mapping[str, Any], chat: Wid | None, from_me: bool) -> bool:
    own = read_wid(payload.get("from" if from_me else "to"))
    return own is not None and own.is_person and own != chat


def _text(payload: Mapping[str, Any], word: str) -> str:
    """Answer what a person would read. The body of media is a thumbnail or the file, never a text."""
    if word in (CIPHERTEXT, REVOKED):
        return ""
    if word in MEDIA:
        return _first(payload.get("caption"))[:TEXT_CHARS_MAX]
    if word == "location":
        return _first(payload.get("loc"))
    return _first(payload.get("body"), payload.get("content"), payload.get("caption"))[:TEXT_CHARS_MAX]


def _media(payload: Mapping[str, Any]) -> Media:
    return Media(
        mimetype=_first(payload.get("mimetype")),
        filename=_first(payload.get("filename")),
        size_bytes=_int(payload.get("size")),
        filehash=_first(payload.get("filehash")),
        seconds=_int(payload.get("duration")),
        kept=_kept(_dict(payload.get("body"))) or _kept(_dict(payload.get("content"))),
    )


def _kept(came: Json) -> Json | None:
    """Answer the file that the hook took out of here."""
    digest = _first(came.get(FILE))
    if not _SHA256.fullmatch(digest):
        return None
    return {
        "file": digest, "mimetype": _first(came.get("mimetype")), "size_bytes": _int(came.get("size_bytes"))
    }  # fmt: skip


def _quoted(payload: Mapping[str, Any]) -> str:
    """Answer the key of the message that is answered; `""` for none."""
    for key in ("quotedMsgId", "quotedStanzaID"):
        found = read_message_id(payload.get(key))
        if found is not None:
            return found.key
    return ""


def _more(payload: Mapping[str, Any], word: str) -> Json:
    more: Json = {}
    if payload.get("isForwarded") is True:
        more["forwarded"] = True
    mentioned = payload.get("mentionedJidList")
    if isinstance(mentioned, list) and mentioned:
        found = [read_wid(one) for one in cast("list[Any]", mentioned)]
        more["mentioned"] = [str(one) for one in found if one is not None]
    if word == "location":
        more |= {key: payload[key] for key in ("lat", "lng") if isinstance(payload.get(key), (int, float))}
    if payload.get("ctwaContext"):
        more["from_ad"] = True
    return more


def _first(*values: Any) -> str:
    return next((value for value in values if isinstance(value, str) and value), "")


def _int(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and value.strip().lstrip("-").isdecimal() else None


def _dict(value: Any) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}
