"""People at work in the inbox: keys, drafts, and messages that appear while one looks."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from playwright.async_api import expect

from tests.browser.looking import Visitor, too_wide, violations
from tests.browser.talk import Talk
from tests.connectors.wppconnect.ground import message, own_message


async def hear(visitor: Visitor, *bodies: dict[str, Any]) -> None:
    talk = visitor.house.talk
    assert isinstance(talk, Talk)
    await asyncio.wrap_future(visitor.house.do(talk.hear(*bodies)))


async def test_a_message_appears_while_one_looks_and_is_read(visitor: Visitor):
    group = visitor.house.ids["group"]
    page = await visitor.open(f"/chats/{group}")
    await expect(page.locator("#talk")).to_contain_text("Reunião às 10")
    wid = "120363000000000777@g.us"
    author = "150000000000101@lid"
    now = int(time.time())
    await hear(
        visitor, message("G9", chat=wid, author=author, text="Mudou para as 11", t=now, notifyName="Bia")
    )

    await expect(page.locator("#talk")).to_contain_text("Mudou para as 11")
    await page.goto(f"{visitor.house.url}/chats")
    line = page.locator(f"#chat-{group}")
    await expect(line).to_contain_text("Mudou para as 11")
    await expect(line.locator(".count")).to_have_count(0)


async def test_the_inbox_is_walked_and_worked_with_keys(visitor: Visitor):
    page = await visitor.open("/chats?state=all")
    await page.keyboard.press("j")
    await expect(page.locator("a.row-link:focus")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"/chats/[0-9a-f-]{36}"))

    await visitor.visit(page, f"/chats/{visitor.house.ids['sealed']}")
    await page.keyboard.press("a")
    await expect(page.locator(".talk-head")).to_contain_text("Ana Prado")
    await page.keyboard.press("e")
    await expect(page.locator(".talk-head")).to_contain_text("Conversa encerrada")
    await page.get_by_role("button", name="Abrir de novo").click()
    await expect(page.locator(".talk-head")).to_contain_text("Conversa aberta")


async def test_a_conversation_begins_with_keys_and_opens_by_itself(visitor: Visitor):
    page = await visitor.enter(theme="dark", width=390)
    await visitor.visit(page, "/chats")
    await page.keyboard.press("n")
    await expect(page.get_by_label("Número")).to_be_focused()
    assert await violations(page) == []
    await page.keyboard.type("31 98877-6655")
    await page.get_by_label("Primeira mensagem").fill("Bom dia, aqui é do suporte")
    await page.get_by_role("button", name="Enviar").click()
    await expect(page.locator(".msg-state")).to_contain_text("a caminho")
    assert (await violations(page), await too_wide(page)) == ([], 0)

    said = own_message("N1", chat="5531988776655@c.us", text="Bom dia, aqui é do suporte", t=int(time.time()))
    await hear(visitor, said)
    await expect(page.locator("#talk")).to_contain_text("aqui é do suporte")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("+55 31 98877-6655")


async def test_a_draft_survives_and_a_reply_at_hand_is_put_into_it(visitor: Visitor):
    path = f"/chats/{visitor.house.ids['chat']}"
    page = await visitor.open(path)
    await page.keyboard.press("r")
    box = page.locator("#composer")
    await expect(box).to_be_focused()
    async with page.expect_response(re.compile("/draft$")):
        await box.press_sequentially("João, ")
    await page.get_by_text("Respostas prontas", exact=True).last.click()
    async with page.expect_response(re.compile("/draft$")):
        await page.get_by_role("button", name="/bom").click()
    await page.reload()
    await expect(page.locator("#composer")).to_have_value("João, Bom dia, como ajudo?")


async def test_a_quote_leads_to_what_it_answers_and_edits_unfold(visitor: Visitor):
    page = await visitor.open(f"/chats/{visitor.house.ids['chat']}")
    await page.locator(".msg-quote a").first.click()
    await expect(page.locator(".msg:target")).to_contain_text("já vamos aí")
    await page.get_by_text("O que dizia antes").click()
    await expect(page.locator(".msg-before ol")).to_contain_text("obrigado, espero")
    await expect(page.locator(".msg .tick.tone-bad")).to_have_count(1)
