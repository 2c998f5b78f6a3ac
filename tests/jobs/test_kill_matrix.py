"""The hub's process is killed at each boundary of a job: no unsafe effect twice, no job forgotten."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from sqlalchemy import Connection, select

from atalaia.clock import to_ms
from atalaia.connections.registry import Registry
from atalaia.jobs.rows import Job, read_job
from atalaia.jobs.submit import Order, Orders
from atalaia.store.connect import open_store
from atalaia.store.tables import alerts, events
from tests.jobs.toy import AMBIGUOUS, KINDS, PLACES, ToySettings, ToyUpstream
from tests.journeys.hubs import Place, Stable, Worker
from tests.journeys.rounds import rounds
from tests.journeys.waiting import until
from tests.peers.postgresql import PostgreSQL

CONNECTION = "c1"
ROUNDS_LONG = rounds(12)
QUIET = {"ATALAIA_LOG_LEVEL": "warning"}


@pytest.fixture(scope="module")
def stable() -> Iterator[Stable]:
    """Starts hubs that know the toy."""
    stable = Stable("tests.jobs.stable")
    yield stable
    stable.close()


class Ground:
    """One hub's place, a toy upstream that kills who comes to a place, and people who decide rightly."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.upstream = ToyUpstream()
        self.upstream.at = self._at
        self.deadly: dict[tuple[str, str], signal.Signals] = {}  # (place, tag) -> what it gets there, once
        self.reached: list[tuple[str, str, int]] = []
        self.orders = Orders(place.ambient, {f"toy.{kind.name}": kind for kind in KINDS})

    async def _at(self, place: str, tag: str, pid: int) -> None:
        self.reached.append((place, tag, pid))
        got = self.deadly.pop((place, tag), None)
        if got is None:
            return
        os.kill(pid, got)
        await asyncio.sleep(0.1)  # until the kernel has done it; what was asked is still answered

    async def furnish(self) -> None:
        settings = ToySettings(url=await self.upstream.start())
        registry = Registry({"toy": ToySettings}, self.place.box)
        now = to_ms(self.place.ambient.clock.now())
        store = await open_store(self.place.database_url, self.place.folder)
        try:
            await store.write(lambda tx: registry.create(tx, CONNECTION, "toy", "Toy", settings, now))
        finally:
            await store.close()

    async def write(self, work: Any) -> Any:
        store = await open_store(self.place.database_url, self.place.folder, exclusive=False)
        try:
            return await store.write(work)
        finally:
            await store.close()

    async def submit(self, **params: str) -> Job:
        asked = Order("toy.perilous", CONNECTION, params, "ana")
        return await self.write(lambda tx: self.orders.submit(tx, asked))

    async def job(self, job: Job) -> Job:
        found = await self.place.read(lambda tx: read_job(tx, job.id))
        assert found is not None
        return found

    async def serve_people(self, job: Job, workers: list[Worker]) -> Job:
        """Restart who died, answer and decide as somebody who sees the upstream, until the job has ended."""

        async def ended() -> Job | None:
            for worker in workers:
                if not worker.runs:
                    await worker.start(**QUIET)
            now = await self.job(job)
            if now.state == "waiting":
                await self.write(lambda tx: self.orders.answer(tx, job.id, "yes", by="ana"))
            if now.state == "in_doubt" and await self.is_alerted(job):
                choice = "happened" if self.upstream.done[job.trace] else "again"
                await self.write(lambda tx: self.orders.decide(tx, job.id, choice, by="ana"))
            return now if now.ended_ms else None

        found = await until(ended, "the job has ended", within_s=180, every_s=0.2, known=lambda: self.reached)
        assert found is not None
        return found

    async def is_alerted(self, job: Job) -> bool:
        """Answer whether people were told that they must decide."""
        query = select(alerts.c.cause).where(
            alerts.c.cause == f"job:{job.id}", alerts.c.resolved_ms.is_(None)
        )
        return bool(await self.place.read(lambda tx: tx.scalar(query)))

    async def told(self, job: Job, type: str) -> list[dict[str, Any]]:
        def read(tx: Connection) -> list[str]:
            query = select(events.c.body).where(events.c.key == job.id, events.c.type == f"job.{type}")
            return list(tx.scalars(query.order_by(events.c.seq)))

        return [orjson.loads(body) for body in await self.place.read(read)]

    async def check(self, job: Job, deadly: str, *, probe: bool) -> None:
        """The effect is upstream once, the job ended as asked, and what was ambiguous was named."""
        ended = await self.job(job)
        assert ended.state == "done", (deadly, ended)
        assert self.upstream.done[job.trace] == 1, deadly
        doubts = await self.told(job, "in_doubt")
        assert bool(doubts) == (deadly in AMBIGUOUS), (deadly, doubts)
        by = {one["by"] for one in await self.told(job, "decided") if one["step"] == "order"}
        assert by == (({"probe"} if probe else {"ana"}) if deadly in AMBIGUOUS else set()), deadly

    async def check_death_at(self, place: str, workers: list[Worker], *, probe: bool) -> None:
        """Let a job come to a place where its worker dies, and see how it ends."""
        job = await self.submit(probe="look" if probe else "")
        self.deadly[place, job.trace] = signal.SIGKILL
        await self.serve_people(job, workers)
        assert not self.deadly, f"nobody came to {place}"
        await self.check(job, place, probe=probe)


