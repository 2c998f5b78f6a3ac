"""What the jobs send, held against what the upstream's own clients were recorded to send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atalaia.connectors.traffilog.jobs import gsensor_command, scheme_builder
from atalaia.connectors.traffilog.jobs.asked import ForVehicle, traced
from atalaia.connectors.traffilog.jobs.evidence import Trace, key_is_new, keys_agree
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.jobs.model import JobKind
from tests.connectors.traffilog.ground import COMMAND_RUN, SCHEME_RUN, lines
from tests.connectors.traffilog.live.test_settings import GOOD

ASKED = {"client_id": "310209", "client_name": "Rápido Exemplo", "vehicle_id": "2900108"}
SETTINGS = TraffilogSettings.model_validate(GOOD)


def recorded(path: Path, count: int) -> list[tuple[str, list[str]]]:
    """Answer the first frames that were sent: action and parameter names, in order."""
    out = [row for row in lines(path) if row["dir"] == "out"]
    return [_shape(row["json"]["action"]) for row in out[:count]]


def planned(kind: JobKind, **more: str) -> list[tuple[str, list[str]]]:
    assert kind.plan is not None
    frames = kind.plan(SETTINGS, kind.params.model_validate(ASKED | more))
    return [_shape(json.loads(one.text)["action"]) for one in frames if one.surface == "websocket"]


def _shape(action: dict[str, Any]) -> tuple[str, list[str]]:
    return action["name"], list(action["parameters"])


def test_a_scheme_builder_sends_the_recorded_frames_after_one_look_at_the_vehicle():
    ours = planned(scheme_builder.KIND, vehicle_setting_id="5611")

    assert ours[0][0] == "get_vehicle_info"
    assert ours[1:] == recorded(SCHEME_RUN, 9)


def test_a_gsensor_command_sends_the_recorded_frames_and_listens_before_the_last():
    ours = planned(gsensor_command.KIND, label="RIGHT", harness="DOWN")
    listened = [one for one in ours[1:] if one[0] != "vehicle_subscribe"]

    assert listened == recorded(COMMAND_RUN, 8)
    assert ours[-2][0] == "vehicle_subscribe"


@pytest.mark.parametrize(
    ("comment", "process", "said"),
    [
        ("", "", "#rid=1_a"),
        ("Installed ", "10422606", "Installed #rid=1_a #pid=10422606"),
    ],
)
def test_a_comment_carries_the_trace(comment: str, process: str, said: str):
    assert traced(comment, "1_a", process) == said


def test_ids_may_be_numbers_as_old_clients_send_them():
    asked = ForVehicle.model_validate({"client_id": 310209, "client_name": "X", "vehicle_id": 2900108})
    assert (asked.client_id, asked.vehicle_id) == ("310209", "2900108")


@pytest.mark.parametrize(
    ("key", "before", "new"),
    [
        ("6A1C5000", "67546D46", True),  # of the second in which it was sent
        ("6a1c5000", "6A1C5000", False),  # the one that was there
        ("67546D46", "", False),  # of last year
        ("00000000", "", False),
        ("no key", "", False),
    ],
)
def test_a_key_tells_when_its_process_began(key: str, before: str, new: bool):
    assert key_is_new({"configuration_key_db": key}, before, 0x6A1C5000 * 1000) is new


def test_keys_agree_only_when_there_is_one():
    assert keys_agree({"configuration_key_db": "6A1C5000", "configuration_key_unit": "6a1c5000"})
    assert not keys_agree({"configuration_key_db": "00000000", "configuration_key_unit": "00000000"})
    assert not keys_agree({"configuration_key_db": "6A1C5000", "configuration_key_unit": "67546D46"})


def test_a_persons_word_stands_in_for_a_lost_answer():
    probe = Trace()
    assert probe.found({"process_id": "1"}, 7) == {"process_id": "1"}
    assert probe.found(None, 7)["executed_ms"] == 7
    probe.evidence = {"process_id": "2", "sent_ms": 9, "key_before": "K"}
    found = probe.found(None, 7)
    assert (found["process_id"], found["executed_ms"], found["key_before"]) == ("2", 9, "K")
