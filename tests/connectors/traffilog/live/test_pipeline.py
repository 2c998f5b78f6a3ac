"""From a Scheme Builder to the saved record: each step a job of its own, and people in between."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from atalaia.connectors.traffilog.jobs.asked import Chain, ForVehicle
from atalaia.connectors.traffilog.jobs.pipeline import next_after
from atalaia.jobs.rows import Job, read_job
from atalaia.store.job_tables import jobs
from tests.connectors.traffilog.live.yard import Telematics

CHAIN: dict[str, Any] = {
    "service": "INSTALL",
    "label": "RIGHT",
    "harness": "DOWN",
    "record": {"plate": "TST1B08", "technician": {"id": "7", "nick": "ANA EXEMPLO"}},
}
ALONE = {"client_id": "1", "client_name": "X", "vehicle_id": "2"}


async def step_of(yard: Telematics, root: Job, step: str) -> Job | None:
    query = select(jobs.c.id).where(jobs.c.root == root.root, jobs.c.step == step)
    identity = await yard.store.read(lambda tx: tx.scalar(query))
    return await yard.store.read(lambda tx: read_job(tx, identity)) if identity else None


async def wait_for(yard: Telematics, root: Job, step: str, state: str) -> Job:
    async def there() -> bool:
        found = await step_of(yard, root, step)
        return found is not None and found.state == state

    await yard.until(there, f"{step} is {state}", passing_s=1.0, known=lambda: step_of(yard, root, step))
    found = await step_of(yard, root, step)
    assert found is not None
    return found


async def test_an_installation_goes_from_its_scheme_to_its_record(yard: Telematics):
    root = await yard.build(chain=CHAIN)
    asked = await wait_for(yard, root, "approval", "waiting")
    assert asked.asked["shown"]["parameters"] > 0
    assert yard.executed("gsensor") == 0

    await yard.answer(asked, "approve")
    saved = await wait_for(yard, root, "save", "done")

    assert saved.result["record"] == CHAIN["record"]
    assert saved.result["snapshot"]["key_matches"]
    assert (yard.executed(), yard.executed("gsensor")) == (1, 1)


async def test_a_check_can_be_repeated_and_approved_against_its_result_with_a_reason(yard: Telematics):
    root = await yard.ask("vehicle_snapshot", chain=CHAIN)
    first = await wait_for(yard, root, "approval", "waiting")
    await yard.answer(first, "check_again")
    second = await wait_for(yard, root, "approval:2", "waiting")
    await yard.answer(second, "approve_anyway")
    again = await wait_for(yard, root, "approval:2", "waiting")
    await yard.answer(again, "approve_anyway", data={"reason": "The truck has no second bus."})
    await wait_for(yard, root, "save", "done")

    approved = await step_of(yard, root, "approval:2")
    assert approved is not None
    assert approved.result["reason"] == "The truck has no second bus."
    assert yard.executed("gsensor") == 1


async def test_a_refused_check_ends_there(yard: Telematics):
    root = await yard.ask("vehicle_snapshot", chain=CHAIN)
    await yard.answer(await wait_for(yard, root, "approval", "waiting"), "refuse")
    refused = await wait_for(yard, root, "approval", "failed")

    assert refused.reason == "can_refused"
    assert await step_of(yard, root, "gsensor") is None


async def test_nobody_answers_in_time(yard_with: Any):
    yard = await yard_with(approval_within_h=0.01)
    root = await yard.ask("vehicle_snapshot", chain=CHAIN)
    timed_out = await wait_for(yard, root, "approval", "failed")

    assert timed_out.reason == "approval_timeout"


def asked(**chain: Any) -> ForVehicle:
    return ForVehicle.model_validate(ALONE | {"chain": Chain.model_validate(chain)})


@pytest.mark.parametrize(
    ("kind", "chain", "steps"),
    [
        ("scheme_builder", {}, ["can"]),
        ("vehicle_snapshot", {}, ["approval"]),
        ("vehicle_snapshot", {"service": "UNINSTALL"}, ["save"]),
        ("vehicle_snapshot", {"approval": False}, ["save"]),
        ("can_approval", {"label": "UP", "harness": "BACK"}, ["gsensor"]),
        ("can_approval", {}, ["save"]),
        ("can_approval", {"service": "MAINT_NO_SWAP", "label": "UP", "harness": "BACK"}, ["save"]),
        (
            "can_approval",
            {"service": "MAINT_NO_SWAP", "vehicle_setting_id": "9000"},
            ["save", "scheme_builder"],
        ),
        ("gsensor_command", {}, ["save"]),
        ("save_record", {}, []),
    ],
)
def test_what_follows_what(kind: str, chain: dict[str, Any], steps: list[str]):
    assert [one.step for one in next_after(kind, asked(**chain), {})] == steps


def test_nothing_follows_a_job_that_stands_alone():
    assert next_after("scheme_builder", ForVehicle.model_validate(ALONE), {}) == []
