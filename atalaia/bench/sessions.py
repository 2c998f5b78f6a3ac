"""`bench sessions`: WhatsApp sessions of which some hear a message a second and all are looked at.

The upstream is the project's own simulator, in a process of its own, as the hub is. Messages are placed on
its phones; lost is what was placed and is not in the log, or not understood. Faults befall idle sessions
while the load runs; the time goes from the fault to the connection's change of state.
Baseline in the same run: a bare prober that asks the same two questions of each session as often, and a bare
door that answers the same webhooks; no log, no truth, nothing durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from atalaia.bench.common import Child, child, cpu_s, percentile, rss_mb, say, scratch
from atalaia.bench.ground import prepare, up_words
from atalaia.connectors.wppconnect.settings import WppconnectSettings

KEY = "bench-only-" + "0" * 16
FAULTS = ("page_crash", "browser_killed")  # found by the probe
TRUTHS = {"page_crash": "hung", "browser_killed": "browser_lost", "deaf": "deaf"}
DEAF_COMPARED_S, DEAF_BEHIND_S = 10.0, 10.0
PER_BEAT = 1_000
STARTED_WITHIN_S = 300.0
SETTLE_S = 30.0
BARE_S = 10.0  # at most
_CHUNK = 1_000


@dataclass(frozen=True)
class Plan:
    """What to measure. deaf: of the busy ones. rate: messages a second of each busy session."""

    busy: int
    idle: int
    seconds: float
    rate: float
    faults: int
    deaf: int
    probe_every_s: float

    @property
    def names(self) -> list[str]:
        """The sessions as the simulator's world for loads names them, the busy ones first."""
        return [f"load{place:05d}" for place in range(self.busy + self.idle)]


@dataclass
class Struck:
    """One fault: when it was begun, and what became of it. Unix milliseconds."""

    fault: str
    session: str
    at_ms: int
    found_ms: int | None = None
    kind: str = ""


async def bench(plan: Plan) -> dict[str, Any]:
    """Measure; answer the result."""
    with scratch() as folder:
        words = ["simulators.wppconnect", "--port", "0", "--secret-key", KEY, "--at-once", "--recommended"]
        async with child([*words, "--sessions", str(len(plan.names))]) as upstream:
            port = _free_port()
            ids = await _prepare(folder, plan, upstream)
            await _start(upstream, {name: _hook(port, ids[name], name) for name in plan.names})
            hub_words = [*up_words(folder)[:-3], "--port", str(port), "--json"]
            async with child(hub_words, env={"ATALAIA_SESSIONS_PER_BEAT": str(PER_BEAT)}) as hub:
                figures = await _Stage(plan, upstream, hub, folder, ids).run()
            say("sessions: baseline")
            figures["baseline"] = await _bare(plan, upstream, port)
    return {"bench": "sessions", "busy": plan.busy, "idle": plan.idle, **figures}


async def _prepare(folder: Path, plan: Plan, upstream: Child) -> dict[str, str]:
    say(f"sessions: configuring {len(plan.names):,} connections")
    given = [("wppconnect", name, _settings(plan, name, upstream)) for name in plan.names]
    ground = await prepare(folder, given)
    return dict(zip(plan.names, ground.connections, strict=True))


def _settings(plan: Plan, name: str, upstream: Child) -> WppconnectSettings:
    own = {"store_every_s": DEAF_COMPARED_S, "behind_s": DEAF_BEHIND_S} if name in _deaf(plan) else {}
    given = {
        "session_name": name,
        "server_url": upstream.at("server"),
        "secret_key": KEY,
        "hook_token": _token(name),
    }
    return WppconnectSettings.model_validate(given | {"probe_every_s": plan.probe_every_s} | own)


def _deaf(plan: Plan) -> list[str]:
    return plan.names[: min(plan.deaf, plan.busy)]


def _token(name: str) -> str:
    """Answer a webhook token of its own, as each session has."""
    return f"bench-only-{name}-0000"


def _hook(port: int, connection: str, name: str) -> str:
    return f"http://127.0.0.1:{port}/hooks/{connection}/{_token(name)}"


