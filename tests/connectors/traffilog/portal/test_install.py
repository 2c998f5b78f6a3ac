"""Installations: what is found, what is refused before anything is written, what is proven."""

from __future__ import annotations

import pytest

from tests.connectors.traffilog.portal.bench import (
    EMPTY,
    EMPTY_PLATE,
    PARKED,
    PARKED_SERIAL,
    STOCK,
    STOCK_SERIAL,
    USED_PLATE,
    USED_SERIAL,
    Bench,
    install_of,
)
from tests.store.bases import on_both


@on_both("bench")
async def test_a_unit_in_stock_is_freed_and_put_on_the_vehicle_of_the_plate(bench: Bench):
    done = await bench.run("install", **install_of())

    assert bench.effects() == [("deactivation", STOCK), ("activation", EMPTY)]
    assert bench.vehicle(EMPTY).serial == STOCK_SERIAL.zfill(16)
    assert done.result["resolved_by"] == "plate"
    assert (done.result["vehicle_id"], done.result["dial"]) == (EMPTY, STOCK_SERIAL)
    assert done.result["warnings"] == []


@on_both("bench")
async def test_an_unknown_plate_takes_over_the_units_own_record_and_moves_it(bench: Bench):
    done = await bench.run("install", **install_of("NEW1A23", PARKED_SERIAL))

    assert bench.effects() == [("activation", PARKED), ("company_change", PARKED)]
    vehicle = bench.vehicle(PARKED)
    assert (vehicle.plate, vehicle.client_id, vehicle.asset_type) == ("NEW1A23", "310206", "7547")
    assert (done.result["resolved_by"], done.result["client_id_found"]) == ("serial", "310217")


@pytest.mark.parametrize(
    ("plate", "serial", "reason"),
    [
        (EMPTY_PLATE, "920009999", "SERIAL_NOT_REGISTERED"),
        ("NEW1A23", "920009999", "SERIAL_NOT_REGISTERED"),
        (EMPTY_PLATE, USED_SERIAL, "serial_in_use"),
        ("NEW1A23", USED_SERIAL, "serial_in_use"),
        (USED_PLATE, STOCK_SERIAL, "ERROR_PLATE_INVALID"),
    ],
)
async def test_what_must_not_be_is_refused_before_anything_is_written(
    bench: Bench, plate: str, serial: str, reason: str
):
    failed = await bench.run("install", "failed", **install_of(plate, serial))

    assert failed.reason == reason
    assert not bench.effects()
    assert not bench.sim.ledger.asked


async def test_an_unknown_company_stops_it_before_anything_is_written(bench: Bench):
    asked = install_of(client_id="310999", client_name="Ninguém")
    failed = await bench.run("install", "failed", **asked)

    assert failed.reason == "change_company_failed"
    assert not bench.sim.ledger.asked


async def test_a_scheme_that_is_assigned_for_the_same_model_need_not_be_sent(bench: Bench):
    bench.vehicle(EMPTY).assigned_setting = "5433"

    done = await bench.run("install", **install_of(vehicle_setting_id="5433"))

    assert done.result["skip_sb"] is True


async def test_what_is_installed_already_is_not_saved_again(bench: Bench):
    await bench.run("install", **install_of())
    await bench.run("install", **install_of())

    assert bench.sim.ledger.count("activation") == 1


async def test_a_save_that_the_portal_ignores_fails_and_a_retry_saves_again(bench: Bench):
    await bench.fault("portal-save-ignored", vehicle_id=EMPTY)
    failed = await bench.run("install", "failed", **install_of())

    assert (failed.reason, bench.sim.ledger.count("activation")) == ("mws_save_not_applied", 0)

    await bench.retry(failed)
    await bench.ends(failed)

    assert bench.effects() == [("deactivation", STOCK), ("activation", EMPTY)]


async def test_the_portals_refusal_is_told_in_its_words(bench: Bench):
    await bench.fault("portal-link-failed")
    failed = await bench.run("install", "failed", **install_of())

    assert failed.reason == "mws_save_action_error"
    assert "Failed to link unit" in failed.said


async def test_an_answer_that_got_lost_is_found_upstream_and_not_sent_again(bench: Bench):
    await bench.fault("portal-lost-answer", action="SAVE_VHCL_ACTIVATION_NEW")
    job = await bench.run("install", **install_of())

    assert bench.effects() == [("deactivation", STOCK), ("activation", EMPTY)]
    assert "in_doubt" in await bench.told(job)


async def test_a_request_that_got_lost_is_sent_again_after_looking(bench: Bench):
    await bench.fault("portal-lost-request", action="SAVE_VHCL_ACTIVATION_NEW")
    job = await bench.run("install", **install_of())

    assert bench.effects() == [("deactivation", STOCK), ("activation", EMPTY)]
    assert bench.sim.ledger.asked["SAVE_VHCL_ACTIVATION_NEW"] == 2
    assert "decided" in await bench.told(job)


CHAIN = {"service": "INSTALL", "label": "UP", "harness": "FRONT", "record": {"plate": EMPTY_PLATE}}


async def test_an_installation_goes_on_with_its_scheme(bench: Bench):
    asked = install_of(vehicle_setting_id="5433", chain=CHAIN)
    done = await bench.run("install", **asked)

    following = await bench.named(done.result["next"])
    assert (following.kind, following.step, following.root) == (
        "traffilog.scheme_builder", "scheme_builder", done.id,
    )  # fmt: skip
    assert (following.params["vehicle_id"], following.params["vehicle_setting_id"]) == (EMPTY, "5433")
    assert following.params["chain"]["record"]["portal"]["serial"] == STOCK_SERIAL


async def test_an_installation_whose_scheme_is_assigned_goes_on_with_the_check(bench: Bench):
    bench.vehicle(EMPTY).assigned_setting = "5433"
    done = await bench.run("install", **install_of(vehicle_setting_id="5433", chain=CHAIN))

    following = await bench.named(done.result["next"])
    assert (following.kind, following.step) == ("traffilog.vehicle_snapshot", "can")


async def test_an_installation_without_a_scheme_stops_before_anything_is_written(bench: Bench):
    failed = await bench.run("install", "failed", **install_of(chain=CHAIN))

    assert failed.reason == "VEHICLE_SETTING_NOT_CONFIGURED"
    assert not bench.sim.ledger.asked
