"""The commands as they are typed: `frames compare`, `frames export`, `replay traffilog`."""

from __future__ import annotations

from pathlib import Path

import orjson
from typer.testing import CliRunner

from atalaia.cli import make
from tests.connectors.traffilog.ground import COMMAND_RUN, FRAGMENTED, TOKEN


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(make(["frames", "replay"]), [str(word) for word in words])
    return result.exit_code, result.output


def test_a_capture_is_compared_in_a_table_and_as_json():
    status, shown = run("frames", "compare", COMMAND_RUN)
    assert status == 0
    assert "7 same" in shown and "keep_priority" in shown

    status, lines = run("frames", "compare", COMMAND_RUN, "--json", "--strict")
    found = [orjson.loads(line) for line in lines.splitlines()]
    assert (status, len(found)) == (0, 8)
    assert found[4]["differences"][0]["field"] == "parameters.keep_priority"
    assert TOKEN.value not in lines


def test_strict_ends_with_1_when_a_frame_is_different(tmp_path: Path):
    path = tmp_path / "flat.jsonl"
    path.write_bytes(orjson.dumps({"dir": "out", "t_ms": 0, "raw": '{"tag":"x","parameters":{}}'}))
    assert run("frames", "compare", path)[0] == 0
    assert run("frames", "compare", path, "--strict")[0] == 1


def test_a_capture_becomes_a_fixture_that_can_be_replayed(tmp_path: Path):
    out = tmp_path / "fixture.jsonl"
    assert run("frames", "export", FRAGMENTED, "--out", out)[0] == 0
    status, told = run("replay", "traffilog", out)
    assert status == 0
    assert told == run("replay", "traffilog", FRAGMENTED)[1]
    assert run("frames", "export", FRAGMENTED, "--socket", 7)[0] != 0


def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path):
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b"")
    for words in (("frames", "compare", path), ("frames", "export", path), ("replay", "traffilog", path)):
        status, shown = run(*words)
        assert status not in (0, None)
        assert "Traceback" not in shown
    assert run("replay", "nothing", path)[0] != 0
