"""A real client's frames beside ours; its secrets never leave the reader."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from atalaia.connectors.traffilog import actions
from atalaia.connectors.traffilog.capture import Frame, read_capture, to_fixture
from atalaia.connectors.traffilog.compare import compare
from atalaia.connectors.traffilog.wire import Action, build_frame
from atalaia.errors import ConfigError
from tests.connectors.traffilog.ground import COMMAND_RUN, FRAGMENTED, SCHEME_RUN, T0, TOKEN

REVIEW = build_frame(actions.review("310209"), TOKEN, "1780240367372464698537990", "289548")
SECRETS = (TOKEN.value, TOKEN.value.lower(), "hunter2", "ana.exemplo")


def judged(text: str) -> tuple[str, list[tuple[str, str]]]:
    [one] = compare([Frame(1, "out", 0, text)])
    return one.verdict, [(difference.kind, difference.field) for difference in one.differences]


def har(*messages: tuple[str, str], opcode: int = 1) -> bytes:
    rows = [
        {"type": kind, "time": T0 / 1000 + n, "opcode": opcode, "data": text}
        for n, (kind, text) in enumerate(messages)
    ]
    entry = {"request": {"url": f"wss://h/G/{TOKEN.value}/json"}, "_webSocketMessages": rows}
    other = {"request": {"url": "https://h/"}}
    return orjson.dumps({"log": {"version": "1.2", "entries": [other, entry]}})


@pytest.mark.parametrize(
    ("path", "counts"),
    [(SCHEME_RUN, {"same": 32}), (COMMAND_RUN, {"same": 7, "harmless": 1}), (FRAGMENTED, {"harmless": 2})],
    ids=["scheme", "command", "fragmented"],
)
def test_the_recorded_frames_are_ours(path: Path, counts: dict[str, int]):
    found: dict[str, int] = {}
    for one in compare(read_capture(path)):
        found[one.verdict] = found.get(one.verdict, 0) + 1
        if one.verdict == "same":
            assert one.ours == one.theirs
    assert found == counts


def changed(change: Any, text: str = REVIEW) -> str:
    whole = orjson.loads(text)
    change(whole)
    return orjson.dumps(whole).decode()


@pytest.mark.parametrize(
    ("text", "verdict", "differences"),
    [
        (REVIEW, "same", []),
        (quote(REVIEW, safe="-_.!~*'()"), "same", []),
        (quote(REVIEW, safe="-_.!~*'()").replace("%3A", "%3a"), "different", [("encoding", "")]),
        (REVIEW.replace(":", ": "), "different", [("shape", "")]),
        (REVIEW.replace(TOKEN.value, ""), "different", [("token", "session_token")]),
        (REVIEW.replace('"310209"', "310209"), "different", [("type", "parameters.client_id")]),
        (
            changed(lambda whole: whole["action"]["parameters"].pop("client_id")),
            "different",
            [("missing", "parameters.client_id")],
        ),
        (changed(lambda whole: whole["action"].pop("flow_id")), "different", [("missing", "action.flow_id")]),
        (changed(lambda whole: whole.update(mtkn="1")), "different", [("extra", "mtkn")]),
        (
            changed(lambda whole: whole["action"].update(name=whole["action"].pop("name"))),
            "different",
            [("order", "action")],
        ),
        (
            changed(lambda whole: whole["action"]["parameters"].update(mtkn="5")),
            "different",
            [("mtkn", "parameters.mtkn")],
        ),
        (
            changed(lambda whole: whole["action"]["parameters"].update(tag="x")),
            "different",
            [("order", "parameters"), ("extra", "parameters.tag")],
        ),
        (build_frame(Action("get_user_command_list", {"filter": ""}), TOKEN, "1", "200000"), "unknown", []),
        ('{"action":{"action":{}}}', "unreadable", [("shape", "")]),
        ("hello", "unreadable", [("shape", "")]),
    ],
)
def test_each_difference_is_named_by_its_field(text: str, verdict: str, differences: list[tuple[str, str]]):
    assert judged(text) == (verdict, differences)


def test_differences_that_are_known_to_work_are_told_apart():
    info = build_frame(
        Action("get_vehicle_info", {"tag": "loading_screen", "vehicle_id": "7"}), TOKEN, "1", "200000"
    )
    assert judged(info) == ("harmless", [("extra", "parameters.tag")])
    confirm = build_frame(actions.confirm_command("1", "x", keep_priority="true"), TOKEN, "1", "200000")
    assert judged(confirm) == ("harmless", [("type", "parameters.keep_priority")])
    confirm = build_frame(actions.confirm_command("1", "x", keep_priority="false"), TOKEN, "1", "200000")
    assert judged(confirm)[0] == "different"


@pytest.mark.parametrize(
    "action",
    [
        actions.client_vehicles("1", "x", license_nmbr="TST0A00"),
        actions.quick_command("SPT:1"),
        actions.connected("7"),
        actions.parameter_metadata("7"),
        actions.unsubscribe("7"),
        actions.subscribe("7", "UNIT_CONFIG_STATUS", value=True),
        actions.confirm_command("1", "x"),
    ],
    ids=lambda action: action.name,
)
def test_every_action_of_ours_is_known_to_the_comparison(action: Action):
    assert judged(build_frame(action, TOKEN, "17", "234567")) == ("same", [])


def test_a_har_is_read_with_its_times_and_without_secrets(tmp_path: Path):
    login = '{"action":{"name":"user_login","parameters":{"login_name":"ana.exemplo","password":"hunter2"}}}'
    answer = f'{{"response":{{"properties":{{"session_token":"{TOKEN.value.lower()}"}}}}}}'
    path = tmp_path / "session.har"
    path.write_bytes(har(("send", quote(REVIEW)), ("receive", answer), ("send", login)))

    frames = read_capture(path)

    assert [(one.direction, one.t_ms, one.at_ms, one.socket) for one in frames] == [
        ("out", 0, T0, 1), ("in", 1_000, T0 + 1_000, 1), ("out", 2_000, T0 + 2_000, 1),
    ]  # fmt: skip
    written = b"".join(orjson.dumps(line) for line in to_fixture(frames)).decode()
    assert not [secret for secret in SECRETS if secret in written]
    assert [one.verdict for one in compare(frames)] == ["same", "different"]


def test_binary_messages_of_a_har_are_read_or_named(tmp_path: Path):
    path = tmp_path / "session.har"
    good = base64.b64encode(REVIEW.encode()).decode()
    path.write_bytes(har(("send", good), ("send", "%%%"), opcode=2))
    frames = read_capture(path)
    assert compare(frames)[0].verdict == "same"
    assert (frames[1].text, frames[1].why) == (None, "a binary message that is no text")


@pytest.mark.parametrize("path", [SCHEME_RUN, FRAGMENTED], ids=["scheme", "fragmented"])
def test_an_exported_capture_reads_like_the_original(path: Path, tmp_path: Path):
    frames = read_capture(path)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in to_fixture(frames)))

    again = read_capture(copy)

    assert [(one.direction, one.t_ms, one.at_ms, one.text) for one in again] == [
        (one.direction, one.t_ms, one.at_ms, one.text) for one in frames
    ]
    assert TOKEN.value.encode() not in copy.read_bytes().upper()


def test_a_har_without_messages_of_sockets_says_how_to_take_one(tmp_path: Path):
    path = tmp_path / "firefox.har"
    path.write_bytes(
        orjson.dumps({"log": {"version": "1.2", "entries": [{"request": {"url": "https://h/"}}]}})
    )
    with pytest.raises(ConfigError, match="Firefox writes none"):
        read_capture(path)
