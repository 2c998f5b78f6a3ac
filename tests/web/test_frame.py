"""What surrounds every page: assets, words, policy; and in a browser: keys, live changes, accessibility."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from atalaia.desk.people.roles import scopes_of
from atalaia.web.assets import assets
from atalaia.web.bar import bar_of
from atalaia.web.render import home, nav
from tests.web.gallery import Gallery, running

AXE = next(Path(__file__).parents[1].glob("browser/vendor/axe-core-*/axe.min.js"))
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = ["/calls", "/sign-in?bad", "/welcome", "/broken", "/out/broken"]


@pytest_asyncio.fixture
async def gallery() -> AsyncIterator[Gallery]:
    async with running() as gallery:
        yield gallery


@pytest_asyncio.fixture
async def client(gallery: Gallery) -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)  # keeps cookies of bare addresses too
    async with aiohttp.ClientSession(gallery.url, auto_decompress=False, cookie_jar=jar) as client:
        yield client


async def test_a_static_file_is_kept_for_good_under_its_hash_only(client: aiohttp.ClientSession):
    async with client.get(assets().url("app/main.js")) as answer:
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Type"].startswith("text/javascript")
    async with client.get("/static/old/app/main.js") as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
    for path in ("app/none.js", "../render.py", "..%2frender.py", "%2e%2e/render.py", "vendor"):
        async with client.get(f"/static/{assets().version}/{path}") as answer:
            assert answer.status == 404, path


def test_every_script_imports_what_exists():
    folder = assets().folder / "app"
    for script in folder.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', script.read_text()):
            assert (folder / name).exists(), f"{script.name} imports {name}"


@pytest.mark.parametrize("path", PAGES)
async def test_pages_obey_the_policy_by_themselves(client: aiohttp.ClientSession, path: str):
    async with client.get(path, headers={"Accept-Encoding": "identity"}) as answer:
        text = await answer.text()
    assert re.findall(r"<[^>]+\sstyle=[^>]*>", text) == []
    assert re.findall(r"<[^>]+\son\w+=[^>]*>", text) == []
    assert [
        s for s in re.findall(r"<script[^>]*>", text) if "src=" not in s and "application/json" not in s
    ] == []
    assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', text) == [], "nothing comes from elsewhere"


async def test_a_language_asked_for_in_the_address_stays(client: aiohttp.ClientSession):
    plain = {"Accept-Encoding": "identity"}
    async with client.get("/calls", headers=plain) as answer:
        assert '<html lang="pt-BR"' in await answer.text()
    async with client.get("/calls?lang=en", headers=plain) as answer:
        assert '<html lang="en"' in await answer.text()
    async with client.get("/calls", headers=plain) as answer:
        assert '<html lang="en"' in await answer.text()


async def test_a_list_remembers_the_filter_of_the_person(client: aiohttp.ClientSession):
    async with client.get("/filtered?state=closed"):
        pass
    async with client.get("/filtered", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/filtered?state=closed")
    async with client.get("/filtered?clear=1"):
        pass
    async with client.get("/filtered", allow_redirects=False) as answer:
        assert answer.status == 200


async def test_htmx_gets_the_block_alone(client: aiohttp.ClientSession):
    headers = {"HX-Request": "true", "Accept-Encoding": "identity"}
    async with client.get("/filtered", headers=headers) as answer:
        text = await answer.text()
    assert "<html" not in text
    assert "Nova conexão" in text


async def test_an_error_page_names_the_id_that_finds_the_log_line(client: aiohttp.ClientSession):
    async with client.get("/out/broken", headers={"Accept-Encoding": "identity"}) as answer:
        assert (answer.status, answer.headers["X-Error-Id"]) == (500, "01JD7H2K")
        text = await answer.text()
    assert "01JD7H2K" in text
    assert "O que aconteceu" in text
    assert "Algo quebrou dentro do servidor" in text


def test_only_worlds_that_are_there_are_in_the_rail():
    keys = [item["place"].key for item in nav(["calls"], "/calls/7")]
    assert keys == ["now", "calls", "connections", "events", "deliveries", "alerts", "settings"]
    assert [item["place"].key for item in nav(["calls"], "/calls/7") if item["here"]] == ["calls"]
    assert "tickets" in [item["place"].key for item in nav({"tickets": 1}, "/")]
    letters = [item["place"].letter for item in nav(["calls", "chats", "jobs", "tickets", "devices"], "/")]
    assert len(letters) == len(set(letters))


def test_the_rail_shows_what_one_may_see_and_fills_the_bar_of_a_phone():
    technician = scopes_of("technician").__contains__
    items = nav(["vehicles", "jobs", "calls", "demo"], "/installations", technician)
    keys = [item["place"].key for item in items]
    assert keys == ["vehicles", "installations", "settings"]
    assert bar_of(keys, "technician") == ("vehicles", "installations", "settings")
    assert home(["vehicles", "jobs"], technician) == "/vehicles"
    assert home(["vehicles", "jobs"], lambda _: True) == "/"


async def opened(
    browser: Browser, gallery: Gallery, path: str = "/calls", *, width: int = 1280, **cookies: str
) -> tuple[Page, list[str]]:
    """Open a page; the list gathers whatever the browser complains about."""
    context = await browser.new_context(viewport={"width": width, "height": 800}, locale="pt-BR")
    await context.add_cookies(
        [{"name": f"atalaia_{name}", "value": value, "url": gallery.url} for name, value in cookies.items()]
    )
    page = await context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(gallery.url + path)
    await page.wait_for_function(
        "document.querySelectorAll('[data-plot] canvas').length > 0 || !document.querySelector('[data-plot]')"
    )
    return page, complaints


@pytest.mark.parametrize(
    ("language", "theme", "width"),
    [
        ("pt_BR", "light", 1440),
        ("pt_BR", "dark", 390),
        ("en", "dark", 900),
        pytest.param("en", "dark", 1440, marks=pytest.mark.long),
        pytest.param("en", "light", 390, marks=pytest.mark.long),
    ],
)
async def test_pages_are_accessible_and_fit(
    browser: Browser, gallery: Gallery, language: str, theme: str, width: int
):
    for path in PAGES:
        page, complaints = await opened(browser, gallery, path, width=width, language=language, theme=theme)
        devtools = await page.context.new_cdp_session(page)  # a script tag would be against the policy
        await devtools.send("Runtime.evaluate", {"expression": AXE.read_text()})
        found = await page.evaluate("rules => axe.run({runOnly: rules})", AXE_RULES)
        told = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
        assert told == [], path
        assert len(found["passes"]) > 10
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            f"{path} is too wide"
        )
        assert [text for text in complaints if "500" not in text] == []
        await page.context.close()


async def test_the_keyboard_goes_everywhere(browser: Browser, gallery: Gallery):
    page, complaints = await opened(browser, gallery)
    await page.keyboard.press("/")
    await expect(page.locator("#search")).to_be_focused()
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await expect(page.locator("#keys-help")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("k")
    assert await page.evaluate("document.activeElement.textContent") == "Portaria Sul"
    await page.keyboard.press("Control+k")
    await page.keyboard.type("conexoes")
    await expect(page.locator("#palette-list li").first).to_contain_text("Conexões")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/connections")
    await page.keyboard.press("g")
    await page.keyboard.press("c")
    await page.wait_for_url("**/calls")
    await page.keyboard.press("Escape")
    await page.wait_for_url(gallery.url + "/")
    assert complaints == []


async def test_a_theme_stays_on_this_device(browser: Browser, gallery: Gallery):
    page, _ = await opened(browser, gallery, theme="auto")
    await page.emulate_media(color_scheme="dark")
    await expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    await page.click("summary[aria-label='Aparência']")
    await page.click("[data-set-theme=light]")
    await expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")


async def test_cells_say_their_column_on_a_phone(browser: Browser, gallery: Gallery):
    page, _ = await opened(browser, gallery, width=390)
    labels = await page.locator("#call-0 td").evaluate_all("cells => cells.map(cell => cell.dataset.label)")
    assert labels == ["Estado", "De", "Para", "Início", "Toque", "Conversa", "Entrega"]


async def listening(page: Page, gallery: Gallery) -> None:
    await expect(page.locator("#live-state")).to_have_attribute("data-state", "live")
    assert gallery.streams


async def test_a_live_change_takes_its_place_and_glows(browser: Browser, gallery: Gallery):
    page, complaints = await opened(browser, gallery)
    await listening(page, gallery)
    row = (
        '<tr id="call-1"><td><span data-glow="call-1-state">Encerrada</span></td></tr><tr id="call-999"></tr>'
    )
    gallery.say("calls", row, 7)
    await expect(page.locator("#call-1 .glow")).to_have_text("Encerrada")
    assert await page.locator("#call-999").count() == 0, "what is not on the page is not put there"
    assert complaints == []


async def test_news_are_counted_not_pushed_under_the_pointer(browser: Browser, gallery: Gallery):
    page, _ = await opened(browser, gallery)
    await listening(page, gallery)
    news = page.locator("[data-live-news=calls]")
    await expect(news).to_be_hidden()
    for number, key in enumerate(["call-a", "call-b", "call-a", "call-2"]):
        gallery.say("calls", f'{{"key": "{key}"}}', number)
    await expect(news).to_have_text("2 novos")
    gallery.region = "<p>the list with the two</p>"
    await news.click()
    await expect(page.locator("#calls-list")).to_have_text("the list with the two")
    await expect(news).to_be_hidden()


async def test_a_region_is_fetched_again_and_says_when_it_could_not(browser: Browser, gallery: Gallery):
    page, _ = await opened(browser, gallery)
    await listening(page, gallery)
    gallery.say("calls", "", 1)
    await expect(page.locator("#board")).to_have_text("first")
    gallery.region_status = 503
    gallery.say("calls", "", 2)
    await expect(page.locator(".stale-note").last).to_contain_text("Esta parte não pôde ser atualizada")
    await expect(page.locator("#board")).to_have_text("first")
    gallery.region_status, gallery.region = 200, "<p>second</p>"
    await page.locator(".stale-note button").last.click()
    await expect(page.locator("#board")).to_have_text("second")
    await expect(page.locator(".stale-note")).to_have_count(0)
