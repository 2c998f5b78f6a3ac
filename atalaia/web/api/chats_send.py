"""Writing into conversations for programs, and the files of messages; see `chats.py` for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import Depends, File, Query, Request, UploadFile
from fastapi.responses import FileResponse
from pydantic import Field
from sqlalchemy import Connection

from atalaia.desk.chats import first, outbox, queries
from atalaia.desk.chats.actions import NoSuchChat, NotFitting
from atalaia.desk.chats.files import get_file
from atalaia.desk.chats.outbox import Request as Sending
from atalaia.web import attachments
from atalaia.web.access import require
from atalaia.web.api.chats import Writer, writing
from atalaia.web.api.common import ONCE, Asked, Wire, router
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import Problem, not_found
from atalaia.web.wire import Identity, Moment

routes = router("chats")
_READ = [Depends(require("chats:read"))]
_SHA256 = r"^([0-9a-f]{64})?$"
Kind = Literal["text", "image", "document", "voice", "location", "reply", "reaction"]


class SendAsked(Asked):
    """What to send. id: your own, at most 36 characters; the same one again sends nothing.

    message: the one that is answered or reacted to. reaction: empty takes it back.
    file: from `POST /api/hub/chat-files`, with mimetype and filename as answered there.
    """

    kind: Kind = "text"
    id: Annotated[str, Field(max_length=36)] = ""
    text: Annotated[str, Field(max_length=60_000)] = ""
    message: Annotated[str, Field(max_length=36)] = ""
    reaction: Annotated[str, Field(max_length=20)] = ""
    file: Annotated[str, Field(pattern=_SHA256)] = ""
    mimetype: Annotated[str, Field(max_length=100)] = ""
    filename: Annotated[str, Field(max_length=200)] = ""
    size_bytes: Annotated[int | None, Field(ge=0)] = None
    latitude: Annotated[float | None, Field(ge=-90, le=90)] = None
    longitude: Annotated[float | None, Field(ge=-180, le=180)] = None


class SendingOut(Wire):
    """One thing to send. state: queued, sent, acked (on the device), read, failed, uncertain, dropped.

    said: why it waits or failed; of an uncertain one what the look-up found, empty while that goes on.
    may_repeat: it failed, or was looked up and not found. key: the upstream's, once known.
    """

    id: str
    channel: str
    chat: str
    kind: str
    state: str
    text: str
    key: str
    said: str
    by: str
    job: str
    may_repeat: bool
    asked_at: Moment = Field(validation_alias="asked_ms")
    changed_at: Moment = Field(validation_alias="changed_ms")


class SendFound(SendingOut):
    """One thing to send, with where it is shown. conversation: empty until the channel tells of a message."""

    conversation: str = ""


class FirstAsked(Asked):
    """A text to a number. phone: as people write it; without a country's code it is Brazilian.

    id: your own, at most 36 characters; the same one again sends nothing.
    """

    channel: Annotated[str, Field(min_length=1, max_length=36, description="A connection's id.")]
    phone: Annotated[str, Field(min_length=1, max_length=40)]
    text: Annotated[str, Field(max_length=60_000)]
    id: Annotated[str, Field(max_length=36)] = ""


class KeptOut(Wire):
    """A file that can be sent now. file: its SHA-256."""

    file: str
    mimetype: str
    filename: str
    size_bytes: int


class AttachmentOut(Wire):
    """What became of a message's attachment. state: waiting, fetched, failed, left (nobody asked for it).

    state may also be expired: it was here and was kept until changed_at; it can be asked for again.
    mimetype: by its content. next_at: when it is tried again.
    """

    state: str
    mimetype: str
    size_bytes: int | None
    sha256: str = Field(validation_alias="file")
    said: str
    tries: int
    next_at: Moment | None = Field(validation_alias="next_ms")
    changed_at: Moment = Field(validation_alias="changed_ms")


@routes.post("/hub/chat-files", status_code=201, dependencies=ONCE)
async def keep_file(
    request: Request, who: Writer, file: Annotated[UploadFile, File(description="At most 36 MB.")],
    kind: Annotated[Literal["", "image", "voice", "document"], Query(description="Empty: what fits.")] = "",
) -> KeptOut:  # fmt: skip
    """Keep a file that is to be sent; what it is, is told from its content."""
    try:
        _, body = await attachments.keep(parts_of(request), file, kind)
    except NotFitting as error:
        raise writing(error) from None
    except OSError:
        said = "The file could not be written to the disk. It was not kept."
        raise Problem(503, "storage-failed", "The disk took nothing", said) from None
    return KeptOut(**body)


@routes.post("/hub/chats", status_code=201, dependencies=ONCE)
async def write_first(request: Request, who: Writer, asked: FirstAsked) -> SendFound:
    """Send a text to a number; in the conversation with that contact where there is one."""
    box = parts_of(request).outbox

    def work(tx: Connection) -> SendFound:
        known = outbox.get_request(tx, asked.id) if asked.id else None
        if known is None:
            to = first.reach(tx, box, asked.channel, asked.phone)
            known = first.write(tx, box, to, asked.text, by=who.name, identity=asked.id)
        return _found(tx, known)

    return await _do(parts_of(request), work)


@routes.post("/hub/chats/{chat}/send", status_code=201, dependencies=ONCE)
async def send(request: Request, chat: Identity, who: Writer, asked: SendAsked) -> SendingOut:
    """Send a message: stored before anything leaves, then a job of the channel."""
    parts = parts_of(request)
    body = asked.model_dump(exclude={"kind", "id"}, exclude_none=True)
    if asked.kind != "reaction":
        body = {name: value for name, value in body.items() if value != ""}
    return await _write(
        parts, lambda tx: parts.outbox.ask(tx, chat, asked.kind, body, by=who.name, identity=asked.id)
    )


@routes.get("/hub/chats/{chat}/sends", dependencies=_READ)
async def list_sends(request: Request, chat: Identity) -> list[SendingOut]:
    """List what was asked to be sent and is no message of the conversation yet, the oldest first."""

    def read(tx: Connection) -> list[Sending] | None:
        one = queries.get_thread(tx, chat)
        return outbox.list_requests(tx, queries.chats_of(tx, one.id)) if one else None

    found = await parts_of(request).store.read(read)
    if found is None:
        raise not_found("conversation")
    return [SendingOut.model_validate(one) for one in found]


@routes.get("/hub/sends/{send}", dependencies=_READ)
async def get_send(request: Request, send: Identity) -> SendFound:
    """Answer how far a message came, and the conversation in which it is shown."""

    def read(tx: Connection) -> SendFound | None:
        one = outbox.get_request(tx, send)
        return _found(tx, one) if one else None

    found = await parts_of(request).store.read(read)
    if found is None:
        raise not_found("message")
    return found


@routes.post("/hub/sends/{send}/again", dependencies=ONCE)
async def send_again(request: Request, send: Identity, who: Writer) -> SendingOut:
    """Send once more what failed, or what was looked up and not found."""
    parts = parts_of(request)
    return await _write(parts, lambda tx: parts.outbox.again(tx, send, who.name))


@routes.post("/hub/sends/{send}/happened", dependencies=ONCE)
async def send_happened(request: Request, send: Identity, who: Writer) -> SendingOut:
    """Take an uncertain one for sent."""
    parts = parts_of(request)
    return await _write(parts, lambda tx: parts.outbox.happened(tx, send, who.name))


@routes.post("/hub/sends/{send}/call-off", dependencies=ONCE)
async def call_off(request: Request, send: Identity, who: Writer) -> SendingOut:
    """Send it no more, if it has not left; one that failed is shown no more."""
    parts = parts_of(request)
    return await _write(parts, lambda tx: parts.outbox.call_off(tx, send, who.name))


@routes.get("/hub/messages/{message}/attachment", dependencies=_READ)
async def get_attachment(request: Request, message: Identity) -> AttachmentOut:
    """Answer what became of a message's attachment."""
    found = await parts_of(request).store.read(lambda tx: get_file(tx, message))
    if found is None:
        raise not_found("attachment")
    return AttachmentOut.model_validate(found)


