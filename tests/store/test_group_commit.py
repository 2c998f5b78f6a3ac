"""Works that wait together share a commit, and each hears only of its own failure."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from sqlalchemy import Connection, insert, select, text

from atalaia.errors import StoreUnavailable
from atalaia.store.store import Store, ring_after, savepoint, tell_after
from atalaia.store.tables import hub_settings
from tests.store.bases import Base


def put(name: str, value: str = ""):
    def work(tx: Connection) -> str:
        tx.execute(insert(hub_settings).values(name=name, value=value, changed_ms=0))
        return name

    return work


def names(tx: Connection) -> list[str]:
    return list(tx.scalars(select(hub_settings.c.name).order_by(hub_settings.c.name)))


class Gate:
    """Holds the writer inside of one work, so that all later ones wait and share the next commit."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, tx: Connection) -> None:
        self.entered.set()
        assert self.open.wait(30)


async def together(store: Store, *works):
    """Run these works in one group commit; answer results and exceptions."""
    gate = Gate()
    first = asyncio.ensure_future(store.write(gate))
    await asyncio.to_thread(gate.entered.wait, 30)
    tasks = [asyncio.ensure_future(store.write(work)) for work in works]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_written_is_there_after_a_restart(base: Base):
    store = await base.open()
    assert await store.write(put("a")) == "a"
    await store.close()

    again = await base.open()

    assert await again.read(names) == ["a"]


async def test_a_failing_work_is_undone_and_raises_its_own_error(store: Store):
    def fail(tx: Connection) -> None:
        put("half")(tx)
        raise KeyError("my own")

    with pytest.raises(KeyError, match="my own"):
        await store.write(fail)

    assert await store.read(names) == []


async def test_works_that_share_a_commit_fail_alone(sqlite: Base):
    store = await sqlite.open()
    commits = []

    def fail(tx: Connection) -> None:
        put("half")(tx)
        raise KeyError("my own")

    def counted(name: str):
        def work(tx: Connection) -> None:
            commits.append(tx.info.setdefault("commit", object()))
            put(name)(tx)

        return work

    answers = await together(store, counted("a"), fail, counted("b"), put("a"), counted("c"))

    assert answers[0] is answers[2] is answers[4] is None
    assert isinstance(answers[1], KeyError)
    assert "UNIQUE" in str(answers[3])
    assert await store.read(names) == ["a", "b", "c"]


async def test_a_misspelled_statement_is_a_defect_of_its_work_not_of_the_database(store: Store):
    def misspelled(tx: Connection) -> None:
        tx.execute(text("select nothing from nowhere"))

    with pytest.raises(Exception, match="nowhere") as raised:
        await store.write(misspelled)
    assert not isinstance(raised.value, StoreUnavailable)
    with pytest.raises(Exception, match="nowhere") as raised:
        await store.read(misspelled)
    assert not isinstance(raised.value, StoreUnavailable)


async def test_a_misspelled_statement_does_not_hurt_those_that_share_its_commit(sqlite: Base):
    store = await sqlite.open()

    answers = await together(store, put("a"), lambda tx: tx.execute(text("select nothing")), put("b"))

    assert answers[0] == "a"
    assert "nothing" in str(answers[1])
    assert answers[2] == "b"
    assert await store.read(names) == ["a", "b"]


async def test_works_run_in_the_order_in_which_they_were_handed_in(sqlite: Base):
    store = await sqlite.open()
    ran: list[int] = []

    await together(store, *[lambda tx, n=n: ran.append(n) for n in range(2_000)])

    assert ran == list(range(2_000))


async def test_the_bell_rings_after_the_commit_and_not_for_what_failed(store: Store):
    async def look(rung: int) -> list[str]:
        await store.bell.wait("log", rung, at_most_s=30)
        return await store.read(names)

    def work(tx: Connection) -> None:
        put("a")(tx)
        ring_after(tx, "log")

    def fail(tx: Connection) -> None:
        ring_after(tx, "leases")
        raise KeyError

    looking = asyncio.ensure_future(look(store.bell.count("log")))
    await asyncio.sleep(0)
    with pytest.raises(KeyError):
        await store.write(fail)
    await store.write(work)

    assert await looking == ["a"]
    assert store.bell.count("leases") == 0


