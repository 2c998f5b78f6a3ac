"""`bench calls`: from an Asterisk's events to records on a message bus.

Goals: 25 calls a second with every record right and on the bus within 1 s (99th percentile) of its event;
100 calls a second without the slow-reader cut, 1,000 of them at once. The upstream is the project's own
simulator, which emits streams of 87 events a call as recorded and knows what should come of them.
Baseline in the same run: a bare forwarder (the same socket, every event published as it is, confirmed, no
log, no records), which is what the proxies of this field do.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from atalaia.bench import bus as buses
from atalaia.bench import lab
from atalaia.bench.common import Child, child, cpu_s, percentile, rss_mb, say, scratch
from atalaia.bench.ground import prepare, up_words
from atalaia.connectors.asterisk.settings import AsteriskSettings

SETTLE_S = 20.0
LONG_TALK_S = (10.0, 12.0)
_TOLD = ("destiny", "ringduration", "callduration")
USER, PASSWORD = "demo", "demo-only"


@dataclass
class Arrivals:
    """What came on the bus: per guid the states in order, and how late each record was."""

    states: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    late_s: list[float] = field(default_factory=list[float])

    def take(self, body: bytes) -> None:
        """Note one message of the bus."""
        data = orjson.loads(body)["data"]
        state = data.get("channelstatus")
        if state is None:
            return
        known = self.states.setdefault(data["guid"], [])
        if state in known:
            return  # a repeat: consumers drop these by message_id
        known.append(state)
        self.bodies[data["channel"]] = data
        name = {"open": "opened_ms", "oncall": "answered_ms"}.get(state, "ended_ms")
        self.late_s.append(time.time() - data["extra"][name] / 1000)

    def ended(self) -> int:
        """Answer how many calls are told to their end."""
        return sum(1 for states in self.states.values() if states[-1] in ("closed", "unanswered"))


async def bench(*, seconds: float, rate: float, burst: float, burst_seconds: float) -> dict[str, Any]:
    """Measure; answer the result.

    The sustained load lasts `seconds`, on a real Asterisk where there is one; then `burst` calls a second
    for `burst_seconds`, which live so long that ten seconds' worth of them are there at once.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch())
        bus = await stack.enter_async_context(buses.bus())
        etc = folder / "etc"
        asterisk = await stack.enter_async_context(_asterisk(etc, bus))
        settings = _settings(asterisk, etc)
        real = await _on_a_real_one(bus, rate, seconds)
        await prepare(folder / "hub", [("asterisk", "bench", settings)], bus.subscriptions())
        hub = await stack.enter_async_context(child(up_words(folder / "hub"), env=bus.environment()))
        stage = _Stage(asterisk, hub, bus)
        await stack.enter_async_context(stage.listening())
        calls = int(burst * burst_seconds)
        streams = not calls or "p99_ms" not in real
        sustained = await stage.load("sustained", rate, int(rate * seconds), (1.0, 3.0)) if streams else {}
        heavy = await stage.load("burst", burst, calls, LONG_TALK_S) if calls else {}
        wrong = await stage.records_wrong()
        state = await _get(f"{asterisk.at('control')}/_state")
        memory = rss_mb(hub.pid)
        say("calls: baseline")
        baseline = await _baseline(asterisk, bus, rate, min(seconds, 3.0))
    steady = real if "p99_ms" in real else sustained
    return {
        "bench": "calls",
        "upstream": "a real Asterisk, then streams" if "p99_ms" in real else "streams",
        "bus": bus.name,
        "calls": stage.expected + real.get("calls", 0),
        "calls_per_s": rate,
        "events_per_s": (heavy or sustained)["events_per_s"],
        "p50_ms": steady["p50_ms"],
        "p99_ms": steady["p99_ms"],
        "real": real,
        "sustained": sustained,
        "burst": heavy,
        "most_at_once": max(one.get("most_at_once", 0) for one in (sustained, heavy)),
        "cut": real.get("cut", False) or stage.was_cut(state),
        "records_wrong": wrong + real.get("records_wrong", 0),
        "rss_mb": memory,
        "baseline": baseline,
        "goal": {"p99_ms": 1000, "cut": False, "records_wrong": 0},
    }


