"""How a test looks at a page: with a language, a theme and a width, and with an ear for every complaint."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Page

from atalaia.web import i18n
from tests.browser.house import House

AXE = next((Path(__file__).parent / "vendor").glob("axe-core-*/axe.min.js"))
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCREENSHOTS = os.environ.get("ATALAIA_SCREENSHOTS", "")

# Every text a person can see or hear, with what stands in it by itself taken out: code, times, raw data.
_TEXTS = """() => {
  const found = new Set();
  const skip = "code, pre, script, template, time, .json-tree, [lang]:not(html), .party-name, .kind-name";
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.textContent.trim();
    if (text && !walk.currentNode.parentElement.closest(skip)) found.add(text.replace(/\\s+/g, " "));
  }
  for (const name of ["aria-label", "title", "placeholder", "data-palette"]) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      if (!element.closest(skip)) found.add(element.getAttribute(name).trim());
    }
  }
  return [...found];
}"""


@dataclass
class Visitor:
    """Opens pages as somebody signed in, and keeps what the browser complains about."""

    browser: Browser
    house: House
    cookie: str = ""
    complaints: list[str] = field(default_factory=list[str])
    contexts: list[BrowserContext] = field(default_factory=list[BrowserContext])

    async def enter(self, *, language: str = "pt_BR", theme: str = "light", width: int = 1280) -> Page:
        """Answer an empty page of a fresh browser profile."""
        context = await self.browser.new_context(viewport={"width": width, "height": 900}, locale="pt-BR")
        self.contexts.append(context)
        cookies = {
            "atalaia_session": self.cookie or self.house.cookie,
            "atalaia_language": language,
            "atalaia_theme": theme,
        }
        url = self.house.url
        await context.add_cookies(
            [{"name": name, "value": value, "url": url} for name, value in cookies.items()]
        )
        page = await context.new_page()
        page.set_default_timeout(20_000)
        page.on(
            "console", lambda said: self._note(page, said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self._note(page, str(error)))
        return page

    async def open(self, path: str, **how: str | int) -> Page:
        """Open one page."""
        page = await self.enter(**how)  # type: ignore[arg-type]
        await self.visit(page, path)
        return page

    async def visit(self, page: Page, path: str) -> None:
        """Go to a page and wait until its plots are drawn and its live stream is open."""
        answer = await page.goto(self.house.url + path)
        assert answer is not None
        assert answer.status == 200, path
        if await page.locator("[data-plot]").count():
            await page.locator("[data-plot] canvas, [data-plot].without-data").first.wait_for()
        await page.locator("#live-state[data-state=live]").wait_for(state="attached")

    async def close(self) -> None:
        """Close every profile."""
        for context in self.contexts:
            await context.close()

    def _note(self, page: Page, text: str) -> None:
        self.complaints.append(f"{page.url.removeprefix(self.house.url)}: {text}")


async def violations(page: Page) -> list[str]:
    """Answer what axe finds, one line each."""
    await page.evaluate(AXE.read_text())
    found = await page.evaluate(
        "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']}).then(r => r.violations)",
        RULES,
    )
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


async def too_wide(page: Page) -> int:
    """Answer by how many pixels the page, or a table in its box, reaches beyond what is shown."""
    return await page.evaluate(
        "Math.max(document.documentElement.scrollWidth - document.documentElement.clientWidth, "
        "...[...document.querySelectorAll('.table-box')].map(box => box.scrollWidth - box.clientWidth))"
    )


async def english(page: Page) -> list[str]:
    """Answer the texts of a Portuguese page that are English source texts of ours."""
    texts: list[str] = await page.evaluate(_TEXTS)
    return sorted(text for text in texts if text in _english_only())


@lru_cache
def _english_only() -> frozenset[str]:
    """Answer the source texts whose Portuguese is another one, as they would stand on a page."""
    catalogue = i18n.catalogue("pt_BR")
    entries: dict[object, str] = catalogue._catalog  # type: ignore[attr-defined]
    sources: dict[str, set[str]] = {}
    for source, said in entries.items():
        text = source[0] if isinstance(source, tuple) else source
        plain = str(text).rpartition("\x04")[2]
        if plain and "%(" not in plain and "{}" not in plain and not re.fullmatch(r"\W*", plain):
            sources.setdefault(plain, set()).add(said)
    return frozenset(text for text, said in sources.items() if text not in said)


async def picture(page: Page, name: str, *, whole: bool = False) -> None:
    """Keep a picture of the page when a folder for them was named."""
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=f"{SCREENSHOTS}/{name}.png", full_page=whole)
