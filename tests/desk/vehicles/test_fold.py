"""The recorded runs, understood and folded: what the board and the page of a vehicle stand on."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
from sqlalchemy import Connection, create_engine

from atalaia.connectors.traffilog.heard import collected
from atalaia.desk.vehicles import queries
from atalaia.desk.vehicles.fold import Vehicles
from atalaia.desk.vehicles.queries import VehicleFilter, changes_between
from atalaia.events.model import Event, Fact
from atalaia.store import vehicle_tables
from atalaia.store.tables import metadata
from tests.connectors.traffilog.folding import CONNECTION, Fold, answer, heard_in, message, push, said
from tests.connectors.traffilog.ground import FRAGMENTED, SCHEME_RUN, T0

RUN, READ = "2900108", "2900104"
assert vehicle_tables.vehicles.metadata is metadata


@pytest.fixture
def tx() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()


def learn(tx: Connection, facts: list[Fact], first: int = 1) -> None:
    fold = Vehicles()
    events = [_event(seq, one) for seq, one in enumerate(facts, first)]
    fold.apply(tx, [event for event in events if event.type in fold.types])


def _event(seq: int, one: Fact) -> Event:
    body, at_ms = orjson.dumps(one.data).decode(), one.occurred_ms
    return Event(seq, str(seq), "fact", one.type, one.key, CONNECTION, at_ms, at_ms, None, False, body)


def test_the_recorded_scheme_builder_is_followed_to_its_end_and_proven_by_its_key(tx: Connection):
    story = Fold()
    story.hear(*heard_in(SCHEME_RUN))
    middle = len(story.facts) // 2
    learn(tx, story.facts[:middle])
    [running] = queries.open_processes(tx)
    assert (running.process, running.vehicle, running.kind) == ("10422606", RUN, "scheme_builder")
    assert 0 < (running.percent or 0) < 100
    assert running.last_command

    learn(tx, story.facts[middle:], middle + 1)
    assert queries.open_processes(tx) == []
    [ended] = queries.just_ended(tx, since_ms=T0)
    assert (ended.state, ended.outcome, ended.acknowledged, ended.total) == (
        "ended", "completed_unconfirmed", 459, 460,
    )  # fmt: skip

    proof = story.hear(message(said("1502000114046A1C5000"), at_ms=T0 + 380_000))
    learn(tx, proof, len(story.facts) + 1)
    [proven] = queries.just_ended(tx, since_ms=T0)
    assert (proven.outcome, proven.configuration_key) == ("confirmed", "6A1C5000")
    assert proven.ended_ms == ended.ended_ms


def test_the_recorded_reading_shows_modules_values_and_their_ages(tx: Connection):
    story = Fold()
    story.hear(*heard_in(FRAGMENTED), collected(READ, T0 + 5_000))
    learn(tx, story.facts)
    one = queries.get_vehicle(tx, READ)
    assert one is not None
    assert one.connected is True
    assert (one.modules_count, one.modules_complete, one.values_count) == (36, True, 10)
    oil = next(value for value in queries.list_values(tx, one) if value.parameter == "00002723")
    assert (oil.name, oil.number, oil.unit) == ("Sys Param Oil Pressure", 4.52, "bar")
    buses = [module.sub for module in queries.list_modules(tx, one) if module.is_bus]
    assert {"CAN0", "CAN1"} <= set(buses)
    assert queries.list_snapshots(tx, one)[0].values_count == 10
    assert queries.list_vehicles(tx, VehicleFilter(words=READ)) == [one]


def test_a_value_that_is_seen_alone_leaves_the_others_and_lengthens_its_line(tx: Connection):
    story = Fold()
    battery = {
        "id": "00002712",
        "param_value": "00006B08",
        "inner_id": "1",
        "orig_time": "2026-11-18T10:00:00Z",
    }
    later = {**battery, "param_value": "00006A40", "orig_time": "2026-11-18T10:05:00Z"}
    speed = {
        "id": "00002713",
        "param_value": "0000000A",
        "inner_id": "1",
        "orig_time": "2026-11-18T10:01:00Z",
    }
    story.hear(push("UNIT_PARAMETERS", battery, speed), push("UNIT_PARAMETERS", later, at_ms=T0 + 1))
    learn(tx, story.facts)
    one = queries.get_vehicle(tx, RUN)
    assert one is not None
    assert {value.parameter for value in queries.list_values(tx, one)} == {"00002712", "00002713"}
    line = queries.value_lines(tx, one, from_ms=0)["00002712"]
    assert len(line) == 2
    assert line[0][1] > line[1][1]


def test_what_an_older_fact_says_changes_nothing(tx: Connection):
    story = Fold()
    story.hear(answer("get_vehicle_info", {"vehicle_id": RUN, "license_nmbr": "ABC1D23"}), collected(RUN, T0))
    newer = [one for one in story.facts if one.type == "vehicle.snapshot_merged"]
    learn(tx, newer, 10)
    older = Fact("vehicle.snapshot_merged", RUN, T0 - 1, {"header": {"license_nmbr": "OLD0A00"}})
    learn(tx, [older], 5)
    one = queries.get_vehicle(tx, RUN)
    assert one is not None
    assert one.plate == "ABC1D23"


def test_differences_are_named_by_part_and_ages_are_none():
    before = {
        "header": {"license_nmbr": "A", "server_time": "1"},
        "parameters": {"00002712": {"name": "Battery", "value": 24.1, "unit": "V", "seen_ms": 1}},
        "modules": {"CAN/CAN0": {"active": True, "ok": True, "was_ok": True}},
    }
    after = {
        "header": {"license_nmbr": "A", "server_time": "2"},
        "parameters": {
            "00002712": {"name": "Battery", "value": 24.1, "unit": "V", "seen_ms": 9},
            "00002717": {"name": "", "value": None, "raw": "3D", "unit": ""},
        },
        "modules": {"CAN/CAN0": {"active": True, "ok": False, "was_ok": True, "error_descr": "E1"}},
    }
    found = [(one.part, one.name, one.before, one.after) for one in changes_between(before, after)]
    assert found == [
        ("modules", "CAN/CAN0", "active ok was_ok", "active was_ok E1"),
        ("parameters", "00002717", None, "3D"),
    ]
