"""The documentation tells of everything there is, and committed files tell of nothing they should not."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"

# Put together here, so that this file does not hold what it forbids.
REGISTRIES = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("proxy", "golang", "org"),
    ]
]
MACHINE_PATHS = ["/".join(("", *parts, "")) for parts in [("work",), ("root",), ("farm",)]]


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def reference() -> str:
    pages = sorted(REFERENCE.rglob("*.md"))
    assert pages, f"no page in {REFERENCE.relative_to(ROOT)}"
    return "\n".join(page.read_text() for page in pages)


def load(name: str) -> Any:
    return importlib.import_module(name)


def test_every_fact_is_described():
    text = reference()
    facts = [fact.type for fact in load("atalaia.events.catalogue").FACTS]
    assert facts
    assert [name for name in facts if f"`{name}`" not in text] == []


def test_every_setting_is_described():
    text = reference()
    fields = list(load("atalaia.settings").Settings.model_fields)
    assert fields
    assert [
        name for name in fields if f"`{name}`" not in text and f"`ATALAIA_{name.upper()}`" not in text
    ] == []


def commands(command: Any, words: tuple[str, ...]) -> Iterator[str]:
    """Answer every command that can be given, as it is typed."""
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(words)
    for name, one in (below or {}).items():
        if not one.hidden:
            yield from commands(one, (*words, name))


def test_every_command_is_described():
    import typer.main

    text = reference()
    typed = list(commands(typer.main.get_command(load("atalaia.cli").app), ("atalaia",)))
    assert typed
    assert [words for words in typed if words not in text] == []


def test_the_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "bin/atalaia demo" in text
    assert "bin/test" in text


def test_links_between_pages_lead_somewhere():
    broken: list[str] = []
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:|#|/", target) and not (page.parent / target.partition("#")[0]).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("word", [*REGISTRIES, *MACHINE_PATHS])
def test_no_committed_file_names(word: str):
    """No host of a package registry, and no path of the machine it was written on."""
    # A path counts only where it begins, so that such a folder within another stays a fine name.
    pattern = re.compile((rb"(?<![\w.$}/-])" if word.startswith("/") else rb"") + re.escape(word).encode())
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode(errors='replace')}"
        for path in tracked_files()
        if (match := pattern.search(path.read_bytes()))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", ["atalaia/web/static/vendor", "tests/browser/vendor"])
def test_vendored_files_are_those_that_were_fetched(folder: str):
    """Each file is in the lock with version, licence and SHA-384; its package's licence lies beside it."""
    vendor = ROOT / folder
    entries: list[dict[str, str]] = json.loads((vendor / "vendor.lock.json").read_text())
    assert entries
    for entry in entries:
        assert entry["version"] and entry["licence"], entry
        path = vendor / entry["file"]
        digest = hashlib.sha384(path.read_bytes())
        known = {digest.hexdigest(), base64.b64encode(digest.digest()).decode()}
        assert entry["sha384"].removeprefix("sha384-") in known, f"{entry['file']} has changed"
    locked = {vendor / entry["file"] for entry in entries}
    present = {
        path for path in vendor.rglob("*") if path.is_file() and path.suffix in (".js", ".css", ".svg")
    }
    assert present <= locked, f"not in the lock: {sorted(present - locked)}"
    for package in {path.parent for path in locked} - {vendor}:
        above = [package, *package.parents]
        folders = above[: above.index(vendor)]
        assert any(list(one.glob("LICEN[SC]E*")) for one in folders), (
            f"{package.name} has no licence beside it"
        )
