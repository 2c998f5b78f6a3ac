"""Jobs that nobody runs: found, resumed once, and given up when it is the job that kills its workers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager

from sqlalchemy import create_engine, make_url, text, update

from atalaia.jobs.dispatch import Taker, claim
from atalaia.jobs.engine import RECOVERIES_MAX, Standing
from atalaia.jobs.rescue import give_up
from atalaia.jobs.rows import Job
from atalaia.store.job_tables import jobs
from tests.jobs.yard import Yard


async def test_a_job_that_was_claimed_and_never_started_is_started(yard: Yard):
    job = await yard.submit()
    await yard.start()
    task = yard.jobs.look
    yard.jobs.look = asyncio.Event().wait  # pyright: ignore[reportAttributeAccessIssue]  # it dies right here
    taker = Taker(yard.worker, 1)
    assert await yard.store.write(lambda tx: claim(tx, yard.ambient, yard.kinds, taker))
    yard.jobs.look = task
    await yard.stop()
    await yard.start()
    await yard.jobs.rescue()

    assert (await yard.comes_to(job, "done")).epoch == 2


async def test_a_job_whose_run_was_lost_by_a_defect_is_begun_again(yard: Yard):
    yard.upstream.away = True
    await yard.start()
    job = await yard.submit()
    await yard.until(lambda: yard.upstream.asked, "it has begun")
    run = yard.jobs.running[job.id]
    assert run.attending is not None
    run.attending.cancel()
    await yard.until(lambda: not yard.jobs.running, "nothing runs it")
    yard.upstream.away = False
    done = await yard.comes_to(job, "done", passing_s=1)

    assert (done.epoch, yard.upstream.done) == (2, {job.trace: 1})


async def test_jobs_run_while_the_engines_own_file_is_locked_by_others(yard: Yard):
    await yard.start()
    await yard.comes_to(await yard.submit(), "done")  # the engine is there
    with locked(yard):
        made = [await yard.submit(resource=str(n)) for n in range(5)]
        for job in made:
            await yard.comes_to(job, "done")

    assert all(yard.upstream.done[job.trace] == 1 for job in made)


async def test_the_engine_hears_of_jobs_that_last_and_of_no_others(yard: Yard):
    yard.lasting_s = 1.0
    await yard.start()
    short = await yard.submit()
    await yard.comes_to(short, "done")
    lasting = await yard.submit("careful")  # it sleeps for a minute

    async def known() -> Mapping[str, Standing]:
        return await yard.engine.standing([short.workflow, lasting.workflow])

    async def is_known() -> bool:
        return (await known())[lasting.workflow] is Standing.RUNNING

    await yard.until(is_known, "it is known", passing_s=0.5)
    assert (await known())[short.workflow] is Standing.MISSING


async def test_a_job_that_kills_its_worker_before_the_engine_hears_of_it_is_failed_too(yard: Yard):
    yard.lasting_s = 3600.0
    yard.upstream.away = True
    await yard.start()
    job = await yard.submit()
    await yard.until(lambda: yard.upstream.asked, "it has begun")
    for _ in range(RECOVERIES_MAX + 2):
        await yard.stop()
        await yard.start()
        await yard.engine.launch()
        await yard.engine.forget([job.workflow])
        await yard.until(lambda: runs_or_ends(yard, job), "it runs again", known=lambda: yard.job(job))

    assert (await yard.comes_to(job, "failed")).reason == "kept_dying"


@contextmanager
def locked(yard: Yard) -> Generator[None]:
    """Hold what the engine writes first: its file, or on PostgreSQL its table of workflows."""
    url, folder = yard.where
    if not url:
        with closing(sqlite3.connect(folder / "jobs.db", isolation_level=None)) as raw:
            raw.execute("begin immediate")
            yield
            raw.execute("rollback")
        return
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as tx:
        tx.execute(text("lock table dbos.workflow_status in exclusive mode"))
        yield
    engine.dispose()


async def test_a_job_of_a_kind_that_nobody_knows_is_named_until_somebody_takes_it(yard: Yard):
    newer = await yard.submit("few")
    cancelled = await yard.submit("few")
    few = yard.kinds.pop("toy.few")
    await yard.start()
    await yard.jobs.rescue()
    assert await yard.alarms() == []  # workers may be on their way to a newer version
    await yard.clock.run_for(61)
    await yard.jobs.rescue()
    await yard.jobs.rescue()
    assert await yard.alarms() == ["alert.raised"] * 2
    assert (await yard.job(newer)).said == "This version does not know the kind toy.few."

    yard.kinds["toy.few"] = few
    await yard.cancel(cancelled)
    await yard.comes_to(newer, "done")
    assert await yard.alarms() == ["alert.raised"] * 2 + ["alert.resolved"] * 2


async def test_a_worker_that_others_hold_for_dead_takes_nothing(yard: Yard):
    await yard.submit()
    taker = Taker("unknown", 1)

    assert await yard.store.write(lambda tx: claim(tx, yard.ambient, yard.kinds, taker)) == []


async def test_a_job_whose_worker_was_held_for_dead_sends_nothing_more(yard: Yard):
    yard.upstream.away = True
    await yard.start()
    job = await yard.submit()
    await yard.until(lambda: yard.upstream.asked, "it has begun")
    # Another worker takes it: the epoch grows.
    await yard.store.write(lambda tx: tx.execute(update(jobs).values(epoch=jobs.c.epoch + 1, executor="b")))
    yard.upstream.away = False
    await yard.until(lambda: not yard.jobs.running, "its code ends here", passing_s=1)

    assert not yard.upstream.done
    assert (await yard.job(job)).state == "running"


async def test_a_job_whose_workflow_was_lost_goes_on_with_what_the_ledger_knows(yard: Yard):
    yard.upstream.on_done = lambda _: setattr(yard.upstream, "away", True)
    await yard.start()
    job = await yard.submit()

    async def ordered() -> bool:
        return ("order", 1, 1, "done") in await yard.steps(job)

    await yard.until(ordered, "the order is answered")
    engine = yard.engine
    await yard.stop()
    await yard.start()
    await yard.engine.launch()
    assert yard.engine is not engine
    await yard.engine.forget([job.workflow])
    yard.upstream.away = False
    await yard.jobs.rescue()
    await yard.comes_to(job, "done", passing_s=1)

    assert yard.upstream.done == {job.trace: 1}


async def runs_or_ends(yard: Yard, job: Job) -> bool:
    """Look as the rescuer does, and answer whether somebody runs the job or it has ended."""
    if job.id in yard.jobs.running or (await yard.job(job)).ended_ms:
        return True
    await yard.jobs.rescue()
    return False


async def dies_again_and_again(yard: Yard, job: Job) -> None:
    for _ in range(RECOVERIES_MAX + 2):
        await yard.stop()
        await yard.start()
        await yard.until(lambda: runs_or_ends(yard, job), "it runs again", known=lambda: yard.job(job))


async def test_a_job_that_kills_its_worker_each_time_is_failed(yard: Yard):
    yard.upstream.away = True
    await yard.start()
    job = await yard.submit()
    await yard.until(lambda: yard.upstream.asked, "it has begun")
    await dies_again_and_again(yard, job)
    failed = await yard.comes_to(job, "failed")

    assert failed.reason == "kept_dying"
    assert not await yard.locks()


async def test_a_job_that_waits_for_a_person_outlives_any_number_of_restarts(yard: Yard):
    await yard.start()
    job = await yard.submit(how="no_answer")
    await yard.comes_to(job, "in_doubt")
    await dies_again_and_again(yard, job)
    await yard.decide(job, "happened")
    await yard.comes_to(job, "done")

    assert yard.upstream.done == {job.trace: 1}


async def test_what_is_given_up_after_it_left_is_in_doubt_and_goes_on_when_it_is_decided(yard: Yard):
    yard.upstream.answers.clear()
    await yard.start()
    job = await yard.submit()
    await yard.until(lambda: yard.upstream.done, "it has left")
    await yard.stop()
    yard.upstream.answers.set()
    left = await yard.job(job)
    await yard.store.write(lambda tx: give_up(tx, yard.ambient, left))
    assert (await yard.job(job)).state == "in_doubt"
    assert await yard.alarms() == ["alert.raised"]

    await yard.start()
    await yard.decide(job, "happened")
    await yard.jobs.rescue()
    await yard.comes_to(job, "done", passing_s=1)
    assert yard.upstream.done == {job.trace: 1}
