"""`python -m simulators.asterisk` as a program of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from atalaia.clock import SystemClock
from tests.peers.ground import ROOT
from tests.simulators.asterisk_ground import client_of, ends_without_close_frame, hear, hear_until, running


@asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulators.asterisk",
        "--port",
        "0",
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process, json.loads(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_it_tells_its_addresses_writes_its_files_and_ends_on_a_signal(tmp_path: Path):
    async with program("--speed", "20", "--etc", str(tmp_path)) as (process, told):
        headers = {"Authorization": aiohttp.encode_basic_auth("demo", "demo-only")}
        async with aiohttp.ClientSession(headers=headers) as session:
            socket = await session.ws_connect(f"{told['ari']}/events?app=x&subscribeAll=true")
            kinds = {json.loads((await socket.receive(timeout=20)).data)["type"] for _ in range(200)}
            assert kinds >= {"ChannelCreated", "Dial", "ChannelVarset"}
            await socket.close()
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    assert len(list(tmp_path.iterdir())) == 4


async def test_a_load_is_emitted_once_somebody_listens_and_its_truth_can_be_asked_for():
    async with program("--speed", "10", "--load", "20", "--calls", "40") as (process, told):
        headers = {"Authorization": aiohttp.encode_basic_auth("demo", "demo-only")}
        async with aiohttp.ClientSession(headers=headers) as session:
            socket = await session.ws_connect(f"{told['ari']}/events?app=x&subscribeAll=true")
            destroyed = 0
            while destroyed < 80:
                event = json.loads((await socket.receive(timeout=20)).data)
                destroyed += event["type"] == "ChannelDestroyed"
            async with session.get(f"{told['control']}/_truth") as answer:
                truth = await answer.json()
            await socket.close()
        assert len(truth["calls"]) == 40
        assert all(row["ended_ms"] > row["answered_ms"] > row["opened_ms"] for row in truth["calls"])
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0


def test_it_runs_on_uvloop_too():
    async def talk() -> list[str]:
        async with running(SystemClock()) as sim, client_of(sim) as client:
            socket = await client.listen()
            await client.canary()
            first = await hear(socket)
            sim.begin("busy", "1121001", "1121006", ring_s=0.1)
            last = (await hear_until(socket, "ChannelDestroyed"))[-1]
            await sim.faults.start("drop")
            assert await ends_without_close_frame(socket)
            return [first["type"], last["type"]]

    assert uvloop.run(talk()) == ["ChannelUserevent", "ChannelDestroyed"]
