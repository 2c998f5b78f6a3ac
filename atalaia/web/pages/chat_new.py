"""A new conversation: the first message to a number, and where it stands until the conversation is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Form, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from atalaia.connections.queries import names as connection_names
from atalaia.desk.chats import first, notes, outbox, queries
from atalaia.desk.chats.actions import NotFitting
from atalaia.desk.chats.outbox import DROPPED
from atalaia.desk.chats.outbox import Request as Asked
from atalaia.web.i18n import N_
from atalaia.web.pages import chats as listed
from atalaia.web.pages.chat import NOT_FITTING, Writer
from atalaia.web.pages.common import Part, Words, done, look, screens, show
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import Identity

routes = screens("chats:read")
Short = Annotated[str, Form(max_length=36)]
KNOWN = N_("There is a conversation with this number already. What you wrote waits in it; nothing was sent.")


@dataclass
class Filled:
    """What the form holds. request_id: of the message that it will send. errors: by field."""

    channel: str = ""
    phone: str = ""
    text: str = ""
    request_id: str = ""
    errors: dict[str, str] = field(default_factory=dict[str, str])


@routes.get("/chats/new")
async def new_page(
    request: Request, who: Writer, channel: listed.Text = "", of: listed.Text = ""
) -> Response:
    """Answer the form. of: a message that did not go, to be written to another number."""
    parts = parts_of(request)

    def read(tx: Connection) -> tuple[Asked | None, list[tuple[str, str]]]:
        return outbox.get_request(tx, of[:36]) if of else None, channels_of(tx, parts)

    old, channels = await look(request, read)
    filled = Filled(channel, request_id=parts.ambient.ids.new())
    if old is not None:
        filled.channel, filled.phone, filled.text = old.channel, listed.receiver_of(old), old.text
    return show(request, "chats/new.html", filled=filled, channels=channels)


@routes.post("/chats/new")
async def write(
    request: Request, who: Writer, request_id: Short, channel: Short = "",
    phone: Annotated[str, Form(max_length=200)] = "", text: Annotated[str, Form(max_length=60_000)] = "",
) -> Response:  # fmt: skip
    """Ask the channel to send; where there is a conversation with that number already, go there instead."""
    parts = parts_of(request)
    text = text.replace("\r\n", "\n").strip()
    filled = Filled(channel, phone, text, request_id)

    def work(tx: Connection) -> str:
        if outbox.get_request(tx, request_id) is not None:
            return f"/chats/new/{request_id}"  # the same form sent twice
        to = first.reach(tx, parts.outbox, channel, phone)
        if to.thread is not None:
            _keep_draft(tx, parts, who.id, to.thread.id, text)
            return f"/chats/{to.thread.id}"
        one = first.write(tx, parts.outbox, to, text, by=who.name, identity=request_id)
        return f"/chats/new/{one.id}"

    try:
        href = await parts.store.write(work)
    except NotFitting as error:
        return await _refused(request, filled, error)
    if href.startswith("/chats/new/"):
        return RedirectResponse(href, 303)  # its page says where it stands
    return done(request, href, Words(request)(KNOWN), "info")


@routes.get("/chats/new/{send}")
async def first_page(request: Request, send: Identity, part: Part = "") -> Response:
    """Answer what became of a first message; as soon as it is in a conversation, go there."""
    parts = parts_of(request)

    def read(tx: Connection) -> tuple[Asked, str, dict[str, str]] | None:
        one = outbox.get_request(tx, send)
        if one is None:
            return None
        href = f"/chats/{thread}" if (thread := first.thread_of_request(tx, one)) else ""
        return one, "/chats" if one.state == DROPPED else href, connection_names(tx)

    found = await look(request, read)
    if found is None:
        raise not_found("message")
    one, href, names = found
    if href and not part:
        return RedirectResponse(href, 303)
    return show(request, "chats/first.html", part, one=one, href=href, h=listed.helpers(parts, names))


def channels_of(tx: Connection, parts: Parts) -> list[tuple[str, str]]:
    """Answer the channels by which somebody can be written to first, as (id, name)."""
    can = parts.outbox.first_channels(tx)
    return [(identity, name) for identity, name in listed.channels_of(tx, parts) if identity in can]


def _keep_draft(tx: Connection, parts: Parts, writer: str, thread: str, text: str) -> None:
    """Put what was written below what the writer had begun there."""
    chats = queries.chats_of(tx, thread)
    begun = notes.get_draft(tx, writer, chats)
    whole = f"{begun}\n{text}" if begun.strip() and text != begun.strip() else text or begun
    notes.keep_draft(tx, parts.ambient, writer, chats, whole)


async def _refused(request: Request, filled: Filled, error: NotFitting) -> Response:
    """Show the form again with what does not fit beside its field."""
    parts, words = parts_of(request), Words(request)
    place = error.field if error.field in ("channel", "phone", "text") else "text"
    filled.errors = {place: words(NOT_FITTING.get(str(error), str(error)))}
    channels = await look(request, lambda tx: channels_of(tx, parts))
    answer = show(request, "chats/new.html", filled=filled, channels=channels)
    answer.status_code = 422
    return answer
