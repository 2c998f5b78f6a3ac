"""The first message to a number: whom it reaches, and what was asked before there is a conversation.

A conversation is there once the channel has told of a message in it. Until then what was asked stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, or_, select

from atalaia.desk.chats import queries
from atalaia.desk.chats.actions import NotFitting
from atalaia.desk.chats.outbox import (
    FAILED,
    QUEUED,
    UNCERTAIN,
    Outbox,
    Request,
    read_requests,
    requests,
    thread_of,
)
from atalaia.desk.chats.phones import read_number, same_number
from atalaia.desk.chats.queries import Thread
from atalaia.desk.chats.reading import thread_id
from atalaia.store.chat_tables import chat_aliases, chat_messages, chat_outbox, chat_threads


@dataclass(frozen=True, slots=True)
class Reached:
    """Whom a number reaches by a channel. thread: the conversation with its contact, None when there is none.

    chat: of that very number, as the channel writes it or will: a contact may have several.
    """

    channel: str
    number: str
    chat: str
    thread: Thread | None


def reach(tx: Connection, box: Outbox, channel: str, words: str) -> Reached:
    """Answer whom a number, as somebody typed it, reaches by a channel.

    Errors: `NotFitting` with the field `channel` or `phone`.
    """
    if not box.can_send(tx, channel):
        raise NotFitting("channel", "This channel cannot send.")
    try:
        number = read_number(words)
    except ValueError as error:
        raise NotFitting("phone", str(error)) from None
    chat = _known_chat(tx, channel, number) or box.chat_of(tx, channel, number)
    if not chat:
        raise NotFitting("channel", "By this channel one can only answer.")
    return Reached(channel, number, chat, find_thread(tx, channel, number))


def write(tx: Connection, box: Outbox, to: Reached, text: str, *, by: str, identity: str = "") -> Request:
    """Ask for a text to be sent to whom a number reaches; in the conversation where there is one.

    identity: as `Outbox.ask`. Errors: `NotFitting`.
    """
    body = {"text": text} if to.thread is not None else {"text": text, "first": True}
    return box.put(tx, to.channel, to.chat, "text", body, by=by, identity=identity)


def find_thread(tx: Connection, channel: str, number: str) -> Thread | None:
    """Answer the conversation of a channel with the contact that has this number, under whatever identity."""
    a = chat_aliases.c
    contacts = tx.scalars(select(a.contact).where(a.phone.in_(same_number(number))).distinct())
    roots = sorted({queries.root_of(tx, one) for one in contacts.all()})
    found = [queries.get_thread(tx, thread_id(channel, root)) for root in roots]
    return max((one for one in found if one is not None), key=lambda one: one.last_ms, default=None)


def thread_of_request(tx: Connection, one: Request) -> str:
    """Answer the conversation in which a request is shown, "" while there is none.

    The message may have come under another identity of the same contact than it was sent to.
    """
    m, t = chat_messages.c, chat_threads.c
    of_key = select(m.chat).where(m.channel == one.channel, m.key == one.key, m.from_me, m.chat != "")
    chat = (tx.scalar(of_key.limit(1)) if one.key else None) or one.chat
    thread = thread_of(tx, one.channel, chat)
    shown = select(t.id).where(t.id == thread, t.last_ms.is_not(None))
    return tx.scalar(shown) or ""


def without_thread(tx: Connection, channel: str = "", *, limit: int = 10) -> list[Request]:
    """Answer what waits, failed or is uncertain and is shown in no conversation, the latest first."""
    o, a, t = chat_outbox.c, chat_aliases.c, chat_threads.c
    shown = (
        select(t.id)
        .select_from(chat_aliases.join(chat_threads, and_(t.id == a.thread, t.last_ms.is_not(None))))
        .where(a.channel == o.channel, a.chat == o.chat)
        .correlate(chat_outbox)
    )
    query = requests().where(o.state.in_((QUEUED, FAILED, UNCERTAIN)), ~shown.exists())
    if channel:
        query = query.where(o.channel == channel)
    told = or_(chat_messages.c.id.is_(None), chat_messages.c.kind == "unknown")
    return read_requests(tx, query.where(told).order_by(o.asked_ms.desc(), o.id.desc()).limit(limit))


def _known_chat(tx: Connection, channel: str, number: str) -> str:
    """Answer how the channel writes a number that it has seen: the chat used last, or a group's author."""
    a = chat_aliases.c
    own = select(a.chat).where(a.channel == channel, a.phone.in_(same_number(number)), ~a.is_group)
    return tx.scalar(own.order_by(a.last_ms.is_(None), a.last_ms.desc(), a.evidence, a.chat).limit(1)) or ""
