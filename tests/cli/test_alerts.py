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


def test_a_channel_is_added_changed_and_removed(run: Command):
    place = "json://ana:canary-herring@example.com/x"
    added = run("alerts", "channel", "add", "Ops", "--place", "-", "--quiet", "22:00-06:30", "--hold-s", "60",
                input=f"{place}\n")  # fmt: skip
    assert added.status == 0 and "canary-herring" not in added.out + added.errors
    rows = {row["name"]: row for row in run("alerts", "channels", "--json").rows}
    assert rows["Ops"]["policy"]["quiet_to"] == "06:30" and rows["Ops"]["policy"]["hold_s"] == 60
    changed = run("alerts", "channel", "change", "Ops", "--quiet", "", "--severity", "urgent", "--off")
    assert changed.status == 0, changed.errors
    row = next(row for row in run("alerts", "channels", "--json").rows if row["name"] == "Ops")
    assert (row["enabled"], row["policy"]["quiet_from"], row["policy"]["severity"]) == (False, "", "urgent")
    assert row["policy"]["hold_s"] == 60
    assert run("alerts", "channel", "remove", "Ops").status == 0
    assert [row["name"] for row in run("alerts", "channels", "--json").rows] == ["Night watch"]


def test_what_a_channel_cannot_be_is_refused_and_nothing_is_kept(run: Command):
    assert "Write a time" in run(
        "alerts", "channel", "add", "x", "--place", "json://example.com/x", "--quiet", "late-early"
    ).errors  # fmt: skip
    assert "no address" in run("alerts", "channel", "add", "x", "--place", "nonsense").errors
    assert "either" in run("alerts", "channel", "add", "x", "--place", "json://x/", "--to", "55119").errors
    assert len(run("alerts", "channels", "--json").rows) == 1


def test_a_connection_is_silenced_listed_and_heard_again(run: Command):
    name = run("connections", "list", "--json").rows[0]["name"]
    assert run("alerts", "silence", "--connection", name, "--reason", "router", "--for", "2h").status == 0
    [row] = run("alerts", "silences", "--json").rows
    assert (row["of"], row["reason"]) == (name, "router")
    assert run("alerts", "unsilence", row["id"]).status == 0
    assert run("alerts", "silences", "--json").rows == []
    assert len(run("alerts", "silences", "--all", "--json").rows) == 1
    assert run("alerts", "silence", "--reason", "what").status == 1
