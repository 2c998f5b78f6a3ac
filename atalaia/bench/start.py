"""`bench start`: time from the start to the first answer on a log of millions, and memory at rest.

Goal: ready within 2 s with 5 million events; at most 120 MB at rest. Baseline in the same run: an
interpreter that imports the same libraries and does nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from atalaia.bench.common import child, cpu_s, percentile, rss_mb, say, scratch
from atalaia.bench.ground import Ground, prepare, up_words
from atalaia.connectors.intake import IntakeSettings

IDLE_S = 5.0
ASKED = 50
_LIBRARIES = "fastapi, uvicorn, sqlalchemy, aiohttp, aio_pika, jinja2, alembic"
_BASELINE = f"import {_LIBRARIES}; print(flush=True); input()"


async def bench(*, events: int) -> dict[str, Any]:
    """Measure; answer the result."""
    with scratch() as folder:
        ground = await prepare(folder, [("intake", "bench", IntakeSettings(note=""))])
        say(f"start: writing {events:,} events")
        began = time.perf_counter()
        await asyncio.to_thread(_fill, folder / "atalaia.db", ground, events)
        filled = time.perf_counter() - began
        size_mb = (folder / "atalaia.db").stat().st_size / 1_048_576
        say(f"start: {size_mb:,.0f} MiB written in {filled:.0f} s; starting the hub")
        async with child(up_words(folder)) as hub:
            said_ready = hub.ready_s
            took = await _ask(hub.at("url"), ASKED)
            before = cpu_s(hub.pid)
            say(f"start: ready after {said_ready:.2f} s; resting {IDLE_S:g} s")
            await asyncio.sleep(IDLE_S)
            idle_cpu = (cpu_s(hub.pid) - before) / IDLE_S
            memory = rss_mb(hub.pid)
    return {
        "bench": "start",
        "events": events,
        "database_mb": round(size_mb),
        "ready_s": round(said_ready, 2),
        "idle_rss_mb": memory,
        "rss_mb": memory,
        "idle_cpu_share": round(idle_cpu, 3),
        "events_per_s": round(events / filled) if filled else 0,
        "p50_ms": round(percentile(took, 0.5) * 1000, 2),
        "p99_ms": round(percentile(took, 0.99) * 1000, 2),
        "baseline": await _bare(),
        "goal": {"ready_s": 2, "idle_rss_mb": 120},
    }


async def _bare() -> dict[str, Any]:
    """Start an interpreter that imports the libraries and waits."""
    import sys

    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _BASELINE, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    result = {
        "name": "Python importing FastAPI, SQLAlchemy, aiohttp, aio-pika, Alembic and Jinja2, doing nothing",
        "ready_s": round(time.perf_counter() - began, 2),
        "idle_rss_mb": rss_mb(process.pid),
    }
    process.kill()
    await process.wait()
    return result


async def _ask(url: str, times: int) -> list[float]:
    """Ask for /health over one connection and answer how long each took."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        writer.write(f"GET /health HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        await reader.readexactly(length)
        took.append(time.perf_counter() - began)
    writer.close()
    return took


def _fill(path: Path, ground: Ground, count: int) -> None:
    """Write a log of `count` heard events as the hub would have, and cursors that have seen them."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("pragma synchronous=off")
    database.execute("pragma cache_size=-400000")
    database.execute("pragma journal_mode=off")
    # Indexes built at the end, from sorted keys, take a tenth of the time.
    query = (
        "select name, sql from sqlite_master where type = 'index' and tbl_name = 'events' and sql is not null"
    )
    indexes = database.execute(query).fetchall()
    for name, _ in indexes:
        database.execute(f"drop index {name}")
    database.execute("begin")
    first = int(database.execute("select coalesce(max(seq), 0) from events").fetchone()[0]) + 1
    connection, body = (
        ground.connections[0],
        '{"type":"meter.read","data":{"value":12.5,"note":"' + "x" * 120 + '"}}',
    )
    start_ms = int(time.time() * 1000) - count
    rows = (
        (
            first + n, f"{n:036d}", 0, "intake.meter.read", f"meter-{n % 1000}", connection, start_ms + n,
            start_ms + n, None, 0, False, body,
        )
        for n in range(count)
    )  # fmt: skip
    database.executemany("insert into events values (?,?,?,?,?,?,?,?,?,?,?,?)", rows)
    reactions = ("asterisk.calls", "calls", "endpoints", "alerts", "gaps", "deliveries")
    done = [(name, first + count - 1, 1, start_ms) for name in reactions]
    database.executemany("insert or replace into cursors values (?,?,?,?)", done)
    database.execute("commit")
    for _, sql in indexes:
        database.execute(sql)
    database.execute("pragma journal_mode=wal")
    database.close()
