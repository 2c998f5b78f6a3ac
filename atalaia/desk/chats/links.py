"""What says that a hidden identity is a number: when it was told, by which account, and how strong it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, select

from atalaia.desk.chats.evidence import strength_of
from atalaia.desk.chats.reading import mapping, text
from atalaia.store.tables import events

LEARNED, DISPUTED = "contact.alias_learned", "contact.alias_disputed"
LINKS_MAX = 50


@dataclass(frozen=True, slots=True)
class Link:
    """One piece of evidence. channel: the account that told it. strength: see `evidence.strength_of`.

    stands: the number that is believed instead, "" when this one is. seq: of its fact, 0 when the log holds
    it no more.
    """

    alias: str
    phone: str
    channel: str
    evidence: str
    strength: int
    stands: str
    at_ms: int
    seq: int


def links_of(tx: Connection, contacts: Sequence[str], aliases: Iterable[Any]) -> tuple[Link, ...]:
    """Answer the evidence about identities, the latest first.

    contacts: the one that stands and all merged into it. aliases: `contacts.Alias`es; what the log has
    forgotten is told from them, without its fact.
    """
    known = list(aliases)
    told = _told(tx, contacts, {one.chat for one in known})
    seen = {(one.alias, one.channel, one.evidence) for one in told if not one.stands}
    rest = [
        _kept(one)
        for one in known
        if one.evidence and one.evidence_ms and (one.chat, one.channel, one.evidence) not in seen
    ]
    return tuple(sorted([*told, *rest], key=lambda one: (one.at_ms, one.seq), reverse=True))


def _told(tx: Connection, contacts: Sequence[str], chats: set[str]) -> list[Link]:
    e = events.c
    query = select(e.seq, e.connection, e.occurred_ms, e.body).where(
        e.key.in_(list(contacts)), e.type.in_((LEARNED, DISPUTED))
    )
    rows = tx.execute(query.order_by(e.seq.desc()).limit(LINKS_MAX)).all()
    links = [_link(row, mapping(orjson.loads(row.body))) for row in rows]
    return [one for one in links if one.alias in chats]


def _kept(one: Any) -> Link:
    strength = strength_of(one.evidence)
    return Link(one.chat, one.phone, one.channel, one.evidence, strength, "", one.evidence_ms, 0)


def _link(row: Any, data: dict[str, Any]) -> Link:
    alias, phone, evidence = (text(data.get(name)) for name in ("alias", "phone", "evidence"))
    channel = text(data.get("channel")) or row.connection
    strength = strength_of(evidence)
    return Link(alias, phone, channel, evidence, strength, text(data.get("stands")), row.occurred_ms, row.seq)
