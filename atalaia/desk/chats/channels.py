"""What a channel said lately: its last message each way, and how many in each hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from atalaia.desk.chats.reading import TO_READ
from atalaia.store.chat_tables import chat_messages

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


def last_message(tx: Connection, channel: str, *, from_me: bool) -> LastMessage | None:
    """Answer the latest message that was received, or sent, by its own time."""
    m = chat_messages.c
    query = select(m.sent_ms, m.heard_ms, m.recovered).where(
        m.channel == channel, m.from_me.is_(from_me), m.kind.in_(TO_READ)
    )
    row = tx.execute(query.order_by(m.sent_ms.desc()).limit(1)).first()
    return None if row is None else LastMessage(row.sent_ms, row.heard_ms, bool(row.recovered))


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
