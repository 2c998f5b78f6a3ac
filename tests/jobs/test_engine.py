"""What we need of DBOS, also of its private parts: an upgrade that changes it fails here."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
import pytest_asyncio

from atalaia.ids import SystemIds
from atalaia.jobs.engine import RECOVERIES_MAX, SQLITE_LEAST, DbosEngine, Standing, sqlite_module
from tests.journeys.waiting import until
from tests.peers.ground import ROOT
from tests.store.bases import Base


class Runs:
    """Engines that run after one another in this process, as workers do."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.began: list[tuple[str, int]] = []
        self.ended = 0
        self.gate = asyncio.Event()
        self.engine = self.make()

    def make(self) -> DbosEngine:
        worker = SystemIds().new()
        self.engine = DbosEngine(self.base.url, self.base.folder, worker, self.run)
        return self.engine

    async def run(self, job: str, attempt: int) -> None:
        self.began.append((job, attempt))
        await self.gate.wait()
        self.ended += 1

    async def stands(self, name: str, wanted: Standing) -> None:
        async with asyncio.timeout(20):
            while (await self.engine.standing([name]))[name] is not wanted:
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def runs(base: Base) -> AsyncIterator[Runs]:
    await base.open()
    runs = Runs(base)
    yield runs
    await runs.engine.close()


async def test_a_workflow_runs_once_by_its_name(runs: Runs):
    await runs.engine.start("j.1", "j", 1)
    await runs.engine.start("j.1", "j", 1)
    await runs.stands("j.1", Standing.RUNNING)
    runs.gate.set()
    await runs.stands("j.1", Standing.ENDED)

    assert (runs.began, runs.ended) == ([("j", 1)], 1)
    assert await runs.engine.standing(["j.1", "j.2"]) == {"j.1": Standing.ENDED, "j.2": Standing.MISSING}


async def test_a_dead_workers_workflow_is_brought_back_once(runs: Runs):
    await runs.engine.start("j.1", "j", 1)
    await until(lambda: runs.began, "the workflow has begun")
    await runs.engine.close()

    after = runs.make()
    await after.launch()
    await runs.stands("j.1", Standing.RUNNING)
    await after.recover([after.worker])
    await after.recover([after.worker])
    runs.gate.set()
    await runs.stands("j.1", Standing.ENDED)
    assert (runs.began, runs.ended) == ([("j", 1)] * 2, 1)


async def test_what_a_living_worker_runs_is_left_alone(runs: Runs):
    await runs.engine.start("j.1", "j", 1)
    await runs.engine.recover([runs.engine.worker])
    runs.gate.set()
    await runs.stands("j.1", Standing.ENDED)

    assert runs.began == [("j", 1)]


async def _begins_or_is_given_up(runs: Runs, lives: int) -> bool:
    return len(runs.began) > lives or (await runs.engine.standing(["j.1"]))["j.1"] is Standing.GAVE_UP


async def test_a_workflow_that_kills_its_worker_each_time_is_given_up(runs: Runs):
    await runs.engine.start("j.1", "j", 1)
    for life in range(8):
        await until(lambda life=life: _begins_or_is_given_up(runs, life), "it begins again or is given up")
        await runs.engine.close()
        await runs.make().launch()
        await runs.engine.recover([runs.engine.worker])
    await runs.stands("j.1", Standing.GAVE_UP)

    assert len(runs.began) == 1 + RECOVERIES_MAX


async def test_what_is_forgotten_is_missing(runs: Runs):
    runs.gate.set()
    await runs.engine.start("j.1", "j", 1)
    await runs.stands("j.1", Standing.ENDED)
    await runs.engine.forget(["j.1"])

    assert await runs.engine.standing(["j.1"]) == {"j.1": Standing.MISSING}


async def test_what_ended_long_ago_is_forgotten_and_what_runs_is_not(runs: Runs):
    await runs.engine.start("j.1", "j", 1)
    assert await runs.engine.forget_ended(0) == 0
    runs.gate.set()
    await runs.stands("j.1", Standing.ENDED)

    assert await runs.engine.forget_ended(3600) == 0
    assert await runs.engine.forget_ended(-1) == 1
    assert await runs.engine.standing(["j.1"]) == {"j.1": Standing.MISSING}


HOUSE = ("atalaia", "asyncio", "uvloop")


def threads_of_the_engine(before: set[threading.Thread], house: tuple[str, ...] = HOUSE) -> list[str]:
    """Answer the threads that are new, but those of the house itself."""
    return [one.name for one in threading.enumerate() if one not in before and not one.name.startswith(house)]


async def test_no_thread_of_it_lives_after_it_is_closed(runs: Runs):
    before = set(threading.enumerate())
    await runs.engine.start("j.1", "j", 1)
    await until(lambda: runs.began, "the workflow has begun")
    assert threads_of_the_engine(before)
    await runs.engine.close()

    assert not threads_of_the_engine(before)


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_nothing_lives_after_a_launch_that_nobody_waited_for(runs: Runs, turns: int):
    before = set(threading.enumerate())
    launching = asyncio.create_task(runs.engine.launch())
    for _ in range(turns):
        await asyncio.sleep(0)
    launching.cancel()
    await asyncio.gather(launching, return_exceptions=True)
    closing = asyncio.create_task(runs.engine.close())
    await asyncio.sleep(0)
    closing.cancel()  # as when a process is told twice to end
    await asyncio.gather(closing, return_exceptions=True)
    others = ("atalaia-read", "atalaia-write", "asyncio", "uvloop")  # not the one that takes it down
    await until(
        lambda: not threads_of_the_engine(before, others), "its threads have ended",
        known=lambda: threads_of_the_engine(before, others),
    )  # fmt: skip

    assert not runs.engine.launched
    await runs.make().launch()  # there is room for the next one


async def test_who_comes_after_it_is_closed_does_not_launch_it_again(runs: Runs):
    await runs.engine.launch()
    await runs.engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        await runs.engine.start("j.1", "j", 1)


async def test_there_is_one_engine_in_a_process(runs: Runs):
    await runs.engine.launch()
    with pytest.raises(RuntimeError):
        await DbosEngine(runs.base.url, runs.base.folder, "another", runs.run).launch()


async def test_its_own_file_is_in_the_folder_and_keeps_a_write_ahead_log(sqlite: Base):
    await sqlite.open()
    runs = Runs(sqlite)
    await runs.engine.launch()
    await runs.engine.close()

    with closing(sqlite3.connect(sqlite.folder / "jobs.db")) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.slow
def test_a_hub_whose_connectors_have_no_jobs_does_not_load_the_engines_library():
    code = "import sys, atalaia.cli.up, atalaia.jobs.worker; sys.exit('dbos' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_an_sqlite_that_is_new_enough_is_found():
    assert sqlite_module().sqlite_version_info >= SQLITE_LEAST
