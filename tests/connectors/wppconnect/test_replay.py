"""`replay wppconnect` on every recording: the facts, and the same each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from atalaia.cli.replay import readable_line
from atalaia.connectors.wppconnect.replay import replay_file
from atalaia.errors import ConfigError
from tests.connectors.wppconnect.ground import CONTRACT, message

EXPECTED = Path(__file__).parent / "expected"
RECORDINGS = sorted(CONTRACT.rglob("*.json"))
GROUP_MESSAGE = CONTRACT / "hub-envelope" / "message-group-author-lid.json"
REVISIONS = {"ciphertext", "content", "edit", "revoked", "notice", "reaction", "ack"}
needs_contract = pytest.mark.skipif(not CONTRACT.is_dir(), reason="the contract is not beside this checkout")


def replayed(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [orjson.loads(orjson.dumps(line)) for line in replay_file(path, **options)]


def facts(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in found if one["kind"] == "fact"]


def expected_of(path: Path) -> Path:
    """Answer where the output for a recording is kept, as `bin/atalaia replay wppconnect FILE` prints it."""
    return EXPECTED / path.parent.name / f"{path.stem}.jsonl"


@needs_contract
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recording_gives_the_facts_that_are_kept_beside_it(path: Path):
    printed = [orjson.loads(line) for line in expected_of(path).read_bytes().splitlines()]

    assert replayed(path) == printed


@needs_contract
def test_every_fact_of_a_message_has_identity_revision_contact_conversation_and_time():
    found = [
        one for path in RECORDINGS for one in facts(replayed(path)) if one["type"].startswith("message.")
    ]

    assert len(found) >= 10
    for one in found:
        assert one["identity"] and one["contact"] and one["conversation"] == one["subject"], one
        assert one["time"] > "2025", one
        assert one["revision"].partition(":")[0] in REVISIONS, one


@needs_contract
def test_the_readable_form_says_when_who_and_what_in_one_line():
    [told, said, _] = [readable_line(one) for one in replayed(GROUP_MESSAGE)]

    assert told.startswith("2026-01-15T18:26:14  contact.alias_learned")
    assert "alias=150000000000304@lid phone=551155500304 evidence=shown_number" in told
    assert "author=(wid=150000000000304@lid phone=551155500304 name=“Loja Exemplo”)" in said
    assert said.endswith("text=“Mensagem de exemplo com acentuação à vista” ack=1")


@needs_contract
def test_every_recording_is_understood_without_an_unreadable_line():
    found = {path: replayed(path) for path in sorted(CONTRACT.rglob("*.json"))}

    assert len(found) == 24
    assert [one for lines in found.values() for one in lines if one["kind"] == "unreadable"] == []
    assert found == {path: replayed(path) for path in found}


@needs_contract
def test_direct_messages_have_identity_contact_conversation_and_time():
    [one] = facts(replayed(CONTRACT / "hub-envelope" / "message-direct-cus-1.json"))

    assert (one["type"], one["time"]) == ("message.received", "2026-01-09T19:50:10.000Z")
    data = one["data"]
    assert (data["key"], data["channel"], data["phone"]) == (
        "3EB02E8D1A8886442D2FC7",
        "canalum",
        "551155500101",
    )
    assert (data["kind"], data["text"], data["author"]["name"]) == (
        "content",
        "teste webhook real",
        "Carlos Exemplo",
    )
    assert one["subject"] == data["conversation"] != data["contact"]


@needs_contract
def test_the_three_direct_messages_are_one_conversation():
    found = facts(replayed(CONTRACT / "hub-envelope"))

    direct = [one for one in found if one["type"] == "message.received" and not one["data"]["group"]]
    assert len({one["subject"] for one in direct}) == 1
    assert len({one["data"]["message"] for one in direct}) == 4


@needs_contract
def test_the_recorded_ciphertext_becomes_readable():
    found = facts(replayed(CONTRACT / "wppconnect-server" / "05-ciphertext-then-chat.json"))

    assert [(one["type"], one["data"]["kind"], one["data"]["text"]) for one in found] == [
        ("message.received", "ciphertext", ""), ("message.revised", "content", "hello"),
    ]  # fmt: skip


def test_lines_lists_and_broken_lines_are_read(tmp_path: Path):
    lines = tmp_path / "hooks.jsonl"
    lines.write_bytes(orjson.dumps(message("A1")) + b"\n{broken\n" + orjson.dumps(message("A2")) + b"\n")
    listed = tmp_path / "hooks.json"
    listed.write_bytes(orjson.dumps([message("A1"), message("A1")]))

    assert [one["kind"] for one in replayed(lines)] == ["fact", "unreadable", "fact", "summary"]
    assert replayed(listed)[-1] == {"kind": "summary", "duplicates": 1, "facts": 1, "heard": 1}


@pytest.mark.parametrize("content", [None, b"<html>"])
def test_what_is_no_recording_says_so(tmp_path: Path, content: bytes | None):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"there is no|is not JSON"):
        replayed(path)
