"""Somebody else logs in with the account in the midst of a job, at every request in turn."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from atalaia.clock import HeldClock, to_ms
from atalaia.connectors.traffilog.portal import client
from atalaia.connectors.traffilog.portal.client import Account
from atalaia.connectors.traffilog.portal.cookies import Cookies
from atalaia.jobs.rows import Job
from atalaia.jobs.submit import Order
from atalaia.store.old_client_tables import old_values
from atalaia.store.tables import events
from tests.connectors.traffilog.folding import CONNECTION as FLEET
from tests.connectors.traffilog.folding import Fold, told_again
from tests.connectors.traffilog.portal.bench import (
    EMPTY,
    STOCK,
    USED,
    USED_PLATE,
    Bench,
    benched,
    install_of,
)
from tests.jobs.yard import CONNECTION
from tests.simulators.traffilog_ground import PORTAL_USER
from tests.store.bases import Base, on_both

MARITIMA = {"client_id": "310206", "client_name": "Marítima Transportes"}
READS = ("VHCLS", "GET_VHCL_ACTIVATION_DATA_NEW")
WRITES = ("DEACTIVATE_VEHICLE_HIST", "ORDER_SAVE", "SAVE_VHCL_ACTIVATION_NEW")


def evict_at(bench: Bench, action: str, nth: int = 1) -> None:
    """Have somebody else log in right when the n-th request of this kind comes."""
    seen: list[str] = []

    def strike() -> None:
        seen.append(action)
        if len(seen) == nth:
            bench.sim.portal.evict()

    bench.sim.upstream.at(f"heard:{action}", strike)


async def effects_of(bench: Bench, kind: str, params: dict[str, Any]) -> list[str]:
    done = await bench.run(kind, **params)
    assert done.state == "done"
    return [effect for effect, _ in bench.effects()]


@pytest.mark.parametrize("stale", [False, True], ids=["told", "stale"])
@pytest.mark.parametrize(
    ("action", "nth"),
    [(READS[0], 1), (READS[0], 3), (READS[1], 1), (READS[1], 2), *((one, 1) for one in WRITES)],
)
async def test_an_uninstallation_whose_session_ends_at_any_request_does_each_thing_once(
    bench: Bench, action: str, nth: int, stale: bool
):
    if stale:
        await bench.fault("portal-stale", times=None)
    evict_at(bench, action, nth)

    effects = await effects_of(bench, "uninstall", {"plate": USED_PLATE})

    assert effects == ["deactivation", "order", "activation"]
    assert bench.vehicle(USED).serial == ""


@pytest.mark.parametrize("stale", [False, True], ids=["told", "stale"])
@pytest.mark.parametrize("action", [READS[0], READS[1], WRITES[0], WRITES[2]])
async def test_an_installation_whose_session_ends_at_any_request_does_each_thing_once(
    bench: Bench, action: str, stale: bool
):
    if stale:
        await bench.fault("portal-stale", times=None)
    evict_at(bench, action)

    await effects_of(bench, "install", install_of())

    assert bench.effects() == [("deactivation", STOCK), ("activation", EMPTY)]


async def test_a_stale_session_never_makes_a_second_record_of_a_vehicle_that_is_there(bench: Bench):
    await bench.run("vehicle_resolve", plate=USED_PLATE)  # a session that is then ended behind our back
    await bench.fault("portal-stale", times=None)
    bench.sim.portal.evict()

    failed = await bench.run("install", "failed", **install_of(plate=USED_PLATE))

    assert failed.reason == "ERROR_PLATE_INVALID"  # it was found: it carries another unit
    assert not bench.effects()


@on_both("bench")
async def test_an_eviction_is_written_down(bench: Bench):
    evict_at(bench, READS[0])
    await bench.run("vehicle_resolve", plate=USED_PLATE)

    query = select(events.c.type).where(events.c.type == "traffilog.portal_evicted")
    assert len(await bench.store.read(lambda tx: list(tx.scalars(query)))) == 1


@on_both("bench")
async def test_jobs_side_by_side_share_one_session(bench: Bench):
    jobs = [
        await bench.ask("install", **install_of()),
        await bench.ask("uninstall", plate=USED_PLATE),
        await bench.ask("change_company", plate="TST2M27", **MARITIMA),
        *[await bench.ask("vehicle_resolve", plate=plate) for plate in ("TST2N33", "TST2P41", "TST2Q43")],
    ]
    for job in jobs:
        await bench.ends(job)

    assert sorted(kind for kind, _ in bench.effects()) == [
        "activation", "activation", "company_change", "deactivation", "deactivation", "order",
    ]  # fmt: skip
    assert (bench.sim.portal.logins[PORTAL_USER], bench.sim.portal.evictions) == (1, 0)


async def alarms(bench: Bench) -> list[tuple[str, str]]:
    """Answer the alerts that follow from what is written down: (type, cause)."""
    fold = Fold()
    fold.hear(*await told_again(bench.store, "traffilog.portal%"))
    return [(one.type, one.key) for one in fold.facts]


async def test_an_eviction_raises_an_alert_that_ends_once_we_were_left_alone_for_a_while(bench: Bench):
    evict_at(bench, READS[0])
    await bench.run("vehicle_resolve", plate=USED_PLATE)
    raised = ("alert.raised", f"traffilog.evicted:{FLEET}")
    assert await alarms(bench) == [raised]

    await bench.clock.run_for(20 * 60)
    await bench.run("vehicle_resolve", plate=USED_PLATE)
    assert await alarms(bench) == [raised]  # too soon to tell

    await bench.clock.run_for(11 * 60)
    await bench.run("vehicle_resolve", plate=USED_PLATE)
    assert await alarms(bench) == [raised, ("alert.resolved", raised[1])]


async def test_a_fresh_process_closes_the_alert_of_the_one_before_it(bench: Bench):
    evict_at(bench, READS[0])
    await bench.run("vehicle_resolve", plate=USED_PLATE)
    client.forget_all()
    for _ in range(2):
        await bench.run("vehicle_resolve", plate=USED_PLATE)
        await bench.clock.run_for(31 * 60)
    await bench.run("vehicle_resolve", plate=USED_PLATE)

    assert [type for type, _ in await alarms(bench)] == ["alert.raised", "alert.resolved"]


async def test_an_account_that_is_said_to_be_shared_raises_no_alert(sqlite: Base, clock: HeldClock):
    client.forget_all()
    store = await sqlite.open()
    async with benched(store, sqlite.url, sqlite.folder, clock, portal_sharing="shared") as bench:
        evict_at(bench, READS[0])
        await bench.run("vehicle_resolve", plate=USED_PLATE)

        assert await alarms(bench) == []
        assert len(await told_again(store, "traffilog.portal_evicted")) == 1


@on_both("bench")
async def test_connections_that_have_one_account_share_its_session(bench: Bench):
    now = to_ms(bench.clock.now())
    await bench.store.write(
        lambda tx: bench.registry.create(tx, "c2", "traffilog", "Another", bench.settings, now)
    )

    async def ask(connection: str, plate: str) -> Job:
        order = Order("traffilog.vehicle_resolve", connection, {"plate": plate}, "ana")
        return await bench.store.write(lambda tx: bench.orders.submit(tx, order))

    jobs = [await ask(one, plate) for plate in (USED_PLATE, "TST2N33") for one in (CONNECTION, "c2")]
    for job in jobs:
        await bench.ends(job)

    assert (bench.sim.portal.logins[PORTAL_USER], bench.sim.portal.evictions) == (1, 0)


@on_both("bench")
async def test_the_next_worker_goes_on_with_the_session_that_the_last_one_left(bench: Bench):
    await bench.run("vehicle_resolve", plate=USED_PLATE)
    await bench.stop()
    client.forget_all()  # as another process knows nothing
    await bench.start()
    await bench.run("vehicle_resolve", plate="TST2N33")

    assert (bench.sim.portal.logins[PORTAL_USER], bench.sim.portal.evictions) == (1, 0)


async def test_a_kept_session_that_has_ended_or_cannot_be_read_costs_one_login(bench: Bench):
    await bench.run("vehicle_resolve", plate=USED_PLATE)
    client.forget_all()
    evict_at(bench, READS[0])
    await bench.run("vehicle_resolve", plate="TST2N33")
    assert bench.sim.portal.logins[PORTAL_USER] == 3  # somebody else's is one of them

    client.forget_all()
    await bench.store.write(lambda tx: tx.execute(update(old_values).values(sealed="nonsense")))
    await bench.run("vehicle_resolve", plate="TST2P41")
    assert bench.sim.portal.logins[PORTAL_USER] == 4


def test_what_is_kept_of_a_session_is_a_secret_that_comes_back_whole():
    account = Account(("u", "n"), Cookies({"TFL_SESSION": "s", "AWSALB": "x"}), HeldClock().now())
    other = Account(("u", "n"))
    other.take_over(account.to_text())
    assert (other.mark(), other.cookies.values) == (account.mark(), account.cookies.values)
    other.take_over("")
    other.take_over('{"since_ms":"x"}')
    assert other.mark() == account.mark()
