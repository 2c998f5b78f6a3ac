"""A job on its way: what it does upstream, what is told, what is kept, and how it ends."""

from __future__ import annotations

import pytest

from atalaia.clock import to_ms
from tests.jobs.toy import ToySettings
from tests.jobs.yard import CONNECTION, Yard


async def test_a_job_does_its_steps_and_every_change_is_told(yard: Yard):
    await yard.start()
    job = await yard.submit()
    done = await yard.comes_to(job, "done")

    assert done.result == {"before": 0, "ordered": {"number": 1}, "after": 1}
    assert yard.upstream.done == {job.trace: 1}
    assert await yard.told(job) == ["queued", "started", "step_done", "step_done", "step_done", "done"]
    assert await yard.steps(job) == [(name, 1, 1, "done") for name in ("after", "before", "order")]
    assert not await yard.locks()


async def test_frames_are_kept_with_secrets_masked(yard: Yard):
    await yard.start()
    job = await yard.submit(session_token="very-secret-token")
    await yard.comes_to(job, "done")

    assert await yard.frames(job) == [f'{{"session_token":"•••","tag":"{job.trace}"}}']


async def test_jobs_with_the_same_lock_run_one_after_the_other_and_others_do_not_wait(yard: Yard):
    yard.upstream.answers.clear()
    await yard.start()
    first, second = await yard.submit(resource="a"), await yard.submit(resource="a")
    other = await yard.submit(resource="b")
    await yard.until(lambda: sum(yard.upstream.done.values()) == 2, "both resources are worked on")

    assert (await yard.job(second)).state == "queued"
    assert set((await yard.locks()).values()) == {first.id, other.id}
    yard.upstream.answers.set()
    await yard.comes_to(second, "done")
    assert yard.upstream.open_at_most == {"a": 1, "b": 1}


async def test_a_job_that_is_known_to_be_about_a_locked_thing_waits_in_the_queue_with_no_lock(yard: Yard):
    yard.upstream.answers.clear()
    await yard.start()
    first = await yard.submit(resource="a")
    await yard.until(lambda: yard.upstream.done[first.trace], "the first is worked on")
    second, other = await yard.submit("stored", resource="a"), await yard.submit("stored", resource="b")
    await yard.until(lambda: yard.upstream.done[other.trace], "another resource is worked on")

    assert (await yard.job(second)).state == "queued"
    assert set((await yard.locks()).values()) == {first.id, other.id}
    yard.upstream.answers.set()
    await yard.comes_to(second, "done")
    assert yard.upstream.open_at_most == {"a": 1, "b": 1}
    assert not await yard.locks()


async def test_a_job_that_learns_on_its_way_what_is_locked_waits_before_it_orders(yard: Yard):
    yard.upstream.answers.clear()
    await yard.start()
    first = await yard.submit(resource="a")
    await yard.until(lambda: yard.upstream.done[first.trace], "the first is worked on")
    second = await yard.submit("learning", resource="a")

    async def told() -> bool:
        return first.id in str((await yard.job(second)).progress.get("said", ""))

    await yard.until(told, "the second says for whom it waits")
    yard.upstream.answers.set()
    await yard.comes_to(second, "done")
    assert yard.upstream.open_at_most == {"a": 1}
    assert not await yard.locks()


async def test_a_lock_that_is_held_for_half_an_hour_fails_the_job_that_waits_for_it(yard: Yard):
    yard.upstream.answers.clear()
    await yard.start()
    first = await yard.submit(resource="a")
    await yard.until(lambda: yard.upstream.done[first.trace], "the first is worked on")
    failed = await yard.comes_to(await yard.submit("learning", resource="a"), "failed", passing_s=20)

    assert failed.reason == "locked"
    assert first.id in failed.said
    assert (await yard.job(first)).state == "running"
    yard.upstream.answers.set()
    await yard.comes_to(first, "done")


async def test_no_more_of_a_kind_run_at_once_than_it_allows(yard: Yard):
    yard.upstream.answers.clear()
    await yard.start()
    made = [await yard.submit("few") for _ in range(4)]
    await yard.until(lambda: sum(yard.upstream.done.values()) == 2, "two are on their way")

    states = [(await yard.job(one)).state for one in made]
    assert sorted(states) == ["queued", "queued", "running", "running"]
    yard.upstream.answers.set()
    for one in made:
        await yard.comes_to(one, "done")
    assert yard.upstream.open_at_most == {"one": 2}


async def test_no_more_of_a_connections_jobs_run_at_once_than_its_settings_allow(yard: Yard):
    settings = ToySettings(url=yard.upstream.url, jobs_at_once=3)
    await yard.store.write(lambda tx: yard.registry.change(tx, CONNECTION, 1, settings=settings))
    yard.upstream.answers.clear()
    await yard.start()
    kinds = ("one", "few", "anew", "one", "few")
    made = [await yard.submit(kind, resource=str(n)) for n, kind in enumerate(kinds)]
    await yard.until(lambda: sum(yard.upstream.done.values()) == 3, "three are on their way")

    states = [(await yard.job(one)).state for one in made]
    assert sorted(states) == ["queued"] * 2 + ["running"] * 3
    yard.upstream.answers.set()
    for one in made:
        await yard.comes_to(one, "done")


