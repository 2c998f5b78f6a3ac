"""The hub with a telematics socket of 1,000 vehicles: how much it hears and understands, and what it needs.

The upstream is the project's own simulator, in a process of its own, as the hub is. Each push of values tells
when it left, so the time from the frame to the fact is that from the upstream's send to the row of the fact.
Baseline in the same run: a bare listener on the same socket, each text through `json.loads` and appended to a
file; no log, no facts, nothing durable.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from atalaia.bench.common import Child, child, cpu_s, percentile, rss_mb, say, scratch
from atalaia.bench.ground import prepare, up_words

FIRST_VEHICLE = 2_910_000  # as the simulator's world for loads numbers them
STAMP = "00002714"
MESSAGE = "0402F007"
REST_S = 16.0  # a whole round of subscriptions, which are repeated every 15 s
SETTLE_S = 30.0
USER, PASSWORD = "demo", "demo-only"


async def bench(*, vehicles: int, seconds: float, rate: float, burst: float) -> dict[str, Any]:
    """Measure; answer the figures. rate, burst: pushes a second of the steady and of the heavy load."""
    words = ["simulators.traffilog", "--port", "0", "--vehicles", str(vehicles), "--at-once"]
    with scratch() as folder:
        async with child(words) as upstream:
            settings = _settings(upstream, vehicles)
            await prepare(folder / "hub", [("traffilog", "bench", settings)])
            async with child(up_words(folder / "hub")) as hub:
                stage = _Stage(upstream, hub, folder / "hub", vehicles)
                figures = await stage.run(seconds, rate, burst)
            say("frames: baseline")
            figures["baseline"] = await _baseline(upstream, settings, vehicles, seconds, burst)
    return figures


class _Stage:
    """The hub that hears the upstream, and the account of what came of it."""

    def __init__(self, upstream: Child, hub: Child, data: Path, vehicles: int) -> None:
        self.upstream = upstream
        self.hub = hub
        self.data = data
        self.vehicles = vehicles

    async def run(self, seconds: float, rate: float, burst: float) -> dict[str, Any]:
        """Wait until all are subscribed, rest, then load."""
        empty_mb = rss_mb(self.hub.pid)
        began = time.perf_counter()
        async with asyncio.timeout(120):
            while await _subscribed(self.upstream) < self.vehicles:
                await asyncio.sleep(0.2)
        subscribed_s = round(time.perf_counter() - began, 2)
        say(f"frames: {self.vehicles} vehicles subscribed after {subscribed_s:g} s; at rest")
        before = cpu_s(self.hub.pid)
        await asyncio.sleep(REST_S)
        rest = {
            "rss_mb": rss_mb(self.hub.pid), "rss_mb_before_subscribing": empty_mb,
            "cpu_share": round((cpu_s(self.hub.pid) - before) / REST_S, 2), "subscribed_s": subscribed_s,
        }  # fmt: skip
        steady = await self._load(rate, seconds)
        heavy = await self._load(burst, seconds)
        return {"rest": rest, "steady": steady, "burst": heavy}

    async def _load(self, rate: float, seconds: float) -> dict[str, Any]:
        """Have all push for `seconds`; answer how long it took until all of it was understood."""
        say(f"frames: {rate:g} pushes a second for {seconds:g} s")
        first, before, began = self._last_seq(), cpu_s(self.hub.pid), time.time()
        load = await _loaded(self.upstream, rate, seconds)
        pushed = load["messages"] + load["values"]
        heard = facts = 0
        most_mb = rss_mb(self.hub.pid)
        deadline = time.time() + SETTLE_S
        while time.time() < deadline and (heard < pushed or facts < load["values"]):
            await asyncio.sleep(0.2)
            heard, facts = self._counts(first)
            most_mb = max(most_mb, rss_mb(self.hub.pid))
        used = cpu_s(self.hub.pid) - before
        late_s, last_heard_ms, last_fact_ms = self._times(first)
        return {
            "pushed": pushed,
            "pushes_per_s": rate,
            "lost": pushed - heard,
            "facts_lost": load["values"] - facts,
            "heard_per_s": round(heard / max(0.001, (last_heard_ms - load["began_ms"]) / 1000)),
            "understood_per_s": round(heard / max(0.001, (last_fact_ms - load["began_ms"]) / 1000)),
            "facts": facts,
            "p50_ms": round(percentile(late_s, 0.5) * 1000, 1),
            "p99_ms": round(percentile(late_s, 0.99) * 1000, 1),
            "hub_cpu_share": round(used / (time.time() - began), 2),
            "rss_mb": most_mb,
        }

    # What the hub wrote down, read from outside.

    def _last_seq(self) -> int:
        return int(self._ask("select coalesce(max(seq), 0) from events")[0][0])

    def _counts(self, first: int) -> tuple[int, int]:
        """Answer how much of the load was heard, and how many facts there are of it."""
        messages = "type = 'traffilog.UNIT_MESSAGES' and body like ?"
        values = "type = 'traffilog.UNIT_PARAMETERS' and body like ?"
        heard = f"select count(*) from events where seq > ? and (({messages}) or ({values}))"  # noqa: S608
        facts = (
            "select count(*) from events where seq > ? and type = 'vehicle.parameters_seen' and body like ?"
        )
        [[n]] = self._ask(heard, first, f"%{MESSAGE}%", f'%"{STAMP}"%00002719%')
        [[m]] = self._ask(facts, first, f'%"{STAMP}"%00002719%')
        return int(n), int(m)

    def _times(self, first: int) -> tuple[list[float], int, int]:
        """Answer how late each fact was, in seconds, and when the last was heard and understood, Unix ms."""
        late: list[float] = []
        query = "select body, recorded_ms from events where seq > ? and type = 'vehicle.parameters_seen'"
        for body, recorded_ms in self._ask(query, first):
            told = json.loads(body)["parameters"]
            if STAMP in told and "00002719" in told:
                late.append((recorded_ms - int(str(told[STAMP]["raw"]), 16)) % 2**32 / 1000)
        heard = (
            "select coalesce(max(recorded_ms), 0) from events where seq > ? and type like 'traffilog.UNIT%'"
        )
        facts = "select coalesce(max(recorded_ms), 0) from events where seq > ? and type like 'vehicle.%'"
        return late, int(self._ask(heard, first)[0][0]), int(self._ask(facts, first)[0][0])

    def _ask(self, query: str, *values: Any) -> list[Any]:
        database = sqlite3.connect(f"file:{self.data / 'atalaia.db'}?mode=ro", uri=True)
        try:
            return database.execute(query, values).fetchall()
        finally:
            database.close()


def _settings(upstream: Child, vehicles: int) -> Any:
    from atalaia.connectors.traffilog.settings import TraffilogSettings

    api = urlsplit(upstream.at("api"))
    return TraffilogSettings.model_validate(
        {
            "api_url": f"http://{api.netloc}/appengine_3", "app_guid": upstream.at("app_guid"), "user": USER,
            "password": PASSWORD, "socket_url": upstream.at("ws"), "origin": upstream.at("origin"),
            "watched": [str(FIRST_VEHICLE + n) for n in range(vehicles)],
        }
    )  # fmt: skip


async def _baseline(
    upstream: Child, settings: Any, vehicles: int, seconds: float, rate: float
) -> dict[str, Any]:
    """Listen to the heavy load with as little as one can do."""
    async with _listening(settings, vehicles) as socket:
        texts = 0
        with tempfile.TemporaryFile() as kept:

            async def read() -> None:
                nonlocal texts
                async for message in socket:
                    json.loads(message.data)
                    kept.write(message.data.encode() + b"\n")
                    texts += 1

            while await _subscribed(upstream) < vehicles:
                await asyncio.sleep(0.2)
            reader = asyncio.create_task(read())
            await asyncio.sleep(1.0)  # the answers to the subscriptions are not counted
            first, before, began = texts, time.process_time(), time.perf_counter()
            load = await _loaded(upstream, rate, seconds)
            wanted = first + load["messages"] + load["values"]
            async with asyncio.timeout(SETTLE_S):
                while texts < wanted:
                    await asyncio.sleep(0.05)
            took = time.perf_counter() - began
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
    return {
        "name": "bare listener: the same socket, json.loads, appended to a file; no log, no facts",
        "heard_per_s": round((texts - first) / took),
        "cpu_share": round((time.process_time() - before) / took, 2),
        "rss_mb": rss_mb(os.getpid()),
    }


@asynccontextmanager
async def _listening(settings: Any, vehicles: int) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
    """Log in and subscribe all vehicles, with the frames that the hub sends."""
    from atalaia.connectors.traffilog import actions
    from atalaia.connectors.traffilog.login import login_body, read_login
    from atalaia.connectors.traffilog.protocol import Protocol
    from atalaia.connectors.traffilog.wire import MESSAGES, PARAMETERS, socket_url

    async with aiohttp.ClientSession() as http:
        body = login_body(USER, PASSWORD)
        async with http.post(
            settings.login_url, data=body, headers={"Content-Type": "application/json"}
        ) as answer:
            token = read_login(answer.status, await answer.read())
        url = socket_url(settings.socket_url, "BENCH", token)
        async with http.ws_connect(url, origin=settings.origin, max_msg_size=0) as socket:
            protocol = Protocol(token, Random(1))
            for number in range(vehicles):
                for kind in (MESSAGES, PARAMETERS):
                    asked = protocol.fire(actions.subscribe(str(FIRST_VEHICLE + number), kind))
                    await socket.send_str(asked.text)
            yield socket


async def _subscribed(upstream: Child) -> int:
    """Answer how many vehicles somebody has subscribed wholly."""
    sockets = (await _state(upstream))["sockets"]
    return max((sum(len(kinds) > 1 for kinds in one["wants"].values()) for one in sockets), default=0)


async def _loaded(upstream: Child, rate: float, seconds: float) -> dict[str, Any]:
    """Have the vehicles push, and wait until they have."""
    async with aiohttp.ClientSession() as http:
        asked = {"rate": rate, "seconds": seconds}
        async with http.post(f"{upstream.at('control')}/_load", json=asked) as answer:
            answer.raise_for_status()
    while (load := (await _state(upstream))["load"])["state"] == "running":
        await asyncio.sleep(0.25)
    return load


async def _state(upstream: Child) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{upstream.at('control')}/_state") as answer,
    ):
        return json.loads(await answer.read())
