"""What people do with alerts: look, take, silence, and choose who is told."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.looking import Visitor


async def test_an_alert_is_taken_and_given_back(visitor: Visitor):
    page = await visitor.open(f"/alerts/{visitor.house.ids['alert']}")
    await expect(page.locator("h1")).to_have_text("40 destinos não aceitam entregas")
    await page.get_by_role("button", name="Assumir", exact=True).click()
    box = page.locator("dialog[open]")
    await expect(box).to_contain_text("Ele não avisa mais ninguém até acabar.")
    await box.get_by_label("Observação").fill("vou ao rack")
    await box.get_by_role("button", name="Assumir").click()
    await expect(page.locator("#alert .truth")).to_contain_text("vou ao rack")
    await page.get_by_role("button", name="Devolver").click()
    await page.locator("dialog[open]").get_by_role("button", name="Devolver").click()
    await expect(page.locator("#alert .truth")).not_to_contain_text("vou ao rack")


async def test_an_alert_is_silenced_with_a_reason_and_the_silence_is_ended(visitor: Visitor):
    page = await visitor.open(f"/alerts/{visitor.house.ids['alert']}")
    await page.get_by_role("button", name="Silenciar").click()
    box = page.locator("dialog[open]")
    await box.get_by_label("Motivo").fill("troca de switch")
    await box.get_by_label("Por quanto tempo").select_option("12")
    await box.get_by_role("button", name="Silenciar").click()
    await expect(page.locator("#alert")).to_contain_text("troca de switch")
    await page.goto(visitor.house.url + "/alerts?state=silenced")
    await expect(page.locator(".alert-card")).to_have_count(1)
    await page.get_by_role("link", name="40 destinos não aceitam entregas").click()
    await page.get_by_role("button", name="Encerrar o silêncio").click()
    await page.locator("dialog[open]").get_by_role("button", name="Encerrar o silêncio").click()
    await expect(page.get_by_role("button", name="Silenciar")).to_be_visible()


async def test_the_list_is_walked_by_keyboard(visitor: Visitor):
    page = await visitor.open("/alerts")
    await page.locator(".alert-card").first.wait_for()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.locator("#alert")).to_be_visible()


async def test_a_channel_is_tried_before_it_is_kept_and_removed_again(visitor: Visitor):
    page = await visitor.open("/settings/channels/new")
    await page.get_by_label("Nome").fill("Sala de operação")
    await page.get_by_label("Endereço").fill("json://127.0.0.1:1/hook")
    await page.get_by_role("button", name="Testar").click()
    await expect(page.locator("#tried-steps")).to_contain_text("Não foi aceito")
    await page.get_by_role("button", name="Salvar").click()
    await page.wait_for_url("**/settings/channels")
    row = page.locator("tr", has_text="Sala de operação")
    await expect(row).to_contain_text("JSON")
    await row.get_by_role("button", name="Remover").click()
    await page.locator("dialog[open]").get_by_role("button", name="Remover").click()
    await expect(page.locator("tr", has_text="Sala de operação")).to_have_count(0)


async def test_a_connection_is_silenced_on_the_page_of_all_silences_and_heard_again(visitor: Visitor):
    page = await visitor.open("/alerts/silences")
    await page.get_by_role("button", name="Silenciar uma conexão").click()
    box = page.locator("dialog[open]")
    await box.get_by_label("Motivo").fill("roteador novo")
    await box.get_by_role("button", name="Silenciar uma conexão").click()
    row = page.locator("#silences tr", has_text="roteador novo")
    await row.get_by_role("button", name="Encerrar o silêncio").click()
    await page.locator("dialog[open]").get_by_role("button", name="Encerrar o silêncio").click()
    await expect(row).to_contain_text("encerrado antes da hora")


async def test_the_form_of_a_channel_shows_the_fields_of_the_way_that_is_chosen(visitor: Visitor):
    page = await visitor.open("/settings/channels/new")
    await expect(page.get_by_label("Endereço")).to_be_visible()
    await expect(page.get_by_label("Para", exact=False)).to_be_hidden()
    await page.get_by_label("Avisa por").select_option("session")
    await expect(page.get_by_label("Endereço")).to_be_hidden()
    await page.get_by_role("checkbox", name="Suporte").check()
    await page.get_by_role("button", name="Salvar").click()
    await expect(page.locator("#tried-steps")).to_contain_text("código do país")
