"""What people do on the pages: by keyboard, live, testing before saving, sending again, by their role."""

from __future__ import annotations

import re

from playwright.async_api import expect

from atalaia.desk.people.people import People
from atalaia.desk.people.sessions import Sessions
from tests.browser.house import PASSWORD, USER, House
from tests.browser.looking import Visitor


async def test_the_keyboard_goes_everywhere(visitor: Visitor):
    page = await visitor.open("/calls/list?range=24h")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    second = page.locator("#calls-table a.row-link").nth(1)
    await expect(second).to_be_focused()
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"/calls/[0-9a-f-]{36}$"))
    await page.keyboard.press("Escape")
    await expect(page).to_have_url(re.compile(r"/calls/list"))
    await page.keyboard.press("g")
    await page.keyboard.press("x")
    await expect(page).to_have_url(re.compile(r"/connections$"))
    await page.keyboard.press("Control+k")
    await page.keyboard.type("portaria n")
    await page.get_by_role("option", name="Portaria Norte").first.wait_for()
    for _ in range(12):
        if await page.locator("[aria-selected=true]", has_text="Portaria Norte").count():
            break
        await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(rf"/connections/{visitor.house.ids['connection']}$"))


async def test_a_live_call_appears_without_a_reload(visitor: Visitor):
    page = await visitor.open("/calls")
    await page.evaluate("window.sameDocument = true")
    origin, destiny = await _ring(visitor.house)
    card = page.locator(".call-card", has_text=origin).filter(has_text=destiny)
    await expect(page.locator("#board-ringing ~ .call-cards").locator(card)).to_be_visible()
    await expect(page.locator("#board-on_call ~ .call-cards").locator(card)).to_be_visible()
    assert await page.evaluate("window.sameDocument") is True


async def _ring(house: House) -> tuple[str, str]:
    """Let two idle phones talk; answers their numbers."""

    async def begin() -> tuple[str, str]:
        assert house.simulator is not None
        busy = house.simulator.player.busy_numbers()
        phones = house.simulator.pbx.phones.values()
        idle = [
            one.number for one in phones if one.online and one.number not in busy and one.number[3] == "1"
        ]
        house.simulator.begin("answered", idle[0], idle[1], ring_s=2.0, talk_s=8.0)
        return idle[0], idle[1]

    return await _wait(house, begin())


async def _wait(house: House, work):
    import asyncio

    return await asyncio.wrap_future(house.do(work))


async def test_new_events_are_announced_and_do_not_jump(visitor: Visitor):
    page = await visitor.open("/events?range=1h")
    first = await page.locator("#events-table tbody tr").first.get_attribute("id")
    news = page.locator("#news a")
    await news.wait_for()
    assert await page.locator("#events-table tbody tr").first.get_attribute("id") == first
    await news.click()
    await expect(page.locator("#events-table tbody tr").first).not_to_have_attribute("id", first or "")


async def test_a_tail_that_is_followed_moves_by_itself(visitor: Visitor):
    page = await visitor.open("/events?range=1h")
    first = await page.locator("#events-table tbody tr").first.get_attribute("id")
    await page.get_by_role("button", name="Acompanhar").click()
    await page.mouse.move(5, 5)
    await expect(page.locator("#events-table tbody tr").first).not_to_have_attribute("id", first or "")


async def test_a_connection_is_tested_before_it_is_saved(visitor: Visitor):
    simulator = visitor.house.simulator
    assert simulator is not None
    page = await visitor.open("/connections/new?connector=asterisk")
    save = page.get_by_role("button", name="Salvar", exact=True)
    await expect(save).to_be_disabled()
    await page.locator("#f-connection_name").fill("Portaria nova")
    await page.locator("#f-url").fill(simulator.url)
    await page.locator("#f-user").fill(USER)
    await page.locator("#f-password").fill("wrong")
    await page.locator("#f-server").fill("voip9")
    test = page.get_by_role("button", name="Testar")
    await test.click()
    await expect(page.locator(".steps .tone-bad").first).to_contain_text("recusou nosso usuário ou senha")
    await expect(save).to_be_disabled()

    await page.locator("#f-password").fill(PASSWORD)
    await page.locator("#f-etc_folder").fill(_etc(visitor.house))
    await test.click()
    await expect(page.get_by_text("Tudo o que é preciso funciona")).to_be_visible()
    await save.click()
    await expect(page).to_have_url(re.compile(r"/connections/[0-9a-f-]{36}$"))
    await expect(page.locator(".at-toast")).to_contain_text("Portaria nova foi salva")
    await expect(page.locator("#truth .state").first).to_contain_text("Ao vivo")

    await page.get_by_role("button", name="Remover").first.click()
    await page.locator("dialog[open]").get_by_role("button", name="Remover").click()
    await expect(page.locator(".at-toast")).to_contain_text("foi removida")


