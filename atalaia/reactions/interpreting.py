"""Runs one interpretation: heard events in, facts out, memory and cursor in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.events.log import append_facts
from atalaia.events.model import Event, Fact
from atalaia.reactions.cursor import Page, asked_again, park, read_cursor, read_page, save_cursor, settle
from atalaia.reactions.interpreter import Interpretation, Interpreter, Memory
from atalaia.reactions.projection import Matcher
from atalaia.store.leases import Lease
from atalaia.store.store import Store
from atalaia.store.tables import HEARD, cursors, memories, parked
from atalaia.store.upsert import upsert


@dataclass
class _Mind:
    """One connection's interpreter with its memory and where each key stands in it."""

    interpreter: Interpreter
    memory: Memory
    positions: dict[str, int]
    next_position: int


@dataclass
class _Outcome:
    """What one page gave."""

    facts: dict[str, list[Fact]] = field(default_factory=dict[str, list[Fact]])
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
        self._lease: Lease | None = None
        self._cursor: int | None = None
        self._minds: dict[str, _Mind] = {}

    def begin(self, lease: Lease | None) -> None:
        """Start over from what is committed, under this lease (None: nobody else can be running)."""
        self._lease = lease
        self._cursor = None
        self._minds = {}

    async def turn(self) -> bool:
        """Interpret one page. Errors: `Fenced`, `StoreUnavailable`; call `begin` after either."""
        page, again, saved = await self._store.read(self._read)
        if page.upto == self._cursor and not again:
            return False
        for connection, rows in saved.items():
            self._minds[connection] = self._wake(connection, rows)
        outcome = _Outcome()
        for identity, event in again:
            outcome.settled.append((identity, self._take(event, outcome)))
        for event in page.events:
            error = self._take(event, outcome)
            if error is not None:
                outcome.bad.append((event, error))
        changes = {name: mind.memory.take_changes() for name, mind in self._minds.items()}
        await self._store.write(lambda tx: self._commit(tx, page, outcome, changes))
        self._cursor = page.upto
        return page.more

    def _read(self, tx: Connection) -> tuple[Page, list[tuple[int, Event]], dict[str, list[Any]]]:
        if self._cursor is None:
            self._cursor = read_cursor(tx, self.name)
        page = read_page(tx, self._cursor, family=HEARD, wants=self._wants)
        again = asked_again(tx, self.name)
        needed = {event.connection for event in page.events} | {event.connection for _, event in again}
        saved: dict[str, list[Any]] = {}
        for connection in needed - self._minds.keys():
            mine = (memories.c.reaction == self.name, memories.c.connection == connection)
            saved[connection] = list(tx.execute(select(memories).where(*mine).order_by(memories.c.position)))
        return page, again, saved

    def _wake(self, connection: str, rows: Iterable[Any]) -> _Mind:
        values: dict[str, Any] = {}
        positions: dict[str, int] = {}
        for row in rows:
            values[row.key] = orjson.loads(row.value)
            positions[row.key] = row.position
        memory = Memory(values)
        following = max(positions.values(), default=0) + 1
        return _Mind(self._interpretation.make(connection, memory), memory, positions, following)

    def _take(self, event: Event, outcome: _Outcome) -> Exception | None:
        mind = self._minds[event.connection]
        mind.memory.mark()
        try:
            facts = list(mind.interpreter.take(event))
        except Exception as error:  # noqa: BLE001  # any defect parks the event, none stops the log
            mind.memory.revert()
            return error
        if facts:
            outcome.facts.setdefault(event.connection, []).extend(facts)
        return None

    def _commit(
        self, tx: Connection, page: Page, outcome: _Outcome, changes: Mapping[str, Mapping[str, Any]]
    ) -> None:
        now = to_ms(self._ambient.clock.now())
        save_cursor(tx, self.name, page.upto, self._lease, now)
        epoch = self._lease.epoch if self._lease else 0
        for connection, facts in outcome.facts.items():
            append_facts(tx, self._ambient, self.name, facts, connection=connection, epoch=epoch)
        for event, error in outcome.bad:
            park(tx, self.name, event, error, now)
        for identity, error in outcome.settled:
            settle(tx, identity, now, error)
        for connection, changed in changes.items():
            self._save(tx, connection, changed)

    def _save(self, tx: Connection, connection: str, changed: Mapping[str, Any]) -> None:
        mind = self._minds[connection]
        gone = [key for key, value in changed.items() if value is None]
        if gone:
            mine = (memories.c.reaction == self.name, memories.c.connection == connection)
            tx.execute(delete(memories).where(*mine, memories.c.key.in_(gone)))
        for key in gone:
            mind.positions.pop(key, None)
        for key, value in changed.items():
            if value is None:
                continue
            if key not in mind.positions:
                mind.positions[key] = mind.next_position
                mind.next_position += 1
            row = {
                "reaction": self.name, "connection": connection, "key": key,
                "value": orjson.dumps(value).decode(), "position": mind.positions[key],
            }  # fmt: skip
            upsert(tx, memories, row, ("reaction", "connection", "key"))


def forget(tx: Connection, name: str) -> None:
    """Forget memory and cursor; facts carry dedupe keys, so folding the log again adds none twice."""
    for table in (cursors, parked, memories):
        tx.execute(delete(table).where(table.c.reaction == name))
