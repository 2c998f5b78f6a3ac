"""Jobs that the clock asks for: one after the other, never a heap of them, and seldom where they fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select, update

from atalaia.clock import to_ms
from atalaia.jobs.schedule import BY, PRIORITY, Schedule, Schedules
from atalaia.store.job_tables import jobs
from atalaia.store.tables import connections
from tests.jobs.toy import ToySettings
from tests.jobs.yard import CONNECTION, Yard

EVERY_S = 300.0


class Clockwork:
    """The schedule of one kind of toy job, looked at by hand."""

    def __init__(self, yard: Yard, every_s: float = EVERY_S, **params: Any) -> None:
        self.yard, self.params = yard, params
        self.nothing_to_do = False
        self._every_s = every_s
        self.restart()

    def restart(self) -> None:
        """Begin anew, as another worker does that has seen nothing."""
        yard = self.yard
        declared = {"toy": (Schedule("one", lambda _: self._every_s, self._wanted),)}
        self._schedules = Schedules(yard.store, yard.ambient, yard.registry, yard.orders, declared)
        self._looked: dict[tuple[str, str], int] = {}

    def _wanted(self, *_: Any) -> Mapping[str, Any] | None:
        return None if self.nothing_to_do else {"resource": "r", **self.params}

    async def look(self) -> int:
        return len(await self._schedules.look(self._looked))

    async def asked(self) -> list[Any]:
        query = select(jobs).where(jobs.c.by == BY).order_by(jobs.c.id)
        return await self.yard.store.read(lambda tx: list(tx.execute(query)))


async def test_each_turn_asks_once_after_the_last_one_has_ended(yard: Yard):
    clock = Clockwork(yard)
    assert [await clock.look(), await clock.look()] == [1, 0]

    await yard.clock.run_for(EVERY_S)
    assert await clock.look() == 0  # it is still queued
    await yard.start()
    [first] = await clock.asked()
    assert (first.priority, first.expires_ms) == (PRIORITY, first.created_ms + round(EVERY_S * 1000))
    await yard.comes_to(first, "expired")  # nobody could begin it in time

    assert await clock.look() == 1


async def test_a_turn_with_nothing_to_do_leaves_no_job(yard: Yard):
    clock = Clockwork(yard)
    clock.nothing_to_do = True
    assert await clock.look() == 0

    clock.nothing_to_do = False
    assert await clock.look() == 0  # its turn is over
    await yard.clock.run_for(EVERY_S)
    assert await clock.look() == 1


async def test_another_worker_goes_on_where_the_last_one_was(yard: Yard):
    clock = Clockwork(yard)
    await clock.look()
    [job] = await clock.asked()
    await yard.cancel(job)
    clock.restart()

    await yard.clock.run_for(EVERY_S - 1)
    assert await clock.look() == 0
    await yard.clock.run_for(1)
    assert await clock.look() == 1


async def test_what_fails_is_asked_for_more_and_more_seldom(yard: Yard):
    clock = Clockwork(yard, how="rejected")
    await yard.start()
    gaps: list[float] = []
    last_ms = to_ms(yard.clock.now())
    for _ in range(6):
        waited = 0.0
        while not await clock.look():
            await yard.clock.run_for(60)
            waited += 60
            assert waited < 2 * 3600
        [*_, job] = await clock.asked()
        await yard.comes_to(job, "failed")
        gaps.append((job.created_ms - last_ms) / 1000)
        last_ms = job.created_ms

    assert gaps == [0, 600, 1200, 2400, 3600, 3600]


@pytest.mark.parametrize("how", ["never", "off"])
async def test_nothing_is_asked_for_when_nobody_wants_it(yard: Yard, how: str):
    clock = Clockwork(yard, every_s=0 if how == "never" else EVERY_S)
    if how == "off":
        now = to_ms(yard.clock.now())
        await yard.store.write(lambda tx: yard.registry.change(tx, CONNECTION, now, desired="off"))

    assert await clock.look() == 0


async def test_a_connection_whose_settings_cannot_be_read_keeps_no_other_waiting(yard: Yard):
    now = to_ms(yard.clock.now())
    await yard.store.write(lambda tx: yard.registry.create(tx, "c0", "toy", "Broken", ToySettings(), now))
    broken = update(connections).where(connections.c.id == "c0").values(settings='{"url": 17}')
    await yard.store.write(lambda tx: tx.execute(broken))

    assert await Clockwork(yard).look() == 1
