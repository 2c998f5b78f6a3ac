"""Conversations, messages and contacts for programs, below /api/hub: old clients have /api/messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Depends, Query, Request, Response
from pydantic import Field
from sqlalchemy import Connection

from atalaia.clock import to_ms
from atalaia.desk.chats import contacts, lookup, notes, queries
from atalaia.desk.chats.actions import Acts, Done, NoSuchChat, NotFitting
from atalaia.desk.chats.lookup import MessageFilter
from atalaia.desk.chats.queries import Message, ThreadFilter
from atalaia.web.access import Who, require, who_of
from atalaia.web.api.chats_out import (
    ContactLineOut,
    ContactOut,
    CountOut,
    DoneOut,
    DraftOut,
    LookupOut,
    MessageOut,
    NoteOut,
    ReplyOut,
    ThreadOut,
    ThreadWhole,
)
from atalaia.web.api.common import ONCE, Asked, router
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import Fault, Problem, invalid, not_found
from atalaia.web.wire import Cursor, From, Identity, Limit, Page, To, ms_of, page_of, read_cursor

routes = router("chats")
_READ = [Depends(require("chats:read"))]
Writer = Annotated[Who, Depends(require("chats:write"))]
Words = Annotated[str, Query(max_length=200)]
Channel = Annotated[str, Query(max_length=36, description="A connection's id.")]
Status = Literal["new", "open", "pending", "closed", "ignored"]
DAYS_MS = 86_400_000
COUNT_DAYS_MAX = 92


class StatusAsked(Asked):
    """What a conversation becomes."""

    status: Status


class AssignAsked(Asked):
    """person: an id; empty takes it back."""

    person: Annotated[str, Field(max_length=36)] = ""


class LabelsAsked(Asked):
    """Labels to add and to remove."""

    add: Annotated[tuple[str, ...], Field(max_length=20)] = ()
    remove: Annotated[tuple[str, ...], Field(max_length=20)] = ()


class TextAsked(Asked):
    """A text."""

    text: Annotated[str, Field(max_length=60_000)]


class LinkAsked(Asked):
    """Which company and person a contact is."""

    company: Annotated[str, Field(max_length=160)] = ""
    person: Annotated[str, Field(max_length=160)] = ""


class ReadAsked(Asked):
    """from_message: mark as unread from this message on; empty marks all as read."""

    from_message: Annotated[str, Field(max_length=36)] = ""


class TicketAsked(Asked):
    """title: of the ticket; empty is the message's own text."""

    title: Annotated[str, Field(max_length=200)] = ""


class MergeAsked(Asked):
    """The contact that is the same one."""

    contact: Identity


class PartAsked(Asked):
    """The identity to take out."""

    channel: Annotated[str, Field(min_length=1, max_length=36)]
    chat: Annotated[str, Field(min_length=1, max_length=120)]


class ReplyAsked(Asked):
    """A reply to keep at hand."""

    shortcut: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^/?[\w-]+$")]
    text: Annotated[str, Field(min_length=1, max_length=10_000)]


def wanted_messages(
    text: Annotated[str, Query(max_length=200, description="Beginnings of words, without accents.")] = "",
    phone: Annotated[str, Query(max_length=40, description="A number, or its last digits.")] = "",
    channel: Channel = "",
    conversation: Annotated[str, Query(max_length=36)] = "",
    from_me: Annotated[bool | None, Query(description="Sent by the channel, or received.")] = None,
    recovered: Annotated[bool | None, Query(description="Found by a catch-up, or heard live.")] = None,
    type: Annotated[str, Query(max_length=40, description="chat, image, ptt, document …")] = "",
    since: From = None,
    until: To = None,
) -> MessageFilter:
    """Read which messages are meant from the query."""
    return MessageFilter(
        text.strip(), channel, conversation, phone.strip(), from_me, recovered, type, ms_of(since),
        ms_of(until),
    )  # fmt: skip


Which = Annotated[MessageFilter, Depends(wanted_messages)]


# Reading.


