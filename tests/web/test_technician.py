"""A technician sees vehicles and installations, does what an installation needs, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from atalaia.ambient import Ambient
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.desk.people.roles import SCOPES, scopes_of
from atalaia.web.live import may_follow
from tests.web.installing import asking, furnish
from tests.web.site import Browser, Site, running

OWN = {"vehicles:read", "installations:read", "installations:write"}


@pytest_asyncio.fixture
async def site(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    async with running(tmp_path, ambient, more=[CONNECTOR]) as site:
        yield site


async def got(browser: Browser, path: str) -> tuple[int, str]:
    async with browser.http.get(path) as answer:
        return answer.status, await answer.text()


async def test_the_first_screen_is_the_vehicles_and_the_menu_names_nothing_that_is_not_open(site: Site):
    await furnish(site)
    browser = await site.browser("technician")
    async with browser.http.get("/") as answer:
        page = await answer.text()
        assert (answer.status, answer.url.path) == (200, "/vehicles")
    assert 'href="/installations"' in page
    for closed in ("/connections", "/events", "/jobs", "/deliveries", "/alerts", "/calls"):
        assert f'href="{closed}"' not in page, closed


@pytest.mark.parametrize(
    "path",
    ["/connections", "/events", "/jobs", "/jobs/new", "/deliveries", "/alerts", "/calls", "/system",
     "/settings/people", "/settings/tokens", "/settings/hub", "/connections/new",
     "/api/events", "/api/hub/jobs", "/api/connections", "/api/people", "/api/subscriptions",
     "/live?topics=events,facts"],
)  # fmt: skip
async def test_everything_else_is_closed(site: Site, path: str):
    assert (await got(await site.browser("technician"), path))[0] == 403


async def test_he_may_not_ask_for_jobs_decide_or_change_catalogs(site: Site):
    root = await asking(site, await furnish(site))
    browser = await site.browser("technician")
    csrf = await browser.csrf()
    for path in (f"/jobs/{root}/cancel", "/catalogs/clients/put", "/catalogs/import"):
        answer = await browser.post(path, {})
        assert answer.status == 403, path
    headers = {"X-CSRF-Token": csrf}
    async with browser.http.post("/api/hub/catalogs/undo", json={"change": 1}, headers=headers) as answer:
        assert answer.status == 403


async def test_he_sees_an_installation_adds_photos_and_approves_it(site: Site):
    root = await asking(site, await furnish(site))
    browser = await site.browser("technician")
    assert (await got(browser, "/installations/new"))[0] == 200
    status, page = await got(browser, f"/installations/{root}")
    assert status == 200
    assert 'href="/jobs/' not in page
    assert 'href="/events/' not in page
    assert f'action="/installations/{root}/photos"' in page
    answer = await browser.post(f"/installations/{root}/approve", {})
    assert "A verificação CAN foi aprovada." in await answer.text()


async def test_his_page_hears_that_its_installation_goes_on(site: Site):
    browser = await site.browser("technician")
    async with browser.http.get("/live?topics=health,installation:a,jobs,events") as answer:
        assert answer.status == 200
        assert (await answer.content.readline()).startswith(b": atalaia")


@pytest.mark.parametrize(
    ("topic", "open_to_him"),
    [("installation:a", True), ("jobs", True), ("vehicle:1", True), ("catalogs", True), ("health", True),
     ("job:a", False), ("events", False), ("facts", False), ("calls", False), ("heard:c", False),
     ("people", False), ("nothing", False)],
)  # fmt: skip
def test_topics_follow_from_scopes(topic: str, open_to_him: bool):
    assert may_follow(topic, OWN.__contains__) is open_to_him
    assert may_follow(topic, {"events:read"}.__contains__)


def test_the_role_has_these_scopes_and_no_more():
    assert scopes_of("technician") == OWN
    assert OWN <= scopes_of("agent") | scopes_of("admin") <= set(SCOPES)
