"""A Scheme Builder on its way: executed once, and every end told as what it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atalaia.connectors.traffilog.interpret import TraffilogInterpreter
from atalaia.events.log import read_after
from atalaia.jobs.rows import Job
from atalaia.reactions.interpreter import Memory
from tests.connectors.traffilog.live.rig import VEHICLE, settings_for
from tests.connectors.traffilog.live.yard import Telematics

EXECUTE = "execute_action_opr"


def told(job: Job) -> tuple[str, str]:
    """Answer how a job ended: its state, and its outcome or reason."""
    return str(job.state), job.reason or str((job.result or {}).get("outcome"))


async def verdicts(yard: Telematics) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in await yard.heard("verdict")]


def name_of(frame: str) -> str:
    return json.loads(frame)["action"]["name"]


# How it ends.


async def test_a_scheme_is_written_once_and_confirmed_by_its_key(yard: Telematics):
    job = await yard.build(comment="Installed")
    done = await yard.ends(job)

    assert told(done) == ("done", "confirmed")
    assert yard.executed() == 1
    [effect] = yard.sim.ledger.of("scheme_builder")
    assert effect.comment == f"Installed #rid={job.trace} #pid={done.result['process_id']}"


async def test_a_unit_that_does_not_show_its_key_leaves_the_scheme_unconfirmed(yard: Telematics):
    await yard.fault("sb-no-key")
    done = await yard.ends(await yard.build())

    assert told(done) == ("done", "completed_unconfirmed")


async def test_an_error_of_the_upstream_is_a_failure_in_its_own_words(yard: Telematics):
    await yard.fault("sb-error", error="Checksum mismatch")
    failed = await yard.ends(await yard.build())

    assert told(failed) == ("failed", "sb_failed")
    assert "Checksum mismatch" in failed.said
    assert yard.executed() == 1


@pytest.mark.parametrize("fault", ["sb-silence", "sb-disconnected"])
async def test_silence_is_unknown_and_never_success(yard: Telematics, fault: str):
    await yard.fault(fault)
    failed = await yard.ends(await yard.build())

    assert told(failed) == ("failed", "sb_unknown")
    [word] = await verdicts(yard)
    assert (word["outcome"], word["process_id"]) == ("unknown", failed.result["process_id"])
    assert yard.executed() == 1


async def test_a_unit_that_does_not_respond_is_unknown_with_the_upstreams_last_word(yard: Telematics):
    await yard.fault("offline", vehicle_id=VEHICLE)
    failed = await yard.ends(await yard.build())

    assert told(failed) == ("failed", "sb_unknown")
    assert "No Response" in failed.said


async def test_a_unit_that_disconnects_and_comes_back_is_followed_to_its_end(yard: Telematics):
    await yard.fault("sb-disconnected", for_s=15)
    done = await yard.ends(await yard.build())

    assert told(done) == ("done", "confirmed")


async def test_a_scheme_that_is_assigned_already_is_not_written_again(yard: Telematics):
    done = await yard.ends(await yard.build(vehicle_setting_id="5411"))

    assert done.state == "done" and done.result["already"]
    assert yard.executed() == 0


# What stands in its way before it is sent.


async def test_a_busy_review_slot_is_waited_for(yard: Telematics):
    await yard.fault("slot-busy", times=2)
    done = await yard.ends(await yard.build())

    assert told(done) == ("done", "confirmed")
    assert yard.executed() == 1


async def test_a_slot_that_stays_busy_ends_the_job_with_nothing_sent(yard: Telematics):
    await yard.fault("slot-busy")
    failed = await yard.ends(await yard.build())

    assert told(failed) == ("failed", "slot_busy")
    assert yard.sim.ledger.asked[EXECUTE] == 0


async def test_an_exhausted_upstream_is_waited_out(yard: Telematics):
    await yard.fault("pool-exhausted", times=2, action="associate_vehicles_actions_opr")
    done = await yard.ends(await yard.build())

    assert told(done) == ("done", "confirmed")
    assert yard.executed() == 1


@pytest.mark.parametrize("fault", ["no-process", "process-not-found"])
async def test_a_process_that_does_not_show_is_prepared_anew(yard: Telematics, fault: str):
    await yard.fault(fault, times=4)
    done = await yard.ends(await yard.build())

    assert told(done) == ("done", "confirmed")
    assert yard.executed() == 1


async def test_a_forbidden_frame_before_the_process_is_answered_with_a_new_login(yard: Telematics):
    await yard.fault("forbidden", times=1, action="review_process_attributes")
    done = await yard.ends(await yard.build())

    assert told(done) == ("done", "confirmed")
    assert yard.executed() == 1


async def test_a_wrong_password_is_for_a_person(yard_with: Any):
    yard = await yard_with(password="not-this-one")
    failed = await yard.ends(await yard.build())

    assert told(failed) == ("failed", "refused")
    assert yard.executed() == 0


async def test_a_connection_for_reading_alone_changes_nothing(yard_with: Any):
    yard = await yard_with(read_only=True)
    failed = await yard.ends(await yard.build())

    assert told(failed) == ("failed", "read_only")
    assert yard.sim.upstream.accounts.logins == 0


async def test_a_vehicle_that_does_not_exist_is_told(yard: Telematics):
    failed = await yard.ends(await yard.build(vehicle_id="2999999"))

    assert told(failed) == ("failed", "vehicle_unknown")


# In doubt.


@pytest.mark.parametrize("fault", ["drop-answer", "cut-after"])
async def test_a_lost_answer_is_found_by_its_trace_and_not_sent_again(yard: Telematics, fault: str):
    await yard.fault(fault, times=1, action=EXECUTE)
    job = await yard.build()
    done = await yard.ends(job)

    assert told(done) == ("done", "confirmed")
    assert yard.executed() == yard.sim.ledger.asked[EXECUTE] == 1
    assert "in_doubt" in await yard.told(job)


@pytest.mark.parametrize("fault", ["lost-request", "cut-before"])
async def test_a_frame_that_never_arrived_is_known_by_the_review_and_sent_again(yard: Telematics, fault: str):
    await yard.fault(fault, times=1, action=EXECUTE)
    job = await yard.build()
    done = await yard.ends(job)

    assert told(done) == ("done", "confirmed")
    assert yard.executed() == 1
    assert [state for name, _, _, state in await yard.steps(job) if name == "queue"] == ["again", "done"]


# Together.


async def test_jobs_of_one_client_do_not_collide_in_its_review_slot(yard: Telematics):
    vehicles = ("2900108", "2900104", "2900117")
    jobs = [
        await yard.build(vehicle_id=one, vehicle_setting_id="5411" if one != VEHICLE else "9000")
        for one in vehicles
    ]
    ended = [await yard.ends(job) for job in jobs]

    assert [told(job) for job in ended] == [("done", "confirmed")] * 3
    assert [yard.executed(vehicle=one) for one in vehicles] == [1, 1, 1]


async def test_two_jobs_of_one_vehicle_run_one_after_the_other(yard: Telematics):
    first, second = await yard.build(), await yard.build(vehicle_setting_id="5411")
    await yard.reaches(first, "running")
    assert (await yard.job(second)).state == "queued"
    await yard.ends(first)
    done = await yard.ends(second)

    assert told(done) == ("done", "confirmed")
    assert yard.executed() == 2


# What is kept.


async def test_the_frames_of_a_job_are_kept_without_secrets(yard: Telematics):
    job = await yard.build()
    await yard.ends(job)
    frames = "\n".join(await yard.frames(job)).lower()

    assert '"name":"execute_action_opr"' in frames and '"action_name":"execute_action_opr"' in frames
    tokens = [session.token.lower() for session in yard.sim.upstream.accounts.sessions.values()]
    assert not any(secret in frames for secret in (*tokens, "test-only-a"))


async def test_a_plan_lists_the_frames_that_are_sent_in_their_order(yard: Telematics):
    kind = yard.kinds["traffilog.scheme_builder"]
    job = await yard.build()
    await yard.ends(job)
    sent = [text for text in await yard.frames(job) if text.startswith('{"action')]

    assert kind.plan is not None
    planned = kind.plan(settings_for(yard.sim), kind.params.model_validate(job.params))
    frames = [one.text for one in planned if one.surface == "websocket"]
    assert [name_of(one) for one in sent[: len(frames)]] == [name_of(one) for one in frames]


# What is understood of it.


async def facts(yard: Telematics) -> list[tuple[str, dict[str, Any]]]:
    """Answer what the interpreter makes of all that was heard."""
    heard = await yard.store.read(lambda tx: read_after(tx, 0, family=0, limit=10_000))
    interpreter = TraffilogInterpreter("c1", Memory())
    found = [fact for event in heard for fact in interpreter.take(event)]
    return [(fact.type, dict(fact.data)) for fact in found if fact.type.startswith("process.")]


async def test_the_facts_tell_the_same_as_the_job(yard: Telematics):
    job = await yard.build()
    done = await yard.ends(job)
    told = await facts(yard)

    types = [type for type, _ in told]
    assert types[0] == "process.queued" and "process.progressed" in types
    assert {"process.ended", "process.confirmed"} <= set(types)
    assert {data["process_id"] for _, data in told} == {done.result["process_id"]}
    assert {data["vehicle_id"] for _, data in told} == {VEHICLE}
    assert told[0][1]["job"] == job.id


async def test_the_facts_tell_of_silence_what_the_job_decided(yard: Telematics):
    await yard.fault("sb-silence")
    failed = await yard.ends(await yard.build())
    [ended] = [data for type, data in await facts(yard) if type == "process.ended"]

    assert (ended["outcome"], ended["process_id"]) == ("unknown", failed.result["process_id"])
