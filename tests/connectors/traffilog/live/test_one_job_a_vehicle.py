"""One job at a time on a vehicle, whether it is named by its id, its plate or its unit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import insert

from atalaia.clock import HeldClock, to_ms
from atalaia.connectors.traffilog.portal.known import known_vehicles
from atalaia.jobs.rows import Job
from atalaia.jobs.submit import Order
from atalaia.store.store import Store
from atalaia.store.vehicle_tables import vehicles
from tests.connectors.traffilog.live.installing import OTHER_SCHEME, USED_CLIENT, Yard
from tests.connectors.traffilog.portal.bench import USED, USED_PLATE, USED_SERIAL
from tests.jobs.yard import CONNECTION
from tests.store.bases import Base, base, store

__all__ = ["base", "store"]


@pytest_asyncio.fixture
async def yard(sqlite: Base, clock: HeldClock) -> AsyncIterator[Yard]:
    yard = Yard(sqlite, await sqlite.open(), clock)
    await yard.open()
    await yard.start()
    yield yard
    await yard.close()


async def know(store: Store, vehicle: str, plate: str, serial: str, connection: str = CONNECTION) -> None:
    """Have the hub know a vehicle, as its projection writes it down."""
    row: dict[str, Any] = {
        "connection": connection, "vehicle": vehicle, "plate": plate, "serial": serial, "client": "",
        "client_name": "", "evidence": "", "header": "", "modules_count": 0, "values_count": 0, "missing": "",
        "changed_seq": 0,
    }  # fmt: skip
    await store.write(lambda tx: tx.execute(insert(vehicles).values(row)))


async def submit(yard: Yard, kind: str, **params: Any) -> Job:
    asked = Order(f"traffilog.{kind}", CONNECTION, params, "ana")
    return await yard.store.write(lambda tx: yard.orders.submit(tx, asked))


async def remove_while_building(yard: Yard) -> tuple[Job, Job, list[str]]:
    """Ask for an uninstallation by the plate while a scheme is built; answer both, ended, and what was said.

    Said: the progress of the uninstallation until the scheme was built.
    """
    building = await yard.build(vehicle_id=USED, client_id=USED_CLIENT, vehicle_setting_id=OTHER_SCHEME)
    await yard.until(
        lambda: yard.executed("scheme_builder", USED),
        "it is being built",
        passing_s=0.4,
        known=lambda: yard.job(building),
    )
    removal = await submit(yard, "uninstall", plate=USED_PLATE)
    said: list[str] = []

    async def built() -> bool:
        said.append(str((await yard.job(removal)).progress.get("said", "")))
        return (await yard.job(building)).state == "done"

    await yard.passes(built, "the scheme is built")
    assert yard.executed("deactivation", USED) == 0 or removed_ms(yard) >= ended_ms(await yard.job(building))
    removed = await yard.ends(removal)
    assert removed.state == "done"
    assert yard.executed("deactivation", USED) == 1
    return await yard.job(building), removed, said


def removed_ms(yard: Yard) -> int:
    [at] = [one.at for one in yard.sim.ledger.effects if (one.kind, one.subject) == ("deactivation", USED)]
    return to_ms(at)


def ended_ms(job: Job) -> int:
    assert job.ended_ms is not None
    return job.ended_ms


def started_ms(job: Job) -> int:
    assert job.started_ms is not None
    return job.started_ms


async def test_a_portal_job_waits_in_the_queue_for_a_vehicle_whose_plate_the_hub_knows(yard: Yard):
    await know(yard.store, USED, f"604 - {USED_PLATE}", USED_SERIAL.zfill(16))
    built, removed, _ = await remove_while_building(yard)

    assert started_ms(removed) >= ended_ms(built)


async def test_a_portal_job_that_learns_its_vehicle_from_the_portal_waits_before_it_writes(yard: Yard):
    built, removed, said = await remove_while_building(yard)

    assert started_ms(removed) < ended_ms(built) <= removed_ms(yard)
    assert any(f"The job {built.id} holds vehicle:{USED}" in one for one in said)


async def test_a_scheme_builder_waits_for_a_portal_job_that_found_its_vehicle(yard: Yard):
    removal = await submit(yard, "uninstall", plate=USED_PLATE)

    async def found() -> bool:
        return (await yard.locks()).get(f"{CONNECTION}:vehicle:{USED}") == removal.id

    await yard.until(found, "it holds the vehicle", passing_s=0.1)
    building = await yard.build(vehicle_id=USED, client_id=USED_CLIENT, vehicle_setting_id=OTHER_SCHEME)
    removed, built = await yard.ends(removal), await yard.ends(building)

    assert removed.state == "done"
    assert started_ms(built) >= ended_ms(removed)


@pytest.mark.parametrize(
    ("plates", "serials", "found"),
    [
        (["tst2l74"], [], ["1"]),
        (["604 - TST2L74"], [], ["1"]),
        (["TST 2L74"], [], ["1"]),
        ([], ["920002852"], ["1"]),
        ([], ["0000000920002852"], ["1"]),
        (["TST2L74"], ["77"], ["1", "2"]),
        (["TST2L7"], [], []),
        (["CMDT"], [], []),
        ([], ["5"], []),
    ],
)
async def test_a_plate_or_unit_names_the_vehicles_that_the_hub_knows_by_it(
    store: Store, plates: list[str], serials: list[str], found: list[str]
):
    await know(store, "1", "604 - TST2L74", "0000000920002852")
    await know(store, "2", "", "77")
    await know(store, "3", "CMDT", "")
    await know(store, "4", "TST2L74", "77", connection="other")

    assert (
        await store.read(lambda tx: known_vehicles(tx, CONNECTION, plates=plates, serials=serials)) == found
    )
