"""Jobs that the clock asks for: per connection, one after the other, and never more than were missed by one.

When one was asked for last stands in the jobs themselves, so a restart or another owner goes on where the
last one was. A look that finds nothing to do leaves no job behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connections.registry import Configured, Registry
from atalaia.errors import ConfigError, StoreUnavailable
from atalaia.jobs.queries import ENDED
from atalaia.jobs.submit import Order, Orders
from atalaia.store.job_tables import jobs
from atalaia.store.store import Store
from atalaia.store.tables import connections

log = structlog.get_logger(__name__)

BY = "schedule"
LOOK_S = 10.0
PRIORITY = -10  # what people ask for goes first
AGAIN_MOST_S = 3600.0  # after failures the pause doubles up to this, or stays what it is when it is longer
FAILURES_COUNTED = 10


@dataclass(frozen=True)
class Schedule:
    """One kind of job that the clock asks for.

    kind: without the connector's name. every_s: (settings) -> seconds between two, 0 for never.
    params: (tx, connection, settings, now_ms) -> what to ask for now, None when there is nothing to do.
    """

    kind: str
    every_s: Callable[[Any], float]
    params: Callable[[Connection, str, Any, int], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Schedules:
    """Asks for what is due. One worker alone may run it. declared: by the connector's name."""

    store: Store
    ambient: Ambient
    registry: Registry
    orders: Orders
    declared: Mapping[str, Sequence[Schedule]]

    async def run(self) -> None:
        """Look until cancelled."""
        looked: dict[tuple[str, str], int] = {}
        while True:
            await self.ambient.clock.sleep(LOOK_S)
            try:
                await self.look(looked)
            except StoreUnavailable as error:
                log.warning("schedules.not_looked", said=str(error))
            except Exception:
                log.exception("schedules.defect")  # the next look tries again

    async def look(self, looked: dict[tuple[str, str], int]) -> list[str]:
        """Ask for what is due now; answer the ids of the jobs.

        looked: when each was last looked at, in Unix ms; a look that found nothing waits its turn, too.
        """
        asked: list[str] = []
        for identity in await self.store.read(self._wanted):
            try:
                one = await self.store.read(lambda tx, i=identity: self.registry.get(tx, i))
            except ConfigError:
                continue  # its owner complains of it; the others' turns come all the same
            if one is None:
                continue
            for schedule in self.declared.get(one.connector, ()):
                asked += await self._try(one, schedule, looked)
        return asked

    def _wanted(self, tx: Connection) -> list[str]:
        c = connections.c
        wanted = (c.deleted_ms.is_(None), c.desired == "on", c.connector.in_(list(self.declared)))
        return list(tx.scalars(select(c.id).where(*wanted).order_by(c.id)))

    async def _try(
        self, one: Configured, schedule: Schedule, looked: dict[tuple[str, str], int]
    ) -> list[str]:
        now = to_ms(self.ambient.clock.now())
        place = (one.id, schedule.kind)
        every_ms = round(schedule.every_s(one.settings) * 1000)
        if not every_ms or now < looked.get(place, 0) + every_ms:
            return []
        if not await self.store.read(lambda tx: _is_due(tx, one, schedule, every_ms, now)):
            return []
        looked[place] = now
        job = await self.store.write(lambda tx: self._ask(tx, one, schedule, now))
        return [job] if job else []

    def _ask(self, tx: Connection, one: Configured, schedule: Schedule, now_ms: int) -> str:
        params = schedule.params(tx, one.id, one.settings, now_ms)
        if params is None:
            return ""
        # What nobody could begin within its turn is not worth doing any more: the next one looks anew.
        expires = now_ms + round(schedule.every_s(one.settings) * 1000)
        order = Order(
            f"{one.connector}.{schedule.kind}", one.id, params, BY, priority=PRIORITY, expires_ms=expires
        )
        return self.orders.submit(tx, order).id


def _is_due(tx: Connection, one: Configured, schedule: Schedule, every_ms: int, now_ms: int) -> bool:
    """Answer whether the last one ended and its turn is over; failures in a row make the pause longer."""
    c = jobs.c
    mine = (c.connection == one.id, c.kind == f"{one.connector}.{schedule.kind}", c.by == BY)
    query = select(c.state, c.created_ms).where(*mine).order_by(c.id.desc()).limit(FAILURES_COUNTED)
    rows = list(tx.execute(query))
    if not rows:
        return True
    if rows[0].state not in ENDED:
        return False
    failures = next((n for n, row in enumerate(rows) if row.state != "failed"), len(rows))
    longest_ms = max(every_ms, round(AGAIN_MOST_S * 1000))
    return now_ms >= rows[0].created_ms + min(every_ms * 2**failures, longest_ms)
