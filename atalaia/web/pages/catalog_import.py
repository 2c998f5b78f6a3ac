"""What an import would change, before it does: new entries, changed ones by field, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, File, Request, Response, UploadFile
from sqlalchemy import Connection

from atalaia.connectors.traffilog import importing
from atalaia.connectors.traffilog.catalog_files import read_catalog
from atalaia.connectors.traffilog.catalogs import Catalog, Problem
from atalaia.desk.catalogs.catalogs import CATALOGS, Item, Preview, preview
from atalaia.errors import ConfigError
from atalaia.web import i18n, render
from atalaia.web.access import Who, require
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages.common import screens, show
from atalaia.web.pages.installs import catalog_name
from atalaia.web.parts import parts_of
from atalaia.web.said import said

routes = screens("installations:read")
Writer = Annotated[Who, Depends(require("catalogs:write"))]
SHOWN, PROBLEMS_SHOWN = 40, 100

FIELD_NAMES = {
    "id": N_("Number"), "name": N_("Name"), "client_id": N_("Client number"), "scheme_id": N_("Scheme"),
    "source": N_("Source"), "profile": N_("Profile"), "default": N_("Default"), "model": N_("Model"),
    "manufacturer": N_("Maker"), "sub_model": N_("Sub-model"), "nick": N_("Name"), "label": N_("Label"),
    "harness": N_("Harness"), "command": N_("Command"), "side": N_("Side"), "word": N_("Word"),
    "sendable": N_("May be sent"), "why": N_("Why not"), "updated": N_("Updated"),
    "client_name": N_("Client name"),
}  # fmt: skip


@dataclass(frozen=True)
class Changed:
    """One entry that would change: its name, and each field that differs, in words."""

    name: str
    key: str
    fields: list[tuple[str, str, str]]


@dataclass
class Part:
    """What an import would do to one catalog."""

    title: str
    new: list[Item]
    changed: list[Changed]
    same: int


@dataclass
class Planned:
    """What an import would do. problems: (file, place, what is wrong, what to do), in words."""

    parts: list[Part] = field(default_factory=list[Part])
    problems: list[tuple[str, str, str, str]] = field(default_factory=list[tuple[str, str, str, str]])

    @property
    def changes(self) -> int:
        """How many entries would be new or other."""
        return sum(len(one.new) + len(one.changed) for one in self.parts)


@routes.post("/catalogs/preview")
async def preview_files(
    request: Request, who: Writer, files: Annotated[list[UploadFile], File()]
) -> Response:
    """Answer what importing these files would change; nothing is changed now."""
    parts, view = parts_of(request), render.view_of(request)
    whole = read_files([((file.filename or "file")[:80], await file.read()) for file in files])

    def read(tx: Connection) -> Planned:
        with i18n.drawing(view):
            return planned_of(tx, whole)

    planned = await parts.store.read(read)
    return show(
        request, "catalogs/preview.html", "preview", planned=planned, shown_most=SHOWN,
        problems_most=PROBLEMS_SHOWN, files=[file.filename or "file" for file in files],
    )  # fmt: skip


def read_files(files: list[tuple[str, bytes]]) -> Catalog:
    """Read files that somebody sent, as (name, content); one of no known form is a problem like others."""
    whole = Catalog()
    for name, content in files:
        try:
            whole.add(read_catalog(name, content))
        except ConfigError as error:
            whole.problems.append(
                Problem(name, "", "", "unreadable", str(error), "Name a file of a known form.")
            )
    return whole


def planned_of(tx: Connection, whole: Catalog) -> Planned:
    """Answer what an import would do; in the language of the view being drawn."""
    items = importing.items_of(whole)
    found = {name: preview(tx, name, items[name]) for name in CATALOGS if items.get(name)}
    parts = [_part(name, one) for name, one in found.items()]
    return Planned(parts, [problem_words(one) for one in whole.problems])


def problem_words(one: Problem) -> tuple[str, str, str, str]:
    """Answer a problem in words: file, place and field, what is wrong, what to do."""
    place = one.place.replace("line ", gettext("line") + " ")
    where = ", ".join(part for part in (place, one.field) if part)
    return one.file, where or "—", said(one.said.removeprefix(f"{one.file}: ")), said(one.remedy)


def _part(catalog: str, found: Preview) -> Part:
    changed = [Changed(item.name, item.key, differences(before, item)) for before, item in found.changed]
    return Part(catalog_name(catalog), found.new, changed, found.same)


def differences(before: Mapping[str, Any], after: Item) -> list[tuple[str, str, str]]:
    """Answer (field, before, after) of each field that differs. before: {"name", "client", "value"}."""
    old: Mapping[str, Any] = before.get("value") or {}
    names = [name for name in {**old, **after.value} if old.get(name) != after.value.get(name)]
    return [
        (
            gettext(FIELD_NAMES[name]) if name in FIELD_NAMES else name,
            _told(old.get(name)),
            _told(after.value.get(name)),
        )
        for name in names
    ]


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    return "—" if value in (None, "") else str(value)
