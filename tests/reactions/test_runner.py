"""The runner: reactions run where their lease is, wake when it rings, and survive what goes wrong."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.errors import Fenced, StoreUnavailable
from atalaia.events.log import EventLog, Source
from atalaia.events.model import Fact
from atalaia.events.policy import Policies
from atalaia.reactions.folding import Folding
from atalaia.reactions.interpreting import Interpreting
from atalaia.reactions.runner import POLL_S, Runner
from atalaia.store.ownership import TTL_S, Ownership
from atalaia.store.store import Store
from tests.reactions.toys import Killer, Tally, counting, heard, told


class Worker:
    """A worker with a runner for the toys."""

    def __init__(self, store: Store, ambient: Ambient, name: str = "one") -> None:
        self.killer = Killer(store)
        mine = cast("Store", self.killer)
        self.tally = Tally()
        self.tally.types = ("counters.*", "a.*")  # type: ignore[assignment]
        self.ownership = Ownership(store, ambient, name)
        self.runner = Runner(
            mine, ambient, self.ownership,
            [Interpreting(counting(), mine, ambient), Folding(self.tally, mine, ambient)],
        )  # fmt: skip
        self.beat = self.ownership.beat


@pytest.fixture
def log(store: Store, ambient: Ambient) -> EventLog:
    return EventLog(store, ambient, Policies({}, {}))


@pytest_asyncio.fixture
async def worker(log: EventLog, ambient: Ambient):
    worker = Worker(log.store, ambient)
    yield worker
    await worker.runner.stop()


async def folded(worker: Worker, count: int) -> None:
    while len(set(worker.tally.applied)) < count:
        await asyncio.sleep(0)


async def test_a_heard_event_runs_through_all_reactions_by_itself(log: EventLog, worker: Worker):
    await worker.beat()
    await log.put(Source("c1"), [heard("Open"), heard("Add")])
    await folded(worker, 2)
    await log.put(Source("c1"), [heard("Close")])
    await folded(worker, 3)
    assert [kind for kind, *_ in await told(log.store)] == ["opened", "grown", "closed"]


async def test_a_store_that_is_away_delays_and_loses_nothing(log, worker: Worker, clock: HeldClock):
    worker.killer.plan = ["before", "after", "within"]
    await log.put(Source("c1"), [heard("Open"), heard("Add")])
    await worker.beat()
    while len(worker.tally.applied) < 2:
        await clock.run_for(POLL_S)
    assert [kind for kind, *_ in await told(log.store)] == ["opened", "grown"]


async def test_a_defect_outside_of_any_event_is_loud_and_tried_again(log, worker: Worker, clock, monkeypatch):
    fails = [ZeroDivisionError(), Fenced("gone"), StoreUnavailable("away")]
    fold = worker.runner.reactions["reaction:tally"]
    turn = fold.turn

    async def rough() -> bool:
        if fails:
            raise fails.pop(0)
        return await turn()

    monkeypatch.setattr(fold, "turn", rough)
    await log.put_facts("p", [Fact("a.b", "k", 1)])
    with capture_logs() as logs:
        await worker.beat()
        while not worker.tally.applied:
            await clock.run_for(POLL_S)
    assert [(one["event"], one["log_level"]) for one in logs if one.get("reaction") == "tally"] == [
        ("reaction.failed", "error"), ("reaction.waits", "warning"), ("reaction.waits", "warning"),
    ]  # fmt: skip


async def test_stopping_ends_every_loop_also_those_told_to_end_before(log: EventLog, worker: Worker):
    await worker.beat()
    worker.runner._lost("reaction:tally")
    await worker.runner.stop()
    assert not worker.runner._running


@pytest.fixture
def held_database(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("atalaia.store.ownership.database_ms", lambda _tx, process_ms: process_ms)
    monkeypatch.setattr("atalaia.store.leases.database_ms", lambda _tx, process_ms: process_ms)


@pytest.mark.usefixtures("held_database")
async def test_what_a_dead_worker_ran_another_runs_on(shared, clock: HeldClock, ambient: Ambient):
    one = Worker(await shared.open(), ambient, "one")
    two = Worker(await shared.open(), ambient, "two")
    log = EventLog(await shared.open(), ambient, Policies({}, {}))
    await one.beat()
    await two.beat()
    await one.beat()
    await two.beat()
    assert len(one.runner._tasks) == len(two.runner._tasks) == 1
    await log.put(Source("c1"), [heard("Open")])
    while not set(one.tally.applied) | set(two.tally.applied):
        await asyncio.sleep(0)

    await one.runner.stop()  # killed: it neither beats nor hands back
    await log.put(Source("c1"), [heard("Add"), heard("Close")])
    await clock.run_for(TTL_S / 2)
    await two.beat()
    await clock.run_for(TTL_S / 2 + 0.001)
    while len(two.runner._tasks) < 2:
        await two.beat()
    while len(set(one.tally.applied) | set(two.tally.applied)) < 3:
        await asyncio.sleep(0)

    assert [kind for kind, *_ in await told(log.store)] == ["opened", "grown", "closed"]
    await two.runner.stop()
