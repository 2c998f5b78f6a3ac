"""A small world to fold: counters that open, grow and close, and everything that goes wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select

from atalaia.errors import StoreUnavailable
from atalaia.events.model import Event, Fact, Heard
from atalaia.reactions.interpreter import Interpretation, Memory
from atalaia.store.store import Store
from atalaia.store.tables import events, hub_settings, memories, parked
from atalaia.store.upsert import upsert


class Counters:
    """Heard `x.Open`, `x.Add`, `x.Close` become `NAME.opened`, `.grown`, `.closed`; `x.Bad` is a defect."""

    def __init__(self, name: str, memory: Memory) -> None:
        self._name = name
        self._memory = memory

    def take(self, event: Event) -> Iterable[Fact]:
        op = event.type.partition(".")[2]
        now = self._memory.get(event.key)
        if op == "Open" and now is None:
            self._memory.put(event.key, {"n": 0})
            yield self._fact("opened", event, open=list(self._memory.keys()))
        elif op == "Add" and now is not None:
            self._memory.put(event.key, {"n": now["n"] + 1})
            yield self._fact("grown", event, n=now["n"] + 1)
        elif op == "Close" and now is not None:
            self._memory.delete(event.key)
            yield self._fact("closed", event, n=now["n"], open=list(self._memory.keys()))
        elif op == "Reopen" and now is not None:  # goes to the end of the order
            self._memory.delete(event.key)
            self._memory.put(event.key, now)
        elif op == "Bad":
            for key in list(self._memory.keys()):
                self._memory.delete(key)
            self._memory.put("new", 1)
            yield self._fact("never", event)
            raise ValueError("a defect in the middle")
        elif op == "Strange":
            yield self._fact("strange", event, what=object())

    def _fact(self, kind: str, event: Event, **data: Any) -> Fact:
        dedupe = f"{event.seq}:{kind}"
        return Fact(f"{self._name}.{kind}", event.key, event.occurred_ms, data, dedupe, cause_seq=event.seq)


def counting(name: str = "counters") -> Interpretation:
    return Interpretation(name, ("x.*",), lambda _, memory: Counters(name, memory))


class Tally:
    """Adds up the facts per key in a table; a fact of type `a.bad` is a defect."""

    name = "tally"
    types: tuple[str, ...] = ("a.*",)

    def __init__(self) -> None:
        self.applied: list[int] = []
        self.forgives = False

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        for event in events:
            mine = hub_settings.c.name == event.key
            before = tx.scalar(select(hub_settings.c.value).where(mine)) or ""
            row = {"name": event.key, "value": f"{before}{event.seq} ", "changed_ms": event.seq}
            if event.seq > int((before.split() or ["0"])[-1]):
                upsert(tx, hub_settings, row, ("name",))
            if event.type == "a.bad" and not self.forgives:
                raise ValueError("a defect")
            self.applied.append(event.seq)

    def reset(self, tx: Connection) -> None:
        tx.execute(delete(hub_settings))


def heard(op: str, key: str = "k") -> Heard:
    return Heard(f"x.{op}", key, 1, "{}")


async def table(store: Store) -> dict[str, str]:
    rows = await store.read(lambda tx: tx.execute(select(hub_settings)).all())
    return {row.name: row.value for row in rows}


async def told(store: Store, name: str = "counters") -> list[tuple[str, str, int | None, Any]]:
    """Answer the facts of an interpretation: kind, key, cause, data."""
    query = select(events).where(events.c.type.like(f"{name}.%")).order_by(events.c.seq)
    rows = await store.read(lambda tx: tx.execute(query).all())
    return [(row.type.partition(".")[2], row.key, row.cause_seq, orjson.loads(row.body)) for row in rows]


async def remembered(store: Store, name: str = "counters") -> list[tuple[str, str, str]]:
    """Answer what an interpretation remembers, in its order."""
    query = select(memories).where(memories.c.reaction == name)
    query = query.order_by(memories.c.connection, memories.c.position)
    rows = await store.read(lambda tx: tx.execute(query).all())
    return [(row.connection, row.key, row.value) for row in rows]


async def aside(store: Store, name: str) -> list[tuple[int, str]]:
    """Answer what a reaction parked: sequence and state."""
    query = select(parked.c.seq, parked.c.state).where(parked.c.reaction == name).order_by(parked.c.seq)
    return [(row.seq, row.state) for row in await store.read(lambda tx: tx.execute(query).all())]


class Killer:
    """A store whose writes die when told to: before the commit, or after it and before the answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.plan: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, work: Callable[[Connection], Any]) -> Any:
        what = self.plan.pop(0) if self.plan else ""
        if what == "before":
            raise StoreUnavailable("killed before the commit")
        if what == "within":

            def broken(tx: Connection) -> None:
                work(tx)
                raise StoreUnavailable("killed within the transaction")

            return await self._store.write(broken)
        answer = await self._store.write(work)
        if what == "after":
            raise StoreUnavailable("killed after the commit, before the answer")
        return answer
