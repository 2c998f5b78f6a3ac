"""Somebody writes to people on a simulated phone: what is sent, what is attached, what came with messages.

In a browser, and not beside the furnished house of `tests/browser`: a process has one engine of jobs.
"""

from __future__ import annotations

import base64
import io
import re
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from simulators.wppconnect.models import Media
from tests.browser.house import House, sign_in
from tests.browser.looking import Visitor, english, picture, too_wide, violations
from tests.journeys.messenger import SESSION, Messenger, messenger
from tests.journeys.waiting import until

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
DROP = """([name, type, text]) => {
  const held = new DataTransfer();
  held.items.add(new File([text], name, { type }));
  const area = document.querySelector(".inbox-talk");
  area.dispatchEvent(new DragEvent("dragover", { dataTransfer: held, bubbles: true, cancelable: true }));
  area.dispatchEvent(new DragEvent("drop", { dataTransfer: held, bubbles: true, cancelable: true }));
}"""


def sound(seconds: float) -> bytes:
    """Answer a WAV of silence."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(int(seconds * 16_000)))
    return out.getvalue()


def media(content: bytes, mimetype: str, name: str = "") -> Media:
    return Media(mimetype, name, len(content), 0, "", base64.b64encode(content).decode())


@dataclass
class Desk:
    """The hub beside the simulated phone, and somebody who looks at a conversation there."""

    phone: Messenger
    visitor: Visitor
    chat: str

    async def open(self, **how: Any) -> Page:
        return await self.visitor.open(f"/chats/{self.chat}", **how)

    async def arrives(self, count: int) -> list[dict[str, Any]]:
        """Answer what we wrote and is on the phone, once there is so much of it."""
        await until(lambda: len(self.phone.placed()) >= count, "messages on the phone")
        return self.phone.placed()


@pytest_asyncio.fixture
async def desk(chromium: str, browser: Browser, tmp_path: Path) -> AsyncIterator[Desk]:
    async with messenger(tmp_path) as phone:
        phone.hear("Bom dia, a cancela parou")
        cookie = await sign_in(phone.hub)
        visitor = Visitor(browser, House(url=phone.url, cookie=cookie))
        yield Desk(phone, visitor, await phone.chat())
        await visitor.close()
        assert visitor.complaints == []


async def test_what_is_written_goes_by_enter_and_shows_how_far_it_came(desk: Desk):
    page = await desk.open()
    box = page.locator("#composer")
    await box.fill("já vamos aí")
    await box.press("Enter")
    await expect(box).to_have_value("")
    await box.press_sequentially("uma linha")
    await box.press("Shift+Enter")
    await box.press_sequentially("outra")
    await box.press("Control+Enter")

    mine = page.locator(".msg.is-mine:not(.is-sending)")
    await expect(mine).to_have_count(2)
    await expect(mine.first.locator(".tick")).to_have_attribute("title", re.compile("Lida|aparelho"))
    await expect(page.locator(".is-sending")).to_have_count(0)
    assert [row["text"] for row in await desk.arrives(2)] == ["já vamos aí", "uma linha\noutra"]
    await page.reload()
    await expect(page.locator("#composer")).to_have_value("")


async def test_a_message_is_answered_and_reacted_to(desk: Desk):
    page = await desk.open()
    await page.get_by_label("O que fazer com esta mensagem").click()
    await page.get_by_role("button", name="Responder a esta").click()
    await expect(page.locator("[data-reply-shown]")).to_contain_text("a cancela parou")
    await page.locator("#composer").fill("qual delas?")
    await page.locator("#composer").press("Enter")

    await expect(page.locator(".msg.is-mine .msg-quote")).to_contain_text("a cancela parou")
    await page.get_by_label("O que fazer com esta mensagem").first.click()
    await page.get_by_role("button", name="👍").first.click()
    await expect(page.locator(".msg-reactions").first).to_contain_text("👍")


async def test_files_are_picked_pasted_and_dropped_and_shown_once_sent(desk: Desk):
    page = await desk.open()
    await page.locator("[data-files]").set_input_files(
        {"name": "placa.png", "mimeType": "image/png", "buffer": PNG}
    )
    await page.evaluate(DROP, ["laudo.txt", "text/plain", "tudo certo"])
    await expect(page.locator("[data-files-shown] li")).to_have_count(2)
    await page.locator("#composer").fill("a placa e o laudo")
    await page.get_by_role("button", name="Enviar", exact=True).click()

    await desk.arrives(2)
    shown = page.locator(".msg.is-mine img.msg-picture")
    await expect(shown).to_have_count(1)
    assert await shown.evaluate("async image => { await image.decode(); return image.naturalWidth; }") == 1
    await expect(page.locator(".msg.is-mine").get_by_text("laudo.txt")).to_be_visible()
    assert [row["kind"] for row in desk.phone.placed()] == ["image", "document"]
    await expect(page.locator("[data-files-shown] li")).to_have_count(0)


async def test_what_came_with_messages_is_fetched_when_asked_and_played(desk: Desk):
    page = await desk.open()
    desk.phone.hear(kind="image", media=media(PNG, "image/png"))
    desk.phone.hear(kind="audio", media=media(sound(3), "audio/wav"))
    waiting = page.get_by_role("button", name="Buscar agora")
    await expect(waiting).to_have_count(2)
    await waiting.first.click()
    await expect(page.locator("img.msg-picture")).to_have_count(1)
    await waiting.first.click()

    player = page.locator("audio.msg-audio")
    await expect(player).to_have_count(1)
    await player.evaluate("one => one.readyState || new Promise(ready => one.onloadedmetadata = ready)")
    assert round(await player.evaluate("one => one.duration")) == 3
    await player.focus()
    await expect(player).to_be_focused()
    await picture(page, "inbox-media", whole=True)


async def test_the_open_conversation_is_fit_for_everybody(desk: Desk):
    desk.phone.hear(kind="image", media=media(PNG, "image/png"))
    desk.phone.hear(kind="location", location=(-23.55, -46.63))
    await desk.phone.send(desk.chat, kind="text", text="certo")
    await desk.arrives(1)
    await desk.phone.sim.faults.start("send_error", 600, session=SESSION)
    doubt = await desk.phone.send(desk.chat, kind="text", text="chegou mesmo?")
    await desk.phone.comes_to(doubt["id"], "uncertain")
    for theme, width in (("light", 1280), ("dark", 390)):
        page = await desk.open(theme=theme, width=width)
        await expect(page.locator(".msg.is-mine:not(.is-sending)")).to_have_count(1)
        await expect(page.locator(".is-sending")).to_contain_text("talvez enviada")
        await expect(page.locator(".is-sending").get_by_role("link", name="O que se sabe")).to_be_visible()
        await expect(page.get_by_role("button", name="Buscar agora")).to_have_count(1)
        await picture(page, f"inbox-writing-{theme}-{width}", whole=True)
        assert await violations(page) == []
        assert await too_wide(page) <= 0
        assert await english(page) == []
