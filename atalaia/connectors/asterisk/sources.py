"""Where configuration comes from: a folder of text files, a database, or both (then the database wins)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from atalaia.connectors.asterisk import textfiles
from atalaia.connectors.asterisk.database import read_database
from atalaia.connectors.asterisk.directory import Client, Directory, Endpoint, MqServer, Problem, Rules
from atalaia.connectors.asterisk.textfiles import Report


@dataclass(frozen=True)
class Sources:
    """Where to read. `etc` gives each file its place unless the file is named by itself."""

    etc: Path | None = None
    clients: Path | None = None
    endpoints: Path | None = None
    ring_groups: Path | None = None
    mq_servers: Path | None = None
    database_url: str = ""

    def path(self, own: Path | None, name: str) -> Path | None:
        """Answer where one file is, None when nothing names it."""
        return own or (self.etc / name if self.etc else None)

    def files(self) -> list[Path]:
        """Answer every text file that is read, for watching; a file need not exist."""
        named = (
            self.path(self.clients, textfiles.CLIENTS),
            self.path(self.endpoints, textfiles.ENDPOINTS),
            self.path(self.ring_groups, textfiles.RING_GROUPS),
            self.path(self.mq_servers, textfiles.MQSERVERS),
        )
        return [one for one in named if one is not None]

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Answer what changes when a file does: compare it with an earlier one."""
        return tuple((str(one), *_times(one)) for one in self.files())


def _times(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, -1
    return found.st_mtime_ns, found.st_size


def read_directory(sources: Sources, rules: Rules | None = None) -> Directory:
    """Read all sources into one directory, whose `problems` say what was skipped and why. Blocking.

    Errors: `ConfigError` and `Unavailable` of the database; a broken file is only a problem.
    """
    base = read_database(sources.database_url) if sources.database_url else Directory()
    text = _read_text(sources, base)
    return replace(text.merged(base), rules=rules or Rules())


def read_mq_servers(sources: Sources) -> tuple[list[MqServer], list[Problem]]:
    """Read the RabbitMQ servers in order of preference, with their passwords: never into the log."""
    path = sources.path(sources.mq_servers, textfiles.MQSERVERS)
    if path is None:
        return [], []
    report = Report(path.name)
    return textfiles.read_mq_servers(path, report), report.problems


_Found = TypeVar("_Found")


def _read_text(sources: Sources, base: Directory) -> Directory:
    """Read the files; in mixed mode their lines may name clients of the database, `base`."""
    problems: list[Problem] = []

    def read(path: Path | None, reader: Callable[[Path, Report], dict[str, _Found]]) -> dict[str, _Found]:
        if path is None:
            return {}
        report = Report(path.name)
        found = reader(path, report)
        problems.extend(report.problems)
        return found

    clients: dict[str, Client] = read(
        sources.path(sources.clients, textfiles.CLIENTS), textfiles.read_clients
    )
    endpoints: dict[str, Endpoint] = read(
        sources.path(sources.endpoints, textfiles.ENDPOINTS),
        lambda path, report: textfiles.read_endpoints(path, report, {**clients, **base.clients}),
    )
    groups = read(
        sources.path(sources.ring_groups, textfiles.RING_GROUPS),
        lambda path, report: textfiles.read_ring_groups(
            path, report, {**clients, **base.clients}, {**endpoints, **base.endpoints}
        ),
    )
    return Directory(clients, endpoints, groups, tuple(problems))
