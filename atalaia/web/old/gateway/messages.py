"""Sending and fetching as the old gateway did, by jobs: nothing is sent twice. Contract §1.5, §1.6."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Header, Path, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from atalaia.clock import within
from atalaia.connectors.wppconnect.door import read_base64
from atalaia.connectors.wppconnect.gateway import GatewayDoor
from atalaia.connectors.wppconnect.sending import VOICE_BYTES_MAX
from atalaia.connectors.wppconnect.server import ServerDoor
from atalaia.connectors.wppconnect.wids import PHONE, read_wid
from atalaia.desk.chats.actions import NotFitting
from atalaia.desk.chats.outbox import Request as Sending
from atalaia.desk.chats.outbox import get_request
from atalaia.desk.chats.sniffing import media_type
from atalaia.errors import Rejected, Unreadable, UpstreamError
from atalaia.jobs import queries
from atalaia.jobs.queries import Job
from atalaia.store.bell import JOBS
from atalaia.web.old.gateway.common import (
    OBJECT_BODY,
    Body,
    Caller,
    Channel,
    GatewayRefusal,
    body_of,
    channel_named,
    gateway_router,
    word,
)
from atalaia.web.old.gateway.fetching import fetch
from atalaia.web.parts import Parts, parts_of

routes = gateway_router()
Name = Annotated[str, Path(min_length=1, max_length=100)]
MessageId = Annotated[str, Path(min_length=1, max_length=300)]
ANSWER_WITHIN_S = 55.0  # callers stop listening after about a minute
KINDS = {"image": "image", "document": "document", "video": "document", "audio": "voice", "": "text"}
OPEN = ("queued", "running", "waiting")
SEND = "wppconnect.send"


@routes.post("/api/messages", openapi_extra=OBJECT_BODY)
async def send(
    request: Request, caller: Caller,
    key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)] = None,
) -> JSONResponse:  # fmt: skip
    """Send a message by the inbox's own way. Answers when it was sent, or when nobody can tell yet."""
    parts, body = parts_of(request), await body_of(request)
    found = await channel_named(parts, word(body, "channel"))
    kind, asked = await _asked(parts, body)
    chat = _chat(word(body, "to"))
    own = key or request.headers.get("X-Request-Id") or ""
    identity = _identity(found.configured.id, own) if own else ""
    sent = await _place(parts, found, chat, kind, asked, caller, identity)
    return _answer(sent, await _ended(parts, sent.job), found)


@routes.get("/api/media/{name}/{message}")
async def media(request: Request, _: Caller, name: Name, message: MessageId) -> JSONResponse:
    """Answer an attachment as base64."""
    parts = parts_of(request)
    found = await channel_named(parts, name)
    try:
        if found.settings.server_url:
            async with ServerDoor(found.settings, parts.ambient.clock, "") as server:
                file = await server.media(message)
        else:
            async with GatewayDoor(found.settings, parts.ambient.clock) as gateway:
                file = await gateway.media(message)
    except Rejected as error:
        raise GatewayRefusal(404, str(error), "MISSING_MEDIA") from None
    except UpstreamError as error:
        raise GatewayRefusal(502, str(error), "GATEWAY_CONNECTION_ERROR") from None
    content = base64.b64encode(file.content).decode()
    return JSONResponse({"success": True, "media_base64": content, "mime_type": file.mimetype})


async def _asked(parts: Parts, body: Mapping[str, Any]) -> tuple[str, Body]:
    """Read what the old callers send. Errors: `GatewayRefusal` 400."""
    kind = KINDS.get(word(body, "type"))
    if kind is None:
        raise GatewayRefusal(400, "type is not one of audio, image, document, video.", "MISSING_MEDIA")
    asked: Body = {"text": word(body, "caption", "text")}
    if kind == "text":
        return kind, asked
    content, mimetype, filename = await _file(parts, body)
    if kind == "voice" and len(content) > VOICE_BYTES_MAX:
        raise GatewayRefusal(400, "The audio is larger than 16 MB.", "AUDIO_TOO_LARGE")
    asked["file"] = await asyncio.to_thread(parts.files.keep, content)
    asked["filename"] = (word(body, "fileName", "filename") or filename)[:200]
    given = word(body, "audio_mime", "mimetype", "mime_type") or mimetype
    asked["mimetype"] = media_type(content, given[:100])
    asked["size_bytes"] = len(content)
    return kind, asked


