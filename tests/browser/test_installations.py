"""Installations and catalogs in a browser: both languages and themes, a phone's width, for everybody."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from atalaia.ambient import Ambient
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.web.pages.installation import keep_photo
from tests.browser.house import House
from tests.browser.looking import Visitor, english, picture, too_wide, violations
from tests.browser.test_pages import LOOKS
from tests.web.installing import asking, furnish, installed, leave
from tests.web.site import EMAIL, PASSWORD, Site, running

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002"
    "000001e221bc330000000049454e44ae426082"
)
PAGES = {
    "installations": "/installations",
    "installation-new": "/installations/new",
    "installation-form": "/installations/new?service=INSTALL",
    "installation-swap": "/installations/new?service=MAINT_WITH_SWAP",
    "installation-asking": "/installations/{asking}",
    "installation-failed": "/installations/{failed}",
    "installation-choice": "/installations/{choice}",
    "catalog-clients": "/catalogs/clients",
    "catalog-schemes": "/catalogs/schemes",
    "catalog-edit": "/catalogs/technicians?key=tech_01",
    "catalog-new": "/catalogs/mounts?key=%2B",
}


@pytest_asyncio.fixture
async def visitor(browser: Browser, chromium: str, tmp_path: Path) -> AsyncIterator[Visitor]:
    """An administrator on a site where installations stand in different ways; nothing runs them."""
    async with running(tmp_path, Ambient(), more=[CONNECTOR]) as site:
        ids = await _installations(site)
        await site.person()
        client = site.client()
        async with client.post(
            "/sign-in", data={"email": EMAIL, "password": PASSWORD}, allow_redirects=False
        ) as answer:
            cookie = answer.cookies["atalaia_session"].value
        visitor = Visitor(browser, House(url=site.url, cookie=cookie, ids=ids))
        yield visitor
        await visitor.close()
        assert visitor.complaints == []


async def _installations(site: Site) -> dict[str, str]:
    connection = await furnish(site)
    ids = {"asking": await asking(site, connection)}
    ids["failed"] = await installed(site, connection, plate="TST2B34")
    await leave(site, ids["failed"], "failed", reason="can_refused", said="The CAN check was refused.")
    ids["choice"] = await installed(site, connection, service="MAINT_NO_SWAP", plate="TST3C45")
    await leave(site, ids["choice"], "done", result={"vehicle_id": "2900108"})
    await keep_photo(
        site.parts, PIXEL, kind="Placa", client="Jequitibá", plate="TST1A23", installation=ids["asking"],
        by="Ana",
    )  # fmt: skip
    return ids


@pytest.mark.parametrize(("language", "theme", "width"), LOOKS)
async def test_every_page_of_installations_is_sound(visitor: Visitor, language: str, theme: str, width: int):
    page = await visitor.enter(language=language, theme=theme, width=width)
    problems: list[str] = []
    for name, path in PAGES.items():
        await visitor.visit(page, path.format(**visitor.house.ids))
        await picture(page, f"{name}-{language}-{theme}-{width}")
        found = await violations(page)
        wide = await too_wide(page)
        found += [f"{wide} px too wide"] if wide > 0 else []
        if language == "pt_BR":
            found += [f"in English: {text}" for text in await english(page)]
        problems += [f"{name}: {one}" for one in found]
    assert problems == []


async def test_a_technician_approves_on_a_phone_and_adds_a_photo(visitor: Visitor):
    page = await visitor.open(f"/installations/{visitor.house.ids['asking']}", width=390)
    await page.set_input_files("#photo-file", {"name": "x.png", "mimeType": "image/png", "buffer": PIXEL})
    await page.select_option("#photo-kind", "Chassi")
    await page.get_by_role("button", name="Incluir a foto").click()
    await page.get_by_text("Chassi1.png").first.wait_for()

    await page.get_by_role("button", name=re.compile("^Aprovar$")).first.click()
    await page.locator("#approve").get_by_role("button", name=re.compile("^Aprovar$")).click()

    await page.get_by_text("A verificação CAN foi aprovada.").wait_for()
    assert await page.get_by_text("Chassi1.png").count() >= 1
