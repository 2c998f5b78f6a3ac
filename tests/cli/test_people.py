"""People and tokens from the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from atalaia.cli import app
from tests.cli.conftest import Command
from tests.cli.test_events import ask


def test_the_first_link_and_an_invitation_are_addresses_that_work_once(run: Command, folder: Path):
    assert re.search(r"http://127\.0\.0\.1:8000/welcome/\S{40,}", run("people", "link").out)
    done = run("people", "invite", "ana@example.com", "Ana", "--role", "agent")
    assert "/welcome/" in done.out
    (row,) = run("people", "list", "--json").rows
    assert (row["email"], row["role"], row["invited"]) == ("ana@example.com", "agent", True)
    assert ask(folder, "select count(*) from login_links") == [(2,)]
    assert "/welcome/" in run("people", "link", "ana@example.com").out


def test_the_link_begins_with_the_public_address(run: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATALAIA_PUBLIC_URL", "https://atalaia.example.com/")
    assert run("people", "link").out.startswith("https://atalaia.example.com/welcome/")


def test_a_lost_password_is_replaced_through_a_fresh_link(run: Command, folder: Path):
    run("people", "invite", "ana@example.com", "Ana")
    assert "/welcome/" in run("people", "link", "ana@example.com", "--new-password").out
    assert ask(folder, "select count(*) from login_links where used_ms is null") == [(1,)]
    assert "nobody" in run("people", "link", "x@example.com", "--new-password").errors


def test_a_stranger_gets_no_link(run: Command):
    done = run("people", "link", "nobody@example.com")
    assert done.status == 1
    assert "no person" in done.errors


def test_a_token_is_shown_once_listed_without_its_secret_and_revoked(run: Command):
    (made,) = run("tokens", "make", "portal", "--scope", "events:write", "--days", "9", "--json").rows
    listed = run("tokens", "list", "--json")
    assert made["token"].startswith("atl_")
    assert made["token"] not in listed.out
    assert listed.rows[0]["scopes"] == ["events:write"]
    assert run("tokens", "revoke", "portal").status == 0
    assert run("tokens", "list", "--json").rows[0]["state"] == "revoked"


def test_an_unknown_scope_is_answered_with_the_known_ones(run: Command):
    done = run("tokens", "make", "portal", "--scope", "everything")
    assert done.status == 1
    assert "scope" in done.errors


def test_every_command_explains_itself():
    import typer.main
    from typer.testing import CliRunner

    def leaves(command: object, words: tuple[str, ...]) -> list[tuple[str, ...]]:
        below: dict[str, object] = getattr(command, "commands", {})
        found = [one for name, sub in below.items() for one in leaves(sub, (*words, name))]
        return found or [words]

    for words in leaves(typer.main.get_command(app), ()):
        done = CliRunner().invoke(app, [*words, "--help"])
        assert done.exit_code == 0, words


def test_the_printed_addresses_are_routes_of_the_hub():
    from atalaia.web.pages import sign_in

    assert "/welcome/{secret}" in {getattr(route, "path", "") for route in sign_in.routes.routes}
