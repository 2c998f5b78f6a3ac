"""Faults as switches: begun and ended by name, for a time of the clock, each for itself."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from atalaia.clock import Clock
from simulators.fault import Fault

Key = tuple[str, str]  # a fault's name, and whom it is for: empty for everybody


class Switches(ABC):
    """Starts and ends the faults of one simulator. `LookupError` for a name that is not in `faults`.

    `scope_option` names the option by which one fault may be active several times side by side, each
    with its own end; empty for simulators whose faults are for everybody.
    """

    scope_option: ClassVar[str] = ""

    def __init__(self, faults: Mapping[str, Fault], clock: Clock) -> None:
        self.faults = faults
        self.until: dict[Key, float | None] = {}
        self._clock = clock
        self._timers: dict[Key, asyncio.Task[None]] = {}

    @abstractmethod
    async def begin(self, name: str, times: int | None, options: dict[str, Any]) -> None:
        """Carry the fault out; a lasting one was ended before, if it was active."""

    @abstractmethod
    async def end(self, name: str, scope: str) -> None:
        """Take a lasting fault back."""

    def active(self, name: str) -> bool:
        """Answer whether a lasting fault holds for anybody."""
        return any(key[0] == name for key in self.until)

    def scope(self, options: Mapping[str, Any]) -> str:
        return str(options.get(self.scope_option, "")) if self.scope_option else ""

    async def start(
        self, name: str, seconds: float | None = None, times: int | None = None, **options: Any
    ) -> None:
        """Begin a fault, for `seconds` of the clock, for so many `times`, or until `stop`."""
        fault = self.faults[name]
        if fault.kind == "lasting":
            key = (name, self.scope(options))
            await self.stop(*key)
            self.until[key] = None if seconds is None else self._clock.monotonic() + seconds
            if seconds is not None:
                self._timers[key] = asyncio.create_task(self._end_later(key, seconds))
        await self.begin(name, times, options)

    async def stop(self, name: str, scope: str = "") -> None:
        """End a lasting fault for `scope`, or all of that name; the others end as their `ends` says."""
        for key in [one for one in self.until if one[0] == name and scope in ("", one[1])]:
            timer = self._timers.pop(key, None)
            if timer is not None and timer is not asyncio.current_task():
                timer.cancel()
            del self.until[key]
            await self.end(*key)

    async def stop_all(self) -> None:
        for name, scope in list(self.until):
            await self.stop(name, scope)
        for timer in self._timers.values():
            timer.cancel()

    def as_json(self) -> list[dict[str, object]]:
        """Answer all faults, with `active` and `left_s` (seconds), for the fault panel."""
        now = self._clock.monotonic()
        rows: list[dict[str, object]] = []
        for fault in self.faults.values():
            ends = [until for (name, _), until in self.until.items() if name == fault.name]
            active = self.active(fault.name)
            timed = [until for until in ends if until is not None]
            left = round(max(0.0, max(timed) - now), 1) if active and len(timed) == len(ends) > 0 else None
            rows.append({**fault.as_json(), "active": active, "left_s": left})
        return rows

    async def _end_later(self, key: Key, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await self.stop(*key)
