"""Writes what the keepers of one process saw of their planes: all of them together, once a second.

A thousand busy sessions prove something each second; a transaction for each would cost more than hearing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection

from atalaia.clock import Clock
from atalaia.errors import Fenced, StoreUnavailable
from atalaia.store.bulk import given, run
from atalaia.store.leases import Lease, epochs_of
from atalaia.store.store import Store
from atalaia.store.tables import planes
from atalaia.store.upsert import upsert_many

log = structlog.get_logger(__name__)

EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Due:
    """What one keeper wants written. rows: of `planes`. heard_ms: until when all was heard, or None."""

    connection: str
    lease: Lease
    names: frozenset[str]
    rows: Sequence[dict[str, Any]]
    heard_ms: int | None


class Kept(Protocol):
    """What is asked of a keeper."""

    def due(self) -> Due | None:
        """Hand out what is to be written, None for nothing; the latest look of each plane wins."""
        ...

    def written(self, due: Due, error: Fenced | StoreUnavailable | None) -> None:
        """Take it that this was written, or was not."""
        ...


class Proofs:
    """Runs for as long as there is a keeper."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._kept: dict[Kept, None] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def keeping(self, one: Kept) -> Generator[None]:
        """Write for this keeper until the end of the block."""
        self._kept[one] = None
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._kept.pop(one, None)
            if not self._kept:
                task, self._task = self._task, None
                task.cancel()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY_S)
            try:
                await self._flush()
            except Exception:
                # Proofs are not written, but the sessions live; it must be seen, not end them.
                log.exception("proofs.defect")

    async def _flush(self) -> None:
        handed = [(one, due) for one in list(self._kept) if (due := _due(one)) is not None]
        if not handed:
            return
        newer: dict[str, Fenced] = {}
        error: StoreUnavailable | None = None
        try:
            newer = await self._store.write(lambda tx: _write(tx, [due for _, due in handed]))
        except StoreUnavailable as unavailable:
            error = unavailable
        for one, due in handed:
            if one in self._kept:
                one.written(due, error or newer.get(due.connection))


def _due(one: Kept) -> Due | None:
    try:
        return one.due()
    except Exception:
        log.exception("proofs.defect")  # what one cannot tell must not hold up the others
        return None


def _write(tx: Connection, handed: Sequence[Due]) -> dict[str, Fenced]:
    """Write for those that still own their connection; answer the others, by connection."""
    current = epochs_of(tx, [due.lease.name for due in handed])
    newer = {
        due.connection: Fenced(f"{due.lease.name} is owned by a newer worker.")
        for due in handed
        if current.get(due.lease.name) != due.lease.epoch
    }
    ours = sorted((due for due in handed if due.connection not in newer), key=lambda due: due.connection)
    upsert_many(tx, planes, [row for due in ours for row in due.rows], ("connection", "plane"))
    heard = [(due.connection, due.heard_ms) for due in ours if due.heard_ms is not None]
    for table, values in given(tx, {"connection": "text", "heard_ms": "bigint"}, heard):
        same = "connection_states.connection = given.connection"
        sql = f"update connection_states set heard_ms = given.heard_ms from {table} where {same}"  # noqa: S608
        run(tx, sql, *values)
    return newer
