"""How what arrives, by webhook or from the page's store, is written into the log: type, key, and its mark.

Live events and a catch-up go through the same words, so that a message told twice is one message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from atalaia.connectors.wppconnect.envelope import Json, Said, read_time_ms
from atalaia.connectors.wppconnect.message import CIPHERTEXT, REVOKED, without_secrets
from atalaia.connectors.wppconnect.wids import MessageId, Wid, read_message_id, read_wid
from atalaia.events.model import Heard

PREFIX = "wppconnect."
MESSAGE = f"{PREFIX}onmessage"
OWN_MESSAGE = f"{PREFIX}onselfmessage"
UNREAD_MESSAGE = f"{PREFIX}unreadmessages"
ACK = f"{PREFIX}onack"
PRESENCE = f"{PREFIX}onpresencechanged"
REACTION = f"{PREFIX}onreactionmessage"
REVOKE = f"{PREFIX}onrevokedmessage"
POLL = f"{PREFIX}onpollresponse"
CALL = f"{PREFIX}incomingcall"
STATUS = f"{PREFIX}status-find"
ALIAS = f"{PREFIX}pn-lid"  # our own question about a contact, and its answer
CANARY = f"{PREFIX}canary"  # our own message that proves a way, see canary.py
GROUP_NAME = f"{PREFIX}group-name"  # what the page's list of chats calls a group
UNREADABLE = f"{PREFIX}unreadable"
MESSAGES = (MESSAGE, OWN_MESSAGE, UNREAD_MESSAGE)
# What tells of the session; equal ones are told again and mean something each time.
SESSION = tuple(
    f"{PREFIX}{name}" for name in ("status-find", "qrcode", "phoneCode", "closesession", "logoutsession")
)

REPEAT_WINDOW_MS = 600_000
NAME_AGAIN_MS = 7 * 86_400_000  # a group that takes an old name back is told of within so long


def heard_of(said: Said, came_ms: int, *, late: bool = False) -> Heard:
    """Answer one webhook, or one message read from the store (`late`), as it goes into the log.

    came_ms: when it reached us; it stands where the event says no time of its own.
    """
    kind = f"{PREFIX}{said.event}"
    payload = without_secrets(said.payload)
    body = orjson.dumps(payload).decode()
    at_ms = _time_ms(kind, payload) or said.said_ms or came_ms
    return Heard(kind, _key(kind, payload), at_ms, body, _dedupe(kind, payload, said, body, came_ms), late)


def unreadable(raw: bytes, came_ms: int) -> Heard:
    """Answer a body that could not be read, kept as it came."""
    text = raw.decode(errors="backslashreplace")
    return Heard(UNREADABLE, "", came_ms, orjson.dumps({"raw": text}).decode())


def stored_message(payload: Json, came_ms: int) -> Heard:
    """Answer a message that was read from the page's store, in the words of the webhook that did not come."""
    identity = read_message_id(payload.get("id"))
    own = identity is not None and identity.from_me
    event = "onselfmessage" if own else "onmessage"
    return heard_of(Said(event, "", payload, "", None, "store"), came_ms, late=True)


def asked_alias(answer: Mapping[str, Any], came_ms: int) -> Heard:
    """Answer the upstream's word on which number a lid is, as it goes into the log.

    Shape: {"phoneNumber": wid?, "lid": wid?, "contact": {...}?}; each may be missing.
    """
    lid, phone = read_wid(answer.get("lid")), read_wid(answer.get("phoneNumber"))
    body = orjson.dumps({key: answer.get(key) for key in ("phoneNumber", "lid", "contact")}).decode()
    mark = f"alias:{lid}:{phone}" if lid and phone else None
    return Heard(ALIAS, str(lid or phone or ""), came_ms, body, mark)


def canary(sent: MessageId, chat: Wid, at_ms: int) -> Heard:
    """Answer a message of our own making, so that nobody takes it for somebody's words."""
    body = orjson.dumps({"id": sent.serialized, "to": str(chat)}).decode()
    return Heard(CANARY, str(chat), at_ms, body, f"canary:{sent.identity}")


def group_name(group: Wid, name: str, came_ms: int) -> Heard:
    """Answer what a group is called, as it goes into the log. Shape: {"groupId": wid, "name": str}."""
    body = orjson.dumps({"groupId": str(group), "name": name}).decode()
    mark = f"group:{group}:{_short(name)}:{came_ms // NAME_AGAIN_MS}"
    return Heard(GROUP_NAME, str(group), came_ms, body, mark)


def _time_ms(kind: str, payload: Mapping[str, Any]) -> int | None:
    if kind == CALL:
        return read_time_ms(payload.get("offerTime"))
    if kind == ACK:
        return None  # its `t` is the message's, not the receipt's
    return read_time_ms(payload.get("t")) or read_time_ms(payload.get("timestamp"))


def _key(kind: str, payload: Mapping[str, Any]) -> str:
    """Answer what must stay in order: the chat, as this event names it; `""` is the session itself.

    What the server says of a session stands under its own word, so that the latest of each is found at once.
    """
    if kind == STATUS:
        word = payload.get("status")
        return word if isinstance(word, str) else ""
    if kind in SESSION:
        return ""
    for place in ("msgId", "refId", "id"):
        identity = read_message_id(payload.get(place))
        if identity is not None and identity.chat is not None:
            return str(identity.chat)
    for place in ("chatId", "groupId", "peerJid", "from", "id"):
        wid = read_wid(payload.get(place))
        if wid is not None:
            return str(wid)
    return ""


def _dedupe(kind: str, payload: Mapping[str, Any], said: Said, body: str, came_ms: int) -> str | None:
    """Answer what makes two arrivals the same event; None where each counts.

    The chat as written is part of a message's mark: the same message under another name of its contact says
    something new about the contact, though nothing about the message.
    Source: contract WhatsApp, section 5.6.
    """
    if kind in MESSAGES:
        return _message_mark(payload)
    if kind == ACK:
        found = read_message_id(payload.get("id"))
        who = read_wid(payload.get("participant")) or read_wid(payload.get("to"))
        return None if found is None else f"ack:{found.identity}:{payload.get('ack')}:{who}"
    if kind == REACTION:
        found = read_message_id(payload.get("msgId"))
        said_by = read_message_id(payload.get("id"))
        mark = (payload.get("reactionText"), payload.get("timestamp"), said_by.identity if said_by else "")
        return None if found is None else f"reaction:{found.identity}:{_short(repr(mark))}"
    if kind == REVOKE:
        found = read_message_id(payload.get("refId"))
        return None if found is None else f"revoke:{found.identity}"
    if kind == PRESENCE or kind in SESSION:
        return f"envelope:{said.event_id}" if said.event_id else None
    if said.event_id:
        return f"envelope:{said.event_id}"
    return f"body:{_short(kind + body)}:{came_ms // REPEAT_WINDOW_MS}"


def _message_mark(payload: Mapping[str, Any]) -> str | None:
    found = read_message_id(payload.get("id"))
    if found is None:
        return None
    word = payload.get("type")
    kind = word if word in (CIPHERTEXT, REVOKED) else "content"
    edited = payload.get("latestEditSenderTimestampMs")
    revision = f"edit-{edited}" if edited and kind == "content" else kind
    author = read_wid(payload.get("author")) or found.author or ""
    return f"message:{found.identity}:{found.chat or ''}:{author}:{revision}"


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=12).hexdigest()
