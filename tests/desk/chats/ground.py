"""An account whose webhooks are interpreted and folded, in memory."""

from __future__ import annotations

import re
from typing import Any

import orjson
from sqlalchemy import create_engine, event, select

from atalaia.desk.chats.fold import Chats
from atalaia.desk.chats.reading import message_id
from atalaia.events.model import Event, Fact
from atalaia.store import chat_tables
from atalaia.store.tables import metadata
from tests.connectors.wppconnect.ground import NOON_S, Account

CHANNEL = "alpha"
NOON_MS = NOON_S * 1000
ANA = {"kind": "person", "id": "ana", "name": "Ana"}
TABLES = (
    chat_tables.chat_aliases, chat_tables.chat_contacts, chat_tables.chat_merges, chat_tables.chat_threads,
    chat_tables.chat_messages, chat_tables.chat_reactions, chat_tables.chat_reads, chat_tables.chat_notes,
)  # fmt: skip


class Inbox:
    """One account's webhooks on their way to the tables; `events` is all that was folded."""

    def __init__(self, url: str = "sqlite://") -> None:
        self._engine = create_engine(url)
        if url.startswith("postgresql"):
            event.listen(self._engine, "before_cursor_execute", _for_psycopg, retval=True)
        self.tx = self._engine.connect()
        metadata.create_all(self.tx)
        self.account = Account()
        self.events: list[Event] = []

    def hear(self, *bodies: dict[str, Any], late: bool = False) -> None:
        for fact in self.account.hear(*bodies, late=late):
            self.tell(fact)

    def act(self, kind: str, key: str, at_ms: int = NOON_MS, **data: Any) -> None:
        """Tell a fact that a person made."""
        self.tell(Fact(kind, key, at_ms, {"channel": CHANNEL, "by": ANA, **data}))

    def tell(self, fact: Fact) -> None:
        n = len(self.events) + 1
        body = orjson.dumps(dict(fact.data)).decode()
        told = Event(
            n, f"id{n}", "fact", fact.type, fact.key, CHANNEL, fact.occurred_ms, NOON_MS + n, None, fact.late,
            body,
        )  # fmt: skip
        self.events.append(told)
        self.fold([told])

    def fold(self, events: list[Event]) -> None:
        fold = Chats()
        wanted = [event for event in events if event.type in fold.types]
        if wanted:
            fold.apply(self.tx, wanted)

    def close(self) -> None:
        self.tx.close()
        self._engine.dispose()

    def again(self) -> None:
        """Forget all and fold the log from its start, in one go."""
        Chats().reset(self.tx)
        self.fold(self.events)

    def rows(self, table: Any) -> list[dict[str, Any]]:
        found = self.tx.execute(select(table).order_by(*table.primary_key.columns)).mappings()
        return [dict(row) for row in found]

    def all(self) -> list[Any]:
        return [self.rows(table) for table in TABLES]

    @property
    def threads(self) -> list[dict[str, Any]]:
        """The conversations that are shown, the latest first."""
        shown = [row for row in self.rows(chat_tables.chat_threads) if row["last_ms"] is not None]
        return sorted(shown, key=lambda row: -row["last_ms"])

    def message(self, identity: str) -> dict[str, Any]:
        ours = message_id(CHANNEL, identity)
        return next(row for row in self.rows(chat_tables.chat_messages) if row["id"] == ours)


def _for_psycopg(_: Any, __: Any, sql: str, values: Any, *___: Any) -> tuple[str, Any]:
    """Write the marks of raw statements, which are asyncpg's, as this driver wants them."""
    return re.sub(r"\$\d+", "%s", sql), values
