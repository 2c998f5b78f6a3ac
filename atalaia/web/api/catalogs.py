"""Catalogs for programs: read, change with history, take back, import the older software's files.

The catalogs are the house's, not a connection's: see docs/how-to/install-a-unit.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, File, Query, Request, UploadFile
from pydantic import Field
from sqlalchemy import Connection

from atalaia.connectors.traffilog import importing
from atalaia.desk.catalogs import catalogs as kept
from atalaia.desk.catalogs.catalogs import (
    CATALOGS,
    Catalogs,
    ChangedMeanwhile,
    Counts,
    NoSuchEntry,
    Wanted,
)
from atalaia.jobs.submit import WrongParams
from atalaia.web.access import Who, require
from atalaia.web.api.common import ONCE, Asked, Wire, router
from atalaia.web.parts import parts_of
from atalaia.web.problems import Fault, Problem, conflict, invalid, not_found
from atalaia.web.wire import Cursor, Limit, Moment, Page, page_of, read_cursor, to_cursor

routes = router("catalogs")
_READ = [Depends(require("installations:read"))]
Writer = Annotated[Who, Depends(require("catalogs:write"))]
Key = Annotated[str, Query(min_length=1, max_length=200, description="The entry's `key`, unchanged.")]
Json = dict[str, Any]


class CatalogOut(Wire):
    """One catalog. fields: of an entry's value, those that a person fills in."""

    catalog: str
    entries: int
    fields: list[str]


class EntryOut(Wire):
    """One entry. client: to whom it belongs, "" to nobody. value: its fields."""

    catalog: str
    key: str
    client: str
    name: str
    value: Json
    by: str
    changed_at: Moment


class ChangeOut(Wire):
    """One change. before, after: {"name", "client", "value"}; null where there was none.

    batch: names what was changed together. source: a file's name, or what was done.
    """

    id: int
    catalog: str
    key: str
    before: Json | None
    after: Json | None
    by: str
    source: str
    batch: str
    at: Moment


class ChangedOut(Wire):
    """What came of a change. batch: takes it back; "" when nothing changed."""

    new: int
    changed: int
    same: int
    removed: int
    batch: str


class ProblemOut(Wire):
    """What could not be read of a file, and what to do about it."""

    file: str
    place: str
    field: str
    kind: str
    said: str
    remedy: str


class ImportedOut(Wire):
    """What an import changed, by catalog, and what could not be read; the rest was imported."""

    catalogs: dict[str, ChangedOut]
    problems: list[ProblemOut]


class EntryAsked(Asked):
    """value: the catalog's fields, as text. instead_of: key of the entry that this one takes the place of."""

    value: dict[str, Annotated[str, Field(max_length=300)]] = Field(max_length=20)
    instead_of: Annotated[str, Field(max_length=200)] = ""


class UndoAsked(Asked):
    """One change by its `id`, or all that were made together by their `batch`."""

    change: Annotated[int | None, Field(ge=1, le=2**62)] = None
    batch: Annotated[str, Field(max_length=36)] = ""


@routes.get("/hub/catalogs", dependencies=_READ)
async def list_catalogs(request: Request) -> list[CatalogOut]:
    """Name the catalogs, how many entries each has, and the fields of their entries."""
    counted = await parts_of(request).store.read(kept.count_entries)
    return [
        CatalogOut(catalog=name, entries=n, fields=list(importing.FIELDS[name]))
        for name, n in counted.items()
    ]


@routes.get("/hub/catalogs/{catalog}/entries", dependencies=_READ)
async def list_entries(
    request: Request, catalog: str,
    text: Annotated[str, Query(max_length=120, description="Part of key or name.")] = "",
    client: Annotated[str, Query(max_length=40, description="Of this client alone.")] = "",
    cursor: Cursor = None, limit: Limit = 100,
) -> Page[EntryOut]:  # fmt: skip
    """List a catalog's entries by name."""
    _check(catalog)
    after, wanted = read_cursor(cursor, str, str), Wanted(text.strip(), client)
    rows = await parts_of(request).store.read(
        lambda tx: kept.list_entries(tx, catalog, wanted, after=after, limit=limit + 1)
    )
    entries, following = page_of(rows, limit, "name", "key")
    return Page(items=[_entry(one) for one in entries], next=following)


@routes.get("/hub/catalogs/{catalog}/entry", dependencies=_READ)
async def get_entry(request: Request, catalog: str, key: Key) -> EntryOut:
    """Answer one entry."""
    _check(catalog)
    found = await parts_of(request).store.read(lambda tx: kept.get_entry(tx, catalog, key))
    if found is None:
        raise not_found("entry")
    return _entry(found)


