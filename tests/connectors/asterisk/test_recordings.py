"""Every shared recording of a real Asterisk must come to exactly what its expected.json says."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from atalaia.connectors.asterisk.replay import default_etc, replay_file
from tests.connectors.asterisk.folding import RECORDINGS

FILES = sorted(RECORDINGS.glob("*.jsonl"))
OPTIONAL = ("transferred_to", "pushed", "forceclose", "recovered")

pytestmark = pytest.mark.skipif(
    not FILES and os.environ.get("CI") != "true", reason="the shared recordings are not beside this checkout"
)


def test_the_recordings_are_there() -> None:
    assert len(FILES) >= 30
    assert default_etc() is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recording_gives_exactly_the_expected_calls(path: Path) -> None:
    expected = _expected(path)["calls"]

    assert [_record(facts) for facts in _calls(path)] == [_without_bus(one) for one in expected]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recording_gives_exactly_the_expected_messages_in_their_order_of_fields(path: Path) -> None:
    expected = [one["bus"] for one in _expected(path)["calls"]]
    by_guid: dict[str, list[Any]] = {}
    for line in replay_file(path, messages=True):
        assert line["kind"] == "message"
        body: Any = line["body"]
        if body["operation"]["type"] == "received-call":
            assert line["vhost"] == body["operation"]["vhost"]
            by_guid.setdefault(body["data"]["guid"], []).append(_with_placeholders(body))

    assert json.dumps(list(by_guid.values())) == json.dumps(expected)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recording_gives_exactly_the_expected_pushes_and_endpoint_states(path: Path) -> None:
    expected = _expected(path)
    facts = list(replay_file(path))
    pushes = [
        {"endpoint": fact["subject"], "at_ms": _ms(fact)}
        for fact in facts
        if fact.get("type") == "endpoint.wake_requested"
    ]
    statuses: list[dict[str, Any]] = [
        {"endpoint": fact["subject"], "status": fact["data"]["status"], "at_ms": fact["data"]["since_ms"]}  # type: ignore[index]
        for fact in facts
        if fact.get("type") == "endpoint.status_changed"
    ]

    assert pushes == expected["push"]
    assert statuses == expected["endpoint_status"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recording_replays_alike_each_time_and_holds_nothing_unreadable(path: Path) -> None:
    first = list(replay_file(path))

    assert first == list(replay_file(path))
    assert {line["kind"] for line in first} <= {"fact"}


def _expected(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".expected.json").read_text())


def _calls(path: Path) -> list[list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in replay_file(path):
        if str(line.get("type")).startswith("call."):
            found.setdefault(str(line["subject"]), []).append(line["data"])  # type: ignore[arg-type]
    return list(found.values())


def _record(facts: list[dict[str, Any]]) -> dict[str, Any]:
    first, last = facts[0], facts[-1]
    record = {
        "origin": first["origin"],
        "origin_type": first["origin_type"],
        "destiny_at_open": first["destiny"],
        "destiny_type_at_open": first["destiny_type"],
        "destiny": last["destiny"],
        "destiny_type": last["destiny_type"],
        "vhost": last["vhost"],
        "messages": [one["channelstatus"] for one in facts],
        "ringduration": last["ring_s"],
        "callduration": last["talk_s"],
        "caller_channel": last["channel_id"],
    }
    same = (
        "ring_ms",
        "talk_ms",
        "opened_ms",
        "answered_ms",
        "ended_ms",
        "dtmf",
        "reason",
        "hangup_by",
        "recording",
    )
    return record | {key: last[key] for key in same} | {key: last[key] for key in OPTIONAL if last[key]}


def _without_bus(call: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in call.items() if key not in {"bus", "note"}}


def _with_placeholders(body: dict[str, Any]) -> dict[str, Any]:
    data = body["data"]
    del data["extra"]
    data |= {"guid": "<guid>", "callnumber": "<n>"}
    if data.get("urlfilename"):
        data["urlfilename"] = "http://<audio server>/<server>/" + data["urlfilename"].rsplit("/", 1)[1]
    return body


def _ms(fact: dict[str, Any]) -> int:

    return round(datetime.fromisoformat(fact["time"]).timestamp() * 1000)
