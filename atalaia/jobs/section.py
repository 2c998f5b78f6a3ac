"""A lock of a connection over all workers, held for seconds: a lease row that is renewed and fenced."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.errors import StoreUnavailable
from atalaia.store.bell import SECTIONS
from atalaia.store.leases import Lease, claim, release, renew
from atalaia.store.store import Store, database_ms, ring_after
from atalaia.store.tables import leases

TTL_S = 10.0
BEAT_S = 2.5
LOOK_S = 0.5
PREFIX = "section:"


@asynccontextmanager
async def hold(store: Store, ambient: Ambient, name: str) -> AsyncGenerator[Lease]:
    """Hold the lock `name` until the block ends; others wait. Names are the whole house's.

    A holder that dies is freed after `TTL_S`. One that slept so long does not notice by itself: what it
    wants to do must check the lease in the transaction in which it says so (`leases.check`).
    """
    owner = ambient.ids.new()
    lease = await _take(store, ambient, PREFIX + name, owner)
    beating = asyncio.create_task(_beat(store, ambient, lease, owner))
    try:
        yield lease
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating
        with contextlib.suppress(StoreUnavailable):  # it runs out by itself
            await store.write(lambda tx: _release(tx, lease, owner))


async def _take(store: Store, ambient: Ambient, name: str, owner: str) -> Lease:
    ttl_ms = int(TTL_S * 1000)
    while True:
        rung = store.bell.count(SECTIONS)
        process_ms = to_ms(ambient.clock.now())
        if await store.read(lambda tx, now=process_ms: _is_free(tx, name, now)):
            taken = await store.write(
                lambda tx, now=process_ms: claim(tx, [name], owner, ttl_ms=ttl_ms, process_ms=now, most=1)
            )
            if taken:
                return taken[0]
        await store.bell.wait(SECTIONS, rung, at_most_s=LOOK_S)


def _is_free(tx: Connection, name: str, process_ms: int) -> bool:
    row = tx.execute(select(leases.c.owner, leases.c.expires_ms).where(leases.c.name == name)).first()
    return row is None or row.owner is None or row.expires_ms <= database_ms(tx, process_ms)


async def _beat(store: Store, ambient: Ambient, lease: Lease, owner: str) -> None:
    ttl_ms = int(TTL_S * 1000)
    while True:
        await ambient.clock.sleep(BEAT_S)
        process_ms = to_ms(ambient.clock.now())
        with contextlib.suppress(StoreUnavailable):  # the next beat tries again; `check` is what counts
            await store.write(
                lambda tx, now=process_ms: renew(tx, [lease], owner, ttl_ms=ttl_ms, process_ms=now)
            )


def _release(tx: Connection, lease: Lease, owner: str) -> None:
    release(tx, [lease], owner)
    ring_after(tx, SECTIONS)
