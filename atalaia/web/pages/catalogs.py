"""Catalogs on screen: look, change one entry, import files, see who changed what, take it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from atalaia.connectors.traffilog import importing
from atalaia.connectors.traffilog.catalogs import Problem
from atalaia.connectors.traffilog.gsensor import SIDES
from atalaia.desk.catalogs import catalogs as kept
from atalaia.desk.catalogs.catalogs import (
    CATALOGS,
    Catalogs,
    Change,
    ChangedMeanwhile,
    Counts,
    Entry,
    Item,
    NoSuchEntry,
    Wanted,
)
from atalaia.jobs.queries import Job
from atalaia.jobs.submit import WrongParams
from atalaia.web import i18n, render
from atalaia.web.access import Who, require
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages.catalog_import import FIELD_NAMES, PROBLEMS_SHOWN, differences, problem_words
from atalaia.web.pages.catalog_sync import last_sync
from atalaia.web.pages.common import PageCursor, Part, Words, done, look, position, screens, show
from atalaia.web.pages.installs import catalog_name
from atalaia.web.parts import parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import page_of

routes = screens("installations:read")
Writer = Annotated[Who, Depends(require("catalogs:write"))]
Text = Annotated[str, Query(max_length=200)]
ROWS = 100
CHANGES = 30

SOURCE_NAMES = {
    "active": N_("Active scheme of the client (first choice)"), "selection": N_("Selection"),
    "settings": N_("Settings per profile"), "text": N_("Text file"), "clients": N_("Client's default"),
}  # fmt: skip
UNTOLD = ("updated", "client_name", "sendable")


@dataclass
class Shown:
    """One page of a catalog. counts: of every catalog. sync: the last job that read the portal's models."""

    entries: list[Entry]
    following: str | None
    changes: list[Change]
    counts: dict[str, int]
    clients: dict[str, str]
    sync: Job | None = None
    problems: list[Problem] = field(default_factory=list[Problem])


@routes.get("/catalogs")
async def start() -> Response:
    """Go to the first catalog."""
    return RedirectResponse(f"/catalogs/{CATALOGS[0]}", 303)


@routes.get("/catalogs/{catalog}")
async def page(
    request: Request, catalog: str, q: Text = "", key: Text = "", cursor: PageCursor = "", part: Part = ""
) -> Response:
    """Answer a catalog; `key` opens one entry to change, `+` a new one."""
    _check(catalog)
    return await _draw(request, catalog, q=q, key=key, cursor=cursor, part=part)


@routes.post("/catalogs/import")
async def import_files(request: Request, who: Writer, files: Annotated[list[UploadFile], File()]) -> Response:
    """Import files of the older software; what cannot be read is told, the rest is imported."""
    parts, words = parts_of(request), Words(request)
    files_read = [((file.filename or "file")[:80], await file.read()) for file in files]
    whole, source = importing.read_files(files_read), ", ".join(name for name, _ in files_read)
    found = await parts.store.write(
        lambda tx: importing.import_all(tx, Catalogs(parts.ambient), whole, by=who.name, source=source)
    )
    new = sum(one.new for one in found.values())
    changed = sum(one.changed for one in found.values())
    said = words(N_("Imported: %(new)s new, %(changed)s changed, %(problems)s problems."), new=new,
                 changed=changed, problems=len(whole.problems))  # fmt: skip
    if whole.problems:
        first = next(iter(found), CATALOGS[0])
        return await _draw(request, first, problems=whole.problems, said=said)
    return done(request, f"/catalogs/{next(iter(found), CATALOGS[0])}", said)


@routes.post("/catalogs/{catalog}/put")
async def put(request: Request, catalog: str, who: Writer) -> Response:
    """Keep one entry; when its key changes with it, the old one goes."""
    _check(catalog)
    parts = parts_of(request)
    given = {name: str(value) for name, value in (await request.form()).items()}
    try:
        item = importing.item_from(catalog, given)
    except WrongParams as error:
        errors = {one["field"]: one["said"] for one in error.fields}
        return await _draw(request, catalog, key=given.get("old") or "+", given=given, errors=errors)
    catalogs, old = Catalogs(parts.ambient), given.get("old", "")

    def write(tx: Connection) -> None:
        catalogs.put(tx, catalog, [item], by=who.name, source="screen")
        if old and old != item.key and kept.get_entry(tx, catalog, old):
            catalogs.remove(tx, catalog, old, by=who.name)

    await parts.store.write(write)
    return done(request, f"/catalogs/{catalog}", Words(request)(N_("Kept: %(name)s."), name=item.name))


@routes.post("/catalogs/{catalog}/remove")
async def remove(
    request: Request, catalog: str, who: Writer, key: Annotated[str, Form(max_length=200)]
) -> Response:
    """Take an entry out."""
    _check(catalog)
    said = N_("Removed: %(n)s entries.")
    return await _change(request, catalog, said, lambda acts, tx: acts.remove(tx, catalog, key, by=who.name))


@routes.post("/catalogs/{catalog}/undo")
async def undo(
    request: Request, catalog: str, who: Writer, change: Annotated[int, Form(ge=1)] = 0,
    batch: Annotated[str, Form(max_length=36)] = "",
) -> Response:  # fmt: skip
    """Take one change back, or all that were made together."""
    _check(catalog)
    said = N_("Taken back: %(n)s entries.")
    if batch:
        return await _change(request, catalog, said, lambda acts, tx: acts.undo_batch(tx, batch, by=who.name))
    return await _change(request, catalog, said, lambda acts, tx: acts.undo(tx, change, by=who.name))