@routes.post("/hub/messages/{message}/fetch", dependencies=ONCE)
async def fetch(request: Request, message: Identity, who: Writer) -> AttachmentOut:
    """Fetch an attachment now, whatever became of earlier tries."""
    parts = parts_of(request)
    found = await _do(parts, lambda tx: parts.fetching.fetch(tx, message, who.name))
    return AttachmentOut.model_validate(found)


@routes.get(
    "/hub/messages/{message}/file", dependencies=_READ, response_class=FileResponse,
    responses={200: {"description": "The file.", "content": {"*/*": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def get_content(request: Request, message: Identity) -> FileResponse:
    """Answer the file of a message, once it is here; 410 when it was and its time is over."""
    return await attachments.answer(parts_of(request), message)


def _found(tx: Connection, one: Sending) -> SendFound:
    told = dict(SendingOut.model_validate(one))
    return SendFound(**told, conversation=first.thread_of_request(tx, one))


async def _write(parts: Parts, work: Callable[[Connection], Sending]) -> SendingOut:
    return SendingOut.model_validate(await _do(parts, work))


async def _do(parts: Parts, work: Callable[[Connection], Any]) -> Any:
    try:
        return await parts.store.write(work)
    except (NoSuchChat, NotFitting) as error:
        raise writing(error) from None
