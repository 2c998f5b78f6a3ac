"""What a person may ask of a WhatsApp session: write to somebody, fetch a file, look up a contact.

Sends to one chat run one after the other. What stays in doubt is a job in doubt: its page offers *it$
happened*, *run again* and *cancel*, after the chat was looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field

from atalaia.clock import to_ms
from atalaia.connectors.wppconnect import heard, sending
from atalaia.connectors.wppconnect.door import Sent, Word
from atalaia.connectors.wppconnect.envelope import Json
from atalaia.connectors.wppconnect.gateway import GatewayDoor
from atalaia.connectors.wppconnect.sending import Kind, Outgoing, gateway_body, server_call
from atalaia.connectors.wppconnect.server import ServerDoor
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.wids import PHONE, Wid, read_wid
from atalaia.desk.chats.sniffing import media_type
from atalaia.errors import Rejected, Unavailable
from atalaia.jobs.model import (
    CannotTell,
    Effect,
    Happened,
    JobContext,
    JobFailed,
    JobKind,
    Planned,
    StepKind,
    Verdict,
)

SEND_S = timedelta(minutes=15).total_seconds()
MEDIA_S = timedelta(minutes=5).total_seconds()
LOOK_EVERY_S = 15.0  # for a message that is in doubt, until it must be in the chat
LOOK_BACK_MS = 600_000


class _Doors:
    """The doors of one job, opened when they are needed."""

    def __init__(self, ctx: JobContext) -> None:
        self._settings = cast("WppconnectSettings", ctx.settings)
        self._clock = ctx.ambient.clock
        self._stack = AsyncExitStack()
        self._server: ServerDoor | None = None
        self._gateway: GatewayDoor | None = None

    async def __aenter__(self) -> _Doors:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def server(self) -> ServerDoor | None:
        """Answer the door to the server, None when none is configured."""
        if self._server is None and self._settings.server_url:
            door = ServerDoor(self._settings, self._clock, "")
            self._server = await self._stack.enter_async_context(door)
        return self._server

    async def gateway(self) -> GatewayDoor | None:
        """Answer the door to the gateway, None when none is configured."""
        if self._gateway is None and self._settings.gateway_url:
            self._gateway = await self._stack.enter_async_context(GatewayDoor(self._settings, self._clock))
        return self._gateway


async def run_send(ctx: JobContext, asked: Outgoing) -> Mapping[str, Any]:
    """Send one message. Answers {"key", "serialized", "ack"}; no key when only a receipt will tell it.

    While the session is not connected it waits, at most `SEND_S`.
    """
    try:
        content = await asyncio.to_thread(sending.read_kept, ctx.files, asked)
    except Rejected as error:
        raise JobFailed("no_file", str(error)) from None
    async with _Doors(ctx) as doors:
        await ctx.step("reach", StepKind.READ, lambda _: _reach(doors))
        if asked.ask_first:
            asked = await _known(ctx, doors, asked)

        async def leave(effect: Effect) -> Mapping[str, Any]:
            return await sending.send(effect, asked, _now_ms(ctx), lambda: _call(ctx, doors, asked, content))

        async def probe(evidence: Mapping[str, Any]) -> Verdict:
            server = await doors.server()
            if server is None:
                return CannotTell("Only the server itself shows a chat's messages, and none is configured.")
            return await _look(ctx, server, evidence)

        # The same reaction twice is one.
        kind = StepKind.IDEMPOTENT if asked.kind is Kind.REACTION else StepKind.UNSAFE
        try:
            return await ctx.step("send", kind, leave, probe=probe)
        except Rejected as error:
            raise JobFailed("not_sent", str(error)) from None


async def _reach(doors: _Doors) -> str:
    """Answer what the session says of itself. Errors: `Unavailable` while it is not connected."""
    door = await doors.server() or cast("GatewayDoor", await doors.gateway())
    claim = await door.status()
    if claim.word is not Word.CONNECTED:
        raise Unavailable(f"The session is not connected ({claim.said or claim.word}).")
    return claim.said


async def _known(ctx: JobContext, doors: _Doors, asked: Outgoing) -> Outgoing:
    """Answer the message as WhatsApp writes its number, with Brazil's ninth digit or without.

    After a send to a number that is not there nobody could say whether it left; see `ServerDoor.send`.
    Errors: `JobFailed` when WhatsApp says that it is not there.
    """
    server = await doors.server()
    if server is None or asked.chat.server != PHONE:
        return asked

    async def ask(_: Effect) -> Mapping[str, Any]:
        gone, wid = await server.number(asked.chat)
        return {"gone": gone, "chat": str(wid)}

    told = await ctx.step("number", StepKind.READ, ask)
    if told["gone"]:
        said = f"The number {asked.chat.user} has no WhatsApp. Nothing was sent; compare the number."
        raise JobFailed("no_whatsapp", said)
    return asked.model_copy(update={"to": str(told["chat"])})


async def _look(ctx: JobContext, server: ServerDoor, evidence: Mapping[str, Any]) -> Verdict:
    """Look in the chat again and again, until it is there or surely should be."""
    since_ms = int(evidence.get("at_ms") or 0) - LOOK_BACK_MS
    while True:
        others = await ctx.answers("send", since_ms)
        taken = [str(cast("Json", one)["key"]) for one in others if isinstance(one, dict)]
        verdict = await sending.look_for(server, evidence, _now_ms(ctx), taken)
        if isinstance(verdict, Happened) or sending.is_settled(evidence, _now_ms(ctx)):
            return verdict
        await ctx.ambient.clock.sleep(LOOK_EVERY_S)


async def _call(ctx: JobContext, doors: _Doors, asked: Outgoing, content: bytes | None) -> Sent:
    """Send by the server where there is one, else by the gateway."""
    server = await doors.server()
    if server is not None:
        route, body = server_call(asked, content)
        ctx.frame("sent", f"POST {route}", _shown(asked, body))
        sent = await server.send(route, asked.chat, body)
    else:
        gateway = cast("GatewayDoor", await doors.gateway())
        body, to = gateway_body(asked, content), sending.gateway_receiver(asked)
        ctx.frame("sent", "POST /api/messages", _shown(asked, body))
        sent = await gateway.send(to, body)
    ctx.frame("received", "answer", orjson.dumps(sent.raw).decode())
    return sent


def plan_send(settings: Any, asked: Any) -> Sequence[Planned]:
    """Answer what would be sent."""
    given, wanted = cast("WppconnectSettings", settings), cast("Outgoing", asked)
    if given.server_url:
        route, body = server_call(wanted, b"")
        return [Planned(f"POST {route}", _shown(wanted, body))]
    return [Planned("POST /api/messages", _shown(wanted, gateway_body(wanted, b"")))]


def _shown(asked: Outgoing, body: Json) -> str:
    """Answer a request's body for people: files are named, not shown."""
    hidden = ("base64", "base64Ptt")
    shown = {key: f"<{asked.file[:12]}…>" if key in hidden else value for key, value in body.items()}
    return orjson.dumps({"to": str(asked.chat), **shown}).decode()


