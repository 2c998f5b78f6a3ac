"""Technicians sign in at the portal; what the old screens ask of it."""

from __future__ import annotations

import pytest

from atalaia.clock import HeldClock
from tests.connectors.traffilog.portal.bench import USED, USED_PLATE, USED_SERIAL
from tests.store.bases import on_both
from tests.web.old.rig import ADMIN, PASSWORD, SEEN, TECHNICIAN, WORKER, Old

LOGIN = "/api/auth/html5-login"


@on_both("old")
async def test_a_technician_signs_in_and_sees_the_clients_of_both_accounts(old: Old, clock: HeldClock):
    status, told = await old.ask("POST", LOGIN, {"username": TECHNICIAN, "password": PASSWORD})
    assert (status, told["ok"], told["username"]) == (200, True, TECHNICIAN)
    assert [one["client_id"] for one in told["clients"]] == [SEEN]
    path = f"/api/auth/session?token={told['session_token']}"
    assert await old.ask("GET", path) == (200, {"ok": True, "username": TECHNICIAN, "html5_ok": True})
    await clock.run_for(8 * 3600 - 1)
    assert (await old.ask("GET", path))[0] == 200
    await clock.run_for(2)
    assert await old.ask("GET", path) == (
        401, {"ok": False, "error": "expired_or_invalid", "reason": "expired_or_invalid"},
    )  # fmt: skip
    assert (await old.ask("GET", "/api/auth/session"))[0] == 400
    assert old.sim.portal.evictions == 0


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({}, 400, "missing_credentials"),
        ({"username": "ana", "password": 4}, 400, "missing_credentials"),
        ({"username": "ana", "password": "guessed"}, 401, "invalid_credentials"),
        ({"username": "bia", "password": "bia-secret"}, 403, "no_clients"),
        ({"username": "OFFICE", "password": "whatever"}, 403, "account_in_use"),
    ],
)
async def test_a_sign_in_that_fails_says_why(old: Old, body: dict[str, object], status: int, reason: str):
    old.sim.portal.add_user("bia", "bia-secret", ("999",))
    found, told = await old.ask("POST", LOGIN, body)
    assert (found, told["reason"]) == (status, reason)


async def test_guessing_is_braked(old: Old):
    guesses = [await old.ask("POST", LOGIN, {"username": "ana", "password": f"guess{n}"}) for n in range(11)]
    assert [status for status, _ in guesses[:10]] == [401] * 10
    assert guesses[10][0] == 429


async def test_a_vehicle_is_looked_up_by_plate_and_by_serial(old: Old):
    technician = await old.session()
    path = "/api/installations/vhcls-lookup"
    status, told = await old.ask("GET", f"{path}?plate={USED_PLATE.lower()}", None, technician)
    assert (status, told["ok"], told["vehicle_id"], told["license_nmbr"]) == (200, True, USED, USED_PLATE)
    assert told["serial"] == told["inner_id"] == USED_SERIAL.zfill(16)
    _, told = await old.ask("GET", f"{path}?plate={USED_SERIAL}&by=serial", None, technician)
    assert (told["ok"], told["vehicle_id"]) == (True, USED)
    status, told = await old.ask("GET", f"{path}?plate=NOPE999", None, technician)
    assert (status, told["ok"], told["vehicle_id"]) == (200, False, None)
    assert (await old.ask("GET", path, None, technician))[1]["error"] == "plate_ausente"


async def test_the_clients_carry_their_schemes_and_a_session_sees_its_own(old: Old):
    row = {"client_id": SEEN, "client_descr": "M", "vehicle_setting_id": "5433", "name": "Default"}
    status, told = await old.ask("POST", "/api/admin/schemes", {"clients": [row]}, ADMIN)
    assert (status, told["changed"]) == (200, 1)
    _, told = await old.ask("GET", "/api/clients", None, WORKER)
    assert (told["status"], told["cached"]) == ("ok", False)
    assert len(told["clients"]) > 1
    _, told = await old.ask("GET", "/api/clients", None, await old.session())
    assert told["cached"] is True
    [mine] = told["clients"]
    assert (mine["client_id"], mine["has_scheme"], mine["vehicle_setting_id"]) == (SEEN, True, "5433")


async def test_without_the_portal_the_catalog_answers_with_a_warning(old: Old):
    row = {"client_id": SEEN, "client_descr": "Marítima", "vehicle_setting_id": "5433"}
    await old.ask("POST", "/api/admin/schemes", {"clients": [row]}, ADMIN)
    await old.sim.stop()
    status, told = await old.ask("GET", "/api/clients", None, WORKER)
    assert (status, [one["client_descr"] for one in told["clients"]]) == (200, ["Marítima"])
    assert told["warning"]
    status, told = await old.ask("POST", LOGIN, {"username": TECHNICIAN, "password": PASSWORD})
    assert (status, told["reason"]) == (502, "portal_down")


@on_both("old")
async def test_the_administrator_reads_the_schemes_of_the_portal_and_changes_catalogs(old: Old):
    _, told = await old.ask("GET", "/api/admin/schemes/client/310209", None, ADMIN)
    assert [one["vehicle_setting_id"] for one in told["schemes"]] == ["9000", "5411"]
    _, told = await old.ask("GET", "/api/admin/schemes/clients", None, ADMIN)
    assert SEEN in [one["client_id"] for one in told["clients"]]
    model = {"id": 7547, "manufacturer": "Iveco", "model": "Stralis"}
    body = {"updatedBy": "bia", "items": [model]}
    path = "/api/admin/catalogs/vehicle-models"
    status, told = await old.ask("POST", f"{path}/bulk-upsert", body, ADMIN)
    assert (status, told["upserted"], told["new"]) == (200, 1, 1)
    _, told = await old.ask("GET", f"{path}?q=stral", None, ADMIN)
    assert [one["id"] for one in told["items"]] == ["7547"]
    first = {"vehicle_type_id": 6146, "friendly_name": "Spark GT"}
    assert (await old.ask("POST", f"{path}/bulk-upsert", {"items": [first]}, ADMIN))[1]["upserted"] == 1
    _, told = await old.ask("GET", "/api/admin/asset-types", None, ADMIN)
    assert told["count"] == 2
    setting = {"client_id": SEEN, "vehicle_setting_id": 5433, "profile": "night", "is_default": True}
    path = "/api/admin/catalogs/vehicle-settings"
    assert (await old.ask("POST", f"{path}/bulk-upsert", {"items": [setting]}, ADMIN))[1]["upserted"] == 1
    _, told = await old.ask("GET", path, None, ADMIN)
    assert [one["profile"] for one in told["items"]] == ["night"]
    for wrong in ({}, {"items": []}, {"items": ["x"]}, {"items": [{"client_id": "x"}]}):
        assert (await old.ask("POST", f"{path}/bulk-upsert", wrong, ADMIN))[0] == 400
    assert (await old.ask("POST", "/api/admin/asset-types/sync", {}, ADMIN))[0] == 200


async def test_what_is_not_offered_says_so(old: Old):
    for path in (
        "/api/clients/sync-cookie",
        "/api/monitor/assign-firmware",
        "/api/installations/x/_worker/patch",
    ):
        status, told = await old.ask("POST", path, {}, WORKER)
        assert (status, told["error"]) == (410, "not_offered")
        assert told["detail"]
