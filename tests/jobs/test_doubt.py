"""What may have happened: never sent twice on our own, looked for, decided by a person, and told."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from atalaia.jobs.ledger import answers_of_others
from atalaia.jobs.rescue import give_up
from atalaia.jobs.rows import Job
from atalaia.jobs.submit import NotNow, WrongParams
from atalaia.store.tables import leases
from tests.jobs.yard import Yard


async def doubtful(yard: Yard, kind: str = "one", **params: Any) -> Job:
    """Answer a job whose order was done upstream, and whose answer never came."""
    await yard.start()
    return await yard.submit(kind, how="no_answer", **params)


async def test_an_answer_that_never_came_waits_for_a_person_and_sends_nothing(yard: Yard):
    job = await doubtful(yard)
    waiting = await yard.comes_to(job, "in_doubt")
    await yard.until(lambda: _has(yard, ["alert.raised"]), "the alert")

    assert waiting.reason == "in_doubt:order"
    assert yard.upstream.done == {job.trace: 1}
    told = dict(await yard.facts(job))["in_doubt"]
    assert (told["step"], told["trace"], told["evidence"]["tag"]) == ("order", job.trace, job.trace)
    assert set((await yard.locks()).values()) == {job.id}


async def test_a_person_says_that_it_happened_and_the_job_goes_on_with_what_was_filled_in(yard: Yard):
    job = await doubtful(yard)
    await yard.comes_to(job, "in_doubt")
    await yard.decide(job, "happened", result={"number": 7}, reason="seen in the portal")
    done = await yard.comes_to(job, "done")

    assert done.result["ordered"] == {"number": 7}
    assert yard.upstream.done == {job.trace: 1}
    decided = dict(await yard.facts(job))["decided"]
    assert (decided["step"], decided["choice"], decided["by"]) == ("order", "happened", "ana")
    assert decided["reason"] == "seen in the portal"
    assert (await yard.alarms())[-1] == "alert.resolved"


async def test_a_person_decides_while_a_look_that_takes_long_goes_on(yard: Yard):
    job = await doubtful(yard, probe="goes_on")
    await yard.comes_to(job, "in_doubt")
    await yard.decide(job, "happened", result={"number": 7})
    done = await yard.comes_to(job, "done")

    assert done.result["ordered"] == {"number": 7}
    assert yard.upstream.done == {job.trace: 1}


async def test_a_look_knows_what_other_jobs_of_its_kind_have_brought_about(yard: Yard):
    await yard.start()
    first, second = await yard.submit(resource="a"), await yard.submit(resource="b")
    for job in (first, second):
        await yard.comes_to(job, "done")

    others = await yard.store.read(lambda tx: answers_of_others(tx, second, "order", second.created_ms))
    assert others == [{"number": 1}]
    later = yard.ambient.clock.now().timestamp() * 1000 + 1
    assert await yard.store.read(lambda tx: answers_of_others(tx, second, "order", int(later))) == []


async def test_what_is_in_doubt_is_told_once_and_what_a_probe_saw_beside_it(yard: Yard):
    job = await doubtful(yard, probe="cannot_tell")
    await yard.comes_to(job, "in_doubt")
    await yard.until(lambda: _has(yard, ["alert.raised"]), "the alert")

    told = [one for one in await yard.facts(job) if one[0] in ("in_doubt", "probed")]
    assert [type for type, _ in told] == ["in_doubt", "probed"]
    assert told[1][1]["said"] == "The toy keeps no traces today."


async def test_who_only_says_that_it_happened_takes_the_answer_that_the_evidence_tells(yard: Yard):
    job = await doubtful(yard, supposes=True)
    await yard.comes_to(job, "in_doubt")
    await yard.decide(job, "happened")
    done = await yard.comes_to(job, "done")

    assert done.result["ordered"] == {"number": 0, "tag": job.trace}


async def test_what_a_person_saw_upstream_stands_in_the_answer_and_in_the_record(yard: Yard):
    job = await doubtful(yard, supposes=True)
    await yard.comes_to(job, "in_doubt")
    seen = {"number": "7", "seen_in": "history, second row"}
    with pytest.raises(WrongParams, match="number holds a number"):
        await yard.decide(job, "happened", evidence={"number": "seven"})
    await yard.decide(job, "happened", evidence=seen)
    done = await yard.comes_to(job, "done")

    assert done.result["ordered"] == {"number": 7, "tag": job.trace}
    decided = dict(await yard.facts(job))["decided"]
    assert decided["evidence"] == seen
    assert decided["answer"] == {"number": 7, "tag": job.trace}


async def test_a_step_whose_answer_nobody_knows_ends_its_job_as_completed_unconfirmed(yard: Yard):
    job = await doubtful(yard)
    await yard.comes_to(job, "in_doubt")
    await yard.decide(job, "happened", evidence={"seen_in": "history"})
    done = await yard.comes_to(job, "done")

    assert done.result["outcome"] == "completed_unconfirmed"
    assert yard.upstream.done == {job.trace: 1}


async def test_what_is_decided_while_no_code_runs_is_answered_by_what_the_step_supposes(yard: Yard):
    yard.upstream.answers.clear()
    await yard.start()
    job = await yard.submit(supposes=True)
    await yard.until(lambda: yard.upstream.done, "it has left")
    await yard.stop()
    yard.upstream.answers.set()
    left = await yard.job(job)
    await yard.store.write(lambda tx: give_up(tx, yard.ambient, left))
    await yard.decide(job, "happened", evidence={"number": 3})
    await yard.start()
    await yard.jobs.rescue()
    done = await yard.comes_to(job, "done", passing_s=1)

    assert done.result["ordered"] == {"number": 3, "tag": job.trace}


async def test_a_person_says_run_it_again_and_only_then_it_is_sent_a_second_time(yard: Yard):
    job = await doubtful(yard)
    await yard.comes_to(job, "in_doubt")
    await yard.decide(job, "again")
    await yard.until(lambda: yard.upstream.done[job.trace] == 2, "it is sent again")
    await yard.comes_to(job, "in_doubt")
    await yard.decide(job, "happened")
    await yard.comes_to(job, "done")

    rows = [row for row in await yard.steps(job) if row[0] == "order"]
    assert rows == [("order", 1, 1, "again"), ("order", 1, 2, "happened")]


@pytest.mark.parametrize("word", ["decide", "cancel"])
async def test_a_person_calls_it_off_and_the_code_puts_things_right(yard: Yard, word: str):
    job = await doubtful(yard, "compensating")
    await yard.comes_to(job, "in_doubt")
    await (yard.decide(job, "cancel") if word == "decide" else yard.cancel(job))
    cancelled = await yard.comes_to(job, "cancelled")

    assert cancelled.reason == "cancelled"
    assert yard.upstream.done == {job.trace: 1, f"undo-{job.trace}": 1}


async def test_a_second_decision_changes_nothing(yard: Yard):
    job = await doubtful(yard)
    await yard.comes_to(job, "in_doubt")
    await yard.decide(job, "happened")
    with pytest.raises(NotNow):
        await yard.decide(job, "again")
    await yard.comes_to(job, "done")

    assert yard.upstream.done == {job.trace: 1}


async def test_a_probe_that_finds_the_trace_decides_without_a_person(yard: Yard):
    job = await doubtful(yard, probe="look")
    done = await yard.comes_to(job, "done")

    assert done.result["ordered"] == {"number": 1}
    assert yard.upstream.done == {job.trace: 1}
    decided = dict(await yard.facts(job))["decided"]
    assert (decided["choice"], decided["by"], decided["reason"]) == ("happened", "probe", "The tag is there.")
    assert "alert.raised" not in await yard.alarms()


async def test_a_probe_that_finds_nothing_lets_it_be_sent_again(yard: Yard):
    def undo(tag: str) -> None:
        if len([path for path, _ in yard.upstream.asked if path == "order"]) == 1:
            yard.upstream.done[tag] -= 1
            yard.upstream.answers.clear()

    yard.upstream.on_done = undo
    await yard.start()
    job = await yard.submit(probe="look")
    await yard.until(lambda: not yard.upstream.answers.is_set(), "it hangs")
    await yard.stop()
    yard.upstream.answers.set()
    await yard.start()
    await yard.jobs.rescue()
    await yard.comes_to(job, "done")

    assert yard.upstream.done == {job.trace: 1}
    assert dict(await yard.facts(job))["decided"]["choice"] == "again"


async def test_a_probe_that_cannot_tell_says_what_it_looked_at_and_waits(yard: Yard):
    job = await doubtful(yard, probe="cannot_tell")
    await yard.comes_to(job, "in_doubt")
    await yard.until(lambda: _has(yard, ["alert.raised"]), "the alert")

    assert (await yard.job(job)).said == "The toy keeps no traces today."


async def test_a_probe_whose_upstream_is_away_looks_again_until_it_is_back(yard: Yard):
    yard.upstream.on_done = lambda _: setattr(yard.upstream, "away", True)
    job = await doubtful(yard, probe="look")
    await yard.comes_to(job, "in_doubt")
    await yard.until(lambda: len(yard.upstream.asked) > 4, "it looks again", passing_s=5)
    yard.upstream.away = False
    await yard.comes_to(job, "done", passing_s=5)

    assert await yard.alarms() == ["alert.raised", "alert.resolved"]
    assert yard.upstream.done == {job.trace: 1}


async def test_a_worker_that_dies_between_sending_and_the_answer_leaves_a_job_in_doubt(yard: Yard):
    yard.upstream.answers.clear()
    await yard.start()
    job = await yard.submit()
    await yard.until(lambda: yard.upstream.done, "it has left")
    await yard.stop()
    yard.upstream.answers.set()
    await yard.start()
    await yard.jobs.rescue()
    await yard.comes_to(job, "in_doubt")

    assert yard.upstream.done == {job.trace: 1}
    await yard.decide(job, "happened")
    await yard.comes_to(job, "done")
    assert yard.upstream.done == {job.trace: 1}


async def test_a_decision_made_while_no_worker_lives_counts(yard: Yard):
    job = await doubtful(yard)
    await yard.comes_to(job, "in_doubt")
    await yard.stop()
    await yard.decide(job, "happened")
    await yard.start()
    await yard.jobs.rescue()
    await yard.comes_to(job, "done")

    assert yard.upstream.done == {job.trace: 1}


@pytest.mark.parametrize("kind", ["hasty", "self_cancelling"])
async def test_code_that_ends_while_its_order_is_on_its_way_leaves_a_job_in_doubt(yard: Yard, kind: str):
    if kind == "hasty":
        yard.upstream.answers.clear()
    await yard.start()
    job = await yard.submit(kind)
    await yard.comes_to(job, "in_doubt")
    await yard.until(lambda: _has(yard, ["alert.raised"]), "the alert")

    await yard.decide(job, "happened", result={"number": 1})
    await yard.jobs.rescue()
    await yard.comes_to(job, "failed" if kind == "hasty" else "done", passing_s=1)
    assert yard.upstream.done == {job.trace: 1}


async def test_a_lock_that_was_lost_before_anything_left_is_taken_again(yard: Yard):
    steal = iter([True])

    async def at(place: str, _tag: str, _pid: int) -> None:
        if place == "in_section" and next(steal, False):
            stolen = update(leases).where(leases.c.name.like("section:%")).values(epoch=99, expires_ms=0)
            await yard.store.write(lambda tx: tx.execute(stolen))

    yard.upstream.at = at
    await yard.start()
    job = await yard.submit("sectioned")
    await yard.comes_to(job, "done", passing_s=1)
    assert yard.upstream.done == {job.trace: 1}


async def test_the_time_in_which_a_person_is_waited_for_is_not_the_jobs(yard: Yard):
    job = await doubtful(yard, "short")
    await yard.comes_to(job, "in_doubt")
    await yard.clock.run_for(3600)
    await yard.decide(job, "happened")

    assert (await yard.comes_to(job, "done")).reason == ""


async def _has(yard: Yard, wanted: list[str]) -> bool:
    return await yard.alarms() == wanted
