"""Write to a chat: one job per message, never sent twice on our own, and in order per chat.

The upstream has no idempotency key, answers errors for messages that it sent, and lets calls run into time
limits after sending. So the send is an unsafe step; what is in doubt is looked for in the chat itself.
Source: contract WhatsApp, sections 1.5, 2.5 and 5.6; transcript 08.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from atalaia.connectors.wppconnect.door import Sent
from atalaia.connectors.wppconnect.envelope import Json
from atalaia.connectors.wppconnect.message import MEDIA, read_message
from atalaia.connectors.wppconnect.wids import Wid, read_message_id, read_wid
from atalaia.errors import Rejected, Unavailable, Unreadable
from atalaia.jobs.model import CannotTell, Effect, Happened, Verdict
from atalaia.store.files import FileStore

LOOK_AT = 50
CLOCKS_MS = 120_000  # the sender's time is WhatsApp's, ours is ours
SETTLED_MS = 180_000  # what is not in the chat after so long did not leave
VOICE_BYTES_MAX = 16 * 1024 * 1024


class Kind(StrEnum):
    """What is sent."""

    TEXT = "text"
    IMAGE = "image"
    DOCUMENT = "document"
    VOICE = "voice"
    LOCATION = "location"
    REACTION = "reaction"


class Outgoing(BaseModel):
    """One message to one chat. Files are named by the SHA-256 under which the hub keeps them."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)

    to: str = Field(
        max_length=100, title="To", description="A number with its country code, a group's or a contact's id."
    )
    kind: Kind = Field(Kind.TEXT, title="Kind", description="What is sent.")
    text: str = Field(
        "", max_length=65_536, title="Text", description="The message, or the caption of a file."
    )
    phone: str = Field(
        "", pattern=r"^[0-9]{0,20}$", title="Number",
        description="Of the contact, where it is known: a gateway sends to numbers only.",
    )  # fmt: skip
    reply_to: str = Field(
        "", max_length=300, title="In reply to", description="The whole id of the message that is answered."
    )
    file: str = Field("", pattern=r"^([0-9a-f]{64})?$", title="File", description="SHA-256 of a kept file.")
    mimetype: str = Field("", max_length=100, title="Media type", description="Of the file.")
    filename: str = Field("", max_length=200, title="File name", description="As the receiver sees it.")
    latitude: float | None = Field(None, ge=-90, le=90, title="Latitude", description="In degrees.")
    longitude: float | None = Field(None, ge=-180, le=180, title="Longitude", description="In degrees.")
    reaction: str = Field(
        "", max_length=20, title="Reaction", description="A symbol; empty takes the reaction back."
    )

    ask_first: bool = Field(
        False, title="Ask first",
        description="Have WhatsApp say whether the number is there, and send nothing when it is not; "
        "only the server itself can ask.",
    )  # fmt: skip

    @property
    def chat(self) -> Wid:
        """The chat it goes to; checked when the job was asked for."""
        return cast("Wid", read_wid(self.to))

    @model_validator(mode="after")
    def _is_whole(self) -> Outgoing:
        if read_wid(self.to) is None:
            raise ValueError("to is no chat; give digits with the country code, or an id like …@c.us, …@g.us")
        missing = {
            Kind.TEXT: not self.text.strip() and "text is empty; write a message",
            Kind.IMAGE: not self.file and "file is empty; name the image by its SHA-256",
            Kind.DOCUMENT: not self.file and "file is empty; name the document by its SHA-256",
            Kind.VOICE: not self.file and "file is empty; name the recording by its SHA-256",
            Kind.LOCATION: (self.latitude is None or self.longitude is None)
            and "latitude and longitude are needed for a place",
            Kind.REACTION: not self.reply_to and "reply_to is empty; name the message to react to",
        }[self.kind]
        if missing:
            raise ValueError(missing)
        return self


class Reader(Protocol):
    """The chat's messages, where a door can read them."""

    async def messages(self, chat: Wid, *, count: int, before: str = "") -> list[Json]: ...


def server_call(asked: Outgoing, content: bytes | None) -> tuple[str, Json]:
    """Answer the server's route and what stands in its body beside the chat."""
    reply: Json = {"quotedMessageId": asked.reply_to} if asked.reply_to else {}
    match asked.kind:
        case Kind.TEXT if asked.reply_to:
            return "send-reply", {"message": asked.text, "messageId": asked.reply_to}
        case Kind.TEXT:
            return "send-message", {"message": asked.text}
        case Kind.REACTION:
            return "react-message", {"msgId": asked.reply_to, "reaction": asked.reaction or False}
        case Kind.LOCATION:
            place = {"lat": str(asked.latitude), "lng": str(asked.longitude), "title": asked.text}
            return "send-location", place | {"address": ""}
        case Kind.VOICE:
            return "send-voice-base64", {"base64Ptt": _data_url(asked, content), **reply}
        case Kind.IMAGE | Kind.DOCUMENT:
            route = "send-image" if asked.kind is Kind.IMAGE else "send-file-base64"
            name = asked.filename or "file"
            file = {"base64": _data_url(asked, content), "filename": name, "caption": asked.text}
            return route, {**file, **reply}


