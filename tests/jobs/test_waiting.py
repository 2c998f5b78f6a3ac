"""Pauses, questions, sections and pipelines: durable, and the same after a restart."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.errors import Fenced
from atalaia.jobs.section import TTL_S, hold
from atalaia.jobs.submit import NotNow, WrongParams
from atalaia.store.leases import check
from tests.jobs.yard import Yard
from tests.store.bases import Base


async def test_a_job_sleeps_asks_and_follows_up_once(yard: Yard):
    await yard.start()
    job = await yard.submit("careful")
    asking = await yard.comes_to(job, "waiting", passing_s=5)

    assert (asking.asked["question"], asking.asked["choices"]) == ("Shall it go on?", ["yes", "no"])
    with pytest.raises(WrongParams):
        await yard.answer(job, "perhaps")
    answered = await yard.answer(job, "yes", data={"note": "ok"})
    assert (answered.state, answered.asked, answered.progress["chosen"]) == ("running", {}, "yes")
    done = await yard.comes_to(job, "done")
    following = done.result["next"]
    assert (done.result["by"], done.result["data"]) == ("ana", {"note": "ok"})
    [queued] = [data for type, data in await yard.facts() if type == "queued" and data["step"] == "next"]
    assert queued["root"] == job.id
    assert following != job.id
    with pytest.raises(NotNow):
        await yard.answer(job, "no")


async def test_a_question_that_nobody_answers_in_time_is_answered_with_none(yard: Yard):
    await yard.start()
    job = await yard.submit("careful")
    await yard.comes_to(job, "waiting", passing_s=5)
    failed = await yard.comes_to(job, "failed", passing_s=60)

    assert failed.reason == "not_approved"
    assert not yard.upstream.done


async def test_a_question_that_is_called_off_ends_the_job(yard: Yard):
    await yard.start()
    job = await yard.submit("careful")
    await yard.comes_to(job, "waiting", passing_s=5)
    await yard.cancel(job)
    await yard.until(lambda: not yard.jobs.running, "its code ends")

    assert (await yard.job(job)).state == "cancelled"


async def test_a_restart_neither_sleeps_nor_asks_anew(yard: Yard):
    await yard.start()
    job = await yard.submit("careful")
    await yard.until(lambda: _row(yard, job, "sleep:1"), "it sleeps")
    await yard.clock.run_for(59)
    await yard.stop()
    await yard.start()
    await yard.jobs.rescue()
    await yard.until(lambda: job.id in yard.jobs.running, "it runs again")
    await yard.comes_to(job, "waiting", passing_s=1)
    until_ms = (await yard.job(job)).asked["until_ms"]

    await yard.stop()
    await yard.answer(job, "yes")
    await yard.start()
    await yard.jobs.rescue()
    done = await yard.comes_to(job, "done")
    assert done.result["by"] == "ana"
    asked = [data for type, data in await yard.facts(job) if type == "asked"]
    assert [one["until_ms"] for one in asked] == [until_ms]
    # One second was left of the pause, however long the restart took.
    assert until_ms - job.created_ms < (60 + 30 + 600) * 1000


async def test_a_section_is_held_by_one_at_a_time(yard: Yard):
    inside, most = 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with hold(yard.store, yard.ambient, "c1:client:7"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(8)))
    assert most == 1


async def test_who_holds_a_section_keeps_it_and_who_slept_too_long_is_refused(
    sqlite: Base, clock: HeldClock, ambient: Ambient
):
    store = await sqlite.open()  # on PostgreSQL leases run by the database's clock, which nobody holds
    first = hold(store, ambient, "c1:client:7")
    lease = await first.__aenter__()
    await clock.run_for(TTL_S * 3)
    await store.write(lambda tx: check(tx, lease.name, lease.epoch))

    clock.set(clock.now() + timedelta(hours=1))
    async with hold(store, ambient, "c1:client:7") as second:
        assert second.epoch > lease.epoch
        with pytest.raises(Fenced):
            await store.write(lambda tx: check(tx, lease.name, lease.epoch))
    await first.__aexit__(None, None, None)


async def _row(yard: Yard, job, name: str) -> bool:
    return any(row[0] == name for row in await yard.steps(job))
