"""Workers outside: a lease, a token, and nothing that an old token says."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from atalaia.jobs.external import OldToken, Outside
from atalaia.jobs.rescue import give_back_expired
from atalaia.jobs.rows import Job
from atalaia.jobs.submit import NotNow, WrongParams
from atalaia.store.job_tables import jobs
from tests.jobs.yard import Yard


async def claim(yard: Yard, worker: str = "w1") -> Job | None:
    outside = Outside(yard.orders)
    return await yard.store.write(lambda tx: outside.claim(tx, "toy.outside", worker, lease_s=60))


async def does(yard: Yard, word: str, job: Job, *more: Any, **named: Any) -> Job:
    """Do what a worker does with its job, with the token it was given."""
    work = getattr(Outside(yard.orders), word)
    return await yard.store.write(lambda tx: work(tx, job.id, job.epoch, *more, **named))


async def lease_runs_out(yard: Yard, job: Job) -> None:
    """Let the lease be over: on PostgreSQL it runs by the database's clock, which nobody holds."""
    await yard.store.write(lambda tx: tx.execute(update(jobs).where(jobs.c.id == job.id).values(lease_ms=1)))


async def test_a_worker_claims_tells_and_completes_and_a_repeat_changes_nothing(yard: Yard):
    asked = await yard.submit("outside")
    job = await claim(yard)
    assert job is not None
    assert (job.id, job.state, job.executor) == (asked.id, "running", "w1")
    assert await claim(yard, "w2") is None

    await does(yard, "renew", job, lease_s=60)
    await does(yard, "progress", job, 50, "half way")
    done = await does(yard, "done", job, {"vin": "9BW"})
    again = await does(yard, "done", job, {"vin": "another"})
    late = await does(yard, "failed", job, "timeout", "too late", {})
    assert done.result == again.result == late.result == {"vin": "9BW"}
    assert late.state == "done"
    assert await yard.told(job) == ["queued", "started", "progressed", "done"]


async def test_a_lease_that_ran_out_returns_the_job_and_its_token_is_refused(yard: Yard):
    await yard.submit("outside")
    first = await claim(yard)
    assert first is not None
    await lease_runs_out(yard, first)
    second = await claim(yard, "w2")
    assert second is not None and second.id == first.id and second.epoch > first.epoch

    for word, more in (
        ("progress", (50, "x")),
        ("done", ({},)),
        ("failed", ("r", "s", {})),
        ("give_back", ("",)),
    ):
        with pytest.raises(OldToken):
            await does(yard, word, first, *more)
    with pytest.raises(OldToken):
        await does(yard, "renew", first, lease_s=60)
    assert (await does(yard, "done", second, {})).state == "done"


async def test_what_nobody_claims_again_lies_in_the_queue_with_its_locks_free(yard: Yard):
    await yard.submit("outside")
    job = await claim(yard)
    assert job is not None and await yard.locks()
    await lease_runs_out(yard, job)
    assert await yard.store.write(lambda tx: give_back_expired(tx, yard.ambient)) == 1

    queued = await yard.job(job)
    assert (queued.state, queued.reason, queued.executor) == ("queued", "lease_ran_out", None)
    assert "did not renew its lease" in dict(await yard.facts(job))["returned"]["said"]
    assert not await yard.locks()


async def test_a_job_for_workers_outside_is_not_run_by_the_hub_and_the_reverse(yard: Yard):
    outside = await yard.submit("outside")
    await yard.start()
    await yard.comes_to(await yard.submit("one", resource="other"), "done")

    assert (await yard.job(outside)).state == "queued"
    with pytest.raises(WrongParams):
        await yard.store.write(lambda tx: Outside(yard.orders).claim(tx, "toy.one", "w", lease_s=60))
    with pytest.raises(WrongParams):
        await yard.store.write(lambda tx: Outside(yard.orders).claim(tx, "toy.outside", "w", lease_s=0))


async def test_a_job_that_is_called_off_is_refused_to_its_worker(yard: Yard):
    await yard.submit("outside")
    job = await claim(yard)
    assert job is not None
    await yard.cancel(job)

    with pytest.raises(NotNow):
        await does(yard, "done", job, {})
    assert (await yard.job(job)).state == "cancelled"


async def test_a_worker_gives_a_job_back_for_another_one(yard: Yard):
    await yard.submit("outside")
    job = await claim(yard)
    assert job is not None
    await does(yard, "give_back", job, "this machine has no browser")
    other = await claim(yard, "w2")

    assert other is not None and other.id == job.id and other.executor == "w2"
