"""The demo's world and its life, and the load for benches."""

from __future__ import annotations

import configparser
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from atalaia.clock import HeldClock
from simulators.asterisk import Plan, demo_world, load_world, write_etc
from simulators.asterisk.traffic import FEWEST, MIX, MOST
from simulators.asterisk.world import Rabbit
from tests.simulators.asterisk_ground import Client, Stage, client_of, hear, running

TALK_S = (0.4, 1.2)


def test_the_four_files_name_every_client_endpoint_and_group(tmp_path: Path):
    world = demo_world()
    write_etc(tmp_path, world, rabbit=Rabbit("127.0.0.1", 5672, "atalaia", "demo-only"))

    clients = configparser.ConfigParser()
    clients.read(tmp_path / "__CLIENTES__.DEF", encoding="utf-8")
    assert clients.sections() == [one.code for one in world.clients]
    endpoints = (tmp_path / "endpoints_pjsip.def").read_text()
    told = re.findall(
        r"^#include pjsip/(\d+)\.pjsip ; Endpoint:\1 CLI:(\d{3}) TYPE:([a-z-]+) ", endpoints, re.M
    )
    assert told == [(one.number, one.client, one.kind) for one in world.endpoints]
    groups = (tmp_path / "ringgroups.def").read_text()
    assert re.findall(r"^; RingGroup:(\d+)", groups, re.M) == [one.number for one in world.groups]
    members = {number for row in re.findall(r"MEMBERS:(\S+)", groups) for number in row.split(",")}
    assert members <= {one.number for one in world.endpoints}
    assert "[mq1]" in (tmp_path / "__MQSERVERS__.DEF").read_text()
    write_etc(tmp_path, world)
    assert "[" not in (tmp_path / "__MQSERVERS__.DEF").read_text()


async def test_the_demo_is_busy_at_once_and_stays_so_with_every_kind_of_call(clock: HeldClock):
    async with running(clock) as sim:
        sim.add_phones(demo_world().phones())
        sim.run_demo()
        await clock.run_for(0.1, settle=5)
        assert sim.player.live > FEWEST
        lives: list[int] = []
        for _ in range(240):
            await clock.run_for(15, settle=3)
            lives.append(sim.player.live)
        assert not sim.player.failures
        assert max(lives) <= MOST + 1
        assert sum(live >= FEWEST for live in lives) > 0.9 * len(lives)
        kinds = {row.scenario for row in sim.scores.rows}
        assert kinds >= set(MIX) - {"scanner", "unknown-number", "unreachable"}


async def test_the_same_seed_gives_the_same_life():
    async def life() -> list[str]:
        clock = HeldClock()
        async with running(clock) as sim:
            sim.add_phones(demo_world().phones())
            sim.run_demo()
            await clock.run_for(120, settle=3)
            return [json.dumps(row) for row in sim.scores.as_json()]

    assert await life() == await life()


async def test_a_load_tells_what_a_scripted_call_tells_with_ids_of_its_own(clock: HeldClock):
    async with running(clock) as sim, client_of(sim) as client:
        socket = await client.listen()
        load = sim.begin_load(rate=20, calls=30, talk_s=TALK_S)
        told: list[dict[str, Any]] = []
        for _ in range(10):
            await clock.run_for(1, settle=5)
            await _read(client, socket, told)
        assert load.state == "done"
        assert load.events == len(told)
        assert len(told) == 30 * len(await _one_call())

        kinds = Counter(event["type"] for event in told)
        one = Counter(event["type"] for event in await _one_call())
        assert kinds == Counter({kind: count * 30 for kind, count in one.items()})
        assert {event["application"] for event in told} == {"atalaia"}
        created = [event["channel"]["id"] for event in told if event["type"] == "ChannelCreated"]
        assert len(set(created)) == 60
        _agree(told, sim.scores.as_json())
        await socket.close()


async def _one_call() -> list[dict[str, Any]]:
    return await Stage().play("answered", Plan("1121001", "1121002", 1, 1))


async def _read(client: Client, socket: Any, told: list[dict[str, Any]]) -> None:
    """Read everything that was sent until now."""
    await client.canary(n=f"upto-{len(told)}")
    while (event := await hear(socket)).get("eventname") != "canary":
        told.append(event)


def _agree(told: list[dict[str, Any]], truth: list[dict[str, Any]]) -> None:
    """Hold the truth that is kept against the events that were heard."""
    answers = {e["caller"]["id"]: e for e in told if e["type"] == "Dial" and e["dialstatus"] == "ANSWER"}
    assert len(truth) == len(answers)
    for row in truth:
        answer = answers[row["caller_channel"]]
        assert answer["peer"]["caller"]["number"] == row["destiny"]
        assert answer["peer"]["name"] == row["answer_channel"]
        assert answer["caller"]["caller"]["number"] == row["origin"]
        assert row["messages"] == ["open", "oncall", "closed"]
        assert row["talk_ms"] >= TALK_S[0] * 1000


async def test_a_snapshot_under_load_shows_the_calls_that_live(clock: HeldClock):
    async with running(clock) as sim, client_of(sim) as client:
        load = sim.begin_load(rate=50, calls=100, talk_s=(5, 6))
        await clock.run_for(4, settle=3)
        channels = (await client.ask("GET", "/channels"))[1]
        bridges = (await client.ask("GET", "/bridges"))[1]
        assert (len(channels), len(bridges)) == (200, 100)
        assert {leg["dialplan"]["app_name"] for leg in channels} == {"Dial", "AppDial"}
        await sim.faults.start("restart")
        assert load.state == "abandoned"
        for _ in range(2):
            await clock.run_for(3)
        assert (await client.ask("GET", "/channels"))[1] == []


def test_the_world_of_the_load_knows_every_number_it_uses():
    numbers = {one.number for one in load_world().endpoints}
    assert {"1147001", "1147400", "1147501", "1147900"} <= numbers
