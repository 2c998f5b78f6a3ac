"""What the commands share: settings, a store opened for a moment, and how results are printed."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from atalaia.clock import SystemClock, rfc3339, to_ms
from atalaia.connections.registry import Configured, Registry
from atalaia.desk.alerts.channels import learn_channels
from atalaia.desk.people.model import By
from atalaia.errors import AtalaiaError, ConfigError
from atalaia.redact import Redactor
from atalaia.secretbox import SecretBox
from atalaia.settings import Settings, load_settings
from atalaia.store.connect import open_store
from atalaia.store.store import Store

T = TypeVar("T")
Row = TypeVar("Row", bound=Mapping[str, Any])

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder with the database and the key file.")
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", help="PostgreSQL instead of SQLite in the data folder.")
]
Config = Annotated[Path | None, typer.Option("--config", help="The TOML settings file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
Since = Annotated[
    str, typer.Option("--since", help="From this time on: 2026-11-26T14:00, or 90m, 2h, 7d ago.")
]
Until = Annotated[str, typer.Option("--until", help="Before this time, written like --since.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")]

# Without a terminal there is no width to fit: tables then get room enough for ids.
console = Console(width=None if sys.stdout.isatty() else 220)
errors = Console(stderr=True)

# Who did it, in the facts about what a command changed.
BY = By("hub", "", "command line")
# The columns of whatever is tried step by step.
STEPS = ("step", "", "found", "what to do")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


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


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where the hub's data is; it gets the settings they lead to.

    In place of the command's first parameter, `settings`, stand --data-dir, --database-url and --config,
    behind its own options and before --json.
    """
    signature = inspect.signature(command, eval_str=True)
    _, *own = signature.parameters.values()
    where = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=option)
        for name, option in (("data_dir", DataDir), ("database_url", DatabaseUrl), ("config", Config))
    ]
    at = len(own) - (bool(own) and own[-1].name == "as_json")
    options = [*own[:at], *where, *own[at:]]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        settings = settings_of(*(given.pop(one.name) for one in where))
        command(settings, **given)

    run.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {one.name: one.annotation for one in options}
    return run


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
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def now_ms() -> int:
    """Answer the time of this machine."""
    return to_ms(SystemClock().now())


def moment(text: str, settings: Settings) -> int | None:
    """Read `2026-11-26T14:00` (the settings' time zone unless it names one) or `2h`, meaning ago."""
    if not text:
        return None
    if text[:-1].isdecimal() and text[-1:] in _UNITS:
        return now_ms() - int(text[:-1]) * _UNITS[text[-1]] * 1_000
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"“{text}” is no time. Write 2026-11-26T14:00, or how long ago: 90m, 2h, 7d.")
    return to_ms(found if found.tzinfo else found.replace(tzinfo=ZoneInfo(settings.zone)))


def ago(at_ms: int | None, now: int) -> str:
    """Answer how long ago that was, short: `4s`, `12m`, `3h 5m`, `2d`."""
    if at_ms is None:
        return "–"
    gone = timedelta(milliseconds=max(0, now - at_ms))
    seconds = int(gone.total_seconds())
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3_600:
        return f"{seconds // 60}m"
    if seconds < 86_400:
        return f"{seconds // 3_600}h {seconds % 3_600 // 60}m"
    return f"{gone.days}d"


def time_of(at_ms: int | None) -> str | None:
    """Answer a time as the API writes it."""
    return None if at_ms is None else rfc3339(at_ms)


def times(row: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a row with its `…_ms` moments as the API writes them, `…_at`; durations stay numbers."""
    told: dict[str, Any] = {}
    for name, value in row.items():
        if name.endswith("_ms") and (value is None or (isinstance(value, int) and value >= _MOMENT_LEAST)):
            told[f"{name.removesuffix('_ms')}_at"] = time_of(value)
        else:
            told[name] = value
    return told


# Fewer milliseconds than these (1973) are a duration such as `took_ms`.
_MOMENT_LEAST = 100_000_000_000


# --- connections and their secrets -----------------------------------------------------------------


def secretbox_of(settings: Settings) -> SecretBox:
    """Open the keys. Errors: `ConfigError`, also when there is no key file yet; none is made here."""
    if keys := settings.keys.get_secret_value():
        return SecretBox.from_text(keys)
    if not settings.key_path.exists():
        raise ConfigError(
            f"There is no key file {settings.key_path}. Restore it from its copy, or name it with "
            "ATALAIA_KEY_FILE."
        )
    return SecretBox.from_file(settings.key_path)


def registry_of(settings: Settings) -> Registry:
    """Answer the configured connections' register. Errors: as `secretbox_of`."""
    from atalaia.connectors import CONNECTORS  # only here: half of the commands need none of them

    return Registry({name: one.settings for name, one in CONNECTORS.items()}, secretbox_of(settings))


async def find_connection(store: Store, settings: Settings, wanted: str) -> Configured:
    """Answer the connection with this id or name. Errors: `ConfigError` with the names there are."""
    known = await store.read(registry_of(settings).all)
    return pick(known, wanted, "connection")


def pick(known: Sequence[Any], wanted: str, what: str) -> Any:
    """Answer the one with this id or name. Errors: `ConfigError` that tells which there are."""
    for one in known:
        if one.id == wanted:
            return one
    named = [one for one in known if one.name.casefold() == wanted.casefold()]
    if len(named) == 1:
        return named[0]
    if named:
        raise ConfigError(f"Several are called “{wanted}”. Use the id: {', '.join(one.id for one in named)}.")
    there = ", ".join(f"“{one.name}”" for one in known) or "none"
    raise ConfigError(f"There is no {what} “{wanted}”. There are: {there}.")


async def learned(store: Store, settings: Settings) -> Redactor:
    """Answer a redactor that knows every secret we can open: what a command prints goes through it."""
    redactor = Redactor(settings.secret_values())
    try:
        known = await store.read(registry_of(settings).all)
    except AtalaiaError:
        return redactor  # without the key nobody can print them in the clear either
    for one in known:
        for value in one.settings.model_dump(mode="python").values():
            if isinstance(value, SecretStr):
                redactor.learn(value.get_secret_value())
    await store.read(lambda tx: learn_channels(tx, secretbox_of(settings), redactor))
    return redactor


# --- printing --------------------------------------------------------------------------------------


def print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line."""
    try:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str)
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def print_rows(
    rows: Sequence[Row], columns: Sequence[str], cells: Callable[[Row], Sequence[Any]], empty: str,
    *, as_json: bool,
) -> None:  # fmt: skip
    """Print a list as a table, or one JSON object a line. cells: what a row shows below the columns."""
    if as_json:
        print_json(rows)
    else:
        print_table(columns, (cells(row) for row in rows), empty)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """Print a table, or what to do when there is nothing in it."""
    lines = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not lines:
        console.print(empty, markup=False, highlight=False)
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for line in lines:
        table.add_row(*(_plain(cell) for cell in line))
    console.print(table)


def print_pairs(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one a line; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value not in ("", None, [], {})]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        console.print(f"{name:>{width}}  {value}", markup=False, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a sentence as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _plain(cell: str) -> str:
    """Keep text from outside from being read as markup."""
    return escape(cell)
