"""Catalogs: clients with their schemes, vehicle models, mounting commands, technicians; which scheme wins.

`catalog_files.py` reads them out of the older software's files. Source: contracts/traffilog.md §13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

Source = Literal["active", "selection", "settings", "text", "clients"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in one place of a file.

    kind: `missing`, `type`, `value`, `duplicate`, `conflict` or `unreadable`. place: e.g. `clients.310273` or
    `line 4`. `str()` is a sentence for the screen.
    """

    file: str
    place: str
    field: str
    kind: str
    said: str
    remedy: str

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.file, self.place, self.field) if part)
        return f"{where}: {self.said} {self.remedy}"


@dataclass(frozen=True, slots=True)
class Scheme:
    """A vehicle setting that a client may use. profile: `""` when the file knows no profiles."""

    client_id: str
    scheme_id: str
    name: str
    source: Source
    profile: str = ""
    default: bool = False
    updated: str = ""
    client_name: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A vehicle model. id: the upstream's asset type. client_id: `""` for the general list."""

    id: str
    manufacturer: str
    model: str
    sub_model: str = ""
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A mounting command as a file has it; `sendable` is False where the rule says otherwise, with why."""

    label: str
    harness: str
    command: str
    sendable: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Technician:
    id: str
    nick: str


@dataclass
class Catalog:
    """What one file, or several put together, holds."""

    clients: dict[str, str] = field(default_factory=dict[str, str])
    schemes: list[Scheme] = field(default_factory=list[Scheme])
    models: list[Model] = field(default_factory=list[Model])
    commands: list[Command] = field(default_factory=list[Command])
    technicians: list[Technician] = field(default_factory=list[Technician])
    problems: list[Problem] = field(default_factory=list[Problem])

    def add(self, other: Catalog) -> None:
        """Put another file's content to this one's; the first name of a client stays."""
        self.clients = {**other.clients, **self.clients}
        self.schemes += other.schemes
        self.models += other.models
        self.commands += other.commands
        self.technicians += other.technicians
        self.problems += other.problems


@dataclass(frozen=True, slots=True)
class Choice:
    """The scheme of a client and where that comes from: `job` for what was asked for. None: nobody says."""

    scheme_id: str
    source: str
    name: str = ""


def choose_scheme(
    schemes: Iterable[Scheme], client_id: str, *, asked: str = "", profile: str = ""
) -> Choice | None:
    """Answer which scheme a client's vehicle gets.

    The newest generation's order: the active configuration, the selection file, then what the job asks for.
    After these come the older generation's defaults: of the profile, of the text file, of the client.
    A profile that was named beats the client's default, and only that.
    """
    own = [one for one in schemes if one.client_id == client_id]

    def first(source: Source, fits: Callable[[Scheme], bool]) -> Choice | None:
        found = next((one for one in own if one.source == source and fits(one)), None)
        return Choice(found.scheme_id, source, found.name) if found else None

    chosen = first("active", lambda one: True) or first("selection", lambda one: one.default)
    if chosen is not None:
        return chosen
    if asked:
        return Choice(asked, "job")
    if profile:
        named = first("settings", lambda one: one.profile == profile) or first(
            "clients", lambda one: one.profile == profile
        )
        if named is not None:
            return named
    return (
        first("text", lambda one: True)
        or first("settings", lambda one: one.default)
        or first("clients", lambda one: one.default)
    )
