"""Installations and catalogs in a browser: both languages and themes, a phone's width, for everybody."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

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


FILE = {"name": "x.png", "mimeType": "image/png", "buffer": PIXEL}


async def test_a_technician_approves_on_a_phone_and_adds_a_photo(visitor: Visitor):
    page = await visitor.open(f"/installations/{visitor.house.ids['asking']}", width=390)
    await page.set_input_files("[data-kind=Chassi]", FILE)  # type: ignore[arg-type]
    await page.locator(".photos").get_by_text("Chassi 1").wait_for()

    await page.get_by_role("button", name=re.compile("^Aprovar$")).first.click()
    await page.locator("#approve").get_by_role("button", name=re.compile("^Aprovar$")).click()

    await page.get_by_text("A verificação CAN foi aprovada.").wait_for()
    assert await page.locator(".photo-tile.has", has_text="Chassi").count() == 1


async def test_a_photo_taken_without_network_is_kept_and_sent_when_it_is_back(visitor: Visitor):
    address = f"/installations/{visitor.house.ids['choice']}"
    page = await visitor.open(address, width=390)
    await page.context.set_offline(True)
    await page.set_input_files("[data-kind=Placa]", FILE)  # type: ignore[arg-type]
    waiting = page.locator("#photos-waiting")
    await expect(waiting).to_contain_text("Placa: guardada neste aparelho")
    await page.get_by_role("button", name="Encerrar sem verificação").click()
    await page.locator("#complete").get_by_role("button", name="Encerrar sem verificação").click()
    await expect(page.locator(".at-toast")).to_contain_text("Sem rede. Nada foi enviado")

    await page.context.set_offline(False)

    await expect(page.locator(".photos")).to_contain_text("Placa 1")
    await expect(waiting).to_be_hidden()
    visitor.complaints[:] = [one for one in visitor.complaints if "ERR_INTERNET_DISCONNECTED" not in one]


async def test_a_form_is_there_again_after_the_phone_has_slept(visitor: Visitor):
    page = await visitor.open("/installations/new?service=INSTALL", width=390)
    await page.fill("#f-plate", "TST9Z99")
    await page.fill("#f-model_text", "volvo")
    await page.get_by_role("option", name="8064 Volvo VM330").click()
    await page.reload()
    await expect(page.locator("#f-plate")).to_have_value("TST9Z99")
    await expect(page.locator("#f-model_text")).to_have_value("8064 Volvo VM330")
    await page.get_by_role("button", name="Começar de novo").click()
    await expect(page.locator("#f-plate")).to_have_value("")


async def test_an_import_shows_what_it_would_change_before_it_does(visitor: Visitor):
    lines = (
        "CLIENT_ID;CLIENT_DESCR;VEHICLE_SETTING_ID\n310273;Jequitibá Cargas;5536\n310999;Nova;5600\n;X;1\n"
    )
    page = await visitor.open("/catalogs/clients")
    file = {"name": "clientes.csv", "mimeType": "text/csv", "buffer": lines.encode()}
    await page.set_input_files("#catalog-files", file)  # type: ignore[arg-type]
    seen = page.locator("#import-preview")
    await expect(seen).to_contain_text("Jequitibá Transportes")
    await expect(seen).to_contain_text("Jequitibá Cargas")
    await expect(seen).to_contain_text("linha 4, CLIENT_ID")
    await expect(page.locator("#entries")).not_to_contain_text("Jequitibá Cargas")
    assert await violations(page) == []

    await seen.get_by_role("button", name="Importar").click()

    await expect(page.locator("#entries")).to_contain_text("Jequitibá Cargas")
    await expect(page.locator(".catalog-changes")).to_contain_text("Jequitibá Transportes → Jequitibá Cargas")
    await page.get_by_role("button", name="Desfazer tudo").first.click()
    await page.locator("dialog[open]").get_by_role("button", name="Desfazer tudo").click()
    await expect(page.locator("#entries")).to_contain_text("Jequitibá Transportes")


async def test_the_bar_of_a_phone_leads_everywhere(visitor: Visitor):
    page = await visitor.open("/vehicles", width=390)
    bar = page.get_by_role("navigation", name="Principal")
    await expect(bar.locator("> a:visible")).to_have_count(4)
    await bar.get_by_text("Mais").click()
    await bar.get_by_role("link", name="Eventos").click()
    await expect(page).to_have_url(re.compile("/events"))
    await expect(bar.locator("summary")).to_have_attribute("aria-current", "true")
