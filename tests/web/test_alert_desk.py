"""Alerts and their channels for programs and on screens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.desk.alerts.fold import Alerts
from atalaia.events.log import read_after
from atalaia.events.model import Fact
from tests.desk.alerts.test_channels import receiver
from tests.web.site import Site, running

START = 1_767_225_600_000
HTMX = {"HX-Request": "true"}
TOKEN = "123456789:abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.fixture
async def open_site(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    """A site that may tell channels on this machine."""
    async with running(tmp_path, ambient, allow_private_targets=("127.0.0.0/8",)) as site:
        yield site


async def raise_alerts(site: Site, number: int = 3) -> str:
    """Raise one alert of several causes; answer its id."""
    detail = {"known": "It is down.", "todo": "Start it.", "evidence": {"host": "10.0.0.5"}}
    same = {"detail": detail, "grouping": "g"}
    facts = [
        Fact("alert.raised", f"person:c{n}", START, {"title": f"C{n} needs a person.", **same})
        for n in range(number)
    ]  # fmt: skip
    await site.parts.log.put_facts("t", facts)
    await fold(site)
    async with (await site.api("alerts:read")).get("/api/hub/alerts") as answer:
        return (await answer.json())["items"][0]["id"]


async def fold(site: Site) -> None:
    def work(tx: Connection) -> None:
        Alerts().apply(tx, [one for one in read_after(tx, 0) if one.type in Alerts.types])

    await site.parts.store.write(work)


async def said(answer: Any, status: int = 200) -> Any:
    assert answer.status == status, await answer.text()
    return await answer.json() if status != 204 else None


async def test_one_cause_is_one_alert_with_its_members(site: Site):
    alert = await raise_alerts(site, 30)
    api = await site.api("alerts:read")
    whole = await said(await api.get(f"/api/hub/alerts/{alert}"))
    assert (whole["alert"]["members"], whole["alert"]["severity"], whole["alert"]["state"]) == (
        30,
        "urgent",
        "raised",
    )
    assert len(whole["members"]) == 30 and whole["notices"] == []
    assert await said(await api.get("/api/hub/alerts?severity=warning")) == {"items": [], "next": None}
    found = await said(await api.get("/api/hub/alerts?q=c17"))
    assert [one["id"] for one in found["items"]] == [alert]


async def test_taking_and_silencing_are_facts_and_can_be_taken_back(site: Site):
    alert = await raise_alerts(site)
    api = await site.api("alerts:read", "alerts:write", "events:read")
    path = f"/api/hub/alerts/{alert}"
    taken = await said(await api.post(f"{path}/acknowledge", json={"note": "I look"}))
    assert (taken["ack"]["by"], taken["ack"]["note"]) == ("test", "I look")
    assert (await said(await api.delete(f"{path}/acknowledge")))["ack"] is None
    asked = {"reason": "maintenance", "until": "2026-01-01T04:00:00Z"}
    made = await said(await api.post(f"{path}/silence", json=asked), 201)
    assert (await said(await api.get("/api/hub/alerts")))["items"] == []
    [silenced] = (await said(await api.get("/api/hub/alerts?state=silenced")))["items"]
    assert (silenced["state"], silenced["silence"]["reason"]) == ("silenced", "maintenance")
    assert (await said(await api.delete(f"/api/hub/silences/{made['id']}")))["ended_at"]
    assert len((await said(await api.get("/api/hub/alerts")))["items"]) == 1
    events = (await said(await api.get(f"/api/events?key={alert}")))["items"]
    assert [one["type"] for one in events][::-1] == [
        "alert.acknowledged", "alert.unacknowledged", "alert.silenced", "alert.unsilenced",
    ]  # fmt: skip


async def test_a_silence_without_reason_or_with_an_end_in_the_past_is_refused(site: Site):
    alert = await raise_alerts(site)
    api = await site.api()
    bad = (
        {"reason": " ", "until": "2026-01-01T04:00:00Z"},
        {"reason": "x", "until": "2025-12-31T04:00:00Z"},
        {"reason": "x", "until": "2026-03-01T04:00:00Z"},
    )
    for asked in bad:
        async with api.post(f"/api/hub/alerts/{alert}/silence", json=asked) as answer:
            assert answer.status == 422, asked


async def test_who_may_only_read_does_nothing(site: Site):
    alert = await raise_alerts(site)
    api = await site.api("alerts:read")
    acts = {
        f"/api/hub/alerts/{alert}/acknowledge": {},
        "/api/hub/alert-channels": {"name": "x", "place": "json://x"},
    }
    for path, asked in acts.items():
        async with api.post(path, json=asked) as answer:
            assert answer.status == 403, path


async def test_a_channel_is_made_tried_changed_and_removed_and_its_address_is_never_answered(open_site: Site):
    api = await open_site.api()
    async with receiver() as (host, got):
        asked = {"name": "Hook", "place": f"json://ana:swordfish@{host}/x", "policy": {"severity": "urgent"}}
        made = await said(await api.post("/api/hub/alert-channels", json=asked), 201)
        assert (made["service"], made["policy"]["severity"], made["policy"]["language"]) == (
            "JSON",
            "urgent",
            "pt_BR",
        )
        path = f"/api/hub/alert-channels/{made['id']}"
        sent = await said(await api.post(f"{path}/test"))
        assert sent["ok"] and got[0][1]["title"] == "Teste dos alertas do Atalaia"
    sent = await said(await api.post(f"{path}/test"))
    assert not sent["ok"] and "refused" in sent["said"]
    notices = await said(await api.get(f"/api/hub/notices?channel={made['id']}"))
    assert sorted((one["kind"], one["state"]) for one in notices) == [("test", "failed"), ("test", "sent")]
    changed = await said(
        await api.patch(path, json={"enabled": False, "policy": {"quiet_from": "22:00", "quiet_to": "06:00"}})
    )
    assert (changed["enabled"], changed["policy"]["quiet_from"], changed["policy"]["severity"]) == (
        False,
        "22:00",
        "urgent",
    )
    everything = await (await api.get(path)).text() + await (await api.get("/api/events")).text()
    assert "swordfish" not in everything and open_site.parts.redactor.text("swordfish") == "•••"
    await said(await api.delete(path), 204)
    await said(await api.get(path), 404)


async def test_an_address_that_nobody_understands_is_refused_by_its_field(site: Site):
    api = await site.api()
    problem = await said(
        await api.post("/api/hub/alert-channels", json={"name": "x", "place": "tgram://x"}), 422
    )
    assert problem["errors"][0]["field"] == "place"


async def test_the_pages_show_an_alert_and_take_and_silence_it(site: Site):
    alert = await raise_alerts(site)
    browser = await site.browser("agent")
    async with browser.http.get("/alerts?lang=en") as answer:
        text = await answer.text()
    assert "3 connections need a person" in text and "It is down." in text and "Start it." in text
    async with await browser.post(f"/alerts/{alert}/acknowledge", {"note": "I look"}) as answer:
        text = await answer.text()
    assert (
        answer.status == 200 and "I look" in text and "C2 needs a person" in text and "Taken by Ana" in text
    )
    async with await browser.post(f"/alerts/{alert}/silence", {"reason": "works", "hours": "12"}) as answer:
        assert "Silenced by Ana until Jan 1 09:00: works" in (await answer.text()).replace("\u00a0", " ")
    async with browser.http.get("/alerts") as answer:
        assert "Nothing is wrong" in await answer.text()
    async with browser.http.get("/?lang=pt_BR") as answer:
        assert answer.status == 200


async def test_the_channel_form_tries_keeps_and_removes(open_site: Site):
    browser = await open_site.browser()
    form = {
        "name": "Ops",
        "language": "en",
        "zone": "UTC",
        "severity": "warning",
        "repeat_min": "60",
        "enabled": "on",
    }
    async with receiver() as (host, got):
        place = {"place": f"json://{host}/x"}
        async with await browser.post("/settings/channels/test", form | place, **HTMX) as answer:
            assert "JSON" in await answer.text() and got[0][1]["title"] == "Test of Atalaia's alerts"
        async with await browser.post("/settings/channels/save", form | place, **HTMX) as answer:
            assert answer.headers["HX-Redirect"] == "/settings/channels"
        async with browser.http.get("/settings/channels?lang=en") as answer:
            text = await answer.text()
        assert "Ops" in text and host not in text
        identity = text.partition('id="channel-')[2].partition('"')[0]
        async with await browser.post(f"/settings/channels/{identity}/test") as answer:
            assert "Ops took the test" in await answer.text()
    async with await browser.post(f"/settings/channels/{identity}/test") as answer:
        assert "Ops did not take the test" in await answer.text()
    async with browser.http.get(f"/settings/channels/{identity}") as answer:
        text = await answer.text()
        assert answer.status == 200 and host not in text and "Ops" in text
    async with await browser.post(
        "/settings/channels/save", form | {"channel": identity, "quiet_from": "22:00"}, **HTMX
    ) as answer:
        assert "Give both times, or none." in await answer.text()
    async with await browser.post(f"/settings/channels/{identity}/delete") as answer:
        assert "Nobody is told of alerts yet" in await answer.text()


async def test_a_token_in_an_address_is_masked_wherever_it_shows_up(site: Site):
    api = await site.api()
    asked = {"name": "Telegram", "place": f"tgram://{TOKEN}/42/"}
    await said(await api.post("/api/hub/alert-channels", json=asked), 201)
    assert TOKEN not in site.parts.redactor.text(f"POST /bot{TOKEN}/sendMessage failed")
