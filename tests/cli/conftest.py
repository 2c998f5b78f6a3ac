"""A furnished data folder, and a way to run commands on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atalaia.cli import app
from tests.cli.ground import furnish


@dataclass
class Said:
    """What a command printed and its exit status."""

    status: int
    out: str
    errors: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(one) for one in self.out.splitlines()]


Command = Callable[..., Said]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with connections, a consumer, events, deliveries in every state, and a gap."""
    data = tmp_path / "data"
    furnish(data)
    return data


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command on the furnished folder. `folder=None` names none; `input` answers questions."""
    monkeypatch.chdir(folder.parent)
    here = folder

    def call(*words: str, folder: Path | None = here, input: str | None = None) -> Said:
        named = ["--data-dir", str(folder)] if folder else []
        done = CliRunner().invoke(app, [*words, *named], input=input)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    return call
