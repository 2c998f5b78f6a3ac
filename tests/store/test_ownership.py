"""Workers that beat: fair shares, slow take-overs, letting go in time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select, update

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.errors import Fenced, StoreUnavailable
from atalaia.ids import CountedIds
from atalaia.store import ownership as module
from atalaia.store.bell import LEASES
from atalaia.store.leases import Lease, check
from atalaia.store.migrate import migrate_sqlite
from atalaia.store.ownership import MOST_PER_BEAT, RENEW_S, SAFETY_S, TTL_S, Ownership, Watch, free_all
from atalaia.store.sqlite import SqliteStore
from atalaia.store.store import Store
from atalaia.store.tables import leases, workers
from tests.store.bases import Base


class Worker:
    """One worker with what it holds and every lease it ever gained."""

    def __init__(self, store: Store, clock: HeldClock, name: str, things: list[str], **more: Any) -> None:
        self.store = store
        self.name = name
        self.holds: dict[str, Lease] = {}
        self.gained: list[Lease] = []
        self.told: list[str] = []
        ambient = Ambient(clock=clock, ids=CountedIds(), random=Random(1))
        self.ownership = Ownership(store, ambient, name, version="1.2.3", git_sha="abc", **more)
        self.ownership.on_workers_lost = self.told.extend
        self.ownership.watch(Watch("thing:", lambda _: list(things), self._gain, self._lose))
        self.beat = self.ownership.beat

    def _gain(self, lease: Lease) -> None:
        assert lease.name not in self.holds
        self.holds[lease.name] = lease
        self.gained.append(lease)

    def _lose(self, name: str) -> None:
        del self.holds[name]


@pytest.fixture
def things() -> list[str]:
    return [f"thing:{n:03}" for n in range(30)]


@pytest.fixture
def held_database(monkeypatch: pytest.MonkeyPatch):
    """Let the held clock be the database's clock as well: PostgreSQL's own does not stand still."""
    monkeypatch.setattr(module, "database_ms", lambda _tx, process_ms: process_ms)
    monkeypatch.setattr("atalaia.store.leases.database_ms", lambda _tx, process_ms: process_ms)


pytestmark = pytest.mark.usefixtures("held_database")


async def beats(*workers: Worker, times: int = 3) -> None:
    for _ in range(times):
        for worker in workers:
            await worker.beat()


async def test_one_worker_takes_everything_but_no_more_than_twenty_at_a_beat(store, clock, things):
    one = Worker(store, clock, "one", things)

    await one.beat()
    assert len(one.holds) == MOST_PER_BEAT
    await one.beat()
    assert sorted(one.holds) == things


async def test_who_runs_the_hub_may_have_more_or_fewer_taken_at_a_beat(store, clock, things):
    one = Worker(store, clock, "one", things, most_per_beat=25)
    await one.beat()

    assert len(one.holds) == 25


async def test_two_workers_share_evenly_whoever_comes_first(store, clock, things):
    one, two = (Worker(store, clock, name, things) for name in ("one", "two"))
    await beats(one)

    await beats(two, one)

    assert len(one.holds) == len(two.holds) == 15
    assert sorted([*one.holds, *two.holds]) == things


async def test_shares_do_not_wander_once_they_are_fair(store, clock, things):
    workers = [Worker(store, clock, name, things[:7]) for name in ("one", "two", "three")]
    await beats(*workers)
    before = [dict(worker.holds) for worker in workers]

    await beats(*workers, times=5)

    assert [worker.holds.keys() for worker in workers] == [one.keys() for one in before]
    assert sorted(len(one) for one in before) == [1, 3, 3]


async def test_a_new_worker_gets_its_share_as_slowly_as_it_takes_it(store, clock):
    things = [f"thing:{n:03}" for n in range(100)]
    one, two = (Worker(store, clock, name, things) for name in ("one", "two"))
    await beats(one, times=5)
    assert len(one.holds) == 100

    await two.beat()
    await one.beat()

    assert len(one.holds) == 100 - MOST_PER_BEAT  # the others are not idle while they wait for their turn
    await beats(two, one, times=4)
    assert len(one.holds) == len(two.holds) == 50


async def test_what_nobody_wants_any_more_is_handed_back(store, clock, things):
    one = Worker(store, clock, "one", things)
    await beats(one)

    things.remove("thing:007")
    await one.beat()

    assert "thing:007" not in one.holds
    assert await owners(store, "thing:007") == [None]


async def test_a_dead_workers_things_are_taken_over_under_new_epochs(store, clock, things):
    one, two = (Worker(store, clock, name, things) for name in ("one", "two"))
    await beats(one, two)
    await beats(one, two)
    lost = dict(one.holds)

    await clock.run_for(TTL_S / 2)
    await two.beat()
    await clock.run_for(TTL_S / 2 + 0.001)
    await two.beat()

    assert sorted(two.holds) == things
    assert all(two.holds[name].epoch == lease.epoch + 1 for name, lease in lost.items())
    assert two.told == ["one"]
    await two.beat()
    assert two.told == ["one"]  # said once


async def test_a_worker_is_missed_by_one_of_the_others_only(base: Base, clock, things):
    stores = [await base.open()]
    stores += [await base.open() for _ in range(2)] if base.url else stores * 2
    one, two, three = (Worker(store, clock, f"w{n}", things) for n, store in enumerate(stores))
    await beats(one, two, three)

    await clock.run_for(TTL_S + 0.001)
    await asyncio.gather(two.beat(), three.beat())

    # At that moment each of them is late in the eyes of the other as well; nobody is told twice of one.
    assert sorted(two.told + three.told) == sorted({*two.told, *three.told})
    assert "w0" in two.told + three.told


async def test_a_worker_that_cannot_renew_lets_go_before_others_may_take(store, clock, things):
    away = Frozen(store)
    one = Worker(away, clock, "one", things)  # pyright: ignore[reportArgumentType]
    await beats(one)
    away.fails = True
    with pytest.raises(StoreUnavailable):
        await one.beat()

    await clock.run_for(TTL_S - SAFETY_S - 0.001)
    one.ownership.fence_if_late()
    assert one.holds
    await clock.run_for(0.001)
    one.ownership.fence_if_late()

    assert not one.holds


async def test_a_worker_that_slept_renews_first_and_keeps_what_nobody_took(store, clock, things):
    one = Worker(store, clock, "one", things)
    await beats(one)
    before = dict(one.holds)

    await clock.run_for(TTL_S - RENEW_S - 0.001)  # nothing of it runs meanwhile, as under SIGSTOP
    one.ownership.fence_if_late()
    await one.beat()

    assert one.holds.keys() == before.keys()
    assert all(one.holds[name].epoch == lease.epoch for name, lease in before.items())
    assert len(one.gained) == len(things), "nothing was begun anew"


async def test_a_worker_that_slept_so_long_that_others_may_take_over_lets_go_before_it_asks(
    store, clock, things
):
    away = Frozen(store)
    one = Worker(away, clock, "one", things)  # pyright: ignore[reportArgumentType]
    await beats(one)
    away.frozen = True

    await clock.run_for(TTL_S - RENEW_S)
    asking = asyncio.ensure_future(one.beat())
    await away.asked.wait()

    assert not one.holds, "what an old owner would still send might cross a new one's"
    await end(asking)


async def test_a_worker_that_slept_and_gets_no_answer_lets_go_before_others_may_take(store, clock, things):
    away = Frozen(store)
    one = Worker(away, clock, "one", things)  # pyright: ignore[reportArgumentType]
    await beats(one)
    away.frozen = True

    await clock.run_for(TTL_S - SAFETY_S + 0.5)
    asking = asyncio.ensure_future(one.beat())
    await away.asked.wait()
    assert one.holds
    await clock.run_for(module.LOOK_S)
    one.ownership.fence_if_late()

    assert not one.holds
    await end(asking)


async def test_alone_a_worker_keeps_everything_however_long_it_slept(sqlite: Base, clock, things):
    away = Frozen(await sqlite.open())
    one = Worker(away, clock, "one", things, alone=True)  # pyright: ignore[reportArgumentType]
    await beats(one)
    before = dict(one.holds)

    await clock.run_for(3_600)
    one.ownership.fence_if_late()
    assert one.holds == before
    away.fails = True
    with pytest.raises(StoreUnavailable):
        await one.beat()
    await clock.run_for(TTL_S)
    one.ownership.fence_if_late()
    assert one.holds == before, "a full disk takes nothing away either"
    away.fails = False
    await one.beat()

    assert {name: lease.epoch for name, lease in one.holds.items()} == dict.fromkeys(things, 1)
    assert len(one.gained) == len(things)


async def test_alone_too_the_database_has_the_last_word(sqlite: Base, clock, things):
    store = await sqlite.open()
    one = Worker(store, clock, "one", things[:3], alone=True)
    await beats(one)
    await store.write(lambda tx: tx.execute(update(leases).values(owner="other", epoch=7, expires_ms=2**50)))

    await one.beat()

    assert not one.holds


class Frozen:
    """A store that takes writes and never answers, as a server that was stopped; or that fails them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.bell = store.bell
        self.dialect = store.dialect
        self.frozen = False
        self.fails = False
        self.asked = asyncio.Event()

    async def write(self, work):
        if self.fails:
            raise StoreUnavailable("away")
        if self.frozen:
            self.asked.set()
            await asyncio.Event().wait()
        return await self._store.write(work)