async def test_a_ring_reaches_the_other_workers(shared: Base):
    one, other = await shared.open(), await shared.open()
    waiting = asyncio.ensure_future(other.bell.wait("log", 0, at_most_s=30))

    while not waiting.done():  # until the other one listens, rings go by
        await one.write(lambda tx: ring_after(tx, "log"))
        await asyncio.sleep(0)

    assert await waiting >= 1  # two may come at once


async def test_a_closed_store_says_so(store: Store):
    if store.dialect == "postgresql":
        return  # its pool opens again by itself
    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await store.write(put("a"))
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.read(names)


async def test_closing_finishes_what_waits(sqlite: Base):
    store = await sqlite.open()
    gate = Gate()
    first = asyncio.ensure_future(store.write(gate))
    await asyncio.to_thread(gate.entered.wait, 30)
    waiting = [asyncio.ensure_future(store.write(put(f"{n:03}"))) for n in range(700)]
    await asyncio.sleep(0)

    closing = asyncio.ensure_future(store.close())
    gate.open.set()
    await closing

    await first
    assert await asyncio.gather(*waiting) == [f"{n:03}" for n in range(700)]
    assert len(await (await sqlite.open()).read(names)) == 700


async def test_readers_cannot_write_by_mistake(store: Store):
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        await store.read(put("a"))
    assert await store.read(names) == []


async def test_a_read_sees_one_state_whatever_is_written_meanwhile(base: Base):
    store = await base.open()
    loop = asyncio.get_running_loop()
    writer = store if store.dialect == "sqlite" else await base.open()

    def look(tx: Connection) -> tuple[list[str], list[str]]:
        before = names(tx)
        if store.dialect == "sqlite":  # reads run beside the loop there; on PostgreSQL in it
            asyncio.run_coroutine_threadsafe(writer.write(put("b")), loop).result(30)
        else:
            from sqlalchemy.util import await_only

            await_only(writer.write(put("b")))
        return before, names(tx)

    await store.write(put("a"))

    assert await store.read(look) == (["a"], ["a"])
    assert await store.read(names) == ["a", "b"]


async def test_what_is_told_comes_after_the_commit_in_order_and_not_from_what_was_undone(sqlite: Base):
    store = await sqlite.open()
    heard: list[tuple[int, str]] = []
    durable: list[str] = []

    def say(word: str, *, fails: bool = False):
        def work(tx: Connection) -> None:
            put(word)(tx)
            tell_after(tx, "news", word)
            with contextlib.suppress(KeyError), savepoint(tx):
                put(f"{word}, undone")(tx)
                tell_after(tx, "news", f"{word}, undone")
                raise KeyError
            if fails:
                raise ValueError(word)
            durable.append(word)

        return work

    with store.bell.listening("news", lambda word: heard.append((len(durable), word))):
        await together(store, say("a"), say("b", fails=True), say("c"))
        with pytest.raises(ValueError, match="d"):
            await store.write(say("d", fails=True))
        await store.write(say("e"))
    await store.write(say("f"))

    assert heard == [(2, "a"), (2, "c"), (3, "e")]
    assert await store.read(names) == ["a", "c", "e", "f"]


async def test_savepoints_within_one_another_undo_their_own_part(store: Store):
    def work(tx: Connection) -> None:
        with savepoint(tx):
            put("a")(tx)
            with contextlib.suppress(KeyError), savepoint(tx):
                put("b")(tx)
                raise KeyError
            put("c")(tx)
        with contextlib.suppress(KeyError), savepoint(tx):
            with savepoint(tx):
                put("d")(tx)
            raise KeyError

    await store.write(work)

    assert await store.read(names) == ["a", "c"]
