"""Collect what one unit tells of itself: header, parameters by push, modules; merged, never replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from atalaia.connectors.traffilog import actions, modules
from atalaia.connectors.traffilog.jobs.evidence import first_row
from atalaia.connectors.traffilog.jobs.live import Live
from atalaia.connectors.traffilog.line import Line
from atalaia.connectors.traffilog.parameters import missing_groups
from atalaia.connectors.traffilog.protocol import Came
from atalaia.connectors.traffilog.snapshot import Record
from atalaia.connectors.traffilog.units import Gone, Report, read_message
from atalaia.connectors.traffilog.wire import CONFIG_STATUS, MESSAGES, PARAMETERS, Push, Row, text_of
from atalaia.errors import Rejected

AFTER_QUICK_S = 2.0
TURN_S = 1.0
VAIN_MOST = 3


@dataclass(frozen=True)
class Window:
    """How long and how eagerly one reading collects. Seconds."""

    most_s: float
    quiet_s: float
    quick_every_s: float
    resubscribe_every_s: float
    modules_s: float
    modules_every_s: float


class Collector:
    """One vehicle's record while a job collects it; it lives over several sockets and tries."""

    def __init__(self, live: Live, vehicle_id: str) -> None:
        self.record = Record(vehicle_id)
        self.counts = {"parameters": 0, "messages": 0}  # pushes, by kind
        self._live = live
        self._clock = live.ctx.ambient.clock
        self._vehicle = vehicle_id
        self._names: dict[str, str] = {}
        self._last_parameter_at: float | None = None

    @property
    def unit_key(self) -> str:
        return self.record.text("unit_key")

    # The stored part.

    async def read_header(self, line: Line) -> bool:
        """Read the header and whether the unit is connected; answer whether the vehicle is known at all."""
        within_s = self._live.settings.read_within_s
        info = await line.ask(actions.vehicle_info(self._vehicle), within_s=within_s)
        if not info.rows:
            return False
        self.record.take_info(info.rows[0], self._live.now_ms())
        try:
            told = first_row(await line.ask(actions.connected(self._vehicle), within_s=within_s))
        except Rejected:
            return True
        number = text_of(told, "is_connected")
        if number.isdigit():  # 2 and 0 were seen; above 0 is connected
            self.record.take_connected(int(number) > 0, self._live.now_ms(), live=False)
        return True

    async def read_names(self, line: Line) -> None:
        """Read which parameters there are, by name, and what else is known of them."""
        within_s = self._live.settings.read_within_s
        listed = await line.ask(actions.parameter_list(self._vehicle), within_s=within_s)
        for row in listed.rows:
            self._names[text_of(row, "id").upper()] = text_of(row, "param_type_descr")
        try:
            await line.ask(actions.parameter_metadata(self._vehicle), within_s=within_s)
        except Rejected:
            pass  # written down; nothing of it is needed

    async def read_modules(self, line: Line, window: Window) -> None:
        """Read the modules until the registry is whole or time is over; the largest reading stays."""
        until = self._clock.monotonic() + window.modules_s
        while True:
            try:
                told = await line.ask(
                    actions.module_state(self._vehicle), within_s=self._live.settings.read_within_s
                )
                self.record.take_modules(told.rows, self._live.now_ms())
            except Rejected:
                pass  # the registry says nothing about the buses then
            if self.modules_complete or self._clock.monotonic() + window.modules_every_s > until:
                return
            await self._say("Waiting for the modules.")
            await self._clock.sleep(window.modules_every_s)

    @property
    def modules_complete(self) -> bool:
        return modules.is_complete(modules.from_rows(self.module_rows))

    @property
    def module_rows(self) -> list[dict[str, Any]]:
        """The best reading of the modules so far."""
        return self.record.modules["rows"] if self.record.modules else list[dict[str, Any]]()

    # The live part.

    async def subscribe(self, line: Line, *, again: bool = True) -> None:
        """Ask for all pushes of the vehicle, from a clean slate."""
        if again:
            await line.fire(actions.unsubscribe(self._vehicle))
        for kind in (MESSAGES, CONFIG_STATUS, PARAMETERS):
            await line.fire(actions.subscribe(self._vehicle, kind, value=True))

    async def collect(self, line: Line, window: Window) -> None:
        """Collect pushes: ask for bursts while that brings something new, end in silence or with the window.

        Not every vehicle has every quantity, so a few bursts without a new value are enough asking.
        """
        began = self._clock.monotonic()
        self._last_parameter_at = None
        await self._quick(line)
        await self._listen(line, AFTER_QUICK_S)
        quick_at, subscribe_at = began + window.quick_every_s, began + window.resubscribe_every_s
        known, vain = len(self.record.parameters), 0
        while (now := self._clock.monotonic()) - began < window.most_s:
            last = self._last_parameter_at
            if len(self.record.parameters) > known:
                known, vain = len(self.record.parameters), 0
            asks = last is None or (vain < VAIN_MOST and bool(missing_groups(self.record.parameters)))
            if last is not None and not asks and now - last >= window.quiet_s:
                return
            if last is None and now >= subscribe_at:
                await self.subscribe(line)
                subscribe_at, quick_at = now + window.resubscribe_every_s, now
            if asks and now >= quick_at:
                await self._quick(line)
                vain += 1
                quick_at = now + window.quick_every_s
            await self._listen(line, TURN_S)
            await self._say("Collecting parameters.")

    async def _quick(self, line: Line) -> None:
        """Ask for a burst. Its answer, often `1001`, says nothing: the values come all the same."""
        if self.unit_key:
            await line.fire(actions.quick_command(self.unit_key))

    async def _listen(self, line: Line, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while (left_s := until - self._clock.monotonic()) > 0:
            for came in await line.pushes(within_s=left_s):
                self._take(came)

    def _take(self, came: Came) -> None:
        message, now = came.message, self._live.now_ms()
        if not isinstance(message, Push) or came.vehicle_id not in ("", self._vehicle):
            return
        if message.source == PARAMETERS:
            self.counts["parameters"] += 1
            self._last_parameter_at = self._clock.monotonic()
            self.record.take_parameters(message.rows, now)
            self.record.beat(now)
        elif message.source == MESSAGES:
            self.counts["messages"] += 1
            for row in message.rows:
                self._take_message(row, now)

    def _take_message(self, row: Row, now_ms: int) -> None:
        match read_message(text_of(row, "raw_message")):
            case Report() as report:
                driver = report.driver_code or text_of(row, "driver_code").strip()
                self.record.take_report(replace(report, driver_code=driver), now_ms)
                self.record.beat(now_ms)
            case Gone():
                self.record.take_connected(False, now_ms, live=True)
            case _:
                pass

    async def _say(self, said: str) -> None:
        missing = missing_groups(self.record.parameters)
        percent = 100.0 * (10 - len(missing)) / 10
        found = {"parameters": len(self.record.parameters), "modules": len(self.module_rows)}
        await self._live.ctx.progress(percent, said, **found, missing=missing)

    # What came of it.

    def whole(self) -> dict[str, Any]:
        """Answer the record, with how many pushes it was made of."""
        return {**self.record.whole(self._live.now_ms(), self._names), "pushes": dict(self.counts)}


def summary_of(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Answer what a person needs to judge a CAN check: buses by verdict, what is missing, how old it is."""
    buses = {name: one.get("verdict", "") for name, one in snapshot["buses"].items()}
    return {
        "buses": buses,
        "parameters": len(snapshot["parameters"]),
        "missing": snapshot["missing"],
        "modules": len(snapshot["modules"]),
        "modules_complete": snapshot["modules_complete"],
        "connected": snapshot["connected"],
        "age_s": snapshot["age_s"],
        "key_matches": snapshot["key_matches"],
    }
