"""One session against the simulated Asterisk, on a clock in our hand, with a log that can fail."""

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
from atalaia.connectors.asterisk.session import run_session
from atalaia.connectors.asterisk.settings import AsteriskSettings
from atalaia.errors import StoreUnavailable
from atalaia.events.gaps import Reconcile, Reconciled
from atalaia.events.model import Appended, Heard
from atalaia.ids import CountedIds
from simulators.asterisk.models import Phone
from simulators.asterisk.server import AsteriskSimulator
from tests.connections.unasked import Unasked

# How long a test waits in real time for sockets and threads before it fails.
PATIENCE_S = 20.0
STEP_S = 0.25


@dataclass
class MemoryPort(Unasked):
    """A session's house in memory. `away`: appends fail; `gate`: appends wait while it is not set."""

    ambient: Ambient
    connection: str = "connection-1"
    heard: list[Heard] = field(default_factory=list[Heard])
    planes: dict[str, tuple[PlaneState, str, dict[str, Any]]] = field(default_factory=dict[str, Any])
    told: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    came_ms: int = 0
    away: bool = False
    failing: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    due: asyncio.Queue[Reconcile] = field(default_factory=asyncio.Queue[Reconcile])
    checked: list[Reconciled] = field(default_factory=list[Reconciled])

    def __post_init__(self) -> None:
        self.gate.set()

    async def append(self, heard: Sequence[Heard], *, came_ms: int | None = None) -> list[Appended]:
        await self.gate.wait()
        if self.failing is not None:
            raise self.failing
        if self.away:
            raise StoreUnavailable("The database is away.")
        self.heard.extend(heard)
        self.came_ms = came_ms or self.came_ms
        return [Appended(len(self.heard)) for _ in heard]

    def prove(self, plane: str, state: PlaneState, *, claim: str = "", **evidence: Any) -> None:
        self.planes[plane] = (state, claim, evidence)

    async def live(self, **evidence: Any) -> None:
        self.told.append(("live", str(evidence.get("read_only", ""))))

    async def suspect(self, reason: str, **evidence: Any) -> None:
        self.told.append(("suspect", reason))

    async def alert(self, cause: str, title: str, *, todo: str, **known: Any) -> None:
        if self.away:
            raise StoreUnavailable("The database is away.")
        self.told.append(("alert", f"{cause} {title}"))

    async def calm(self, cause: str) -> None:
        if self.away:
            raise StoreUnavailable("The database is away.")
        self.told.append(("calm", cause))

    async def to_reconcile(self) -> Reconcile:
        return await self.due.get()

    async def reconciled(self, what: Reconcile, report: Reconciled) -> None:
        self.checked.append(report)

    async def tell(self, fact: str, data: Mapping[str, Any]) -> None:
        self.told.append((fact, data["said"]))

    # What tests ask.

    @property
    def is_live(self) -> bool:
        return any(word == "live" for word, _ in self.told)

    def types(self) -> list[str]:
        return [one.type.removeprefix("asterisk.") for one in self.heard]

    def controls(self) -> list[str]:
        return [json.loads(one.body)["control"] for one in self.heard if one.type == "asterisk.control"]

    def bodies(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in self.heard if one.type == f"asterisk.{name}"]


class Rig:
    """The simulator, the clock, the port and, after `connect`, the running session."""

    def __init__(self, **simulator: Any) -> None:
        self.clock = HeldClock()
        self.ambient = Ambient(self.clock, CountedIds(), Random(7))
        self.sim = AsteriskSimulator(
            clock=self.clock, random=Random(1), user="monitor", password="test-only", **simulator
        )
        self.port = MemoryPort(self.ambient)
        self.session: asyncio.Task[None] | None = None
        self.over: dict[str, Any] = {}

    async def start(self) -> None:
        await self.sim.start()
        self.sim.add_phones([Phone("1121001", "112"), Phone("1121002", "112")])

    async def close(self) -> None:
        if self.session is not None and not self.session.done():
            self.session.cancel()
            await self.spin(self.session.done)
        await self.sim.stop()

    def settings(self, **changes: Any) -> AsteriskSettings:
        values: dict[str, Any] = {
            "url": f"http://127.0.0.1:{self.sim.port}",
            "prefix": self.sim.prefix,
            "user": "monitor",
            "password": "test-only",
            "server": "voip1",
        }
        return AsteriskSettings.model_validate(values | self.over | changes)

    def begin(self, **changes: Any) -> asyncio.Task[None]:
        """Start a session and do not wait for it."""
        self.session = asyncio.create_task(run_session(self.settings(**changes), self.port))
        return self.session

    async def connect(self, **changes: Any) -> None:
        """Start a session and wait until its reading is complete."""
        session = self.begin(**changes)
        await self.spin(lambda: "snapshot" in self.port.controls() or session.done())
        if session.done():
            session.result()

    async def spin(self, true: Callable[[], bool]) -> None:
        """Let sockets and threads work until `true`, while the clock stands still."""
        until = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < until, "waited in vain"
            await asyncio.sleep(0)

    async def run_until(self, true: Callable[[], bool], *, at_most_s: float) -> float:
        """Move the clock on until `true`; answer the seconds that took on that clock."""
        began = self.clock.monotonic()
        while not true():
            assert self.clock.monotonic() - began < at_most_s, f"not within {at_most_s} s of the clock"
            await self.clock.run_for(STEP_S)
            await asyncio.to_thread(_nothing)  # threads live in real time: let theirs go on, too
        return self.clock.monotonic() - began

    async def end(self, *, at_most_s: float = 15) -> tuple[Exception, float]:
        """Move the clock on until the session ends; answer why, and the seconds that took."""
        session = self.session
        assert session is not None
        took_s = await self.run_until(session.done, at_most_s=at_most_s)
        error = session.exception()
        assert isinstance(error, Exception)
        return error, took_s


def _nothing() -> None:
    """Be a turn of the thread pool."""