async def test_higher_priority_goes_first_then_age(yard: Yard):
    made = [await yard.submit(priority=n) for n in (0, 5, 0)]
    await yard.start()
    for one in made:
        await yard.comes_to(one, "done")

    orders = [tag for path, tag in yard.upstream.asked if path == "order"]
    assert orders == [made[1].trace, made[0].trace, made[2].trace]


async def test_a_job_waits_for_its_time_and_expires_when_it_is_over(yard: Yard):
    now = to_ms(yard.clock.now())
    later = await yard.submit(not_before_ms=now + 60_000)
    never = await yard.submit(not_before_ms=now + 60_000, expires_ms=now + 30_000)
    await yard.start()
    await yard.comes_to(await yard.submit(), "done")

    assert (await yard.job(later)).state == "queued"
    await yard.comes_to(never, "expired", passing_s=10)
    await yard.comes_to(later, "done", passing_s=10)
    assert await yard.told(never) == ["queued", "expired"]


async def test_what_the_upstream_refuses_fails_with_its_words(yard: Yard):
    await yard.start()
    job = await yard.submit(how="rejected")
    failed = await yard.comes_to(job, "failed")

    assert (failed.reason, failed.said) == ("rejected", "this serial is in use")
    told = dict(await yard.facts(job))["step_failed"]
    assert (told["step"], told["reason"], told["said"]) == ("order", "rejected", "this serial is in use")
    assert await yard.steps(job) == [("before", 1, 1, "done"), ("order", 1, 1, "failed")]
    assert not yard.upstream.done


async def test_a_reading_step_waits_out_an_upstream_that_is_away(yard: Yard):
    yard.upstream.away = True
    await yard.start()
    job = await yard.submit()
    await yard.until(lambda: len(yard.upstream.asked) >= 3, "it asks again", passing_s=5)
    yard.upstream.away = False
    await yard.comes_to(job, "done", passing_s=5)

    assert yard.upstream.done == {job.trace: 1}


async def test_a_defect_fails_the_job_without_telling_what_it_said(yard: Yard):
    await yard.start()
    failed = await yard.comes_to(await yard.submit("broken", session_token="very-secret-token"), "failed")

    assert failed.reason == "defect"
    assert "KeyError" in failed.said
    assert "very-secret-token" not in failed.said


async def test_a_job_that_takes_too_long_fails(yard: Yard):
    yard.upstream.away = True
    await yard.start()
    job = await yard.submit("short")
    failed = await yard.comes_to(job, "failed", passing_s=5)

    assert failed.reason == "too_long"
    assert failed.ended_ms and failed.started_ms
    assert failed.ended_ms - failed.started_ms >= 60_000


async def test_a_running_job_is_called_off_at_once_where_nothing_has_left(yard: Yard):
    yard.upstream.away = True
    await yard.start()
    job = await yard.submit()

    async def says_so() -> bool:
        return "progressed" in await yard.told(job)

    await yard.until(says_so, "it has begun, and says that the upstream is away")
    await yard.cancel(job)
    await yard.until(lambda: not yard.jobs.running, "its code ends")
    yard.upstream.away = False

    assert (await yard.job(job)).state == "cancelled"
    assert not yard.upstream.done
    assert await yard.told(job) == ["queued", "started", "progressed", "cancelled"]


async def test_a_job_is_called_off_after_the_answer_of_what_is_on_its_way_and_puts_things_right(yard: Yard):
    yard.upstream.answers.clear()
    await yard.start()
    job = await yard.submit("compensating")
    await yard.until(lambda: yard.upstream.done, "the order has left")
    assert (await yard.cancel(job)).state == "running"
    yard.upstream.answers.set()
    cancelled = await yard.comes_to(job, "cancelled")

    assert cancelled.said == "not wanted"
    assert yard.upstream.done == {job.trace: 1, f"undo-{job.trace}": 1}


@pytest.mark.parametrize(
    ("kind", "anew", "times"), [("one", None, 1), ("one", True, 2), ("anew", None, 2), ("anew", False, 1)]
)
async def test_a_retry_keeps_the_answers_of_unsafe_steps_unless_it_is_told_otherwise(
    yard: Yard, kind: str, anew: bool | None, times: int
):
    yard.upstream.on_done = lambda _: setattr(yard.upstream, "away", True)
    await yard.start()
    job = await yard.submit(kind)

    async def ordered() -> bool:
        return ("order", 1, 1, "done") in await yard.steps(job)

    await yard.until(ordered, "the order is answered, and the upstream is away")
    await yard.cancel(job)
    yard.upstream.on_done = lambda _: None
    yard.upstream.away = False
    await yard.retry(job, anew=anew)
    await yard.comes_to(job, "done")

    assert yard.upstream.done == {job.trace: times}


@pytest.mark.parametrize("again", [1, 3])
async def test_a_worker_that_stops_in_the_middle_leaves_its_job_to_the_next(yard: Yard, again: int):
    yard.upstream.away = True
    await yard.start()
    job = await yard.submit()
    await yard.until(lambda: yard.upstream.asked, "it has begun")
    for _ in range(again):
        await yard.stop()
        await yard.start()
        await yard.jobs.rescue()
    yard.upstream.away = False
    done = await yard.comes_to(job, "done", passing_s=1)

    assert done.epoch > 1
    assert yard.upstream.done == {job.trace: 1}
