"""Silences of connections, and channels that tell by sessions of ours, for programs and on screens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from atalaia.ambient import Ambient
from atalaia.connectors.wppconnect import CONNECTOR
from atalaia.desk.alerts.channels import get_channel
from tests.web.site import Site, running
from tests.web.test_alert_desk import HTMX, raise_alerts, said

TO = "5511955500109"
UNTIL = "2026-01-01T04:00:00Z"


@pytest.fixture
async def chats(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    """A site that knows sessions which can tell."""
    async with running(tmp_path, ambient, more=[CONNECTOR]) as site:
        yield site


async def session(site: Site, name: str) -> str:
    return await site.connection(
        "wppconnect", session_name=name, server_url="http://127.0.0.1:9", secret_key="test-only"
    )


async def place_of(site: Site, channel: str) -> str:
    found = await site.parts.store.read(lambda tx: get_channel(tx, channel))
    assert found is not None
    return site.parts.secretbox.open(found.sealed)


async def test_a_connection_is_silenced_listed_and_heard_again_by_programs(site: Site):
    door = await site.connection()
    api = await site.api("alerts:read", "alerts:write")
    asked = {"connection": door, "reason": "maintenance", "until": UNTIL}
    made = await said(await api.post("/api/hub/silences", json=asked), 201)
    assert (made["connection"], made["alert"], made["grouping"]) == (door, "", "")
    assert [one["id"] for one in await said(await api.get("/api/hub/silences?in_force=true"))] == [made["id"]]
    ended = await said(await api.delete(f"/api/hub/silences/{made['id']}"))
    assert ended["ended_at"]
    assert await said(await api.get("/api/hub/silences?in_force=true")) == []
    assert len(await said(await api.get("/api/hub/silences"))) == 1
    problem = await said(await api.post("/api/hub/silences", json=asked | {"connection": "nobody"}), 422)
    assert problem["errors"][0]["field"] == "connection"


async def test_one_page_lists_all_silences_and_ends_them(site: Site):
    door, alert = await site.connection(), await raise_alerts(site)
    browser = await site.browser("agent")
    async with browser.http.get("/alerts/silences?lang=en") as answer:
        assert "Nothing is silenced" in await answer.text()
    async with browser.http.get(f"/connections/{door}") as answer:
        assert f'href="/alerts/silences?connection={door}"' in await answer.text()
    async with browser.http.get(f"/alerts/silences?connection={door}") as answer:
        assert f'<option value="{door}" selected>' in await answer.text()
    form = {"connection": door, "reason": "new router", "hours": "12"}
    async with await browser.post("/alerts/silences", form) as answer:
        text = await answer.text()
    assert answer.status == 200 and "new router" in text and f"/connections/{door}" in text
    async with await browser.post(f"/alerts/{alert}/silence", {"reason": "works", "hours": "4"}) as answer:
        assert answer.status == 200
    async with browser.http.get("/alerts/silences?part=rows") as answer:
        text = await answer.text()
    assert "works" in text and "C0 needs a person." in text and f"/alerts/{alert}" in text
    identity = text.partition("/alerts/silences/")[2].partition("/")[0]
    async with await browser.post(f"/alerts/silences/{identity}/end") as answer:
        assert "ended before its time" in await answer.text()
    async with await browser.post("/alerts/silences", form | {"reason": " "}) as answer:
        assert "Say why" in await answer.text()
    async with await browser.post("/alerts/silences/nothing/end") as answer:
        assert answer.status == 404


async def test_who_may_only_read_silences_nothing(site: Site):
    door = await site.connection()
    api = await site.api("alerts:read")
    asked = {"connection": door, "reason": "x", "until": UNTIL}
    assert (await api.post("/api/hub/silences", json=asked)).status == 403
    browser = await site.browser("viewer")
    async with browser.http.get("/alerts/silences") as answer:
        assert "/alerts/silences/" not in await answer.text()
    async with await browser.post("/alerts/silences", {"connection": door, "reason": "x"}) as answer:
        assert answer.status == 403


async def test_a_channel_by_sessions_is_made_by_programs_and_its_number_is_never_answered(chats: Site):
    one, two = await session(chats, "One"), await session(chats, "Two")
    api = await chats.api()
    asked = {"name": "Phones", "place": f"session://{one},{two}/{TO}", "policy": {"hold_s": 5, "retry_h": 2}}
    made = await said(await api.post("/api/hub/alert-channels", json=asked), 201)
    assert (made["kind"], made["service"]) == ("session", "Door, Door")
    assert (made["policy"]["hold_s"], made["policy"]["retry_h"]) == (5, 2)
    assert TO not in str(made) + await (await api.get("/api/events")).text()
    for place in (f"session://nobody/{TO}", f"session://{one}/", f"session://{one}/no-number"):
        problem = await said(
            await api.post("/api/hub/alert-channels", json={"name": "x", "place": place}), 422
        )
        assert problem["errors"][0]["field"] == "place", place


async def test_the_form_offers_sessions_keeps_the_number_and_changes_the_way(chats: Site):
    one, two = await session(chats, "One"), await session(chats, "Two")
    browser = await chats.browser()
    form: dict[str, Any] = {"name": "Phones", "language": "en", "zone": "UTC", "enabled": "on"}
    form |= {"kind": "session", "sessions": one, "to": TO}

    async def save(**more: str) -> str:
        async with await browser.post("/settings/channels/save", {**form, **more}, **HTMX) as answer:
            return answer.headers.get("HX-Redirect") or await answer.text()

    async with browser.http.get("/settings/channels?lang=en") as answer:
        assert answer.status == 200
    assert "country code" in await save(to="")
    assert await save() == "/settings/channels"
    async with browser.http.get("/settings/channels") as answer:
        text = await answer.text()
    identity = text.partition('id="channel-')[2].partition('"')[0]
    async with browser.http.get(f"/settings/channels/{identity}") as answer:
        text = await answer.text()
    assert TO not in text and f'value="{one}" checked' in text and f'value="{two}" checked' not in text
    assert await save(channel=identity, to="", sessions=two) == "/settings/channels"
    assert await place_of(chats, identity) == f"session://{two}/{TO}"
    assert "Give an address" in await save(channel=identity, kind="apprise")
    assert await save(channel=identity, kind="apprise", place="json://example.com/x") == "/settings/channels"
    assert await place_of(chats, identity) == "json://example.com/x"


async def test_without_sessions_the_form_asks_for_an_address_alone(site: Site):
    browser = await site.browser()
    async with browser.http.get("/settings/channels/new") as answer:
        text = await answer.text()
    assert 'name="place"' in text and 'name="kind"' not in text
