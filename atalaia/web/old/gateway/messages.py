"""Sending and fetching as the old gateway did, by jobs: nothing is sent twice. Contract §1.5, §1.6."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Header, Path, Request
from fastapi.responses import JSONResponse

from atalaia.clock import within
from atalaia.connectors.wppconnect.gateway import GatewayDoor
from atalaia.connectors.wppconnect.server import ServerDoor
from atalaia.errors import Rejected, UpstreamError
from atalaia.jobs import queries
from atalaia.jobs.queries import Job
from atalaia.jobs.submit import KeyReused, Order, WrongParams
from atalaia.store.bell import JOBS
from atalaia.store.files import FOLDER, FileStore
from atalaia.web.api.jobs import orders_of
from atalaia.web.old.gateway.common import (
    Body,
    Caller,
    Channel,
    GatewayRefusal,
    body_of,
    channel_named,
    gateway_router,
    word,
)
from atalaia.web.parts import Parts, parts_of

routes = gateway_router()
Name = Annotated[str, Path(min_length=1, max_length=100)]
MessageId = Annotated[str, Path(min_length=1, max_length=300)]
ANSWER_WITHIN_S = 55.0  # callers stop listening after about a minute
KINDS = {"image": "image", "document": "document", "video": "document", "audio": "voice", "": "text"}
OPEN = ("queued", "running", "waiting")


@routes.post("/api/messages")
async def send(
    request: Request, caller: Caller,
    key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)] = None,
) -> JSONResponse:  # fmt: skip
    """Send a message. Answers when it was sent, or when nobody can tell; then its job is in doubt."""
    parts, body = parts_of(request), await body_of(request)
    found = await channel_named(parts, word(body, "channel"))
    params = await _params(parts, body)
    job = await _place(parts, found, params, caller, key or request.headers.get("X-Request-Id"))
    ended = await _ended(parts, job.id)
    return _answer(ended)


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


async def _params(parts: Parts, body: Mapping[str, Any]) -> Body:
    """Read what the old callers send. Errors: `GatewayRefusal` 400."""
    kind = KINDS.get(word(body, "type"))
    if kind is None:
        raise GatewayRefusal(400, "type is not one of audio, image, document, video.", "MISSING_MEDIA")
    params: Body = {"to": word(body, "to"), "kind": kind, "text": word(body, "caption", "text")}
    if kind == "text":
        return params
    content = _decode(word(body, "base64Ptt", "base64"))
    if content is None:
        said = "base64 is missing or no base64. The hub fetches no addresses: send the file itself."
        raise GatewayRefusal(400, said, "MISSING_MEDIA")
    files = FileStore(parts.settings.data_dir / FOLDER, parts.ambient.ids)
    params["file"] = await asyncio.to_thread(files.keep, content)
    params["filename"] = word(body, "fileName", "filename")
    params["mimetype"] = word(body, "audio_mime", "mimetype", "mime_type")
    return params


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.partition("base64,")[2] or text, validate=True) or None
    except (ValueError, binascii.Error):
        return None


async def _place(parts: Parts, found: Channel, params: Body, caller: str, key: str | None) -> Job:
    order = Order(
        kind="wppconnect.send", connection=found.configured.id, params=params, by=caller[:120], key=key or ""
    )
    try:
        job = await parts.store.write(lambda tx: orders_of(parts).submit(tx, order))
    except WrongParams as error:
        raise GatewayRefusal(400, str(error), fields=error.fields) from None
    except KeyReused as error:
        raise GatewayRefusal(409, str(error)) from None
    return await _job(parts, job.id)


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


def _answer(job: Job) -> JSONResponse:
    common: Body = {"correlationId": job.id}
    match job.state:
        case "done":
            result: Mapping[str, Any] = job.result or {}
            sent = result.get("serialized")
            known: Body = {"messageId": sent} if sent else {}
            return JSONResponse({"success": True, **known, **common, "raw": result})
        case "in_doubt" | "queued" | "running" | "waiting":
            said = "It is not known whether the message was sent. The hub looks; do not send it again."
            raise GatewayRefusal(504, said, "WPPCONNECT_TIMEOUT", **common)
        case _:
            said = job.said or "The message was not sent."
            raise GatewayRefusal(502, said, "WPPCONNECT_SEND_ERROR", **common)
