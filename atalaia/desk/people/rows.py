"""Reads people, sessions, links and tokens."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select

from atalaia.desk.people.model import Person, Session, Token
from atalaia.store.tables import login_links, people, sessions, tokens


def to_person(row: Row[Any]) -> Person:
    """Read a row of `people`."""
    return Person(
        row.id, row.email, row.name, row.role, row.password_hash is not None, row.language, row.zone,
        row.theme, row.density, row.created_ms, row.disabled_ms, row.seen_ms,
    )  # fmt: skip


def to_token(row: Row[Any]) -> Token:
    """Read a row of `tokens`."""
    return Token(
        row.id, row.name, tuple(row.scopes.split()), row.hint, row.person, row.created_ms, row.expires_ms,
        row.used_ms, row.revoked_ms,
    )  # fmt: skip


def list_people(tx: Connection) -> list[Person]:
    """Answer everybody, those who may sign in first, then by name."""
    query = select(people).order_by(people.c.disabled_ms.is_not(None), func.lower(people.c.name), people.c.id)
    return [to_person(row) for row in tx.execute(query)]


def get_person(tx: Connection, identity: str) -> Person | None:
    """Answer one person."""
    row = tx.execute(select(people).where(people.c.id == identity)).first()
    return to_person(row) if row else None


def find_person(tx: Connection, email: str) -> tuple[Person, str | None] | None:
    """Answer who signs in with this address, and the password's hash."""
    row = tx.execute(select(people).where(people.c.email == email.strip().lower())).first()
    return (to_person(row), row.password_hash) if row else None


def password_hash(tx: Connection, person: str) -> str | None:
    """Answer the hash of a person's password."""
    return tx.scalar(select(people.c.password_hash).where(people.c.id == person))


def nobody_yet(tx: Connection) -> bool:
    """Answer whether the hub is new: there is no administrator who can sign in."""
    query = select(func.count()).select_from(people)
    query = query.where(
        people.c.role == "admin", people.c.disabled_ms.is_(None), people.c.password_hash.is_not(None)
    )
    return not tx.scalar(query)


def find_session(tx: Connection, digest: str, now_ms: int) -> Session | None:
    """Answer the living session of this cookie; none when its person is disabled."""
    query = (
        select(people, sessions.c.csrf, sessions.c.agent, sessions.c.created_ms.label("began_ms"))
        .add_columns(sessions.c.seen_ms.label("used_ms"), sessions.c.expires_ms)
        .join(people, people.c.id == sessions.c.person)
        .where(sessions.c.hash == digest, sessions.c.expires_ms > now_ms, people.c.disabled_ms.is_(None))
    )
    row = tx.execute(query).first()
    if row is None:
        return None
    return Session(digest, to_person(row), row.csrf, row.agent, row.began_ms, row.used_ms, row.expires_ms)


def sessions_of(tx: Connection, person: str, now_ms: int) -> list[dict[str, Any]]:
    """Answer where a person is signed in, latest first: hash, agent and times."""
    query = select(sessions).where(sessions.c.person == person, sessions.c.expires_ms > now_ms)
    rows = tx.execute(query.order_by(sessions.c.seen_ms.desc()))
    return [
        {"hash": r.hash, "agent": r.agent, "created_ms": r.created_ms, "seen_ms": r.seen_ms} for r in rows
    ]


def find_link(tx: Connection, digest: str, now_ms: int) -> Row[Any] | None:
    """Answer an unused one-time link that is not too old."""
    query = select(login_links).where(login_links.c.hash == digest, login_links.c.used_ms.is_(None))
    return tx.execute(query.where(login_links.c.expires_ms > now_ms)).first()


def list_tokens(tx: Connection) -> list[Token]:
    """Answer every token, the usable first, then the newest."""
    query = select(tokens).order_by(tokens.c.revoked_ms.is_not(None), tokens.c.created_ms.desc(), tokens.c.id)
    return [to_token(row) for row in tx.execute(query)]


def get_token(tx: Connection, identity: str) -> Token | None:
    """Answer one token."""
    row = tx.execute(select(tokens).where(tokens.c.id == identity)).first()
    return to_token(row) if row else None


def find_token(tx: Connection, digest: str, now_ms: int) -> Token | None:
    """Answer the token with this secret while it is good: neither revoked nor expired nor its maker gone."""
    row = tx.execute(_good_token(now_ms).where(tokens.c.hash == digest)).first()
    return to_token(row) if row else None


def _good_token(now_ms: int) -> Select[Any]:
    gone = select(people.c.id).where(people.c.disabled_ms.is_not(None))
    return (
        select(tokens)
        .where(tokens.c.revoked_ms.is_(None))
        .where(or_(tokens.c.expires_ms.is_(None), tokens.c.expires_ms > now_ms))
        .where(or_(tokens.c.person.is_(None), tokens.c.person.not_in(gone)))
    )
