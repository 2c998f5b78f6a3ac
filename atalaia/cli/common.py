"""What the commands share: settings, a store opened for a moment, and how results are printed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from atalaia.errors import AtalaiaError
from atalaia.settings import Settings, load_settings
from atalaia.store.connect import open_store
from atalaia.store.store import Store

T = TypeVar("T")

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder with the database and the key file.")
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", help="PostgreSQL instead of SQLite in the data folder.")
]
Config = Annotated[Path | None, typer.Option("--config", help="The TOML settings file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]

console = Console()
errors = Console(stderr=True)


def fail(text: str) -> NoReturn:
    """Say what is wrong and end with status 1."""
    errors.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def settings_of(
    data_dir: Path | None, database_url: str | None, config: Path | None, **more: Any
) -> Settings:
    """Read the settings, command line first."""
    try:
        return load_settings(config, data_dir=data_dir, database_url=database_url, **more)
    except AtalaiaError as error:
        fail(str(error))


def with_store(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    """Open the store beside a running hub, do the work, close it."""

    async def run() -> T:
        store = await open_store(settings.database_url.get_secret_value(), settings.data_dir, exclusive=False)
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except AtalaiaError as error:
        fail(str(error))


def print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line."""
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """Print a table, or what to do when there is nothing in it."""
    lines = [[str(cell) for cell in row] for row in rows]
    if not lines:
        console.print(empty, markup=False)
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for line in lines:
        table.add_row(*line)
    console.print(table)
