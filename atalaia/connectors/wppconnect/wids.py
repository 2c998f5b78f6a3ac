"""WhatsApp's identifiers of people, groups and messages, as text and as objects.

Source: contract WhatsApp, sections 3.3, 5.6 and 6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

PHONE = "c.us"
LID = "lid"
GROUP = "g.us"
BROADCAST = "broadcast"
NEWSLETTER = "newsletter"
# What other libraries call a phone number, and old groups their suffix.
_SERVERS = {"s.whatsapp.net": PHONE, "hosted": PHONE, "hosted.lid": LID}

LID_DIGITS_LEAST = 14
PHONE_DIGITS = re.compile(r"\d{7,15}")
BRAZIL = "55"
_BRAZIL_LONG = 13  # 55, two digits of the area, nine of a mobile number


@dataclass(frozen=True, slots=True)
class Wid:
    """One identity: `user@server`, without the device it writes from."""

    user: str
    server: str

    def __str__(self) -> str:
        return f"{self.user}@{self.server}"

    @property
    def is_group(self) -> bool:
        return self.server == GROUP

    @property
    def is_person(self) -> bool:
        return self.server in (PHONE, LID)

    @property
    def phone(self) -> str:
        """The digits, when it is a phone number; a lid's digits never are."""
        return self.user if self.server == PHONE else ""


@dataclass(frozen=True, slots=True)
class MessageId:
    """`<fromMe>_<chat>_<key>[_<author>]`; chat and author may be written otherwise for the same message."""

    from_me: bool
    chat: Wid | None
    key: str
    author: Wid | None
    serialized: str

    @property
    def identity(self) -> str:
        """What stays the same however the chat is written: who sent it, and its key.

        In a group the key is the author's; the author is added by who knows all of his names.
        """
        return f"{'1' if self.from_me else '0'}:{self.key}"


def read_wid(value: Any) -> Wid | None:
    """Read an identity: a text, or an object with `_serialized`, or with `user`/`id` and `server`.

    Shape: "551155500101@c.us", "100000000000002:4@lid", {"server": "c.us", "user": "55…"},
        {"id": "55…", "server": "c.us", "_serialized": "55…@c.us"}. Digits alone are a phone number up to 13
        of them and a lid from 14 on: WhatsApp's lids were seen with 14 and 15, and no arithmetic tells more.
    Answers None for what is no identity.
    """
    if isinstance(value, Mapping):
        parts = cast("Mapping[str, Any]", value)
        whole = parts.get("_serialized")
        if isinstance(whole, str):
            return read_wid(whole)
        user = parts.get("user", parts.get("id"))
        server = parts.get("server")
        return read_wid(f"{user}@{server}") if isinstance(user, str) and isinstance(server, str) else None
    if not isinstance(value, str):
        return None
    user, at, server = value.strip().partition("@")
    user = user.partition(":")[0].partition(".")[0] if at else user.lstrip("+")
    if not user:
        return None
    if at:
        return Wid(user, _SERVERS.get(server.lower(), server.lower())) if server else None
    if not user.isascii() or not user.isdigit():
        return None
    return Wid(user, LID if len(user) >= LID_DIGITS_LEAST else PHONE)


def read_message_id(value: Any) -> MessageId | None:
    """Read a message's id: a text, or an object {fromMe, remote, id, participant?, _serialized}.

    Answers None for what is no id. An id in no known form keeps its whole text as the key.
    """
    if isinstance(value, Mapping):
        return _of_object(cast("Mapping[str, Any]", value))
    if not isinstance(value, str) or not value:
        return None
    head, _, rest = value.partition("_")
    if head not in ("true", "false"):
        return MessageId(False, None, value, None, value)
    chat_text, _, rest = rest.partition("_")
    chat = read_wid(chat_text)
    key, _, author = rest.partition("_")
    if chat is None or not key:
        return MessageId(head == "true", None, value, None, value)
    return MessageId(head == "true", chat, key, read_wid(author), value)


def _of_object(value: Mapping[str, Any]) -> MessageId | None:
    whole = read_message_id(value.get("_serialized"))
    if whole is not None and whole.chat is not None:
        return whole
    key = value.get("id")
    chat = read_wid(value.get("remote"))
    if not isinstance(key, str) or not key or chat is None:
        return whole
    from_me = value.get("fromMe") is True
    author = read_wid(value.get("participant"))
    text = f"{'true' if from_me else 'false'}_{chat}_{key}" + (f"_{author}" if author else "")
    return MessageId(from_me, chat, key, author, text)


def comparable(phone: str) -> str:
    """Answer a phone number's digits in the form in which equal numbers are equal.

    A Brazilian mobile is known with and without the ninth digit after its area code; it is taken out.
    Source: contract WhatsApp, section 6, rule 5.
    """
    digits = re.sub(r"\D", "", phone)
    if digits.startswith(BRAZIL) and len(digits) == _BRAZIL_LONG and digits[4] == "9":
        return digits[:4] + digits[5:]
    return digits


def phone_in(text: Any) -> str:
    """Answer the digits when a text is a phone number as WhatsApp writes one, e.g. `+55 11 5550-0304`.

    A name with digits in it is none: only a plus sign, digits, blanks, hyphens and brackets count.
    """
    if not isinstance(text, str) or not re.fullmatch(r"\+[\d\s().\-\u00a0\u2011]+", text.strip()):
        return ""
    digits = re.sub(r"\D", "", text)
    return digits if PHONE_DIGITS.fullmatch(digits) and len(digits) < LID_DIGITS_LEAST else ""
