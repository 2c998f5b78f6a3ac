"""Health is told three ways, and in detail only to who may know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from atalaia.ambient import Ambient
from atalaia.desk.alerts.fold import Alerts
from atalaia.events.log import read_after
from atalaia.events.model import Fact
from tests.web.site import Site, running


async def test_health_tells_everybody_the_word_and_the_details_only_who_may_know(site: Site) -> None:
    client, nobody = await site.api(), site.client()
    for path in ("/health", "/health/live", "/health/ready", "/health/truth"):
        async with nobody.get(path) as answer:
            assert answer.status == 200
            assert set(await answer.json()) <= {"status", "live", "ready", "ok", "service", "ts", "timestamp"}
    async with client.get("/health") as answer:
        assert (await answer.json())["status"] == "healthy"
    await site.parts.log.put_facts("t", [Fact("alert.raised", "disk", 0, {"title": "Full"})])

    def fold(tx: Any) -> None:
        Alerts().apply(tx, [fact for fact in read_after(tx, 0) if fact.type == "alert.raised"])

    await site.parts.store.write(fold)
    async with client.get("/health") as answer:
        seen = await answer.json()
    assert (seen["status"], seen["why"]) == ("attention", ["1 alerts are open."])
    await site.parts.store.close()
    async with nobody.get("/health/live") as live:
        assert live.status == 200
    async with nobody.get("/health/ready") as ready:
        assert ready.status == 503


async def test_an_old_client_with_a_key_is_told_what_the_older_software_told(
    tmp_path: Path, ambient: Ambient
):
    async with running(tmp_path, ambient, old_worker_key="worker-key-4711", old_admin_key="") as site:
        nobody = site.client()
        fields = {"status", "service", "timestamp", "git_commit", "git_branch", "boot_id", "uptime_s", "pid"}
        async with nobody.get("/health", headers={"x-worker-key": "worker-key-4711"}) as answer:
            told = await answer.json()
        assert fields <= set(told) and "details" not in told
        assert told["pid"] == os.getpid()
        for header in ({}, {"x-worker-key": "wrong"}, {"x-admin-key": ""}):
            async with nobody.get("/health", headers=header) as answer:
                assert "pid" not in await answer.json()
