"""One conversation: its messages, the contact behind it, the team's notes, and what a person may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Form, Request, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy import Connection

from atalaia.connections.queries import names as connection_names
from atalaia.desk.chats import contacts, notes, outbox, queries
from atalaia.desk.chats.actions import Acts, Done, NoSuchChat, NotFitting
from atalaia.desk.chats.contacts import Contact, ContactLine
from atalaia.desk.chats.files import File, files_of
from atalaia.desk.chats.notes import Note, Reply
from atalaia.desk.chats.outbox import Request as Asked
from atalaia.desk.chats.queries import Message, Thread, ThreadFilter
from atalaia.desk.chats.reading import thread_id
from atalaia.desk.people.model import Person
from atalaia.desk.people.rows import list_people
from atalaia.web import i18n, render
from atalaia.web.access import Who, require, who_of
from atalaia.web.api.chats import acts_of
from atalaia.web.i18n import N_
from atalaia.web.pages import chat_contact
from atalaia.web.pages import chats as listed
from atalaia.web.pages.common import PageCursor, Part, Words, done, look, position, screens, show
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import Identity, to_cursor

routes = screens("chats:read")
Writer = Annotated[Who, Depends(require("chats:write"))]
Line = Annotated[str, Form(max_length=200)]
BESIDE = 30  # conversations in the list beside
MESSAGES = 60
OTHERS = 10  # contacts that are offered to be merged


@dataclass
class Window:
    """The messages shown at once. older: where those before begin; latest: they end with the last."""

    messages: list[Message]
    older: str
    latest: bool


@dataclass
class Shown:
    """What the page shows. older: where the messages before these begin; latest: these are the last ones.

    topics: what the page follows: each id under which facts speak of this conversation.
    files: what became of attachments, tickets: who asked for one, both by message.
    """

    one: Thread
    messages: list[Message]
    older: str
    latest: bool
    contact: Contact
    notes: list[Note]
    beside: list[Thread]
    draft: str
    replies: list[Reply]
    waiting: list[Asked]
    unsent: frozenset[str]
    can_send: bool
    can_fetch: bool
    files: dict[str, File]
    tickets: dict[str, str]
    people: list[Person]
    topics: str
    names: dict[str, str]
    request_id: str
    others: list[ContactLine]

    @property
    def near(self) -> frozenset[str]:
        """The messages to which a quote can lead on this page."""
        return frozenset(one.id for one in self.messages)

    @property
    def people_choices(self) -> list[tuple[str, str]]:
        return [("", i18n.gettext("Nobody")), *((one.id, one.name) for one in self.people)]


@routes.get("/chats/{chat}")
async def page(
    request: Request, chat: Identity, other: listed.Text = "", at: listed.Text = "",
    cursor: PageCursor = "", part: Part = "",
) -> Response:  # fmt: skip
    """Answer the page of one conversation; of a merged one, the one in which it is shown now.

    other: words of the contact that may be the same one. at: a message that is to be seen.
    """
    view, parts, reader = render.view_of(request), parts_of(request), who_of(request).id
    before = position(cursor, int, int)

    def read(tx: Connection) -> Shown | None:
        with i18n.drawing(view):
            one = queries.get_thread(tx, chat, reader)
            if one is None:
                return None
            window = read_window(tx, one, before, at)
            return read_shown(tx, parts, one, reader, window, other.strip())

    shown = await look(request, read)
    if shown is None:
        raise not_found("conversation")
    return show(
        request, "chats/chat.html", part, shown=shown, one=shown.one, me=reader,
        h=listed.helpers(parts, shown.names), c=chat_contact.helpers(), other=other,
    )  # fmt: skip


def read_shown(tx: Connection, parts: Parts, one: Thread, reader: str, window: Window, other: str) -> Shown:
    """Read everything about one conversation. other: words of contacts to merge it with."""
    pairs = queries.chats_of(tx, one.id)
    contact = contacts.get_contact(tx, one.contact)
    assert contact is not None  # its chats are its identities
    ids_shown = [message.id for message in window.messages]
    ids = [thread_id(one.channel, name) for name in contacts.below(tx, one.contact)]
    beside = queries.list_threads(tx, ThreadFilter(statuses=listed.ACTIVE), reader, limit=BESIDE)
    return Shown(
        one=one,
        messages=window.messages,
        older=window.older,
        latest=window.latest,
        contact=contact,
        notes=notes.list_notes(tx, pairs),
        beside=beside,
        draft=notes.get_draft(tx, reader, pairs),
        replies=notes.list_replies(tx),
        waiting=outbox.list_requests(tx, pairs),
        unsent=outbox.unsent(tx, [other.id for other in beside]),
        can_send=parts.outbox.can_send(tx, one.channel),
        can_fetch=parts.fetching.can_fetch(tx, one.channel),
        files=files_of(tx, ids_shown),
        tickets=notes.tickets_asked(tx, ids_shown),
        people=[person for person in list_people(tx) if person.disabled_ms is None],
        topics=",".join(f"chat:{identity}" for identity in ids),
        names=connection_names(tx),
        request_id=parts.ambient.ids.new(),
        others=others_of(tx, one, other) if other else [],
    )


def read_window(tx: Connection, one: Thread, before: tuple[int, int] | None, at: str) -> Window:
    """Read the messages to show: the last ones, those before a place, or those around a message."""
    seen = queries.get_message(tx, at) if at else None
    after: list[Message] = []
    if seen is not None and seen.thread == one.id:
        before = (seen.sent_ms, seen.seq + 1)
        after = queries.list_messages(tx, one.id, after=(seen.sent_ms, seen.seq), limit=MESSAGES)
    found = queries.list_messages(tx, one.id, before=before, limit=MESSAGES + 1)
    more, messages = len(found) > MESSAGES, found[-MESSAGES:]
    older = to_cursor(messages[0].sent_ms, messages[0].seq) if more else ""
    return Window([*messages, *after], older, before is None)


def others_of(tx: Connection, one: Thread, words: str) -> list[ContactLine]:
    """Answer the people who may be the same contact, by name or number."""
    found = contacts.list_contacts(tx, words, limit=OTHERS + 1)
    return [line for line in found if line.id != one.contact and not line.is_group][:OTHERS]


# Acts.

STATUS_SAID = {
    "open": N_("The conversation is open."),
    "pending": N_("The conversation waits."),
    "closed": N_("The conversation is closed."),
    "ignored": N_("The conversation is ignored."),
    "new": N_("The conversation is new again."),
}


@routes.post("/chats/{chat}/status")
async def set_status(
    request: Request, chat: Identity, who: Writer, status: Annotated[str, Form(max_length=10)]
) -> Response:
    """Open, park, close or ignore it."""
    return await act(
        request, chat, who, STATUS_SAID.get(status, ""), lambda a, tx: a.status(tx, chat, status)
    )


@routes.post("/chats/{chat}/assign")
async def assign(
    request: Request, chat: Identity, who: Writer, person: Annotated[str, Form(max_length=36)] = ""
) -> Response:
    """Give it to somebody, or take it back."""
    said = N_("The conversation has somebody who answers for it.") if person else N_("Nobody has it now.")
    return await act(request, chat, who, said, lambda a, tx: a.assign(tx, chat, person))


@routes.post("/chats/{chat}/labels")
async def set_labels(
    request: Request, chat: Identity, who: Writer, add: Line = "", remove: Line = ""
) -> Response:
    """Add labels, parted by commas, or take one away."""
    added = [one for one in (word.strip() for word in add.split(",")) if one]
    removed = [remove] if remove else []
    said = N_("The labels are changed.")
    return await act(request, chat, who, said, lambda a, tx: a.label(tx, chat, add=added, remove=removed))


@routes.post("/chats/{chat}/notes")
async def add_note(
    request: Request, chat: Identity, who: Writer, text: Annotated[str, Form(max_length=10_000)] = ""
) -> Response:
    """Leave a note for the team."""
    return await act(request, chat, who, N_("The note is kept."), lambda a, tx: a.note(tx, chat, text))


@routes.post("/chats/{chat}/notes/{note}/remove")
async def remove_note(request: Request, chat: Identity, note: Identity, who: Writer) -> Response:
    """Take a note away."""
    said = N_("The note is gone from here; it stays in the log.")
    return await act(request, chat, who, said, lambda a, tx: a.remove_note(tx, chat, note))


@routes.post("/chats/{chat}/link")
async def link(
    request: Request, chat: Identity, who: Writer, company: Line = "", person: Line = ""
) -> Response:
    """Say which company and person it is."""
    said = N_("The contact is linked, on every channel.")
    return await act(request, chat, who, said, lambda a, tx: a.link(tx, chat, company=company, person=person))


@routes.post("/chats/{chat}/read")
async def read_chat(
    request: Request, chat: Identity, from_message: Annotated[str, Form(max_length=36)] = ""
) -> Response:
    """Note that it was read, or is unread from a message on. Who may look may also have looked."""
    who = who_of(request)
    if not from_message:
        parts = parts_of(request)
        acts = acts_of(parts, who)
        try:
            await parts.store.write(lambda tx: acts.read(tx, chat, who.id))
        except NoSuchChat:
            raise not_found("conversation") from None
        return Response(status_code=204)
    said = N_("It is unread from there on.")
    return await act(
        request, chat, who, said, lambda a, tx: a.read(tx, chat, who.id, before_message=from_message),
        href="/chats",
    )  # fmt: skip


@routes.post("/chats/{chat}/ticket")
async def ask_ticket(
    request: Request, chat: Identity, who: Writer, message: Annotated[str, Form(max_length=36)]
) -> Response:
    """Ask for a ticket about a message."""
    said = N_("A ticket is asked for; the message is its link.")
    return await act(request, chat, who, said, lambda a, tx: a.ask_ticket(tx, message))


@routes.post("/chats/{chat}/part")
async def part_alias(
    request: Request, chat: Identity, who: Writer, channel: Line, alias: Line
) -> Response:  # fmt: skip
    """Make one identity a contact of its own."""
    said = N_("That identity is a contact of its own now.")

    def work(acts: Acts, tx: Connection) -> Done:
        one = queries.get_thread(tx, chat)
        if one is None:
            raise NoSuchChat("There is no such conversation.")
        return acts.part(tx, one.contact, channel, alias)

    return await act(request, chat, who, said, work)


@routes.post("/chats/{chat}/merge")
async def merge(
    request: Request, chat: Identity, who: Writer, contact: Annotated[str, Form(max_length=36)]
) -> Response:
    """Say that another contact is this one."""
    said = N_("They are one contact now; it can be undone here.")

    def work(acts: Acts, tx: Connection) -> Done:
        one = queries.get_thread(tx, chat)
        if one is None:
            raise NoSuchChat("There is no such conversation.")
        return acts.merge(tx, one.contact, contact)

    return await act(request, chat, who, said, work)


@routes.post("/chats/{chat}/unmerge")
async def unmerge(request: Request, chat: Identity, who: Writer, merge: Annotated[str, Form()]) -> Response:
    """Undo a merge."""
    said = N_("They are two contacts again.")
    return await act(request, chat, who, said, lambda a, tx: a.unmerge(tx, merge[:36]))


@routes.post("/chats/{chat}/draft", status_code=204)
async def keep_draft(
    request: Request, chat: Identity, who: Writer, text: Annotated[str, Form(max_length=60_000)] = ""
) -> Response:
    """Keep what is being written, as it is being written."""
    parts = parts_of(request)

    def work(tx: Connection) -> bool:
        one = queries.get_thread(tx, chat)
        if one is not None:
            notes.keep_draft(tx, parts.ambient, who.id, queries.chats_of(tx, one.id), text)
        return one is not None

    if not await parts.store.write(work):
        raise not_found("conversation")
    return Response(status_code=204)


async def act(
    request: Request,
    chat: str,
    who: Who,
    said: str,
    work: Callable[[Acts, Connection], Any],
    *,
    href: str = "",
) -> Response:
    """Do one act, and say on the page what was done, or why it was not possible."""
    parts, words = parts_of(request), Words(request)
    acts = acts_of(parts, who)
    back = href or f"/chats/{chat}"
    try:
        await parts.store.write(lambda tx: work(acts, tx))
    except NoSuchChat:
        raise not_found("conversation") from None
    except NotFitting as error:
        return refuse(request, back, str(error))
    if request.headers.get("hx-request") == "true":
        return Response(status_code=204)
    return done(request, back, words(said) if said else "")


def refuse(request: Request, back: str, said: str) -> Response:
    """Say why an act was not possible; to the page's script, which stays on the page, in plain words."""
    words = Words(request)(NOT_FITTING.get(said, said))
    if request.headers.get("hx-request") == "true":
        return PlainTextResponse(words, 422)
    return done(request, back, words, "bad")