async def _start(upstream: Child, hooks: dict[str, str]) -> None:
    """Start every session of the simulator, each with its webhook, and wait until they are connected."""
    names = list(hooks)
    async with aiohttp.ClientSession(upstream.at("control")) as http:
        for place in range(0, len(names), _CHUNK):
            part = {name: hooks[name] for name in names[place : place + _CHUNK]}
            async with http.post("/_start", json={"webhooks": part}) as answer:
                answer.raise_for_status()
        async with asyncio.timeout(60):
            while await _connected(http) < len(names):
                await asyncio.sleep(0.5)


async def _connected(http: aiohttp.ClientSession) -> int:
    async with http.get("/_state") as answer:
        state: dict[str, Any] = await answer.json()
    return sum(one["status"] == "CONNECTED" for one in state["sessions"])


async def _bare(plan: Plan, upstream: Child, port: int) -> dict[str, Any]:
    """Let a bare prober and a bare door do what a hub must do at least; answer what that costs."""
    told = (upstream.at("server"), KEY, str(port), str(plan.probe_every_s), str(len(plan.names)))
    async with child(["atalaia.bench.bare_sessions", *told]) as bare:
        before, began = cpu_s(bare.pid), time.perf_counter()
        async with aiohttp.ClientSession(upstream.at("control")) as http:
            lasts_s = min(BARE_S, plan.seconds)
            await _load(http, plan, lasts_s)
            await asyncio.sleep(lasts_s)
        took = time.perf_counter() - began
        return {
            "name": "aiohttp: the same two questions of each session, the same webhooks; nothing kept",
            "cpu_share": round((cpu_s(bare.pid) - before) / took, 2),
            "rss_mb": rss_mb(bare.pid),
        }


async def _load(http: aiohttp.ClientSession, plan: Plan, seconds: float) -> None:
    names = plan.names[: plan.busy]
    if not names:
        return
    whole = {"sessions": names, "rate": plan.rate * len(names), "seconds": seconds}
    async with http.post("/_load", json=whole) as answer:
        answer.raise_for_status()


