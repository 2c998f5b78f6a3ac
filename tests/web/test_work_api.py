"""Jobs and vehicles over the API: the same truth, typed, masked, and asked for once."""

from __future__ import annotations

import io
import zipfile

import pytest

from atalaia.clock import HeldClock
from tests.web.fleet import VEHICLE, learn, now_ms, running, snapshot
from tests.web.site import Site
from tests.web.work import put_frames, put_job, put_step

SECRET = "canary-4711-secret"
BOTH = pytest.mark.parametrize("site", ["sqlite", "postgresql"], indirect=True)
MINUTE = 60_000


async def toy(site: Site) -> str:
    return await site.connection("toy", url="http://toy", password=SECRET)


def order(connection: str, vehicle: str = "2900108", **more: object) -> dict[str, object]:
    return {"kind": "toy.paint", "connection": connection, "params": {"vehicle_id": vehicle}, **more}


@BOTH
async def test_the_same_key_asks_for_the_same_job_and_another_body_is_a_conflict(
    site: Site, clock: HeldClock
):
    connection, api = await toy(site), await site.api()
    key = {"Idempotency-Key": "order-1"}
    async with api.post("/api/hub/jobs", json=order(connection), headers=key) as answer:
        assert answer.status == 201
        first = (await answer.json())["job"]
        assert answer.headers["Location"] == f"/api/hub/jobs/{first['id']}"
    await clock.run_for(seconds=1)
    async with api.post("/api/hub/jobs", json=order(connection), headers=key) as answer:
        assert answer.status == 200
        assert (await answer.json())["job"]["id"] == first["id"]
    async with api.post("/api/hub/jobs", json=order(connection, "2900117"), headers=key) as answer:
        assert answer.status == 409
        assert (await answer.json())["type"] == "urn:atalaia:problem:key-reused"
    assert first["params"] == {"vehicle_id": "2900108", "colour": "red", "coats": 1}
    async with api.get("/api/hub/jobs/counts") as answer:
        assert (await answer.json())["queued"] == 1


async def test_a_dry_run_answers_the_frames_masked_and_queues_nothing(site: Site):
    connection, api = await toy(site), await site.api()
    async with api.post("/api/hub/jobs?dry_run=true", json=order(connection)) as answer:
        assert answer.status == 200
        found = await answer.json()
    assert found["job"] is None
    assert "2900108" in found["planned"][0]["text"]
    assert SECRET not in found["planned"][0]["text"]
    async with api.get("/api/hub/jobs") as answer:
        assert (await answer.json())["items"] == []
    wash = {**order(connection), "kind": "toy.wash"}
    async with api.post("/api/hub/jobs?dry_run=true", json=wash) as answer:
        assert answer.status == 409


async def test_params_that_do_not_fit_are_named_with_a_remedy(site: Site):
    connection, api = await toy(site), await site.api()
    async with api.post("/api/hub/jobs", json=order(connection, "")) as answer:
        assert answer.status == 422
        found = await answer.json()
    assert [one["field"] for one in found["errors"]] == ["body.params.vehicle_id"]
    async with api.post("/api/hub/jobs", json=order("nowhere")) as answer:
        assert answer.status == 422
    async with api.post("/api/hub/jobs", json={**order(connection), "kind": "toy.fly"}) as answer:
        assert answer.status == 422


@BOTH
async def test_a_job_is_told_with_its_steps_frames_history_and_pipeline(site: Site):
    connection, api = await toy(site), await site.api()
    first = await put_job(site, connection, state="done", result={"token": "abcdef0123"})
    second = await put_job(site, connection, root=first, step="can", state="running")
    await put_step(site, first, "execute", sent_ms=1_000, ended_ms=2_000, evidence={"process_id": "10422606"})
    await put_frames(site, first, ("sent", '{"session_token":"abcdef0123"}'), ("received", "{}"))
    async with api.get(f"/api/hub/jobs/{first}") as answer:
        assert (await answer.json())["result"] == {"token": "•••"}
    async with api.get(f"/api/hub/jobs/{first}/steps") as answer:
        steps = await answer.json()
    assert [(one["name"], one["sent_at"]) for one in steps] == [("execute", "1970-01-01T00:00:01.000Z")]
    async with api.get(f"/api/hub/jobs/{first}/frames?direction=sent") as answer:
        frames = await answer.json()
    assert [one["text"] for one in frames] == ['{"session_token":"•••"}']
    async with api.get(f"/api/hub/jobs/{first}/history") as answer:
        assert [one["type"] for one in await answer.json()] == ["job.queued"]
    async with api.get(f"/api/hub/jobs/{second}/pipeline") as answer:
        assert [one["id"] for one in await answer.json()] == [first, second]
    async with api.get("/api/hub/jobs/nothing") as answer:
        assert answer.status == 404


