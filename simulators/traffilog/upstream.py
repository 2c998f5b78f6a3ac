"""The upstream behind its three surfaces: one state, one clock, one ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from atalaia.clock import Clock
from simulators.rules import Rules
from simulators.traffilog.connections import Connections
from simulators.traffilog.ledger import Ledger
from simulators.traffilog.models import AssetType, Client, Process, Scheme, Unit, Vehicle
from simulators.traffilog.pace import Pace, Span
from simulators.traffilog.tokens import Accounts
from simulators.traffilog.wire import Timing


@dataclass
class Slot:
    """The one review that a client may have under preparation, and which session prepares it."""

    owner: str
    since: datetime
    process: Process


class Upstream:
    """What the surfaces share. Nothing here waits for a client.

    `reach(point)` calls what was put there by `at(point, ...)`: `heard:ACTION` before an action has its
    effect, `done:ACTION` after it and before the answer, `answered:ACTION` once the answer was sent.
    """

    def __init__(self, clock: Clock, random: Random, pace: Pace, accounts: Accounts) -> None:
        self.clock = clock
        self.random = random
        self.pace = pace
        self.accounts = accounts
        self.ledger = Ledger()
        self.rules = Rules()
        self.connections = Connections()
        self.clients: dict[str, Client] = {}
        self.vehicles: dict[str, Vehicle] = {}
        self.units: dict[str, Unit] = {}
        self.schemes: dict[str, Scheme] = {}
        self.asset_types: dict[str, AssetType] = {}
        self.technicians: list[str] = []
        self.processes: dict[str, Process] = {}
        self.slots: dict[str, Slot] = {}
        self.busy_units: dict[str, asyncio.Lock] = {}
        self.reporting: set[str] = set()
        self.played: set[str] = set()  # units that a recording speaks for
        self.failures: list[BaseException] = []
        self._carriers: dict[str, Vehicle] = {}  # only a guess: vehicles change their units
        self._points: dict[str, list[Callable[[], object]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._process_id = 10_422_605
        self._vehicle_id = 2_901_000
        self._order_id = 71_200

    # ---- time and chance -----------------------------------------------------------------

    def now(self) -> datetime:
        return self.clock.now()

    def draw(self, span: Span) -> float:
        """Answer seconds within `span`."""
        return span[0] if span[0] == span[1] else self.random.uniform(*span)

    async def pause(self, span: Span) -> None:
        if (seconds := self.draw(span)) > 0:
            await self.clock.sleep(seconds)

    def timing(self, seconds: float) -> Timing:
        """Answer what a tail says of an answer that took `seconds`."""
        db_ms = self.random.randint(15, 65) if seconds < 1 else int(seconds * 900)
        app_ms = db_ms + self.random.randint(40, 95)
        return Timing(str(self.random.randrange(49 * 10**17, 53 * 10**17)), db_ms, app_ms)

    # ---- work ----------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something until the simulator stops; what it raises is kept in `failures`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def at(self, point: str, call: Callable[[], object]) -> None:
        """Have `call` made each time `point` is reached, in the midst of the action."""
        self._points.setdefault(point, []).append(call)

    def reach(self, point: str) -> None:
        for call in list(self._points.get(point, ())):
            call()

    # ---- lookups -------------------------------------------------------------------------

    def unit_of(self, vehicle: Vehicle | None) -> Unit | None:
        return self.units.get(vehicle.serial) if vehicle is not None and vehicle.serial else None

    def vehicle_of(self, serial: str) -> Vehicle | None:
        """Answer the vehicle that carries a unit, by its 16 digits."""
        known = self._carriers.get(serial)
        if known is None or known.serial != serial:
            found = (one for one in self.vehicles.values() if one.serial and one.serial == serial)
            known = next(found, None)
            if known is not None:
                self._carriers[serial] = known
        return known

    def lock_of(self, serial: str) -> asyncio.Lock:
        """Answer the lock that makes Scheme Builders of one unit run one after the other."""
        return self.busy_units.setdefault(serial, asyncio.Lock())

    def new_slot(self, owner: str, process: Process) -> Slot:
        return Slot(owner, self.now(), process)

    def new_process_id(self) -> str:
        self._process_id += self.random.randint(1, 3)
        return str(self._process_id)

    def new_vehicle_id(self) -> str:
        self._vehicle_id += self.random.randint(1, 5)
        return str(self._vehicle_id)

    def new_order_id(self) -> str:
        self._order_id += 1
        return str(self._order_id)

    def visible(self, vehicle: Vehicle) -> bool:
        return vehicle.visible_from is None or self.now() >= vehicle.visible_from

    def later(self, seconds: float) -> datetime:
        return self.now() + timedelta(seconds=seconds)
