"""Swaps, services without a swap, changes of company, lookups, the sweep over schemes, the models in use."""

from __future__ import annotations

from typing import Any

import pytest

from atalaia.clock import to_ms
from tests.connectors.traffilog.portal.bench import (
    PARKED,
    PARKED_SERIAL,
    STOCK,
    STOCK_SERIAL,
    USED,
    USED_PLATE,
    USED_SERIAL,
    Bench,
)
from tests.store.bases import on_both

JEQUITIBA = {"client_id": "310273", "client_name": "jequitibá transportes "}


@on_both("bench")
async def test_a_swap_takes_the_old_unit_off_and_saves_the_new_one(bench: Bench):
    done = await bench.run("maint_with_swap", plate=USED_PLATE, serial_new=STOCK_SERIAL)

    assert bench.effects() == [("deactivation", STOCK), ("deactivation", USED), ("activation", USED)]
    vehicle = bench.vehicle(USED)
    assert (vehicle.serial, vehicle.plate) == (STOCK_SERIAL.zfill(16), USED_PLATE)
    assert (done.result["serial_old"].lstrip("0"), done.result["serial_new"]) == (USED_SERIAL, STOCK_SERIAL)


@pytest.mark.parametrize(
    ("plate", "serial", "reason"),
    [
        ("XXX0X00", STOCK_SERIAL, "vehicle_id_not_found"),
        (USED_PLATE, "920002861", "serial_in_use"),
        (USED_PLATE, "920009999", "SERIAL_NOT_REGISTERED"),
    ],
)
async def test_a_swap_that_must_not_be_changes_nothing(bench: Bench, plate: str, serial: str, reason: str):
    failed = await bench.run("maint_with_swap", "failed", plate=plate, serial_new=serial)

    assert (failed.reason, bench.effects()) == (reason, [])


async def test_a_swap_whose_save_failed_goes_on_where_it_was(bench: Bench):
    await bench.fault("portal-link-failed", vehicle_id=USED)
    failed = await bench.run("maint_with_swap", "failed", plate=USED_PLATE, serial_new=STOCK_SERIAL)
    assert failed.reason == "mws_save_action_error"
    assert f"the vehicle {USED_PLATE} carries none" in failed.said
    assert failed.result["half_way"] is True

    await bench.retry(failed)
    await bench.ends(failed)

    assert bench.effects() == [("deactivation", STOCK), ("deactivation", USED), ("activation", USED)]


async def test_a_service_without_a_swap_only_finds_the_vehicle(bench: Bench):
    done = await bench.run("maint_no_swap", plate=USED_PLATE)

    assert (done.result["vehicle_id"], done.result["monitor_skip"], bench.effects()) == (USED, 1, [])


@on_both("bench")
async def test_a_vehicle_moves_to_another_company_with_the_model_it_has(bench: Bench):
    done = await bench.run("change_company", plate=USED_PLATE, **JEQUITIBA)

    vehicle = bench.vehicle(USED)
    assert (vehicle.client_id, vehicle.group_id, vehicle.asset_type) == ("310273", "330403", "8547")
    assert (done.result["already"], bench.effects()) == (False, [("company_change", USED)])

    again = await bench.run("change_company", plate=USED_PLATE, **JEQUITIBA)
    assert (again.result["already"], bench.sim.ledger.count()) == (True, 1)


@pytest.mark.parametrize("fault", ["portal-lost-answer", "portal-lost-request"])
async def test_a_move_in_doubt_happens_once(bench: Bench, fault: str):
    await bench.fault(fault, action="ASSET_BASIC_SAVE")
    await bench.run("change_company", plate=USED_PLATE, **JEQUITIBA)

    assert bench.effects() == [("company_change", USED)]


async def test_a_missing_privilege_is_told_in_the_portals_words(bench: Bench):
    await bench.fault("portal-no-privilege")
    failed = await bench.run("change_company", "failed", plate=USED_PLATE, **JEQUITIBA)

    assert (failed.reason, "No privilege to edit" in failed.said) == ("change_company_failed", True)