class MediaAsked(BaseModel):
    """An attachment of a message that is known."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(max_length=300, title="Message", description="The whole id of the message.")
    bytes_max: int = Field(
        67_108_864, ge=1, title="Largest size", description="Bytes; what is larger is not kept."
    )


async def run_media(ctx: JobContext, asked: MediaAsked) -> Mapping[str, Any]:
    """Fetch one attachment into the hub's files. Answers {"file", "mimetype", "size_bytes"}.

    mimetype: by its content.
    """
    async with _Doors(ctx) as doors:

        async def fetch(_: Effect) -> Mapping[str, Any]:
            door = await doors.server() or cast("GatewayDoor", await doors.gateway())
            file = await door.media(asked.message)
            size = len(file.content)
            if not size or size > asked.bytes_max:
                said = "It is larger than what is kept here." if size else "The file is empty."
                raise JobFailed("too_large" if size else "no_media", said)
            kept = await asyncio.to_thread(ctx.files.keep, file.content)
            kind = media_type(file.content, file.mimetype)
            return {"file": kept, "mimetype": kind, "size_bytes": size}

        try:
            return await ctx.step("fetch", StepKind.READ, fetch)
        except Rejected as error:
            raise JobFailed("no_media", str(error)) from None


class AliasAsked(BaseModel):
    """A contact by one of its identities."""

    model_config = ConfigDict(extra="forbid")

    contact: str = Field(max_length=100, title="Contact", description="An id like …@lid or …@c.us.")

    @property
    def wid(self) -> Wid | None:
        return read_wid(self.contact)


async def run_alias(ctx: JobContext, asked: AliasAsked) -> Mapping[str, Any]:
    """Ask which number a lid is, or the other way round; what is answered goes into the log."""
    wid = asked.wid
    if wid is None or not wid.is_person:
        raise JobFailed("no_contact", "That is no contact; give an id like …@lid or …@c.us.")
    async with _Doors(ctx) as doors:

        async def look(_: Effect) -> Mapping[str, Any]:
            door = await doors.server() or cast("GatewayDoor", await doors.gateway())
            return await door.alias(wid)

        try:
            found = await ctx.step("look", StepKind.READ, look)
        except Rejected as error:
            raise JobFailed("not_offered", str(error)) from None
    await ctx.append([heard.asked_alias(found, _now_ms(ctx))])
    phone, lid = read_wid(found.get("phoneNumber")), read_wid(found.get("lid"))
    return {"phone": str(phone or ""), "lid": str(lid or "")}


def _now_ms(ctx: JobContext) -> int:
    return to_ms(ctx.ambient.clock.now())


JOBS = (
    JobKind(
        "send", "Send a message", Outgoing, run_send, lambda asked: [f"chat:{asked.chat}"], plan=plan_send,
        seconds_max=SEND_S,
    ),
    JobKind(
        "media", "Fetch an attachment", MediaAsked, run_media, at_once=2, offered=False, seconds_max=MEDIA_S
    ),
    JobKind("alias", "Look up a contact", AliasAsked, run_alias, at_once=1),
)  # fmt: skip
