"""`bench deliver`: intake, signed webhook, delivered and recorded, in order per key.

Goals: 2,800 a second, and a 99th percentile of 20 ms from the event's sending to its arrival at 500 a second.
Baseline in the same run: signing and posting the same bodies with the same library, without log or records.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from atalaia.bench.common import Child, Hammer, child, cpu_s, percentile, rss_mb, say, scratch
from atalaia.bench.ground import Ground, prepare, up_words
from atalaia.bench.ingest import BODY_BYTES, request_maker
from atalaia.connectors.intake import IntakeSettings
from atalaia.deliveries.signing import new_secret, sign

DRAIN_S = 60.0
SENDERS = 64


async def bench(*, seconds: float, rate: float, keys: int, database_url: str | None) -> dict[str, Any]:
    """Measure; answer the result."""
    secret = new_secret()
    async with child(["atalaia.bench.consumer", secret]) as consumer:
        with scratch() as folder:
            ground = await _prepare(folder, consumer, secret, database_url)
            allowed = {"ATALAIA_ALLOW_PRIVATE_TARGETS": urlsplit(consumer.at("url")).netloc}
            more = ["--database-url", database_url] if database_url else []
            async with child(up_words(folder, *more), env=allowed) as hub:
                await _load(hub, consumer, ground, "warm", 1.0, None, keys)
                say(f"deliver: as fast as it goes for {seconds:g} s")
                fast = await _load(hub, consumer, ground, "fast", seconds, None, keys)
                say(f"deliver: {rate:g} events a second for {seconds:g} s")
                calm = await _load(hub, consumer, ground, "calm", seconds, rate, keys)
                memory = rss_mb(hub.pid)
            recorded = _recorded(folder) if not database_url else None
        say("deliver: baseline")
        baseline = await _baseline(consumer.at("url"), secret, min(seconds, 5.0))
    return {
        "bench": "deliver",
        "events": fast["events"],
        "lost": fast["lost"] + calm["lost"],
        "out_of_order": calm["out_of_order"],
        "recorded": recorded,
        "events_per_s": fast["events_per_s"],
        "p50_ms": calm["p50_ms"],
        "p99_ms": calm["p99_ms"],
        "p99_ms_at_500": calm["p99_ms"],
        "rate": rate,
        "p99_ms_at_full_speed": fast["p99_ms"],
        "hub_cpu_share": fast["hub_cpu_share"],
        "rss_mb": memory,
        "baseline": baseline,
        "goal": {"events_per_s": 2800, "p99_ms_at_500": 20},
    }


async def _prepare(folder: Path, consumer: Child, secret: str, database_url: str | None) -> Ground:
    wanted = {
        "name": "bench",
        "format": "raw",
        "filter": {"types": ["intake.*"]},
        "target": {"kind": "webhook", "url": consumer.at("url")},
        "secrets": {"signing": [{"secret": secret}]},
    }
    intake = ("intake", "bench", IntakeSettings(note=""))
    return await prepare(folder, [intake], [wanted], database_url=database_url)


async def _load(
    hub: Child, consumer: Child, ground: Ground, run: str, seconds: float, rate: float | None, keys: int
) -> dict[str, Any]:
    """Send, wait until all has arrived, and compare what was sent with what came."""
    host = urlsplit(hub.at("url"))
    make = request_maker(host.netloc, ground, run, keys=keys)
    sent: dict[str, float] = {}

    def request(number: int) -> bytes:
        sent[f"{run}-{number:09d}"] = time.time()
        return make(number)

    await _post(f"{consumer.at('figures')}/clear")
    before, began = cpu_s(hub.pid), time.time()
    hammer = Hammer(host.hostname or "", host.port or 0, request)
    await hammer.run(SENDERS, seconds, rate=rate)
    figures = await _drain(consumer, len(sent))
    arrived: dict[str, float] = figures["arrived"]
    latencies = [at - sent[identity] for identity, at in arrived.items() if identity in sent]
    last = max(arrived.values(), default=time.time())
    return {
        "events": len(arrived),
        "lost": len(sent) - hammer.failed - len(arrived),
        "out_of_order": figures["out_of_order"],
        "events_per_s": round(len(arrived) / max(last - began, 0.001)),
        "p50_ms": round(percentile(latencies, 0.5) * 1000, 2),
        "p99_ms": round(percentile(latencies, 0.99) * 1000, 2),
        "hub_cpu_share": round((cpu_s(hub.pid) - before) / max(last - began, 0.001), 2),
    }


async def _drain(consumer: Child, expected: int) -> dict[str, Any]:
    deadline = time.monotonic() + DRAIN_S
    while True:
        figures = await _get(f"{consumer.at('figures')}/figures")
        if len(figures["arrived"]) >= expected or time.monotonic() > deadline:
            return figures
        await asyncio.sleep(0.2)


async def _get(url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.json()


async def _post(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(url) as answer:
        answer.raise_for_status()


def _recorded(folder: Path) -> dict[str, int]:
    """Answer how many deliveries and attempts the database holds, by state."""
    database = sqlite3.connect(folder / "atalaia.db")
    states = dict(database.execute("select state, count(*) from deliveries group by state").fetchall())
    attempts = database.execute("select count(*) from attempts").fetchone()[0]
    database.close()
    return {**states, "attempts": attempts}


async def _baseline(url: str, secret: str, seconds: float) -> dict[str, Any]:
    took: list[float] = []
    body = b'{"id":"%s","subject":"none","note":"' + b"x" * (BODY_BYTES - 60) + b'"}'
    end = time.perf_counter() + seconds
    connector = aiohttp.TCPConnector(limit=64)

    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(lane: int) -> None:
            number = 0
            while time.perf_counter() < end:
                number += 1
                identity = f"base-{lane}-{number}"
                signed = body % identity.encode()
                headers = sign([(secret, None)], identity, int(time.time() * 1000), signed)
                began = time.perf_counter()
                async with session.post(url, data=signed, headers=headers) as answer:
                    await answer.read()
                took.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*[one(lane) for lane in range(64)])
        lasted = time.perf_counter() - began
    return {
        "name": "signing and posting only: aiohttp, 64 in flight, the same consumer",
        "events_per_s": round(len(took) / lasted),
        "p50_ms": round(percentile(took, 0.5) * 1000, 2),
        "p99_ms": round(percentile(took, 0.99) * 1000, 2),
    }
