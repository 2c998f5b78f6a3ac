"""Time, handed in: nobody below reads the wall clock on his own."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """What code may know of time."""

    def now(self) -> datetime:
        """Answer the wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Answer seconds that never step back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause the calling task for `seconds` of this clock."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ScaledClock:
    """Machine time made `factor` times faster, counted from `start`; simulators use it."""

    def __init__(self, factor: float, start: datetime | None = None) -> None:
        self.factor = factor
        self._start = start or datetime.now(UTC)
        self._began = time.monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=(time.monotonic() - self._began) * self.factor)

    def monotonic(self) -> float:
        return (time.monotonic() - self._began) * self.factor

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.factor)


class HeldClock:
    """A clock that stands still until `run_for` moves it: for tests and replays."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._passed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._passed

    def set(self, moment: datetime) -> None:
        """Put the hands to `moment` without waking anybody: a replay follows its capture."""
        self._passed += max(0.0, (moment - self._now).total_seconds())
        self._now = moment

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed + seconds, next(self._order), future))
        await future

    async def run_for(self, seconds: float, *, settle: int = 50) -> None:
        """Move time forward, waking sleepers in order and letting tasks run between them."""
        end = self._passed + seconds
        await self._settle(settle)
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._move_to(due)
            if not future.done():
                future.set_result(None)
            await self._settle(settle)
        self._move_to(end)
        await self._settle(settle)

    def wakes(self, seconds: float) -> bool:
        """Answer whether somebody sleeps whom `run_for(seconds)` would wake.

        What is written can be read before its writer hears of it, so the limit that it then sets on
        the answer may begin only after time was moved.
        """
        end = self._passed + seconds
        return any(due <= end and not future.done() for due, _, future in self._sleepers)

    def _move_to(self, passed: float) -> None:
        self._now += timedelta(seconds=passed - self._passed)
        self._passed = passed

    async def _settle(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T], *, turns: int = 0) -> T:
    """Answer what `work` answers. Errors: `TimeoutError` after `seconds` of this clock; it is then ended.

    turns: so many turns of the event loop it gets after its time, should what it waits for lie there unread.
    """
    task = asyncio.create_task(work)
    timer = asyncio.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        while not task.done() and turns > 0:
            turns -= 1
            await asyncio.sleep(0)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        timer.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def to_ms(moment: datetime) -> int:
    """Answer whole Unix milliseconds; the store keeps every time in this unit."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def from_ms(unix_ms: int) -> datetime:
    """Answer the aware UTC moment of `unix_ms`."""
    return _EPOCH + timedelta(milliseconds=unix_ms)


def rfc3339(unix_ms: int) -> str:
    """Answer `2026-11-20T20:48:56.130Z`: how times look on the wire and in exports."""
    return f"{_to_the_second(unix_ms // 1000)}.{unix_ms % 1000:03d}Z"


@lru_cache(maxsize=256)
def _to_the_second(unix_s: int) -> str:
    return (_EPOCH + timedelta(seconds=unix_s)).strftime("%Y-%m-%dT%H:%M:%S")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
