"""Runs one interpretation: heard events in, facts out, memory and cursor in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.events.fit import dump_json, fit, load_json
from atalaia.events.log import EncodedFact, append_facts_of, encode
from atalaia.events.model import Event
from atalaia.reactions.cursor import (
    Again,
    Page,
    asked_again,
    park,
    read_cursor,
    read_page,
    save_cursor,
    settle,
)
from atalaia.reactions.interpreter import Interpretation, Interpreter, Memory
from atalaia.reactions.projection import Matcher
from atalaia.store.bell import LOG, heard_of
from atalaia.store.leases import Lease
from atalaia.store.store import Store
from atalaia.store.tables import HEARD, cursors, memories, parked
from atalaia.store.upsert import upsert_many

KEY_CHARS_MAX = 200

# What is saved of a key: its JSON text and its place in the order of first puts; None = deleted.
_Saved = tuple[str, int] | None


@dataclass
class _Mind:
    """One connection's interpreter with its memory."""

    interpreter: Interpreter
    memory: Memory


@dataclass
class _Outcome:
    """What one page gave; everything in it is encoded, so that writing it cannot meet bad values."""

    facts: list[tuple[str, EncodedFact]] = field(default_factory=list[tuple[str, EncodedFact]])
    memory: dict[tuple[str, str], _Saved] = field(default_factory=dict[tuple[str, str], _Saved])
    bad: list[tuple[Event, Exception]] = field(default_factory=list[tuple[Event, Exception]])
    settled: list[tuple[int, Exception | None]] = field(default_factory=list[tuple[int, Exception | None]])


class Interpreting:
    """An interpretation with its cursor; order is the log's, memories are one per connection."""

    def __init__(self, interpretation: Interpretation, store: Store, ambient: Ambient) -> None:
        self.name = interpretation.name
        self._interpretation = interpretation
        self._store = store
        self._ambient = ambient
        self._wants = Matcher(interpretation.types)
        self.topic = _topic(interpretation.types)
        self._prefix = _prefix(interpretation.types)
        self._lease: Lease | None = None
        self._cursor: int | None = None
        self._minds: dict[str, _Mind] = {}

    def begin(self, lease: Lease | None) -> None:
        """Start over from what is committed, under this lease (None: nobody else can be running)."""
        self._lease = lease
        self._cursor = None
        self._minds = {}

    async def turn(self) -> bool:
        """Interpret one page; whatever it raises, the next turn starts over from what is committed.

        Errors: `Fenced`, `StoreUnavailable`.
        """
        try:
            return await self._turn()
        except BaseException:
            # The memories may be ahead of what was committed.
            self.begin(self._lease)
            raise

    async def _turn(self) -> bool:
        if self._cursor is None:
            self._minds = {}
        cursor, page, again, saved = await self._store.read(self._read)
        if cursor != self._cursor and self._cursor is not None:
            # Somebody moved the cursor, e.g. to fold the log again; the memories went with it.
            self._cursor = None
            return True
        self._cursor = cursor
        if page.upto == cursor and not again:
            return False
        for connection, rows in saved.items():
            self._minds[connection] = self._wake(connection, rows)
        outcome = _Outcome()
        for one in again:
            outcome.settled.append((one.parked, self._take(one.event, outcome) if one.event else one.gone))
        for event in page.events:
            error = self._take(event, outcome)
            if error is not None:
                outcome.bad.append((event, error))
        await self._store.write(lambda tx: self._commit(tx, cursor, page, outcome))
        self._cursor = page.upto
        return page.more

    async def idle(self) -> bool:
        """Answer whether a turn would find nothing to do."""
        cursor, page, again, _ = await self._store.read(self._read)
        return page.upto == cursor and not again

    def _read(self, tx: Connection) -> tuple[int, Page, list[Again], dict[str, list[Any]]]:
        cursor = read_cursor(tx, self.name)
        page = read_page(tx, cursor, family=HEARD, wants=self._wants, prefix=self._prefix)
        again = asked_again(tx, self.name)
        needed = {event.connection for event in page.events}
        needed |= {one.event.connection for one in again if one.event}
        saved: dict[str, list[Any]] = {}
        for connection in needed - self._minds.keys():
            mine = (memories.c.reaction == self.name, memories.c.connection == connection)
            saved[connection] = list(tx.execute(select(memories).where(*mine).order_by(memories.c.position)))
        return cursor, page, again, saved

    def _wake(self, connection: str, rows: Iterable[Any]) -> _Mind:
        memory = Memory.load((row.key, load_json(row.value), row.position) for row in rows)
        return _Mind(self._interpretation.make(connection, memory), memory)

    def _take(self, event: Event, outcome: _Outcome) -> Exception | None:
        mind = self._minds[event.connection]
        mind.memory.mark()
        try:
            facts = [encode(fact) for fact in mind.interpreter.take(event)]
            saved = {key: _encode(key, change) for key, change in mind.memory.changed().items()}
        except Exception as error:  # noqa: BLE001  # any defect parks the event, none stops the log
            mind.memory.revert()
            return error
        outcome.memory.update({(event.connection, key): change for key, change in saved.items()})
        outcome.facts.extend((event.connection, fact) for fact in facts)
        return None

    def _commit(self, tx: Connection, cursor: int, page: Page, outcome: _Outcome) -> None:
        now = to_ms(self._ambient.clock.now())
        save_cursor(tx, self.name, page.upto, self._lease, now, before=cursor)
        epoch = self._lease.epoch if self._lease else 0
        append_facts_of(tx, self._ambient, self.name, outcome.facts, epoch=epoch)
        for event, error in outcome.bad:
            park(tx, self.name, event, error, now)
        for identity, error in outcome.settled:
            settle(tx, identity, now, error)
        self._save(tx, outcome.memory)

    def _save(self, tx: Connection, changes: Mapping[tuple[str, str], _Saved]) -> None:
        gone = [{"c": connection, "k": key} for (connection, key), saved in changes.items() if saved is None]
        if gone:
            mine = (
                memories.c.reaction == self.name,
                memories.c.connection == bindparam("c"),
                memories.c.key == bindparam("k"),
            )
            tx.execute(delete(memories).where(*mine), gone)
        rows = [
            {
                "reaction": self.name,
                "connection": connection,
                "key": key,
                "value": saved[0],
                "position": saved[1],
            }
            for (connection, key), saved in changes.items()
            if saved is not None
        ]
        upsert_many(tx, memories, rows, ("reaction", "connection", "key"))


def _encode(key: str, change: tuple[Any, int] | None) -> _Saved:
    if fit(key, KEY_CHARS_MAX) != key:
        raise ValueError(f"A memory's key has at most {KEY_CHARS_MAX} plain characters.")
    return None if change is None else (dump_json(change[0]), change[1])


def forget(tx: Connection, name: str) -> None:
    """Forget memory and cursor; facts carry dedupe keys, so folding the log again adds none twice."""
    for table in (cursors, parked, memories):
        tx.execute(delete(table).where(table.c.reaction == name))


def _topic(types: Sequence[str]) -> str:
    """Answer the bell that rings for all of these types and for as little else as possible."""
    prefix = _prefix(types)
    return heard_of(prefix[:-1]) if prefix else LOG


def _prefix(types: Sequence[str]) -> str:
    """Answer with what all of these types begin: the connector's name and a point, or nothing."""
    connectors = {one.partition(".")[0] for one in types}
    only = connectors.pop() if len(connectors) == 1 else "*"
    return "" if "*" in only else f"{only}."
