"""The line of one job: its own login and socket, opened when a step needs it, left when it breaks."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, cast

from atalaia.clock import to_ms
from atalaia.connectors.traffilog.line import Line, Watcher, open_line
from atalaia.connectors.traffilog.reach import probe
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.errors import Unavailable
from atalaia.jobs.model import JobContext

# An upstream that is away is looked for this often, by a TCP connection alone: cheap for both sides, and
# twenty jobs that wait for it go on within two seconds.
LOOK_EVERY_S = 1.0
PAUSE_FIRST_S = 1.0
PAUSE_MOST_S = 5.0


class Live:
    """Use it as a context around a job's steps. The token is never shared, kept or written down."""

    def __init__(self, ctx: JobContext) -> None:
        self.ctx = ctx
        self.settings = cast("TraffilogSettings", ctx.settings)
        self._stack: AsyncExitStack | None = None
        self._line: Line | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def line(self) -> Line:
        """Answer an open line, a new one when there is none or the last one broke. Errors: as `open_line`."""
        if self._line is not None and not self._line.broken:
            return self._line
        await self.leave()
        stack = AsyncExitStack()
        ctx = self.ctx
        watcher = Watcher(append=ctx.append, frame=ctx.frame, job=ctx.job)
        self._line = await stack.enter_async_context(open_line(self.settings, ctx.ambient, watcher, tries=1))
        self._stack = stack
        return self._line

    async def leave(self) -> None:
        """Close the line, if there is one: the next step that needs one logs in anew."""
        stack, self._stack, self._line = self._stack, None, None
        if stack is not None:
            await stack.aclose()

    async def wait_out(self, tries: int, error: Unavailable) -> None:
        """Pause after the `tries`-th failure in a row: at least until the upstream can be reached."""
        clock = self.ctx.ambient.clock
        await self.leave()
        await self.ctx.progress(None, str(error), waiting_for="upstream")
        pause = min(PAUSE_MOST_S, PAUSE_FIRST_S * 2 ** min(tries - 1, 8))
        await clock.sleep(pause * (1 - 0.3 * self.ctx.ambient.random.random()))
        while not await self._reachable():
            await clock.sleep(LOOK_EVERY_S * (1 - 0.3 * self.ctx.ambient.random.random()))

    async def _reachable(self) -> bool:
        way = await probe(self.settings.socket_url, self.settings, self.ctx.ambient.clock, tcp_only=True)
        return way.failed is None

    def now_ms(self) -> int:
        return to_ms(self.ctx.ambient.clock.now())
