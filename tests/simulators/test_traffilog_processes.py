"""Processes: the review slot of a client, every way a Scheme Builder ends, the run command, the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from atalaia.clock import HeldClock
from simulators.traffilog import TraffilogSimulator
from simulators.traffilog.models import Process
from simulators.traffilog.reports import connected
from tests.simulators.traffilog_ground import CLIENT, VEHICLE, Json, Peer, peer_of, properties_of, running

SERIAL = "0000000920001747"
COMMAND = "(o2w,44,C6140000FC00000000000000FC000400000000000000)"


@pytest.fixture
async def sim(clock: HeldClock) -> AsyncIterator[TraffilogSimulator]:
    async with running(clock) as made:
        yield made


@pytest.fixture
async def peer(sim: TraffilogSimulator) -> AsyncIterator[Peer]:
    async with peer_of(sim) as made:
        await made.watch()
        yield made


async def until(clock: HeldClock, fits: Callable[[], bool], seconds: float = 1200) -> None:
    """Let time pass until something is true."""
    end = clock.monotonic() + seconds
    while not fits():
        assert clock.monotonic() < end, "it never came true"
        await clock.run_for(1)


async def ended(clock: HeldClock, sim: TraffilogSimulator, process_id: str) -> Process:
    process = sim.upstream.processes[process_id]
    await until(clock, lambda: process.state == "ended")
    return process


async def heard(peer: Peer) -> list[Json]:
    """Read everything that was pushed so far; answers rows of statuses and messages."""
    await peer.ask("get_vehicle_info", vehicle_id=VEHICLE)
    found = map(properties_of, peer.heard)
    return [one["data"][0] for one in found if one.get("mtkn") == "-1"]


def statuses(rows: list[Json]) -> list[str]:
    """Answer the words of the statuses, each once in a row."""
    words = [row["status"] for row in rows if "status" in row]
    return [word for place, word in enumerate(words) if place == 0 or words[place - 1] != word]


async def keys(peer: Peer) -> tuple[str, str]:
    row = (await peer.ask("get_vehicle_info", vehicle_id=VEHICLE))["data"][0]
    return row["configuration_key_db"], row["configuration_key_unit"]


# ---- the slot ------------------------------------------------------------------------------------


async def test_call_1_needs_a_selection_and_a_context(peer: Peer):
    about = {"client_id": CLIENT, "client_name": "x", "action_source": "0", "action_id": "1"}
    one = {"vehicle_setting_id": "9000", "call_num": "1"}
    assert (await peer.ask("associate_vehicles_actions_opr", **about, **one))["action_value"] == "400"
    await peer.ask("associate_vehicles_actions_opr", **about, call_num="0")
    assert (await peer.ask("associate_vehicles_actions_opr", **about, **one))["action_value"] == "400"


async def test_a_vehicle_of_another_client_is_not_selected(peer: Peer):
    assert (await peer.prepare("5536", vehicle_id=VEHICLE, client="310273"))["action_value"] == "400"


async def test_a_setting_that_is_assigned_already_makes_no_process(sim: TraffilogSimulator, peer: Peer):
    assert (await peer.prepare("5411"))["action_value"] == "1"
    assert await peer.process_id() == ""
    assert (await peer.ask("review_process_attributes", client_id=CLIENT))["data"] == []
    assert sim.ledger.count() == 0


async def test_two_preparations_of_one_client_collide(sim: TraffilogSimulator, peer: Peer, clock: HeldClock):
    async with peer_of(sim) as other:
        assert (await peer.prepare("9000"))["action_value"] == "0"
        assert (await other.prepare("9000", "2900117"))["action_value"] == "1"  # assigned already
        assert (await other.prepare("5411", "2900117"))["action_value"] == "8"
        # The review of the other is empty, and the process it would find is not its own.
        assert (await other.ask("review_process_attributes", client_id=CLIENT))["data"] == []
        stolen = await other.process_id()
        assert (await other.execute(stolen, "theirs"))["action_value"] == "0"
        assert (await peer.execute(stolen, "ours"))["action_value"] == "404"
        [effect] = sim.ledger.of("scheme_builder")
        assert (effect.subject, effect.comment) == (VEHICLE, "theirs")


async def test_a_slot_that_was_left_is_free_after_ten_seconds(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    async with peer_of(sim) as other:
        await peer.prepare("9000")
        await clock.run_for(10.5)
        assert (await other.prepare("5411", "2900117"))["action_value"] == "0"
        assert (await peer.ask("review_process_attributes", client_id=CLIENT))["data"] == []


async def test_the_process_id_comes_late_or_not_at_all_on_request(sim: TraffilogSimulator, peer: Peer):
    await sim.faults.start("no-process", times=2)
    await sim.faults.start("process-not-found", times=1)
    await peer.prepare("9000")
    asked = [
        await peer.ask("get_vcls_action_review_opr", client_id=CLIENT, action_source="0") for _ in range(4)
    ]
    assert [(one["action_value"], len(one["data"])) for one in asked] == [
        ("404", 0),
        ("0", 0),
        ("0", 0),
        ("0", 1),
    ]


async def test_a_busy_slot_comes_on_request(sim: TraffilogSimulator, peer: Peer):
    await sim.faults.start("slot-busy", times=1)
    assert (await peer.prepare("9000"))["action_value"] == "8"
    assert (await peer.prepare("9000"))["action_value"] == "0"


# ---- how a Scheme Builder ends -------------------------------------------------------------------


async def test_a_good_run_is_proven_by_the_key_and_the_registry_grows_anew(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    process_id = await peer.build(comment="Installed #rid=1767373667936_b0eaa3 #pid=1")
    unit = sim.upstream.units[SERIAL]
    assert (await ended(clock, sim, process_id)).outcome == "completed"
    await until(clock, lambda: not unit.online)
    await until(clock, lambda: unit.online)
    database, in_unit = await keys(peer)
    assert database == in_unit == sim.upstream.processes[process_id].key
    rows = [await _modules(peer)]
    for _ in range(13):
        await clock.run_for(10)
        rows.append(await _modules(peer))
    assert rows[0] == 0 and rows[-1] == 37 and 6 <= sorted(set(rows))[1] <= 14
    assert rows == sorted(rows)
    said = await heard(peer)
    assert "DISCONNECTED" in [row.get("raw_message") for row in said]
    assert statuses(said) == ["In Progress", "Completed"]
    [effect] = sim.ledger.of("scheme_builder", VEHICLE)
    assert (effect.trace, effect.process_id) == ("1767373667936_b0eaa3", process_id)


async def _modules(peer: Peer) -> int:
    return len((await peer.ask("get_monitor_module_state", vehicle_id=VEHICLE))["data"])


@pytest.mark.parametrize(
    ("fault", "options", "words", "outcome"),
    [
        ("sb-no-response", {}, ["In Progress", "No Response"], "no_response"),
        ("sb-silence", {"at": 0.4}, ["In Progress"], "silent"),
        ("sb-silence", {"at": 0.4, "for_s": 300}, ["In Progress", "Completed"], "completed"),
        ("sb-error", {"at": 0.3}, ["In Progress", "Error"], "error"),
        ("sb-error", {"at": 0.3, "word": "Internal Timeout"}, ["In Progress", "Internal Timeout"], "error"),
        ("sb-done", {}, ["In Progress", "Done"], "completed"),
        ("sb-disconnected", {"at": 0.5}, ["In Progress", "Disconnected Unit"], "silent"),
        (
            "sb-disconnected",
            {"at": 0.5, "for_s": 40},
            ["In Progress", "Disconnected Unit", "In Progress", "Completed"],
            "completed",
        ),
        (
            "sb-batch-timeout",
            {},
            ["In Progress", "Batch Timeout", "Retry", "In Progress", "Completed"],
            "completed",
        ),
        ("sb-no-key", {}, ["In Progress", "Completed"], "completed"),
    ],
)
async def test_a_scheme_builder_goes_wrong_on_request(
    sim: TraffilogSimulator,
    peer: Peer,
    clock: HeldClock,
    fault: str,
    options: Json,
    words: list[str],
    outcome: str,
):
    await sim.faults.start(fault, times=1, vehicle_id=VEHICLE, **options)
    process = await ended(clock, sim, await peer.build())
    await clock.run_for(62)
    assert (process.outcome, statuses(await heard(peer))) == (outcome, words)
    database, in_unit = await keys(peer)
    assert (database == in_unit) == (outcome == "completed" and fault != "sb-no-key")


async def test_an_offline_unit_gets_no_scheme_and_answers_nothing(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    await sim.faults.start("offline", vehicle_id=VEHICLE)
    assert (await peer.ask("get_vehicle_data_from_redis", vehicle_id=VEHICLE))["data"][0][
        "is_connected"
    ] == "0"
    command = await peer.ask("send_quick_command", unit_key=f"SPT:{SERIAL}", local_action_id="5")
    assert (command["action_value"], command["action_records"]) == ("1001", "0")
    process = await ended(clock, sim, await peer.build())
    assert process.outcome == "no_response"
    await sim.faults.stop("offline")
    assert (await peer.ask("get_vehicle_data_from_redis", vehicle_id=VEHICLE))["data"][0][
        "is_connected"
    ] == "2"


async def test_a_process_without_a_unit_ends_in_silence_on_request(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    await sim.faults.start("sb-mute-end")
    await sim.faults.start("offline", vehicle_id=VEHICLE)
    process = await ended(clock, sim, await peer.build())
    assert (process.outcome, statuses(await heard(peer))) == ("silent", ["In Progress"])


async def test_a_unit_that_goes_in_the_middle_is_waited_for(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    process_id = await peer.build()
    unit, process = sim.upstream.units[SERIAL], sim.upstream.processes[process_id]
    await until(clock, lambda: process.acknowledged > 10)
    connected(sim.upstream, unit, False)
    await clock.run_for(60)
    acknowledged = process.acknowledged
    await clock.run_for(10)
    assert process.acknowledged == acknowledged
    connected(sim.upstream, unit, True)
    assert (await ended(clock, sim, process_id)).outcome == "completed"


async def test_a_process_goes_on_while_nothing_is_told(sim: TraffilogSimulator, peer: Peer, clock: HeldClock):
    await sim.faults.start("mute-pushes")
    await ended(clock, sim, await peer.build())
    assert await heard(peer) == []
    await clock.run_for(70)
    database, in_unit = await keys(peer)
    assert database == in_unit


async def test_a_process_goes_on_while_the_upstream_is_gone(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    process_id = await peer.build()
    await sim.faults.start("gone", seconds=600)
    with pytest.raises(OSError):
        async with peer_of(sim):
            pass
    await clock.run_for(601)
    async with peer_of(sim) as again:
        database, in_unit = await keys(again)
        assert database == in_unit == sim.upstream.processes[process_id].key


async def test_two_processes_of_one_unit_run_one_after_the_other(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    first, second = await peer.build("9000", "a"), await peer.build("5411", "b")
    earlier, later = sim.upstream.processes[first], sim.upstream.processes[second]
    await until(clock, lambda: later.state == "running", 2000)
    assert earlier.state == "ended"
    await ended(clock, sim, second)
    assert sim.ledger.count("scheme_builder", VEHICLE) == 2
    assert sim.ledger.doubled() == []


async def test_what_is_asked_twice_is_run_twice_and_the_ledger_tells(sim: TraffilogSimulator, peer: Peer):
    for setting in ("9000", "5411", "9000"):
        await peer.build(setting, "Installed #rid=5_f")
    assert [len(group) for group in sim.ledger.doubled()] == [3]
    assert sim.ledger.as_json()["counts"] == {"scheme_builder": 3}


async def test_points_are_reached_around_the_effect(sim: TraffilogSimulator, peer: Peer):
    reached: list[tuple[str, int]] = []
    for point in ("heard", "done", "answered"):
        name = f"{point}:execute_action_opr"
        sim.upstream.at(name, lambda point=point: reached.append((point, sim.ledger.count())))
    await peer.build()
    assert reached == [("heard", 0), ("done", 1), ("answered", 1)]


# ---- the run command -----------------------------------------------------------------------------


async def run_command(peer: Peer, syntax: str = COMMAND) -> str:
    about = {"client_id": CLIENT, "client_name": "x", "action_source": "0", "action_id": "5"}
    await peer.ask("vcls_check_opr", client_id=CLIENT, vehicle_id=VEHICLE, is_checked="1")
    await peer.ask("associate_vehicles_actions_opr", **about, call_num="0")
    await peer.ask("get_custom_command", client_id=CLIENT)
    await peer.ask(
        "add_remove_custom_command",
        client_id=CLIENT,
        acknowledge_needed="1",
        command_syntax=syntax,
        action_value="0",
    )
    await peer.ask(
        "associate_vehicles_actions_opr", **about, keep_priority=True, comment="G [GS]", call_num="1"
    )
    process_id = await peer.process_id()
    await peer.execute(process_id)
    return process_id


async def test_a_run_command_reaches_the_unit_and_is_acknowledged(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    process_id = await run_command(peer)
    assert (await ended(clock, sim, process_id)).outcome == "acknowledged"
    assert sim.upstream.units[SERIAL].mounting == COMMAND
    messages = [row["raw_message"] for row in await heard(peer) if "raw_message" in row]
    number = messages[0][12:16]
    assert messages[0] == f"(o2w,52,1502{number}C6140000FC00000000000000FC000400000000000000)"
    assert messages[1].endswith(f",W2O,1602{number})") and messages[2].endswith(",W2O,0401C6)")
    [effect] = sim.ledger.of("gsensor")
    assert (effect.subject, effect.comment) == (VEHICLE, "G [GS]")


async def test_a_run_command_without_acknowledgement_comes_on_request(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    await sim.faults.start("gsensor-unacknowledged", times=1)
    assert (await ended(clock, sim, await run_command(peer))).outcome == "unacknowledged"
    assert len([row for row in await heard(peer) if "raw_message" in row]) == 1


async def test_a_stored_command_is_there_already_and_a_broken_one_is_refused(
    sim: TraffilogSimulator, peer: Peer
):
    add = {"client_id": CLIENT, "acknowledge_needed": "1", "action_value": "0"}
    answers = [
        (await peer.ask("add_remove_custom_command", **add, command_syntax=syntax))["action_value"]
        for syntax in (COMMAND, COMMAND, "(o2w,43,C614)")
    ]
    assert answers == ["0", "2", "400"]
    assert sim.ledger.count("custom_command") == 1


async def test_a_run_command_overtakes_a_running_scheme_builder(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    building = sim.upstream.processes[await peer.build()]
    await until(clock, lambda: building.acknowledged > 3)
    await ended(clock, sim, await run_command(peer))
    assert building.state == "running"


# ---- what a unit says by itself ------------------------------------------------------------------


async def test_an_idle_unit_reports_its_battery(sim: TraffilogSimulator, peer: Peer, clock: HeldClock):
    await clock.run_for(125)
    reports = [row["raw_message"] for row in await heard(peer) if "raw_message" in row]
    assert 3 <= len(reports) <= 5
    numbers = [text.rpartition(",W2O,1502")[2][:4] for text in reports]
    assert numbers == [f"{0x0895 + place:04X}" for place in range(len(numbers))]


async def test_a_quick_command_brings_a_part_of_the_parameters(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    await peer.ask("send_quick_command", unit_key=f"SPT:{SERIAL}", local_action_id="5")
    await clock.run_for(6)
    rows = [one["data"] for one in map(properties_of, await _texts(peer)) if one.get("mtkn") == "-1"]
    assert 5 <= len(rows) <= 30
    assert all(1 <= len(part) <= 18 for part in rows)
    ids = {row["id"] for part in rows for row in part}
    assert 0.3 < len(ids) / 201 < 0.9


async def _texts(peer: Peer) -> list[str]:
    await peer.ask("get_vehicle_info", vehicle_id=VEHICLE)
    return peer.heard


async def test_statuses_flow_only_where_messages_are_subscribed_too(
    sim: TraffilogSimulator, peer: Peer, clock: HeldClock
):
    async with peer_of(sim) as other:
        await other.ask("vehicle_subscribe", vehicle_id=VEHICLE, object_type="UNIT_CONFIG_STATUS")
        await ended(clock, sim, await peer.build())
        assert statuses(await heard(peer)) == ["In Progress", "Completed"]
        assert await heard(other) == []


async def test_numbers_of_messages_wrap_at_sixteen_bits(sim: TraffilogSimulator):
    unit = sim.upstream.units[SERIAL]
    unit.sent, unit.told = 0xFFFE, 0xFFFF
    assert [unit.next_sent(), unit.next_sent(), unit.next_told()] == ["FFFF", "0000", "0000"]