def _chat(to: str) -> str:
    """Answer the chat behind a number, or an identity as it is. Errors: `GatewayRefusal` 400."""
    wid = read_wid(to if "@" in to else f"{to.lstrip('+')}@{PHONE}")
    if not to or wid is None:
        raise GatewayRefusal(400, "to is no number: digits with the country's code.", "INVALID_NUMBER")
    return str(wid)


def _identity(channel: str, key: str) -> str:
    """Answer our own id of what a caller calls by a key: the same key again is the same message."""
    digest = hashlib.sha256(f"{channel} {key}".encode(errors="surrogatepass")).hexdigest()
    return f"old-{digest[:32]}"


async def _file(parts: Parts, body: Mapping[str, Any]) -> tuple[bytes, str, str]:
    """Answer a file's content, and its type and name where its address tells. Errors: `GatewayRefusal`."""
    given = word(body, "base64Ptt", "base64")
    if not given and (address := word(body, "url")):
        found = await fetch(address, parts.settings)
        if not found.content:
            raise GatewayRefusal(400, "The file is empty.", "MISSING_MEDIA")
        return found.content, found.mimetype, found.filename
    try:
        return read_base64(given), "", ""
    except Unreadable:
        said = "base64 is missing or no base64, and there is no url."
        raise GatewayRefusal(400, said, "MISSING_MEDIA") from None


async def _place(
    parts: Parts, found: Channel, chat: str, kind: str, asked: Body, caller: str, identity: str
) -> Sending:
    channel = found.configured.id

    def work(tx: Connection) -> tuple[Sending, bool]:
        known = get_request(tx, identity) if identity else None
        new = known or parts.outbox.put(tx, channel, chat, kind, asked, by=caller, identity=identity)
        return new, known is None or (known.chat, known.kind, dict(known.body)) == (chat, kind, asked)

    try:
        sent, same = await parts.store.write(work)
    except NotFitting as error:
        raise GatewayRefusal(400, str(error), fields=[{"field": error.field, "said": str(error)}]) from None
    if not same:
        raise GatewayRefusal(409, "Another message was sent under this Idempotency-Key.")
    return sent


async def _ended(parts: Parts, identity: str) -> Job:
    """Wait until a job is over or in doubt, at most as long as a caller listens."""
    clock, bell = parts.ambient.clock, parts.store.bell

    async def wait() -> Job:
        while True:
            rung = bell.count(JOBS)
            job = await _job(parts, identity)
            if job.state not in OPEN:
                return job
            await bell.wait(JOBS, rung, at_most_s=1.0)

    try:
        return await within(clock, ANSWER_WITHIN_S, wait())
    except TimeoutError:
        return await _job(parts, identity)


async def _job(parts: Parts, identity: str) -> Job:
    found = await parts.store.read(lambda tx: queries.get_job(tx, identity))
    assert found is not None
    return found


def _answer(sent: Sending, job: Job, found: Channel) -> JSONResponse:
    common: Body = {"correlationId": job.id, "requestId": sent.id}
    match job.state:
        case "done":
            result: Mapping[str, Any] = job.result or {}
            key = result.get("serialized")
            known: Body = {"messageId": key} if key else {}
            return JSONResponse({"success": True, **known, **common, "raw": result})
        case "in_doubt" | "queued" | "running" | "waiting":
            said = "It is not known whether the message was sent. The hub looks; do not send it again."
            raise GatewayRefusal(504, said, "WPPCONNECT_TIMEOUT", **common)
        case _:
            said = job.said or "The message was not sent."
            code = "WPPCONNECT_SEND_ERROR" if found.status == "connected" else "SESSION_DISCONNECTED"
            raise GatewayRefusal(502, said, code, **common)
