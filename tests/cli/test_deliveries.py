"""Deliveries from the command line: who got what, sending again, trying the way."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from atalaia.deliveries.receiver import Receiver
from tests.cli.conftest import Command
from tests.cli.ground import CALLS, CANARIES, CONSUMER, SIGNING, furnish
from tests.cli.test_events import ask


def test_deliveries_are_found_by_state_key_and_event(run: Command):
    assert [row["id"] for row in run("deliveries", "list", "--json").rows] == [4, 3, 2, 1]
    assert [row["id"] for row in run("deliveries", "list", "--state", "open", "--json").rows] == [4, 3]
    assert [row["state"] for row in run("deliveries", "list", "--key", CALLS[1], "--json").rows] == ["dead"]


def test_attempts_tell_what_the_consumer_answered(run: Command):
    (row,) = run("deliveries", "attempts", "2", "--json").rows
    assert (row["outcome"], row["status"], row["took_ms"]) == ("rejected", "HTTP 400", 7)


def test_a_dry_run_counts_and_writes_nothing(run: Command, folder: Path):
    done = run("deliveries", "replay", CONSUMER, "--type", "call.*", "--dry-run")
    assert "4 events would be sent" in done.out
    assert ask(folder, "select count(*) from deliveries") == [(4,)]


def test_a_replay_queues_new_deliveries_with_the_old_message_ids(run: Command, folder: Path):
    done = run("deliveries", "replay", CONSUMER, "--key", CALLS[0], "--json")
    assert done.rows[0]["queued"] == 1
    rows = ask(folder, f"select message_id, replay_of from deliveries where key = '{CALLS[0]}' order by id")
    assert rows[0][0] == rows[1][0]
    assert rows[1][1] == 1
    (told,) = ask(folder, "select body from events where type = 'delivery.replayed'")
    assert "command line" in str(told[0])


def test_a_replay_of_nothing_in_particular_is_refused(run: Command):
    done = run("deliveries", "replay", CONSUMER)
    assert done.status == 1
    assert "selection is empty" in done.errors


def test_dead_letters_are_tried_again_or_let_go(run: Command, folder: Path):
    assert "1 dead letters are tried" in run("deliveries", "redo", CONSUMER).out
    assert ask(folder, "select state from deliveries where id = 2") == [("pending",)]
    assert "0 dead letters" in run("deliveries", "skip", CONSUMER, "2").out


def test_a_consumer_that_is_away_fails_the_test_with_a_remedy(run: Command):
    done = run("deliveries", "test", CONSUMER)
    assert done.status == 1
    assert "failed" in done.out
    assert not [canary for canary in CANARIES if canary in done.out]


async def test_a_real_command_pings_a_real_consumer_with_a_good_signature(tmp_path: Path):
    receiver = Receiver(secrets=[SIGNING])
    url = await receiver.start()
    try:
        await asyncio.to_thread(furnish, tmp_path / "data", url)
        status, out = await command("deliveries", "test", CONSUMER, folder=tmp_path / "data")
    finally:
        await receiver.stop()
    assert status == 0, out
    assert receiver.received == 1
    assert receiver.messages[0].json()["type"] == "atalaia.ping"


async def command(*words: str, folder: Path) -> tuple[int, str]:
    """Run the real program."""
    environment = {
        **os.environ,
        "ATALAIA_DATA_DIR": str(folder),
        "ATALAIA_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8",
    }
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "atalaia", *words, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await running.communicate()
    return running.returncode or 0, out.decode()
