"""`python -m simulators.traffilog` as a program of its own, and its world."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

import aiohttp
import uvloop

from atalaia.clock import HeldClock, SystemClock
from simulators.traffilog import demo_world, load_world
from tests.peers.ground import ROOT
from tests.simulators.traffilog_ground import VEHICLE, log_in, peer_of, properties_of, running


async def test_it_tells_its_addresses_answers_a_login_and_ends_on_a_signal():
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulators.traffilog",
        "--port",
        "0",
        "--speed",
        "100",
        "--at-once",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        told = json.loads(await process.stdout.readline())
        parameters = {"login_name": "demo", "password": "demo-only"}
        body = {"action": {"name": "user_login", "parameters": parameters}}
        async with aiohttp.ClientSession() as session, session.post(told["api"], json=body) as answer:
            token = (await answer.json())["response"]["properties"]["session_token"]
        async with aiohttp.ClientSession() as session:
            url = f"{told['ws']}/{told['ws_guid']}/{token}/json?defragment=1"
            socket = await session.ws_connect(url, origin=told["origin"])
            await socket.close()
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def test_it_runs_on_uvloop_too():
    async def talk() -> str:
        async with running(SystemClock()) as sim, peer_of(sim) as peer:
            return (await peer.ask("get_vehicle_info", vehicle_id=VEHICLE))["action_value"]

    assert uvloop.run(talk()) == "0"


async def test_two_simulators_with_the_same_seed_give_the_same_tokens():
    tokens: list[str] = []
    for _ in range(2):
        async with running() as sim:
            tokens.append((await log_in(sim))["session_token"])
    assert tokens[0] == tokens[1]


def test_the_demo_world_is_furnished():
    world = demo_world()
    assert len(world.clients) >= 4
    owners = Counter(vehicle.client_id for vehicle in world.vehicles)
    assert len(world.vehicles) >= 16 and min(owners.values()) >= 3
    stock = [one for one in world.vehicles if "CMDT" in one.plate or one.plate == one.serial.lstrip("0")]
    assert len(stock) == 4 and all(one.serial for one in stock)
    assert {one.serial for one in world.vehicles if one.serial} == {one.serial for one in world.units}
    assert {one.assigned_setting for one in world.vehicles} - {""} <= {one.id for one in world.schemes}
    assert len(world.technicians) >= 3


async def test_the_demo_lives(clock: HeldClock):
    async with running(clock) as sim, peer_of(sim) as peer:
        await peer.watch("2900133")
        before = (await peer.ask("get_vehicle_info", vehicle_id="2900133"))["data"][0]
        sim.run_demo()
        await clock.run_for(3600)
        after = (await peer.ask("get_vehicle_info", vehicle_id="2900133"))["data"][0]
    assert float(after["mileage"]) > float(before["mileage"])
    assert after["latitude"] != before["latitude"]
    assert after["server_time"] > before["server_time"]
    assert sum('"UNIT_PARAMETERS"' in text for text in peer.heard) > 100


def test_a_world_for_loads_has_as_many_vehicles_as_asked_for():
    world = load_world(1000)
    assert len({one.id for one in world.vehicles}) == len({one.plate for one in world.vehicles}) == 1000
    assert all(unit.online for unit in world.units)


async def test_a_load_pushes_at_its_rate_in_turn_and_tells_when_each_push_left(clock: HeldClock):
    async with running(clock, world=load_world(3)) as sim, peer_of(sim) as peer:
        for vehicle in ("2910000", "2910001"):
            await peer.watch(vehicle)
        async with aiohttp.ClientSession() as http:
            asked = {"rate": 50, "seconds": 2}
            async with http.post(f"{sim.control_url}/_load", json=asked) as answer:
                assert answer.status == 202
        await clock.run_for(3)
        load = sim.state()["load"]
        assert (load["state"], load["messages"] + load["values"], load["values"]) == ("over", 100, 10)
        texts = [properties_of(await peer.next()) for _ in range(100)]

    values = [one["data"] for one in texts if one["data_source"] == "UNIT_PARAMETERS"]
    assert len(values) == 10
    assert {rows[0]["inner_id"] for rows in values} == {"0000000930000000", "0000000930000001"}
    stamps = [int(row["paramvalue"], 16) for rows in values for row in rows if row["id"] == "00002714"]
    assert stamps == sorted(stamps)
    assert all(0 <= at - load["began_ms"] % 2**32 <= 2000 for at in stamps)
