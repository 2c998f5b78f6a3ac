"""`replay traffilog`: what is understood of captures and records, line by line, and the same each time."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from atalaia.connectors.traffilog.replay import replay_file
from atalaia.errors import ConfigError
from tests.connectors.traffilog.ground import CONTRACT, FRAGMENTED, SCHEME_RUN, lines

needs_contract = pytest.mark.skipif(not CONTRACT.is_dir(), reason="the contract is not beside this checkout")


def replayed(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [orjson.loads(orjson.dumps(line)) for line in replay_file(path, **options)]


def facts(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in found if one["kind"] == "fact" and one["type"] == kind]


def test_the_recorded_scheme_builder_is_told_without_an_alarm():
    found = replayed(SCHEME_RUN)

    assert found[-1]["kind"] == "summary"
    assert (found[-1]["alarms"], found[-1]["pushes"], "unreadable" in found[-1]) == (0, 1429, False)
    [ended] = facts(found, "process.ended")
    assert (ended["subject"], ended["time"]) == ("10422606", "2026-05-31T15:18:40.230Z")
    assert ended["data"]["outcome"] == "completed_unconfirmed"
    [key] = facts(found, "process.key_acknowledged")
    assert key["data"]["configuration_key"] == "6A1C5000"
    assert found == replayed(SCHEME_RUN)


def test_a_run_that_falls_silent_is_an_alarm_and_an_unknown_end(tmp_path: Path):
    cut = [one for one in lines(SCHEME_RUN) if one["t_ms"] < 200_000 or one["dir"] == "out"]
    path = tmp_path / "cut.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(one) for one in cut))

    found = replayed(path)

    assert found[-1]["alarms"] == 1
    [ended] = facts(found, "process.ended")
    assert (ended["data"]["outcome"], ended["data"]["why"]) == ("unknown", "silent")


def test_the_recorded_fragments_become_modules_and_decoded_values():
    found = replayed(FRAGMENTED)
    whole = facts(found, "vehicle.snapshot_merged")[-1]["data"]
    assert (len(whole["modules"]), len(whole["parameters"])) == (36, 10)
    assert (
        whole["parameters"]["0000711F"] | {"value": 10.56, "unit": "bar"} == whole["parameters"]["0000711F"]
    )
    assert whole["buses"]["can1"]["verdict"] == "ok"
    assert found[-1]["fragments"] == 246
    together = [one for one in found if one["kind"] == "reassembled"]
    assert [(one["action"], one["fragments"], one["rows"], one["partial"]) for one in together] == [
        ("send_quick_command", 3, 0, False),
        ("get_monitor_module_state", 38, 36, False),
        ("vehicle_subscribe", 2, 0, False),
        ("get_unit_parameters_opr", 203, 201, False),
    ]


def test_messages_are_shown_as_they_were_put_together():
    found = replayed(FRAGMENTED, messages=True)
    shown = [(one["type"], len(one["rows"]), one["fragments"]) for one in found if one["kind"] == "message"]
    assert shown == [
        ("traffilog.answer.send_quick_command", 0, 3),
        ("traffilog.answer.get_monitor_module_state", 36, 38),
        ("traffilog.answer.vehicle_subscribe", 0, 2),
        ("traffilog.answer.get_unit_parameters_opr", 201, 203),
        ("traffilog.UNIT_PARAMETERS", 2, 1),
        ("traffilog.UNIT_PARAMETERS", 8, 1),
    ]
    assert not [one for one in found if one["kind"] == "fact"]
    asked = [one["action"] for one in found if one["kind"] == "request"]
    assert asked == ["get_monitor_module_state", "get_unit_parameters_opr"]


def test_what_cannot_be_read_is_a_line_and_the_rest_is_read(tmp_path: Path):
    good = {"dir": "in", "t_ms": 5, "raw": '{"half'}
    status = {"status": "In Progress", "progress": "0", "type": "Scheme Builder", "error": " "}
    push = {"action_name": "refresh", "data_source": "UNIT_CONFIG_STATUS", "mtkn": "-1", "data": [status]}
    asked = {"action": {"name": "vehicle_subscribe", "parameters": {"vehicle_id": "7", "object_type": "x"}}}
    path = tmp_path / "some.jsonl"
    rows = [
        b"no json", b"[]", orjson.dumps({"dir": "in"}), orjson.dumps(good), b"",
        orjson.dumps({"dir": "out", "t_ms": 6, "raw": "flat"}),
        orjson.dumps({"dir": "out", "t_ms": 6, "raw": orjson.dumps(asked).decode()}),
        orjson.dumps({"dir": "in", "t_ms": 7, "json": {"response": {"properties": push}}}),
    ]  # fmt: skip
    path.write_bytes(b"\n".join(rows))

    found = replayed(path)

    assert [one["line"] for one in found if one["kind"] == "unreadable"] == [1, 2, 3, 4, 6]
    assert all(one["reason"] for one in found if one["kind"] == "unreadable")


@needs_contract
def test_cycles_are_merged_oldest_first_and_never_get_poorer():
    found = replayed(CONTRACT / "snapshots" / "cycles")
    merged = facts(found, "vehicle.snapshot_merged")
    assert len(merged) == 25
    known: dict[str, int] = {}
    for one in merged:
        count = len(one["data"]["parameters"])
        assert count >= known.get(one["subject"], 0)
        known[one["subject"]] = count
    assert {one["subject"] for one in merged if not one["data"]["usable"]} == {"2900141", "2900143"}
    assert known == {
        "2900143": 0, "2900133": 85, "2900127": 101, "2900117": 126, "2900151": 88, "2900141": 0,
    }  # fmt: skip


@needs_contract
@pytest.mark.parametrize(
    "name", ["vehicle_snapshot_v4", "complete_body_vehicle_2900117", "complete_body_vehicle_2900195"]
)
def test_records_of_each_form_are_replayed(name: str):
    found = replayed(CONTRACT / "snapshots" / f"{name}.json")
    assert [one["kind"] for one in found] == ["fact", "summary"]


def test_a_record_in_a_folder_that_is_none_is_named_and_the_others_are_read(tmp_path: Path):
    record = {"vehicleId": "7", "capturedAt": "2026-11-18T10:00:00.000Z", "parameters": [], "moduleState": []}
    (tmp_path / "a.json").write_bytes(b"{}")
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(orjson.dumps(record)))
    found = replayed(tmp_path)
    assert [one["kind"] for one in found] == ["unreadable", "fact", "summary"]
    assert found[0]["file"] == "a.json"


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", b"{}", b"[1,2]", b'{"log":{"entries":[]}}', b"\x1f\x8bno gzip"]
)
def test_a_file_that_is_none_of_these_is_refused_in_words(tmp_path: Path, content: bytes):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        list(replay_file(path))
    with pytest.raises(ConfigError):
        list(replay_file(tmp_path / "nothing"))
