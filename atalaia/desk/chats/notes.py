"""What people keep beside conversations: notes of the team, their own drafts, replies at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, and_, delete, or_, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.desk.chats.actions import PRODUCER, NoSuchChat, NotFitting
from atalaia.desk.chats.reading import mapping
from atalaia.desk.chats.reading import text as text_of
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.store.chat_tables import chat_drafts, chat_notes, chat_replies
from atalaia.store.tables import events
from atalaia.store.upsert import upsert

NOTES_MAX = 200
REPLIES_MAX = 500
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Note:
    """A note that only the team sees."""

    id: str
    text: str
    by: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to keep at hand; `/shortcut` finds it."""

    id: str
    shortcut: str
    text: str
    by: str
    changed_ms: int


def list_notes(tx: Connection, chats: Sequence[Pair]) -> list[Note]:
    """Answer the notes of these chats that stand, oldest first."""
    n = chat_notes.c
    if not chats:
        return []
    of_chat = or_(*(and_(n.channel == channel, n.chat == chat) for channel, chat in chats))
    query = select(chat_notes).where(of_chat, n.removed_ms.is_(None)).order_by(n.at_ms, n.id)
    return [Note(row.id, row.text, row.by, row.at_ms) for row in tx.execute(query.limit(NOTES_MAX))]


def get_draft(tx: Connection, writer: str, chats: Sequence[Pair]) -> str:
    """Answer what somebody was writing in a conversation; "" for nothing."""
    d = chat_drafts.c
    if not chats:
        return ""
    of_chat = or_(*(and_(d.channel == channel, d.chat == chat) for channel, chat in chats))
    query = select(d.text).where(d.writer == writer, of_chat).order_by(d.changed_ms.desc()).limit(1)
    return tx.scalar(query) or ""


def keep_draft(tx: Connection, ambient: Ambient, writer: str, chats: Sequence[Pair], text: str) -> None:
    """Keep what somebody is writing; nothing is kept of an empty one. It is nobody else's, and no fact."""
    d = chat_drafts.c
    for channel, chat in chats:
        tx.execute(delete(chat_drafts).where(d.writer == writer, d.channel == channel, d.chat == chat))
    if text.strip() and chats:
        channel, chat = chats[0]
        row = {
            "writer": writer, "channel": channel, "chat": chat, "text": text,
            "changed_ms": to_ms(ambient.clock.now()),
        }  # fmt: skip
        upsert(tx, chat_drafts, row, ("writer", "channel", "chat"))


def list_replies(tx: Connection, begins: str = "") -> list[Reply]:
    """Answer replies by shortcut; begins: only those whose shortcut begins so."""
    r = chat_replies.c
    query = select(chat_replies).order_by(r.shortcut).limit(REPLIES_MAX)
    if begins:
        query = query.where(r.shortcut.startswith(begins, autoescape=True))
    return [Reply(row.id, row.shortcut, row.text, row.by, row.changed_ms) for row in tx.execute(query)]


def keep_reply(
    tx: Connection, ambient: Ambient, by: Mapping[str, str], shortcut: str, text: str, identity: str = ""
) -> Reply:
    """Write a new reply, or change one. Errors: `NoSuchChat`, `NotFitting` when the shortcut is taken."""
    r = chat_replies.c
    shortcut, text = shortcut.strip().lstrip("/").casefold(), text.strip()
    if not shortcut or not text:
        raise NotFitting("text" if shortcut else "shortcut", "Write something.")
    if identity and tx.scalar(select(r.id).where(r.id == identity)) is None:
        raise NoSuchChat("There is no such reply.")
    taken = tx.scalar(select(r.id).where(r.shortcut == shortcut, r.id != identity))
    if taken is not None:
        raise NotFitting("shortcut", "Another reply has this shortcut.")
    now = to_ms(ambient.clock.now())
    reply = Reply(identity or ambient.ids.new(), shortcut, text, by.get("name", "")[:120], now)
    row = {name: getattr(reply, name) for name in Reply.__dataclass_fields__}
    tx.execute(delete(chat_replies).where(r.id == reply.id))
    tx.execute(chat_replies.insert().values(row))
    told = {"shortcut": shortcut, "by": dict(by)}
    append_facts(tx, ambient, PRODUCER, [Fact("canned_reply.changed", reply.id, now, told)])
    return reply


def delete_reply(tx: Connection, ambient: Ambient, by: Mapping[str, str], identity: str) -> None:
    """Take a reply away. Errors: `NoSuchChat`."""
    r = chat_replies.c
    shortcut = tx.scalar(select(r.shortcut).where(r.id == identity))
    if shortcut is None:
        raise NoSuchChat("There is no such reply.")
    tx.execute(delete(chat_replies).where(r.id == identity))
    told = {"shortcut": shortcut, "by": dict(by)}
    fact = Fact("canned_reply.deleted", identity, to_ms(ambient.clock.now()), told)
    append_facts(tx, ambient, PRODUCER, [fact])


def tickets_asked(tx: Connection, messages: Sequence[str]) -> dict[str, str]:
    """Answer by message who asked for a ticket about it last; the fact is the link, as long as it is kept."""
    e = events.c
    query = select(e.key, e.body).where(e.key.in_(list(messages)), e.type == "ticket.stub_asked")
    told = tx.execute(query.order_by(e.seq)).all()
    return {row.key: text_of(mapping(mapping(orjson.loads(row.body)).get("by")).get("name")) for row in told}
