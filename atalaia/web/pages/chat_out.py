"""Writing into a conversation on the screen, what became of it, and the files of messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import File, Form, Query, Request, Response, UploadFile
from sqlalchemy import Connection

from atalaia.desk.chats import notes, queries
from atalaia.desk.chats.actions import Acts, Done, NotFitting
from atalaia.web import attachments
from atalaia.web.i18n import N_
from atalaia.web.pages.chat import Writer, act, refuse
from atalaia.web.pages.common import screens
from atalaia.web.parts import Parts, parts_of
from atalaia.web.wire import Identity

routes = screens("chats:read")
FILES_MAX = 10
DISK = "The disk did not take the file. Nothing was sent."
Number = Annotated[str, Form(max_length=30)]
Short = Annotated[str, Form(max_length=36)]


@routes.post("/chats/{chat}/send")
async def send(
    request: Request, chat: Identity, who: Writer, request_id: Short,
    text: Annotated[str, Form(max_length=60_000)] = "", message: Short = "", latitude: Number = "",
    longitude: Number = "", as_kind: Annotated[str, Form(max_length=10)] = "",
    file: Annotated[Sequence[UploadFile], File()] = (),
) -> Response:  # fmt: skip
    """Ask the channel to send a text, an answer, a place or files; the same form sent twice asks once.

    Files go in their order, the text with the first of them.
    """
    parts, said = parts_of(request), N_("It is on its way.")
    text = text.replace("\r\n", "\n")  # forms end their lines as the standard says, people as phones do
    try:
        asked = await _asked(parts, text.strip(), message, (latitude, longitude), as_kind, file)
    except NotFitting as error:
        return refuse(request, f"/chats/{chat}", str(error))
    except OSError:
        return refuse(request, f"/chats/{chat}", DISK)

    def work(_: Acts, tx: Connection) -> Done:
        for place, (kind, body) in enumerate(asked):
            identity = f"{request_id[:32]}-{place}" if place else request_id
            parts.outbox.ask(tx, chat, kind, body, by=who.name, identity=identity)
        notes.keep_draft(tx, parts.ambient, who.id, queries.chats_of(tx, chat), "")
        return Done(chat, 0)

    return await act(request, chat, who, said, work)


async def _asked(
    parts: Parts, text: str, message: str, place: tuple[str, str], as_kind: str, files: Sequence[UploadFile]
) -> list[tuple[str, dict[str, Any]]]:
    """Answer what a form asks to be sent, as (kind, body). Errors: `NotFitting`; `OSError`."""
    about = {"message": message} if message else {}
    if any(place):
        return [("location", {"text": text, **about, **_place(place)})]
    given = [one for one in files if one.filename or one.size][:FILES_MAX]
    if not given:
        return [("reply" if message else "text", {"text": text, **about})]
    asked: list[tuple[str, dict[str, Any]]] = []
    for one in given:
        upload, body = await attachments.keep(parts, one, as_kind if as_kind in ("voice", "document") else "")
        words = {"text": text} if text and not asked and upload.kind != "voice" else {}
        asked.append((upload.kind, {**body, **words, **about}))
    if text and asked[0][0] == "voice":  # a voice message has no words under it
        asked.append(("text", {"text": text}))
    return asked


def _place(place: tuple[str, str]) -> dict[str, float]:
    try:
        latitude, longitude = (float(one.strip().replace(",", ".")) for one in place)
    except ValueError:
        raise NotFitting("latitude", "Give latitude and longitude.") from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise NotFitting("latitude", "Give latitude and longitude.")
    return {"latitude": latitude, "longitude": longitude}


@routes.post("/chats/{chat}/react")
async def react(
    request: Request, chat: Identity, who: Writer, message: Short,
    reaction: Annotated[str, Form(max_length=20)] = "",
) -> Response:  # fmt: skip
    """React to a message, or take the reaction back."""
    parts = parts_of(request)
    body = {"message": message, "reaction": reaction.strip()}

    def work(_: Acts, tx: Connection) -> Done:
        parts.outbox.ask(tx, chat, "reaction", body, by=who.name)
        return Done(chat, 0)

    return await act(request, chat, who, N_("It is on its way."), work)


def _at(chat: str, send: str) -> str:
    """Answer where a message is shown: a first one, `/chats/new/…`, has a page of its own."""
    return f"/chats/new/{send}" if chat == "new" else f"/chats/{chat}"


@routes.post("/chats/{chat}/sends/{send}/again")
async def again(request: Request, chat: Identity, send: Identity, who: Writer) -> Response:
    """Send once more what failed, or what was looked up and not found."""
    box, said = parts_of(request).outbox, N_("It is sent again.")
    return await act(
        request, chat, who, said, lambda _, tx: box.again(tx, send, who.name), href=_at(chat, send)
    )


@routes.post("/chats/{chat}/sends/{send}/happened")
async def happened(request: Request, chat: Identity, send: Identity, who: Writer) -> Response:
    """Take an uncertain one for sent."""
    box, said = parts_of(request).outbox, N_("It is taken for sent.")
    return await act(
        request, chat, who, said, lambda _, tx: box.happened(tx, send, who.name), href=_at(chat, send)
    )


@routes.post("/chats/{chat}/sends/{send}/call-off")
async def call_off(request: Request, chat: Identity, send: Identity, who: Writer) -> Response:
    """Send it no more, if it has not left."""
    box, said = parts_of(request).outbox, N_("It is called off.")
    return await act(
        request, chat, who, said, lambda _, tx: box.call_off(tx, send, who.name), href=_at(chat, send)
    )


@routes.post("/chats/{chat}/messages/{message}/fetch")
async def fetch(request: Request, chat: Identity, message: Identity, who: Writer) -> Response:
    """Fetch an attachment now, whatever became of earlier tries."""
    fetching, said = parts_of(request).fetching, N_("The attachment is being fetched.")
    return await act(request, chat, who, said, lambda _, tx: fetching.fetch(tx, message, who.name))


@routes.get("/chats/{chat}/messages/{message}/file")
async def see_file(
    request: Request, chat: Identity, message: Identity, save: Annotated[str, Query(max_length=1)] = ""
) -> Response:
    """Answer the file of a message; `save=1` never shows it."""
    return await attachments.answer(parts_of(request), message, chat=chat, save=save == "1")
