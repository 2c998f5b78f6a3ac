"""`atalaia catalogs`: clients, schemes, models, technicians and mounts, from the older software's files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.cli.common import (
    Json,
    Limit,
    errors,
    print_json,
    print_table,
    say,
    time_of,
    with_settings,
    with_store,
)
from atalaia.connectors.traffilog import importing
from atalaia.connectors.traffilog.catalog_files import read_catalogs
from atalaia.desk.catalogs.catalogs import CATALOGS, Catalogs, Counts, Wanted, count_entries, list_entries
from atalaia.settings import Settings
from atalaia.store.store import Store

app = typer.Typer(help="Catalogs of telematics installations.", no_args_is_help=True)

BY = "command line"


@app.command("import")
@with_settings
def import_(
    settings: Settings,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Any form of the older software.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and say what is wrong; change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put what the files hold into the catalogs, in their order; what they do not name stays.

    Every change is kept with what was before. What cannot be read is told, and the rest is imported.
    """
    catalog = read_catalogs(files)
    for problem in catalog.problems:
        errors.print(str(problem), style="yellow", markup=False, highlight=False, soft_wrap=True)
    items = importing.items_of(catalog)
    if dry_run:
        _print({name: Counts(new=len(rows)) for name, rows in items.items() if rows}, as_json, counted="read")
        return
    if not any(items.values()):
        say("Nothing to import.")
        raise typer.Exit(1)
    source = ", ".join(path.name for path in files)
    catalogs = Catalogs(Ambient())

    def write(tx: Connection) -> dict[str, Counts]:
        return importing.import_all(tx, catalogs, catalog, by=BY, source=source)

    _print(with_store(settings, lambda store: store.write(write)), as_json)


@app.command("list")
@with_settings
def list_(
    settings: Settings,
    catalog: Annotated[str, typer.Argument(help=f"One of {', '.join(CATALOGS)}; all counted without.")] = "",
    words: Annotated[str, typer.Option("--find", help="Part of the key or the name.")] = "",
    limit: Limit = 1_000,
    as_json: Json = False,
) -> None:
    """List the entries of a catalog."""
    if not catalog:
        counted = with_store(settings, lambda store: store.read(count_entries))
        rows: list[dict[str, Any]] = [{"catalog": name, "entries": n} for name, n in counted.items()]
    else:
        rows = with_store(settings, lambda store: _entries(store, catalog, words, limit))
    if as_json:
        print_json(rows)
        return
    columns = [name for name in (rows[0] if rows else {}) if name != "value"]
    print_table(columns, [[row[name] for name in columns] for row in rows], "Nothing in it.")


async def _entries(store: Store, catalog: str, words: str, limit: int) -> list[dict[str, Any]]:
    found = await store.read(lambda tx: list_entries(tx, catalog, Wanted(words=words), limit=limit))
    return [
        {"key": one.key, "name": one.name, "client": one.client, "by": one.by,
         "changed_at": time_of(one.changed_ms), "value": one.value}
        for one in found
    ]  # fmt: skip


def _print(found: dict[str, Counts], as_json: bool, *, counted: str = "new") -> None:
    if as_json:
        print_json([{"catalog": name, **asdict(one)} for name, one in found.items()])
        return
    columns = ["catalog", counted, "changed", "same"]
    lines = [[name, one.new, one.changed, one.same] for name, one in found.items()]
    print_table(columns, lines, "Nothing was read.")
