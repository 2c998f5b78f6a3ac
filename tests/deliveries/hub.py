"""A small hub around the deliveries: log, router, dispatcher, targets and a database of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Connection, text

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.deliveries.dispatcher import Dispatcher
from atalaia.deliveries.formats import OWN_FORMATS, Format, Outgoing
from atalaia.deliveries.guard import Guard
from atalaia.deliveries.router import Router
from atalaia.deliveries.subscription import Created, create_subscription
from atalaia.deliveries.targets.factory import Targets
from atalaia.deliveries.targets.target import Attempt, Sent, Step, Target
from atalaia.events.log import append_facts, read_after
from atalaia.events.model import Event, Fact
from atalaia.ids import SystemIds
from atalaia.store.connect import open_store
from atalaia.store.store import Store

PATIENCE_S = 90  # real time; only a failure takes so long, however busy the machine is


class PlainBox:
    """Seals by turning letters: enough to see that nobody reads what is sealed without opening it."""

    def seal(self, text: str) -> str:
        return "sealed:" + text[::-1]

    def open(self, sealed: str) -> str:
        assert sealed.startswith("sealed:")
        return sealed.removeprefix("sealed:")[::-1]


class ByClient:
    """A format as the Asterisk connector's: each client's messages go to its own destination."""

    name = "by-client"

    def render(self, event: Event, options: Mapping[str, Any]) -> Outgoing | None:
        client = event.key.split("-")[0]
        if client == "nobody":
            return None
        if client == "broken":
            raise KeyError("vhost")
        return Outgoing(client, f"{event.key}:{event.seq}", event.body.encode(), routing_key=event.type)


class Script:
    """A target in our hand: `answers` says what becomes of each message; what arrived is in `arrived`."""

    def __init__(self, answers: Callable[[str, Attempt], BaseException | None] = lambda *_: None) -> None:
        self.answers = answers
        self.arrived: list[Attempt] = []
        self.attempts: list[Attempt] = []
        self.flying: set[str] = set()
        self.flying_most = 0
        self.overtaken = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, destination: str, message: Outgoing, attempt: Attempt) -> Sent:
        self.attempts.append(attempt)
        self.overtaken += attempt.key in self.flying
        self.flying.add(attempt.key)
        self.flying_most = max(self.flying_most, len(self.flying))
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
            error = self.answers(destination, attempt)
            if error is not None:
                raise error
        finally:
            self.flying.discard(attempt.key)
        self.arrived.append(attempt)
        return Sent("taken")

    async def test(self, destination: str) -> list[Step]:
        return []

    async def close(self) -> None: ...

    def seqs(self, key: str) -> list[int]:
        """Answer what arrived of a key, without repeats, in order of first arrival."""
        return list(dict.fromkeys(one.seq for one in self.arrived if one.key == key))


class Hub:
    """One worker's deliveries on a store; several may share one on PostgreSQL."""

    def __init__(
        self,
        store: Store,
        clock: HeldClock,
        *,
        target: Target | None = None,
        allow: Sequence[str] = ("127.0.0.0/8", "::1"),
        owner: str = "worker-1",
        seed: int = 1,
    ) -> None:
        self.store, self.clock = store, clock
        self.ambient = Ambient(clock=clock, ids=SystemIds(), random=Random(seed))
        self.box = PlainBox()
        self.formats: dict[str, Format] = {**OWN_FORMATS, "by-client": ByClient()}
        self.targets = Targets(self.ambient, Guard(allow), self.servers_of)
        self.servers: list[Mapping[str, Any]] = []
        self.router = Router(self.ambient, self.formats)
        factory = self.targets.open if target is None else lambda *_: target
        self.dispatcher = Dispatcher(store, self.ambient, self.formats, factory, self.box, owner)
        self._task: asyncio.Task[None] | None = None

    async def servers_of(self, connection: str) -> Sequence[Mapping[str, Any]]:
        return self.servers

    def start(self) -> None:
        self._task = asyncio.create_task(self.dispatcher.run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def kill(self) -> None:
        """End the worker without its good-byes, as SIGKILL does: no result is written, no lease is let go."""
        task, self._task = self._task, None
        assert task is not None
        recorder: Any = self.dispatcher._recorder  # pyright: ignore[reportPrivateUsage]
        recorder.add = lambda result: None
        self.dispatcher.lanes.clear()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def close(self) -> None:
        await self.stop()
        await self.targets.close()

    async def subscribe(self, target: Mapping[str, Any] | None = None, **more: Any) -> Created:
        given = {"name": "A consumer", "target": target or {"kind": "webhook", "url": "http://127.0.0.1:9/"}}
        given |= more
        return await self.store.write(
            lambda tx: create_subscription(tx, self.ambient, self.box, given, formats=self.formats)
        )

    async def happen(
        self, *keys: str, type: str = "call.ended", data: Mapping[str, Any] | None = None
    ) -> None:
        """Append one fact for each key, and route them in the same transaction."""
        now = to_ms(self.clock.now())
        facts = [Fact(type, key, now, {"n": n, **(data or {})}) for n, key in enumerate(keys)]

        def work(tx: Connection) -> None:
            first = append_facts(tx, self.ambient, "test", facts)[0].seq
            self.router.apply(tx, read_after(tx, first - 1, limit=len(facts)))

        await self.store.write(work)

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        return await self.store.read(lambda tx: list(tx.execute(text(sql), values)))

    async def states(self) -> dict[str, int]:
        """Answer how many deliveries are in which state."""
        found = await self.rows("select state, count(*) as count from deliveries group by state")
        return {row.state: row[1] for row in found}

    async def facts(self, pattern: str = "%") -> list[str]:
        found = await self.rows("select type from events where type like :p order by seq", p=pattern)
        return [one[0] for one in found]

    async def until(self, wanted: Callable[[], Any], *, passing_s: float = 0.0) -> None:
        """Wait until `wanted()` (or its awaited answer) is true; `passing_s` goes by at each look."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = wanted()
                if asyncio.iscoroutine(answer):
                    answer = await answer
                if answer:
                    return
                if passing_s:
                    await self.clock.run_for(passing_s)
                await asyncio.sleep(0.002)  # the world's turn: sockets and the database's threads

    async def settled(self, *, passing_s: float = 0.0) -> None:
        """Wait until nothing is open."""

        async def done() -> bool:
            return not {"pending", "sending", "waiting"} & (await self.states()).keys()

        await self.until(done, passing_s=passing_s)


@contextlib.asynccontextmanager
async def sqlite_store(folder: Path) -> AsyncIterator[Store]:
    """A fresh SQLite store."""
    store = await open_store("", folder)
    try:
        yield store
    finally:
        await store.close()
