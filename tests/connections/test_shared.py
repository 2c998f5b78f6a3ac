"""What the keepers of one process do together: thousands of sessions cost a few statements a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import pytest_asyncio
from sqlalchemy import Connection, insert, select

from atalaia.clock import HeldClock, to_ms
from atalaia.connections.gap_ledger import OpenGaps
from atalaia.connections.proofs import Due, Proofs
from atalaia.connections.rhythms import RhythmReader, read_rhythm
from atalaia.errors import Fenced, StoreUnavailable
from atalaia.events.log import EventLog, Source
from atalaia.events.model import Heard
from atalaia.events.policy import Keep, Policies
from atalaia.store.leases import Lease
from atalaia.store.store import Store
from atalaia.store.tables import connection_states, gaps, planes
from tests.connections.rig import Rig, take_over, until

T = TypeVar("T")


class Kept:
    """A keeper that has something to write each second; the test reads what it is told."""

    def __init__(self, connection: str, lease: Lease) -> None:
        self.connection, self.lease = connection, lease
        self.heard_ms = 0
        self.told: list[Fenced | StoreUnavailable | None] = []
        self.broken = False

    def due(self) -> Due:
        if self.broken:
            raise TypeError("a defect of this one")
        self.heard_ms += 1000
        row = {
            "connection": self.connection, "plane": "socket", "state": "proven", "claim": "",
            "evidence": "{}", "seen_ms": self.heard_ms, "checked_ms": self.heard_ms,
        }  # fmt: skip
        return Due(self.connection, self.lease, frozenset({"socket"}), [row], self.heard_ms)

    def written(self, due: Due, error: Fenced | StoreUnavailable | None) -> None:
        self.told.append(error)


class Counting:
    """A store that counts; `fails` are raised in place of the next writes."""

    def __init__(self, store: Store) -> None:
        self.bell, self.dialect = store.bell, store.dialect
        self._store = store
        self.reads = self.writes = 0
        self.fails: list[StoreUnavailable] = []

    async def read(self, work: Callable[[Connection], T]) -> T:
        self.reads += 1
        return await self._store.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        self.writes += 1
        if self.fails:
            raise self.fails.pop()
        return await self._store.write(work)


def as_store(counting: Counting) -> Store:
    return cast("Store", counting)


@pytest_asyncio.fixture
async def three(rig: Rig) -> list[Kept]:
    """Three connections with a lease and a state each."""
    kept = [Kept(name, await take_over(rig.store, identity=name)) for name in ("c1", "c2", "c3")]
    await rig.store.write(
        lambda tx: [tx.execute(insert(connection_states).values(_state(one))) for one in kept]
    )
    return kept


def _state(one: Kept) -> dict[str, Any]:
    return {
        "connection": one.connection, "state": "live", "since_ms": 0, "attempt": 0, "reason": "",
        "evidence": "{}", "epoch": one.lease.epoch, "heard_ms": 0,
    }  # fmt: skip


async def seen(store: Store) -> dict[str, tuple[int, int]]:
    """Answer until when each connection is written to be heard, and its plane to be proven."""
    c = connection_states.c
    query = select(c.connection, c.heard_ms, planes.c.seen_ms).join(
        planes, planes.c.connection == c.connection
    )
    return {row[0]: (row[1], row[2]) for row in await store.read(lambda tx: tx.execute(query).all())}


async def test_a_second_of_many_keepers_is_one_transaction(rig: Rig, three: list[Kept]):
    store = Counting(rig.store)
    await keep(
        Proofs(as_store(store), rig.clock), rig.clock, three, lambda: all(len(one.told) == 2 for one in three)
    )

    assert store.writes == 2
    assert await seen(rig.store) == {one.connection: (2000, 2000) for one in three}
    assert [one.told for one in three] == [[None, None]] * 3


async def test_who_lost_its_lease_hears_it_and_the_others_are_written(rig: Rig, three: list[Kept]):
    await take_over(rig.store, "other", "c2")
    await keep(Proofs(rig.store, rig.clock), rig.clock, three, lambda: all(one.told for one in three))

    assert [type(one.told[0]) for one in three] == [type(None), Fenced, type(None)]
    assert sorted(await seen(rig.store)) == ["c1", "c3"]


async def test_what_one_keeper_cannot_tell_does_not_hold_up_the_others(rig: Rig, three: list[Kept]):
    three[0].broken = True
    await keep(Proofs(rig.store, rig.clock), rig.clock, three, lambda: bool(three[2].told))

    assert sorted(await seen(rig.store)) == ["c2", "c3"]


async def test_keepers_hear_that_nothing_was_written_and_are_asked_again(rig: Rig, three: list[Kept]):
    store = Counting(rig.store)
    store.fails = [StoreUnavailable("full")]
    await keep(
        Proofs(as_store(store), rig.clock), rig.clock, three, lambda: all(len(one.told) == 2 for one in three)
    )

    assert [[type(one) for one in kept.told] for kept in three] == [[StoreUnavailable, type(None)]] * 3
    assert set((await seen(rig.store)).values()) == {(2000, 2000)}


def told(kept: Sequence[Kept], times: int) -> bool:
    return all(len(one.told) == times for one in kept)


async def keep(proofs: Proofs, clock: HeldClock, kept: Sequence[Kept], enough: Callable[[], bool]) -> None:
    """Let seconds pass until it is enough; nobody writes afterwards."""
    with proofs.keeping(kept[0]), proofs.keeping(kept[1]), proofs.keeping(kept[2]):
        written = 0
        while not enough():
            await clock.run_for(1)
            written += 1
            await until(lambda count=written: max(len(one.told) for one in kept) >= count)
    before = [len(one.told) for one in kept]
    await clock.run_for(5)
    assert [len(one.told) for one in kept] == before


async def test_whoever_looks_for_open_gaps_within_a_second_shares_one_read(one: Rig):
    store = Counting(one.store)
    everyone = OpenGaps(as_store(store), one.clock)
    await one.store.write(lambda tx: [tx.execute(insert(gaps).values(_gap(name))) for name in ("a", "b")])

    found = await asyncio.gather(*[everyone.of(name) for name in ("a", "b", "c", "a")])
    assert found == [{"gap-a": (5, 9)}, {"gap-b": (5, 9)}, {}, {"gap-a": (5, 9)}]
    assert store.reads == 1

    await one.store.write(lambda tx: tx.execute(insert(gaps).values(_gap("c"))))
    await one.clock.run_for(1)
    assert await everyone.of("c") == {"gap-c": (5, 9)}
    assert store.reads == 2


def _gap(connection: str) -> dict[str, Any]:
    told = {"from_ms": 5, "to_ms": 9, "cause": "x", "planes": "[]"}
    return {"id": f"gap-{connection}", "connection": connection, **told}


async def test_what_this_process_heard_is_in_the_rhythm_without_a_read(rig: Rig):
    kinds = {"message": "messages", "tick": "ticks"}
    policies = Policies({"x": {"tick": Keep.DROP}}, {}, {"x": kinds})
    log = EventLog(rig.store, rig.ambient, policies)
    reader = RhythmReader(log, rig.clock, "c1")
    await log.put(Source("c1"), [message("m1", to_ms(rig.clock.now()))])
    await reader.read()
    await rig.clock.run_for(60)
    await log.put(
        Source("c1"),
        [message("m2", to_ms(rig.clock.now())), Heard("x.tick", "k", to_ms(rig.clock.now()), "{}")],
    )
    heard_ms = to_ms(rig.clock.now())
    await rig.clock.run_for(60)
    late = Heard("x.message", "k", heard_ms, "{}", dedupe="m3", late=True)
    await log.put(Source("c1"), [message("m2", heard_ms), message("old", 0), late])

    store = Counting(rig.store)
    reader._store = as_store(store)
    found = await reader.read()
    assert found.last_ms == {"messages": heard_ms, "ticks": heard_ms}
    assert store.reads == (0 if rig.store.dialect == "sqlite" else 1)
    whole = await rig.store.read(lambda tx: read_rhythm(tx, "c1", to_ms(rig.clock.now())))
    assert whole.last_ms == found.last_ms


def message(key: str, at_ms: int) -> Heard:
    return Heard("x.message", "k", at_ms, "{}", dedupe=key)
