"""Workers outside tell that they live; the session token goes in and does not come out."""

from __future__ import annotations

import pytest

from atalaia.clock import HeldClock
from tests.store.bases import on_both
from tests.web.old.conftest import Make
from tests.web.old.rig import ADMIN, WORKER, Old

TOKEN = "1767373667936:canary-session-token"


@on_both("old")
async def test_a_worker_that_is_silent_for_180_s_is_offline(old: Old, clock: HeldClock):
    beat = {
        "worker_id": "sb-1",
        "status": "idle",
        "checks": {"backend_ok": True},
        "ts": "2026-11-26T12:00:00Z",
    }
    for path in ("/api/worker/heartbeat", "/api/jobs/worker/heartbeat"):
        status, told = await old.ask("POST", path, beat, WORKER)
        assert (status, told["ok"], bool(told["ts"])) == (200, True, True)
    for passed, online in ((179, True), (2, False)):
        await clock.run_for(passed)
        _, told = await old.ask("GET", "/api/worker/status", None, WORKER)
        [worker] = told["workers"]
        assert (worker["worker_id"], worker["online"], worker["status"]) == ("sb-1", online, "idle")
    browser = await old.site.browser()
    async with browser.http.get("/system") as page:
        text = await page.text()
    assert "sb-1" in text


async def test_a_heartbeat_without_a_name_is_refused(old: Old):
    assert (await old.ask("POST", "/api/worker/heartbeat", {}, WORKER))[1]["error"] == "MISSING_worker_id"
    assert (await old.ask("GET", "/api/worker/heartbeat", None, WORKER))[1]["ok"] is True


@pytest.mark.parametrize("name", ["token", "sessionToken"])
async def test_the_session_token_is_told_by_its_length_alone(old: Old, name: str):
    assert await old.ask("GET", "/api/session-status", None, WORKER) == (
        200,
        {"hasToken": False, "tokenLen": 0},
    )
    assert (await old.ask("GET", "/api/admin/session-token", None, ADMIN))[0] == 404
    assert (await old.ask("POST", "/api/admin/session-token", {}, ADMIN))[0] == 400
    known = {"hasToken": True, "tokenLen": len(TOKEN)}
    kept = await old.ask("POST", "/api/admin/session-token", {name: TOKEN}, ADMIN)
    assert kept == (200, {"ok": True, **known, "path": "database"})
    assert await old.ask("GET", "/api/session-status", None, WORKER) == (200, known)
    status, told = await old.ask("GET", "/api/admin/session-token/status", None, ADMIN)
    assert (status, told) == (200, {**known, "path": "database"})
    status, told = await old.ask("GET", "/api/admin/session-token", None, ADMIN)
    assert (status, told["error"]) == (403, "token_not_shown")
    assert TOKEN not in str(told)


async def test_a_setting_lets_the_administrator_read_the_session_token(old_with: Make):
    old = await old_with(old_token_shown=True)
    await old.ask("POST", "/api/worker/session-token", {"session_token": TOKEN}, WORKER)
    assert await old.ask("GET", "/api/admin/session-token", None, ADMIN) == (200, {"token": TOKEN})
    assert (await old.ask("GET", "/api/admin/session-token", None, WORKER))[0] == 401
