"""`bench jobs`: jobs of one and of five steps, one after the other and 32 at once, from asking to done.

A job here is everything that a real one is but its upstream: queued, claimed under locks, each step in the
ledger, each change a fact. Beside it, in the same run: plain DBOS workflows with as many steps, which keep
neither locks nor a ledger nor facts. Its file is opened the same way (WAL).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.bench.common import child, cpu_s, percentile, rss_mb, say, scratch
from atalaia.clock import to_ms
from atalaia.connectors.connector import Connector
from atalaia.jobs.model import Effect, JobContext, JobKind, StepKind
from atalaia.jobs.submit import Order
from atalaia.serve import SWITCH_S, Hub, build
from atalaia.settings import load_settings
from atalaia.store.bell import JOBS
from atalaia.store.job_tables import jobs

CASES = ((1, 1), (1, 32), (5, 1), (5, 32))  # (steps, at once)
CONNECTION = "bench"
WARM_S = 0.5


class _Settings(BaseModel):
    """Nothing."""


class _Params(BaseModel):
    """How many steps, and whether they are such as must not be repeated."""

    steps: int = Field(1, ge=1)
    unsafe: bool = False


async def _run(context: JobContext, params: _Params) -> Mapping[str, Any]:
    async def read(_: Effect) -> int:
        return 1

    async def send(effect: Effect) -> int:
        await effect.sending(trace=context.trace)
        return 1

    kind, work = (StepKind.UNSAFE, send) if params.unsafe else (StepKind.READ, read)
    for number in range(params.steps):
        await context.step(f"step-{number}", kind, work)
    return {}


BENCH = Connector("bench", "Bench", _Settings, None, jobs=(JobKind("steps", "Steps", _Params, _run),))


async def bench(*, seconds: float, database_url: str | None) -> dict[str, Any]:
    """Measure; answer the result. seconds: for each of the cases."""
    with scratch() as folder:
        ours = await _ours(folder, seconds, database_url)
        say("jobs: baseline")
        baseline = await _plain(folder, seconds, database_url)
    widest = ours["cases"][-1]
    return {
        "bench": "jobs",
        "store": "postgresql" if database_url else "sqlite synchronous=FULL",
        "seconds": seconds,
        "jobs_per_s": widest["jobs_per_s"],
        "p50_ms": widest["p50_ms"],
        "p99_ms": widest["p99_ms"],
        **ours,
        "baseline": baseline,
    }


async def _ours(folder: Path, seconds: float, database_url: str | None) -> dict[str, Any]:
    settings = load_settings(data_dir=folder, database_url=database_url)
    sys.setswitchinterval(SWITCH_S)  # as a running hub does
    hub = await build(settings, {"bench": BENCH}, Ambient())
    now = to_ms(hub.ambient.clock.now())
    await hub.store.write(lambda tx: hub.registry.create(tx, CONNECTION, "bench", "Bench", _Settings(), now))
    await hub.ownership.beat()
    work = asyncio.create_task(hub.jobs.run())
    beating = asyncio.create_task(hub.ownership.run())
    waiting = _Waiting(hub)
    watching = asyncio.create_task(waiting.run())
    before = cpu_s(os.getpid())
    try:
        cases = [
            await measure(lambda s=steps: waiting.job(s), steps, at_once, seconds) for steps, at_once in CASES
        ]
        unsafe = await measure(lambda: waiting.job(1, unsafe=True), 1, 32, seconds)
        used = cpu_s(os.getpid()) - before
    finally:
        await hub.jobs.close()
        for task in (work, watching, beating):
            task.cancel()
        await asyncio.gather(work, watching, beating, return_exceptions=True)
        await hub.targets.close()
        await hub.store.close()
    cpu = round(used / (seconds * (len(CASES) + 1)), 2)
    return {"cases": cases, "unsafe": unsafe, "cpu_share": cpu, "rss_mb": rss_mb(os.getpid())}


class _Waiting:
    """Asks for jobs and waits until the database says that they are done."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._open: dict[str, asyncio.Event] = {}

    async def job(self, steps: int, *, unsafe: bool = False) -> None:
        hub = self._hub
        order = Order("bench.steps", CONNECTION, {"steps": steps, "unsafe": unsafe}, "bench")
        made = await hub.store.write(lambda tx: hub.orders.submit(tx, order))
        done = self._open[made.id] = asyncio.Event()
        await done.wait()

    async def run(self) -> None:
        bell = self._hub.store.bell
        while True:
            rung = bell.count(JOBS)
            wanted = list(self._open)
            for identity in await self._hub.store.read(lambda tx, ids=wanted: _ended(tx, ids)):
                self._open.pop(identity).set()
            await bell.wait(JOBS, rung, at_most_s=0.05)


def _ended(tx: Connection, identities: list[str]) -> list[str]:
    if not identities:
        return []
    return list(tx.scalars(select(jobs.c.id).where(jobs.c.id.in_(identities), jobs.c.ended_ms.is_not(None))))


async def measure(
    one: Callable[[], Awaitable[None]], steps: int, at_once: int, seconds: float
) -> dict[str, Any]:
    """Do `one` again and again, `at_once` of them together, for `seconds`; answer the figures."""
    say(f"jobs: {steps} steps, {at_once} at once, for {seconds:g} s")
    took_s: list[float] = []

    async def again(end: float, took: list[float]) -> None:
        while time.perf_counter() < end:
            began = time.perf_counter()
            await one()
            took.append(time.perf_counter() - began)

    async def all_of(seconds: float, took: list[float]) -> float:
        began = time.perf_counter()
        await asyncio.gather(*(again(began + seconds, took) for _ in range(at_once)))
        return time.perf_counter() - began

    await all_of(WARM_S, [])
    passed = await all_of(seconds, took_s)
    return {
        "steps": steps,
        "at_once": at_once,
        "jobs": len(took_s),
        "jobs_per_s": round(len(took_s) / passed, 1),
        "p50_ms": round(percentile(took_s, 0.5) * 1000, 2),
        "p99_ms": round(percentile(took_s, 0.99) * 1000, 2),
    }


async def _plain(folder: Path, seconds: float, database_url: str | None) -> dict[str, Any]:
    """Measure plain DBOS in a process of its own: it keeps its state in the process."""
    words = ["atalaia.bench.plain_dbos", json.dumps([str(folder), seconds, database_url])]
    async with child(words) as plain:
        return plain.said