def _etc(house: House) -> str:
    assert house.hub is not None
    return str(house.hub.settings.data_dir / "etc")


async def test_a_wrong_field_is_named_where_it_stands(visitor: Visitor):
    page = await visitor.open("/connections/new?connector=asterisk")
    await page.locator("#f-url").fill("voip1.example.com")
    await page.get_by_role("button", name="Testar").click()
    await expect(page.locator("#f-url")).to_have_attribute("aria-invalid", "true")
    await expect(page.locator(".setup-errors")).to_contain_text("Endereço")


async def test_a_dead_letter_is_sent_again(visitor: Visitor):
    page = await visitor.open(f"/deliveries/{visitor.house.ids['bad']}?state=dead")
    await page.locator("#deliveries-table input[type=checkbox]").first.check()
    await page.get_by_role("button", name="Enviar as escolhidas de novo").click()
    await expect(page.locator(".at-toast")).to_contain_text("1 carta morta é enviada de novo")


async def test_a_replay_is_counted_before_it_is_sent(visitor: Visitor):
    page = await visitor.open(f"/deliveries/{visitor.house.ids['good']}")
    await page.locator("#replay-types").fill("call.ended")
    await page.get_by_role("button", name="Contar").click()
    await expect(page.locator("#replay-box .notice")).to_contain_text(re.compile("serviria|serve|servem"))
    await page.locator("#replay-box").get_by_role("button", name="Enviar de novo").click()
    await expect(page.locator(".at-toast")).to_contain_text("de novo")


async def test_a_new_subscription_shows_its_secret_once(visitor: Visitor):
    page = await visitor.open("/deliveries/new")
    await page.locator("#f-name").fill("Arquivo")
    await page.locator("#f-url").fill("http://127.0.0.1:9/")
    await page.get_by_role("button", name="Testar").click()
    await expect(page.locator("#tried-steps .notice")).to_contain_text("Ainda não funciona")
    await page.get_by_role("button", name="Salvar").click()
    secret = page.locator(".secret code")
    await expect(secret).to_contain_text("whsec_")
    told = await secret.inner_text()
    await page.get_by_role("link", name="Já guardei").click()
    await expect(page.get_by_role("heading", name="Arquivo")).to_be_visible()
    assert told not in await page.content()
    await page.get_by_role("button", name="Remover").click()
    await page.locator("dialog[open]").get_by_role("button", name="Remover").click()
    await expect(page).to_have_url(re.compile(r"/deliveries$"))


async def test_a_parked_event_is_tried_again(visitor: Visitor):
    page = await visitor.open("/system")
    await page.get_by_role("button", name="Tentar de novo").first.click()
    await expect(page.locator(".at-toast")).to_contain_text("tentado de novo")


async def test_a_viewer_looks_and_changes_nothing(visitor: Visitor):
    visitor.cookie = await _wait(visitor.house, _viewer(visitor.house))
    page = await visitor.open("/connections")
    await expect(page.get_by_role("link", name="Nova conexão")).to_have_count(0)
    connection, bad = visitor.house.ids["connection"], visitor.house.ids["bad"]
    await visitor.visit(page, f"/connections/{connection}")
    await expect(page.get_by_role("button", name="Parar")).to_have_count(0)
    await visitor.visit(page, f"/deliveries/{bad}?state=dead")
    await expect(page.get_by_role("button", name="Enviar todas de novo")).to_have_count(0)
    token = await page.locator("input[name=csrf]").first.get_attribute("value")
    for path, form in (
        (f"/connections/{connection}/switch", {"desired": "off"}),
        (f"/deliveries/{bad}/dead", {"act": "skip", "all": "1"}),
    ):
        answer = await page.request.post(visitor.house.url + path, form={"csrf": token or "", **form})
        assert answer.status == 403, path
    without = await page.request.post(
        visitor.house.url + f"/connections/{connection}/switch", form={"desired": "off"}
    )
    assert without.status == 403


async def _viewer(house: House) -> str:
    hub = house.hub
    assert hub is not None
    sessions = Sessions(hub.store, hub.ambient, hub.settings)
    people = People(hub.store, hub.ambient, hub.settings, sessions)
    await people.create("bia@example.com", "Bia", "viewer", "only to look at things")
    signed_in = await sessions.sign_in(
        "bia@example.com", "only to look at things", agent="test", address="127.0.0.1"
    )
    return signed_in.cookie
