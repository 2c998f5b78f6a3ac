"""Replaying captures from the field: kept and shown whatever is in them, never a crash."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atalaia.connectors.asterisk.capture import open_capture
from atalaia.connectors.asterisk.directory import Directory, Problem
from atalaia.connectors.asterisk.replay import replay, replay_file
from atalaia.errors import ConfigError
from tests.connectors.asterisk.folding import OWN, T0, Heard, Stream, stamp, world


def line(**fields: Any) -> bytes:
    return json.dumps({"received": T0 / 1000, **fields}).encode() + b"\n"


def row(heard: Heard) -> bytes:
    """Answer a heard event as a line of a capture."""
    return line(event=json.loads(heard.body))


def shown(*lines: bytes) -> list[dict[str, Any]]:
    return list(replay(lines, world()))


def a_call(stream: Stream) -> list[bytes]:
    caller = stream.channel("1121001", "1121002", "Ring")
    return [row(stream.created(caller)), row(stream.dials(caller, 1))]


def test_unknown_events_words_and_keys_are_shown_and_the_rest_goes_on() -> None:
    stream = Stream()
    found = shown(
        line(control="connected"),
        line(control="hiccup"),
        line(event={"type": "ChannelFlies", "timestamp": stamp(T0), "wings": 2}),
        line(weather="rain"),
        b"[1, 2]\n",
        b"not json\n",
        b'{"received": "soon", "event": {}}\n',
        line(event={"timestamp": stamp(T0)}),
        line(event={"type": "Dial", "timestamp": "later"}),
        *a_call(stream),
    )

    reasons = [one["reason"] for one in found if one["kind"] == "unreadable"]
    assert [one["line"] for one in found if one["kind"] == "unreadable"] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert (reasons[0], reasons[1]) == ("an unknown control word", "an event that this version does not know")
    assert [one["type"] for one in found if one["kind"] == "fact"] == ["call.opened"]
    assert all(one["raw"] for one in found if one["kind"] == "unreadable")


def test_a_line_that_was_cut_off_is_shown_and_the_lines_before_count() -> None:
    found = shown(*a_call(Stream()), row(Stream().peer("1121001", "Reachable", 5))[:60])

    assert [one["kind"] for one in found] == ["fact", "unreadable"]


def test_bare_frames_byte_order_marks_line_ends_and_blank_lines_are_taken() -> None:
    first, second = (json.dumps(json.loads(one)["event"]).encode() for one in a_call(Stream()))
    found = shown(b"\xef\xbb\xbf" + first + b"\r\n", b"\r\n", second)

    assert [one["type"] for one in found] == ["call.opened"]
    assert found[0]["time"] == "2026-11-18T11:06:40.001Z"


def test_a_line_of_ten_megabytes_is_only_a_line() -> None:
    big = line(event={"type": "Dial", "timestamp": stamp(T0), "fill": "x" * 10_000_000})
    found = shown(big, *a_call(Stream()))

    assert [one["kind"] for one in found] == ["unreadable", "fact"]
    assert len(found[0]["raw"]) == 2000


def test_events_between_connect_and_reading_are_held_back_until_its_end() -> None:
    stream = Stream()
    caller = stream.channel("1121001", "1121002", "Ring")
    body = {"method": "GET", "path": "/channels", "status": 200, "body": []}
    found = shown(*a_call(Stream()), line(control="disconnected", code=1006), line(control="connected"),
        row(stream.destroyed(caller, 4000)), line(rest=body),
        row(stream.peer("1121001", "Reachable", 5000)))  # fmt: skip

    facts = [(one["type"], one["data"].get("forceclose")) for one in found]
    assert facts == [
        ("call.opened", False), ("gap.closed", None), ("call.ended", False),
        ("endpoint.status_changed", None),
    ]  # fmt: skip


def test_a_request_long_after_the_connect_is_no_reading() -> None:
    late = {
        "received": T0 / 1000 + 60,
        "rest": {"method": "GET", "path": "/channels", "status": 200, "body": []},
    }
    found = shown(line(control="connected"), *a_call(Stream()), json.dumps(late).encode())

    assert [one["type"] for one in found] == ["call.opened"]


def test_messages_are_what_consumers_would_get() -> None:
    found = list(replay(a_call(Stream()), world(), messages=True))

    assert [(one["kind"], one["vhost"]) for one in found] == [("message", "cliente112")]


def test_a_packed_capture_is_unpacked(tmp_path: Path) -> None:
    source = next(iter(sorted(OWN.glob("*.gz"))))
    plain = tmp_path / "plain.jsonl"
    plain.write_bytes(gzip.decompress(source.read_bytes()))
    lines = list(replay_file(plain))

    assert list(replay_file(source)) == lines


@pytest.mark.parametrize("content", [b"%PDF-1.4\nnonsense\n", b"\x1f\x8bnot really gzip", b'{"a": 1}\n'])
def test_a_file_that_is_no_capture_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)

    with pytest.raises(ConfigError):
        list(replay_file(path))


def test_a_file_that_is_not_there_or_a_folder_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(ConfigError):
            list(replay_file(path))
    with pytest.raises(ConfigError):
        list(replay_file(next(OWN.glob("*.gz")), clients=tmp_path / "none.DEF"))


def test_an_empty_capture_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b"")

    assert list(replay(open_capture(path), world())) == []


def test_configuration_that_is_missing_or_broken_is_told_first() -> None:
    assert "--etc" in str(next(replay(a_call(Stream()), Directory()))["reason"])

    problem = Problem("endpoints_pjsip.def", 7, "Odd.", "a line", "Mend it.")
    first, *_ = replay(a_call(Stream()), replace(world(), problems=(problem,)))
    assert (first["kind"], first["file"], first["line"]) == ("unreadable", "endpoints_pjsip.def", 7)


def test_configuration_can_be_named_file_by_file(tmp_path: Path) -> None:
    clients, endpoints, capture = tmp_path / "c", tmp_path / "e", tmp_path / "x.jsonl"
    clients.write_text("[112]\nvhost = elsewhere\n")
    endpoints.write_text("#include x ; Endpoint:1121001 CLI:112 TYPE:condominio\n")
    capture.write_bytes(b"".join(a_call(Stream())))
    [fact] = replay_file(capture, clients=clients, endpoints=endpoints, server="voip9")

    data: Any = fact["data"]
    assert (data["vhost"], data["origin_type"], data["server"]) == ("elsewhere", "condominio", "voip9")
