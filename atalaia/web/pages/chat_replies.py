"""Replies to keep at hand: `/shortcut` and its text."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Form, Request, Response
from sqlalchemy import Connection

from atalaia.desk.chats import notes
from atalaia.desk.chats.actions import NoSuchChat, NotFitting
from atalaia.web.access import Who, require
from atalaia.web.api.chats import by_of
from atalaia.web.i18n import N_
from atalaia.web.pages.common import Part, Words, done, look, screens, show
from atalaia.web.parts import parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import Identity

routes = screens("chats:read")
Writer = Annotated[Who, Depends(require("chats:write"))]
Shortcut = Annotated[str, Form(max_length=40)]
Body = Annotated[str, Form(max_length=10_000)]
NOT_FITTING = {
    one: one for one in (N_("Write something."), N_("Another reply has this shortcut."))
}  # fmt: skip


@routes.get("/chats/replies")
async def page(request: Request, part: Part = "") -> Response:
    """Answer the list of replies."""
    replies = await look(request, notes.list_replies)
    return show(request, "chats/replies.html", part, replies=replies)


@routes.post("/chats/replies")
async def keep(
    request: Request, who: Writer, shortcut: Shortcut = "", text: Body = "", reply: Shortcut = ""
) -> Response:
    """Keep a new reply, or change one."""
    parts, words = parts_of(request), Words(request)

    def work(tx: Connection) -> Any:
        return notes.keep_reply(tx, parts.ambient, by_of(who), shortcut, text, reply)

    try:
        await parts.store.write(work)
    except NoSuchChat:
        raise not_found("reply") from None
    except NotFitting as error:
        return done(request, "/chats/replies", words(NOT_FITTING.get(str(error), str(error))), "bad")
    return done(request, "/chats/replies", words(N_("The reply is kept.")))


@routes.post("/chats/replies/{reply}/delete")
async def delete(request: Request, reply: Identity, who: Writer) -> Response:
    """Take a reply away."""
    parts = parts_of(request)
    try:
        await parts.store.write(lambda tx: notes.delete_reply(tx, parts.ambient, by_of(who), reply))
    except NoSuchChat:
        raise not_found("reply") from None
    return done(request, "/chats/replies", Words(request)(N_("The reply is gone.")))
