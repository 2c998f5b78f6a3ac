"""Uninstallations: the unit is never lost between its vehicle and its stock record."""

from __future__ import annotations

import pytest

from tests.connectors.traffilog.portal.bench import (
    EMPTY,
    EMPTY_PLATE,
    USED,
    USED_PLATE,
    USED_SERIAL,
    Bench,
)
from tests.store.bases import on_both

CLIENT = "310209"
SAVE, TAKE_OFF, ORDER = "SAVE_VHCL_ACTIVATION_NEW", "DEACTIVATE_VEHICLE_HIST", "ORDER_SAVE"


async def uninstalled(bench: Bench, state: str = "done", **params: str):
    asked = {"plate": USED_PLATE, "installed_by": "ANA EXEMPLO", "comment": "Retirada", **params}
    return await bench.run("uninstall", state, **asked)


def is_parked_once(bench: Bench, new_id: str) -> bool:
    done = [("deactivation", USED), ("order", CLIENT), ("activation", new_id)]
    return bench.effects() == done and bench.vehicle(new_id).serial == USED_SERIAL.zfill(16)


@on_both("bench")
async def test_the_unit_is_taken_off_and_parked_under_a_record_that_was_ordered_for_it(bench: Bench):
    done = await uninstalled(bench)

    new_id = done.result["new_vehicle_id"]
    assert is_parked_once(bench, new_id)
    stock = bench.vehicle(new_id)
    assert (stock.plate, stock.orders) == ("CMDT", [done.result["order_id"]])
    assert stock.asset_type == bench.vehicle(USED).asset_type
    assert (done.result["serial_old"], done.result["cmdt_skip"]) == (USED_SERIAL, False)


async def test_the_comment_carries_the_trace_of_the_job(bench: Bench):
    job = await uninstalled(bench)

    [effect] = bench.sim.ledger.of("deactivation")
    assert effect.comment == f"Retirada #rid={job.trace}"


@pytest.mark.parametrize("action", [TAKE_OFF, ORDER, SAVE])
@pytest.mark.parametrize("fault", ["portal-lost-answer", "portal-lost-request", "portal-html"])
async def test_whatever_gets_lost_each_effect_happens_once(bench: Bench, action: str, fault: str):
    await bench.fault(fault, action=action)
    done = await uninstalled(bench)

    assert is_parked_once(bench, done.result["new_vehicle_id"])


@pytest.mark.parametrize(
    ("action", "reason"),
    [(TAKE_OFF, "deactivate_action_error"), (ORDER, "order_save_failed"), (SAVE, "save_cmdt_failed")],
)
async def test_a_retry_goes_on_from_the_step_that_failed(bench: Bench, action: str, reason: str):
    await bench.fault("portal-action-error", action=action)
    failed = await uninstalled(bench, "failed")
    assert failed.reason == reason
    assert ("is on no record. Run it again" in failed.said) is (action != TAKE_OFF)

    await bench.retry(failed)
    done = await bench.ends(failed)

    assert is_parked_once(bench, done.result["new_vehicle_id"])


@on_both("bench")
async def test_a_stock_record_that_does_not_show_up_is_found_by_a_retry_without_a_second_order(bench: Bench):
    await bench.fault("portal-order-hidden", delay_s=3600)
    failed = await uninstalled(bench, "failed")
    assert failed.reason == "new_vehicle_id_not_found"

    await bench.clock.run_for(3600)
    await bench.retry(failed)
    done = await bench.ends(failed)

    assert is_parked_once(bench, done.result["new_vehicle_id"])


async def test_a_deactivation_that_the_portal_ignores_fails_before_anything_is_ordered(bench: Bench):
    await bench.fault("portal-save-ignored", vehicle_id=USED)
    failed = await uninstalled(bench, "failed")

    assert (failed.reason, bench.effects()) == ("uninstall_not_applied", [])


async def test_a_session_that_always_ends_is_named(bench: Bench):
    await bench.fault("portal-expired", times=2, action=TAKE_OFF)
    failed = await uninstalled(bench, "failed")

    assert (failed.reason, bench.effects()) == ("deactivate_session_expired", [])


async def test_a_vehicle_without_a_unit_needs_no_stock_record(bench: Bench):
    done = await uninstalled(bench, plate=EMPTY_PLATE)

    assert (done.result["cmdt_skip"], done.result["vehicle_id"]) == (True, EMPTY)
    assert not bench.effects()


async def test_the_wrong_unit_is_not_taken_off(bench: Bench):
    failed = await uninstalled(bench, "failed", serial="920002861")

    assert (failed.reason, bench.effects()) == ("ERROR_PLATE_INVALID", [])


@on_both("bench")
async def test_an_order_that_nobody_can_attribute_waits_for_a_person(bench: Bench):
    def somebody_else_orders() -> None:
        bench.sim.portal.table["ORDER_SAVE"]({"CLIENT_ID": CLIENT, "ORDERID": "-1"}, ())

    bench.sim.upstream.at("done:ORDER_SAVE", somebody_else_orders)
    await bench.fault("portal-lost-answer", action=ORDER)
    job = await bench.ask("uninstall", plate=USED_PLATE)
    doubtful = await bench.ends(job, "in_doubt")
    await bench.until(lambda: bench.alarms(), "an alert", passing_s=0.2)
    assert "raised" in (await bench.alarms())[-1]

    ours = bench.sim.ledger.of("order")[0]
    number = dict(ours.detail)["order_id"]
    await bench.decide(doubtful, "happened", result={"order_id": number})
    done = await bench.ends(job)

    assert done.result["new_vehicle_id"] == dict(ours.detail)["vehicle_id"]
    assert bench.sim.ledger.count("activation") == 1


async def test_an_uninstallation_goes_on_with_its_record(bench: Bench):
    job = await bench.ask("uninstall", plate=USED_PLATE, chain={"service": "UNINSTALL", "record": {"n": 1}})
    done = await bench.ends(job)

    following = await bench.named(done.result["next"])
    assert (following.kind, following.step) == ("traffilog.save_record", "save")
    assert following.params["chain"]["record"]["portal"]["order_id"] == done.result["order_id"]