def gateway_body(asked: Outgoing, content: bytes | None) -> Json:
    """Answer what stands in a gateway's request beside channel and receiver.

    Errors: `Rejected` for what its API has no words for.
    """
    plain = base64.b64encode(content or b"").decode()
    match asked.kind:
        case Kind.TEXT if not asked.reply_to:
            return {"text": asked.text}
        case Kind.IMAGE:
            return {"type": "image", "base64": plain, "caption": asked.text, "text": asked.text}
        case Kind.DOCUMENT:
            named = {"fileName": asked.filename or "file", "base64": plain}
            return {"type": "document", **named, "caption": asked.text, "text": asked.text}
        case Kind.VOICE if len(content or b"") > VOICE_BYTES_MAX:
            raise Rejected("The recording is larger than 16 MB, the most a gateway takes.")
        case Kind.VOICE:
            return {"type": "audio", "base64Ptt": plain, "audio_mime": asked.mimetype, "is_voice": True}
        case _:
            raise Rejected(f"A gateway cannot send this ({asked.kind}); connect the server itself for it.")


def gateway_receiver(asked: Outgoing) -> str:
    """Answer the number that a gateway sends to. Errors: `Rejected` where none is known.

    The digits of a hidden identity are no number, and those of a group are nobody's.
    """
    phone = asked.phone or asked.chat.phone
    if asked.chat.is_group or not phone:
        raise Rejected("A gateway sends to numbers only; connect the server itself for groups and others.")
    return phone


def read_kept(files: FileStore, asked: Outgoing) -> bytes | None:
    """Answer the file that is sent, None when there is none. Errors: `Rejected` when it is not kept here."""
    if not asked.file:
        return None
    try:
        return files.read(asked.file)
    except OSError:
        raise Rejected("The file is not kept here any more; attach it again.") from None


async def send(
    effect: Effect, asked: Outgoing, now_ms: int, call: Callable[[], Awaitable[Sent]]
) -> Mapping[str, Any]:
    """Say that it leaves now, send, and answer what the upstream said.

    Errors: `Rejected` also when the upstream was not reached, so that surely nothing left; `InDoubt`.
    """
    await effect.sending(chat=str(asked.chat), kind=asked.kind.value, text=asked.text, at_ms=now_ms)
    try:
        return answer(await call())
    except Unavailable as error:
        raise Rejected(str(error)) from None


def answer(sent: Sent) -> Mapping[str, Any]:
    """Answer what a send came to: the id may come later, with a receipt."""
    found = sent.id
    return {
        "key": found.key if found else "",
        "serialized": found.serialized if found else "",
        "ack": sent.ack,
    }


async def look_for(reader: Reader, evidence: Mapping[str, Any], now_ms: int, taken: Sequence[str]) -> Verdict:
    """Look in the chat whether a message left. taken: keys of messages that are other sends of ours.

    Equal texts are told apart by being taken. Errors: `Unavailable` when the chat cannot be read now.
    """
    chat = read_wid(evidence.get("chat"))
    at_ms = int(evidence.get("at_ms") or 0)
    kind = str(evidence.get("kind") or "")
    if chat is None:
        return CannotTell("It is not known to which chat it left.")
    try:
        rows = await reader.messages(chat, count=LOOK_AT)
    except (Unreadable, Rejected) as error:
        return CannotTell(f"The chat could not be read. {error}")
    for row in rows:
        if _is_it(row, kind, str(evidence.get("text") or ""), at_ms, taken):
            found = read_message_id(row.get("id"))
            if found is not None:
                told = {"key": found.key, "serialized": found.serialized, "ack": row.get("ack")}
                return Happened(told, "The message is in the chat.")
    if not is_settled(evidence, now_ms):
        return CannotTell("The message is not in the chat yet; it may still be on its way.")
    # A second message to a customer is worse than a late one: a person says “send again”.
    return CannotTell("The message is not in the chat, minutes after it left: it can be sent again.")


def is_settled(evidence: Mapping[str, Any], now_ms: int) -> bool:
    """Answer whether a message that is not in the chat by now did not get there."""
    return now_ms - int(evidence.get("at_ms") or 0) >= SETTLED_MS


def _is_it(row: Json, kind: str, text: str, at_ms: int, taken: Sequence[str]) -> bool:
    try:
        one = read_message(row)
    except Unreadable:
        return False
    if not one.from_me or one.id.key in taken or one.sent_ms is None:
        return False
    if not at_ms - CLOCKS_MS <= one.sent_ms <= at_ms + CLOCKS_MS:
        return False
    if kind == Kind.TEXT:
        return one.text == text
    if kind == Kind.LOCATION:
        return one.type == "location"
    return one.type in MEDIA and (one.text == text or kind == Kind.VOICE)


def _data_url(asked: Outgoing, content: bytes | None) -> str:
    """Answer a file as the server wants it: without this beginning it takes base64 for a path."""
    mimetype = asked.mimetype or "application/octet-stream"
    return f"data:{mimetype};base64,{base64.b64encode(content or b'').decode()}"
