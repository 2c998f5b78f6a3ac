"""Reading a vehicle: what is collected, when it ends, and that a poorer reading takes nothing away."""

from __future__ import annotations

from typing import Any

from tests.connectors.traffilog.live.rig import CLIENT, VEHICLE
from tests.connectors.traffilog.live.test_scheme_builder import told
from tests.connectors.traffilog.live.yard import Telematics

OFFLINE = "2900143"


async def test_a_snapshot_holds_header_parameters_and_the_whole_registry(yard: Telematics):
    done = await yard.ends(await yard.ask("vehicle_snapshot"))

    assert done.state == "done", done
    snapshot = done.result["snapshot"]
    assert snapshot["vehicle_id"] == VEHICLE and snapshot["client_id"] == CLIENT
    assert snapshot["connected"] and snapshot["missing"] == []
    assert snapshot["modules_complete"] and snapshot["buses"]["can0"]["verdict"] == "ok"
    assert len(snapshot["parameters"]) > 100
    assert done.result["summary"]["parameters"] == len(snapshot["parameters"])
    [over] = await yard.heard("collected")
    assert over.key == VEHICLE


async def test_reading_changes_nothing_upstream(yard: Telematics):
    await yard.ends(await yard.ask("vehicle_snapshot"))

    assert yard.sim.ledger.effects == []


async def test_the_header_alone_is_read_without_waiting_for_the_unit(yard: Telematics):
    done = await yard.ends(await yard.ask("vehicle_snapshot", mode="header", vehicle_id=OFFLINE))

    assert done.state == "done"
    assert done.result["snapshot"]["connected"] is False
    assert done.result["snapshot"]["age_s"] > 24 * 3600


async def test_a_unit_that_tells_nothing_is_tried_with_fresh_logins_and_then_accepted_as_it_is(
    yard_with: Any,
):
    yard = await yard_with(can_window_s=10, modules_within_s=1, can_pause_s=2)
    done = await yard.ends(await yard.ask("vehicle_snapshot", vehicle_id=OFFLINE))

    assert (done.state, done.result["attempts"]) == ("done", 3)
    assert done.result["snapshot"]["parameters"] == {}
    assert yard.sim.upstream.accounts.logins == 3


async def test_within_an_installation_no_parameter_at_all_is_a_failure(yard_with: Any):
    yard = await yard_with(can_window_s=10, modules_within_s=1, can_pause_s=2)
    failed = await yard.ends(
        await yard.ask("vehicle_snapshot", vehicle_id=OFFLINE, chain={"service": "INSTALL"})
    )

    assert told(failed) == ("failed", "can_sem_parametros")


async def test_the_upstream_may_fall_in_the_middle(yard: Telematics):
    job = await yard.ask("vehicle_snapshot")
    await yard.passes(lambda: yard.sim.upstream.connections.pushed > 3, "pushes")
    await yard.fault("gone", seconds=5)
    done = await yard.ends(job)

    assert done.state == "done" and done.result["snapshot"]["missing"] == []


async def test_a_vehicle_that_does_not_exist_is_told(yard: Telematics):
    failed = await yard.ends(await yard.ask("vehicle_snapshot", vehicle_id="2999999"))

    assert told(failed) == ("failed", "vehicle_unknown")


async def test_a_probe_watches_the_buses_over_its_cycles_and_keeps_the_union(yard: Telematics):
    done = await yard.ends(await yard.ask("can_probe", cycles=3, interval_ms=12_000))

    assert done.state == "done", done
    values = [one["values"] for one in done.result["cycles"]]
    assert len(values) == 3 and values == sorted(values)
    assert len(done.result["snapshot"]["parameters"]) == values[-1]


async def test_a_probe_ends_early_when_it_has_enough(yard: Telematics):
    done = await yard.ends(await yard.ask("can_probe", cycles=100, interval_ms=2_000, enough=5))

    assert len(done.result["cycles"]) < 100
