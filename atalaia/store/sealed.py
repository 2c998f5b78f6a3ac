"""Single values that must not lie open in the database: what old clients hand in, sessions of upstreams."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection, select

from atalaia.store.old_client_tables import old_values
from atalaia.store.upsert import upsert

BY_CHARS = 120


class Sealer(Protocol):
    """Encrypts what must not lie open in the database."""

    def seal(self, text: str) -> str: ...

    def open(self, text: str) -> str: ...


def set_value(tx: Connection, box: Sealer, name: str, value: str, *, by: str, now_ms: int) -> None:
    """Keep a value, encrypted. name: at most 40 characters."""
    row = {"name": name, "sealed": box.seal(value), "by": by[:BY_CHARS], "changed_ms": now_ms}
    upsert(tx, old_values, row, ("name",))


def get_value(tx: Connection, box: Sealer, name: str) -> str:
    """Answer a value, "" when there is none. Errors: as the box when no key fits."""
    sealed = tx.scalar(select(old_values.c.sealed).where(old_values.c.name == name))
    return box.open(sealed) if sealed else ""
