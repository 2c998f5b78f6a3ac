"""The job server as old workers know it, with leases and tokens underneath."""

from __future__ import annotations

import asyncio

import pytest

from atalaia.clock import HeldClock
from atalaia.jobs.queries import get_job
from tests.store.bases import on_both
from tests.web.old.conftest import Make
from tests.web.old.rig import ADMIN, SCHEME, WORKER, Old, OldWorker

BOTH = on_both("outside")


@BOTH
async def test_an_old_worker_claims_tells_progress_and_completes(outside: Old, clock: HeldClock):
    job, worker = await outside.submit(), OldWorker(outside)
    claimed = await worker.poll()
    assert claimed is not None
    assert claimed["id"] == job
    assert (claimed["type"], claimed["status"], claimed["workerId"]) == (
        "scheme_builder",
        "processing",
        "sb-1",
    )
    assert claimed["payload"] == SCHEME
    assert await worker.poll() is None

    await clock.run_for(500)
    assert (await worker.progress(job, progress=40, message="writing", partial=True))[0] == 200
    await clock.run_for(500)  # longer than one lease: progress renewed it
    _, told = await worker.progress(job, percent=80, stage="still writing", detail="cmd 8/10")
    seen = told["job"]
    assert (seen["progressPercent"], seen["progressStage"], seen["progressDetail"]) == (
        80, "still writing", "cmd 8/10",
    )  # fmt: skip
    assert seen["result"]["partial"] is True

    status, told = await worker.complete(job, {"ok": True, "status": "ok"})
    assert (status, told["job"]["status"], told["job"]["result"]) == (
        200, "completed", {"ok": True, "status": "ok"},
    )  # fmt: skip
    assert told["job"]["workerId"] == "sb-1"
    _, told = await outside.ask("GET", "/api/jobs", None, WORKER)
    assert [one["workerId"] for one in told["jobs"]] == ["sb-1"]


@BOTH
async def test_a_repeated_completion_changes_nothing_and_answers_what_was_kept(outside: Old):
    job, worker = await outside.submit(), OldWorker(outside)
    await worker.poll()
    await worker.complete(job, {"ok": True, "n": 1})
    for status_word in ("error", "cancelled", ""):
        status, told = await worker.complete(job, {"n": 2}, status=status_word)
        assert (status, told["kept"], told["job"]["status"]) == (200, True, "completed")
        assert told["job"]["result"] == {"ok": True, "n": 1}


async def test_a_worker_that_never_answers_loses_the_job_and_its_late_word(outside: Old, clock: HeldClock):
    job, silent, second = await outside.submit(), OldWorker(outside), OldWorker(outside, name="sb-2")
    first = await silent.poll()
    assert first is not None
    assert await second.poll() is None
    await clock.run_for(601)
    again = await second.poll()
    assert again is not None
    assert again["id"] == job
    assert again["lease_token"] > first["lease_token"]

    status, told = await silent.progress(job, progress=99)
    assert (status, told["reason"]) == (409, "lease_lost")
    for more in ({"worker_id": "sb-1"}, {"lease_token": first["lease_token"]}):
        status, told = await silent.complete(job, {"ok": True, "late": True}, **more)
        assert (status, told["kept"], told["job"]["status"]) == (200, True, "processing")
    status, told = await silent.complete(
        job, {"ok": True, "late": True}
    )  # who says neither: it cannot be told
    assert (status, told["reason"]) == (409, "lease_token_wanted")
    status, told = await second.complete(job, {"ok": True}, lease_token=again["lease_token"])
    assert (status, told["job"]["status"]) == (200, "completed")
    assert "late" not in told["job"]["result"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"result": {"ok": True}}, "completed"),
        ({"status": "success", "result": {}}, "completed"),
        ({"status": "done", "result": {"ok": False, "reason": "sb_failed"}}, "error"),
        ({"result": {"ok": False}}, "error"),
        ({"status": "error", "result": {"reason": "gs_error", "detail": "no answer"}}, "error"),
        ({"status": "failed", "result": {}}, "error"),
        ({"status": "ok", "result": "a text"}, "completed"),
        ({"status": "cancelled", "result": {}}, "cancelled"),
    ],
)
async def test_the_words_of_both_generations_end_a_job(outside: Old, body: dict[str, object], status: str):
    job, worker = await outside.submit(), OldWorker(outside)
    await worker.poll()
    _, told = await outside.ask("POST", f"/api/jobs/{job}/complete", body, WORKER)
    assert told["job"]["status"] == status
    if status == "error":
        assert told["job"]["result"]["reason"]


