"""Keeps this worker's leases alive, takes what is free, and lets go in time when it cannot renew."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil

import structlog
from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.errors import StoreUnavailable
from atalaia.store.bell import LEASES
from atalaia.store.leases import Lease, claim, release, renew
from atalaia.store.store import Store, database_ms, ring_after
from atalaia.store.tables import leases, workers

log = structlog.get_logger(__name__)

TTL_S = 10.0
BEAT_S = 2.5
SAFETY_S = 2.0  # to close what we kept, before others may take it
RENEW_S = 1.0  # who slept and wakes with at least this left renews first, and only then lets go
LOOK_S = 0.25
MOST_PER_BEAT = 20  # a take-over must not become a login storm


@dataclass
class Watch:
    """One kind of thing to own: its names begin with `prefix`.

    candidates: answers all names that somebody should own now. gained/lost: called on the event loop.
    """

    prefix: str
    candidates: Callable[[Connection], Sequence[str]]
    gained: Callable[[Lease], None]
    lost: Callable[[str], None]
    held: dict[str, Lease] = field(default_factory=dict[str, Lease])


@dataclass(frozen=True)
class _Beat:
    """What one beat found: who else lives, what we kept and took, who is newly lost."""

    alive: int
    kept: dict[str, dict[str, Lease]]
    taken: dict[str, list[Lease]]
    surplus: dict[str, list[Lease]]
    lost_workers: list[str]


class Ownership:
    """One per worker. `beat` is one round; `run` repeats it until cancelled.

    alone: nobody else can take what is ours, however late we renew, because a file lock keeps every other
    worker out of this database (SQLite). Otherwise what is held is let go in time.
    most_per_beat: of each kind of thing, so many are taken or handed on in one beat.
    """

    def __init__(
        self, store: Store, ambient: Ambient, worker: str, *, version: str = "", git_sha: str = "",
        alone: bool = False, most_per_beat: int = MOST_PER_BEAT,
    ) -> None:  # fmt: skip
        self.store = store
        self.worker = worker
        self._ambient = ambient
        self._version = version
        self._git_sha = git_sha
        self._alone = alone
        self._most_per_beat = most_per_beat
        self._watches: list[Watch] = []
        self._last_ok = ambient.clock.monotonic()
        self._asked = False  # whether we tried to renew since the last time that went well
        self.on_workers_lost: Callable[[list[str]], None] = lambda _: None

    def watch(self, watch: Watch) -> None:
        """Own things of this kind from the next beat on."""
        self._watches.append(watch)

    async def run(self) -> None:
        """Beat until cancelled; then hand everything back."""
        fence = asyncio.create_task(self._fence_in_time())
        try:
            while True:
                rung = self.store.bell.count(LEASES)
                await self._beat_or_fence()
                await self.store.bell.wait(LEASES, rung, at_most_s=BEAT_S)
        finally:
            fence.cancel()
            await self._hand_back()

    async def _beat_or_fence(self) -> None:
        try:
            # A beat that hangs in a frozen database is given up; real time, like the database's own.
            async with asyncio.timeout(TTL_S):
                await self.beat()
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("lease.beat_failed", error=str(error))
        except Exception:
            # A defect must not end the beats of everything this worker owns; it stays loud.
            log.exception("lease.beat_defect")
        self.fence_if_late()

    async def _fence_in_time(self) -> None:
        """Let go in time even while a beat hangs."""
        while True:
            left = self._last_ok + TTL_S - SAFETY_S - self._ambient.clock.monotonic()
            await self._ambient.clock.sleep(max(left, LOOK_S))
            self.fence_if_late()

    def fence_if_late(self) -> None:
        """Drop everything when the last good beat is so old that somebody else may soon own it.

        Who finds himself late without having asked since then slept (SIGSTOP, a frozen machine): he asks
        first, as long as nobody can have taken anything. Later than that, somebody else may have begun, and
        sessions cannot be kept from speaking until the answer is there.
        """
        late_s = self._ambient.clock.monotonic() - self._last_ok
        if self._alone or late_s < TTL_S - (SAFETY_S if self._asked else RENEW_S):
            return
        for watch in self._watches:
            for name in list(watch.held):
                self._lose(watch, name)

    async def beat(self) -> None:
        """Refresh this worker, renew, take what is free within the fair share, hand back the surplus."""
        began = self._ambient.clock.monotonic()
        # A worker that slept past its leases must let go before it claims anything again.
        self.fence_if_late()
        self._asked = True
        found = await self.store.write(self._round)
        self._last_ok, self._asked = began, False
        for watch in self._watches:
            kept = found.kept[watch.prefix]
            for name in [name for name in watch.held if name not in kept]:
                self._lose(watch, name)
            for lease in found.surplus[watch.prefix]:
                self._lose(watch, lease.name)
            surplus = {lease.name for lease in found.surplus[watch.prefix]}
            for lease in [*kept.values(), *found.taken[watch.prefix]]:
                # What was let go while its renewal was on its way is ours all the same: begin it anew.
                new = lease.name not in watch.held and lease.name not in surplus
                if lease.name not in surplus:
                    watch.held[lease.name] = lease
                if new:
                    watch.gained(lease)
        if found.lost_workers:
            self.on_workers_lost(found.lost_workers)

    def _round(self, tx: Connection) -> _Beat:
        process = to_ms(self._ambient.clock.now())
        now = database_ms(tx, process)
        alive, lost = self._roll_call(tx, now)
        beat = _Beat(alive, {}, {}, {}, lost)
        ttl_ms = int(TTL_S * 1000)
        for watch in self._watches:
            held = list(watch.held.values())
            kept = renew(tx, held, self.worker, ttl_ms=ttl_ms, process_ms=process)
            names = set(watch.candidates(tx))
            share = ceil(len(names) / max(alive, 1))
            wanted = [lease for lease in kept if lease.name in names]
            # What is too much goes as slowly as others take it, or it lies idle meanwhile.
            surplus = [lease for lease in kept if lease.name not in names] + wanted[share:][
                : self._most_per_beat
            ]
            release(tx, surplus, self.worker)
            room = min(self._most_per_beat, share - len(wanted[:share]))
            free = names - {lease.name for lease in kept}
            taken = claim(tx, free, self.worker, ttl_ms=ttl_ms, process_ms=process, most=room)
            beat.kept[watch.prefix] = {lease.name: lease for lease in kept}
            beat.taken[watch.prefix] = taken
            beat.surplus[watch.prefix] = surplus
        return beat

    def _roll_call(self, tx: Connection, now: int) -> tuple[int, list[str]]:
        insert = pg_insert if tx.dialect.name == "postgresql" else sqlite_insert
        row = {
            "id": self.worker, "host": platform.node(), "pid": os.getpid(), "version": self._version,
            "git_sha": self._git_sha, "started_ms": now, "seen_ms": now, "gone_ms": None,
        }  # fmt: skip
        change = {"seen_ms": now, "gone_ms": None}
        tx.execute(insert(workers).values(row).on_conflict_do_update(index_elements=["id"], set_=change))
        late = (workers.c.gone_ms.is_(None), workers.c.seen_ms < now - int(TTL_S * 1000))
        lost = list(
            tx.scalars(
                select(workers.c.id).where(*late).order_by(workers.c.id).with_for_update(skip_locked=True)
            )
        )
        if lost:
            tx.execute(update(workers).where(workers.c.id.in_(lost)).values(gone_ms=now))
        alive = len(list(tx.scalars(select(workers.c.id).where(workers.c.gone_ms.is_(None)))))
        return alive, lost

    def _lose(self, watch: Watch, name: str) -> None:
        if watch.held.pop(name, None) is not None:
            watch.lost(name)

    async def _hand_back(self) -> None:
        held = [lease for watch in self._watches for lease in watch.held.values()]
        for watch in self._watches:
            for name in list(watch.held):
                self._lose(watch, name)
        try:
            await self.store.write(lambda tx: self._leave(tx, held))
        except StoreUnavailable as error:
            log.warning("lease.hand_back_failed", error=str(error))

    def _leave(self, tx: Connection, held: list[Lease]) -> None:
        release(tx, held, self.worker)
        ring_after(tx, LEASES)
        gone = database_ms(tx, to_ms(self._ambient.clock.now()))
        tx.execute(update(workers).where(workers.c.id == self.worker).values(gone_ms=gone))


def free_all(tx: Connection) -> None:
    """Free every lease: only right where a file lock proves that no other process lives (SQLite at start)."""
    tx.execute(update(leases).values(owner=None, expires_ms=0))
    tx.execute(update(workers).where(workers.c.gone_ms.is_(None)).values(gone_ms=workers.c.seen_ms))
