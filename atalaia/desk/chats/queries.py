"""Conversations and their messages for inbox and API; what is unread is derived, never counted up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from atalaia.desk.chats.phones import phones_like
from atalaia.desk.chats.reading import SHOWN, TO_READ, dumped, loaded, thread_id, versions
from atalaia.store.chat_tables import (
    chat_aliases,
    chat_contacts,
    chat_messages,
    chat_reactions,
    chat_reads,
    chat_threads,
)
from atalaia.store.search import TERMS_MAX, words_of

UNREAD_MAX = 100  # more is not counted: "99+"
PREVIEW_CHARS = 200
NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Thread:
    """One conversation. status: new, open, pending, closed, ignored. last_*: its latest message.

    name: what the contact calls himself. unread: of the person who asks, at most `UNREAD_MAX`.
    reopens: a new message opens it when it is closed or ignored.
    """

    id: str
    channel: str
    contact: str
    is_group: bool
    name: str
    phone: str
    chat: str
    company: str
    person: str
    status: str
    status_ms: int
    status_by: str
    reopens: bool
    assigned: str
    assigned_name: str
    labels: tuple[str, ...]
    last_ms: int
    last_message: str
    last_from_me: bool
    last_kind: str
    last_type: str
    last_text: str
    last_ack: int | None
    last_revoked: bool
    unread: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message. kind: ciphertext (not readable yet), content, notice, revoked (its text was never heard).

    text stays when it was revoked; versions: what it said before, as (since_ms, text), oldest first.
    ack: −7…−1 kinds of failure, 0 waits, 1 server, 2 device, 3 read, 4 played. heard_ms: when it came into
    the log, which is later than sent_ms by what it took, or by a gap when it was recovered.
    reactions: (by, text). quoted_*: the message that it answers, as far as it is known.
    """

    id: str
    channel: str
    chat: str
    thread: str
    key: str
    serialized: str
    from_me: bool
    kind: str
    type: str
    author: str
    author_name: str
    text: str
    media: dict[str, Any] | None
    more: dict[str, Any]
    quoted: str
    sent_ms: int
    heard_ms: int
    edited_ms: int | None
    revoked_ms: int | None
    ack: int | None
    recovered: bool
    seq: int
    news_seq: int
    versions: tuple[tuple[int, str], ...] = ()
    reactions: tuple[tuple[str, str], ...] = ()
    quoted_id: str = ""
    quoted_text: str = ""


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    """Which conversations. Empty fields do not restrict. assigned: a person's id, or `NOBODY`.

    words: beginnings of words of name, company or person, or digits of a number.
    """

    channel: str = ""
    statuses: tuple[str, ...] = ()
    assigned: str = ""
    label: str = ""
    words: str = ""
    contact: str = ""
    unread_only: bool = False
    groups: bool | None = None


def list_threads(
    tx: Connection,
    wanted: ThreadFilter,
    reader: str,
    *,
    before: tuple[int, str] | None = None,
    limit: int = 50,
) -> list[Thread]:
    """Answer conversations, the one with the latest message first.

    before: (last_ms, id) of the last one already known. reader: whose unread messages are counted.
    """
    t = chat_threads.c
    query = _threads(reader).where(t.last_ms.is_not(None), *_conditions(wanted, reader))
    if before is not None:
        moment, identity = before
        same = and_(t.last_ms == moment, t.id < identity)
        query = query.where(t.last_ms <= moment, or_(t.last_ms < moment, same))
    rows = tx.execute(query.order_by(t.last_ms.desc(), t.id.desc()).limit(limit))
    return [_thread(row) for row in rows.mappings()]


def get_thread(tx: Connection, identity: str, reader: str = "") -> Thread | None:
    """Answer a conversation; for one that was merged into another, the one in which it is shown now."""
    shown = chat_threads.c.last_ms.is_not(None)
    row = tx.execute(_threads(reader).where(chat_threads.c.id == identity, shown)).mappings().first()
    if row is not None:
        return _thread(row)
    known = tx.execute(select(chat_threads).where(chat_threads.c.id == identity)).first()
    if known is None:
        return None
    now = thread_id(known.channel, root_of(tx, known.contact))
    return get_thread(tx, now, reader) if now != identity else None


def unread_of(tx: Connection, thread: str, reader: str) -> int:
    """Answer how many messages somebody has not read in a conversation, at most `UNREAD_MAX`."""
    query = select(_unread(reader)).select_from(chat_threads).where(chat_threads.c.id == thread)
    return int(tx.scalar(query) or 0)


def root_of(tx: Connection, contact: str) -> str:
    """Answer the contact that stands for this one after all merges."""
    seen = {contact}
    while True:
        query = select(chat_contacts.c.merged_into).where(chat_contacts.c.id == contact)
        into = tx.scalar(query)
        if not into or into in seen:
            return contact
        contact = into
        seen.add(into)


