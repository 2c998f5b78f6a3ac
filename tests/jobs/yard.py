"""One worker's jobs on a real database, a real engine and a toy upstream, with the clock in hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import orjson
from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.connections.registry import Registry
from atalaia.events.log import EventLog
from atalaia.events.policy import Policies
from atalaia.ids import SystemIds
from atalaia.jobs.context import House
from atalaia.jobs.engine import DbosEngine
from atalaia.jobs.rows import Job, read_job
from atalaia.jobs.submit import Order, Orders
from atalaia.jobs.worker import Jobs
from atalaia.redact import Redactor
from atalaia.store.files import FileStore
from atalaia.store.job_tables import job_frames, job_locks, job_steps
from atalaia.store.ownership import Ownership
from atalaia.store.store import Store
from atalaia.store.tables import events
from tests.connections.rig import Plain
from tests.jobs.toy import KINDS, ToySettings, ToyUpstream

PATIENCE_S = 90  # real time; only a failure takes so long, however busy the machine is
CONNECTION = "c1"


class Yard:
    """The jobs' part of one worker. `start` and `stop` may be repeated: each start is a fresh worker."""

    def __init__(self, store: Store, database_url: str, folder: Path, clock: HeldClock) -> None:
        self.store, self.clock = store, clock
        self.upstream = ToyUpstream()
        self.ambient = Ambient(clock=clock, ids=SystemIds(), random=Random(1))
        self.kinds = {f"toy.{kind.name}": kind for kind in KINDS}
        self.orders = Orders(self.ambient, self.kinds, Redactor())
        self.registry = Registry({"toy": ToySettings}, Plain())
        self.log = EventLog(store, self.ambient, Policies({}, {}))
        self.worker = ""
        self.lasting_s = 0.0  # the engine is told of every job, as of those that last
        self.where = (database_url, folder)
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        settings = ToySettings(url=await self.upstream.start())
        now = to_ms(self.clock.now())
        await self.store.write(lambda tx: self.registry.create(tx, CONNECTION, "toy", "Toy", settings, now))

    async def start(self) -> None:
        """Start a fresh worker."""
        self.worker = self.ambient.ids.new()
        self.ownership = Ownership(self.store, self.ambient, self.worker)
        await self.ownership.beat()
        self.engine = DbosEngine(*self.where, self.worker, lambda job, n: self.jobs.execute(job, n))
        files = FileStore(self.where[1], self.ambient)
        house = House(
            self.store, self.log, self.ambient, self.orders, Redactor(), self.engine, files, Plain()
        )
        self.jobs = Jobs(house, self.kinds, self.registry, self.worker)
        self.jobs.runs.lasting_s = self.lasting_s
        self._tasks = [asyncio.create_task(self.jobs.run())]

    async def stop(self) -> None:
        """End the worker as an orderly stop does: nothing of its jobs is handed back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            await self.jobs.close()
            await self.store.write(self._leave)
        self._tasks = []

    def _leave(self, tx: Connection) -> None:
        self.ownership._leave(tx, [])  # pyright: ignore[reportPrivateUsage]

    async def close(self) -> None:
        await self.stop()
        await self.upstream.stop()

    # Asking.

    async def submit(self, kind: str = "one", *, by: str = "ana", **more: Any) -> Job:
        """Ask for a job; what is no field of an order is a parameter."""
        names = {"key", "priority", "not_before_ms", "expires_ms", "root", "step", "parent"}
        given = {name: more.pop(name) for name in names & more.keys()}
        asked = Order(f"toy.{kind}", CONNECTION, more, by, **given)
        return await self.store.write(lambda tx: self.orders.submit(tx, asked))

    async def cancel(self, job: Job, reason: str = "not wanted") -> Job:
        return await self.store.write(lambda tx: self.orders.cancel(tx, job.id, reason=reason, by="ana"))

    async def retry(self, job: Job, *, anew: bool | None = None) -> Job:
        return await self.store.write(
            lambda tx: self.orders.retry(tx, job.id, reason="try it", by="ana", anew=anew)
        )

    async def decide(self, job: Job, choice: str, **more: Any) -> Job:
        return await self.store.write(lambda tx: self.orders.decide(tx, job.id, choice, by="ana", **more))

    async def answer(self, job: Job, choice: str, **more: Any) -> Job:
        return await self.store.write(lambda tx: self.orders.answer(tx, job.id, choice, by="ana", **more))

    # Looking.

    async def job(self, job: Job) -> Job:
        found = await self.store.read(lambda tx: read_job(tx, job.id))
        assert found is not None
        return found

    async def comes_to(self, job: Job, state: str, *, passing_s: float = 0.0) -> Job:
        """Wait until the job is in this state; `passing_s` goes by at each look."""

        async def there() -> bool:
            return (await self.job(job)).state == state

        await self.until(there, f"{job.kind} is {state}", passing_s=passing_s, known=lambda: self.job(job))
        return await self.job(job)

    async def until(
        self, wanted: Callable[[], Any], what: str, *, passing_s: float = 0.0, known: Any = None
    ) -> None:
        end = time.monotonic() + PATIENCE_S
        while True:
            answer = wanted()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            if time.monotonic() > end:
                told = await known() if known else ""
                raise AssertionError(f"not within {PATIENCE_S} s: {what}; {told}")
            if passing_s:
                await self.clock.run_for(passing_s)
            await asyncio.sleep(0.01)  # the world's turn: sockets and threads

    async def facts(self, job: Job | None = None) -> list[tuple[str, dict[str, Any]]]:
        """Answer what was told about a job, in order: (type, data)."""
        query = select(events.c.type, events.c.body).where(events.c.type.like("job.%")).order_by(events.c.seq)
        query = query.where(events.c.key == job.id) if job else query
        rows = await self.store.read(lambda tx: list(tx.execute(query)))
        return [(row.type.removeprefix("job."), orjson.loads(row.body)) for row in rows]

    async def told(self, job: Job) -> list[str]:
        return [type for type, _ in await self.facts(job)]

    async def alarms(self) -> list[str]:
        """Answer the alerts raised and resolved, in order."""
        query = select(events.c.type).where(events.c.type.like("alert.%")).order_by(events.c.seq)
        return list(await self.store.read(lambda tx: list(tx.scalars(query))))

    async def steps(self, job: Job) -> list[tuple[str, int, int, str]]:
        """Answer (name, attempt, round, state) of each row of the ledger, by name."""
        c = job_steps.c
        query = select(c.name, c.attempt, c.round, c.state).where(c.job == job.id)
        query = query.order_by(c.attempt, c.name, c.round)
        return [tuple(row) for row in await self.store.read(lambda tx: list(tx.execute(query)))]

    async def frames(self, job: Job) -> list[str]:
        query = select(job_frames.c.text).where(job_frames.c.job == job.id).order_by(job_frames.c.id)
        return list(await self.store.read(lambda tx: list(tx.scalars(query))))

    async def locks(self) -> Mapping[str, str]:
        query = select(job_locks.c.name, job_locks.c.job)
        return {row.name: row.job for row in await self.store.read(lambda tx: list(tx.execute(query)))}
