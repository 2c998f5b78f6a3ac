"""Whether a notice that a session of our own sent has arrived: its message's receipts say so."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, cast

import orjson
from sqlalchemy import Connection, and_, or_, select

from atalaia.desk.alerts.queries import Notice
from atalaia.desk.words import N_
from atalaia.store.chat_tables import chat_messages
from atalaia.store.job_tables import jobs

_DEVICE, _READ = 2, 3
NOT_DELIVERED = N_("WhatsApp reported that the message could not be delivered.")


def with_receipts(tx: Connection, notices: Sequence[Notice]) -> list[Notice]:
    """Answer the same notices, each that a session sent with its receipt: "", arrived, read, failed."""
    sent = {one.job: one for one in notices if one.job and one.state == "sent"}
    if not sent:
        return list(notices)
    acks = _acks_of(tx, sent)
    return [replace(one, receipt=word_of(acks.get(one.job))) if one.job in sent else one for one in notices]


def failed(tx: Connection, sent: Collection[str]) -> frozenset[str]:
    """Answer those of these jobs whose message WhatsApp reports as failed, and no other way as arrived."""
    return frozenset(job for job, ack in _acks_of(tx, sent).items() if word_of(ack) == "failed")


def word_of(ack: int | None) -> str:
    """Answer in a word what WhatsApp's level of a receipt says. Source: contract WhatsApp, section 3.3."""
    if ack is None:
        return ""
    return "failed" if ack < 0 else "read" if ack >= _READ else "arrived" if ack >= _DEVICE else ""


def _acks_of(tx: Connection, sent: Collection[str]) -> dict[str, int | None]:
    """Answer by job how far its message came."""
    query = select(jobs.c.id, jobs.c.connection, jobs.c.result).where(jobs.c.id.in_(sent))
    keys = {row.id: (row.connection, _key_of(row.result)) for row in tx.execute(query)}
    acks = _acks(tx, {pair for pair in keys.values() if pair[1]})
    return {job: acks.get(pair) for job, pair in keys.items()}


def _acks(tx: Connection, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], int | None]:
    if not wanted:
        return {}
    m = chat_messages.c
    keys: dict[str, list[str]] = {}
    for channel, key in sorted(wanted):
        keys.setdefault(channel, []).append(key)
    ours = or_(*(and_(m.channel == channel, m.key.in_(of)) for channel, of in keys.items()))
    query = select(m.channel, m.key, m.ack).where(ours, m.from_me)
    return {(row.channel, row.key): row.ack for row in tx.execute(query)}


def _key_of(result: str) -> str:
    told: Any = orjson.loads(result) if result else None
    return str(cast("dict[str, Any]", told).get("key") or "") if isinstance(told, dict) else ""
