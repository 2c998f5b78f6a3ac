"""Every fault does what its description says, and ends as it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from atalaia.clock import HeldClock
from simulators.asterisk import FAULTS, AsteriskSimulator
from tests.simulators.asterisk_ground import (
    Client,
    client_of,
    ends_without_close_frame,
    hear,
    hear_until,
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


async def answers_ping(socket: aiohttp.ClientWebSocketResponse) -> bool:
    await socket.ping(b"there?")
    try:
        message = await socket.receive(timeout=0.3)
    except TimeoutError:
        return False
    return message.type is aiohttp.WSMsgType.PONG


def test_every_fault_is_described_in_both_languages():
    for fault in FAULTS.values():
        for text in (fault.title, fault.description, fault.ends):
            assert set(text) == {"pt-BR", "en"}
            assert all(text.values())
        assert (fault.kind == "lasting") == (fault.default_s > 0)


async def test_drop_cuts_the_connection_without_a_close_frame(sim: AsteriskSimulator, client: Client):
    socket = await client.listen()
    await sim.faults.start("drop")
    assert await ends_without_close_frame(socket)
    again = await client.listen()
    assert await client.canary() == 204
    await again.close()


async def test_flap_cuts_every_connection_again_until_it_is_ended(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    await sim.faults.start("flap", every_s=2)
    for _ in range(3):
        socket = await client.listen()
        await clock.run_for(2)
        assert await ends_without_close_frame(socket)
    await sim.faults.stop("flap")
    socket = await client.listen()
    await clock.run_for(10)
    assert await answers_ping(socket)
    await socket.close()


async def test_half_open_answers_no_ping_while_the_application_is_still_there(
    sim: AsteriskSimulator, client: Client
):
    socket = await client.listen()
    await sim.faults.start("half-open")
    assert (await client.ask("GET", "/applications/atalaia"))[0] == 200
    assert await client.canary() == 204
    assert not await answers_ping(socket)
    assert not socket.closed


async def test_silent_answers_pings_but_tells_nothing(sim: AsteriskSimulator, client: Client):
    socket = await client.listen()
    await sim.faults.start("silent")
    assert await client.canary() == 204
    assert (await client.ask("GET", "/applications/atalaia"))[0] == 200
    assert await answers_ping(socket)
    await socket.close()


async def test_mute_forgets_the_application_under_an_open_socket(sim: AsteriskSimulator, client: Client):
    socket = await client.listen()
    await sim.faults.start("mute")
    assert (await client.ask("GET", "/applications/atalaia"))[0] == 404
    assert await client.canary() == 404
    assert await answers_ping(socket)
    await socket.close()


async def test_mute_next_gives_birth_to_so_many_mute_connections(sim: AsteriskSimulator, client: Client):
    await sim.faults.start("mute-next", count=2)
    for app, status in (("a", 404), ("b", 404), ("c", 200)):
        socket = await client.listen(app)
        assert (await client.ask("GET", f"/applications/{app}"))[0] == status
        await socket.close()


async def test_race_mutes_whoever_comes_back_under_the_same_name(sim: AsteriskSimulator, client: Client):
    first = await client.listen("same")
    await sim.faults.start("race")
    await sim.faults.start("drop")
    assert await ends_without_close_frame(first)
    again = await client.listen("same")
    assert (await client.ask("GET", "/applications/same"))[0] == 404
    fresh = await client.listen("fresh")
    assert (await client.ask("GET", "/applications/fresh"))[0] == 200
    for socket in (again, fresh):
        await socket.close()


async def test_replaced_says_so_and_then_nothing(sim: AsteriskSimulator, client: Client):
    socket = await client.listen()
    await sim.faults.start("replaced")
    assert (await hear(socket))["type"] == "ApplicationReplaced"
    assert await client.canary() == 204
    assert await answers_ping(socket)
    await socket.close()


async def test_hung_accepts_and_never_answers_and_afterwards_everything_comes_at_once(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    socket = await client.listen()
    await sim.faults.start("hung")
    assert not await answers_ping(socket)
    with pytest.raises(TimeoutError):
        await client.ask("GET", "/asterisk/info", timeout=aiohttp.ClientTimeout(total=0.3))
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.ami_port)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readline(), 0.3)
    sim.begin("busy", "1121001", "1121006")
    await clock.run_for(30)

    await sim.faults.stop("hung")
    assert (await hear(socket))["type"] == "ChannelCreated"
    assert (await reader.readline()).startswith(b"Asterisk")
    assert (await client.ask("GET", "/asterisk/info"))[0] == 200
    writer.close()
    await writer.wait_closed()
    await socket.close()


@pytest.mark.parametrize(
    ("name", "status"), [("bad-gateway", 502), ("not-loaded", 404), ("wrong-password", 401)]
)
async def test_some_faults_answer_everything_alike_and_break_the_open_connection(
    sim: AsteriskSimulator, client: Client, clock: HeldClock, name: str, status: int
):
    socket = await client.listen()
    await sim.faults.start(name, seconds=20)
    assert await ends_without_close_frame(socket)
    assert (await client.ask("GET", "/asterisk/info"))[0] == status
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.listen()
    assert refused.value.status == status
    await clock.run_for(21)
    assert (await client.ask("GET", "/asterisk/info"))[0] == 200


async def test_restart_loses_all_calls_and_names_begin_at_0_again(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    socket = await client.listen()
    before = (await client.ask("GET", "/asterisk/info"))[1]["status"]["startup_time"]
    sim.begin("answered", "1121001", "1121002", talk_s=600)
    await clock.run_for(10)
    await hear_until(socket, "BridgeCreated")
    await sim.faults.start("restart", down_s=1)
    assert await ends_without_close_frame(socket)
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.ask("GET", "/asterisk/info")

    await clock.run_for(1)
    assert (await client.ask("GET", "/asterisk/info"))[0] == 404
    await clock.run_for(1)
    assert (await client.ask("GET", "/asterisk/info"))[1]["status"]["startup_time"] > before
    assert (await client.ask("GET", "/channels"))[1] == []
    socket = await client.listen()
    sim.begin("busy", "1121003", "1121004")
    await clock.run_for(1)
    assert (await hear(socket))["channel"]["name"] == "PJSIP/1121003-00000000"
    await socket.close()


async def test_stop_tells_the_end_of_every_call_before_the_connection_breaks(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    socket = await client.listen()
    sim.begin("answered", "1121001", "1121002", talk_s=600)
    await clock.run_for(10)
    await sim.faults.start("stop", down_s=2)
    told = await hear_until(socket, "ChannelDestroyed") + await hear_until(socket, "ChannelDestroyed")
    assert [e["cause"] for e in told if e["type"] == "ChannelHangupRequest"] == [4, 4]
    assert await ends_without_close_frame(socket)
    await clock.run_for(5)
    assert (await client.ask("GET", "/channels"))[1] == []


async def test_duplicate_tells_some_events_twice(sim: AsteriskSimulator, client: Client, clock: HeldClock):
    socket = await client.listen()
    await sim.faults.start("duplicate", share=1.0)
    sim.begin("busy", "1121001", "1121006")
    await clock.run_for(1)
    assert await hear(socket) == await hear(socket)
    await socket.close()


async def test_reorder_swaps_neighbours_of_different_legs_and_loses_none(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    socket = await client.listen()
    await sim.faults.start("reorder")
    sim.begin("answered", "1121001", "1121002", ring_s=1, talk_s=1)
    await clock.run_for(10)
    heard = [await hear(socket) for _ in range(sim.hub.told)]
    assert heard[0]["type"] == "ChannelCreated"
    for leg in {event["channel"]["id"] for event in heard if "channel" in event}:
        mine = [event for event in heard if event.get("channel", {}).get("id") == leg]
        assert mine[0]["type"] == "ChannelCreated"
        assert mine[-1]["type"] == "ChannelDestroyed"
    await sim.faults.stop("reorder")
    await socket.close()


async def test_slow_events_keep_their_own_time(sim: AsteriskSimulator, client: Client, clock: HeldClock):
    socket = await client.listen()
    await sim.faults.start("slow", delay_s=3)
    sim.begin("busy", "1121001", "1121006", ring_s=1)
    await clock.run_for(2.5)
    with pytest.raises(TimeoutError):
        await socket.receive(timeout=0.2)
    await clock.run_for(10)
    told = await hear_until(socket, "ChannelDestroyed")
    assert told[0]["timestamp"] == "2026-01-01T00:00:00.000+0000"
    await socket.close()


async def test_odd_frames_come_through_and_the_connection_goes_on(sim: AsteriskSimulator, client: Client):
    socket = await client.listen()
    await sim.faults.start("garbage")
    assert not (await socket.receive(timeout=20)).data.endswith("}")
    await sim.faults.start("unknown-event")
    assert (await hear(socket))["type"] == "ChannelTeleported"
    await sim.faults.start("unknown-state")
    assert (await hear(socket))["channel"]["state"] == "Levitating"
    await sim.faults.start("huge-frame")
    assert len((await hear(socket))["value"]) == 10 * 1024 * 1024
    assert await client.canary() == 204
    assert (await hear(socket))["eventname"] == "canary"
    await socket.close()


async def test_a_reader_that_does_not_read_is_given_up_and_left_open(clock: HeldClock):
    async with running(clock, write_timeout_s=0.0) as sim, client_of(sim) as client:
        socket = await client.listen()
        # More than the sockets' buffers hold, in several turns of the loop, while nobody reads.
        for _ in range(8):
            await sim.faults.start("huge-frame", size=4 * 1024 * 1024)
            await asyncio.sleep(0)
        assert sim.state()["connections"][0]["cut"]
        assert (await client.ask("GET", "/applications/atalaia"))[0] == 200
        socket._response.close()  # type: ignore[union-attr]


async def test_the_fault_panel_can_do_it_all_over_http(
    sim: AsteriskSimulator, client: Client, clock: HeldClock
):
    async with aiohttp.ClientSession() as panel:
        async with panel.get(f"{sim.control_url}/_faults") as answer:
            assert {row["name"] for row in (await answer.json())["faults"]} == set(FAULTS)
        async with panel.post(f"{sim.control_url}/_faults/hung", json={"seconds": 5}) as answer:
            active = [row for row in (await answer.json())["faults"] if row["active"]]
            assert [(row["name"], row["left_s"]) for row in active] == [("hung", 5.0)]
        async with panel.delete(f"{sim.control_url}/_faults/hung") as answer:
            assert not [row for row in (await answer.json())["faults"] if row["active"]]
        async with panel.post(f"{sim.control_url}/_faults/earthquake") as answer:
            assert answer.status == 404
        async with panel.post(f"{sim.control_url}/_faults/drop", json={"share": 1}) as answer:
            assert answer.status == 400
    assert (await client.ask("GET", "/asterisk/info"))[0] == 200