class _Stage:
    """The hub that keeps the sessions, and the account of what came of it."""

    def __init__(self, plan: Plan, upstream: Child, hub: Child, folder: Path, ids: dict[str, str]) -> None:
        self.plan, self.upstream, self.hub = plan, upstream, hub
        self._database = folder / "atalaia.db"
        self._ids = ids
        self._struck: list[Struck] = []

    async def run(self) -> dict[str, Any]:
        """Wait until all are live, then load and strike, then take stock."""
        empty_mb, began = rss_mb(self.hub.pid), time.perf_counter()
        live = await self._all_live()
        started_s = round(time.perf_counter() - began, 1)
        say(f"sessions: {live:,} live after {started_s:g} s; {self.plan.seconds:g} s of load and faults")
        before = cpu_s(self.hub.pid), cpu_s(self.upstream.pid), time.perf_counter()
        async with aiohttp.ClientSession(self.upstream.at("control")) as http:
            await _load(http, self.plan, self.plan.seconds)
            await self._strike(http)
            await asyncio.sleep(max(0.0, self.plan.seconds - (time.perf_counter() - before[2])))
            took = time.perf_counter() - before[2]
            used = cpu_s(self.hub.pid) - before[0], cpu_s(self.upstream.pid) - before[1]
            memory = rss_mb(self.hub.pid)
            account = await self._account(http)
        await asyncio.to_thread(self._find)
        count = self.plan.busy + self.plan.idle
        return {
            "live": live,
            "started_s": started_s,
            "seconds": round(took, 1),
            "hub_cpu_share": round(used[0] / took, 2),
            "upstream_cpu_share": round(used[1] / took, 2),
            "rss_mb": memory,
            "rss_mb_without_sessions": empty_mb,
            "rss_kb_per_session": round((memory - empty_mb) * 1024 / count),
            **account,
            "found": self._latencies(),
            **await asyncio.to_thread(self._disturbed),
        }

    async def _all_live(self) -> int:
        deadline, wanted = time.perf_counter() + STARTED_WITHIN_S, self.plan.busy + self.plan.idle
        live = 0
        while live < wanted and time.perf_counter() < deadline:
            await asyncio.sleep(0.5)
            query = "select count(*) from connection_states where state = 'live'"
            live = int((await asyncio.to_thread(self._ask, query))[0][0])
        return live

    async def _strike(self, http: aiohttp.ClientSession) -> None:
        """Begin the faults, spread over a probe's interval: sessions are looked at in turn."""
        idle = self.plan.names[self.plan.busy :] or self.plan.names[len(_deaf(self.plan)) :]
        step = max(1, len(idle) // max(1, self.plan.faults))
        chosen = [(FAULTS[n % len(FAULTS)], one) for n, one in enumerate(idle[::step][: self.plan.faults])]
        for fault, session in [*[("deaf", one) for one in _deaf(self.plan)], *chosen]:
            async with http.post(f"/_faults/{fault}", json={"session": session}) as answer:
                answer.raise_for_status()
            self._struck.append(Struck(fault, session, int(time.time() * 1000)))
            await asyncio.sleep(min(0.2, self.plan.probe_every_s / 4 / max(1, len(chosen))))

    async def _account(self, http: aiohttp.ClientSession) -> dict[str, Any]:
        """Hold what was placed on the phones against the log, after it had time to come."""
        if not self.plan.busy:
            return {}
        deaf = set(_deaf(self.plan))
        placed: dict[str, int] = {}
        heard: dict[str, int] = {}
        facts: dict[str, int] = {}
        deadline = time.perf_counter() + SETTLE_S
        while time.perf_counter() < deadline:
            async with http.get("/_load") as answer:
                load: dict[str, Any] = await answer.json()
            placed = {name: n for name, n in load["placed"].items() if name not in deaf}
            heard, facts = await asyncio.to_thread(self._counts)
            if not load["running"] and all(facts.get(self._ids[name], 0) >= n for name, n in placed.items()):
                break
            await asyncio.sleep(0.5)
        late = time.perf_counter() - (deadline - SETTLE_S)
        return {
            "placed": sum(placed.values()),
            "lost": sum(max(0, n - heard.get(self._ids[name], 0)) for name, n in placed.items()),
            "not_understood": sum(max(0, n - facts.get(self._ids[name], 0)) for name, n in placed.items()),
            "understood_after_s": round(late, 1),
        }

    def _counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Answer how many messages of each connection were heard, and of how many there is a fact."""
        query = "select connection, count(*) from events where type = ? group by 1"
        heard, facts = (self._ask(query, one) for one in ("wppconnect.onmessage", "message.received"))
        return dict(heard), dict(facts)

    def _find(self) -> None:
        """Note when each struck connection was first said to be not well."""
        for one in self._struck:
            query = (
                "select occurred_ms, json_extract(body, '$.kind') from events where key = ? "
                "and type in ('connection.suspect', 'connection.needs_person') and occurred_ms >= ? "
                "order by seq limit 1"
            )
            rows = self._ask(query, self._ids[one.session], one.at_ms)
            if rows:
                one.found_ms, one.kind = rows[0]

    def _latencies(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for fault in TRUTHS:
            mine = [one for one in self._struck if one.fault == fault]
            took = [(one.found_ms - one.at_ms) / 1000 for one in mine if one.found_ms is not None]
            if mine:
                told[fault] = {
                    "struck": len(mine),
                    "found": len(took),
                    "named_right": sum(one.kind == TRUTHS[fault] for one in mine),
                    "p50_s": round(percentile(took, 0.5), 1),
                    "most_s": round(max(took, default=0.0), 1),
                }
        return told

    def _disturbed(self) -> dict[str, Any]:
        """Answer how many sessions without a fault were said to be not well, or acted upon, and as what."""
        struck = {self._ids[one.session] for one in self._struck}
        since = min((one.at_ms for one in self._struck), default=0)
        query = (
            "select distinct key, json_extract(body, '$.kind') from events where occurred_ms >= ? and "
            "type in ('connection.suspect', 'connection.lost', 'connection.needs_person', 'recovery.tried')"
        )
        rows = [(key, kind) for key, kind in self._ask(query, since) if key not in struck]
        told = dict(Counter(kind or "tried" for _, kind in rows))
        return {
            "disturbed_but_well": len({key for key, _ in rows}),
            **({"disturbed_as": told} if told else {}),
        }

    def _ask(self, query: str, *given: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            return database.execute(query, given).fetchall()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
