"""Contacts with all their identities, and the merges that can be undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from atalaia.desk.chats.links import Link, links_of
from atalaia.desk.chats.phones import phones_like
from atalaia.desk.chats.queries import named, root_of
from atalaia.desk.chats.reading import loaded
from atalaia.store.chat_tables import chat_aliases, chat_contacts, chat_merges

MERGES_MAX = 50


@dataclass(frozen=True, slots=True)
class Alias:
    """One identity on one channel. contact: whose it is, before merges. pinned: a person said so.

    evidence: what ties it to the number, "" when it is one. last_ms: None when it has no chat of its own.
    """

    channel: str
    chat: str
    contact: str
    pinned: bool
    is_group: bool
    phone: str
    evidence: str
    evidence_ms: int | None
    thread: str
    last_ms: int | None


@dataclass(frozen=True, slots=True)
class Merge:
    """Two contacts that became one. by: who said so, "" = the evidence alone. aliases: what moved with it."""

    id: str
    gone: str
    target: str
    evidence: str
    by: str
    aliases: tuple[tuple[str, str], ...]
    at_ms: int
    undone_ms: int | None
    undone_by: str


@dataclass(frozen=True, slots=True)
class ContactLine:
    """One contact in a list."""

    id: str
    name: str
    company: str
    person: str
    phone: str
    is_group: bool


@dataclass(frozen=True, slots=True)
class Contact(ContactLine):
    """One contact as it stands. aliases: of all that were merged into it. links: what ties them together."""

    aliases: tuple[Alias, ...]
    merges: tuple[Merge, ...]
    links: tuple[Link, ...] = ()


def get_contact(tx: Connection, identity: str) -> Contact | None:
    """Answer a contact; for one that was merged into another, the one that stands."""
    root = root_of(tx, identity)
    ids = below(tx, root)
    a, g = chat_aliases.c, chat_merges.c
    rows = tx.execute(select(chat_aliases).where(a.contact.in_(ids)).order_by(a.channel, a.chat))
    aliases = tuple(_read(Alias, row) for row in rows)
    row = tx.execute(select(chat_contacts).where(chat_contacts.c.id == root)).first()
    if row is None and not aliases:
        return None
    moved = select(chat_merges).where(or_(g.target.in_(ids), g.gone.in_(ids)))
    merges = tuple(_merge(one) for one in tx.execute(moved.order_by(g.at_ms.desc()).limit(MERGES_MAX)))
    return Contact(
        id=root,
        name=row.name if row else "",
        company=row.company if row else "",
        person=row.person if row else "",
        phone=max((one.phone for one in aliases), default=""),
        is_group=any(one.is_group for one in aliases),
        aliases=aliases,
        merges=merges,
        links=links_of(tx, ids, aliases),
    )


def list_contacts(
    tx: Connection, words: str = "", *, after: tuple[str, str] | None = None, limit: int = 50
) -> list[ContactLine]:
    """Answer contacts by name. words: of name, company or person, or digits. after: (name, id)."""
    c, a = chat_contacts.c, chat_aliases.c
    own = a.contact == c.id
    phone = func.coalesce(select(func.max(a.phone)).where(own).scalar_subquery(), "")
    group = select(a.chat).where(own, a.is_group).exists()
    query = select(c.id, c.name, c.company, c.person, phone.label("phone"), group.label("is_group"))
    query = query.where(c.merged_into == "", select(a.chat).where(own).exists())
    if words.strip():
        fits = [named(words)]
        if (phones := phones_like(words)) is not None:
            fits.append(select(a.chat).where(own, phones(a.phone)).exists())
        query = query.where(or_(*fits))
    if after is not None:
        name, identity = after
        query = query.where(or_(c.name > name, and_(c.name == name, c.id > identity)))
    rows = tx.execute(query.order_by(c.name, c.id).limit(limit))
    return [
        ContactLine(row.id, row.name, row.company, row.person, row.phone, bool(row.is_group)) for row in rows
    ]


def get_merge(tx: Connection, identity: str) -> Merge | None:
    """Answer one merge."""
    row = tx.execute(select(chat_merges).where(chat_merges.c.id == identity)).first()
    return _merge(row) if row else None


def below(tx: Connection, root: str) -> list[str]:
    """Answer a contact and all that were merged into it."""
    c = chat_contacts.c
    ids, wave = [root], [root]
    while wave:
        found = tx.scalars(select(c.id).where(c.merged_into.in_(wave)).order_by(c.id))
        wave = [one for one in found if one not in ids]
        ids += wave
    return ids


def _merge(row: Any) -> Merge:
    pairs: list[list[str]] = loaded(row.aliases, list)
    aliases = tuple((channel, chat) for channel, chat in pairs)
    return Merge(
        row.id, row.gone, row.target, row.evidence, row.by, aliases, row.at_ms, row.undone_ms, row.undone_by
    )  # fmt: skip


def _read(kind: type[Any], row: Any) -> Any:
    return kind(**{name: row._mapping[name] for name in kind.__dataclass_fields__})  # pyright: ignore[reportPrivateUsage]
