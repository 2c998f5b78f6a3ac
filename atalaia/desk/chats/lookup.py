"""Was this message heard? Search over what was said, the operator's lookup, counts per channel and day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, case, func, or_, select, tuple_

from atalaia.desk.chats.phones import phones_like
from atalaia.desk.chats.queries import Message, messages, read_messages
from atalaia.desk.chats.reading import SHOWN, TO_READ
from atalaia.store.chat_tables import chat_aliases, chat_messages
from atalaia.store.search import holds_words, words_of
from atalaia.store.tables import gaps

HOUR_MS = 3_600_000
GAPS_MAX = 20


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages. Empty fields do not restrict. words: beginnings of words, all of them."""

    words: str = ""
    channel: str = ""
    thread: str = ""
    phone: str = ""
    from_me: bool | None = None
    recovered: bool | None = None
    type: str = ""
    from_ms: int | None = None
    to_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GapSeen:
    """An interval in which something may have been missed. lost: no, yes, unknown."""

    id: str
    channel: str
    from_ms: int
    to_ms: int | None
    cause: str
    lost: str
    closed: bool


@dataclass(frozen=True, slots=True)
class ChannelHeard:
    """What a channel heard around the time that is asked about: the nearest messages to each side."""

    channel: str
    before_ms: int | None
    after_ms: int | None


@dataclass(frozen=True, slots=True)
class Lookup:
    """The answer to "was this message heard?".

    heard: the messages that fit, the latest first. unreadable: those of the same number, channel and time
    that came and cannot be read yet. receipts: of which only a receipt or a deletion is known.
    channels, gaps: what says how far a "no" can be believed.
    """

    heard: tuple[Message, ...]
    unreadable: tuple[Message, ...]
    receipts: tuple[Message, ...]
    channels: tuple[ChannelHeard, ...]
    gaps: tuple[GapSeen, ...]

    @property
    def verdict(self) -> str:
        """`heard`, `unreadable`, `maybe_missed` (something may be missing from that time) or `not_heard`."""
        if self.heard:
            return "heard"
        if self.unreadable:
            return "unreadable"
        return "maybe_missed" if any(one.lost != "no" for one in self.gaps) else "not_heard"


@dataclass(frozen=True, slots=True)
class Count:
    """How many messages of a type a channel had on a day. day: YYYY-MM-DD in the zone that was asked for."""

    channel: str
    day: str
    type: str
    received: int
    sent: int
    recovered: int
    unreadable: int


def search_messages(
    tx: Connection, wanted: MessageFilter, *, before: tuple[int, int] | None = None, limit: int = 50
) -> list[Message]:
    """Answer messages, the latest first. before: (sent_ms, seq) of the last one already known.

    Words are looked for in texts, captions, file names and in what was edited or deleted.
    """
    m = chat_messages.c
    query = messages().where(m.kind.in_(SHOWN), *_conditions(tx, wanted))
    if before is not None:
        query = query.where(tuple_(m.sent_ms, m.first_seq) < before)
    return read_messages(tx, query.order_by(m.sent_ms.desc(), m.first_seq.desc()).limit(limit))


def look_up(tx: Connection, wanted: MessageFilter, limit: int = 20) -> Lookup:
    """Answer whether a message was heard, by words or number within a time, and how sure a "no" is."""
    bounded = wanted.from_ms is not None or wanted.to_ms is not None
    m = chat_messages.c
    unreadable = replace(wanted, words="", type="")  # nobody knows its words
    nameless = replace(unreadable, phone="", thread="")  # and a receipt does not even name a number

    def of_kind(kind: str, which: MessageFilter) -> tuple[Message, ...]:
        query = messages().where(m.kind == kind, *_conditions(tx, which)).order_by(m.sent_ms.desc())
        return tuple(read_messages(tx, query.limit(limit)))

    return Lookup(
        heard=tuple(search_messages(tx, wanted, limit=limit)),
        unreadable=of_kind("ciphertext", unreadable) if wanted.words else (),
        receipts=of_kind("unknown", nameless) if bounded else (),
        channels=tuple(_channels(tx, wanted)),
        gaps=tuple(_gaps(tx, wanted)),
    )


