"""The state snapshot: Markdown without secrets, pushed to a git repository by command and by the clock."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.connectors import CONNECTORS
from atalaia.serve import running
from atalaia.settings import load_settings
from tests.cli.conftest import Command
from tests.cli.ground import CANARIES
from tests.journeys.waiting import until

PASSWORD = "canary-in-the-address"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(repository: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", repository, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A repository that others push to."""
    made = tmp_path / "state.git"
    made.mkdir()
    git(made, "init", "--quiet", "--bare")
    return made


def test_a_snapshot_is_markdown_about_everything_and_tells_no_secret(run: Command, tmp_path: Path):
    file = tmp_path / "state.md"

    assert run("snapshot", str(file)).status == 0

    whole = file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    for title in ("# State of Atalaia", "## Workers", "## Connections", "## Jobs", "## Configuration"):
        assert title in whole
    assert "Central telephone" in whole
    for canary in CANARIES:
        assert canary not in whole


def test_each_push_is_a_commit_on_top_of_what_is_there(
    run: Command, bare: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
):
    monkeypatch.setenv("ATALAIA_SNAPSHOT_REPOSITORY", str(bare))
    monkeypatch.setenv("ATALAIA_SNAPSHOT_BRANCH", "state")

    first = run("snapshot", "--push")
    shutil.rmtree(folder / "snapshots")  # as on another machine
    second = run("snapshot", "--push")

    assert (first.status, second.status) == (0, 0)
    assert git(bare, "rev-parse", "state") in second.out
    assert git(bare, "rev-parse", "state~1") in first.out
    assert git(bare, "ls-tree", "--name-only", "state") == "state.md"
    told = git(bare, "log", "-p", "state")
    assert "Central telephone" in told
    for canary in CANARIES:
        assert canary not in told


def test_a_repository_that_refuses_is_told_without_its_password(
    run: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATALAIA_SNAPSHOT_REPOSITORY", f"http://me:{PASSWORD}@127.0.0.1:1/state.git")

    done = run("snapshot", "--push")

    assert done.status == 1
    assert "git ls-remote failed" in done.errors
    assert PASSWORD not in done.errors + done.out


def test_without_a_repository_a_push_says_which_setting_is_missing(run: Command):
    done = run("snapshot", "--push")

    assert done.status == 1
    assert "snapshot_repository" in done.errors


async def _pushed_later(clock: HeldClock, bare: Path) -> bool:
    await clock.run_for(60.0)
    return bool(await asyncio.to_thread(git, bare, "branch", "--list", "state"))


async def test_the_hub_pushes_by_itself_as_often_as_it_is_told(bare: Path, tmp_path: Path):
    clock = HeldClock()
    settings = load_settings(
        data_dir=tmp_path / "hub",
        snapshot_repository=str(bare),
        snapshot_every_hours=1,
        snapshot_branch="state",
    )

    async with running(settings, CONNECTORS, ambient=Ambient(clock=clock)):
        await until(lambda: _pushed_later(clock, bare), "the state is pushed", every_s=0.005, within_s=90)

    assert "State of Atalaia" in git(bare, "log", "--format=%s", "state")