async def test_a_beat_that_hangs_does_not_keep_a_worker_from_letting_go(store, clock, things):
    frozen = Frozen(store)
    one = Worker(frozen, clock, "one", things)  # pyright: ignore[reportArgumentType]
    running = asyncio.ensure_future(one.ownership.run())
    while len(one.holds) < len(things):
        store.bell.ring([LEASES])
        await asyncio.sleep(0)

    frozen.frozen = True
    store.bell.ring([LEASES])
    await frozen.asked.wait()
    await clock.run_for(TTL_S - SAFETY_S + module.LOOK_S)

    assert not one.holds
    frozen.frozen = False
    await end(running)


async def test_a_worker_that_woke_too_late_lets_go_before_it_claims_again(store, clock, things):
    one, two = (Worker(store, clock, name, things) for name in ("one", "two"))
    await beats(one)
    paused = dict(one.holds)
    await clock.run_for(TTL_S + 1)
    await beats(two)

    for lease in paused.values():  # the first thing it does after waking is to write
        with pytest.raises(Fenced):
            await store.write(lambda tx, lease=lease: check(tx, lease.name, lease.epoch))
    await beats(one, two)

    assert not one.holds.keys() & two.holds.keys()
    assert sorted([*one.holds, *two.holds]) == things
    assert all(one.holds[name].epoch == 3 for name in one.holds)


