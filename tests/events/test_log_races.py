"""Reading while others write: nothing is missed, nothing of an old owner comes late, nobody is stuck."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from atalaia.ambient import Ambient
from atalaia.errors import Fenced, StoreUnavailable
from atalaia.events.log import (
    EventLog,
    Source,
    append_facts,
    head,
    read_after,
)
from atalaia.events.model import Event, Fact, Heard
from atalaia.events.policy import Policies
from atalaia.store.leases import claim
from atalaia.store.store import Store
from atalaia.store.tables import FACT, HEARD, event_counts, leases
from tests.store.bases import Base

EVERYTHING = Policies({}, {})
HERE = Source("c1")


def heard(dedupe: str | None = None, *, kind: str = "x.Y", key: str = "k", body: str = "{}") -> Heard:
    return Heard(kind, key, 1_000, body, dedupe)


@pytest.fixture
def log(store: Store, ambient: Ambient) -> EventLog:
    return EventLog(store, ambient, EVERYTHING)


async def everything(store: Store) -> list[Event]:
    return await store.read(lambda tx: read_after(tx, 0, limit=100_000))


async def counts(store: Store) -> dict[str, tuple[int, int, int, int]]:
    rows = await store.read(lambda tx: tx.execute(select(event_counts)).all())
    return {row.type: (row.kept, row.counted, row.dropped, row.duplicate) for row in rows}


# --- reading ---------------------------------------------------------------------------------------


async def test_a_reader_with_a_cursor_sees_every_row_once_whoever_writes(shared: Base, ambient: Ambient):
    stores = [await shared.open() for _ in range(5)]
    written: set[int] = set()
    read: list[int] = []
    writing = True

    async def writer(n: int) -> None:
        log = EventLog(stores[n], ambient, EVERYTHING)
        for i in range(60):
            [*answers] = await log.put(Source(f"c{n}"), [heard(f"{i}-{j}") for j in range(n * 5 + 1)])
            [fact] = await log.put_facts(f"p{n}", [Fact("a.b", "k", 1)])
            written.update([fact.seq, *[answer.seq for answer in answers]])

    async def reader() -> None:
        while writing or await stores[4].read(head) > (read or [0])[-1]:
            cursor = (read or [0])[-1]
            page = await stores[4].read(lambda tx, cursor=cursor: read_after(tx, cursor, limit=37))
            read.extend(event.seq for event in page)

    reading = asyncio.ensure_future(reader())
    await asyncio.gather(*[writer(n) for n in range(4)])
    writing = False
    await reading

    assert read == sorted(written)


WRITER = """
import asyncio, sys
from pathlib import Path
from atalaia.ambient import Ambient
from atalaia.events.log import EventLog, Source
from atalaia.events.model import Heard
from atalaia.events.policy import Policies
from atalaia.store.connect import open_store

async def main(url, name):
    store = await open_store(url, Path("."))
    log = EventLog(store, Ambient(), Policies({}, {}))
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(50):
        await log.put(Source(name), [Heard("x.Y", "k", 1, "{}", f"{n}-{i}") for i in range(20)])
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_reader_misses_nothing_that_other_processes_write(shared: Base):
    store = await shared.open()
    root = Path(__file__).resolve().parents[2]
    pipe = asyncio.subprocess.PIPE
    writers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, shared.url, f"c{n}", cwd=root, stdin=pipe, stdout=pipe
        )
        for n in range(3)
    ]
    for one in writers:
        assert one.stdout and one.stdin
        assert await one.stdout.readline() == b"ready\n"
    for one in writers:
        assert one.stdin
        one.stdin.write(b"\n")

    read: list[int] = []
    ended = asyncio.ensure_future(asyncio.gather(*[one.wait() for one in writers]))
    while not ended.done() or await store.read(head) > (read or [0])[-1]:
        rung = store.bell.count("log")
        cursor = (read or [0])[-1]
        page = await store.read(lambda tx, cursor=cursor: read_after(tx, cursor, limit=333))
        read += [event.seq for event in page]
        if not page:
            await store.bell.wait("log", rung, at_most_s=0.1)

    assert await ended == [0, 0, 0]
    assert len(read) == len(set(read)) == 3 * 50 * 20
    assert read == [event.seq for event in await everything(store)]


