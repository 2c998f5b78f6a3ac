"""What is heard is kept as it came, in order, whatever it is and however slow the log is."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from atalaia.ambient import Ambient
from atalaia.connectors.asterisk import CONNECTOR
from atalaia.errors import Unavailable
from atalaia.events.log import EventLog, Source, read_after
from atalaia.events.policy import Policies
from atalaia.ids import CountedIds
from atalaia.store.connect import open_store
from simulators.asterisk.hub import text_frame
from tests.connectors.asterisk.session.rig import Rig


async def test_the_first_lines_are_the_directory_the_connect_and_the_reading(rig: Rig) -> None:
    await rig.connect()

    types = rig.port.types()
    assert types[:2] == ["directory", "control"]
    assert rig.port.controls() == ["connected", "snapshot"]
    paths = [body["path"] for body in rig.port.bodies("rest")]
    app = rig.port.bodies("control")[0]["app"]
    assert paths == ["/asterisk/info", f"/applications/{app}", "/channels", "/bridges", "/endpoints"]


async def test_variables_of_living_channels_are_read_unless_the_channel_tells_them(rig: Rig) -> None:
    rig.sim.begin("answered", "1121001", "1121002", ring_s=1.0, talk_s=60.0)
    await rig.clock.run_for(5)

    await rig.connect()

    answers = {body["path"]: body for body in rig.port.bodies("rest")}
    first, second = (channel["id"] for channel in answers["/channels"]["body"])
    assert answers[f"/channels/{first}/variable?variable=DIALSTATUS"]["body"] == {"value": "ANSWER"}
    assert f"/channels/{second}/variable?variable=BRIDGEPEER" in answers
    assert not any("linkedid" in path for path in answers)
    assert len(answers["/bridges"]["body"][0]["channels"]) == 2


async def test_without_channelvars_all_variables_are_read_as_in_the_captures() -> None:
    rig = Rig(channelvars=False)
    await rig.start()
    try:
        rig.sim.begin("answered", "1121001", "1121002", ring_s=1.0, talk_s=60.0)
        await rig.clock.run_for(5)
        await rig.connect()
        paths = [body["path"] for body in rig.port.bodies("rest")]
        first = rig.port.bodies("rest")[2]["body"][0]["id"]
    finally:
        await rig.close()

    variables = (
        "CHANNEL%28linkedid%29",
        "MIXMONITOR_FILENAME",
        "DIALEDPEERNUMBER",
        "DIALSTATUS",
        "BRIDGEPEER",
    )
    assert paths[4:9] == [f"/channels/{first}/variable?variable={name}" for name in variables]


async def test_a_call_is_kept_event_by_event_as_it_came(rig: Rig) -> None:
    await rig.connect()
    before = len(rig.port.heard)

    rig.sim.begin("answered", "1121001", "1121002", ring_s=2.0, talk_s=3.0)
    await rig.run_until(lambda: rig.port.types().count("ChannelDestroyed") == 2, at_most_s=30)

    events = [one for one in rig.port.heard[before:] if one.type != "asterisk.canary"]
    assert len(events) > 60
    for one in events:
        body = json.loads(one.body)
        assert one.type == "asterisk." + body["type"]
        assert one.dedupe is not None
    created = next(one for one in events if one.type == "asterisk.ChannelCreated")
    assert created.key == json.loads(created.body)["channel"]["id"]


async def test_what_came_by_itself_proves_hearing_up_to_its_coming_and_readings_do_not(rig: Rig) -> None:
    await rig.connect()
    assert rig.port.came_ms == 0, "nothing came but what was asked for"
    await rig.clock.run_for(3)

    rig.sim.begin("answered", "1121001", "1121002", ring_s=1.0, talk_s=1.0)
    await rig.run_until(lambda: "ChannelDestroyed" in rig.port.types(), at_most_s=20)
    came_ms = rig.port.came_ms
    await rig.clock.run_for(30)

    last = [one for one in rig.port.heard if one.type.startswith("asterisk.Channel")][-1]
    assert 0 <= rig.port.came_ms - last.occurred_ms < 1000
    assert rig.port.came_ms - came_ms < 2000, "canaries and checks prove for themselves"


async def test_our_own_event_is_counted_and_nothing_else(rig: Rig, tmp_path: Path) -> None:
    store = await open_store("", tmp_path)
    try:
        log = EventLog(
            store, Ambient(rig.clock, CountedIds(), Random(1)), Policies({"asterisk": CONNECTOR.keep}, {})
        )
        source = Source("connection-1")
        rig.port.append = lambda heard, **_: log.put(source, heard)  # type: ignore[method-assign]
        session = rig.begin()
        await rig.spin(lambda: rig.port.is_live or session.done())
        await rig.run_until(lambda: rig.port.planes["canary"][2].get("n", 0) >= 3, at_most_s=60)
        await rig.sim.faults.start("drop")
        await rig.spin(session.done)  # the log lives in real time

        kinds = Counter(event.type for event in await store.read(lambda tx: read_after(tx, 0)))
    finally:
        await store.close()
    assert kinds["asterisk.control"] == 3
    assert kinds["asterisk.canary"] == 0
    assert "asterisk.ChannelUserevent" not in kinds


async def test_what_is_no_event_is_kept_as_unreadable(rig: Rig) -> None:
    await rig.connect()
    (connection,) = rig.sim.hub.connections()
    for raw in (
        b"no json",
        b'{"type": ',
        b"[1,2]",
        b'{"no":"type"}',
        b'{"type":7}',
        b"\xff\xfe",
        b"",
        b'"text"',
    ):
        connection.write(text_frame(raw))

    await rig.spin(lambda: rig.port.types().count("unreadable") == 8)

    bodies = rig.port.bodies("unreadable")
    assert bodies[0] == {"raw": "no json"}
    assert "raw_base64" in bodies[5]
    assert rig.session is not None
    assert not rig.session.done()


async def test_a_name_too_long_for_the_log_does_not_take_others_with_it(rig: Rig) -> None:
    await rig.connect()
    (connection,) = rig.sim.hub.connections()
    odd = {"type": "X" * 500, "channel": {"id": "a\x00" + "b" * 500}}
    connection.write(text_frame(json.dumps(odd).encode()))

    await rig.spin(lambda: any("XXX" in kind for kind in rig.port.types()))

    heard = rig.port.heard[-1]
    assert (len(heard.type), len(heard.key)) == (120, 200)
    assert "\x00" not in heard.key
    assert json.loads(heard.body) == odd


async def test_a_10_mb_event_is_kept_whole(rig: Rig) -> None:
    await rig.connect()

    await rig.sim.faults.start("huge-frame")
    await rig.spin(lambda: "ChannelVarset" in rig.port.types())

    assert len(rig.port.heard[-1].body) > 10 * 1024 * 1024


async def test_beyond_the_limit_an_event_is_kept_by_its_start_size_and_hash(rig: Rig) -> None:
    await rig.connect(frame_mib_max=1)

    await rig.sim.faults.start("huge-frame")
    await rig.spin(lambda: "unreadable" in rig.port.types())

    (body,) = rig.port.bodies("unreadable")
    assert body["truncated"]
    assert body["bytes"] > 10 * 1024 * 1024
    assert len(body["raw"]) == 4096
    assert len(body["blake2b"]) == 32


async def test_repeated_frames_have_the_same_duplicate_key(rig: Rig) -> None:
    await rig.connect()
    await rig.sim.faults.start("duplicate", share=1.0)
    rig.sim.begin("busy", "1121001", "1121002", ring_s=1.0)
    await rig.run_until(lambda: rig.port.types().count("ChannelDestroyed") >= 4, at_most_s=30)

    keys = Counter(
        one.dedupe for one in rig.port.heard if one.dedupe and one.type == "asterisk.ChannelDestroyed"
    )
    assert set(keys.values()) == {2}


async def test_a_log_that_stands_still_does_not_stop_the_ear(rig: Rig) -> None:
    await rig.connect()
    rig.port.gate.clear()
    (connection,) = rig.sim.hub.connections()
    frame = text_frame(json.dumps({"type": "Noise", "text": "x" * 1000}).encode())
    for _ in range(200):
        connection.write(frame * 100, 100)
        await asyncio.sleep(0)

    # The proof: pongs and canaries behind 20 MB of events are still seen, so the ear has read them all.
    await rig.run_until(lambda: rig.port.planes["canary"][2].get("n", 0) >= 3, at_most_s=30)
    assert not connection.given_up
    assert rig.port.planes["socket"][2]["waiting_bytes"] > 20_000_000

    rig.port.gate.set()
    await rig.spin(lambda: rig.port.types().count("Noise") == 20_000)


async def test_while_the_store_is_away_events_wait_and_nothing_is_lost(rig: Rig) -> None:
    await rig.connect()
    rig.port.away = True
    rig.sim.begin("answered", "1121001", "1121002", ring_s=2.0, talk_s=3.0)
    await rig.clock.run_for(20)
    assert "ChannelCreated" not in rig.port.types()

    rig.port.away = False
    await rig.run_until(lambda: rig.port.types().count("ChannelDestroyed") == 2, at_most_s=10)

    assert rig.port.controls() == ["connected", "snapshot"]
    assert rig.port.types().count("ChannelCreated") == 2


async def test_a_socket_lost_while_the_store_is_away_loses_nothing_that_was_heard(rig: Rig) -> None:
    await rig.connect()
    rig.port.away = True
    rig.sim.begin("busy", "1121001", "1121002", ring_s=1.0)
    await rig.clock.run_for(5)
    await rig.sim.faults.start("drop")
    await rig.clock.run_for(5)
    assert rig.session is not None
    assert not rig.session.done()
    assert rig.sim.hub.connections() == []

    rig.port.away = False
    error, _ = await rig.end()

    assert isinstance(error, Unavailable)
    assert rig.port.types().count("ChannelDestroyed") == 2
    assert rig.port.controls()[-1] == "disconnected"


async def test_a_defect_of_ours_ends_the_session_but_not_what_it_heard(rig: Rig) -> None:
    await rig.connect()
    prove = rig.port.prove

    def defect(plane: str, *args: Any, **kwargs: Any) -> None:
        if plane == "rest":
            raise ZeroDivisionError
        prove(plane, *args, **kwargs)

    rig.port.prove = defect  # type: ignore[method-assign]
    rig.port.gate.clear()
    rig.sim.begin("busy", "1121001", "1121002", ring_s=1.0)
    await rig.clock.run_for(11)
    rig.port.gate.set()

    error, _ = await rig.end()

    assert isinstance(error, ZeroDivisionError)
    assert rig.port.types().count("ChannelDestroyed") == 2
    assert rig.port.bodies("control")[-1]["cause"] == "ZeroDivisionError"


async def test_too_much_waiting_ends_hearing_with_a_clear_reason(rig: Rig) -> None:
    await rig.connect(memory_mib_max=1)
    rig.port.away = True
    (connection,) = rig.sim.hub.connections()
    frame = text_frame(json.dumps({"type": "Noise", "text": "x" * 1000}).encode())
    connection.write(frame * 2000, 2000)
    await rig.clock.run_for(1)
    rig.port.away = False

    error, _ = await rig.end()

    assert "1 MiB of events were waiting" in str(error)
    assert 500 < rig.port.types().count("Noise") < 1100
    assert rig.port.bodies("control")[-1]["health"] == "failing"


@pytest.mark.parametrize("version", ["16.28.0", "22.10.1"])
async def test_two_servers_side_by_side_do_not_mix(version: str) -> None:
    rigs = [Rig(version="22.10.1", systemname="voip1"), Rig(version=version, systemname="voip2")]
    try:
        for rig in rigs:
            await rig.start()
            await rig.connect(server=rig.sim.pbx.systemname)
        for rig in rigs:
            rig.sim.begin("busy", "1121001", "1121002", ring_s=1.0)
            await rig.run_until(lambda rig=rig: rig.port.types().count("ChannelDestroyed") == 2, at_most_s=30)
        for rig in rigs:
            channels = {one.key for one in rig.port.heard if one.type == "asterisk.ChannelCreated"}
            assert all(key.startswith(rig.sim.pbx.systemname) for key in channels)
    finally:
        for rig in rigs:
            await rig.close()