# Sentences of the acts that people may see here; each is its own key, so that they are translated.
NOT_FITTING = {
    one: one
    for one in (
        N_("Write something."),
        N_("There is no such person, or the person may not sign in."),
        N_("A group is nobody's other identity."),
        N_("They are one contact already."),
        N_("It is undone already."),
        N_("It is the contact's only identity."),
        N_("This channel cannot send."),
        N_("By this channel one can only answer."),
        N_("Write a phone number, in digits."),
        N_("The area code is missing; write it before the number."),
        N_("Begin with + and the country's code."),
        N_("A Brazilian number is an area code and eight digits, or nine that begin with 9."),
        N_("That is no whole number; compare it with what you were given."),
        N_("This channel cannot fetch it."),
        N_("Attach a file."),
        N_("The file is empty."),
        N_("A voice message is OGG with Opus; send other sounds as a document."),
        N_("A picture is JPEG, PNG or WebP; send other files as a document."),
        N_("The file is larger than 16 MB, the most that can be sent so."),
        N_("The file is larger than 36 MB, the most that can be sent so."),
        N_("Give latitude and longitude."),
        N_("It is on its way, or is being looked up; it cannot be sent again now."),
        N_("It is not uncertain any more."),
        N_("It has left or ended already."),
        N_("The disk did not take the file. Nothing was sent."),
    )
}