@routes.get("/hub/catalogs/{catalog}/history", dependencies=_READ)
async def list_history(
    request: Request, catalog: str,
    key: Annotated[str, Query(max_length=200, description="Of this entry alone.")] = "",
    cursor: Cursor = None, limit: Limit = 50,
) -> Page[ChangeOut]:  # fmt: skip
    """List what was changed, the latest first: who, when, before and after."""
    _check(catalog)
    before = read_cursor(cursor, int)
    rows = await parts_of(request).store.read(
        lambda tx: kept.history(tx, catalog, key, before=before, limit=limit)
    )
    following = to_cursor(rows[-1].id) if len(rows) == limit else None
    return Page(items=[_change(one) for one in rows], next=following)


@routes.post("/hub/catalogs/{catalog}/entry", dependencies=ONCE)
async def put_entry(request: Request, catalog: str, who: Writer, asked: EntryAsked) -> EntryOut:
    """Add an entry, or change the one of the same key; a mount's command is the one that the rule gives."""
    _check(catalog)
    parts = parts_of(request)
    strange = sorted(set(asked.value) - set(importing.FIELDS[catalog]))
    if strange:
        raise invalid(f"body.value.{strange[0]}", "text", f"Use {', '.join(importing.FIELDS[catalog])}.")
    try:
        item = importing.item_from(catalog, asked.value)
    except WrongParams as error:
        faults = [Fault(f"body.value.{one['field']}", "text", one["said"]) for one in error.fields]
        raise Problem(422, "invalid-input", "The input does not fit", str(error), errors=faults) from None
    catalogs, old = Catalogs(parts.ambient), asked.instead_of

    def write(tx: Connection) -> kept.Entry | None:
        if old and old != item.key:
            catalogs.remove(tx, catalog, old, by=who.name)
        catalogs.put(tx, catalog, [item], by=who.name, source="api")
        return kept.get_entry(tx, catalog, item.key)

    found = await _write(request, write)
    assert found is not None
    return _entry(found)


@routes.delete("/hub/catalogs/{catalog}/entry")
async def remove_entry(request: Request, catalog: str, who: Writer, key: Key) -> ChangedOut:
    """Take an entry out; its history stays, and `batch` brings it back."""
    _check(catalog)
    acts = Catalogs(parts_of(request).ambient)
    return _counts(await _write(request, lambda tx: acts.remove(tx, catalog, key, by=who.name)))


@routes.post("/hub/catalogs/undo", dependencies=ONCE)
async def undo(request: Request, who: Writer, asked: UndoAsked) -> ChangedOut:
    """Take one change back, or all that were made together; all or nothing."""
    acts, change = Catalogs(parts_of(request).ambient), asked.change
    if (change is None) == (not asked.batch):
        raise invalid("body.change", "number", "Give `change` or `batch`, one of them.")
    if change is not None:
        return _counts(await _write(request, lambda tx: acts.undo(tx, change, by=who.name)))
    return _counts(await _write(request, lambda tx: acts.undo_batch(tx, asked.batch, by=who.name)))


@routes.post("/hub/catalogs/import", dependencies=ONCE)
async def import_files(
    request: Request, who: Writer,
    files: Annotated[list[UploadFile], File(description="Any form of the older software, in any order.")],
    dry_run: Annotated[bool, Query(description="Read and say what is wrong; change nothing.")] = False,
) -> ImportedOut:  # fmt: skip
    """Import files. Each form is told from its content; what the files do not name stays."""
    parts = parts_of(request)
    read = [((one.filename or "file")[:80], await one.read()) for one in files]
    catalog = importing.read_files(read)
    if dry_run:
        found = {name: Counts(new=len(rows)) for name, rows in importing.items_of(catalog).items() if rows}
    else:
        source = ", ".join(name for name, _ in read)
        found = await parts.store.write(
            lambda tx: importing.import_all(tx, Catalogs(parts.ambient), catalog, by=who.name, source=source)
        )
    problems = [ProblemOut.model_validate(one) for one in catalog.problems]
    return ImportedOut(catalogs={name: _counts(one) for name, one in found.items()}, problems=problems)


async def _write(request: Request, work: Callable[[Connection], Any]) -> Any:
    """Do one act. Errors: `Problem` 404, 409."""
    try:
        return await parts_of(request).store.write(work)
    except NoSuchEntry as error:
        raise Problem(404, "not-found", "Not found", str(error)) from None
    except ChangedMeanwhile as error:
        raise conflict(str(error)) from None


def _entry(one: kept.Entry) -> EntryOut:
    return EntryOut(**_without(one, "changed_ms"), changed_at=one.changed_ms)


def _change(one: kept.Change) -> ChangeOut:
    return ChangeOut(**_without(one, "at_ms"), at=one.at_ms)


def _counts(one: Counts) -> ChangedOut:
    return ChangedOut.model_validate(one)


def _without(one: Any, name: str) -> Mapping[str, Any]:
    return {field: getattr(one, field) for field in one.__dataclass_fields__ if field != name}


def _check(catalog: str) -> None:
    if catalog not in CATALOGS:
        raise not_found("catalog")
