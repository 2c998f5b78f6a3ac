"""What a channel said lately: its last message each way, and how many in each hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, case, func, select, union_all

from atalaia.desk.chats.reading import TO_READ
from atalaia.store.chat_tables import chat_messages
from atalaia.store.tables import connections

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class LastMessage:
    """The latest message one way. heard_ms: when it came into the log; recovered: not by itself."""

    sent_ms: int
    heard_ms: int
    recovered: bool


@dataclass(frozen=True, slots=True)
class HourCount:
    """Messages of one hour that had any. Beginnings of hours are those of UTC."""

    hour_ms: int
    received: int
    sent: int
    recovered: int


def last_messages(tx: Connection, channels: Sequence[str]) -> dict[tuple[str, bool], LastMessage]:
    """Answer by (channel, from us) the latest message each way, by its own time; no message, no entry."""
    m = chat_messages.c
    # By the index of a channel's times, one look for each way: no message is read that is not the last.
    latest = union_all(_latest(channels, from_me=False), _latest(channels, from_me=True))
    query = select(m.channel, m.from_me, m.sent_ms, m.heard_ms, m.recovered).where(m.id.in_(latest))
    return {
        (row.channel, bool(row.from_me)): LastMessage(row.sent_ms, row.heard_ms, bool(row.recovered))
        for row in tx.execute(query)
    }


def _latest(channels: Sequence[str], *, from_me: bool) -> Select[Any]:
    """Answer the query for the ids of the channels' latest messages one way."""
    one = chat_messages.alias()
    mine = (one.c.channel == connections.c.id, one.c.from_me.is_(from_me), one.c.kind.in_(TO_READ))
    last = select(one.c.id).where(*mine).order_by(one.c.sent_ms.desc()).limit(1)
    return select(last.scalar_subquery()).where(connections.c.id.in_(channels))


def hours_of(
    tx: Connection, channels: Sequence[str], *, from_ms: int, to_ms: int
) -> dict[str, list[HourCount]]:
    """Answer how many messages each channel had in the hours of a time, oldest first."""
    m = chat_messages.c
    hour = (m.sent_ms - m.sent_ms % HOUR_MS).label("hour")
    query = (
        select(
            m.channel, hour, func.sum(case((m.from_me, 0), else_=1)), func.sum(case((m.from_me, 1), else_=0)),
            func.sum(case((m.recovered, 1), else_=0)),
        )
        .where(m.channel.in_(channels), m.sent_ms >= from_ms, m.sent_ms < to_ms, m.kind.in_(TO_READ))
        .group_by(m.channel, "hour")
        .order_by("hour")
    )  # fmt: skip
    found: dict[str, list[HourCount]] = {}
    for channel, *numbers in tx.execute(query):
        found.setdefault(channel, []).append(HourCount(*(int(n) for n in numbers)))
    return found
