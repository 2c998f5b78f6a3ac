"""Every page of the worlds, in a browser: readable by everybody, in both languages, themes and widths."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from tests.browser.looking import Visitor, english, picture, too_wide, violations

PAGES = {
    "now": "/",
    "connections": "/connections",
    "connections-rows": "/connections?view=rows",
    "connection": "/connections/{connection}",
    "connection-refused": "/connections/{refused}",
    "connection-intake": "/connections/{intake}",
    "gaps": "/gaps",
    "gaps-routine": "/gaps?origin=routine",
    "gaps-nothing": "/gaps?range=15m&state=lost",
    "connection-choose": "/connections/new",
    "connection-new": "/connections/new?connector=asterisk",
    "connection-edit": "/connections/{connection}/edit",
    "calls": "/calls",
    "calls-list": "/calls/list?range=24h",
    "calls-nothing": "/calls/list?range=15m&q=999999999",
    "phones": "/calls/phones",
    "call-live": "/calls/{call}",
    "call": "/calls/{closed}",
    "events": "/events",
    "events-facts": "/events?family=fact&type=call.*",
    "event": "/events/{event}",
    "deliveries": "/deliveries",
    "subscription": "/deliveries/{good}",
    "subscription-dead": "/deliveries/{bad}?state=dead",
    "subscription-down": "/deliveries/{down}",
    "delivery": "/deliveries/{bad}/{delivery}",
    "subscription-new": "/deliveries/new",
    "subscription-amqp": "/deliveries/new?kind=amqp",
    "subscription-edit": "/deliveries/{good}/edit",
    "jobs": "/jobs",
    "jobs-failed": "/jobs?state=failed",
    "job-in-doubt": "/jobs/{doubt}",
    "job-asking": "/jobs/{asking}",
    "job-running": "/jobs/{following}",
    "job-failed": "/jobs/{failed}",
    "job-done": "/jobs/{read}",
    "job-frames": "/jobs/{read}/frames",
    "job-choose": "/jobs/new",
    "job-new": "/jobs/new?kind=fleet.scheme_builder&connection={fleet}&vehicle_id=2900108&plate=ABC1D23",
    "vehicles": "/vehicles",
    "vehicle": "/vehicles/2900108",
    "vehicle-parameters": "/vehicles/2900108?view=parameters",
    "vehicle-parameter": "/vehicles/2900108?view=parameters&parameter=00002715&all=1",
    "vehicle-snapshots": "/vehicles/2900108?view=snapshots",
    "vehicle-silent": "/vehicles/2900117",
    "chats": "/chats",
    "chats-nothing": "/chats?state=ignored",
    "chat": "/chats/{chat}",
    "chat-group": "/chats/{group}",
    "chat-sealed": "/chats/{sealed}",
    "chats-lookup": "/chats/lookup?q=maquina",
    "chats-channels": "/channels",
    "chats-channels-nothing": "/channels?q=nada",
    "chats-channel": "/channels/{gateway}?q=maquina",
    "chats-pairing": "/channels/{gateway}?pair=1",
    "chats-counts": "/chats/counts",
    "chats-replies": "/chats/replies",
    "alerts": "/alerts",
    "alerts-resolved": "/alerts?state=resolved",
    "alerts-silenced": "/alerts?state=silenced",
    "alerts-nothing": "/alerts?q=nada",
    "alert": "/alerts/{alert}",
    "alert-over": "/alerts/{alert_over}",
    "silences": "/alerts/silences",
    "channels": "/settings/channels",
    "channel-new": "/settings/channels/new",
    "channel-edit": "/settings/channels/{channel}",
    "channel-phone": "/settings/channels/{channel_phone}",
    "system": "/system",
    "search": "/search?q=112",
    "search-nothing": "/search?q=nada+disso",
}
TABS = 3  # pages are looked at side by side, because most of the time is waiting
# Each language, theme and width once for every change; the other pairs found nothing more and are --long.
LOOKS = [
    ("pt_BR", "light", 1280),
    ("en", "dark", 390),
    pytest.param("pt_BR", "dark", 390, marks=pytest.mark.long),
    pytest.param("en", "light", 1280, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("language", "theme", "width"), LOOKS)
async def test_every_page_is_sound(visitor: Visitor, language: str, theme: str, width: int):
    look = {"language": language, "theme": theme, "width": width}
    paths = list(PAGES.items())
    shares = [_walk(visitor, dict(paths[place::TABS]), look) for place in range(TABS)]
    problems = [one for share in await asyncio.gather(*shares) for one in share]
    assert problems == []


async def _walk(visitor: Visitor, pages: dict[str, str], look: dict[str, Any]) -> list[str]:
    """Look at some pages one after the other; answers what is wrong with them."""
    page = await visitor.enter(**look)
    problems: list[str] = []
    for name, path in pages.items():
        await visitor.visit(page, path.format(**visitor.house.ids))
        await picture(page, f"{name}-{look['language']}-{look['theme']}-{look['width']}")
        found = await violations(page)
        wide = await too_wide(page)
        found += [f"{wide} px too wide"] if wide > 0 else []
        if look["language"] == "pt_BR":
            found += [f"in English: {text}" for text in await english(page)]
        problems += [f"{name}: {one}" for one in found]
    return problems


@pytest.mark.parametrize(
    "path",
    [
        "/connections/nothing-there",
        "/calls/nothing-there",
        "/events/99999999",
        "/deliveries/none",
        "/jobs/nothing-there",
        "/vehicles/404",
        "/alerts/nothing-there",
    ],
)
async def test_what_is_not_there_says_so(visitor: Visitor, path: str):
    page = await visitor.enter()
    answer = await page.goto(visitor.house.url + path)
    assert answer is not None
    assert answer.status == 404
    await page.get_by_text("O que aconteceu").wait_for()
    assert visitor.complaints, "the browser itself tells of a 404"
    assert all(re.search(r"404", one) for one in visitor.complaints)
    visitor.complaints.clear()
