"""Wakes what asked for it, at a time of the clock that was handed in; one task for all."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine

from atalaia.clock import Clock


class Alarms:
    """A heap of moments and what to call then. `run` must be running."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._earlier = asyncio.Event()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call `call` in that many seconds, or later."""
        due = self._clock.monotonic() + max(0.0, seconds)
        if not self._heap or due < self._heap[0][0]:
            self._earlier.set()
        heapq.heappush(self._heap, (due, next(self._order), call))

    async def run(self) -> None:
        """Call what is due, for ever."""
        while True:
            now = self._clock.monotonic()
            while self._heap and self._heap[0][0] <= now:
                _, _, call = heapq.heappop(self._heap)
                call()
            self._earlier.clear()
            await self._pause(self._heap[0][0] - now if self._heap else None)

    async def _pause(self, seconds: float | None) -> None:
        """Sleep until the next one is due, or an earlier one was set."""
        if seconds is None:
            await self._earlier.wait()
            return
        await first_of(self._clock.sleep(seconds), self._earlier.wait())


async def first_of(*waits: Coroutine[object, object, object]) -> None:
    """Wait for the first of several; the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
