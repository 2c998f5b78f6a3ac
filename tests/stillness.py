"""A held clock that moves only once nothing is left to do: whole hubs with real sockets, at no real speed.

`HeldClock` lets a fixed number of turns pass between two sleepers, which is too few for what goes through
sockets and threads, and on a busy machine any pause is. Here the loop itself says when it has nothing to do:
no callback is ready, no socket has anything to read, no thread works for it. What comes over the loopback is
there as soon as it was sent, so that time moves on exactly when everybody waits for time.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from atalaia.clock import HeldClock
from atalaia.store.bell import Bell
from atalaia.store.store import Store, Work

T = TypeVar("T")
AGAIN_S = 0.001  # after something came: one more look, should the kernel have been late
AT_ONCE_S = 1e-6  # what is due within so little is due together


class _Watch(selectors.DefaultSelector):
    """The loop's selector, which tells when the loop would only wait."""

    def __init__(self) -> None:
        super().__init__()
        self.at_work = 0
        self.waiting: list[asyncio.Future[None]] = []
        self._spoke = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            self._spoke = self._spoke or bool(found)
            return found
        if self.at_work or not self.waiting:
            return super().select(timeout)
        if self._spoke:
            self._spoke = False
            if found := super().select(AGAIN_S):
                return found
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)
        return []


class StillLoop(asyncio.SelectorEventLoop):
    """A loop that can be asked to say when it is still."""

    def __init__(self) -> None:
        self._watch = _Watch()
        super().__init__(self._watch)

    async def still(self) -> None:
        """Wait until everybody waits for something that only time or another call can bring."""
        future: asyncio.Future[None] = self.create_future()
        self._watch.waiting.append(future)
        await future

    def works_for_us(self, work: Awaitable[T]) -> asyncio.Future[T]:
        """Count what another thread does for this loop, until its answer is here."""
        self._watch.at_work += 1
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._has_worked)
        return task

    def _has_worked(self, _: object) -> None:
        self._watch.at_work -= 1


def _loop() -> StillLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StillLoop), "this test needs `pytest_asyncio_loop_factories` of its folder"
    return loop


async def still() -> None:
    """Wait until the running loop has nothing to do."""
    await _loop().still()


class StillClock(HeldClock):
    """A held clock whose `run_for` wakes sleepers only once all that the last ones began is done."""

    async def run_for(self, seconds: float, *, settle: int = 0) -> None:
        end = self._passed + seconds
        await still()
        while self._sleepers and self._sleepers[0][0] <= end:
            due = self._sleepers[0][0]
            self._move_to(max(due, self._passed))
            while self._sleepers and self._sleepers[0][0] <= due + AT_ONCE_S:
                _, _, future = heapq.heappop(self._sleepers)
                if not future.done():
                    future.set_result(None)
            await still()
        self._move_to(max(end, self._passed))
        await still()

    async def run_until(self, true: Callable[[], Any], *, step_s: float, at_most_s: float) -> float:
        """Let time pass until `true`; answer how much of it passed, by the end of the step."""
        began = self._passed
        while not await _answer(true):
            assert self._passed - began < at_most_s, f"not within {at_most_s:g} s of held time"
            await self.run_for(step_s)
        return self._passed - began


async def _answer(true: Callable[[], Any]) -> Any:
    found = true()
    return await found if isinstance(found, Awaitable) else found


class StillStore(Store):
    """A store whose work in threads keeps the clock from moving."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]:
        return self._store.dialect

    @property
    def bell(self) -> Bell:
        return self._store.bell

    async def write(self, work: Work[T]) -> T:
        return await asyncio.shield(_loop().works_for_us(self._store.write(work)))

    async def read(self, work: Work[T]) -> T:
        return await asyncio.shield(_loop().works_for_us(self._store.read(work)))

    async def still(self, work: Callable[[], T]) -> T:
        return await self._store.still(work)

    async def close(self) -> None:
        await self._store.close()
