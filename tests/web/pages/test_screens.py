"""The screens over HTTP: empty ones teach, filters hold, roles are kept, secrets stay inside."""

from __future__ import annotations

import re

import pytest

from atalaia.clock import to_ms
from atalaia.deliveries.subscription import create_subscription
from atalaia.events.model import Fact
from tests.web.site import Browser, Site

EMPTY = {
    "/": ("Nada está conectado ainda", "/connections/new"),
    "/connections": ("Nada está conectado ainda", "/connections/new"),
    "/calls": ("Nenhuma ligação ainda", "/connections/new?connector=asterisk"),
    "/calls/list": ("Nenhuma ligação encontrada", ""),
    "/calls/phones": ("Nenhum ramal encontrado", ""),
    "/deliveries": ("Ninguém recebe nada ainda", "/deliveries/new"),
    "/alerts": ("Está tudo bem", ""),
    "/search": ("O que você procura?", ""),
}
FOR_ADMINS = ("/connections/new", "/deliveries/new")


async def text(browser: Browser, path: str, status: int = 200, *, part: bool = False) -> str:
    async with browser.http.get(path, headers={"HX-Request": "true"} if part else None) as answer:
        found = await answer.text()
        assert answer.status == status, f"{path}: {found[:500]}"
        return found


@pytest.mark.parametrize("path", EMPTY)
async def test_an_empty_page_teaches_the_next_step(site: Site, path: str):
    browser = await site.browser()
    page = await text(browser, path)
    said, href = EMPTY[path]
    assert said in page
    assert not href or f'href="{href}"' in page


async def test_who_may_not_act_is_not_offered_the_act(site: Site):
    browser = await site.browser("viewer")
    for path in EMPTY:
        page = await text(browser, path)
        assert 'href="/connections/new' not in page
        assert 'href="/deliveries/new' not in page
    for path in FOR_ADMINS:
        await text(browser, path, 403)


async def test_nobody_sees_a_page_without_signing_in(site: Site):
    stranger = site.client(Accept="text/html")
    for path in (*EMPTY, *FOR_ADMINS, "/events", "/system"):
        async with stranger.get(path, allow_redirects=False) as answer:
            assert answer.status == 303, path
            assert answer.headers["Location"].startswith("/sign-in")


async def test_a_part_is_answered_alone_and_only_when_it_exists(site: Site):
    browser = await site.browser()
    page = await text(browser, "/?part=facts", part=True)
    assert "<html" not in page
    await text(browser, "/?part=nothing", 404, part=True)


async def test_a_bent_cursor_shows_the_beginning(site: Site):
    now = to_ms(site.parts.ambient.clock.now())
    told = [Fact("call.opened", f"call-{number}", now + number, {"n": number}) for number in range(3)]
    await site.parts.log.put_facts("test", told)
    browser = await site.browser()
    for path in ("/calls/list", "/events", "/alerts", "/calls/phones"):
        first, bent = [await text(browser, f"{path}{cursor}") for cursor in ("", "?cursor=bent")]
        assert rows_of(bent) == rows_of(first) != []
    assert "call-2" in "".join(rows_of(await text(browser, "/events?cursor=bent")))


def rows_of(page: str) -> list[str]:
    """Answer the rows of a page's tables, or what it says in place of them."""
    main = page.partition("<main")[2].partition("</main>")[0]
    return re.findall(r"<tr.*?</tr>", main, re.DOTALL) or re.findall(
        r'class="empty-state">.*?</div>', main, re.DOTALL
    )


async def test_a_call_and_its_event_are_found_by_number_and_guid(site: Site):
    guid = "01a2178b-5a2c-7565-a08f-b36319c1f1eb"
    now = to_ms(site.parts.ambient.clock.now())
    await site.parts.log.put_facts("test", [Fact("call.opened", guid, now, {"origin": "1121001"})])
    browser = await site.browser()
    page = await text(browser, f"/search?q={guid}")
    assert "call.opened" in page
    listed = await text(browser, f"/events?key={guid}")
    found = re.search(r'href="(/events/\d+)"', listed)
    assert found is not None
    assert "1121001" in await text(browser, found.group(1))


async def test_settings_never_show_a_secret(site: Site):
    connection = await site.connection("toy", url="http://toy", password="canary-4711-secret")
    browser = await site.browser()
    for path in (f"/connections/{connection}", f"/connections/{connection}/edit", "/connections", "/"):
        assert "canary-4711-secret" not in await text(browser, path)


async def test_a_test_that_tells_a_secret_is_masked(site: Site):
    connection = await site.connection("toy", url="http://toy", password="canary-4711-secret")
    browser = await site.browser()
    form = {
        "connector": "toy",
        "connection": connection,
        "connection_name": "Toy",
        "url": "http://toy",
        "password": "",
    }
    async with await browser.post("/connections/test", form, **{"HX-Request": "true"}) as answer:
        page = await answer.text()
    assert answer.status == 200
    assert "401 from http://toy" in page
    assert "canary-4711-secret" not in page
    assert "disabled" in page


async def test_what_was_not_tested_is_saved_only_on_purpose(site: Site):
    browser = await site.browser()
    form = {"connector": "intake", "connection_name": "Porta", "note": "x"}
    async with await browser.post("/connections/save", form, **{"HX-Request": "true"}) as answer:
        assert "Teste de novo" in await answer.text()
    async with await browser.post(
        "/connections/save", {**form, "anyway": "1"}, **{"HX-Request": "true"}
    ) as answer:
        assert answer.headers["HX-Redirect"].startswith("/connections/")


async def test_a_test_counts_for_the_very_settings_that_were_tested(site: Site):
    browser = await site.browser()
    form = {"connector": "intake", "connection_name": "Porta", "note": "x"}
    async with await browser.post("/connections/test", form, **{"HX-Request": "true"}) as answer:
        found = re.search(r'name="stamp" value="([^"]+)"', await answer.text())
    assert found is not None
    stamped = {**form, "stamp": found.group(1)}
    async with await browser.post(
        "/connections/save", {**stamped, "note": "y"}, **{"HX-Request": "true"}
    ) as answer:
        assert "Teste de novo" in await answer.text()
    async with await browser.post("/connections/save", stamped, **{"HX-Request": "true"}) as answer:
        assert "HX-Redirect" in answer.headers


async def test_an_agent_settles_dead_letters_but_does_not_set_up(site: Site):
    given = {"name": "Painel", "target": {"kind": "webhook", "url": "http://127.0.0.1:9/"}}
    parts = site.parts
    made = await parts.store.write(
        lambda tx: create_subscription(tx, parts.ambient, parts.secretbox, given, formats=parts.formats)
    )
    identity = made.subscription.id
    browser = await site.browser("agent")
    async with await browser.post(f"/deliveries/{identity}/dead", {"act": "redo", "all": "1"}) as answer:
        assert answer.status == 200, await answer.text()
    async with await browser.post(f"/deliveries/{identity}/switch", {"state": "paused"}) as answer:
        assert answer.status == 403
    page = await text(browser, f"/deliveries/{identity}")
    assert made.secret
    assert made.secret not in page


async def test_a_filter_chosen_on_the_list_is_remembered_and_a_link_from_elsewhere_is_not(site: Site):
    browser = await site.browser()
    home, events = site.url + "/", site.url + "/events"
    async with browser.http.get("/events?key=abc", headers={"Referer": home}):
        pass
    async with browser.http.get("/events", allow_redirects=False) as answer:
        assert answer.status == 200
    async with browser.http.get("/events?family=fact&key=&cursor=WzFd", headers={"Referer": events}):
        pass
    async with browser.http.get("/events", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/events?family=fact")