async def test_an_append_that_was_undone_within_a_transaction_still_holds_others_back(shared: Base, ambient):
    """The lock of a savepoint goes with it; the next append of that transaction takes it again."""
    from sqlalchemy.util import await_only

    one, other = await shared.open(), await shared.open()
    appended, go_on = asyncio.Event(), asyncio.Event()

    def work(tx: Connection) -> None:
        with pytest.raises(KeyError), tx.begin_nested():
            append_facts(tx, ambient, "p", [Fact("undone", "k", 1)])
            raise KeyError
        append_facts(tx, ambient, "p", [Fact("kept", "k", 1)])
        appended.set()
        await_only(go_on.wait())

    slow = asyncio.ensure_future(one.write(work))
    await appended.wait()
    quick = asyncio.ensure_future(
        EventLog(other, ambient, EVERYTHING).put_facts("p", [Fact("later", "k", 1)])
    )
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    while not await other.read(lambda tx: tx.exec_driver_sql(waiting).scalar()):
        await asyncio.sleep(0)
    assert not quick.done()
    go_on.set()
    await asyncio.gather(slow, quick)

    assert [event.type for event in await everything(one)] == ["kept", "later"]


async def test_pages_begin_after_the_cursor_and_end_at_the_limit_or_at_upto(log: EventLog):
    await log.put(HERE, [heard() for _ in range(5)])
    await log.put_facts("p", [Fact("a.b", "k", 1) for _ in range(3)])
    first = (await everything(log.store))[0].seq

    async def page(**options) -> list[int]:
        rows = await log.store.read(lambda tx: read_after(tx, first, **options))
        return [event.seq - first for event in rows]

    assert await page() == [1, 2, 3, 4, 5, 6, 7]
    assert await page(limit=2) == [1, 2]
    assert await page(family=FACT) == [5, 6, 7]
    assert await page(family=HEARD) == [1, 2, 3, 4]
    assert await page(upto=first + 3) == [1, 2, 3]


# --- races ---


async def test_in_a_race_with_take_overs_no_row_of_an_old_epoch_comes_after_a_newer_one(shared, ambient):
    stores = [await shared.open() for _ in range(3)]
    logs = [EventLog(store, ambient, EVERYTHING) for store in stores]
    done = asyncio.Event()

    async def worker(n: int) -> int:
        fenced = 0
        source = Source("c1", 0)
        while not done.is_set():
            try:
                await logs[n].put(source, [heard(), heard()])
            except Fenced:
                fenced += 1
                source = await own_if_free(stores[n], f"w{n}", source)
        return fenced

    async def own_if_free(store: Store, owner: str, before: Source) -> Source:
        def work(tx: Connection) -> Source:
            name = "connection:c1"
            tx.execute(update(leases).where(leases.c.name == name).values(expires_ms=0))
            got = claim(tx, [name], owner, ttl_ms=10_000, process_ms=0, most=1)
            return Source("c1", got[0].epoch) if got else before

        return await store.write(work)

    async def referee() -> None:
        while await stores[0].read(head) < 400:
            await stores[0].bell.wait("log", stores[0].bell.count("log"), at_most_s=0.1)
        done.set()

    *fenced, _ = await asyncio.gather(*[worker(n) for n in range(3)], referee())

    rows = await stores[0].read(_epochs)
    assert rows == sorted(rows)
    assert len(set(rows)) > 10
    assert all(fenced)


def _epochs(tx: Connection) -> list[int]:
    from atalaia.store.tables import events

    return list(tx.scalars(select(events.c.epoch).order_by(events.c.seq)))


# --- under load ------------------------------------------------------------------------------------


async def test_renewals_and_appends_never_wait_for_each_other_in_a_circle(shared: Base, ambient: Ambient):
    """A plain share lock on the lease made a deadlock of a beat, a transition and an append."""
    from atalaia.store.leases import check, renew

    stores = [await shared.open() for _ in range(2)]
    names = [f"connection:c{n}" for n in range(6)]
    held = await stores[0].write(lambda tx: claim(tx, names, "a", ttl_ms=10_000, process_ms=0, most=100))
    log = EventLog(stores[0], ambient, EVERYTHING)

    async def appends(n: int) -> None:
        for _ in range(60):
            await log.put(Source(f"c{n}", 1), [heard()])

    async def transitions(n: int) -> None:
        def work(tx: Connection) -> None:
            check(tx, names[n], 1)
            append_facts(tx, ambient, "keeper", [Fact("a.b", "k", 1)], connection=f"c{n}", epoch=1)

        for _ in range(60):
            await stores[1].write(work)

    async def beats() -> None:
        for _ in range(60):
            kept = await stores[1].write(lambda tx: renew(tx, held, "a", ttl_ms=10_000, process_ms=0))
            assert len(kept) == len(held)

    try:
        await asyncio.gather(*[appends(n) for n in range(6)], *[transitions(n) for n in range(6)], beats())
    except StoreUnavailable as error:
        pytest.fail(f"deadlock: {error.__cause__}")
