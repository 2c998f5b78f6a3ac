"""`bench ingest`: durable events over HTTP with a token, validation and dedupe, one event a request.

Goal: 8,000 events a second at 64 clients with a 99th percentile of 50 ms, on SQLite with `synchronous=FULL`.
Beside it, in the same run: confirmed publishes of the same size to a RabbitMQ quorum queue, 64 in flight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from atalaia.bench.broker import quorum_publishes
from atalaia.bench.common import Hammer, child, cpu_s, percentile, rss_mb, say, scratch
from atalaia.bench.ground import Ground, prepare, up_words
from atalaia.connectors.intake import IntakeSettings

BODY_BYTES = 990  # as in the measurements that the goals come from


async def bench(*, clients: int, seconds: float, database_url: str | None) -> dict[str, Any]:
    """Measure; answer the result."""
    with scratch() as folder:
        ground = await prepare(
            folder, [("intake", "bench", IntakeSettings(note=""))], database_url=database_url
        )
        more = ["--database-url", database_url] if database_url else []
        async with child(up_words(folder, *more)) as hub:
            host = urlsplit(hub.at("url"))
            say(f"ingest: warming up {host.netloc}")
            await _hammer(host, ground, "warm", clients, 1.0)
            before = cpu_s(hub.pid)
            say(f"ingest: {clients} clients for {seconds:g} s, one event a request")
            hammer, took = await _hammer(host, ground, "bench", clients, seconds)
            used = cpu_s(hub.pid) - before
            memory = rss_mb(hub.pid)
    say("ingest: baseline")
    baseline = await quorum_publishes(BODY_BYTES, in_flight=clients, seconds=min(seconds, 8.0))
    return {
        "bench": "ingest",
        "store": "postgresql" if database_url else "sqlite synchronous=FULL",
        "clients": clients,
        "seconds": round(took, 2),
        "events": len(hammer.took_s),
        "failed": hammer.failed,
        "events_per_s": round((len(hammer.took_s) - hammer.failed) / took),
        "p50_ms": round(percentile(hammer.took_s, 0.5) * 1000, 2),
        "p99_ms": round(percentile(hammer.took_s, 0.99) * 1000, 2),
        "hub_cpu_share": round(used / took, 2),
        "rss_mb": memory,
        "baseline": baseline,
        "goal": {"events_per_s": 8000, "p99_ms": 50},
    }


async def _hammer(
    host: SplitResult, ground: Ground, run: str, clients: int, seconds: float
) -> tuple[Hammer, float]:
    hammer = Hammer(host.hostname or "", host.port or 0, request_maker(host.netloc, ground, run))
    return hammer, await hammer.run(clients, seconds)


def request_maker(netloc: str, ground: Ground, run: str, *, keys: int = 1) -> Callable[[int], bytes]:
    """Answer a function that makes the n-th request: one CloudEvent of `BODY_BYTES`."""
    first = b'{"specversion":"1.0","id":"' + run.encode() + b"-"
    middle = b'","source":"/bench","type":"meter.read","subject":"meter-'
    last = b'","data":{"note":"'
    filling = b"x" * (BODY_BYTES - len(first) - len(middle) - len(last) - 9 - 5 - 3) + b'"}}'
    head = (
        f"POST /api/intake/{ground.connections[0]} HTTP/1.1\r\nHost: {netloc}\r\n"
        f"Authorization: Bearer {ground.token}\r\nContent-Type: application/cloudevents+json\r\n"
        f"Content-Length: {BODY_BYTES}\r\n\r\n"
    ).encode()
    before, after = head + first, last + filling
    return lambda number: b"%s%09d%s%05d%s" % (before, number, middle, number % keys, after)
