"""A G-sensor command: the right matrix, once, and believed when the unit itself says so."""

from __future__ import annotations

from typing import Any

import pytest

from atalaia.connectors.traffilog.jobs.gsensor_command import GsensorAsked
from tests.connectors.traffilog.live.rig import VEHICLE
from tests.connectors.traffilog.live.test_scheme_builder import EXECUTE, told
from tests.connectors.traffilog.live.yard import Telematics

MOUNT = {"label": "RIGHT", "harness": "DOWN"}
MATRIX = "(o2w,44,C6140000FC00000000000000FC000400000000000000)"


async def test_the_unit_confirms_how_it_is_mounted(yard: Telematics):
    job = await yard.ask("gsensor_command", **MOUNT)
    done = await yard.ends(job)

    assert told(done) == ("done", "confirmed")
    assert done.result["acknowledged_by"] == "0401C6"
    [effect] = yard.sim.ledger.of("gsensor")
    assert dict(effect.detail)["command"] == MATRIX
    assert effect.comment == f"GSensor: GS_RIGHT_DOWN [GS] #rid={job.trace} #pid={effect.process_id}"


async def test_the_mark_is_not_written_twice(yard: Telematics):
    done = await yard.ends(await yard.ask("gsensor_command", comment="G-Sensor: RIGHT-DOWN [GS]", **MOUNT))

    [effect] = yard.sim.ledger.of("gsensor")
    assert done.state == "done" and effect.comment.count("[GS]") == 1


async def test_a_silent_unit_leaves_the_command_unconfirmed(yard_with: Any):
    yard = await yard_with(gs_ack_within_s=20)
    await yard.fault("gsensor-unacknowledged")
    done = await yard.ends(await yard.ask("gsensor_command", **MOUNT))

    assert told(done) == ("done", "completed_unconfirmed")
    assert yard.executed("gsensor") == 1


async def test_a_lost_answer_is_found_when_the_unit_gets_the_command(yard: Telematics):
    await yard.fault("cut-after", times=1, action=EXECUTE)
    # The unit is away until we look for the trace.
    await yard.fault("offline", vehicle_id=VEHICLE)
    job = await yard.ask("gsensor_command", **MOUNT)
    await yard.reaches(job, "in_doubt")
    await yard.sim.faults.stop("offline")
    done = await yard.ends(job)

    assert done.state == "done"
    assert yard.executed("gsensor") == yard.sim.ledger.asked[EXECUTE] == 1


async def test_without_any_trace_a_person_decides_and_it_is_not_sent_again(yard: Telematics):
    await yard.fault("cut-after", times=1, action=EXECUTE)
    await yard.fault("offline", vehicle_id=VEHICLE)
    job = await yard.ask("gsensor_command", **MOUNT)
    await yard.reaches(job, "in_doubt")
    await yard.passes(lambda: _is_alarm(yard), "a person is asked")
    await yard.decide(job, "happened", reason="The portal's history shows it.")
    done = await yard.ends(job)

    assert told(done) == ("done", "completed_unconfirmed")
    assert yard.executed("gsensor") == yard.sim.ledger.asked[EXECUTE] == 1


async def _is_alarm(yard: Telematics) -> bool:
    return "alert.raised" in await yard.alarms()


async def test_a_frame_that_never_arrived_is_sent_again(yard: Telematics):
    await yard.fault("lost-request", times=1, action=EXECUTE)
    done = await yard.ends(await yard.ask("gsensor_command", **MOUNT))

    assert told(done) == ("done", "confirmed")
    assert yard.executed("gsensor") == 1


async def test_commands_can_be_switched_off(yard_with: Any):
    yard = await yard_with(gsensor=False)
    failed = await yard.ends(await yard.ask("gsensor_command", **MOUNT))

    assert told(failed) == ("failed", "gsensor_off")


@pytest.mark.parametrize(
    ("label", "harness", "said"),
    [
        ("LEFT", "FRONT", "RIGHT with FRONT"),
        ("UP", "DOWN", "one axis"),
        ("UP", "SIDEWAYS", "no side"),
    ],
)
def test_what_must_not_be_sent_is_refused_with_the_reason(label: str, harness: str, said: str):
    asked = {"client_id": "310209", "client_name": "X", "vehicle_id": "2900108"}
    with pytest.raises(ValueError, match=said):
        GsensorAsked.model_validate(asked | {"label": label, "harness": harness})