@routes.get("/hub/chats", dependencies=_READ)
async def list_chats(
    request: Request,
    channel: Channel = "",
    status: Annotated[list[Status] | None, Query()] = None,
    assigned: Annotated[str, Query(max_length=36, description="A person's id, or `nobody`.")] = "",
    label: Annotated[str, Query(max_length=40)] = "",
    text: Annotated[str, Query(max_length=120, description="Part of a name, or digits of a number.")] = "",
    unread: Annotated[
        bool, Query(description="Only with messages that the one who asks has not read.")
    ] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ThreadOut]:
    """List conversations, the one with the latest message first."""
    which = ThreadFilter(channel, tuple(status or ()), assigned, label, text.strip(), unread_only=unread)
    reader, before = who_of(request).id, read_cursor(cursor, int, str)
    found = await parts_of(request).store.read(
        lambda tx: queries.list_threads(tx, which, reader, before=before, limit=limit + 1)
    )
    rows, following = page_of(found, limit, "last_ms", "id")
    return Page(items=[ThreadOut.model_validate(one) for one in rows], next=following)


@routes.get("/hub/chats/counts", dependencies=_READ)
async def count_chats(
    request: Request,
    channel: Channel = "",
    since: From = None,
    until: To = None,
    zone: Annotated[str, Query(max_length=60, description="Whose days; empty is the hub's.")] = "",
) -> list[CountOut]:
    """Count messages by channel, day and type; the last seven days if no time is given."""
    parts = parts_of(request)
    to = ms_of(until) or to_ms(parts.ambient.clock.now()) + 1
    start = ms_of(since) or to - 7 * DAYS_MS
    if to - start > COUNT_DAYS_MAX * DAYS_MS:
        raise invalid("query.from", "date", f"Ask for at most {COUNT_DAYS_MAX} days.")
    try:
        days = ZoneInfo(zone or parts.settings.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid("query.zone", "text", "Name a zone such as America/Sao_Paulo.") from None
    found = await parts.store.read(
        lambda tx: lookup.count_messages(tx, days, from_ms=start, to_ms=to, channel=channel)
    )
    return [CountOut.model_validate(one) for one in found]


@routes.get("/hub/chats/{chat}", dependencies=_READ)
async def get_chat(request: Request, chat: Identity) -> ThreadWhole:
    """Answer one conversation with its contact and notes; for a merged one, the one that it is in now."""
    reader = who_of(request).id

    def read(tx: Connection) -> ThreadWhole | None:
        one = queries.get_thread(tx, chat, reader)
        contact = contacts.get_contact(tx, one.contact) if one else None
        if one is None or contact is None:
            return None
        kept = notes.list_notes(tx, queries.chats_of(tx, one.id))
        return ThreadWhole(
            **dict(ThreadOut.model_validate(one)),
            identities=ContactOut.model_validate(contact),
            notes=[NoteOut.model_validate(note) for note in kept],
        )

    found = await parts_of(request).store.read(read)
    if found is None:
        raise not_found("conversation")
    return found


@routes.get("/hub/chats/{chat}/messages", dependencies=_READ)
async def list_chat_messages(
    request: Request, chat: Identity, cursor: Cursor = None, limit: Limit = 50
) -> Page[MessageOut]:
    """List the messages of a conversation, the latest first."""
    before = read_cursor(cursor, int, int)

    def read(tx: Connection) -> list[Message] | None:
        one = queries.get_thread(tx, chat)
        return queries.list_messages(tx, one.id, before=before, limit=limit + 1) if one else None

    found = await parts_of(request).store.read(read)
    if found is None:
        raise not_found("conversation")
    return _messages(found[::-1], limit)


@routes.get("/hub/messages", dependencies=_READ)
async def search(
    request: Request, which: Which, cursor: Cursor = None, limit: Limit = 50
) -> Page[MessageOut]:
    """Search messages by words, number, channel and time, the latest first; also what was deleted."""
    before = read_cursor(cursor, int, int)
    found = await parts_of(request).store.read(
        lambda tx: lookup.search_messages(tx, which, before=before, limit=limit + 1)
    )
    return _messages(found, limit)


@routes.get("/hub/messages/heard", dependencies=_READ)
async def was_it_heard(request: Request, which: Which) -> LookupOut:
    """Answer whether a message was heard, by words or number within a time, and how sure a "no" is."""
    if not which.words and not which.phone:
        raise invalid("query.text", "text", "Give words of the message, a number, or both.")
    found = await parts_of(request).store.read(lambda tx: lookup.look_up(tx, which))
    return LookupOut.model_validate(found)


@routes.get("/hub/messages/{message}", dependencies=_READ)
async def get_message(request: Request, message: Identity) -> MessageOut:
    """Answer one message, with what it said before."""
    found = await parts_of(request).store.read(lambda tx: queries.get_message(tx, message))
    if found is None:
        raise not_found("message")
    return MessageOut.model_validate(found)


@routes.get("/hub/contacts", dependencies=_READ)
async def list_contacts(
    request: Request, text: Words = "", cursor: Cursor = None, limit: Limit = 50
) -> Page[ContactLineOut]:
    """List contacts by name."""
    after = read_cursor(cursor, str, str)
    found = await parts_of(request).store.read(
        lambda tx: contacts.list_contacts(tx, text.strip(), after=after, limit=limit + 1)
    )
    rows, following = page_of(found, limit, "name", "id")
    return Page(items=[ContactLineOut.model_validate(one) for one in rows], next=following)


@routes.get("/hub/contacts/{contact}", dependencies=_READ)
async def get_contact(request: Request, contact: Identity) -> ContactOut:
    """Answer one contact with its identities and merges; for a merged one, the one that stands."""
    found = await parts_of(request).store.read(lambda tx: contacts.get_contact(tx, contact))
    if found is None:
        raise not_found("contact")
    return ContactOut.model_validate(found)


# Acting.


@routes.post("/hub/chats/{chat}/status", dependencies=ONCE)
async def set_status(request: Request, chat: Identity, who: Writer, asked: StatusAsked) -> DoneOut:
    """Open, park, close or ignore a conversation."""
    return await _act(request, who, lambda acts, tx: acts.status(tx, chat, asked.status))


@routes.post("/hub/chats/{chat}/assign", dependencies=ONCE)
async def assign(request: Request, chat: Identity, who: Writer, asked: AssignAsked) -> DoneOut:
    """Give a conversation to somebody, or take it back."""
    return await _act(request, who, lambda acts, tx: acts.assign(tx, chat, asked.person))


@routes.post("/hub/chats/{chat}/labels", dependencies=ONCE)
async def set_labels(request: Request, chat: Identity, who: Writer, asked: LabelsAsked) -> DoneOut:
    """Add and remove labels."""
    return await _act(request, who, lambda acts, tx: acts.label(tx, chat, add=asked.add, remove=asked.remove))


@routes.post("/hub/chats/{chat}/notes", status_code=201, dependencies=ONCE)
async def add_note(request: Request, chat: Identity, who: Writer, asked: TextAsked) -> DoneOut:
    """Leave a note that only the team sees; `id` is its own."""
    return await _act(request, who, lambda acts, tx: acts.note(tx, chat, asked.text))


@routes.delete("/hub/chats/{chat}/notes/{note}")
async def remove_note(request: Request, chat: Identity, note: Identity, who: Writer) -> DoneOut:
    """Take a note away; it stays in the log."""
    return await _act(request, who, lambda acts, tx: acts.remove_note(tx, chat, note))


@routes.post("/hub/chats/{chat}/link", dependencies=ONCE)
async def link(request: Request, chat: Identity, who: Writer, asked: LinkAsked) -> DoneOut:
    """Say which company and person the contact is, on every channel."""
    return await _act(
        request, who, lambda acts, tx: acts.link(tx, chat, company=asked.company, person=asked.person)
    )


@routes.post("/hub/chats/{chat}/read", dependencies=ONCE)
async def read_chat(request: Request, chat: Identity, who: Writer, asked: ReadAsked) -> DoneOut:
    """Mark a conversation as read by the one who asks, or as unread from a message on."""
    return await _act(
        request, who, lambda acts, tx: acts.read(tx, chat, who.id, before_message=asked.from_message)
    )


@routes.post("/hub/messages/{message}/ticket", dependencies=ONCE)
async def ask_ticket(request: Request, message: Identity, who: Writer, asked: TicketAsked) -> DoneOut:
    """Ask for a ticket about a message; the fact `ticket.stub_asked` is the link."""
    return await _act(request, who, lambda acts, tx: acts.ask_ticket(tx, message, asked.title))


@routes.post("/hub/contacts/{contact}/merge", dependencies=ONCE)
async def merge(request: Request, contact: Identity, who: Writer, asked: MergeAsked) -> DoneOut:
    """Say that another contact is this one; `id` is the merge, by which it can be undone."""
    return await _act(request, who, lambda acts, tx: acts.merge(tx, contact, asked.contact))


@routes.post("/hub/contacts/{contact}/part", dependencies=ONCE)
async def part(request: Request, contact: Identity, who: Writer, asked: PartAsked) -> DoneOut:
    """Make one identity a contact of its own; `id` is the new contact."""
    return await _act(request, who, lambda acts, tx: acts.part(tx, contact, asked.channel, asked.chat))


@routes.delete("/hub/merges/{merge}")
async def unmerge(request: Request, merge: Identity, who: Writer) -> DoneOut:
    """Undo a merge, whoever made it; evidence alone does not make it again."""
    return await _act(request, who, lambda acts, tx: acts.unmerge(tx, merge))


# Drafts and replies at hand.


@routes.get("/hub/chats/{chat}/draft", dependencies=_READ)
async def get_draft(request: Request, chat: Identity) -> DraftOut:
    """Answer what the one who asks was writing."""
    writer = who_of(request).id

    def read(tx: Connection) -> str | None:
        one = queries.get_thread(tx, chat)
        return notes.get_draft(tx, writer, queries.chats_of(tx, one.id)) if one else None

    found = await parts_of(request).store.read(read)
    if found is None:
        raise not_found("conversation")
    return DraftOut(text=found)


@routes.put("/hub/chats/{chat}/draft")
async def keep_draft(request: Request, chat: Identity, who: Writer, asked: TextAsked) -> DraftOut:
    """Keep what the one who asks is writing; nobody else sees it."""
    parts = parts_of(request)

    def work(tx: Connection) -> str | None:
        one = queries.get_thread(tx, chat)
        if one is None:
            return None
        chats = queries.chats_of(tx, one.id)
        notes.keep_draft(tx, parts.ambient, who.id, chats, asked.text)
        return notes.get_draft(tx, who.id, chats)

    found = await parts.store.write(work)
    if found is None:
        raise not_found("conversation")
    return DraftOut(text=found)


@routes.get("/hub/canned-replies", dependencies=_READ)
async def list_replies(
    request: Request, begins: Annotated[str, Query(max_length=40)] = ""
) -> list[ReplyOut]:  # fmt: skip
    """List the replies at hand by shortcut."""
    found = await parts_of(request).store.read(lambda tx: notes.list_replies(tx, begins))
    return [ReplyOut.model_validate(one) for one in found]


@routes.post("/hub/canned-replies", status_code=201, dependencies=ONCE)
async def add_reply(request: Request, who: Writer, asked: ReplyAsked) -> ReplyOut:
    """Write a reply to keep at hand."""
    return await _reply(request, who, asked, "")


@routes.put("/hub/canned-replies/{reply}")
async def change_reply(request: Request, reply: Identity, who: Writer, asked: ReplyAsked) -> ReplyOut:
    """Change a reply."""
    return await _reply(request, who, asked, reply)


@routes.delete("/hub/canned-replies/{reply}", status_code=204)
async def delete_reply(request: Request, reply: Identity, who: Writer) -> Response:
    """Take a reply away."""
    parts = parts_of(request)
    await _write(parts, lambda tx: notes.delete_reply(tx, parts.ambient, by_of(who), reply))
    return Response(status_code=204)


async def _reply(request: Request, who: Who, asked: ReplyAsked, identity: str) -> ReplyOut:
    parts = parts_of(request)
    reply = await _write(
        parts,
        lambda tx: notes.keep_reply(tx, parts.ambient, by_of(who), asked.shortcut, asked.text, identity),
    )
    return ReplyOut.model_validate(reply)


# What the routes share.


def by_of(who: Who) -> dict[str, str]:
    """Answer who did it, as the facts of conversations say it: consumers need no addresses."""
    return {"kind": who.kind, "id": who.id, "name": who.name}


def acts_of(parts: Parts, who: Who) -> Acts:
    """Answer the acts of the one who asks."""
    return Acts(parts.ambient, by_of(who), parts.settings.chats_reopen)


async def _act(request: Request, who: Who, work: Callable[[Acts, Connection], Done]) -> DoneOut:
    parts = parts_of(request)
    acts = acts_of(parts, who)
    return DoneOut.model_validate(await _write(parts, lambda tx: work(acts, tx)))


async def _write(parts: Parts, work: Callable[[Connection], Any]) -> Any:
    """Do one act. Errors: `Problem` 404, and 422 by field."""
    try:
        return await parts.store.write(work)
    except (NoSuchChat, NotFitting) as error:
        raise writing(error) from None


def writing(error: NoSuchChat | NotFitting) -> Problem:
    """Answer why an act was not possible, for programs."""
    if isinstance(error, NoSuchChat):
        return Problem(404, "not-found", "There is no such thing", str(error))
    faults = [Fault(f"body.{error.field}", "", str(error))]
    return Problem(422, "invalid-input", "The input does not fit", str(error), errors=faults)


def _messages(found: list[Message], limit: int) -> Page[MessageOut]:
    rows, following = page_of(found, limit, "sent_ms", "seq")
    return Page(items=[MessageOut.model_validate(one) for one in rows], next=following)
