"""Runs reactions: each has a cursor over the log, an owner, and a place where bad events wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.errors import Fenced, StoreUnavailable
from atalaia.reactions.cursor import Moved
from atalaia.reactions.folding import Folding
from atalaia.reactions.interpreting import Interpreting
from atalaia.store.leases import Lease
from atalaia.store.ownership import Ownership, Watch
from atalaia.store.store import Store

log = structlog.get_logger(__name__)

PREFIX = "reaction:"
POLL_S = 1.0

Reaction = Folding | Interpreting


class Runner:
    """Owns reactions by lease and turns each until it has caught up, then waits for the bell."""

    def __init__(
        self, store: Store, ambient: Ambient, ownership: Ownership, reactions: Sequence[Reaction]
    ) -> None:
        self.reactions = {PREFIX + reaction.name: reaction for reaction in reactions}
        self._store = store
        self._ambient = ambient
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()  # also those that were told to end
        ownership.watch(Watch(PREFIX, self._candidates, self._gained, self._lost))

    async def stop(self) -> None:
        """End all loops; what they had not committed will be folded again."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    def _candidates(self, _: Connection) -> list[str]:
        return list(self.reactions)

    def _gained(self, lease: Lease) -> None:
        task = asyncio.create_task(self._loop(self.reactions[lease.name], lease), name=lease.name)
        self._tasks[lease.name] = task
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _lost(self, name: str) -> None:
        if (task := self._tasks.pop(name, None)) is not None:
            task.cancel()

    async def _loop(self, reaction: Reaction, lease: Lease) -> None:
        reaction.begin(lease)
        while True:
            topic = reaction.topic
            rung = self._store.bell.count(topic)
            try:
                more = await reaction.turn()
            except Moved:
                more = True
            except (Fenced, StoreUnavailable) as error:
                # When the lease is truly gone the next beat ends this loop; until then it may not write.
                log.warning("reaction.waits", reaction=reaction.name, error=str(error))
                await self._pause(reaction, lease)
                continue
            except Exception:
                # A defect outside of any single event: stay loud, do not spin, lose nothing.
                log.exception("reaction.failed", reaction=reaction.name)
                await self._pause(reaction, lease)
                continue
            if not more:
                await self._store.bell.wait(topic, rung, at_most_s=POLL_S)

    async def _pause(self, reaction: Reaction, lease: Lease) -> None:
        reaction.begin(lease)  # what is in memory may be ahead of what was committed
        await self._ambient.clock.sleep(POLL_S)


async def catch_up(reactions: Sequence[Reaction]) -> None:
    """Turn these reactions until none finds anything new: for replays, tests and commands.

    Errors: `StoreUnavailable`. A reaction whose lease is lost is left alone.
    """
    left = list(reactions)
    while left:
        for reaction in list(left):
            try:
                while await reaction.turn():
                    pass
            except Fenced:
                left.remove(reaction)
        # What one appended may wake another, also one that had its turn already.
        if all([await reaction.idle() for reaction in left]):
            return
