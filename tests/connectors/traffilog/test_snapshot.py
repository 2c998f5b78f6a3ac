"""A vehicle's record only ever gets richer, in whatever order it is heard of."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.ambient import Ambient
from atalaia.connectors.traffilog import units
from atalaia.connectors.traffilog.jobs.collecting import Collector
from atalaia.connectors.traffilog.protocol import Came
from atalaia.connectors.traffilog.records import Reading, read_record
from atalaia.connectors.traffilog.snapshot import Record
from atalaia.connectors.traffilog.wire import Push
from atalaia.errors import Unreadable
from tests.connectors.traffilog.folding import said
from tests.connectors.traffilog.ground import CONTRACT, T0

SNAPSHOTS = CONTRACT / "snapshots"
CYCLES = sorted((SNAPSHOTS / "cycles").glob("*.json")) if SNAPSHOTS.is_dir() else []
needs_contract = pytest.mark.skipif(not CYCLES, reason="the contract is not beside this checkout")


def value(parameter: str, raw: str, second: int, **more: Any) -> dict[str, Any]:
    at = f"2026-11-18T10:00:{second:02d}Z"
    return {
        "orig_time": at,
        "id": parameter,
        "paramvalue": raw,
        "paramsource": "FF",
        "": "",
        "param_value": raw,
    } | more


def merged(readings: list[Reading]) -> Record:
    record = Record(readings[0].vehicle_id)
    for one in readings:
        record.take_info(one.info, one.at_ms)
        record.take_modules(one.modules, one.at_ms)
        record.take_parameters(one.parameters, one.at_ms)
        if one.connected is not None:
            record.take_connected(one.connected, one.at_ms, live=False)
    return record


def cycles() -> dict[str, list[Reading]]:
    found: dict[str, list[Reading]] = {}
    for path in CYCLES:
        for one in read_record(orjson.loads(path.read_bytes())):
            found.setdefault(one.vehicle_id, []).append(one)
    return found


rows = st.lists(
    st.builds(
        value,
        st.sampled_from(["00002710", "00002715", "00002719"]),
        st.sampled_from(["00000000", "00000001", "0000000F"]),
        st.integers(0, 3),
    ),
    max_size=4,
)
heard = st.lists(st.tuples(rows, st.integers(0, 3)), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(heard, st.randoms(use_true_random=False))
def test_the_order_and_number_of_deliveries_do_not_matter(pushes: list[Any], dice: Any):
    def told(order: list[Any]) -> Record:
        record = Record("2900108")
        for push, second in order:
            record.take_parameters(push, T0 + second * 1000)
        return record

    again = [*pushes, *pushes[:2]]
    dice.shuffle(again)

    assert told(again) == told(pushes)


def test_a_poorer_reading_takes_nothing_away():
    record = Record("2900108")
    record.take_parameters([value("00002715", "00000258", 5), value("00002719", "00000001", 5)], T0)
    record.take_info({"vehicle_id": "2900108", "license_nmbr": "TST0A00", "mileage": "10.00"}, T0)
    before = (dict(record.parameters), dict(record.header))

    assert record.take_parameters([], T0 + 1) == []
    assert record.take_parameters([value("00002715", "00000000", 4), value("00002715", "", 9)], T0 + 1) == []
    record.take_info({"license_nmbr": "", "mileage": ""}, T0 + 1)

    assert (record.parameters, record.header) == before


def test_what_is_live_beats_what_is_stored_and_an_old_row_shows_its_age():
    record = Record("2900108")
    stored = {
        "ignition": "0",
        "speed": "70",
        "driver_code": "",
        "server_time": "2026-11-01T00%3A00%3A00.0000000%2B00%3A00",
    }
    record.take_info(stored, T0)
    old = record.whole(T0, {})
    assert old["age_s"] == T0 // 1000 - 1793491200

    report = units.read_message(said("040113").replace("310526", "181126").replace(",,W2O", ",D7,W2O"))
    assert isinstance(report, units.Report)
    record.take_report(report, T0)
    assert record.beat(T0)
    record.take_parameters([value("00002710", "00000001", 5)], T0)
    record.take_info(stored, T0 + 60_000)

    whole = record.whole(T0 + 60_000, {})
    assert (whole["header"]["ignition"], whole["header"]["driver_code"], whole["header"]["speed"]) == (
        "1",
        "D7",
        "0",
    )
    assert (whole["age_s"], whole["connected"]) == (60, True)
    assert {"ignition", "server_time", "speed"} <= set(whole["header_live"])


def test_a_stored_no_is_not_believed_right_after_a_live_sign():
    record = Record("2900108")
    assert record.take_connected(False, T0, live=False)
    assert record.beat(T0 + 1_000)
    assert not record.take_connected(False, T0 + 60_000, live=False)
    assert record.take_connected(False, T0 + 200_000, live=False)
    record.beat(T0 + 201_000)
    assert record.take_connected(False, T0 + 202_000, live=True)


def test_a_unit_whose_clock_is_wrong_does_not_freeze_its_values():
    record = Record("2900108")
    record.take_parameters([value("00002715", "00000001", 0, orig_time="2080-01-01T00:00:00Z")], T0)
    assert record.take_parameters(
        [value("00002715", "00000002", 0, orig_time="2026-11-19T00:00:00Z")], T0 + 10**8
    )


def test_the_keys_tell_whether_the_assigned_scheme_runs():
    def matches(assigned: str, loaded: str) -> object:
        record = Record("2900108")
        record.take_info({"configuration_key_db": assigned, "configuration_key_unit": loaded}, T0)
        return record.whole(T0, {})["key_matches"]

    assert matches("697C666B", "697c666b") is True
    assert matches("697C666B", "00000000") is False
    assert matches("00000000", "00000000") is False
    assert matches("", "") is None


@needs_contract
def test_the_recorded_cycles_merge_to_their_union_in_any_order():
    for vehicle, readings in cycles().items():
        union = {row["id"] for one in readings for row in one.parameters}
        wholes = []
        for order in itertools.islice(itertools.permutations(readings), 6):
            record = merged(list(order))
            assert set(record.parameters) == union, vehicle
            wholes.append((record.parameters, record.header, record.modules))
        assert all(one == wholes[0] for one in wholes)


@needs_contract
def test_the_recorded_cycles_are_judged_vehicle_by_vehicle():
    judged = {}
    for vehicle, readings in cycles().items():
        whole = merged(readings).whole(readings[-1].at_ms, {})
        verdicts = "/".join(one["verdict"] for one in whole["buses"].values())
        judged[vehicle] = (len(whole["parameters"]), whole["connected"], whole["modules_complete"], verdicts)
    assert judged == {
        "2900117": (126, True, True, "ok/ok/failed"),
        "2900127": (101, True, True, "ok/ok/off"),
        "2900133": (85, True, True, "ok/failed/off"),
        "2900141": (0, True, True, "worked/worked/off"),
        "2900143": (0, False, True, "worked/ok/off"),
        "2900151": (88, True, True, "ok/ok/off"),
    }


@needs_contract
@pytest.mark.parametrize(
    ("name", "vehicle", "readings", "values", "modules"),
    [
        ("vehicle_snapshot_v4.json", "2900104", 1, 10, 36),
        ("complete_body_vehicle_2900117.json", "2900117", 1, 126, 40),
        ("complete_body_vehicle_2900195.json", "2900195", 1, 29, 41),
    ],
)
def test_records_of_other_software_are_read(
    name: str, vehicle: str, readings: int, values: int, modules: int
):
    found = read_record(orjson.loads((SNAPSHOTS / name).read_bytes()))
    assert (found[-1].vehicle_id, len(found)) == (vehicle, readings)
    whole = merged(found).whole(found[-1].at_ms, {})
    assert (len(whole["parameters"]), len(whole["modules"])) == (values, modules)
    assert whole["plate"].startswith("TST")
    assert "%" not in orjson.dumps(whole["header"]).decode()


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"a": 1},
        {"parameters": []},
        {"moduleState": [], "vehicleId": 1},
        {"result": {}},
        {"parameters_tab": 5},
    ],
)
def test_what_is_no_record_is_said_to_be_none(record: dict[str, Any]):
    with pytest.raises(Unreadable):
        read_record(record)


def test_a_collector_takes_the_driver_from_the_row_where_the_raw_message_has_none(ambient: Ambient):
    live: Any = SimpleNamespace(ctx=SimpleNamespace(ambient=ambient), now_ms=lambda: T0)
    collector = Collector(live, "2900108")
    raw = said("1502000B240B000B00002F5B00002712FF0800")
    row = {"raw_message": raw, "inbound": "1", "inner_id": "0000000920001747", "driver_code": "5007919 "}
    collector._take(Came(Push("UNIT_MESSAGES", (row,), {}), vehicle_id="2900108"))  # pyright: ignore[reportPrivateUsage]

    assert collector.whole()["header"]["driver_code"] == "5007919"
