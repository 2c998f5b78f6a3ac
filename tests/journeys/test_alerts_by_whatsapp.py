"""Alerts that a whole hub tells by a WhatsApp session of its own: once, and never by the one in trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Connection

from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from tests.journeys.waiting import until
from tests.store.bases import on_both, url_of
from tests.web.old.gateway.whole import OTHER, SESSION, Whole, simulator, whole

TO = "5511955500109"
WITHIN_S = 240  # a session is brought back after a minute only


@pytest_asyncio.fixture
async def atalaia(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Whole]:
    """A hub with two sessions that are proven to live."""
    url = url_of(request)
    async with simulator() as sim, whole(tmp_path, sim, database_url=url) as atalaia:
        for name in (SESSION, OTHER):
            atalaia.ids[name] = await atalaia.connect(name)
        for name in (SESSION, OTHER):
            await until(lambda name=name: is_proven(atalaia, name), f"{name} is proven", within_s=WITHIN_S)
        yield atalaia


async def is_proven(atalaia: Whole, name: str) -> bool:
    return await atalaia.status(name) == "connected"


async def channel(atalaia: Whole, *sessions: str) -> str:
    place = f"session://{','.join(atalaia.ids[one] for one in sessions)}/{TO}"
    asked = {"name": "Phone", "place": place, "policy": {"language": "en", "zone": "UTC", "hold_s": 0}}
    return (await atalaia.told("/api/hub/alert-channels", asked))["id"]


async def tell(atalaia: Whole, type: str, cause: str, connection: str = "") -> None:
    data = {"cause": cause, "title": "It is wrong.", "detail": {"known": "Seen.", "todo": "Mend it."}}

    def write(tx: Connection) -> None:
        now = atalaia.now_ms()
        append_facts(tx, atalaia.hub.ambient, "test", [Fact(type, cause, now, data)], connection=connection)

    await atalaia.hub.store.write(write)


async def notices(atalaia: Whole, channel: str) -> list[dict[str, Any]]:
    found = await atalaia.told(f"/api/hub/notices?channel={channel}")
    return [one for one in reversed(found) if "It is wrong" in one["title"] or one["kind"] == "test"]


@on_both("atalaia")
async def test_an_alert_arrives_on_the_phone_once_and_its_receipt_is_shown(atalaia: Whole):
    made = await channel(atalaia, SESSION)
    sent = await atalaia.told(f"/api/hub/alert-channels/{made}/test", {})
    assert sent["ok"], sent["said"]
    await tell(atalaia, "alert.raised", "disk")

    async def is_read() -> bool:
        return [one["receipt"] for one in await notices(atalaia, made)] == ["read", "read"]

    await until(is_read, "both are read", within_s=WITHIN_S, known=lambda: notices(atalaia, made))
    texts = atalaia.texts(SESSION)
    assert len(texts) == 2 and "Test of Atalaia's alerts" in texts[0]
    assert texts[1].startswith("*Alert: It is wrong*") and "What to do: Mend it." in texts[1]
    assert all(one["state"] == "sent" and one["job"] for one in await notices(atalaia, made))


async def test_an_alert_about_a_session_is_told_by_the_other_one(atalaia: Whole):
    made = await channel(atalaia, SESSION, OTHER)
    await tell(atalaia, "alert.raised", "wppconnect.test:1", connection=atalaia.ids[SESSION])
    await until(lambda: atalaia.texts(OTHER), "the other session tells it", within_s=WITHIN_S)
    assert atalaia.texts(SESSION) == []
    assert [one["kind"] for one in await notices(atalaia, made)] == ["raised"]


async def test_a_session_whose_phone_was_unpaired_is_an_alert_that_the_other_one_tells(atalaia: Whole):
    await channel(atalaia, SESSION, OTHER)
    await atalaia.sim.faults.start("device_removed", session=SESSION)
    [text] = await until(lambda: atalaia.texts(OTHER), "the other session tells it", within_s=WITHIN_S)
    assert text.startswith(f"*Alert: {SESSION} needs a person*") and "What to do:" in text
    assert atalaia.texts(SESSION) == []
