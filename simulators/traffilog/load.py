"""Many units that talk at once, at a given rate: nine messages to one push of eight values.

The vehicles that somebody hears take turns. The distance (00002714) of each push of values carries the moment
at which it left, in Unix milliseconds modulo 2**32: whoever understood it can tell how late he is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atalaia.clock import to_ms
from simulators.traffilog import parameters, reports
from simulators.traffilog.connections import MESSAGES, PARAMETERS
from simulators.traffilog.models import Json

if TYPE_CHECKING:
    from simulators.traffilog.upstream import Upstream

TICK_S = 0.01
STAMP = "00002714"
VALUES = (
    STAMP, "00002712", "00002713", "00002715", "00002717", "00002718", "00002719", "00002710",
)  # fmt: skip
PAYLOAD = "0402F007"  # no unit says this by itself while nothing runs in it
VALUES_EACH = 10


class Load:
    """One run of pushes. `as_json` tells how far it is."""

    def __init__(self, up: Upstream, rate: float, seconds: float) -> None:
        self.up = up
        self.rate = rate
        self.seconds = seconds
        self.messages = self.values = 0
        self.began_ms = self.ended_ms = 0

    async def run(self) -> None:
        """Push until the time is over; what a tick came too late for is caught up with."""
        clock = self.up.clock
        heard = [one for one in self.up.vehicles.values() if self.up.connections.listening(one.id, MESSAGES)]
        self.began_ms = to_ms(clock.now())
        began = clock.monotonic()
        while heard and (passed := clock.monotonic() - began) < self.seconds:
            while self.messages + self.values < passed * self.rate:
                number = self.messages + self.values
                self._push(heard[number // VALUES_EACH % len(heard)].id, number)
            await clock.sleep(TICK_S)
        self.ended_ms = to_ms(clock.now())

    def _push(self, vehicle_id: str, number: int) -> None:
        vehicle = self.up.vehicles[vehicle_id]
        unit = self.up.unit_of(vehicle)
        if unit is None:
            return
        if number % VALUES_EACH:
            reports.from_unit(self.up, unit, f"1502{unit.next_told()}{PAYLOAD}")
            self.messages += 1
            return
        unit.values[STAMP] = (f"{to_ms(self.up.now()) % 2**32:08X}", "FF")
        rows = parameters.push_rows(unit, list(VALUES), self.up.now(), self.up.random)
        self.up.connections.push(vehicle_id, PARAMETERS, rows)
        self.values += 1

    def as_json(self) -> Json:
        """Answer state, counts and times (Unix ms)."""
        state = "over" if self.ended_ms else "running"
        return {
            "state": state, "messages": self.messages, "values": self.values, "began_ms": self.began_ms,
            "ended_ms": self.ended_ms,
        }  # fmt: skip
