"""Asking for jobs: what is taken, what is the same job again, and what is refused with words."""

from __future__ import annotations

import pytest

from atalaia.errors import ConfigError
from atalaia.jobs.model import Planned
from atalaia.jobs.submit import KeyReused, NoSuchJob, NotNow, Order, WrongParams
from tests.jobs.toy import ToySettings
from tests.jobs.yard import CONNECTION, Yard


async def test_the_same_key_and_body_is_the_same_job_and_another_body_is_refused(yard: Yard):
    first = await yard.submit(key="k", resource="a")

    assert (await yard.submit(key="k", resource="a")).id == first.id
    with pytest.raises(KeyReused):
        await yard.submit(key="k", resource="b")
    assert (await yard.submit(key="other", resource="a")).id != first.id
    assert [type for type, _ in await yard.facts()] == ["queued", "queued"]


async def test_a_step_of_a_pipeline_is_submitted_once_whatever_is_asked_again(yard: Yard):
    root = await yard.submit()
    first = await yard.submit(root=root.id, step="next", resource="a")
    again = await yard.submit(root=root.id, step="next", resource="b")

    assert again.id == first.id
    assert (first.root, first.parent, again.params["resource"]) == (root.id, None, "a")


async def test_wrong_parameters_are_named_field_by_field_without_their_values(yard: Yard):
    with pytest.raises(WrongParams) as caught:
        await yard.submit(resource="", how=17)

    assert [one["field"] for one in caught.value.fields] == ["resource", "how"]
    assert "17" not in str(caught.value)
    assert not await yard.facts()


@pytest.mark.parametrize(
    ("kind", "connection", "word"),
    [("toy.never", CONNECTION, "toy.one"), ("toy.one", "nowhere", "none that exists")],
)
async def test_what_does_not_exist_is_refused(yard: Yard, kind: str, connection: str, word: str):
    with pytest.raises(ConfigError, match=word):
        await yard.store.write(lambda tx: yard.orders.submit(tx, Order(kind, connection, {}, "ana")))


async def test_what_is_told_of_the_parameters_hides_secrets(yard: Yard):
    job = await yard.submit(session_token="very-secret-token")

    [(_, told)] = await yard.facts(job)
    assert "very-secret-token" not in str(told)


async def test_a_dry_run_shows_the_frames_with_secrets_masked_and_sends_none(yard: Yard):
    shown = yard.orders.plan("toy.one", ToySettings(), {"session_token": "very-secret-token"})

    assert shown == [Planned("http", '{"session_token":"•••","resource":"one"}')]
    assert not yard.upstream.asked
    with pytest.raises(WrongParams, match="cannot be tried"):
        yard.orders.plan("toy.few", ToySettings(), {})


async def test_a_queued_job_is_called_off_at_once_and_runs_again_on_request(yard: Yard):
    job = await yard.submit()
    assert (await yard.cancel(job)).state == "cancelled"
    with pytest.raises(NotNow):
        await yard.cancel(job)

    again = await yard.retry(job)
    assert (again.state, again.attempt, again.reason) == ("queued", 2, "")
    assert await yard.told(job) == ["queued", "cancelled", "retried"]
    with pytest.raises(NotNow):
        await yard.retry(job)


async def test_nothing_can_be_decided_or_answered_that_was_not_asked(yard: Yard):
    job = await yard.submit()
    with pytest.raises(NotNow):
        await yard.decide(job, "happened")
    with pytest.raises(NotNow):
        await yard.answer(job, "yes")
    with pytest.raises(WrongParams):
        await yard.decide(job, "perhaps")
    with pytest.raises(NoSuchJob):
        await yard.store.write(lambda tx: yard.orders.cancel(tx, "nothing", reason="", by="ana"))