async def _change(
    request: Request, catalog: str, said: str, work: Callable[[Catalogs, Connection], Counts]
) -> Response:
    parts, words = parts_of(request), Words(request)
    acts = Catalogs(parts.ambient)
    try:
        counts = await parts.store.write(lambda tx: work(acts, tx))
    except NoSuchEntry:
        raise not_found("entry") from None
    except ChangedMeanwhile:
        told = words(N_("It was changed after that. Take the later change back first."))
        return done(request, f"/catalogs/{catalog}", told, "bad")
    n = counts.new + counts.changed + counts.removed
    return done(request, f"/catalogs/{catalog}", words(said, n=n))


async def _draw(
    request: Request, catalog: str, *, q: str = "", key: str = "", cursor: str = "", part: str = "",
    given: Mapping[str, str] | None = None, errors: Mapping[str, str] | None = None,
    problems: list[Problem] | None = None, said: str = "",
) -> Response:  # fmt: skip
    after = position(cursor, str, str)

    def read(tx: Connection) -> tuple[Shown, Entry | None]:
        rows = kept.list_entries(tx, catalog, Wanted(q.strip()), after=after, limit=ROWS + 1)
        entries, following = page_of(rows, ROWS, "name", "key")
        opened = kept.get_entry(tx, catalog, key) if key not in ("", "+") else None
        changes = kept.history(tx, catalog, opened.key if opened else "", limit=CHANGES)
        sync = last_sync(tx) if catalog == kept.MODELS else None
        whose = {one.client for one in entries} | {client_of(one) for one in changes}
        named = kept.list_entries(
            tx, kept.CLIENTS, Wanted(keys=tuple(sorted(whose - {""}))), limit=ROWS + CHANGES
        )
        clients = {one.key: one.name for one in named}
        counts = kept.count_entries(tx)
        return Shown(entries, following, changes, counts, clients, sync, problems or []), opened

    shown, opened = await look(request, read)
    offered = await parts_of(request).store.read(_clients) if key else []
    with i18n.drawing(render.view_of(request)):
        tabs = [(one, catalog_name(one), f"/catalogs/{one}", shown.counts[one]) for one in CATALOGS]
        sides = [(one, one) for one in SIDES]
        sources = [(one, i18n.gettext(SOURCE_NAMES[one])) for one in importing.SOURCES]
        title = catalog_name(catalog)
        told_problems = [problem_words(one) for one in shown.problems[:PROBLEMS_SHOWN]]
    values: dict[str, Any] = {**(opened.value if opened else {}), **(given or {})}
    return show(
        request, "catalogs/catalog.html", part, catalog=catalog, title=title, tabs=tabs, shown=shown, q=q,
        first=after is None, opened=opened, editing=bool(key), values=values, errors=errors or {}, said_=said,
        fields=importing.FIELDS[catalog], field_names=FIELD_NAMES, sources=sources, sides=sides,
        needed=importing.NEEDED.get(catalog, 2), offered=offered, told=told_of, owner=owner_of,
        told_problems=told_problems, differs=differs,
    )  # fmt: skip


def _clients(tx: Connection) -> list[tuple[str, str]]:
    return [(one.key, one.name) for one in kept.all_entries(tx, kept.CLIENTS)]


def told_of(entry: Entry, clients: Mapping[str, str]) -> list[tuple[str, str]]:
    """Answer what of an entry is shown beside its name, in words: (field, value). clients: names by id."""
    found: list[tuple[str, str]] = []
    for name, value in entry.value.items():
        if name in UNTOLD or value in ("", None, False) or str(value) == entry.name:
            continue
        word = gettext(FIELD_NAMES[name]) if name in FIELD_NAMES else name
        if name == "client_id":
            known = clients.get(str(value))
            found.append((gettext("Client"), f"{known} · {value}" if known else str(value)))
        elif name == "source" and value in SOURCE_NAMES:
            found.append((word, gettext(SOURCE_NAMES[str(value)])))
        else:
            found.append((word, gettext("yes") if value is True else str(value)))
    return found


def client_of(change: Change) -> str:
    """Answer the client to whom a changed entry belongs, "" when it belongs to none."""
    whole: Mapping[str, Any] = change.after or change.before or {}
    return str(whole.get("client") or "")


def owner_of(change: Change, clients: Mapping[str, str]) -> str:
    """Answer to whom a changed entry belongs, or its key where that is what people know."""
    whole: Mapping[str, Any] = change.after or change.before or {}
    client = client_of(change)
    if change.catalog in (kept.SCHEMES, kept.MODELS):
        return clients.get(client, client)
    return change.key if change.key != whole.get("name") else ""


def differs(change: Change) -> list[tuple[str, str, str]]:
    """Answer what a change did to an entry, field by field; in the language of the view being drawn."""
    if not change.before or not change.after:
        return []
    after = change.after
    return differences(change.before, Item(change.key, str(after.get("name")), after.get("value") or {}))


def _check(catalog: str) -> None:
    if catalog not in CATALOGS:
        raise not_found("catalog")