async def _on_a_real_one(bus: buses.Bus, rate: float, seconds: float) -> dict[str, Any]:
    """Have real SIP phones call through a real Asterisk at the sustained rate, where there is one."""
    folder = lab.find()
    if folder is None:
        return {"not_run": "no installed Asterisk of the test set-up here, or not root"}
    calls = int(rate * seconds)
    async with AsyncExitStack() as stack:
        data = stack.enter_context(scratch())
        asterisk = await stack.enter_async_context(lab.running(folder))
        bus.write_servers(data)
        settings = {
            "url": asterisk.address, "server": "voip1", "user": asterisk.told["ASTERISK_ARI_USER"],
            "password": asterisk.told["ASTERISK_ARI_PASSWORD"],
            "etc_folder": asterisk.told["ASTERISK_ETC_DIR"],
            "ami_port": int(asterisk.told["ASTERISK_AMI"].rpartition(":")[2]),
            "mqservers_file": str(data / "__MQSERVERS__.DEF"),
        }  # fmt: skip
        model = AsteriskSettings.model_validate(settings)
        await prepare(data / "hub", [("asterisk", "bench", model)], bus.subscriptions())
        hub = await stack.enter_async_context(child(up_words(data / "hub"), env=bus.environment()))
        arrivals = Arrivals()
        listener = asyncio.create_task(bus.listen(arrivals.take))
        try:
            await _until_live(data)
            say(f"calls: {calls} real calls at {rate:g} a second")
            before, began = cpu_s(hub.pid), time.perf_counter()
            expected = await asterisk.load(rate, calls)
            deadline = time.perf_counter() + SETTLE_S
            while arrivals.ended() < calls and time.perf_counter() < deadline:
                await asyncio.sleep(0.05)
            took = time.perf_counter() - began
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
        return {
            "calls": calls,
            "calls_per_s": rate,
            "records": len(arrivals.late_s),
            "p50_ms": round(percentile(arrivals.late_s, 0.5) * 1000, 1),
            "p99_ms": round(percentile(arrivals.late_s, 0.99) * 1000, 1),
            "records_wrong": lab.wrong(expected, list(arrivals.bodies.values())),
            "cut": _lost_hearing(data),
            "hub_cpu_share": round((cpu_s(hub.pid) - before) / took, 2),
            "rss_mb": rss_mb(hub.pid),
        }