async def test_a_plate_with_a_fleet_is_found_however_it_is_typed(bench: Bench):
    for plate, how in [("604 - TST1B08", "exact"), ("604-tst1b08", "exact"), ("tst1b08", "substring")]:
        done = await bench.run("vehicle_resolve", plate=plate)
        assert (done.result["vehicle_id"], done.result["matched"]) == ("2900108", how)


async def test_a_vehicle_is_found_by_its_unit(bench: Bench):
    done = await bench.run("vehicle_resolve", serial=PARKED_SERIAL)

    assert (done.result["vehicle_id"], done.result["standing"]) == (PARKED, "parked")
    assert done.result["client_descr"] == "Cedro Logística"


@on_both("bench")
async def test_rows_of_several_plates_are_put_before_a_person(bench: Bench):
    job = await bench.ask("maint_no_swap", plate="TST2")
    waiting = await bench.ends(job, "waiting")
    choices: list[str] = waiting.asked["choices"]
    assert USED in choices and choices[-1] == "none"

    await bench.answer(job, USED)
    done = await bench.ends(job)

    assert done.result["vehicle_id"] == USED


async def test_a_person_who_knows_none_of_them_ends_it(bench: Bench):
    job = await bench.ask("maint_with_swap", plate="TST2", serial_new=STOCK_SERIAL)
    await bench.ends(job, "waiting")
    await bench.answer(job, "none")

    assert (await bench.ends(job, "failed")).reason == "vehicle_id_not_found"
    assert not bench.effects()


async def test_the_models_in_use_are_cut_out_of_the_whole_catalog(bench: Bench):
    done = await bench.run("sync_asset_types")

    found = done.result
    assert {"id": 23392, "manufacturer": "Volkswagen", "model": "15.180-CNM-M-4x2",
            "sub_model": "15.180-CNM-M-4x2"} in found["asset_types"]  # fmt: skip
    used = {one.asset_type for one in bench.sim.upstream.vehicles.values() if one.asset_type}
    assert (found["total_vhcls_ids"], found["total_matched"]) == (len(used), len(used))
    assert found["total_catalog"] == len(bench.sim.upstream.asset_types)
    assert found["by_client"]["310273"] == ["4016", "8064", "8547", "23103"]


def sweep_row(bench: Bench, vehicle: str, scheme: str, **more: Any) -> dict[str, Any]:
    now_ms = to_ms(bench.clock.now())
    row = {"vehicle_id": vehicle, "client_id": "310209", "client_name": "Rápido Exemplo"}
    row |= {"vehicle_setting_id": scheme, "service": "INSTALL"}
    return {**row, "done_ms": now_ms, **more}


async def test_the_sweep_tells_schemes_that_differ_and_leaves_uninstalled_vehicles_alone(bench: Bench):
    day_ms = 25 * 3600 * 1000
    rows = [
        sweep_row(bench, "2900104", "9000"),
        sweep_row(bench, USED, "5411"),
        sweep_row(bench, "2900166", "5433"),
        sweep_row(bench, USED, "5411", service="UNINSTALL"),
        sweep_row(bench, USED, "5411", done_ms=to_ms(bench.clock.now()) - day_ms),
    ]
    done = await bench.run("verify_schemes", rows=rows)

    verdicts = [row["verdict"] for row in done.result["rows"]]
    assert verdicts == ["ok", "mismatch", "unknown", "excluded", "too_old"]
    assert (done.result["dry_run"], [row["job"] for row in done.result["rows"]]) == (True, [""] * 5)


async def test_a_scheme_that_differs_is_sent_again_when_asked_for(bench: Bench):
    done = await bench.run("verify_schemes", rows=[sweep_row(bench, USED, "5411")], dry_run=False)

    [row] = done.result["rows"]
    job = await bench.named(row["job"])
    assert (job.kind, job.params["vehicle_setting_id"]) == ("traffilog.scheme_builder", "5411")
    assert (job.params["terminal"], job.root) == (True, done.id)
