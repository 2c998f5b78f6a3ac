"""Whatever a command prints: JSON when asked, help when empty, and never a secret."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.ground import ASTERISK, CANARIES, CONSUMER

LISTS = [
    ("connections", "list"),
    ("connections", "show", ASTERISK),
    ("connections", "gaps"),
    ("connections", "gaps", ASTERISK),
    ("deliveries", "subscriptions"),
    ("deliveries", "list"),
    ("deliveries", "list", "--subscription", CONSUMER, "--state", "open"),
    ("deliveries", "dead"),
    ("deliveries", "attempts", "2"),
    ("events", "tail", "--no-follow"),
    ("events", "grep", "canary"),
    ("events", "parked"),
]


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_every_list_speaks_json_and_tables_and_tells_no_secret(run: Command, words: tuple[str, ...]):
    table, rows = run(*words), run(*words, "--json")
    assert (table.status, rows.status) == (0, 0)
    assert rows.rows
    for canary in CANARIES:
        assert canary not in table.out + rows.out


def test_a_list_without_rows_teaches_the_next_step(run: Command):
    assert "tokens make" in run("tokens", "list").out
    assert "prints a link" in run("people", "list").out
    assert run("tokens", "list", "--json").out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("connections", "show", "Nobody"), ASTERISK),
        (("deliveries", "redo", "Nobody"), CONSUMER),
        (("deliveries", "attempts", "4711"), "no delivery 4711"),
        (("deliveries", "list", "--state", "lost"), "waiting"),
        (("events", "tail", "--family", "both"), "heard or fact"),
        (("events", "grep", "x", "--since", "yesterday"), "how long ago"),
        (("events", "rebuild", "deliveries"), "calls, endpoints, alerts, gaps"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_ones(run: Command, words: tuple[str, ...], said: str):
    done = run(*words)
    assert done.status == 1
    assert said in done.errors


def test_a_folder_without_a_database_says_how_to_start(run: Command, tmp_path: Path):
    done = run("connections", "list", folder=tmp_path / "nowhere")
    assert done.status == 1
    assert "bin/atalaia up" in done.errors


def test_a_snapshot_tells_everything_but_secrets(run: Command, tmp_path: Path):
    file = tmp_path / "snapshot.tar.gz"
    assert run("snapshot", str(file)).status == 0
    assert file.stat().st_mode & 0o077 == 0
    with tarfile.open(file) as tar:
        contents = {one.name: read(tar, one) for one in tar.getmembers()}
    names = {name.rpartition("/")[2] for name in contents}
    assert {"connections.json", "connection_settings.json", "subscriptions.json", "events.jsonl"} <= names
    whole = "".join(contents.values())
    assert "Central telephone" in whole
    for canary in CANARIES:
        assert canary not in whole


def read(tar: tarfile.TarFile, one: tarfile.TarInfo) -> str:
    found = tar.extractfile(one)
    assert found is not None
    return found.read().decode()


def test_a_connection_that_is_not_heard_says_where_it_failed_and_what_to_do(run: Command, folder: Path):
    failure = {"said": "The name x is not known here.", "cause": "dns", "todo": "Correct the address."}
    row = ("opening", 1_795_000_000_000, 1, "", json.dumps({"failure": failure}), 1)
    database = sqlite3.connect(folder / "atalaia.db")
    with database:
        database.execute("delete from connection_states")
        database.execute(
            "insert into connection_states (connection, state, since_ms, attempt, reason, evidence, epoch) "
            "select id, ?, ?, ?, ?, ?, ? from connections",
            row,
        )
    database.close()

    assert "The name x is not known here." in run("connections", "list").out
    shown = run("connections", "show", ASTERISK).out
    for told in failure.values():
        assert told in shown