@dataclass
class _Stage:
    """The hub under load, and the account of what came out of it."""

    asterisk: Child
    hub: Child
    bus: buses.Bus
    arrivals: Arrivals = field(default_factory=Arrivals)
    expected: int = 0
    apps: set[str] = field(default_factory=set[str])

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Take everything that the bus gets, and wait until the hub hears the Asterisk."""
        task = asyncio.create_task(self.bus.listen(self.arrivals.take))
        try:
            async with asyncio.timeout(30):
                while not (state := await _get(f"{self.asterisk.at('control')}/_state"))["connections"]:
                    await asyncio.sleep(0.1)
            self.apps = {one["app"] for one in state["connections"]}
            self.expected = 1  # the simulator begins with one call of its own accord
            async with asyncio.timeout(30):
                while self.arrivals.ended() < self.expected:
                    await asyncio.sleep(0.1)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def load(self, name: str, rate: float, calls: int, talk_s: tuple[float, float]) -> dict[str, Any]:
        """Have the Asterisk play `calls` calls and wait until their records have come."""
        say(f"calls: {name}: {calls} calls at {rate:g} a second")
        first, before, began = len(self.arrivals.late_s), cpu_s(self.hub.pid), time.perf_counter()
        self.expected += calls
        control = self.asterisk.at("control")
        asked = {"rate": rate, "calls": calls, "talk_s": list(talk_s)}
        await _post(f"{control}/_load", asked)
        most = 0
        while (state := (await _get(f"{control}/_state"))["load"])["state"] == "running":
            most = max(most, state["live"])
            await asyncio.sleep(0.1)
        took = time.perf_counter() - began
        deadline = time.perf_counter() + SETTLE_S
        while self.arrivals.ended() < self.expected and time.perf_counter() < deadline:
            await asyncio.sleep(0.05)
        settled = time.perf_counter() - began
        late = self.arrivals.late_s[first:]
        return {
            "calls": calls,
            "calls_per_s": rate,
            "events_per_s": round(state["events"] / took),
            "most_at_once": most,
            "records": len(late),
            "p50_ms": round(percentile(late, 0.5) * 1000, 1),
            "p99_ms": round(percentile(late, 0.99) * 1000, 1),
            "hub_cpu_share": round((cpu_s(self.hub.pid) - before) / settled, 2),
            "rss_mb": rss_mb(self.hub.pid),
        }

    async def records_wrong(self) -> int:
        """Compare with what the Asterisk knows; answer how many calls have another record, or none."""
        truth = (await _get(f"{self.asterisk.at('control')}/_truth"))["calls"]
        by_caller = {(d["origin"], d["extra"]["opened_ms"]): d for d in self.arrivals.bodies.values()}
        wrong = 0
        for call in truth:
            data = by_caller.get((call["origin"], call["opened_ms"]))
            states = self.arrivals.states.get(data["guid"], []) if data else []
            wrong += data is None or states != call["messages"] or any(data.get(n) != call[n] for n in _TOLD)
        return wrong

    def was_cut(self, state: dict[str, Any]) -> bool:
        """Answer whether the Asterisk gave the session up, or another one than at first listens now."""
        cut = any(one["cut"] for one in state["connections"])
        return cut or {one["app"] for one in state["connections"]} != self.apps


@asynccontextmanager
async def _asterisk(etc: Path, bus: buses.Bus) -> AsyncGenerator[Child]:
    words = ["simulators.asterisk", "--port", "0", "--load", "1", "--calls", "1", "--linger", "900"]
    async with child([*words, "--etc", str(etc)]) as asterisk:
        bus.write_servers(etc)
        yield asterisk


def _settings(asterisk: Child, etc: Path) -> AsteriskSettings:
    address = urlsplit(asterisk.at("ari"))
    return AsteriskSettings.model_validate(
        {
            "url": f"http://{address.netloc}",
            "user": USER,
            "password": PASSWORD,
            "server": "demo1",
            "ami_port": asterisk.said["ami"],
            "etc_folder": str(etc),
        }
    )


async def _baseline(asterisk: Child, bus: buses.Bus, rate: float, seconds: float) -> dict[str, Any]:
    """Forward each event of the same load as it is."""
    late: list[float] = []
    head = {"Authorization": aiohttp.BasicAuth(USER, PASSWORD).encode()}
    url = asterisk.at("ari").replace("http", "ws", 1) + "/events?app=baseline&subscribeAll=true"
    began_cpu, began = time.process_time(), time.perf_counter()
    async with (
        bus.forwarder() as publish,
        aiohttp.ClientSession(headers=head) as session,
        session.ws_connect(url, max_msg_size=0) as socket,
    ):

        async def read() -> None:
            async for frame in socket:
                event = orjson.loads(frame.data)
                await publish(frame.data.encode())
                if "timestamp" in event:
                    late.append(time.time() - _seconds(event["timestamp"]))

        reader = asyncio.create_task(read())
        await _post(
            f"{asterisk.at('control')}/_load", {"rate": rate, "seconds": seconds, "talk_s": [1.0, 3.0]}
        )
        while (await _get(f"{asterisk.at('control')}/_state"))["load"]["state"] == "running":
            await asyncio.sleep(0.2)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    took = time.perf_counter() - began
    return {
        "name": f"bare forwarder: the same socket, each event to {bus.name} as it is; no log, no records",
        "calls_per_s": rate,
        "events_per_s": round(len(late) / took),
        "p50_ms": round(percentile(late, 0.5) * 1000, 1),
        "p99_ms": round(percentile(late, 0.99) * 1000, 1),
        "cpu_share": round((time.process_time() - began_cpu) / took, 2),
        "ami2rabbitmq": "not run: it reads AMI events and needs Redis; the streams here are ARI",
    }


def _seconds(timestamp: str) -> float:
    """Read ARI's `2026-11-20T20:48:56.130+0000`."""
    from datetime import datetime

    return datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


async def _get(url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return json.loads(await answer.read())


async def _post(url: str, body: dict[str, Any]) -> None:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        answer.raise_for_status()


async def _until_live(data: Path) -> None:
    """Wait until the hub hears."""
    async with asyncio.timeout(30):
        while not _count(data, "select count(*) from connection_states where state = 'live'"):
            await asyncio.sleep(0.1)
    await asyncio.sleep(1.0)  # the first reading of channels and endpoints is not part of the load


def _lost_hearing(data: Path) -> bool:
    """Answer whether the session was lost in between: the log tells of each loss."""
    return _count(data, "select count(*) from events where type = 'connection.lost'") > 0


def _count(data: Path, query: str) -> int:
    database = sqlite3.connect(f"file:{data / 'hub' / 'atalaia.db'}?mode=ro", uri=True)
    try:
        return int(database.execute(query).fetchone()[0])
    finally:
        database.close()
