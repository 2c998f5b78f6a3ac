"""`atalaia alerts`: looking, taking, silencing and trying channels beside a running hub."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from atalaia.ambient import Ambient
from atalaia.desk.alerts.channels import Policy, create_channel
from atalaia.desk.alerts.fold import Alerts
from atalaia.desk.people.model import HUB
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.reactions.folding import Folding
from atalaia.reactions.runner import catch_up
from atalaia.secretbox import SecretBox
from atalaia.store.connect import open_store
from tests.cli.conftest import Command
from tests.cli.ground import ARI_PASSWORD

PLACE = "json://ana:canary-swordfish@127.0.0.1:1/hook"


@pytest.fixture(autouse=True)
def alert(folder: Path) -> None:
    """Raise one alert of three causes, with a secret in its words; set a channel up."""

    async def run() -> None:
        store, ambient = await open_store("", folder), Ambient()
        detail = {"known": f"401 for {ARI_PASSWORD}", "todo": "Correct it."}
        data = {"title": "It needs a person.", "detail": detail, "grouping": "g", "severity": "urgent"}
        facts = [Fact("alert.raised", f"person:c{n}", 1_800_000_000_000, data) for n in range(3)]
        box = SecretBox.from_file(folder / "secret.key")
        given: Any = {"place": PLACE, "hint": "JSON", "policy": Policy(), "by": HUB}
        await store.write(lambda tx: create_channel(tx, ambient, box, name="Night watch", **given))
        await store.write(lambda tx: append_facts(tx, ambient, "test", facts))
        await catch_up([Folding(Alerts(), store, ambient)])
        await store.close()

    asyncio.run(run())


def test_an_alert_is_listed_once_and_shown_with_its_members(run: Command):
    [row] = run("alerts", "list", "--json").rows
    assert (row["headline"], row["members"], row["state"]) == ("3 connections need a person", 3, "raised")
    shown = run("alerts", "show", row["id"])
    assert "Correct it." in shown.out and ARI_PASSWORD not in shown.out
    assert len(run("alerts", "show", row["id"][:23], "--json").rows[0]["causes"]) == 3


def test_an_alert_is_taken_and_silenced_and_heard_again(run: Command):
    [row] = run("alerts", "list", "--json").rows
    assert run("alerts", "take", row["id"], "--note", "I look").status == 0
    assert run("alerts", "list", "--json").rows[0]["taken_by"] == "command line"
    assert run("alerts", "silence", row["id"], "--reason", "works", "--for", "2h").status == 0
    assert run("alerts", "list", "--json").rows == []
    assert run("alerts", "list", "--state", "silenced", "--json").rows[0]["silenced_until"]
    assert run("alerts", "unsilence", row["id"]).status == 0
    assert run("alerts", "silence", row["id"], "--reason", "works", "--for", "soon").status == 1


def test_a_channel_is_tried_and_what_happened_is_said_without_its_address(run: Command):
    [row] = run("alerts", "channels", "--json").rows
    assert (row["name"], row["service"]) == ("Night watch", "JSON")
    tried = run("alerts", "test", "Night watch")
    assert tried.status == 1 and "not a public address" in tried.errors
    assert run("alerts", "channels", "--json").rows[0]["last"]["state"] == "failed"
    assert "canary-swordfish" not in tried.out + tried.errors


def test_what_is_not_there_says_so(run: Command):
    assert "There is no alert" in run("alerts", "show", "nothing").errors
    assert "There are: “Night watch”" in run("alerts", "test", "nobody").errors