@BOTH
async def test_two_workers_at_once_get_different_jobs(outside: Old):
    jobs = {await outside.submit("html5_warmup", n=n) for n in range(4)}
    workers = [OldWorker(outside, "html5_warmup", f"w{n}") for n in range(6)]
    got = [one["id"] for one in await asyncio.gather(*(worker.poll() for worker in workers)) if one]
    assert sorted(got) == sorted(jobs)


async def test_two_jobs_on_one_vehicle_follow_each_other(outside: Old, clock: HeldClock):
    first = await outside.submit()
    await clock.run_for(1)
    second = await outside.submit()
    worker = OldWorker(outside)
    assert (await worker.poll() or {})["id"] == first
    assert await worker.poll() is None
    await worker.complete(first, {})
    assert (await worker.poll() or {})["id"] == second


@BOTH
async def test_a_worker_of_the_first_generation_gets_the_session_token(outside: Old):
    await outside.submit()
    await outside.ask("POST", "/api/worker/session-token", {"session_token": "42-canary-token"}, WORKER)
    path = "/api/jobs/next?type=scheme_builder&worker=gen1"
    async with outside.http.get(path, headers=WORKER) as answer:
        job = (await answer.json())["job"]
        assert (answer.status, answer.headers["x-jobsnext-gate"]) == (200, "present")
    assert job["payload"]["sessionToken"] == "42-canary-token"
    assert (await outside.ask("GET", f"/api/jobs/{job['id']}", None, WORKER))[1]["job"]["payload"] == SCHEME
    async with outside.http.get(path, headers=WORKER) as answer:
        assert answer.status == 204


async def test_what_the_hub_does_itself_is_not_handed_out(old: Old):
    job = await old.submit()
    assert await OldWorker(old).poll() is None
    status, told = await old.ask("GET", f"/api/jobs/{job}", None, WORKER)
    assert (status, told["job"]["type"], told["job"]["status"]) == (200, "scheme_builder", "pending")
    assert (
        told["job"]["payload"]["vehicleSettingId"] == told["job"]["payload"]["vehicle_setting_id"] == "5433"
    )
    for act in ("progress", "complete"):
        status, told = await old.ask("POST", f"/api/jobs/{job}/{act}", {}, WORKER)
        assert (status, told["reason"]) == (409, "not_yours")
    kept = await old.site.parts.store.read(lambda tx: get_job(tx, job))
    assert kept is not None and kept.kind == "traffilog.scheme_builder"


async def test_unknown_types_and_wrong_payloads_are_refused_by_name(old: Old):
    status, told = await old.ask("POST", "/api/jobs", {"type": "fly"}, WORKER)
    assert (status, told["error"]) == (400, "unknown_type")
    assert "scheme_builder" in told["types"]
    assert (await old.ask("POST", "/api/jobs", {"type": "html5_warmup"}, WORKER))[0] == 400  # nobody does it
    assert (await old.ask("POST", "/api/jobs", {}, WORKER))[1]["error"] == "missing_type"
    status, told = await old.ask("POST", "/api/jobs", {"type": "scheme_builder", "payload": {}}, WORKER)
    assert status == 400
    wrong = {one["field"]: (one["kind"], one["said"]) for one in told["fields"]}
    assert wrong["vehicle_id"] == ("text", "Only digits, 12 at most")
    assert "vehicle_setting_id" in wrong
    for body in ({}, {"job_type": ""}):
        assert (await old.ask("POST", "/api/jobs/next", body, WORKER))[1]["error"] == "missing_job_type"
    mount = {**SCHEME, "gsensor": {"label_pos": "LEFT", "harness_pos": "FRONT"}}
    assert (await old.ask("POST", "/api/jobs", {"type": "gs_calibration", "payload": mount}, WORKER))[
        0
    ] == 400


@pytest.mark.parametrize(
    ("old_type", "payload", "kind"),
    [
        ("scheme_builder", SCHEME, "scheme_builder"),
        ("monitor_can_snapshot", SCHEME, "vehicle_snapshot"),
        ("monitor_gs", {**SCHEME, "gsensor": {"label_pos": "UP", "harness_pos": "BACK"}}, "gsensor_command"),
        ("html5_uninstall", {"plate_real": "TST2L74", "technician": {"id": "1", "nick": "ANA"}}, "uninstall"),
        ("html5_maint_no_swap", {"plate": "TST2L74"}, "maint_no_swap"),
        ("html5_maint_with_swap", {"plate": "TST2L74", "serial_new": 920003010}, "maint_with_swap"),
        ("resolver_change_company", {"plate": "T1", "target_client_id": 310206, "client_descr": "M"},
         "change_company"),
        ("vehicle_resolve", {"plate": "TST2L74"}, "vehicle_resolve"),
        ("save_snapshot", SCHEME, "save_record"),
    ],
)  # fmt: skip
async def test_each_old_type_becomes_a_job_of_ours(
    old: Old, old_type: str, payload: dict[str, object], kind: str
):
    status, told = await old.ask("POST", "/api/jobs", {"type": old_type, "payload": payload}, WORKER)
    assert status == 201, told
    made = await old.site.parts.store.read(lambda tx: get_job(tx, told["job"]["id"]))
    assert made is not None and made.kind == f"traffilog.{kind}"