async def test_only_who_may_write_jobs_acts(site: Site):
    connection = await toy(site)
    job = await put_job(site, connection, state="queued")
    reader, writer = await site.api("jobs:read"), await site.api("jobs:read", "jobs:write")
    async with reader.post(f"/api/hub/jobs/{job}/cancel", json={}) as answer:
        assert answer.status == 403
    async with reader.post("/api/hub/jobs", json=order(connection)) as answer:
        assert answer.status == 403
    async with writer.post(f"/api/hub/jobs/{job}/cancel", json={"reason": "not today"}) as answer:
        assert (await answer.json())["state"] == "cancelled"
    async with writer.post(f"/api/hub/jobs/{job}/cancel", json={}) as answer:
        assert answer.status == 409
    async with writer.post(f"/api/hub/jobs/{job}/retry", json={"reason": "today after all"}) as answer:
        found = await answer.json()
    assert (found["state"], found["attempt"]) == ("queued", 2)
    async with writer.post(f"/api/hub/jobs/{job}/decide", json={"choice": "again"}) as answer:
        assert answer.status == 409


async def test_a_decision_takes_what_was_seen_upstream(site: Site):
    job = await put_job(site, await toy(site), state="in_doubt")
    await put_step(site, job, "execute", state="in_doubt", sent_ms=5, result={"number": 0, "tag": "x"})
    writer = await site.api("jobs:read", "jobs:write")
    asked = {"choice": "happened", "evidence": {"number": "seven"}}
    async with writer.post(f"/api/hub/jobs/{job}/decide", json=asked) as answer:
        assert answer.status == 422
        assert "number holds a number" in (await answer.json())["detail"]
    asked = {"choice": "happened", "evidence": {"number": "7", "seen_in": "history"}}
    async with writer.post(f"/api/hub/jobs/{job}/decide", json=asked) as answer:
        assert answer.status == 200
    async with writer.get(f"/api/hub/jobs/{job}/steps") as answer:
        [step] = await answer.json()
    assert step["result"] == {"number": 7, "tag": "x"}
    assert step["evidence"]["seen"] == {"number": "7", "seen_in": "history"}


async def test_kinds_say_what_they_ask_and_who_takes_them(site: Site):
    connection, api = await toy(site), await site.api()
    async with api.get("/api/hub/kinds") as answer:
        kinds = {one["kind"]: one for one in await answer.json()}
    assert kinds["toy.paint"]["connections"] == [connection]
    assert kinds["toy.paint"]["dry_run"] is True
    assert "vehicle_id" in kinds["toy.paint"]["params"]["properties"]


@BOTH
async def test_a_vehicle_is_told_whole_and_compared(site: Site):
    connection, api, now = await toy(site), await site.api(), now_ms(site)
    await learn(site, connection, snapshot(now - 5 * MINUTE, battery=24.1), snapshot(now), running(now))
    async with api.get("/api/vehicles?text=abc1") as answer:
        assert [one["vehicle"] for one in (await answer.json())["items"]] == [VEHICLE]
    async with api.get(f"/api/vehicles/{VEHICLE}") as answer:
        found = await answer.json()
    assert found["plate"] == "ABC1D23"
    assert found["serial"] == "920000797"
    assert [one["parameter"] for one in found["parameters"]] == ["00002712", "00002717", "00000032"]
    assert found["modules"][0]["sub"] == "CAN0"
    assert found["processes"][0]["percent"] == 16.96
    async with api.get(f"/api/vehicles/{VEHICLE}/parameters/00002712") as answer:
        assert [one["value"] for one in await answer.json()] == [24.1, 27.4]
    async with api.get(f"/api/vehicles/{VEHICLE}/snapshots") as answer:
        newer, older = (one["id"] for one in (await answer.json())["items"])
    async with api.get(f"/api/vehicles/{VEHICLE}/compare?before={older}&after={newer}") as answer:
        changes = await answer.json()
    assert [(one["before"], one["after"]) for one in changes] == [("24.1 V", "27.4 V")]
    async with api.get("/api/processes") as answer:
        assert [one["state"] for one in await answer.json()] == ["running"]
    async with api.get("/api/vehicles/404") as answer:
        assert answer.status == 404


async def test_parameters_are_exported_and_no_text_becomes_a_formula(site: Site):
    connection, api, now = await toy(site), await site.api(), now_ms(site)
    evil = {"00002712": {"name": "=HYPERLINK(1)", "raw": "01", "value": "on", "seen_ms": now}}
    await learn(site, connection, snapshot(now, parameters=evil))
    async with api.get(f"/api/vehicles/{VEHICLE}/export") as answer:
        text = await answer.text()
        assert (
            answer.headers["Content-Disposition"]
            == f'attachment; filename="vehicle-{VEHICLE}-parameters.csv"'
        )
    assert "00002712,'=HYPERLINK(1),on" in text
    async with api.get(f"/api/vehicles/{VEHICLE}/export?format=xlsx") as answer:
        book = zipfile.ZipFile(io.BytesIO(await answer.read()))
    assert b"=HYPERLINK(1)" in book.read("xl/sharedStrings.xml")
    assert b"<f>" not in book.read("xl/worksheets/sheet1.xml")