def count_messages(
    tx: Connection, zone: ZoneInfo, *, from_ms: int, to_ms: int, channel: str = ""
) -> list[Count]:
    """Answer how many messages were sent and received by channel, day and type, the latest day first.

    Days are those of `zone`, by the messages' own time. Days without messages are missing.
    """
    m = chat_messages.c
    hour = (m.sent_ms - m.sent_ms % HOUR_MS).label("hour")
    query = (
        select(
            m.channel, hour, m.type,
            func.sum(case((m.from_me, 0), else_=1)), func.sum(case((m.from_me, 1), else_=0)),
            func.sum(case((m.recovered, 1), else_=0)),
            func.sum(case((m.kind == "ciphertext", 1), else_=0)),
        )
        .where(m.sent_ms >= from_ms, m.sent_ms < to_ms, m.kind.in_(TO_READ))
        .group_by(m.channel, "hour", m.type)
    )  # fmt: skip
    if channel:
        query = query.where(m.channel == channel)
    found: dict[tuple[str, str, str], list[int]] = {}
    for one, at_ms, kind, *numbers in tx.execute(query):
        day = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).date().isoformat()
        sums = found.setdefault((one, day, kind), [0, 0, 0, 0])
        for place, n in enumerate(numbers):
            sums[place] += int(n)
    ordered = sorted(found.items(), key=lambda item: (item[0][0], item[0][2]))
    ordered.sort(key=lambda item: item[0][1], reverse=True)
    return [Count(*place, *numbers) for place, numbers in ordered]


def _conditions(tx: Connection, wanted: MessageFilter) -> Iterator[ColumnElement[bool]]:
    m, a = chat_messages.c, chat_aliases.c
    if words_of(wanted.words) and (words := holds_words(tx, wanted.words)) is not None:
        yield words
    if wanted.channel:
        yield m.channel == wanted.channel
    if wanted.thread:
        yield a.thread == wanted.thread
    if wanted.phone and (phones := phones_like(wanted.phone)) is not None:
        # Of the chat, or of who wrote it in a group, under whatever identity.
        same = chat_aliases.alias("same")
        contacts = select(chat_aliases.c.contact).where(phones(chat_aliases.c.phone))
        wrote = or_(same.c.chat == m.chat, same.c.chat == m.author)
        known = select(same.c.chat).where(same.c.channel == m.channel, wrote, same.c.contact.in_(contacts))
        yield known.correlate(chat_messages).exists()
    elif wanted.phone:
        yield m.chat == ""  # what is no number fits nobody
    if wanted.from_me is not None:
        yield m.from_me.is_(wanted.from_me)
    if wanted.recovered is not None:
        yield m.recovered.is_(wanted.recovered)
    if wanted.type:
        yield m.type == wanted.type
    if wanted.from_ms is not None:
        yield m.sent_ms >= wanted.from_ms
    if wanted.to_ms is not None:
        yield m.sent_ms < wanted.to_ms


def _channels(tx: Connection, wanted: MessageFilter) -> Iterator[ChannelHeard]:
    """Answer, per channel, the nearest messages before and after the time in question."""
    m = chat_messages.c
    known = select(chat_aliases.c.channel).where(chat_aliases.c.last_ms.is_not(None)).distinct()
    channels = [wanted.channel] if wanted.channel else sorted(tx.scalars(known))
    for channel in channels:
        # One step in the index each: a maximum over what fits would read all of it.
        own = select(m.sent_ms).where(m.channel == channel, m.kind.in_(TO_READ)).limit(1)
        before, after = own.order_by(m.sent_ms.desc()), None
        if wanted.from_ms is not None:
            before = before.where(m.sent_ms < wanted.from_ms)
        if wanted.to_ms is not None:
            after = tx.scalar(own.order_by(m.sent_ms).where(m.sent_ms >= wanted.to_ms))
        yield ChannelHeard(channel, tx.scalar(before), after)


def _gaps(tx: Connection, wanted: MessageFilter) -> Iterator[GapSeen]:
    g = gaps.c
    query = select(gaps).order_by(g.from_ms.desc()).limit(GAPS_MAX)
    if wanted.channel:
        query = query.where(g.connection == wanted.channel)
    else:
        query = query.where(g.connection.in_(select(chat_aliases.c.channel).distinct()))
    if wanted.from_ms is not None:
        query = query.where(or_(g.to_ms.is_(None), g.to_ms >= wanted.from_ms))
    if wanted.to_ms is not None:
        query = query.where(g.from_ms < wanted.to_ms)
    if wanted.from_ms is None and wanted.to_ms is None:
        query = query.where(g.closed_ms.is_(None))  # without a time only what is open tells anything
    for row in tx.execute(query):
        yield GapSeen(
            row.id, row.connection, row.from_ms, row.to_ms, row.cause, row.lost, row.closed_ms is not None
        )  # fmt: skip
