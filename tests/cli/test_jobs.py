"""`atalaia jobs`: asking, looking, deciding and calling off beside a running hub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from atalaia.ambient import Ambient
from atalaia.connections.registry import Registry
from atalaia.connectors import CONNECTORS
from atalaia.jobs.dispatch import Taker, claim
from atalaia.jobs.ledger import Ledger
from atalaia.jobs.model import StepKind
from atalaia.secretbox import SecretBox
from atalaia.store.connect import open_store
from atalaia.store.tables import workers
from tests.cli.conftest import Command, Said
from tests.jobs.toy import CONNECTOR, KINDS, ToySettings

ASKED = '{"resource":"a","session_token":"canary-session-token"}'


@pytest.fixture(autouse=True)
def toy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program know the toy, and configure one."""
    monkeypatch.setitem(CONNECTORS, "toy", CONNECTOR)
    registry = Registry({"toy": ToySettings}, SecretBox.from_file(folder / "secret.key"))
    write(folder, lambda tx: registry.create(tx, "c1", "toy", "My toy", ToySettings(), 1))


def write(folder: Path, work: Callable[[Connection], Any]) -> Any:
    """Write as a hub does."""

    async def run() -> Any:
        store = await open_store("", folder)
        try:
            return await store.write(work)
        finally:
            await store.close()

    return asyncio.run(run())


def submit(run: Command, *more: str, kind: str = "toy.one") -> Said:
    return run("jobs", "submit", kind, ASKED, "--connection", "My toy", *more)


def doubtful(folder: Path, job: str) -> None:
    """Let a job come to be in doubt, as its worker would."""
    ambient = Ambient()
    kinds = {f"toy.{kind.name}": kind for kind in KINDS}

    def work(tx: Connection) -> None:
        row = {"host": "h", "pid": 1, "version": "", "git_sha": "", "started_ms": 1, "seen_ms": 1}
        tx.execute(insert(workers).values(id="w", **row))
        [taken] = claim(tx, ambient, kinds, Taker("w", 1))
        assert taken.id == job
        ledger = Ledger(ambient, job, 1, taken.epoch)
        _, entry = ledger.begin(tx, "order", StepKind.UNSAFE)
        ledger.sending(tx, entry, {"tag": taken.trace}, [])
        ledger.doubt(tx, entry, "It left, and no answer is known.")

    write(folder, work)


def test_a_job_is_asked_for_once_a_key_and_listed_and_shown(run: Command):
    [made] = submit(run, "--key", "k", "--json").rows
    [again] = submit(run, "--key", "k", "--json").rows
    assert (again["job"], made["state"]) == (made["job"], "queued")

    [row] = run("jobs", "list", "--state", "open", "--json").rows
    [shown] = run("jobs", "show", made["job"][:30], "--json").rows
    assert row["id"] == shown["id"] == made["job"]
    assert (shown["kind"], shown["steps"], len(shown["pipeline"])) == ("toy.one", [], 1)
    for said in (run("jobs", "list").out, run("jobs", "show", made["job"]).out):
        assert made["job"] in said
        assert "canary-session-token" not in said


def test_a_dry_run_prints_the_frames_and_queues_nothing(run: Command):
    [frame] = submit(run, "--dry-run", "--json").rows

    assert json.loads(frame["text"]) == {"session_token": "•••", "resource": "a"}
    assert run("jobs", "list", "--json").out == ""
    assert "There is no job" in run("jobs", "list").out


def test_what_can_be_asked_is_listed_with_its_parameters(run: Command):
    found = {row["kind"]: row for row in run("jobs", "kinds", "--json", folder=None).rows}

    assert found["toy.one"]["dry_run"] and not found["toy.few"]["dry_run"]
    assert "resource" in found["toy.one"]["params"]["properties"]


def test_a_job_is_called_off_and_run_again_with_a_reason(run: Command):
    [made] = submit(run, "--json").rows
    assert "is cancelled" in run("jobs", "cancel", made["job"], "--reason", "not wanted").out
    assert run("jobs", "cancel", made["job"]).status == 1
    [again] = run("jobs", "retry", made["job"], "--reason", "wanted", "--json").rows

    assert again["state"] == "queued"


def test_a_job_in_doubt_is_found_and_decided(run: Command, folder: Path):
    [made] = submit(run, "--json").rows
    doubtful(folder, made["job"])
    [waiting] = run("jobs", "list", "--state", "person", "--json").rows
    assert waiting["state"] == "in_doubt"
    assert "in_doubt" in run("jobs", "show", made["job"]).out

    assert run("jobs", "decide", made["job"], "perhaps").status == 1
    [decided] = run("jobs", "decide", made["job"], "happened", "--result", '{"n":1}', "--json").rows
    [shown] = run("jobs", "show", made["job"], "--json").rows
    assert decided["state"] == "running"
    assert [(step["state"], step["result"]) for step in shown["steps"]] == [("happened", {"n": 1})]


def test_a_decision_takes_what_was_seen_upstream(run: Command, folder: Path):
    [made] = submit(run, "--json").rows
    doubtful(folder, made["job"])

    assert run("jobs", "decide", made["job"], "happened", "--evidence", "10422606").status == 1
    given = ("--evidence", "process_id=10422606", "--evidence", "seen_in=history")
    assert run("jobs", "decide", made["job"], "happened", *given).status == 0
    [shown] = run("jobs", "show", made["job"], "--json").rows
    assert shown["steps"][0]["evidence"]["seen"] == {"process_id": "10422606", "seen_in": "history"}


def test_the_doctor_and_the_snapshot_know_of_jobs_in_doubt(run: Command, folder: Path):
    [made] = submit(run, "--json").rows
    doubtful(folder, made["job"])
    found = {row["what"]: row for row in run("doctor", "--json").rows}

    assert not found["jobs"]["ok"]
    assert "--state person" in found["jobs"]["todo"]
    assert found["SQLite of jobs"]["ok"]


def test_jobs_that_were_open_in_a_backup_are_not_run_when_it_is_restored(
    run: Command, folder: Path, tmp_path: Path
):
    [doubtful_one] = submit(run, "--json").rows
    doubtful(folder, doubtful_one["job"])
    [queued] = submit(run, "--json", kind="toy.few").rows
    file, other = tmp_path / "atalaia.tar", tmp_path / "other"
    assert run("backup", str(file)).status == 0
    said = run("restore", str(file), folder=other)
    rows = {row["id"]: row for row in run("jobs", "list", "--json", folder=other).rows}

    assert "1 jobs were open" in said.out
    assert rows[queued["job"]]["reason"] == "restored"
    assert rows[queued["job"]]["state"] == "cancelled"
    assert rows[doubtful_one["job"]]["state"] == "in_doubt"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("submit", "toy.never", "{}", "--connection", "My toy"), "toy.one"),
        (("submit", "toy.one", "{", "--connection", "My toy"), "not JSON"),
        (("submit", "toy.one", "[]", "--connection", "My toy"), "no JSON object"),
        (("submit", "toy.one", '{"resource":""}', "--connection", "My toy"), "resource does not fit"),
        (("submit", "toy.one", "{}", "--connection", "Nowhere"), "My toy"),
        (("show", "nothing"), "no job that begins"),
        (("list", "--state", "lost"), "in_doubt"),
    ],
)
def test_mistakes_are_answered_with_what_there_is(run: Command, words: tuple[str, ...], said: str):
    done = run("jobs", *words)

    assert done.status == 1
    assert said in done.errors