async def test_the_same_key_asks_once(old: Old):
    once = WORKER | {"Idempotency-Key": "one"}
    body = {"type": "scheme_builder", "payload": SCHEME}
    first, second = (
        await old.ask("POST", "/api/jobs", body, once),
        await old.ask("POST", "/api/jobs", body, once),
    )
    assert first[1]["job"]["id"] == second[1]["job"]["id"]
    other = {"type": "scheme_builder", "payload": {**SCHEME, "vehicleId": "2900108"}}
    assert (await old.ask("POST", "/api/jobs", other, once))[0] == 409


async def test_jobs_are_called_off_and_run_again(outside: Old):
    job, worker = await outside.submit(), OldWorker(outside)
    assert (await outside.ask("POST", f"/api/jobs/{job}/retry", {}, WORKER))[0] == 400
    await worker.poll()
    status, told = await outside.ask("POST", f"/api/jobs/{job}/retry", {}, WORKER)  # taken from its worker
    assert (status, told["job"]["status"]) == (200, "pending")
    await worker.poll()
    await worker.complete(job, {"reason": "sb_failed"}, status="error", worker_id="sb-1")
    assert (await outside.ask("POST", f"/api/admin/jobs/{job}/retry", {}, ADMIN))[0] == 200
    assert (await outside.ask("POST", f"/api/admin/jobs/{job}/retry", {}, ADMIN))[0] == 409
    assert await outside.ask("POST", f"/api/jobs/{job}/cancel", {}, WORKER) == (200, {"ok": True, "id": job})
    status, told = await outside.ask("POST", f"/api/jobs/{job}/cancel", {}, WORKER)
    assert (status, told["skipped"], told["status"]) == (200, True, "cancelled")
    _, told = await outside.ask("GET", "/api/jobs?status=cancelled", None, WORKER)
    assert [one["id"] for one in told["jobs"]] == [job]


async def test_a_scheme_builder_starts_as_the_first_generation_asks(old: Old):
    status, told = await old.ask("POST", "/api/scheme-builder/start", {"vehicleId": "1"}, WORKER)
    assert (status, told["error"]) == (400, "missing_fields")
    status, told = await old.ask("POST", "/api/scheme-builder/start", SCHEME, WORKER)
    assert status == 201
    status, seen = await old.ask("GET", f"/api/scheme-builder/{told['jobId']}", None, WORKER)
    assert (status, seen["job"]["payload"]["vehicleId"]) == (200, "2900166")
    assert (await old.ask("GET", "/api/scheme-builder/nothing", None, WORKER))[0] == 404
    technician = await old.session()
    foreign = {**SCHEME, "clientId": "310273"}
    assert (await old.ask("POST", "/api/scheme-builder/start", foreign, technician))[0] == 403


async def test_the_stream_of_a_job_ends_with_why(outside: Old):
    worker = OldWorker(outside, "monitor_can_snapshot")
    job = await outside.submit("monitor_can_snapshot", vehicleId="2900166")
    await worker.poll()
    await worker.progress(job, snapshot={"parameters": {"1": 2}}, partial=True)
    async with outside.http.get(f"/events/{job}", headers=WORKER) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert await answer.content.readuntil(b"\n\n") == b'data: {"parameters":{"1":2},"_partial":true}\n\n'
        await worker.complete(job, {"ok": True, "snapshot": {"parameters": {"1": 3}}})
        rest = await answer.text()
    assert rest == (
        'data: {"parameters":{"1":3},"_partial":false}\n\nevent: stopped\ndata: {"reason":"complete"}\n\n'
    )
    async with outside.http.get("/events/job-nowhere", headers=WORKER) as answer:
        assert await answer.text() == 'event: stopped\ndata: {"reason":"job_not_found"}\n\n'


async def test_no_connection_or_several_are_said(old_with: Make):
    old = await old_with()
    await old.connect()
    status, told = await old.ask("POST", "/api/jobs", {"type": "scheme_builder", "payload": SCHEME}, WORKER)
    assert (status, told["error"]) == (409, "not_configured")
    assert "old_connection" in told["detail"]