def chats_of(tx: Connection, thread: str) -> list[tuple[str, str]]:
    """Answer the (channel, chat) pairs that are shown in a conversation, the latest used first."""
    c = chat_aliases.c
    query = select(c.channel, c.chat).where(c.thread == thread, c.last_ms.is_not(None))
    return [(row.channel, row.chat) for row in tx.execute(query.order_by(c.last_ms.desc(), c.chat))]


def count_by_status(tx: Connection, channel: str = "") -> dict[str, int]:
    """Answer how many conversations stand in each status."""
    t = chat_threads.c
    query = select(t.status, func.count()).where(t.last_ms.is_not(None)).group_by(t.status)
    if channel:
        query = query.where(t.channel == channel)
    return {status: int(n) for status, n in tx.execute(query)}


def labels_in_use(tx: Connection) -> list[str]:
    """Answer the labels that any conversation has."""
    query = select(chat_threads.c.labels).where(chat_threads.c.labels != "").distinct().limit(2_000)
    return sorted({one for row in tx.execute(query) for one in loaded(row.labels, list)})


# Messages.


def list_messages(
    tx: Connection,
    thread: str,
    *,
    before: tuple[int, int] | None = None,
    after: tuple[int, int] | None = None,
    limit: int = 50,
) -> list[Message]:
    """Answer the messages of a conversation, oldest first: its last ones, or those next to a place in it.

    before, after: (sent_ms, seq) of a message that is not among them.
    """
    m = chat_messages.c
    query = messages().where(chat_aliases.c.thread == thread, m.kind.in_(SHOWN))
    place = tuple_(m.sent_ms, m.first_seq)
    if after is not None:
        query = query.where(place > after).order_by(m.sent_ms, m.first_seq)
    else:
        query = query.order_by(m.sent_ms.desc(), m.first_seq.desc())
        if before is not None:
            query = query.where(place < before)
    found = [_message(row) for row in tx.execute(query.limit(limit)).mappings()]
    return _complete(tx, found if after is not None else found[::-1])


def get_message(tx: Connection, identity: str) -> Message | None:
    """Answer one message, also one of which only a receipt is known."""
    row = tx.execute(messages().where(chat_messages.c.id == identity)).mappings().first()
    return _complete(tx, [_message(row)])[0] if row else None


def last_seq(tx: Connection, thread: str) -> int:
    """Answer the sequence of the newest thing to read in a conversation: where reading it ends."""
    query = select(func.max(chat_messages.c.news_seq)).select_from(_in_chats()).where(
        chat_aliases.c.thread == thread
    )  # fmt: skip
    return int(tx.scalar(query) or 0)


def messages() -> Select[Any]:
    """Answer the select of messages, each with the conversation it is shown in."""
    thread = func.coalesce(chat_aliases.c.thread, "").label("thread")
    return select(*chat_messages.c, thread).select_from(_in_chats(outer=True))


def read_messages(tx: Connection, query: Select[Any]) -> list[Message]:
    """Answer what a select of `messages()` finds, with reactions and what they answer."""
    return _complete(tx, [_message(row) for row in tx.execute(query).mappings()])


# What the queries share.


def _in_chats(*, outer: bool = False) -> Any:
    m, a = chat_messages.c, chat_aliases.c
    same = and_(a.channel == m.channel, a.chat == m.chat)
    return chat_messages.join(chat_aliases, same, isouter=outer)


def _threads(reader: str) -> Any:
    t, c, m, a = chat_threads.c, chat_contacts.c, chat_messages.c, chat_aliases.c
    own = and_(a.thread == t.id, a.last_ms.is_not(None))
    phone = select(func.max(a.phone)).where(a.thread == t.id).correlate(chat_threads).scalar_subquery()
    chat = (
        select(a.chat).where(own).order_by(a.last_ms.desc(), a.chat).limit(1).correlate(chat_threads)
    ).scalar_subquery()  # fmt: skip
    whole = chat_threads.outerjoin(chat_contacts, c.id == t.contact)
    whole = whole.outerjoin(chat_messages, m.id == t.last_message)
    return select(
        *chat_threads.c, c.name, c.company, c.person, phone.label("phone"), chat.label("chat"),
        m.kind.label("last_kind"), m.type.label("last_type"), m.ack.label("last_ack"),
        func.substr(m.text, 1, PREVIEW_CHARS).label("last_text"), m.revoked_ms.label("last_revoked"),
        _unread(reader).label("unread"),
    ).select_from(whole)  # fmt: skip


