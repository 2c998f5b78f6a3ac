"""A full disk or a dead server: nothing acknowledged is lost, and writing goes on when it is mended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from atalaia.ambient import Ambient
from atalaia.errors import StoreUnavailable
from atalaia.events.log import EventLog, Source
from atalaia.events.model import Heard
from atalaia.events.policy import Policies
from atalaia.store.store import Store
from tests.peers.postgresql import PostgreSQL
from tests.peers.proxy import TcpProxy
from tests.store.bases import Base
from tests.store.test_group_commit import names, put, together


async def limit(store: Store, pages: int | None) -> None:
    """Let the file grow by `pages` pages and no more, as a full disk does; None = space is back."""

    def work(tx: Connection) -> None:
        now = tx.exec_driver_sql("pragma page_count").scalar() or 0
        tx.exec_driver_sql(f"pragma max_page_count = {2_147_483_646 if pages is None else now + pages}")

    await store.write(work)


def big(name: str):
    return put(name, "x" * 100_000)


async def test_on_a_full_disk_everybody_who_waits_hears_it(sqlite: Base):
    store = await sqlite.open()
    await store.write(put("before"))
    await limit(store, 5)

    answers = await together(store, put("a"), big("b"), put("c"))

    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    assert "disk" in str(answers[0])
    assert await store.read(names) == ["before"]


async def test_a_work_that_is_alone_on_a_full_disk_hears_it_too(sqlite: Base):
    store = await sqlite.open()
    await limit(store, 5)

    with pytest.raises(StoreUnavailable, match="full"):
        await store.write(big("a"))

    await store.write(put("small"))
    assert await store.read(names) == ["small"]


async def test_writing_goes_on_when_space_is_back(sqlite: Base):
    store = await sqlite.open()
    await limit(store, 5)
    for _ in range(3):
        await together(store, big("a"), big("b"))

    await limit(store, None)

    assert await together(store, big("a"), big("b")) == ["a", "b"]
    assert await store.read(names) == ["a", "b"]


async def test_nothing_that_was_acknowledged_is_lost_when_the_disk_fills_up(sqlite: Base, ambient: Ambient):
    store = await sqlite.open()
    log = EventLog(store, ambient, Policies({}, {}))
    await limit(store, 200)
    acknowledged: list[int] = []
    refused = 0

    async def session(n: int) -> None:
        nonlocal refused
        for i in range(60):
            try:
                [answer] = await log.put(Source(f"c{n}"), [Heard("x.Y", "k", 1, f'"{n}-{i}-{"x" * 3000}"')])
            except StoreUnavailable:
                refused += 1
            else:
                acknowledged.append(answer.seq)

    await asyncio.gather(*[session(n) for n in range(8)])
    await store.close()
    store = await sqlite.open()

    assert refused
    assert acknowledged
    found = await store.read(lambda tx: list(tx.scalars(text("select seq from events order by seq"))))
    assert found == sorted(acknowledged)


async def test_a_file_that_something_else_locks_too_long_is_unavailable_not_a_defect(sqlite: Base):
    store = await sqlite.open()
    await store.write(lambda tx: tx.exec_driver_sql("pragma busy_timeout = 10"))
    other = await asyncio.to_thread(_locked, sqlite.folder / "atalaia.db")

    try:
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.write(put("a"))
    finally:
        other.rollback()
        other.close()

    assert await store.write(put("a")) == "a"


def _locked(path: Path):
    import sqlite3

    other = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    other.execute("begin immediate")
    return other


async def test_a_stopped_server_is_unavailable_and_then_there_again(shared: Base, postgresql: PostgreSQL):
    store = await shared.open()
    await store.write(put("a"))

    postgresql.stop()
    for do in (store.write(put("b")), store.read(names), store.write(put("c"))):
        with pytest.raises(StoreUnavailable, match="PostgreSQL"):
            await do
    postgresql.start()

    assert await _until_there(store) == ["a"]
    assert await store.write(put("d")) == "d"


async def test_a_server_that_dies_in_the_middle_of_a_transaction_is_unavailable(
    shared: Base, postgresql: PostgreSQL
):
    store = await shared.open()

    def work(tx: Connection) -> None:
        put("half")(tx)
        postgresql.crash()
        put("other half")(tx)

    with pytest.raises(StoreUnavailable):
        await store.write(work)
    postgresql.start()

    assert await _until_there(store) == []


async def test_a_lost_network_is_unavailable(shared: Base, tcp_proxy, tmp_path: Path):
    proxy: TcpProxy = await tcp_proxy(shared.url)
    port = shared.url.rsplit(":", 1)[1].partition("/")[0]
    near = Base(shared.url.replace(f":{port}/", f":{proxy.port}/"), tmp_path)
    store = await near.open()
    await store.write(put("a"))

    proxy.cut()
    seen = await asyncio.gather(*[store.write(put(f"b{n}")) for n in range(20)], return_exceptions=True)

    assert all(isinstance(one, str | StoreUnavailable) for one in seen), seen
    acknowledged = sorted(one for one in seen if isinstance(one, str))
    assert [name for name in await _until_there(store) if name in acknowledged] == acknowledged
    await near.close()


async def test_a_deadlock_is_tried_again_not_a_defect(shared: Base):
    store = await shared.open()
    await store.write(put("a"))
    await store.write(put("b"))
    there = asyncio.Barrier(2)

    async def cross(first: str, second: str) -> object:
        def work(tx: Connection) -> None:
            from sqlalchemy.util import await_only

            tx.execute(text("update hub_settings set value = 'x' where name = :n"), {"n": first})
            await_only(there.wait())
            tx.execute(text("update hub_settings set value = 'x' where name = :n"), {"n": second})

        return await store.write(work)

    answers = await asyncio.gather(cross("a", "b"), cross("b", "a"), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["NoneType", "StoreUnavailable"]


async def _until_there(store: Store) -> list[str]:
    while True:
        try:
            return await store.read(names)
        except StoreUnavailable:
            await asyncio.sleep(0)
