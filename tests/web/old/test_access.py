"""Nobody comes in without showing something, unless a setting opens a private network."""

from __future__ import annotations

import pytest

from atalaia.errors import ConfigError
from atalaia.settings import load_settings
from tests.web.old.conftest import Make
from tests.web.old.rig import ADMIN, ADMIN_KEY, SCHEME, WORKER, WORKER_KEY, Old

LEFT_OPEN = [
    ("GET", "/api/jobs"),
    ("GET", "/api/jobs/abc"),
    ("POST", "/api/jobs"),
    ("GET", "/api/jobs/next?type=scheme_builder"),
    ("POST", "/api/jobs/next"),
    ("POST", "/api/jobs/abc/progress"),
    ("POST", "/api/jobs/abc/complete"),
    ("POST", "/api/jobs/abc/retry"),
    ("POST", "/api/scheme-builder/start"),
    ("GET", "/api/scheme-builder/abc"),
    ("GET", "/api/session-status"),
    ("GET", "/api/worker/status"),
    ("POST", "/api/can-probes"),
    ("GET", "/api/can-probes/abc"),
    ("GET", "/api/clients"),
    ("GET", "/events/job-abc"),
    ("GET", "/api/admin/jobs"),
    ("POST", "/api/admin/jobs/abc/cancel"),
    ("GET", "/api/admin/installations"),
    ("GET", "/api/admin/asset-types"),
    ("GET", "/api/admin/schemes"),
    ("POST", "/api/admin/schemes"),
]
WITH_SESSION = [
    ("POST", "/api/installations"),
    ("GET", "/api/installations"),
    ("GET", "/api/installations/vhcls-lookup?plate=X"),
    ("POST", "/api/installations/abc/approve-can"),
    ("POST", "/api/photos/upload"),
]
WITH_WORKER_KEY = [
    ("POST", "/api/jobs/abc/cancel"),
    ("POST", "/api/worker/heartbeat"),
    ("POST", "/api/jobs/worker/heartbeat"),
    ("GET", "/api/worker/heartbeat"),
    ("POST", "/api/worker/session-token"),
]
WITH_ADMIN_KEY = [
    ("GET", "/api/admin/session-token/status"),
    ("POST", "/api/admin/session-token"),
    ("GET", "/api/admin/session-token"),
    ("GET", "/api/admin/catalogs/db/status"),
    ("POST", "/api/admin/catalogs/vehicle-models/bulk-upsert"),
]


async def test_what_the_original_left_open_needs_a_key_a_session_or_a_token(old: Old):
    for method, path in LEFT_OPEN:
        for headers in ({}, {"x-worker-key": "guessed"}, {"x-admin-key": "guessed"}):
            assert await old.ask(method, path, None, headers) == (
                401, {"ok": False, "error": "unauthorized", "reason": "unauthorized"},
            ), path  # fmt: skip
        status, told = await old.ask(method, path, None, {"X-Session-Token": "guessed"})
        assert (status, told["reason"]) == (401, "expired_or_invalid"), path


async def test_each_door_says_in_its_own_words_what_is_missing(old: Old):
    for method, path in WITH_SESSION:
        status, told = await old.ask(method, path)
        assert (status, told["reason"]) == (401, "missing_token"), path
        status, told = await old.ask(method, path, None, {"X-Session-Token": "guessed"})
        assert (status, told["reason"]) == (401, "expired_or_invalid"), path
    for method, path in WITH_WORKER_KEY:
        status, told = await old.ask(method, path, None, {"x-worker-key": "guessed"})
        assert (status, told["error"]) == (401, "WORKER_KEY_INVALID"), path
    for method, path in WITH_ADMIN_KEY:
        status, told = await old.ask(method, path, None, {"x-admin-key": "guessed"})
        assert (status, told["error"]) == (401, "unauthorized"), path


async def test_a_key_that_is_not_configured_is_no_key(old_with: Make):
    old = await old_with(old_worker_key="", old_admin_key="")
    status, told = await old.ask("POST", "/api/worker/heartbeat", {}, {"x-worker-key": ""})
    assert (status, told["error"]) == (500, "WORKER_KEY_NOT_SET")
    status, told = await old.ask("GET", "/api/admin/session-token/status", None, ADMIN)
    assert (status, told["error"]) == (500, "SESSION_TOKEN_ADMIN_KEY not set")
    assert (await old.ask("GET", "/api/jobs", None, WORKER))[0] == 401


async def test_roles_are_kept_apart(old: Old):
    technician = await old.session()
    for method, path in (("POST", "/api/jobs"), ("GET", "/api/admin/jobs"), ("GET", "/api/worker/status")):
        assert (await old.ask(method, path, {}, technician))[0] == 403, path
    for method, path in (("GET", "/api/admin/jobs"), ("POST", "/api/admin/schemes")):
        assert (await old.ask(method, path, {}, WORKER))[0] == 403, path
    assert (await old.ask("GET", "/api/admin/session-token/status", None, WORKER))[0] == 401
    assert (await old.ask("GET", "/api/admin/jobs", None, ADMIN))[0] == 200


async def test_an_api_token_does_what_its_scopes_allow(old: Old):
    reader = await old.site.api("jobs:read")
    async with reader.get("/api/jobs") as answer:
        assert answer.status == 200
    async with reader.post("/api/jobs", json={"type": "scheme_builder", "payload": SCHEME}) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (403, "forbidden")


async def test_an_open_network_needs_no_key_where_the_original_asked_for_none(old_with: Make):
    old = await old_with(old_open_networks="127.0.0.0/8")
    assert (await old.ask("GET", "/api/jobs"))[0] == 200
    assert (await old.ask("POST", "/api/jobs", {"type": "scheme_builder", "payload": SCHEME}))[0] == 201
    assert (await old.ask("POST", "/api/installations", {}))[0] == 401
    assert (await old.ask("POST", "/api/worker/heartbeat", {}))[0] == 401
    assert (await old.ask("GET", "/api/admin/session-token/status"))[0] == 401


def test_only_private_networks_can_be_opened_and_origins_have_no_path():
    for wrong in (("0.0.0.0/0", ""), ("somewhere", ""), ("", "https://app.example.com/app")):
        with pytest.raises(ConfigError):
            load_settings(old_open_networks=wrong[0], old_origins=wrong[1])


async def test_a_page_of_a_named_origin_may_call_the_old_addresses_and_no_others(old_with: Make):
    old = await old_with(old_origins="https://app.example.com")
    there, elsewhere = {"Origin": "https://app.example.com"}, {"Origin": "https://evil.example.com"}
    asks = {"Access-Control-Request-Method": "POST"}
    async with old.http.options("/api/jobs", headers=there | asks) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
        assert "x-worker-key" in answer.headers["Access-Control-Allow-Headers"]
    wanted, headers = {"type": "scheme_builder", "payload": SCHEME}, there | {"Sec-Fetch-Site": "cross-site"}
    async with old.http.post("/api/jobs", json=wanted, headers=headers | WORKER) as answer:
        assert answer.status == 201
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    async with old.http.post("/api/jobs", json={}, headers=elsewhere | WORKER) as answer:
        assert answer.status == 403
        assert "Access-Control-Allow-Origin" not in answer.headers
    async with old.http.options("/api/hub/jobs", headers=there | asks) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_keys_are_never_said(old: Old):
    api = await old.site.api()
    await old.ask("POST", "/api/worker/heartbeat", {"worker_id": "w", "meta": {"k": WORKER_KEY}}, WORKER)
    async with api.get("/api/worker/status") as answer:
        text = await answer.text()
    assert WORKER_KEY not in text and ADMIN_KEY not in text
