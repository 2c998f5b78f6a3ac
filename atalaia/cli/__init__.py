"""The command line. Each command lives in a module of its own; every list has `--json`.

Only the module of the command that was typed is imported: the others would cost a second of every start.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module

import typer

from atalaia.version import VERSION, git_sha

# What can be typed first: the module below this package, and what in it is the command or group.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up", "up"),
    "demo": ("demo", "demo"),
    "connections": ("connections", "app"),
    "events": ("events", "app"),
    "jobs": ("jobs", "app"),
    "deliveries": ("deliveries", "app"),
    "alerts": ("alerts", "app"),
    "people": ("people", "app"),
    "tokens": ("tokens", "app"),
    "replay": ("replay", "replay"),
    "frames": ("frames", "app"),
    "catalogs": ("catalogs", "app"),
    "doctor": ("doctor", "doctor"),
    "snapshot": ("snapshot", "snapshot"),
    "backup": ("backup", "backup"),
    "restore": ("backup", "restore"),
    "bench": ("bench", "app"),
}


def main() -> None:
    """Run what was typed."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    made = make([first] if first in COMMANDS else () if first == "version" else COMMANDS)
    made(prog_name="atalaia")


def make(names: Iterable[str]) -> typer.Typer:
    """Answer the program with these commands; `version` is always there."""
    made = typer.Typer(
        name="atalaia",
        help="One hub for a team that lives on systems which are not its own.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    made.callback()(_nothing)  # with one command alone, its name would not be asked for
    for name in names:
        module, what = COMMANDS[name]
        found = getattr(import_module(f"{__name__}.{module}"), what)
        if isinstance(found, typer.Typer):
            made.add_typer(found, name=name)
        else:
            made.command(name)(found)
    made.command("version")(version)
    return made


def version() -> None:
    """Say which code this is."""
    typer.echo(" ".join(part for part in ("atalaia", VERSION, git_sha()) if part))


def _nothing() -> None:
    """One hub for a team that lives on systems which are not its own."""


def __getattr__(name: str) -> typer.Typer:
    """Answer `app`, the whole program, for whoever looks at all of it: tests, documentation, entry points."""
    if name != "app":
        raise AttributeError(name)
    whole = globals()["app"] = make(COMMANDS)
    return whole
