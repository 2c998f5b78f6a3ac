"""The faults of the sockets and sessions, the control port, and every fault's description."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from atalaia.clock import HeldClock
from simulators.rules import Rule, Rules
from simulators.traffilog import FAULTS, WS_GUID, TraffilogSimulator
from tests.peers.ground import ROOT
from tests.simulators.traffilog_ground import VEHICLE, Json, Peer, log_in, peer_of, properties_of, running

GONE = (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


@pytest.fixture
async def sim(clock: HeldClock) -> AsyncIterator[TraffilogSimulator]:
    async with running(clock) as made:
        yield made


@pytest.fixture
async def peer(sim: TraffilogSimulator) -> AsyncIterator[Peer]:
    async with peer_of(sim) as made:
        await made.watch()
        made.heard.clear()
        yield made


def test_every_fault_is_described_in_both_languages():
    for fault in FAULTS.values():
        for text in (fault.title, fault.description, fault.ends):
            assert set(text) == {"pt-BR", "en"}
            assert all(text.values())
        assert (fault.kind == "lasting") == (fault.default_s > 0)


def test_every_fault_is_in_the_readme():
    told = (ROOT / "simulators/traffilog/README.md").read_text()
    assert [name for name in FAULTS if f"| `{name}` |" not in told] == []


async def test_the_control_port_turns_the_doors(sim: TraffilogSimulator):
    async with aiohttp.ClientSession(sim.control_url) as http:
        async with http.post("/_doors", json={"nul_tails": False, "burning": "reused"}) as answer:
            told = await answer.json()
        async with http.post("/_doors", json={"no_such_door": 1}) as wrong:
            assert wrong.status == 404
    assert (told["nul_tails"], told["burning"], sim.doors.nul_tails) == (False, "reused", False)
    assert sim.upstream.accounts.burning == "reused"


async def test_the_control_port_plays_a_whole_recording_on_the_newest_socket(
    sim: TraffilogSimulator, clock: HeldClock, tmp_path: Path
):
    path = tmp_path / "short.jsonl"
    answer = {"response": {"properties": {"action_name": "get_vehicle_info", "mtkn": "1", "data": []}}}
    path.write_text(json.dumps({"dir": "in", "t_ms": 500, "raw": None, "json": answer}) + "\n")
    asked = {"file": str(path), "vehicle_id": VEHICLE, "answers": True}
    async with aiohttp.ClientSession(sim.control_url) as http:
        async with http.post("/_play", json=asked) as nobody:
            assert nobody.status == 409
        async with http.post("/_play", json=asked | {"file": str(tmp_path / "none")}) as missing:
            assert missing.status == 404
        async with peer_of(sim), peer_of(sim) as newest:
            async with http.post("/_play", json=asked) as playing:
                assert playing.status == 202
            await clock.run_for(1)
            assert '"action_name":"get_vehicle_info"' in await newest.next()


def test_a_rule_is_for_whom_it_names_and_as_often_as_it_says():
    rules = Rules()
    rules.add(Rule("drop-answer", {"action": "execute_action_opr"}, times=2))
    assert rules.take("drop-answer", action="vehicle_subscribe") is None
    assert [rules.take("drop-answer", action="execute_action_opr") is not None for _ in range(3)] == [
        True,
        True,
        False,
    ]


async def test_an_unknown_fault_is_an_error(sim: TraffilogSimulator):
    with pytest.raises(LookupError):
        await sim.faults.start("no-such-fault")


async def test_drop_cuts_the_socket_without_a_close_frame(sim: TraffilogSimulator, peer: Peer):
    await sim.faults.start("drop")
    assert (await peer.socket.receive(timeout=20)).type in GONE
    assert peer.socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


async def test_close_ends_the_socket_with_its_code(sim: TraffilogSimulator, peer: Peer):
    closing = asyncio.create_task(sim.faults.start("close", code=1012))
    await peer.socket.receive(timeout=20)
    await closing
    assert peer.socket.close_code == 1012


async def test_flap_cuts_again_and_again_until_it_is_stopped(sim: TraffilogSimulator, clock: HeldClock):
    await sim.faults.start("flap", every_s=5)
    async with peer_of(sim) as first:
        await clock.run_for(6)
        assert (await first.socket.receive(timeout=20)).type in GONE
    await sim.faults.stop("flap")
    async with peer_of(sim) as second:
        await clock.run_for(20)
        assert (await second.ask("get_vehicle_info", vehicle_id=VEHICLE))["action_value"] == "0"


async def answers_ping(peer: Peer) -> bool:
    await peer.socket.ping(b"there?")
    try:
        return (await peer.socket.receive(timeout=0.3)).type is aiohttp.WSMsgType.PONG
    except TimeoutError:
        return False


@pytest.mark.parametrize(("fault", "answered"), [("half-open", False), ("mute", True)])
async def test_a_socket_is_open_and_silent(sim: TraffilogSimulator, fault: str, answered: bool):
    token = (await log_in(sim))["session_token"]
    url = f"{sim.ws_url}/{WS_GUID}/{token}/json?defragment=1"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, origin=sim.doors.origin, autoping=False) as socket,
    ):
        peer = Peer(socket, token)
        await peer.ask("get_vehicle_info", vehicle_id=VEHICLE)
        await sim.faults.start(fault)
        await peer.send("get_vehicle_info", vehicle_id=VEHICLE)
        assert await answers_ping(peer) == answered
        await sim.faults.start("drop")  # a deaf socket would keep the close frame waiting


async def test_strange_texts_come_on_request(sim: TraffilogSimulator, peer: Peer):
    for fault in ("garbage", "unknown-push", "raw-error"):
        await sim.faults.start(fault)
    garbage, unknown, raw = [await peer.next() for _ in range(3)]
    assert garbage.startswith("{") and properties_of(garbage) == {}
    assert properties_of(unknown)["data_source"] == "UNIT_TOMORROW"
    assert raw == '{"action_value":"500","error_description":"internal error"}'


async def test_tokens_are_burnt_or_forgotten_on_request(sim: TraffilogSimulator, peer: Peer):
    about = {"vehicle_id": VEHICLE, "object_type": "UNIT_MESSAGES"}
    await sim.faults.start("burnt-token", times=1)
    values = [(await peer.ask("vehicle_subscribe", **about))["action_value"] for _ in range(2)]
    assert values == ["406", "0"]
    await sim.faults.start("burn-tokens")
    assert (await peer.ask("vehicle_subscribe", **about))["action_value"] == "406"
    await sim.faults.start("forget-tokens")
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with peer_of(sim, peer.token):
            pass


async def test_handshakes_fail_on_request(sim: TraffilogSimulator):
    token = (await log_in(sim))["session_token"]
    await sim.faults.start("handshake-refused", times=1, status=503)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with peer_of(sim, token):
            pass
    assert refused.value.status == 503
    await sim.faults.start("handshake-hangs", times=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), peer_of(sim, token):
            pass
    async with peer_of(sim, token) as peer:
        assert (await peer.ask("get_vehicle_info", vehicle_id=VEHICLE))["action_value"] == "0"


async def test_a_login_is_slow_or_never_answered_on_request(sim: TraffilogSimulator, clock: HeldClock):
    await sim.faults.start("login-slow", times=1, delay_s=15)
    login = asyncio.create_task(log_in(sim))
    while sim.upstream.rules.active:
        await asyncio.sleep(0)
    await clock.run_for(14)
    assert not login.done()
    await clock.run_for(2)
    assert "session_token" in await login
    await sim.faults.start("login-hangs", times=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await log_in(sim)


async def test_the_upstream_is_gone_and_back_at_the_same_ports(sim: TraffilogSimulator, peer: Peer):
    before = sim.addresses()
    await sim.faults.start("gone")
    assert (await peer.socket.receive(timeout=20)).type in GONE
    with pytest.raises(OSError):
        await log_in(sim)
    await sim.faults.stop("gone")
    assert sim.addresses() == before
    assert "session_token" in await log_in(sim)


async def test_a_lasting_fault_ends_by_itself(sim: TraffilogSimulator, clock: HeldClock):
    await sim.faults.start("login-empty", seconds=30)
    assert await log_in(sim) == {}
    await clock.run_for(31)
    assert "session_token" in await log_in(sim)


async def test_modules_are_stuck_and_quick_commands_refused_on_request(sim: TraffilogSimulator, peer: Peer):
    await sim.faults.start("modules-stuck")
    rows = (await peer.ask("get_monitor_module_state", vehicle_id=VEHICLE))["data"]
    assert 6 <= len(rows) <= 14
    assert not {"CAN", "J1708"} & {row["module_descr"] for row in rows}
    await sim.faults.start("quick-command-refused", times=1)
    command = await peer.ask("send_quick_command", unit_key="SPT:0000000920001747")
    assert (command["action_value"], command["data"][0]["error_code"]) == ("1001", "1001")


# ---- the control port ----------------------------------------------------------------------------


async def control(sim: TraffilogSimulator, method: str, path: str, body: Json | None = None) -> Json:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, sim.control_url + path, json=body) as answer,
    ):
        return await answer.json()


async def test_faults_are_started_seen_and_ended_by_http(sim: TraffilogSimulator):
    told = await control(sim, "POST", "/_faults/login-empty", {"times": 1})
    assert [row["name"] for row in told["faults"] if row["active"]] == ["login-empty"]
    assert await log_in(sim) == {}
    assert not any(row["active"] for row in (await control(sim, "GET", "/_faults"))["faults"])
    await control(sim, "POST", "/_faults/pool-exhausted")
    told = await control(sim, "DELETE", "/_faults/pool-exhausted")
    assert not any(row["active"] for row in told["faults"])
    assert "no such fault" in (await control(sim, "POST", "/_faults/nonsense"))["error"]


async def test_the_ledger_and_the_state_are_read_by_http(sim: TraffilogSimulator, peer: Peer):
    process_id = await peer.build(comment="x #rid=3_c")
    ledger = await control(sim, "GET", "/_ledger")
    assert [(row["kind"], row["trace"]) for row in ledger["effects"]] == [("scheme_builder", "3_c")]
    assert (ledger["counts"], ledger["doubled"]) == ({"scheme_builder": 1}, [])
    state = await control(sim, "GET", "/_state")
    assert state["processes"][0]["process_id"] == process_id
    assert len(state["sockets"][0]["wants"][VEHICLE]) == 3


async def test_a_unit_is_changed_by_http(sim: TraffilogSimulator, peer: Peer):
    await control(sim, "POST", "/_units/920001747", {"online": False, "speed": 88})
    row = (await peer.ask("get_vehicle_data_from_redis", vehicle_id=VEHICLE))["data"][0]
    assert row["is_connected"] == "0"
    assert "no such unit" in (await control(sim, "POST", "/_units/1", {}))["error"]
