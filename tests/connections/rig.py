"""A session on strings: the test plays the upstream, the keeper and the database are real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import orjson
from pydantic import BaseModel, SecretStr
from sqlalchemy import Connection, select, update

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.connections.keeper import Keeper, Kind
from atalaia.connections.pace import Pace
from atalaia.connections.registry import Configured
from atalaia.connections.session import Plane, SessionPort
from atalaia.events.log import EventLog, read_after
from atalaia.events.model import Event
from atalaia.events.policy import Policies
from atalaia.store.leases import Lease, claim
from atalaia.store.store import Store
from atalaia.store.tables import connection_states, leases, planes

PLANES = (
    Plane("socket", "Socket"),
    Plane("canary", "Canary", by_events=True),
    Plane("ami", "AMI", essential=False, by_events=True),
)
PACE = Pace(first_s=4, most_s=30, jitter=0)


class Settings(BaseModel):
    url: str = "ws://upstream"
    password: SecretStr = SecretStr("hush")


class Plain:
    """Seals nothing: encryption has its own tests."""

    def seal(self, text: str) -> str:
        return text

    def open(self, text: str) -> str:
        return text


class Session:
    """One session as the upstream sees it; `say` what happens to it."""

    def __init__(self, settings: Any, port: SessionPort) -> None:
        self.settings = settings
        self.port = port
        self.closed = False
        self.last_words: Callable[[], None] = lambda: None
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def falls(self, error: BaseException | None = None) -> None:
        if error is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(error)

    async def play(self) -> None:
        try:
            await self._end
        finally:
            self.closed = True
            self.last_words()

    async def proves(self, *names: str, **evidence: Any) -> None:
        for name in names or ("socket", "canary"):
            self.port.prove(name, "proven", **evidence)

    async def lives(self) -> None:
        await self.proves()
        await self.port.live()


class Upstream:
    """Answers every session that is opened; `sessions` are all there ever were."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.at_most = 0

    async def run(self, settings: Any, port: SessionPort) -> None:
        session = Session(settings, port)
        self.sessions.append(session)
        self.at_most = max(self.at_most, sum(not one.closed for one in self.sessions))
        await session.play()

    @property
    def open(self) -> list[Session]:
        return [session for session in self.sessions if not session.closed]

    async def opened(self, count: int) -> Session:
        await until(lambda: len(self.sessions) >= count)
        return self.sessions[count - 1]


class Rig:
    """One keeper over a real database."""

    def __init__(self, store: Store, clock: HeldClock, ambient: Ambient) -> None:
        self.store, self.clock, self.ambient = store, clock, ambient
        self.upstream = Upstream()
        self.log = EventLog(store, ambient, Policies({}, {}))
        self.kind = Kind(self.upstream.run, PLANES, timedelta(seconds=30))
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self, lease: Lease | None = None) -> Keeper:
        """Start a keeper, as a worker does that has just gained the lease."""
        lease = lease or await take_over(self.store)
        configured = Configured("c1", "x", "Gate", Settings(), "on", 0, 0)
        self.keeper = Keeper(configured, self.kind, lease, self.log, self.ambient, PACE)
        self.tasks.append(asyncio.create_task(self.keeper.run()))
        return self.keeper

    async def live(self) -> Session:
        """Start a keeper and bring its session to life."""
        opened = len(self.upstream.sessions) + 1
        await self.start()
        session = await self.upstream.opened(opened)
        await session.lives()
        await self.state("live")
        return session

    async def state(self, name: str) -> None:
        """Wait until this state is written."""
        await until_async(lambda: self._state_is(name))

    async def _state_is(self, name: str) -> bool:
        return (await self.row()).get("state") == name

    async def row(self) -> dict[str, Any]:
        rows = await self.store.read(lambda tx: tx.execute(select(connection_states)).mappings().all())
        return dict(rows[0]) if rows else {}

    async def planes(self) -> dict[str, dict[str, Any]]:
        rows = await self.store.read(lambda tx: tx.execute(select(planes)).mappings().all())
        return {row["plane"]: dict(row) for row in rows}

    async def stop(self) -> BaseException | None:
        """Stop the newest keeper as a worker does, and wait for its last words."""
        self.tasks[-1].cancel()
        return await self.ended()

    async def kill(self) -> None:
        """Stop the newest keeper without its last words, as a killed process does."""
        self.keeper._wind_down = _nothing  # type: ignore[method-assign]
        await self.stop()

    async def ended(self) -> BaseException | None:
        [answer] = await asyncio.gather(self.tasks[-1], return_exceptions=True)
        return answer

    async def facts(self) -> list[Event]:
        return await read_facts(self.store)

    async def types(self) -> list[str]:
        return [fact.type for fact in await self.facts()]


async def _nothing() -> None:
    return None


async def read_facts(store: Store) -> list[Event]:
    return await store.read(lambda tx: read_after(tx, 0, family=1, limit=10_000))


def data(fact: Event) -> dict[str, Any]:
    return orjson.loads(fact.body)


def of(facts: Sequence[Event], kind: str) -> list[dict[str, Any]]:
    return [data(fact) for fact in facts if fact.type == kind]


async def take_over(store: Store, owner: str = "worker", identity: str = "c1") -> Lease:
    """Take the lease, whoever holds it."""

    def work(tx: Connection) -> Lease:
        name = f"connection:{identity}"
        tx.execute(update(leases).where(leases.c.name == name).values(expires_ms=0))
        [lease] = claim(tx, [name], owner, ttl_ms=10_000, process_ms=0, most=1)
        return lease

    return await store.write(work)


async def until(true: Callable[[], bool]) -> None:
    """Let the others run until `true`; the test's own time limit ends what never comes."""
    while not true():
        await asyncio.sleep(0)


async def until_async(true: Callable[[], Any]) -> None:
    while not await true():
        await asyncio.sleep(0)


class Rough:
    """A store whose writes fail when told to, after the fact as before it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fails: list[BaseException] = []
        self.failed = 0
        self.writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, work: Callable[[Connection], Any]) -> Any:
        if self.fails:
            self.failed += 1
            raise self.fails.pop(0)
        self.writes += 1
        return await self._store.write(work)


async def until_flushed(rig: Rig, heard_ms: int) -> None:
    while (await rig.row())["heard_ms"] != heard_ms:
        await rig.clock.run_for(0.05)