async def test_at_the_end_everything_is_handed_back_and_others_need_not_wait(store, clock, things):
    one, two = (Worker(store, clock, name, things) for name in ("one", "two"))
    await beats(two, times=1)
    running = asyncio.ensure_future(one.ownership.run())
    while not one.holds:
        store.bell.ring([LEASES])
        await asyncio.sleep(0)

    await end(running)
    assert not one.holds
    await beats(two)

    assert sorted(two.holds) == things
    assert two.told == []  # it said goodbye
    row = await store.read(lambda tx: tx.execute(select(workers).where(workers.c.id == "one")).one())
    assert row.gone_ms is not None
    assert (row.version, row.git_sha) == ("1.2.3", "abc")


async def test_a_beat_that_fails_is_tried_again_and_a_defect_stays_loud(store, clock, things):
    one = Worker(store, clock, "one", things)
    fails: list[BaseException] = [StoreUnavailable("away"), ZeroDivisionError("a defect")]
    beat = one.ownership.beat

    async def rough() -> None:
        if fails:
            raise fails.pop(0)
        await beat()

    one.ownership.beat = rough  # the way in which a database fails is told in test_full_disk
    running = asyncio.ensure_future(one.ownership.run())
    while len(one.holds) < len(things):
        store.bell.ring([LEASES])
        await asyncio.sleep(0)

    assert fails == []
    await end(running)


