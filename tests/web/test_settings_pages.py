"""People, tokens and settings on the screen."""

from __future__ import annotations

import re

import pytest

from atalaia.web.pages.settings import browser
from tests.web.site import PASSWORD, Site


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140 · Linux"),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/139.0 Mobile Safari/537.36",
            "Chrome 139 · Android",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/139.0 Safari/537.36 Edg/139.0", "Edge 139 · Windows"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
            "Safari 18 · iPhone",
        ),
        ("curl/8", ""),
    ],
)
def test_a_browser_is_named_as_people_name_it(agent: str, shown: str) -> None:
    assert browser(agent) == shown


PAGES = ("/settings/me", "/settings/people", "/settings/tokens", "/settings/hub")


@pytest.mark.parametrize("language", ["pt_BR", "en"])
@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_drawn_in_both_languages(site: Site, path: str, language: str) -> None:
    browser = await site.browser()
    async with browser.http.get(path, params={"lang": language}) as answer:
        text = await answer.text()
        assert answer.status == 200, text
    assert f'lang="{language.replace("_", "-")}"' in text
    assert "style=" not in text


async def test_an_invitation_shows_its_link_once(site: Site) -> None:
    browser = await site.browser()
    form = {"name": "Bob", "email": "bob@example.com", "role": "agent"}
    async with await browser.post("/settings/people", form) as made:
        text = await made.text()
        [link] = set(re.findall(r"http://[^\"<]+/welcome/[\w-]+", text))
    async with browser.http.get("/settings/people") as page:
        assert "/welcome/" not in await page.text()
    bob = site.client(Accept="text/html")
    async with bob.post(link, data={"password": PASSWORD, "again": PASSWORD}) as signed_in:
        assert signed_in.status != 403
    async with bob.get("/settings/people") as refused:
        assert refused.status == 403
    async with await browser.post("/settings/people", form) as twice:
        assert twice.status == 422


async def test_a_token_is_shown_once_and_revoked_by_a_button(site: Site) -> None:
    browser = await site.browser()
    token = await browser.csrf()
    form = [
        ("csrf", token),
        ("name", "bot"),
        ("scopes", "calls:read"),
        ("scopes", "events:read"),
        ("days", "30"),
    ]
    async with browser.http.post("/settings/tokens", data=form) as made:
        text = await made.text()
        assert made.headers["Cache-Control"] == "no-store"
        secret = re.findall(r"atl_[\w-]{43}", text)[0]
        identity = re.findall(r"/settings/tokens/([\w-]+)/revoke", text)[0]
    async with site.client(secret).get("/api/calls") as works:
        assert works.status == 200
    async with await browser.post(f"/settings/tokens/{identity}/revoke") as revoked:
        page = await revoked.text()
        assert secret not in page
    async with site.client(secret).get("/api/calls") as over:
        assert over.status == 401
    async with browser.http.post(
        "/settings/tokens", data=[("csrf", token), ("name", "bot"), ("days", "30")]
    ) as none:
        assert none.status == 422


async def test_a_change_is_said_once_on_the_next_page(site: Site) -> None:
    browser = await site.browser()
    form = {"language": "en", "zone": "Europe/Lisbon", "theme": "dark", "density": ""}
    async with await browser.post("/settings/me", form) as saved:
        text = await saved.text()
        assert "Saved." in text
        assert 'data-bs-theme="dark"' in text
    async with browser.http.get("/settings/me") as again:
        text = await again.text()
        assert "at-toast" not in text.split("toast-model")[0] or "Saved." not in text
        assert 'value="Europe/Lisbon"' in text
    async with await browser.post("/settings/me", {**form, "zone": "Mars/Base"}) as refused:
        assert refused.status == 422


async def test_ones_own_password_is_changed_with_the_old_one(site: Site) -> None:
    browser = await site.browser()
    fresh = "another sentence of mine"
    for old, new, again, status in (
        ("wrong", fresh, fresh, 422),
        (PASSWORD, fresh, "something else here", 422),
        (PASSWORD, fresh, fresh, 200),
    ):
        async with await browser.post(
            "/settings/me/password", {"old": old, "new": new, "again": again}
        ) as answer:
            assert answer.status == status
    async with browser.http.get("/api/me") as me:
        assert me.status == 200


async def test_a_kind_of_event_is_set_on_the_screen(site: Site) -> None:
    browser = await site.browser()
    form = {"connector": "toy", "type": "Noise*", "policy": "drop", "retention_days": "3"}
    async with await browser.post("/settings/hub/kinds", form) as saved:
        assert "toy.Noise*" in await saved.text()
    async with await browser.post("/settings/hub/kinds", {**form, "type": "a*b"}) as refused:
        assert refused.status == 422
    async with await browser.post(
        "/settings/hub/kinds/remove", {"connector": "toy", "type": "Noise*"}
    ) as gone:
        assert "toy.Noise*" not in await gone.text()