@pytest_asyncio.fixture
async def ground(request: pytest.FixtureRequest, tmp_path: Path, stable: Stable) -> AsyncIterator[Ground]:
    """A hub's place on SQLite, or where a test asks for it on PostgreSQL."""
    url = getattr(request, "param", "")
    if url:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.new_database()
    ground = Ground(Place(tmp_path / "hub", url, (), stable))
    await ground.furnish()
    yield ground
    ground.place.close()
    await ground.upstream.stop()


@pytest.mark.timeout(900)
async def test_on_sqlite_a_hub_that_dies_at_any_boundary_neither_doubles_nor_forgets(ground: Ground) -> None:
    hub = await ground.place.worker().start(**QUIET)
    for place in PLACES:
        await ground.check_death_at(place, [hub], probe=False)


@pytest.mark.timeout(900)
async def test_on_sqlite_a_probe_decides_wherever_it_is_ambiguous(ground: Ground) -> None:
    hub = await ground.place.worker().start(**QUIET)
    for place in sorted(AMBIGUOUS):
        await ground.check_death_at(place, [hub], probe=True)


# On PostgreSQL the three boundaries below are what a run for every change has time for.
SLEEPS_OR_ASKS = [
    pytest.param("", id="sqlite"),
    pytest.param(
        "postgresql",
        id="postgresql",
        marks=[pytest.mark.peers, pytest.mark.xdist_group("services"), pytest.mark.long],
    ),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("ground", SLEEPS_OR_ASKS, indirect=True)
async def test_a_hub_that_dies_while_a_job_sleeps_or_asks_goes_on_where_it_was(ground: Ground) -> None:
    hub = await ground.place.worker().start(**QUIET)
    job = await ground.submit()
    at = ("between_steps", job.trace, hub.pid)
    await until(lambda: at in ground.reached, "it sleeps", within_s=180)
    await asyncio.to_thread(hub.kill)
    await hub.start(**QUIET)

    async def asks() -> bool:
        return (await ground.job(job)).state == "waiting"

    await until(asks, "it asks", within_s=180)
    await asyncio.to_thread(hub.kill)
    await ground.serve_people(job, [hub])
    await ground.check(job, "", probe=False)
    assert len(await ground.told(job, "asked")) == 1


ON_POSTGRESQL = [
    pytest.param(("after_intent", "effect_done", "between_steps"), id="three boundaries"),
    pytest.param(PLACES * ROUNDS_LONG, id="long", marks=[pytest.mark.long, pytest.mark.timeout(7200)]),
]


@pytest.mark.timeout(900)
@pytest.mark.peers
@pytest.mark.xdist_group("services")
@pytest.mark.parametrize("ground", ["postgresql"], indirect=True)
@pytest.mark.parametrize("places", ON_POSTGRESQL)
async def test_on_postgresql_the_other_worker_finishes_what_a_killed_one_began(
    ground: Ground, places: tuple[str, ...]
) -> None:
    workers = [await ground.place.worker().start(**QUIET) for _ in range(2)]
    for number, place in enumerate(places):
        await ground.check_death_at(place, workers, probe=bool(number % 2))


@pytest.mark.timeout(900)
@pytest.mark.peers
@pytest.mark.xdist_group("services")
@pytest.mark.parametrize("ground", ["postgresql"], indirect=True)
async def test_a_worker_that_was_paused_before_it_sent_sends_nothing_when_it_wakes(ground: Ground) -> None:
    workers = [await ground.place.worker().start(**QUIET) for _ in range(2)]
    job = await ground.submit()
    ground.deadly["after_intent", job.trace] = signal.SIGSTOP
    await ground.serve_people(job, workers)
    assert ground.upstream.done[job.trace] == 1
    [stopped] = [pid for place, _, pid in ground.reached if place == "after_intent"][:1]
    assert [pid for place, _, pid in ground.reached if place == "frame_arrived"] != [stopped]

    os.kill(stopped, signal.SIGCONT)
    [woken] = [worker for worker in workers if worker.pid == stopped]
    # It takes part again, so it has had its turn; what it wanted to send was refused.
    other = next(worker for worker in workers if worker is not woken)
    await asyncio.to_thread(other.kill)
    second = await ground.submit()
    await ground.serve_people(second, [woken])
    assert ground.upstream.done == {job.trace: 1, second.trace: 1}
    assert ("after_sending", job.trace, stopped) not in ground.reached
    await ground.check(job, "", probe=False)


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_on_sqlite_hundreds_of_deaths_double_and_forget_nothing(ground: Ground) -> None:
    hub = await ground.place.worker().start(**QUIET)
    for number in range(ROUNDS_LONG * 3):
        for place in PLACES:
            await ground.check_death_at(place, [hub], probe=bool(number % 2))
