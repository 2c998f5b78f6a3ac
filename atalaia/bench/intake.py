"""`bench intake`: webhooks of a WhatsApp gateway, each durable before it is answered.

One recorded envelope (`webhook.json`) a request, every one another message. What the hub then makes of them,
facts and conversations, goes on beside it on the same cores; how far that got is told, and its rate.
Beside it, in the same run: confirmed publishes of the same body to a RabbitMQ quorum queue.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import orjson

from atalaia.bench.broker import quorum_publishes
from atalaia.bench.common import Hammer, child, cpu_s, percentile, rss_mb, say, scratch
from atalaia.bench.ground import Ground, prepare, up_words
from atalaia.connectors.wppconnect.settings import WppconnectSettings

TOKEN = "bench-" + "0" * 24
RECORDED = Path(__file__).with_name("webhook.json")
_KEY, _EVENT_ID = "3EB02E8D1A8886442D2FC7", "a68480a6-c1c9-4b16-ab68-2aee5790ebe4"
UNDERSTOOD_WITHIN_S = 60.0


async def bench(*, clients: int, seconds: float, database_url: str | None) -> dict[str, Any]:
    """Measure; answer the result."""
    size = len(_body(0))
    with scratch() as folder:
        # Its gateway is a closed port of this machine: webhooks are taken whatever the session does.
        given = {"gateway_url": "http://127.0.0.1:9", "gateway_secret": "bench-only", "hook_token": TOKEN}
        settings = WppconnectSettings.model_validate({"session_name": "Canal Um", **given})
        ground = await prepare(folder, [("wppconnect", "bench", settings)], database_url=database_url)
        more = ["--database-url", database_url] if database_url else []
        async with child(up_words(folder, *more)) as hub:
            host = urlsplit(hub.at("url"))
            say(f"intake: warming up {host.netloc}")
            warm, _ = await _hammer(host, ground, 0, clients, 1.0)
            before = cpu_s(hub.pid)
            say(f"intake: {clients} clients for {seconds:g} s, one webhook of {size} bytes a request")
            began = time.perf_counter()
            hammer, took = await _hammer(host, ground, warm.sent, clients, seconds)
            used, memory = cpu_s(hub.pid) - before, rss_mb(hub.pid)
            sent = len(warm.took_s) + len(hammer.took_s) - warm.failed - hammer.failed
            account = {} if database_url else await _account(folder, sent, began)
    say("intake: baseline")
    baseline = await quorum_publishes(size, in_flight=clients, seconds=min(seconds, 8.0))
    return {
        "bench": "intake",
        "store": "postgresql" if database_url else "sqlite synchronous=FULL",
        "clients": clients,
        "body_bytes": size,
        "seconds": round(took, 2),
        "webhooks": len(hammer.took_s),
        "failed": hammer.failed,
        "webhooks_per_s": round((len(hammer.took_s) - hammer.failed) / took),
        "p50_ms": round(percentile(hammer.took_s, 0.5) * 1000, 2),
        "p99_ms": round(percentile(hammer.took_s, 0.99) * 1000, 2),
        "hub_cpu_share": round(used / took, 2),
        "rss_mb": memory,
        **account,
        "baseline": baseline,
    }


async def _hammer(
    host: SplitResult, ground: Ground, first: int, clients: int, seconds: float
) -> tuple[Hammer, float]:
    hammer = Hammer(host.hostname or "", host.port or 0, request_maker(host.netloc, ground, first))
    return hammer, await hammer.run(clients, seconds)


def request_maker(netloc: str, ground: Ground, first: int) -> Callable[[int], bytes]:
    """Answer a function that makes the n-th request, a message that none before it was. first: of `n`."""
    size = len(_body(0))
    head = (
        f"POST /hooks/{ground.connections[0]}/{TOKEN} HTTP/1.1\r\nHost: {netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    ).encode()
    return lambda number: head + _body(first + number)


def _recorded() -> list[bytes]:
    """Answer the recorded envelope, cut where the message's key stands; the envelope's id becomes it."""
    text = orjson.dumps(orjson.loads(RECORDED.read_bytes())).replace(_EVENT_ID.encode(), _KEY.encode())
    return text.split(_KEY.encode())


_PARTS = _recorded()


def _body(number: int) -> bytes:
    key = f"3EB0{number:018X}".encode()
    return key.join(_PARTS)


async def _account(folder: Path, sent: int, began: float) -> dict[str, Any]:
    """Answer what of that which was answered with 200 is in the log, and how soon it was understood."""
    deadline = time.perf_counter() + UNDERSTOOD_WITHIN_S
    heard = understood = 0
    while time.perf_counter() < deadline and understood < sent:
        await asyncio.sleep(0.25)
        heard, understood = await asyncio.to_thread(_counts, folder / "atalaia.db")
    return {
        "lost": sent - heard,
        "understood": understood,
        "understood_per_s": round(understood / (time.perf_counter() - began)),
    }


def _counts(path: Path) -> tuple[int, int]:
    """Answer how many messages were heard, and of how many there is a fact."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        count = "select count(*) from events where type = ?"
        heard = database.execute(count, ("wppconnect.onmessage",)).fetchone()
        return int(heard[0]), int(database.execute(count, ("message.received",)).fetchone()[0])
    finally:
        database.close()
