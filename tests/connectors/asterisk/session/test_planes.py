"""Each plane is proven or failing by itself, with what was seen."""

from __future__ import annotations

import asyncio
import socket

from atalaia.clock import to_ms
from atalaia.connectors.asterisk.session import HEARS
from atalaia.events.gaps import Reconcile
from tests.connections.unasked import busy
from tests.connectors.asterisk.session.rig import Rig


async def test_a_living_session_proves_its_planes_with_what_it_saw(rig: Rig) -> None:
    await rig.connect(ami_port=rig.sim.ami_port)
    await rig.run_until(lambda: len(rig.port.planes) == 5, at_most_s=40)

    planes = rig.port.planes
    assert {name: state for name, (state, _, _) in planes.items()} == dict.fromkeys(
        ("socket", "canary", "rest", "events", "ami"), "proven"
    )
    assert planes["socket"][2]["pong_ms"] >= 0
    assert planes["canary"][2]["n"] >= 1
    assert planes["ami"][1].startswith("Asterisk Call Manager/")
    assert planes["events"][1] == "no channels"


async def test_a_read_only_user_is_shown_as_such_and_still_proven(rig: Rig) -> None:
    await rig.connect(user="observer")
    rig.port.planes.clear()
    await rig.run_until(lambda: "canary" in rig.port.planes, at_most_s=35)

    assert rig.port.planes["canary"][:2] == ("proven", "read-only: application check")
    assert rig.port.told[0] == ("live", "True")


async def test_a_read_only_session_leaves_a_forgotten_application(rig: Rig) -> None:
    await rig.connect(user="observer")

    await rig.sim.faults.start("mute")
    error, took_s = await rig.end()

    assert "does not know our application" in str(error)
    assert took_s <= 15


async def test_a_manager_port_that_only_accepts_is_hung(rig: Rig) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        await rig.connect(ami_port=silent.getsockname()[1])
        await rig.run_until(lambda: "ami" in rig.port.planes, at_most_s=10)

        assert rig.port.planes["ami"][0] == "failing"
        assert "AMI is hung" in rig.port.planes["ami"][1]
    await rig.run_until(lambda: "AMI is down" in rig.port.planes["ami"][1], at_most_s=60)
    assert rig.session is not None
    assert not rig.session.done()


async def test_the_canary_comes_each_30_s_while_events_come_and_earlier_in_silence(rig: Rig) -> None:
    await rig.connect()
    await rig.clock.run_for(60)
    in_silence = rig.port.planes["canary"][2]["n"]
    rig.port.heard.clear()

    for _ in range(60):  # an event a second
        await rig.sim.faults.start("unknown-event")
        await rig.clock.run_for(1)

    assert in_silence >= 9
    assert rig.port.types().count("canary") <= 3


async def test_a_channel_of_which_nothing_was_told_ends_the_session(rig: Rig) -> None:
    await rig.connect()
    await rig.clock.run_for(12)
    (app,) = rig.sim.hub.apps.values()
    app.allowed = frozenset({"ChannelUserevent"})  # subscribed, but deaf for calls

    rig.sim.begin("answered", "1121001", "1121002", ring_s=2.0, talk_s=60.0)
    error, took_s = await rig.end(at_most_s=30)

    assert "told nothing of the channel" in str(error)
    assert took_s <= 15
    assert rig.port.planes["events"][0] == "failing"


async def test_long_silent_talks_are_no_reason_to_doubt(rig: Rig) -> None:
    rig.sim.begin("answered", "1121001", "1121002", ring_s=1.0, talk_s=3600.0)
    await rig.clock.run_for(5)
    await rig.connect()

    await rig.clock.run_for(120)

    assert rig.session is not None
    assert not rig.session.done()
    assert rig.port.planes["events"][:2] == ("proven", "2 channels, nothing new to tell")


async def test_our_own_standstill_is_not_taken_for_asterisks(rig: Rig) -> None:
    await rig.connect()
    await rig.clock.run_for(4.9)

    # The process stood still for a minute: its clock went on, the answers wait in the socket.
    rig.clock.set(rig.clock.now().replace(minute=rig.clock.now().minute + 1))
    await rig.clock.run_for(3)

    assert rig.session is not None
    assert not rig.session.done()


async def test_nothing_that_is_proven_holds_a_secret(rig: Rig) -> None:
    await rig.connect()
    await rig.sim.faults.start("wrong-password")
    await rig.end()
    await asyncio.sleep(0)

    assert "test-only" not in repr(rig.port.planes) + repr(rig.port.told) + repr(rig.port.heard)


async def test_a_routine_check_compares_the_channels_there_with_those_that_were_told(rig: Rig) -> None:
    await rig.connect()
    rig.port.due.put_nowait(Reconcile(1, 2, ("g1",)))  # closed by folding the reading, not by this
    rig.port.due.put_nowait(Reconcile(1, 2))
    await rig.run_until(lambda: bool(rig.port.checked), at_most_s=5)

    [report] = rig.port.checked
    assert (report.checked, report.recovered, report.lost) == ({"channels": 0}, {}, "no")


async def test_no_call_for_longer_than_usual_makes_the_session_look_and_ends_nothing(rig: Rig) -> None:
    await rig.connect()
    rig.port.usual = busy("calls", 60, to_ms(rig.clock.now()))
    looked = ("session.looked", HEARS)
    await rig.run_until(lambda: looked in rig.port.told, at_most_s=600)

    assert rig.session is not None
    assert not rig.session.done()
    assert "suspect" not in [word for word, _ in rig.port.told], "a quiet day is no trouble"
