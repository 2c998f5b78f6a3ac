"""The log from the command line: look, take out, fold again."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tests.cli.conftest import Command
from tests.cli.ground import ASTERISK, BODY, CALLS, INTAKE


def ask(folder: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "atalaia.db") as db:
        rows = db.execute(query).fetchall()
    db.close()
    return rows


def test_tail_shows_the_last_events_that_fit_in_their_order(run: Command):
    done = run("events", "tail", "--no-follow", "-n", "2", "--type", "call.*", "--json")
    assert [row["key"] for row in done.rows] == list(CALLS[-2:])


def test_a_connection_is_found_by_its_name(run: Command):
    assert run("events", "grep", "1121001", "--connection", ASTERISK).status == 0
    assert run("events", "grep", "1121001", "--connection", INTAKE).status == 1


def test_grep_ends_with_status_1_when_nothing_fits(run: Command):
    assert run("events", "grep", "no such text").status == 1


def test_times_choose_what_was_written_then(run: Command):
    assert run("events", "grep", "voip1", "--since", "1h").status == 0
    assert run("events", "grep", "voip1", "--until", "1h").status == 1


def test_an_export_holds_the_whole_log_masked(run: Command, folder: Path, tmp_path: Path):
    file = tmp_path / "log.jsonl"
    done = run("events", "export", "--to", str(file))
    assert done.status == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    seqs = [row["seq"] for row in rows]
    assert seqs == [seq for (seq,) in ask(folder, "select seq from events order by seq")]
    assert BODY not in file.read_text()
    rest = run("events", "export", "--after", str(seqs[2])).out.splitlines()
    assert [json.loads(line)["seq"] for line in rest] == seqs[3:]


def test_what_an_asterisk_said_is_exported_as_a_capture_that_replay_reads(run: Command, tmp_path: Path):
    file = tmp_path / "call.jsonl"
    assert "1 events" in run("events", "export", "--capture", "--to", str(file)).out
    row = json.loads(file.read_text())
    assert row["event"]["type"] == "ChannelVarset"
    assert row["received"] > 1.7e9
    assert run("replay", "asterisk", str(file), folder=None).status == 0


def test_retry_marks_the_parked_events_of_one_reaction(run: Command, folder: Path):
    assert "1 events" in run("events", "retry", "calls").out
    assert ask(folder, "select state from parked") == [("again",)]
    assert "0 events" in run("events", "retry", "calls").out


def test_rebuild_forgets_a_table_and_its_cursor_only_when_confirmed(run: Command, folder: Path):
    assert run("events", "rebuild", "calls", input="n\n").status == 1
    assert ask(folder, "select count(*) from calls") == [(4,)]
    assert run("events", "rebuild", "calls", "--yes").status == 0
    assert ask(folder, "select count(*) from calls") == [(0,)]
    assert ask(folder, "select count(*) from cursors where reaction = 'calls'") == [(0,)]
