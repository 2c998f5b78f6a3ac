"""The simulated telematics upstream on real ports, a session or line on it, and the clock in hand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.connections.session import PlaneState
from atalaia.connectors.traffilog.session import run_session
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.errors import StoreUnavailable
from atalaia.events.gaps import Reconcile, Reconciled
from atalaia.events.model import Appended, Heard
from atalaia.ids import CountedIds
from simulators.traffilog import Pace, TraffilogSimulator
from simulators.traffilog.server import APP_GUID
from simulators.traffilog.world import World
from tests.connections.unasked import Unasked

# How long a test waits in real time for sockets and threads before it fails.
PATIENCE_S = 30.0
STEP_S = 0.2
USER, PASSWORD = "monitor", "test-only-a"
CLIENT, CLIENT_NAME, VEHICLE, SCHEME = "310209", "Rápido Exemplo", "2900108", "9000"


@dataclass
class MemoryPort(Unasked):
    """A session's house in memory. `away`: appends fail."""

    ambient: Ambient
    connection: str = "connection-1"
    heard: list[Heard] = field(default_factory=list[Heard])
    planes: dict[str, tuple[PlaneState, str, dict[str, Any]]] = field(default_factory=dict[str, Any])
    told: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    away: bool = False
    gaps: asyncio.Queue[Reconcile] = field(default_factory=asyncio.Queue[Reconcile])
    closed: list[tuple[Reconcile, Reconciled]] = field(default_factory=list[tuple[Reconcile, Reconciled]])

    async def append(self, heard: Sequence[Heard], *, came_ms: int | None = None) -> list[Appended]:
        if self.away:
            raise StoreUnavailable("The database is away.")
        self.heard.extend(heard)
        return [Appended(len(self.heard)) for _ in heard]

    def prove(self, plane: str, state: PlaneState, *, claim: str = "", **evidence: Any) -> None:
        self.planes[plane] = (state, claim, evidence)

    async def live(self, **evidence: Any) -> None:
        self.told.append(("live", ""))

    async def suspect(self, reason: str, **evidence: Any) -> None:
        self.told.append(("suspect", reason))

    async def alert(self, cause: str, title: str, *, todo: str, **known: Any) -> None:
        self.told.append(("alert", title))

    async def calm(self, cause: str) -> None:
        self.told.append(("calm", cause))

    async def to_reconcile(self) -> Reconcile:
        return await self.gaps.get()

    async def reconciled(self, what: Reconcile, report: Reconciled) -> None:
        self.closed.append((what, report))

    async def tell(self, fact: str, data: Mapping[str, Any]) -> None:
        self.told.append((fact, data["said"]))

    # What tests ask.

    def words(self) -> list[str]:
        return [word for word, _ in self.told if word != "calm"]

    def types(self) -> list[str]:
        return [one.type.removeprefix("traffilog.") for one in self.heard]

    def bodies(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in self.heard if one.type == f"traffilog.{name}"]


def settings_for(sim: TraffilogSimulator, **changes: Any) -> TraffilogSettings:
    """Answer the settings with which a person connects to this simulator."""
    values: dict[str, Any] = {
        "api_url": sim.api_url.partition(f"/{APP_GUID}")[0],
        "app_guid": APP_GUID,
        "user": USER,
        "password": PASSWORD,
        "socket_url": sim.ws_url,
        "origin": sim.doors.origin,
    }
    return TraffilogSettings.model_validate(values | changes)


def make_simulator(
    clock: HeldClock, *, pace: Pace | None = None, world: World | None = None, **more: Any
) -> TraffilogSimulator:
    return TraffilogSimulator(
        clock=clock,
        random=Random(7),
        user=USER,
        password=PASSWORD,
        portal_user="office",
        portal_password="test-only-c",
        pace=pace or Pace.at_once(),
        world=world,
        **more,
    )


async def passing(clock: HeldClock, true: Callable[[], bool], step_s: float = STEP_S) -> None:
    """Let time pass, and sockets and threads work, until `true`. A step of 0 holds the clock."""
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until, "waited in vain"
        if step_s:
            await clock.run_for(step_s)
        await asyncio.sleep(0.002)


class Rig:
    """The simulator, the port and, after `begin`, the running session."""

    def __init__(self, **simulator: Any) -> None:
        self.clock = HeldClock()
        self.ambient = Ambient(self.clock, CountedIds(), Random(7))
        self.sim = make_simulator(self.clock, **simulator)
        self.port = MemoryPort(self.ambient)
        self.session: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.sim.start()

    async def close(self) -> None:
        if self.session is not None and not self.session.done():
            self.session.cancel()
            await self.passing(self.session.done)
        await self.sim.stop()
        assert self.sim.upstream.failures == []
        assert list(self.sim.doors.bad_frames) == []

    def settings(self, **changes: Any) -> TraffilogSettings:
        return settings_for(self.sim, **changes)

    def begin(self, **changes: Any) -> asyncio.Task[None]:
        """Start a session and do not wait for it."""
        self.session = asyncio.create_task(run_session(self.settings(**changes), self.port))
        return self.session

    async def connect(self, **changes: Any) -> None:
        """Start a session and wait until it is live."""
        session = self.begin(**changes)
        await self.passing(lambda: "live" in self.port.words() or session.done())
        if session.done():
            session.result()

    async def fails(self, **changes: Any) -> BaseException:
        """Start a session and answer the error with which it ends."""
        session = self.begin(**changes)
        await self.passing(session.done)
        error = session.exception()
        assert error is not None
        return error

    async def passing(self, true: Callable[[], bool], step_s: float = STEP_S) -> None:
        await passing(self.clock, true, step_s)

    async def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.clock.monotonic() + seconds
        await self.passing(lambda: self.clock.monotonic() >= end)
