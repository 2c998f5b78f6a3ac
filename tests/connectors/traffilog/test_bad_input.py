"""Rows, records and captures of any content: a clear word, never a crash, and nothing else is lost by it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.connectors.traffilog.capture import Frame, read_capture, to_fixture
from atalaia.connectors.traffilog.compare import compare
from atalaia.connectors.traffilog.records import read_record
from atalaia.connectors.traffilog.replay import replay_file
from atalaia.errors import ConfigError, Unreadable
from tests.connectors.traffilog.folding import Fold, answer, push, queued, status

MANY = settings(max_examples=200, deadline=None)
NAMES = [
    "raw_message",
    "inbound",
    "driver_code",
    "status",
    "progress",
    "type",
    "error",
    "id",
    "param_value",
    "paramvalue",
    "orig_time",
    "inner_id",
    "vehicle_id",
    "server_time",
    "process_id",
    "is_connected",
    "module_descr",
    "sub_module_descr",
    "ok",
    "was_ok",
    "active",
    "command_syntax",
    "configuration_key_db",
    "configuration_key_unit",
    "toggle_check",
    "param_type_descr",
    "ignition",
    "mileage",
]
texts = st.sampled_from(
    [
        "",
        "0",
        "1",
        "2",
        "00002715",
        "FFFFFFFF",
        "DISCONNECTED",
        "(o2w,8,06025753)",
        "100",
        "99.99",
        "1e5",
        "CAN",
    ]
) | st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2)
)
rows = st.dictionaries(st.sampled_from(NAMES), leaves | values, max_size=8)
ACTIONS = [
    "execute_action_opr",
    "get_vehicle_info",
    "get_vehicle_data_from_redis",
    "get_unit_parameters_opr",
    "get_monitor_module_state",
    "add_remove_custom_command",
    "get_vcls_action_review_opr",
]


@MANY
@given(
    st.lists(rows, max_size=3),
    st.sampled_from(["UNIT_MESSAGES", "UNIT_CONFIG_STATUS", "UNIT_PARAMETERS", "x"]),
)
def test_pushes_of_any_content_are_folded_or_said_to_be_unreadable(found: list[dict[str, Any]], source: str):
    fold = Fold()
    fold.hear(queued(), status("12"))
    with suppress(Unreadable):
        fold.hear(push(source, *found))
    assert orjson.dumps([dict(one.data) for one in fold.facts])  # what was folded can be written down


@MANY
@given(st.lists(rows, max_size=3), rows, st.sampled_from(ACTIONS))
def test_answers_of_any_content_are_folded_or_said_to_be_unreadable(
    found: list[dict[str, Any]], asked: dict[str, Any], action: str
):
    fold = Fold()
    with suppress(Unreadable):
        fold.hear(answer(action, *found, asked=asked))
    assert orjson.dumps([dict(one.data) for one in fold.facts])  # what was folded can be written down


keys = st.sampled_from(
    [
        "result",
        "snapshot",
        "snapshots",
        "can_snapshot",
        "can_snapshot_latest",
        "parameters",
        "moduleState",
        "parameters_tab",
        "header",
        "raw",
        "meta",
        "rows",
        "at",
        "capturedAt",
        "vehicleId",
        "vehicle_id",
        "isConnected",
        "module_state",
        "id",
        "value_raw",
        "raw_value",
    ]
)
dates = st.sampled_from(["2026-11-18T10:00:00.000Z", "never"])
records = st.recursive(
    leaves | dates,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=15,
)


@MANY
@given(st.dictionaries(keys, records, max_size=6))
def test_records_of_any_content_are_read_or_said_to_be_none(record: dict[str, Any]):
    with suppress(Unreadable):
        for one in read_record(record):
            assert one.vehicle_id


@MANY
@given(
    st.text(max_size=60) | st.builds(lambda value: orjson.dumps({"action": value}).decode(), rows | leaves)
)
def test_frames_of_any_content_are_compared(text: str):
    [one] = compare([Frame(1, "out", 0, text)])
    assert one.verdict in ("different", "unknown", "unreadable")


@pytest.mark.parametrize(
    "line",
    [
        {"dir": "in", "t_ms": 1},
        {"dir": "in", "t_ms": "1", "raw": "x"},
        {"dir": "up", "t_ms": 1, "raw": "x"},
        {"dir": "out", "t_ms": 1, "raw": 5},
        {"dir": "in", "t_ms": 1, "raw": None, "json": None},
        {"dir": "in", "t_ms": 1, "raw": None, "json": {"a": 1}},
        {"dir": "in", "t_ms": 1, "raw": "x", "socket": "a", "at_ms": "b"},
    ],
)
def test_lines_of_any_shape_are_read_or_named(tmp_path: Path, line: dict[str, Any]):
    good = {"dir": "out", "t_ms": 0, "raw": "%7B%22action"}
    path = tmp_path / "some.jsonl"
    path.write_bytes(orjson.dumps(good) + b"\n" + orjson.dumps(line))
    frames = read_capture(path)
    assert len(frames) == 2
    assert (frames[1].text is None) == bool(frames[1].why)
    list(to_fixture(frames))
    assert [one for one in replay_file(path) if one["kind"] == "unreadable"]


def test_a_har_of_any_shape_is_read_or_refused(tmp_path: Path):
    path = tmp_path / "some.har"
    for log in (
        {},
        {"entries": 5},
        {"entries": [5, {"_webSocketMessages": 5}, {"_webSocketMessages": [5, {}]}]},
    ):
        path.write_bytes(orjson.dumps({"log": log}))
        with pytest.raises(ConfigError):
            read_capture(path)
