"""Surfaces A and B at the level of transport, rule by rule of the contract's section 3.9."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from itertools import pairwise
from urllib.parse import quote

import aiohttp
import pytest

from atalaia.clock import ScaledClock
from simulators.traffilog import Doors, Pace, TraffilogSimulator
from tests.simulators.traffilog_ground import (
    CLIENT,
    VEHICLE,
    Peer,
    compact,
    frame,
    log_in,
    peer_of,
    properties_of,
    running,
)

FORBIDDEN = '{"action_value":"403","error_description":"action forbidden"}'
UNKNOWN = '{"action_value":"404","error_description":""}'
INFO = {"vehicle_id": VEHICLE}


@pytest.fixture
async def sim() -> AsyncIterator[TraffilogSimulator]:
    async with running() as made:
        yield made


@pytest.fixture
async def peer(sim: TraffilogSimulator) -> AsyncIterator[Peer]:
    async with peer_of(sim) as made:
        yield made


# ---- login -----------------------------------------------------------------------------------


async def test_a_login_gives_a_token_of_32_hex_and_10_decimal_digits(sim: TraffilogSimulator):
    first, second = (await log_in(sim))["session_token"], (await log_in(sim))["session_token"]
    for token in (first, second):
        assert re.fullmatch("[0-9A-F]{32}[0-9]{10}", token)
    assert int(second[32:]) > int(first[32:])


@pytest.mark.parametrize(("form", "outer", "inner"), [("properties", True, 0), ("data", False, 1)])
async def test_the_token_of_a_login_is_in_one_place_or_the_other(form: str, outer: bool, inner: int):
    async with running(doors=Doors(login_form=form)) as sim:  # pyright: ignore[reportArgumentType]
        answer = await log_in(sim)
    assert (("session_token" in answer), len(answer["data"])) == (outer, inner)


async def test_logins_fail_in_every_way_that_is_known(sim: TraffilogSimulator):
    assert "session_token" not in await log_in(sim, "wrong")
    for fault in ("login-empty", "login-refused", "login-pool-exhausted", "login-status"):
        await sim.faults.start(fault, times=1)
    # Each fault takes one login; the order is that of the surface, not of the faults.
    answers = [await log_in(sim) for _ in range(5)]
    assert [answer.get("action_value") for answer in answers] == [None, None, "6666", "1", "0"]


# ---- handshake: rule 1 -------------------------------------------------------------------------


async def test_a_foreign_origin_and_an_unknown_token_are_refused(sim: TraffilogSimulator):
    token = (await log_in(sim))["session_token"]
    for case in ({"origin": "https://elsewhere.example"}, {"token": "0" * 42}):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with peer_of(sim, **{"token": token, **case}):
                pass
        assert refused.value.status == 403


async def test_the_status_for_an_unknown_token_is_a_setting():
    async with running(doors=Doors(bad_token_status=401)) as sim:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with peer_of(sim, "0" * 42):
                pass
    assert refused.value.status == 401


# ---- frames: rules 2, 3 and 4 ------------------------------------------------------------------


async def test_plain_and_percent_encoded_frames_are_understood(peer: Peer):
    text = frame("get_vehicle_info", INFO, peer.token, "77")
    for form in (text, quote(text, safe="-_.!~*'()")):
        await peer.socket.send_str(form)
        assert properties_of(await peer.next())["action_value"] == "0"


GOOD = {"vehicle_id": VEHICLE, "_action_name": "get_vehicle_info", "mtkn": "77"}
BAD_FRAMES = {
    "no JSON": lambda token: "hello",
    "nested action": lambda token: compact({"action": {"action": {}}}),
    "flat": lambda token: compact({"tag": "", "parameters": {}, "mtkn": "7", "session_token": token}),
    "token at the root": lambda token: compact({"action": {}, "session_token": token}),
    "keys in another order": lambda token: compact(
        {
            "action": {
                "name": "get_vehicle_info",
                "flow_id": "204417",
                "parameters": GOOD,
                "session_token": token,
                "mtkn": "77",
            }
        }
    ),
    "a number for an id": lambda token: frame("get_vehicle_info", {"vehicle_id": 2900108}, token, "77"),
    "with spaces": lambda token: json.dumps(json.loads(frame("get_vehicle_info", INFO, token, "77"))),
    "mtkn not last": lambda token: frame("get_vehicle_info", INFO, token, "77").replace(
        '"mtkn":"77"},', '"mtkn":"77","more":""},'
    ),
    "another mtkn inside": lambda token: frame("get_vehicle_info", INFO, token, "77").replace(
        '"mtkn":"77"},', '"mtkn":"78"},'
    ),
    "a short flow": lambda token: frame("get_vehicle_info", INFO, token, "77").replace("204417", "20441"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
async def test_a_frame_of_another_shape_is_a_raw_400(peer: Peer, sim: TraffilogSimulator, case: str):
    await peer.socket.send_str(BAD_FRAMES[case](peer.token))
    assert json.loads(await peer.next())["action_value"] == "400"
    assert len(sim.doors.bad_frames) == 1


async def test_the_boolean_of_keep_priority_is_the_one_value_that_is_no_string(peer: Peer):
    about = {"client_id": CLIENT, "client_name": "x", "action_source": "0", "action_id": "5"}
    answer = await peer.ask("associate_vehicles_actions_opr", **about, keep_priority=True, call_num="0")
    assert answer["action_value"] == "0"


@pytest.mark.parametrize("token", ["", "7D720F32F9C8C067ABD48376B51359C94690685313"])
async def test_an_empty_or_foreign_token_in_a_frame_is_a_raw_403_for_every_action(peer: Peer, token: str):
    for name in ("get_vehicle_info", "execute_action_opr", "no_such_action"):
        await peer.socket.send_str(frame(name, INFO, token, "77"))
        assert await peer.next() == FORBIDDEN


async def test_the_token_is_compared_without_case_and_echoed_in_lower_case(peer: Peer):
    await peer.socket.send_str(frame("get_vehicle_info", INFO, peer.token.lower(), "77"))
    assert properties_of(await peer.next())["session_token"] == peer.token.lower()


@pytest.mark.parametrize("name", ["refresh", "assign_setting_to_vehicle", "scheme_builder"])
async def test_an_unknown_action_is_a_raw_404(peer: Peer, name: str):
    await peer.socket.send_str(frame(name, INFO, peer.token, "77"))
    assert await peer.next() == UNKNOWN


# ---- answers: rules 5, 6 and 7 -----------------------------------------------------------------


async def test_digits_get_a_whole_answer_and_anything_else_fragments(peer: Peer):
    assert (await peer.ask("get_monitor_module_state", **INFO))["action_records"] == "37"
    await peer.send("get_monitor_module_state", mtkn="1767830842314_06b0", **INFO)
    texts = [await peer.next() for _ in range(39)]
    assert texts[0].endswith('"data":[')
    assert not texts[1].startswith(",") and all(text.startswith(',{"mtkn"') for text in texts[2:38])
    assert texts[38].startswith('],"action_value":"0"')
    assert json.loads("".join(texts).rstrip("\x00"))["response"]["properties"]["action_records"] == "37"


async def test_fragments_of_two_requests_interleave():
    async with running(ScaledClock(20), pace=Pace(commands=40)) as sim, peer_of(sim) as peer:
        await peer.send("get_unit_parameters_opr", mtkn="1_a", filter="", vehicle_id=VEHICLE)
        await peer.send("get_monitor_module_state", mtkn="1_b", **INFO)
        order = ["1_a" if '"1_a"' in await peer.next() else "1_b" for _ in range(202 + 39)]
    changes = sum(before != after for before, after in pairwise(order))
    assert changes > 2


async def test_a_tail_ends_in_a_nul_where_its_durations_differ_in_length(peer: Peer):
    seen: set[tuple[bool, bool]] = set()
    while len(seen) < 2:
        await peer.send("get_vehicle_data_from_redis", mtkn="1_a", **INFO)
        tail = [await peer.next() for _ in range(3)][-1]
        told = json.loads("{" + tail.rstrip("\x00")[2:-2])
        longer = len(told["action_app_duration"]) > len(told["action_db_duration"])
        seen.add((longer, tail.endswith("\x00")))
    assert seen == {(True, True), (False, False)}


async def test_fire_and_forget_is_answered_with_a_zero(peer: Peer):
    await peer.send("vehicle_unsubscribe", mtkn="0", **INFO, object_type="")
    assert properties_of(await peer.next())["mtkn"] == "0"


async def test_every_request_repeats_its_mtkn_twice_and_first_in_each_row(peer: Peer):
    mtkn = (await peer.ask("get_vehicle_info", **INFO))["mtkn"]
    assert peer.heard[-1].count(f'"mtkn":"{mtkn}"') == 3
    assert f'"data":[{{"mtkn":"{mtkn}",' in peer.heard[-1]


async def test_values_of_answers_are_encoded_more_strictly_than_javascript_does(peer: Peer):
    row = (await peer.ask("get_vehicle_info", **INFO))["data"][0]
    assert row["license_nmbr"] == "604%20-%20TST1B08"
    assert row["unit_key"] == "SPT%3A0000000920001747"
    parameters = (await peer.ask("get_unit_parameters_opr", filter="", vehicle_id=VEHICLE))["data"]
    assert parameters[1]["param_type_descr"] == "J1939%20Brake%20Pedal%20Position%20%28521%29"


# ---- faults: rule 8 ----------------------------------------------------------------------------


async def test_a_token_is_burnt_by_a_socket_that_closed_without_unsubscribing(sim: TraffilogSimulator):
    async with peer_of(sim) as first:
        await first.watch()
    async with peer_of(sim, first.token) as second:
        about = {"vehicle_id": VEHICLE, "object_type": "UNIT_MESSAGES"}
        assert (await second.ask("vehicle_subscribe", **about))["action_value"] == "406"
        assert (await second.ask("get_vehicle_info", **INFO))["action_value"] == "0"


@pytest.mark.parametrize(("burning", "value"), [("unclean", "0"), ("reused", "406"), ("never", "0")])
async def test_what_burns_a_token_is_a_setting(burning: str, value: str):
    async with running(burning=burning) as sim:
        async with peer_of(sim) as first:
            await first.watch()
            await first.ask("vehicle_unsubscribe", vehicle_id=VEHICLE, object_type="")
        async with peer_of(sim, first.token) as second:
            about = {"vehicle_id": VEHICLE, "object_type": "UNIT_MESSAGES"}
            assert (await second.ask("vehicle_subscribe", **about))["action_value"] == value


async def test_a_token_survives_a_socket_that_unsubscribed_type_by_type():
    async with running() as sim:
        async with peer_of(sim) as first:
            await first.watch()
            for kind in ("UNIT_MESSAGES", "UNIT_CONFIG_STATUS", "UNIT_PARAMETERS"):
                await first.ask("vehicle_unsubscribe", vehicle_id=VEHICLE, object_type=kind)
        async with peer_of(sim, first.token) as second:
            about = {"vehicle_id": VEHICLE, "object_type": "UNIT_MESSAGES"}
            assert (await second.ask("vehicle_subscribe", **about))["action_value"] == "0"


async def test_a_lost_answer_had_its_effect_and_a_lost_request_none(sim: TraffilogSimulator, peer: Peer):
    await sim.faults.start("drop-answer", times=1, action="vcls_check_opr")
    await sim.faults.start("lost-request", times=1, action="vehicle_subscribe")
    await peer.send("vcls_check_opr", client_id=CLIENT, vehicle_id=VEHICLE, is_checked="1")
    await peer.send("vehicle_subscribe", vehicle_id=VEHICLE, object_type="UNIT_MESSAGES")
    await peer.ask("get_vehicle_info", **INFO)
    assert len(peer.heard) == 1
    [session] = sim.upstream.accounts.sessions.values()
    [connection] = sim.upstream.connections.open
    assert (list(session.ticked), connection.wants) == ([VEHICLE], {})


async def test_a_late_answer_comes_after_later_ones(sim: TraffilogSimulator, peer: Peer):
    await sim.faults.start("delay-answer", times=1, delay_s=20)
    late = await peer.send("get_vehicle_info", **INFO)
    soon = await peer.send("get_vehicle_info", **INFO)
    assert [properties_of(await peer.next())["mtkn"] for _ in range(2)] == [soon, late]


@pytest.mark.parametrize(("fault", "ticked"), [("cut-before", 0), ("cut-after", 1)])
async def test_a_socket_is_cut_around_an_effect(sim: TraffilogSimulator, peer: Peer, fault: str, ticked: int):
    await sim.faults.start(fault, times=1, action="vcls_check_opr")
    await peer.send("vcls_check_opr", client_id=CLIENT, vehicle_id=VEHICLE, is_checked="1")
    assert (await peer.socket.receive(timeout=20)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    [session] = sim.upstream.accounts.sessions.values()
    assert len(session.ticked) == ticked


async def test_the_pool_runs_dry_in_a_wrapped_error_with_a_row_that_is_no_data(
    sim: TraffilogSimulator, peer: Peer
):
    await sim.faults.start("pool-exhausted", times=2)
    answers = [await peer.ask("vcls_check_opr", client_id=CLIENT, vehicle_id=VEHICLE) for _ in range(3)]
    assert [answer["action_value"] for answer in answers] == ["6666", "6666", "0"]
    assert answers[0]["data"][0]["error_code"] == "6666"


async def test_answers_come_mangled_on_request(sim: TraffilogSimulator, peer: Peer):
    await sim.faults.start("encoded-answer", times=1)
    await peer.send("get_vehicle_info", **INFO)
    assert (await peer.next()).startswith("%7B%22response%22")
    await sim.faults.start("answer-value", times=1, value="500")
    assert (await peer.ask("get_vehicle_info", **INFO))["action_value"] == "500"
    await sim.faults.start("forbidden", times=1)
    await peer.send("get_vehicle_info", **INFO)
    assert await peer.next() == FORBIDDEN
    await sim.faults.start("fragments")
    await sim.faults.start("orphan-fragments", times=1)
    await peer.send("get_vehicle_info", **INFO)
    assert (await peer.next()).startswith('{"mtkn"')
    assert (await peer.next()).startswith("],")


async def test_a_login_over_the_socket_is_never_answered(peer: Peer):
    await peer.send("user_login", tag="", login_name="x", password="x", language="0")
    await peer.ask("get_vehicle_info", **INFO)
    assert len(peer.heard) == 1