def _unread(reader: str) -> Any:
    """Answer how many messages came into a conversation since the reader was there.

    Who was never there counts from our last answer on.
    """
    m, a, r = chat_messages.alias("news").c, chat_aliases.alias("mine").c, chat_reads.c
    ours = chat_messages.alias("ours").c
    answered = (
        select(func.max(ours.first_seq))
        .where(ours.channel == a.channel, ours.chat == a.chat, ours.from_me, ours.kind == "content")
        .correlate(a.thread.table)
        .scalar_subquery()
    )
    read = (
        select(r.upto_seq)
        .where(r.reader == reader, r.channel == a.channel, r.chat == a.chat)
        .correlate(a.thread.table)
        .scalar_subquery()
    )
    some = (
        select(literal(1).label("one"))
        .select_from(
            a.thread.table.join(m.id.table, and_(m.channel == a.channel, m.chat == a.chat))
        )
        .where(
            a.thread == chat_threads.c.id, ~m.from_me, m.kind.in_(TO_READ),
            m.news_seq > func.coalesce(read, answered, 0),
        )
        .correlate(chat_threads)
        .limit(UNREAD_MAX)
        .subquery("unread_ones")
    )  # fmt: skip
    return select(func.count()).select_from(some).scalar_subquery()


def _conditions(wanted: ThreadFilter, reader: str) -> Iterator[ColumnElement[bool]]:
    t = chat_threads.c
    if wanted.channel:
        yield t.channel == wanted.channel
    if wanted.statuses:
        yield t.status.in_(wanted.statuses)
    if wanted.assigned:
        yield t.assigned == ("" if wanted.assigned == NOBODY else wanted.assigned)
    if wanted.contact:
        yield t.contact == wanted.contact
    if wanted.label:
        yield t.labels.contains(dumped(wanted.label), autoescape=True)
    if wanted.groups is not None:
        yield t.is_group.is_(wanted.groups)
    if wanted.unread_only:
        yield _unread(reader) > 0
    if wanted.words.strip():
        yield _named(wanted.words.strip())


def _named(words: str) -> ColumnElement[bool]:
    t, a = chat_threads.c, chat_aliases.c
    fits = [named(words)]
    if (phones := phones_like(words)) is not None:
        numbers = select(a.thread).where(a.thread == t.id, phones(a.phone)).correlate(chat_threads)
        fits.append(numbers.exists())
    return or_(*fits)


def named(words: str) -> ColumnElement[bool]:
    """Answer the condition that a contact's names have words that begin so, all of them."""
    place = literal(" ").concat(chat_contacts.c.words)
    terms = words_of(words).split()[:TERMS_MAX]
    return and_(
        false() if not terms else true(), *(place.contains(f" {one}", autoescape=True) for one in terms)
    )


def _thread(row: Any) -> Thread:
    values: dict[str, Any] = {name: row[name] for name in Thread.__dataclass_fields__}
    for name in ("name", "company", "person", "phone", "chat", "last_kind", "last_type", "last_text"):
        values[name] = values[name] or ""
    values["labels"] = tuple(loaded(row["labels"], list))
    values["last_revoked"] = row["last_revoked"] is not None
    return Thread(**values)


_PLAIN = (
    "id", "channel", "chat", "thread", "key", "serialized", "from_me", "kind", "type", "author",
    "author_name", "text", "quoted", "sent_ms", "heard_ms", "edited_ms", "revoked_ms", "ack", "recovered",
    "news_seq",
)  # fmt: skip


def _message(row: Any) -> Message:
    return Message(
        **{name: row[name] for name in _PLAIN},
        media=loaded(row["media"], dict) or None,
        more=loaded(row["more"], dict),
        seq=row["first_seq"],
        versions=tuple(versions(row)),
    )


def _known_first(reactions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out those of whom nobody says who they are, when one of ours is the same: it is its echo."""
    ours = {text for by, text in reactions if by == "me"}
    return [(by, text) for by, text in reactions if by or text not in ours]


def _complete(tx: Connection, found: Sequence[Message]) -> list[Message]:
    """Add reactions and the messages that are answered, in two trips."""
    r, m = chat_reactions.c, chat_messages.c
    reactions: dict[str, list[tuple[str, str]]] = {}
    query = select(r.message, r.by, r.text).where(r.message.in_([one.id for one in found]), r.text != "")
    for row in tx.execute(query.order_by(r.message, r.at_ms, r.by)):
        reactions.setdefault(row.message, []).append((row.by, row.text))
    keys = [(one.channel, one.quoted) for one in found if one.quoted]
    quoted: dict[tuple[str, str], tuple[str, str]] = {}
    if keys:
        told = select(m.channel, m.key, m.id, m.text).where(tuple_(m.channel, m.key).in_(keys))
        quoted = {(row.channel, row.key): (row.id, row.text[:PREVIEW_CHARS]) for row in tx.execute(told)}
    return [
        _with(one, _known_first(reactions.get(one.id, [])), quoted.get((one.channel, one.quoted), ("", "")))
        for one in found
    ]


def _with(one: Message, reactions: list[tuple[str, str]], quoted: tuple[str, str]) -> Message:
    return replace(one, reactions=tuple(reactions), quoted_id=quoted[0], quoted_text=quoted[1])