async def test_leases_let_go_while_their_renewal_was_on_its_way_are_begun_anew(store, clock, things):
    slow = Frozen(store)
    one = Worker(slow, clock, "one", things[:5])  # pyright: ignore[reportArgumentType]
    await one.beat()
    slow.frozen = True
    hanging = asyncio.ensure_future(one.beat())
    await slow.asked.wait()
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    slow.frozen = False

    def fence_meanwhile(_: Connection) -> Sequence[str]:
        loop.call_soon_threadsafe(clear) if store.dialect == "sqlite" else clear()
        return []

    def clear() -> None:
        for watch in one.ownership._watches:
            for name in list(watch.held):
                one.ownership._lose(watch, name)

    loop = asyncio.get_running_loop()
    one.ownership.watch(Watch("other:", fence_meanwhile, lambda _: None, lambda _: None))
    await one.beat()

    assert sorted(one.holds) == things[:5]


async def test_at_the_start_of_the_only_process_all_leases_are_free(sqlite: Base, clock, things):
    store = await sqlite.open()
    killed = Worker(store, clock, "killed", things)
    await beats(killed)
    await sqlite.close()

    store = await sqlite.open()
    await store.write(free_all)
    one = Worker(store, clock, "one", things)
    await beats(one)

    assert sorted(one.holds) == things
    assert one.told == []


async def owners(store: Store, name: str) -> list[str | None]:
    return await store.read(lambda tx: list(tx.scalars(select(leases.c.owner).where(leases.c.name == name))))


async def end(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("beat"), st.integers(0, 2)),
        st.tuples(st.just("pass"), st.sampled_from([0.4, 1.0, 2.5, 5.0, 7.9, 8.0, 9.9, 10.1, 25.0])),
        st.tuples(st.just("kill"), st.integers(0, 2)),
        st.tuples(st.just("leave"), st.integers(0, 2)),
        st.tuples(st.just("fence"), st.integers(0, 2)),
    ),
    max_size=60,
)


@pytest.mark.slow
@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_epoch_is_granted_twice_and_no_two_write_at_once_whatever_happens(steps, tmp_path):
    asyncio.run(Story(tmp_path / "a.db").check(steps))


class Story:
    """Three workers that beat, pause (by not beating), die, leave and come back, in any order."""

    def __init__(self, path) -> None:
        self.path = path
        self.clock = HeldClock()
        self.things = [f"thing:{n}" for n in range(4)]
        self.granted: list[tuple[str, int]] = []
        self.born = 0

    async def check(self, steps: list[tuple[str, float]]) -> None:
        self.store = SqliteStore(self.path)
        if not self.path.exists():
            migrate_sqlite(self.store)
        try:
            await self.store.write(_afresh)
            self.workers = [self._new() for _ in range(3)]
            for what, which in steps:
                await self._step(what, which)
                await self._check_owners()
        finally:
            await self.store.close()

    def _new(self) -> Worker:
        self.born += 1
        return Worker(self.store, self.clock, f"w{self.born}", self.things)

    async def _step(self, what: str, which: float) -> None:
        if what == "pass":
            await self.clock.run_for(which, settle=1)
            return
        worker = self.workers[int(which)]
        if what == "beat":
            await worker.beat()
        elif what == "fence":
            worker.ownership.fence_if_late()
        elif what == "leave":
            await worker.ownership._hand_back()
        if what in ("kill", "leave"):
            self.granted += [(lease.name, lease.epoch) for lease in worker.gained]
            self.workers[int(which)] = self._new()

    async def _check_owners(self) -> None:
        granted = self.granted + [
            (lease.name, lease.epoch) for worker in self.workers for lease in worker.gained
        ]
        assert len(granted) == len(set(granted))
        for name in self.things:
            believers = [worker for worker in self.workers if name in worker.holds]
            may = [worker for worker in believers if await self._may_write(worker.holds[name])]
            assert len(may) <= 1
            # Whoever would pass his own look at the clock is the one the database knows.
            for worker in believers:
                if self._in_time(worker):
                    assert worker in may

    async def _may_write(self, lease: Lease) -> bool:
        try:
            await self.store.read(lambda tx: check(tx, lease.name, lease.epoch))
        except Fenced:
            return False
        return True

    def _in_time(self, worker: Worker) -> bool:
        return self.clock.monotonic() - worker.ownership._last_ok < TTL_S - SAFETY_S


def _afresh(tx: Connection) -> None:
    tx.execute(delete(leases))
    tx.execute(delete(workers))
