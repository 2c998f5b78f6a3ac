"""`bench wall`: the screen of many WhatsApp sessions, at rest and while 200 states change a second.

The hub is a process of its own with its log, runner and projections; another worker keeps the sessions, and
what its keepers would write is written as they do it. A change is late from the moment its keeper begins to
write it until its drawn state is read by a client of the stream, or is painted by a real Chromium.
Baseline in the same run: a bare stream that tells as many changes and keeps nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from atalaia.bench.common import Child, child, cpu_s, percentile, rss_mb, say, scratch
from atalaia.bench.ground import prepare
from atalaia.connectors.wppconnect.settings import WppconnectSettings

ON_SCREEN = 50
LOOKS = 15
BARE_S = 4.0
GZIP_LEVEL = 6  # as proxies have it
_CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
# Notes how long after its moment each state that stands on the screen was first painted.
_WATCH = """() => {
  window.late = [];
  const seen = new Map();
  const look = () => requestAnimationFrame(() => {
    const now = Date.now();
    for (const cell of document.querySelectorAll("[data-since]")) {
      const since = Number(cell.dataset.since);
      if (seen.has(cell.id) && seen.get(cell.id) < since) window.late.push(now - since);
      seen.set(cell.id, Math.max(since, seen.get(cell.id) ?? 0));
    }
  });
  look();
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""


async def bench(*, sessions: int, seconds: float, rate: float, browser: bool) -> dict[str, Any]:
    """Measure; answer the result."""
    with scratch() as folder:
        say(f"wall: configuring {sessions:,} connections")
        await prepare(folder, [("wppconnect", f"Canal {n:05d}", _settings(n)) for n in range(sessions)])
        words = ["atalaia.bench.wall_hub", str(folder), str(rate), str(min(ON_SCREEN, sessions // 2))]
        async with child(words) as hub, _client(hub) as http:
            say("wall: the pages at rest")
            pages = {path: await _page(http, path) for path in ("/connections", "/")}
            say(f"wall: {rate:g} changes a second for {seconds:g} s")
            os.kill(hub.pid, signal.SIGUSR1)
            before, began = cpu_s(hub.pid), time.perf_counter()
            told, busy, screen = await asyncio.gather(
                _listen(http, seconds), _under_load(http, seconds), _screen(hub, seconds, wanted=browser)
            )
            used = (cpu_s(hub.pid) - before) / (time.perf_counter() - began)
            memory = rss_mb(hub.pid)
            late = await asyncio.to_thread(_late, folder / "atalaia.db", told)
    say("wall: baseline")
    return {
        "bench": "wall",
        "sessions": sessions,
        "rate": rate,
        "page": pages["/connections"],
        "first_page": pages["/"],
        "page_under_load_ms": busy,
        "changes_told": len(late),
        "told_p50_ms": round(percentile(late, 0.5), 1),
        "told_p99_ms": round(percentile(late, 0.99), 1),
        "screen": screen,
        "hub_cpu_share": round(used, 2),
        "rss_mb": memory,
        "baseline": await _bare(rate, min(seconds, BARE_S)),
        "goal": {"page_ms": 300, "page_kb_gzip": 150, "screen_p99_ms": 250},
    }


def _settings(place: int) -> WppconnectSettings:
    return WppconnectSettings.model_validate(
        {
            "session_name": f"Canal {place:05d}", "server_url": "http://127.0.0.1:9",
            "secret_key": "bench-only", "hook_token": f"bench-only-{place:016d}",
        }
    )  # fmt: skip


def _client(hub: Child) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {hub.at('token')}", "Accept": "text/html"}
    return aiohttp.ClientSession(hub.at("url"), headers=headers)


async def _look(http: aiohttp.ClientSession, path: str) -> tuple[float, bytes]:
    began = time.perf_counter()
    async with http.get(path) as answer:
        answer.raise_for_status()
        return (time.perf_counter() - began) * 1000, await answer.read()


async def _page(http: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    """Answer how long the hub takes for a page, from the request to its whole answer, and how large it is."""
    first_ms, _ = await _look(http, path)  # templates are compiled
    took: list[float] = []
    body = b""
    for _ in range(LOOKS):
        took_ms, body = await _look(http, path)
        took.append(took_ms)
    return {
        "first_ms": round(first_ms),
        "p50_ms": round(percentile(took, 0.5)),
        "most_ms": round(max(took)),
        "kb": round(len(body) / 1000, 1),
        "kb_gzip": round(len(gzip.compress(body, GZIP_LEVEL)) / 1000, 1),
    }


async def _under_load(http: aiohttp.ClientSession, seconds: float) -> dict[str, Any]:
    """Ask for the page once a second meanwhile."""
    took: list[float] = []
    end = time.perf_counter() + seconds - 1
    while time.perf_counter() < end:
        took.append((await _look(http, "/connections"))[0])
        await asyncio.sleep(1)
    return {"p50_ms": round(percentile(took, 0.5)), "most_ms": round(max(took, default=0.0))}


async def _messages(
    http: aiohttp.ClientSession, seconds: float
) -> AsyncIterator[tuple[dict[str, Any], float]]:
    """Read the stream as a browser does: each message's data, and when it had come (Unix ms)."""
    timeout = aiohttp.ClientTimeout(total=None)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), http.get("/live?topics=truths", timeout=timeout) as answer:
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    yield orjson.loads(line[6:]), time.time() * 1000


async def _listen(http: aiohttp.ClientSession, seconds: float) -> dict[int, float]:
    """Answer when each change was told, by its place in the log."""
    return {data["seq"]: at async for data, at in _messages(http, seconds) if "html" in data}


def _late(path: Path, told: dict[int, float]) -> list[float]:
    """Answer how many ms each change was on its way. told: when it came, by its place in the log."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = database.execute("select seq, occurred_ms from events where type like 'connection.%'")
        return [told[seq] - occurred_ms for seq, occurred_ms in rows if seq in told]


async def _screen(hub: Child, seconds: float, *, wanted: bool) -> dict[str, Any]:
    """Look at the wall in a real Chromium; answer how late its changes were painted."""
    path = shutil.which("chromium")
    if not wanted or path is None:
        return {"not_run": "not asked for" if not wanted else "Chromium is not installed"}
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        return {"not_run": "playwright is not installed"}
    async with async_playwright() as driver:
        chromium = await driver.chromium.launch(executable_path=path, args=list(_CHROMIUM))
        page = await chromium.new_page(extra_http_headers={"Authorization": f"Bearer {hub.at('token')}"})
        began = time.perf_counter()
        await page.goto(hub.at("url") + "/connections")
        await page.wait_for_selector("#wall-rows [data-since]")
        shown_ms = (time.perf_counter() - began) * 1000
        await page.evaluate(_WATCH)
        await page.wait_for_timeout(max(1.0, seconds - 4) * 1000)
        late = [float(one) for one in await page.evaluate("() => window.late")]
        await chromium.close()
    return {
        "page_shown_ms": round(shown_ms),
        "changes_seen": len(late),
        "p50_ms": round(percentile(late, 0.5)),
        "p99_ms": round(percentile(late, 0.99)),
    }


async def _bare(rate: float, seconds: float) -> dict[str, Any]:
    async with (
        child(["atalaia.bench.bare_stream", str(rate)]) as bare,
        aiohttp.ClientSession(bare.at("url")) as http,
    ):
        late = [at - data["at_ms"] async for data, at in _messages(http, seconds)]
    return {
        "name": "aiohttp: as many server-sent events; no log, no tables, nothing drawn",
        "told_p50_ms": round(percentile(late, 0.5), 1),
        "told_p99_ms": round(percentile(late, 0.99), 1),
    }
