"""The simulator's ports, as the contract's sections 1, 6 and 7 say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from atalaia.clock import HeldClock
from simulators.asterisk import AsteriskSimulator
from simulators.asterisk.models import Phone
from tests.simulators.asterisk_ground import (
    PASSWORD,
    USER,
    Client,
    client_of,
    ends_without_close_frame,
    hear,
    hear_until,
    recorded_events,
    recording,
    running,
)


@pytest.fixture
async def sim(clock: HeldClock) -> AsyncIterator[AsteriskSimulator]:
    async with running(clock) as made:
        yield made


@pytest.fixture
async def client(sim: AsteriskSimulator) -> AsyncIterator[Client]:
    async with client_of(sim) as made:
        yield made


async def test_a_wrong_password_is_401_on_rest_and_on_the_upgrade(sim: AsteriskSimulator):
    async with client_of(sim, password="no") as stranger:
        assert await stranger.ask("GET", "/asterisk/info") == (401, {"message": "Authentication required"})
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stranger.listen()
    assert refused.value.status == 401


async def test_the_api_key_in_the_query_is_as_good_as_the_header(sim: AsteriskSimulator):
    async with aiohttp.ClientSession() as session:
        query = {"api_key": f"{USER}:{PASSWORD}"}
        async with session.get(f"{sim.url}/ari/asterisk/info", params=query) as answer:
            assert answer.status == 200


async def test_an_upgrade_without_app_is_400(client: Client):
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.listen(app="")
    assert refused.value.status == 400


async def test_a_read_only_user_may_listen_and_read_but_not_write(sim: AsteriskSimulator):
    async with client_of(sim, user="observer") as observer:
        socket = await observer.listen()
        assert (await observer.ask("GET", "/applications/atalaia"))[0] == 200
        denied = await observer.ask("POST", "/events/user/canary?application=atalaia")
        assert denied == (403, {"message": "Write access denied"})
        await socket.close()


async def test_everything_lies_below_the_prefix(clock: HeldClock):
    async with running(clock, prefix="asterisk") as sim, client_of(sim) as client:
        assert urlsplit(sim.url).path == "/asterisk"
        assert (await client.ask("GET", "/asterisk/info"))[0] == 200
        base = sim.url.removesuffix("/asterisk")
        async with client.session.get(f"{base}/ari/asterisk/info") as answer:
            assert answer.status == 404


async def test_an_application_lives_as_long_as_its_socket(client: Client):
    assert (await client.ask("GET", "/applications/atalaia"))[0] == 404
    assert await client.canary() == 404
    socket = await client.listen()
    status, body = await client.ask("GET", "/applications/atalaia")
    assert (status, body["channel_ids"]) == (200, ["__AST_CHANNEL_ALL_TOPIC"])
    await socket.close()
    assert (await client.ask("GET", "/applications/atalaia"))[0] == 404


async def test_a_canary_comes_back_as_a_user_event(client: Client):
    socket = await client.listen()
    assert await client.canary(n="42") == 204
    event = await hear(socket)
    assert event["type"] == "ChannelUserevent"
    assert event["userevent"] == {"n": "42", "eventname": "canary"}
    assert event["application"] == "atalaia"
    await socket.close()


async def test_a_second_connection_with_the_name_leaves_the_first_open_and_silent(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    first = await client.listen()
    second = await client.listen()
    assert (await hear(first))["type"] == "ApplicationReplaced"
    sim.begin("busy", "1121001", "1121006")
    await clock.run_for(10)
    assert (await hear(second))["type"] == "ChannelCreated"
    await first.ping(b"still there?")
    assert (await first.receive(timeout=20)).type is aiohttp.WSMsgType.PONG
    for socket in (first, second):
        await socket.close()


async def test_without_subscribe_all_no_event_of_any_call_arrives(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    socket = await client.listen(everything=False)
    sim.begin("busy", "1121001", "1121006")
    await clock.run_for(10)
    assert await client.canary() == 204
    assert (await hear(socket))["eventname"] == "canary"
    await socket.close()


async def test_an_event_filter_works_at_once_and_goes_with_the_application(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    socket = await client.listen()
    body = {"allowed": [{"type": "ChannelDestroyed"}]}
    status, answer = await client.ask("PUT", "/applications/atalaia/eventFilter", json=body)
    assert (status, answer["events_allowed"]) == (200, body["allowed"])
    sim.begin("answered", "1121001", "1121002")
    await clock.run_for(60)
    assert {(await hear(socket))["type"], (await hear(socket))["type"]} == {"ChannelDestroyed"}
    await socket.close()


async def test_the_snapshot_is_the_recorded_one_of_a_call_that_is_up(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    sim.begin("answered", "1121001", "1121002", ring_s=1, talk_s=60)
    await clock.run_for(2)
    channels = (await client.ask("GET", "/channels"))[1]
    bridges = (await client.ask("GET", "/bridges"))[1]

    assert [leg["dialplan"]["app_name"] for leg in channels] == ["Dial", "AppDial"]
    assert [leg["state"] for leg in channels] == ["Up", "Up"]
    assert bridges[0]["channels"] == [leg["id"] for leg in channels]
    assert bridges[0]["creationtime"] == "2026-01-01T00:00:01.000+0000"
    a, b = (leg["id"] for leg in channels)
    for leg, name, answer in (
        (a, "DIALEDPEERNUMBER", (200, {"value": "1121002"})),
        (a, "DIALSTATUS", (200, {"value": "ANSWER"})),
        (b, "CHANNEL(linkedid)", (200, {"value": a})),
        (b, "DIALSTATUS", (404, {"message": "Provided variable was not found"})),
    ):
        assert await client.ask("GET", f"/channels/{leg}/variable", params={"variable": name}) == answer


async def test_a_client_that_applies_every_event_has_the_same_world_as_the_snapshot(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    socket = await client.listen()
    members = ("1122001", "1122002", "1122003")
    sim.begin("ring-group", "1121001", "1128001", members=members, winner=1, ring_s=3, talk_s=9)
    sim.begin("attended-transfer", "1121002", "1121003", third="1121004", ring_s=2, talk_s=4)
    sim.begin("blind-transfer", "1121005", "1121006", third="1121008", ring_s=1, talk_s=3)
    sim.begin("push", "1121007", "1123001", wake_s=3, ring_s=2, talk_s=8)
    world: dict[str, dict[str, Any]] = {"legs": {}, "bridges": {}}
    for second in range(30):
        await clock.run_for(1)
        await client.canary(n=str(second))
        while (event := await hear(socket)).get("userevent", {}).get("n") != str(second):
            _apply(world, event)
        channels = (await client.ask("GET", "/channels"))[1]
        bridges = (await client.ask("GET", "/bridges"))[1]
        assert world["legs"] == {leg["id"]: leg["state"] for leg in channels}
        assert world["bridges"] == {one["id"]: one["channels"] for one in bridges}
    assert not world["legs"]
    assert not sim.player.failures
    await socket.close()


def _apply(world: dict[str, dict[str, Any]], event: dict[str, Any]) -> None:
    leg, bridge, kind = event.get("channel"), event.get("bridge"), event["type"]
    if kind == "ChannelDestroyed":
        del world["legs"][event["channel"]["id"]]
    elif leg is not None:
        world["legs"][leg["id"]] = leg["state"]
    if kind == "BridgeDestroyed":
        del world["bridges"][event["bridge"]["id"]]
    elif bridge is not None:
        world["bridges"][bridge["id"]] = bridge["channels"]


async def test_an_endpoint_is_asked_for_with_its_technology(client: Client):
    everyone = (await client.ask("GET", "/endpoints"))[1]
    assert {"technology": "PJSIP", "resource": "1123002", "state": "offline", "channel_ids": []} in everyone
    assert (await client.ask("GET", "/endpoints/PJSIP/1121001"))[1]["state"] == "online"
    assert (await client.ask("GET", "/endpoints/1121001"))[1] == []
    assert (await client.ask("GET", "/endpoints/PJSIP/9999999"))[0] == 404


async def test_a_database_endpoint_is_unheard_of_until_pjsip_is_reloaded(
    sim: AsteriskSimulator, client: Client
):
    socket = await client.listen()
    sim.pbx.add_phone(Phone("1121500", "112", online=False), known=False)
    sim.pbx.register("1121500")
    assert (await client.ask("GET", "/endpoints/PJSIP/1121500"))[0] == 404
    assert (await client.ask("PUT", "/asterisk/modules/res_pjsip.so"))[0] == 204
    assert (await client.ask("GET", "/endpoints/PJSIP/1121500"))[0] == 200
    sim.pbx.unregister("1121500")
    assert (await hear(socket))["endpoint"]["resource"] == "1121500"
    await socket.close()


async def test_a_click_to_call_answers_with_the_first_leg_under_the_id_that_was_asked_for(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    socket = await client.listen()
    query = {"endpoint": "PJSIP/1121001", "extension": "1121002", "context": "from-endpoints"}
    query |= {"priority": "1", "channelId": "our-own-id", "callerId": "Portal <1121002>"}
    status, leg = await client.ask("POST", "/channels", params=query)
    assert (status, leg["id"], leg["caller"]["name"]) == (200, "our-own-id", "Portal")
    await clock.run_for(60)
    told = await hear_until(socket, "BridgeDestroyed")
    assert [e["dialstatus"] for e in told if e["type"] == "Dial" and "caller" not in e] == [
        "",
        "RINGING",
        "ANSWER",
    ]
    assert sim.scores.as_json()[0]["caller_channel"] == "our-own-id"
    await socket.close()


async def test_a_click_to_call_from_a_phone_that_is_not_there_fails(client: Client):
    asked = {"endpoint": "PJSIP/1123002", "extension": "1121002"}
    assert await client.ask("POST", "/channels", params=asked) == (500, {"error": "Allocation failed"})
    assert (await client.ask("POST", "/channels", params={"endpoint": "PJSIP/1121001"}))[0] == 400
    assert (await client.ask("POST", "/channels"))[0] == 400


async def test_a_leg_can_be_hung_up_by_its_id(sim: AsteriskSimulator, client: Client, clock: HeldClock):
    sim.begin("answered", "1121001", "1121002", ring_s=1, talk_s=600)
    await clock.run_for(5)
    a = (await client.ask("GET", "/channels"))[1][0]["id"]
    assert (await client.ask("DELETE", f"/channels/{a}"))[0] == 204
    assert (await client.ask("GET", "/channels"))[1] == []
    assert (await client.ask("DELETE", f"/channels/{a}"))[0] == 404


async def test_the_ami_port_tells_its_banner(sim: AsteriskSimulator):
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.ami_port)
    assert (await reader.readline()).startswith(b"Asterisk Call Manager/")
    writer.close()
    await writer.wait_closed()


async def test_a_recorded_loss_is_played_with_the_snapshot_that_was_met_afterwards(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    socket = await client.listen()
    sim.spawn(sim.play(recording("25"), controls=True))
    await clock.run_for(3.5)
    assert await ends_without_close_frame(socket)
    assert (await client.ask("GET", "/channels"))[0] == 502
    await clock.run_for(5)
    channels = (await client.ask("GET", "/channels"))[1]
    bridges = (await client.ask("GET", "/bridges"))[1]
    assert sorted(leg["caller"]["number"] for leg in channels) == ["1121003", "1121004"]
    assert sorted(bridges[0]["channels"]) == sorted(leg["id"] for leg in channels)
    path, query = f"/channels/{channels[0]['id']}/variable", {"variable": "BRIDGEPEER"}
    assert (await client.ask("GET", path, params=query))[1]["value"] == channels[1]["name"]
    await clock.run_for(20)
    assert (await client.ask("GET", "/channels"))[1] == []


async def test_a_recorded_call_is_played_with_fresh_ids_names_and_times(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    recorded = recorded_events("01")
    socket = await client.listen()
    sim.spawn(sim.play(recording("01")))
    await clock.run_for(3)
    assert [leg["state"] for leg in (await client.ask("GET", "/channels"))[1]] == ["Up", "Up"]
    assert len((await client.ask("GET", "/bridges"))[1]) == 1
    await clock.run_for(30)
    told = [await hear(socket) for _ in recorded]

    assert [event["type"] for event in told] == [event["type"] for event in recorded]
    old = {event["channel"]["id"] for event in recorded if "channel" in event}
    new = {event["channel"]["id"] for event in told if "channel" in event}
    assert len(new) == len(old)
    assert not new & old
    assert all(event["timestamp"].startswith("2026-01-01T00:00:0") for event in told)
    assert (await client.ask("GET", "/channels"))[1] == []
    await socket.close()
