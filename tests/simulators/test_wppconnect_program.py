"""`python -m simulators.wppconnect` as a program of its own, and its world."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from atalaia.clock import HeldClock
from simulators.wppconnect import demo_world, load_world
from simulators.wppconnect.models import Account, Person
from simulators.wppconnect.pictures import qr_png
from tests.peers.ground import ROOT
from tests.simulators.wppconnect_ground import ANA, S, consuming, lab, running


async def program(*options: str) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulators.wppconnect",
        *("--port", "0", "--speed", "100", "--at-once"),
        *options,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    return process, json.loads(await process.stdout.readline())


async def test_it_tells_its_addresses_keeps_what_was_placed_over_a_kill_and_ends_on_a_signal(tmp_path: Path):
    process, told = await program("--folder", str(tmp_path))
    try:
        assert told["sessions"] == ["Canal Um", "CanalDois"] and told["channels"] == ["canalum", "CanalDois"]
        async with aiohttp.ClientSession() as http:
            body = {"from": "5511955500107", "text": "antes da queda"}
            url = f"{told['control']}/_phones/Canal%20Um/receive"
            async with http.post(url, json=body) as answer:
                placed = await answer.json()
        process.kill()
        await process.wait()
        process, told = await program("--folder", str(tmp_path))
        async with aiohttp.ClientSession() as http:
            async with http.get(told["control"] + "/_ledger?session=Canal%20Um") as answer:
                assert (await answer.json())["messages"] == [placed]
            async with http.get(told["server"] + "/healthz") as answer:
                assert (await answer.json())["message"] == "OK"
            headers = {"X-Gateway-Secret": "demo-only"}
            async with http.get(told["gateway"] + "/api/channels", headers=headers) as answer:
                assert (await answer.json())["total"] == 2
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_two_simulators_with_the_same_seed_give_the_same_tokens():
    tokens: list[str] = []
    for _ in range(2):
        async with running() as sim:
            tokens.append(sim.host.token_of(S))
    assert tokens[0] == tokens[1]


async def test_a_token_of_another_session_or_another_key_is_refused():
    async with lab() as (sim, peer, _):
        wrong = [sim.host.token_of("beta"), sim.host.token_of(S)[:-1] + "x", "$2b$10$", "", "rubbish"]
        for token in wrong:
            headers = {"Authorization": f"Bearer {token}"}
            async with peer.http.get(f"{sim.server_url}/api/{S}/status-session", headers=headers) as answer:
                assert answer.status == 401
        full = f"{S}:{sim.host.token_of(S)}"
        async with peer.http.get(f"{sim.server_url}/api/{full}/status-session") as answer:
            assert answer.status == 200
            assert "session" not in await answer.json(), "only a request that says it is JSON gets the name"
        old = sim.host.token_of(S)
        sim.host.config.secret_key = "another"
        assert not sim.host.is_token(S, old)


async def test_the_dangerous_routes_do_harm_with_a_wrong_key():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        async with peer.http.get(f"{sim.server_url}/api/SECRETKEY/show-all-sessions") as answer:
            assert await answer.json() == {"response": [S]}
        await peer.post("close-session")
        consumer.heard.clear()
        async with peer.http.post(f"{sim.server_url}/api/WRONG/start-all") as answer:
            assert answer.status == 400
        await consumer.status_find("inChat")
        await peer.post("close-session")
        async with peer.http.post(f"{sim.server_url}/api/{S}/WRONG/clear-session-data") as answer:
            assert answer.status == 400
        assert S not in sim.host.tokens and S not in sim.host.profiles
        consumer.heard.clear()
        await peer.start()
        await consumer.event("qrcode")


async def test_a_start_without_a_webhook_drops_the_stored_one_and_an_empty_one_keeps_it():
    async with lab() as (sim, peer, consumer):
        await peer.log_in(consumer)
        await peer.post("close-session")
        await peer.post("start-session", {})
        assert sim.host.tokens[S]["config"]["webhook"] == peer.hook
        while await peer.status() != "CONNECTED":
            pass
        await peer.post("close-session")
        await peer.post("start-session", {"deviceName": "x"})
        assert "webhook" not in sim.host.tokens[S]["config"]
        while await peer.status() != "CONNECTED":
            pass
        sim.phone(S).receive(ANA, "to the gateway")
        assert sim.host.webhooks.sent[-1].url.startswith(sim.gateway_url)


def test_the_demo_world_is_furnished():
    world = demo_world()
    assert len(world.owners) == 2 and world.aliases == {"canalum": "Canal Um"}
    for owner in world.owners:
        kinds = Counter(
            (one.migrated, bool(one.name), one.business, one.paired, len(one.lid)) for one in owner.people
        )
        assert len(kinds) > 5 and len({one.number for one in owner.people}) == len(owner.people) == 20
        assert any(len(one.lid) == 14 for one in owner.people)
        assert all(set(group.members) <= {one.handle for one in owner.people} for group in owner.groups)


async def test_a_world_for_loads_has_as_many_sessions_as_asked_for(clock: HeldClock):
    world = load_world(200)
    assert len({one.account.number for one in world.owners}) == 200
    async with running(clock, world=world) as sim:
        for one in world.owners:
            sim.session(one.session).start({"webhook": "http://127.0.0.1:9/"})
        await clock.run_for(1)
        assert sum(one.page is not None for one in sim.host.sessions.values()) == 200


def test_a_persons_names_and_a_code_are_drawn_as_the_page_does():
    person = Person("5511955500303", "150000000000303", "Ana")
    assert person.wid == "5511955500303@c.us" and person.shown == "Ana"
    person.migrated = True
    assert person.wid == "150000000000303@lid" and person.handle == "5511955500303@c.us"
    assert Account("551155500201", "1", "x").wid == "551155500201@c.us"
    picture = qr_png("2@ref,key=,adv=", 148)
    assert picture.startswith(b"\x89PNG") and picture[16:24] == (148).to_bytes(4, "big") * 2


async def test_a_load_starts_many_sessions_and_writes_to_each_as_often_as_asked():
    async with consuming() as consumer:
        process, told = await program("--sessions", "3")
        try:
            async with aiohttp.ClientSession(told["control"]) as http:
                hooks = {name: f"{consumer.url}/hooks/{name}/x" for name in told["sessions"]}
                async with http.post("/_start", json={"webhooks": hooks}) as answer:
                    assert await answer.json() == {"started": 3}
                await consumer.until(lambda: consumer.told().count("status-find inChat") == 3)
                whole = {"sessions": told["sessions"][:2], "rate": 1000, "seconds": 0.02}
                async with http.post("/_load", json=whole) as answer:
                    assert answer.status == 202
                await consumer.event("onmessage", 20)
                async with http.get("/_load") as answer:
                    load = await answer.json()
            assert load["placed"] == {"load00000": 10, "load00001": 10}
            assert len(consumer.events("onmessage")) == 20
            assert {one.path.split("/")[2] for one in consumer.heard if one.event == "onmessage"} == {
                "load00000", "load00001",
            }  # fmt: skip
        finally:
            process.terminate()
            await process.wait()
