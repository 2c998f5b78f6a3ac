"""Installations as the technician's app asks for them; how they stand follows from their jobs."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from sqlalchemy import update

from atalaia.desk.installations import queries
from atalaia.store.job_tables import jobs
from tests.connectors.traffilog.portal.bench import EMPTY_PLATE, STOCK_SERIAL
from tests.store.bases import on_both
from tests.web.old.rig import ADMIN, SEEN, UNSEEN, WORKER, Old
from tests.web.work import put_job

JPEG = b"\xff\xd8\xff\xe0" + b"x" * 100


def form(**more: Any) -> dict[str, Any]:
    return {
        "service": "INSTALL", "client_id": SEEN, "client_descr": "Marítima Transportes",
        "plate_real": EMPTY_PLATE, "plate": STOCK_SERIAL, "serial": STOCK_SERIAL, "assetType": 7547,
        "gsensor": {"label_pos": "RIGHT", "harness_pos": "DOWN", "command": "ignored"},
        "technician": {"id": "tech_01", "nick": "ANA"}, "comment": "Installed", "vehicle_setting_id": "5433",
        "vehicle": {"manufacturer": "Iveco", "model": "Stralis", "year": 2024}, **more,
    }  # fmt: skip


async def begun(old: Old, headers: dict[str, str], **more: Any) -> dict[str, Any]:
    status, told = await old.ask("POST", "/api/installations", form(**more), headers)
    assert status == 201, told
    return told


async def ends(old: Old, job: str, state: str = "done", **more: Any) -> None:
    """Let a job stand as the engine would leave it."""
    change = {"state": state, **more}
    await old.site.parts.store.write(
        lambda tx: tx.execute(update(jobs).where(jobs.c.id == job).values(change))
    )


@on_both("old")
async def test_an_installation_is_begun_and_shown_in_the_shape_of_both_generations(old: Old):
    technician = await old.session()
    made = await begun(old, technician)
    assert (made["type"], made["service"], made["status"]) == ("html5_install", "INSTALL", "HTML5_RUNNING")
    assert made["job_id"] == made["installation_id"] == made["enqueue"]["job_id"]
    assert made["installation_token"].startswith("tok_")
    status, seen = await old.ask("GET", f"/api/installations/{made['job_id']}", None, technician)
    assert (status, seen["payload"]["plate_real"], seen["payload"]["serial"]) == (
        200,
        EMPTY_PLATE,
        STOCK_SERIAL,
    )
    assert set(seen["jobs"]) == {
        "html5_install", "scheme_builder", "monitor_can_snapshot", "gs_calibration", "save_snapshot",
    }  # fmt: skip
    assert seen["jobs"]["html5_install"]["status"] == "pending"
    assert seen["sb"] == {"progress": 0, "last_progress": None}
    _, listed = await old.ask("GET", "/api/installations", None, technician)
    assert [one["id"] for one in listed["installations"]] == [made["job_id"]]
    assert "installation_token" not in listed["installations"][0]
    assert (await old.ask("GET", "/api/installations/nothing", None, technician))[0] == 404


@pytest.mark.parametrize(
    ("more", "status", "reason"),
    [
        ({"service": "FLY"}, 400, "service_invalido"),
        ({"client_id": UNSEEN}, 403, "client_not_allowed"),
        ({"serial": "abc"}, 400, "missing_fields"),
        ({"plate_real": "", "plate": ""}, 400, "missing_fields"),
        ({"assetType": None}, 400, "missing_fields"),
        ({"gsensor": {"label_pos": "LEFT", "harness_pos": "FRONT"}}, 400, "missing_fields"),
    ],
)
async def test_a_wrong_form_is_refused_by_field(old: Old, more: dict[str, Any], status: int, reason: str):
    found, told = await old.ask("POST", "/api/installations", form(**more), await old.session())
    assert (found, told["reason"]) == (status, reason)


@on_both("old")
async def test_the_check_is_approved_and_refusals_have_their_codes(old: Old):
    technician = await old.session()
    root = (await begun(old, technician))["job_id"]
    path = f"/api/installations/{root}"

    async def act(name: str, body: Any = None) -> tuple[int, str]:
        status, told = await old.ask("POST", f"{path}/{name}", body or {}, technician)
        return status, told.get("reason") or told.get("status") or ""

    assert await act("approve-can") == (409, "can_ausente")
    assert await act("start-can") == (400, "job_type_invalido")
    assert await act("retry-html5") == (409, "status_invalido")
    assert await act("approve-can", {"override": True}) == (400, "reason_ausente")
    await ends(old, root, "failed", reason="serial_in_use", said="The unit is in use.")
    _, seen = await old.ask("GET", path, None, technician)
    assert (seen["status"], seen["last_error"]["code"]) == ("HTML5_ERROR", "serial_in_use")
    assert (seen["result"]["ok"], seen["result"]["reason"]) == (False, "serial_in_use")
    assert await act("retry-html5") == (200, "HTML5_RUNNING")

    await ends(old, root, result='{"vehicle_id":"2900166"}')
    chain = {"service": "INSTALL"}
    check = await put_job(
        old.site, old.connection, kind="traffilog.vehicle_snapshot", root=root, step="can", state="running",
        params={"vehicle_id": "2900166", "client_id": SEEN, "client_name": "M", "chain": chain},
    )  # fmt: skip
    assert await act("approve-can") == (409, "can_em_andamento")
    assert await act("refresh-can") == (409, "can_em_andamento")
    snapshot = '{"snapshot":{"parameters":{"1":{"name":"Battery","value":27.4}}}}'
    await ends(old, check, result=snapshot)
    asked = '{"name":"approval:1","question":"?","choices":["approve","approve_anyway"],"shown":null}'
    approval = await put_job(
        old.site, old.connection, kind="traffilog.can_approval", root=root, step="approval", state="running",
        params={"vehicle_id": "2900166", "client_id": SEEN, "client_name": "M", "chain": chain},
    )  # fmt: skip
    await ends(old, approval, "waiting", asked=asked)
    _, seen = await old.ask("GET", path, None, technician)
    assert seen["status"] == "WAITING_APPROVAL"
    assert seen["jobs"]["monitor_can_snapshot"]["status"] == "waiting_approval"
    assert seen["can"]["summary"]["parameters"] == 1
    _, told = await old.ask("GET", f"/api/jobs/{check}", None, WORKER)
    assert told["job"]["status"] == "waiting_approval"
    assert await act("approve-can") == (200, "approved")
    assert (await act("approve-can"))[0] == 409


async def test_the_installation_token_lets_its_technician_act_and_nobody_else(old: Old):
    made = await begun(old, ADMIN)
    other = await begun(old, ADMIN, plate_real="TST1A99", serial="920003013")
    path = f"/api/installations/{made['job_id']}/actions/approve-can"
    own, foreign = ({"x-installation-token": one["installation_token"]} for one in (made, other))
    assert (await old.ask("POST", path, {}, own))[1]["reason"] == "can_ausente"
    assert (await old.ask("POST", path, {}, foreign))[0] == 401
    path = f"/api/installations/{made['job_id']}/cancel"
    assert (await old.ask("POST", path, {}, own))[1]["status"] == "CANCELLED"


async def test_a_maintenance_without_swap_is_checked_or_completed(old: Old):
    technician = await old.session()
    made = await begun(old, technician, service="MAINT_NO_SWAP", serial="", gsensor={})
    path = f"/api/installations/{made['job_id']}"
    assert (await old.ask("POST", f"{path}/start-can", {}, technician))[1]["reason"] == "job_nao_concluido"
    await ends(old, made["job_id"], result="{}")
    status, told = await old.ask("POST", f"{path}/start-can", {}, technician)
    assert (status, told["reason"]) == (422, "vehicle_id_ausente")
    await ends(old, made["job_id"], result='{"vehicle_id":"2900166"}')
    body = {"vehicle_setting_id": "5433", "comment": "no test"}
    status, told = await old.ask("POST", f"{path}/complete-maint", body, technician)
    assert (status, told["sb_queued"], bool(told["snapshot_job"])) == (200, True, True)
    status, told = await old.ask("POST", f"{path}/complete-maint", body, technician)
    assert (status, told["reason"]) == (409, "job_ja_finalizado")


@on_both("old")
async def test_a_probe_is_made_asked_for_and_shown(old: Old):
    status, made = await old.ask("POST", "/api/can-probes", {"vehicleId": 2900166, "clientId": SEEN}, WORKER)
    assert (status, made["status"], made["job_id"]) == (201, "PROBE_CREATED", None)
    path = f"/api/can-probes/{made['id']}"
    asked = {"vehicleId": "2900166", "cycles": 3, "interval_ms": 2000}
    status, told = await old.ask("POST", f"{path}/actions/request-can-snapshot", asked, WORKER)
    assert (status, told["status"], bool(told["job_id"])) == (200, "CAN_SNAPSHOT_QUEUED", True)
    assert (await old.ask("POST", f"{path}/actions/request-can-snapshot", asked, WORKER))[0] == 409
    await ends(old, told["job_id"], result='{"ok":true,"summary":{"parameters":3},"cycles":[]}')
    _, seen = await old.ask("GET", path, None, WORKER)
    assert (seen["status"], seen["can"]["summary"]) == ("CAN_SNAPSHOT_READY", {"parameters": 3})
    assert (await old.ask("GET", "/api/can-probes/nothing", None, WORKER))[0] == 404


async def upload(old: Old, headers: dict[str, str], content: bytes = JPEG, **more: str) -> tuple[int, Any]:
    form = aiohttp.FormData()
    fields = {"type": "Placa", "client_descr": "Marítima/..", "plate": "TST3T66", "fleet": "604"} | more
    for name, value in fields.items():
        form.add_field(name, value)
    if content:
        form.add_field("photo", content, filename="whatever.exe", content_type="application/octet-stream")
    async with old.http.post("/api/photos/upload", data=form, headers=headers) as answer:
        return answer.status, await answer.json()


@on_both("old")
async def test_a_photo_is_kept_under_its_old_name_and_told_by_its_content(old: Old):
    technician = await old.session()
    status, told = await upload(old, technician)
    assert (status, told["name"]) == (200, "Marítima/604 - TST3T66/Placa1.jpg")
    assert (await upload(old, technician))[1]["name"] == told["name"]
    assert (await upload(old, technician, JPEG + b"y"))[1]["name"] == "Marítima/604 - TST3T66/Placa2.jpg"
    async with old.http.get(told["webUrl"], headers=technician) as answer:
        assert (answer.status, await answer.read()) == (200, JPEG)
    async with old.http.get(told["webUrl"]) as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    ("content", "more", "status", "reason"),
    [
        (b"", {}, 400, "photo_ausente"),
        (b"MZ not a photo", {}, 400, "not_an_image"),
        (JPEG, {"type": "Selfie"}, 400, "unknown_kind"),
        (JPEG, {"plate": ""}, 400, "no_folder"),
        (b"\xff\xd8\xff" + bytes(15 * 1024 * 1024), {}, 400, "too_large"),
        (JPEG, {"installation_id": "nothing"}, 404, "not_found"),
    ],
)
async def test_what_is_no_photo_is_refused(
    old: Old, content: bytes, more: dict[str, str], status: int, reason: str
):
    found, told = await upload(old, await old.session(), content, **more)
    assert (found, told["reason"]) == (status, reason)


async def test_a_technician_sees_and_acts_on_the_installations_of_his_clients_alone(old: Old):
    technician = await old.session()
    own = (await begun(old, technician))["job_id"]
    other = await begun(old, ADMIN, client_id="310209", client_descr="Rápido Exemplo", plate_real="TST2L74")
    _, told = await old.ask("GET", "/api/installations", None, technician)
    assert [one["id"] for one in told["installations"]] == [own]
    _, told = await old.ask("GET", "/api/installations", None, ADMIN)
    assert len(told["installations"]) == 2
    path = f"/api/installations/{other['job_id']}"
    assert (await old.ask("GET", path, None, technician))[0] == 404
    assert (await old.ask("POST", f"{path}/cancel", {}, technician))[0] == 404
    assert (await old.ask("GET", f"/api/installations/{other['installation_token']}", None, technician))[
        0
    ] == 200


async def test_a_check_that_failed_is_passed_over_with_a_reason(old: Old):
    technician = await old.session()
    root = (await begun(old, technician))["job_id"]
    await ends(old, root, result='{"vehicle_id":"2900166"}')
    params = {
        "vehicle_id": "2900166", "client_id": SEEN, "client_name": "M", "chain": {"service": "INSTALL"},
    }  # fmt: skip
    check = await put_job(
        old.site, old.connection, kind="traffilog.vehicle_snapshot", root=root, step="can", state="running",
        params=params,
    )  # fmt: skip
    await ends(old, check, "failed", reason="can_sem_parametros", said="Not a single parameter.")
    path = f"/api/installations/{root}/approve-can"
    status, told = await old.ask("POST", path, {}, technician)
    assert (status, told["reason"]) == (409, "can_sem_parametros")
    status, told = await old.ask("POST", path, {"override": True, "reason": "A trailer"}, technician)
    assert (status, told["status"]) == (200, "approved")

    _, told = await old.ask("GET", f"/api/jobs/{check}", None, WORKER)
    assert told["job"]["status"] == "error"
    seen = await old.site.parts.store.read(lambda tx: queries.get(tx, root))
    assert seen is not None
    [given] = [job for job in seen.chain if job.step == "approval:1:given"]
    assert given.params["given"] == {"by": "ana", "reason": "A trailer"}
    await ends(old, given.id, result='{"ok":true,"choice":"approve_anyway"}')
    _, told = await old.ask("GET", f"/api/jobs/{check}", None, WORKER)
    assert told["job"]["status"] == "approved"
