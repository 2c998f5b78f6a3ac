"""`atalaia events`: look into the log, take it out, fold it again."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection, update

from atalaia.cli.common import (
    Config,
    DatabaseUrl,
    DataDir,
    Json,
    console,
    fail,
    print_json,
    settings_of,
    with_store,
)
from atalaia.clock import rfc3339
from atalaia.events.export import Wanted, export, line_of
from atalaia.events.log import head, read_after
from atalaia.events.model import Event
from atalaia.reactions.projection import Matcher
from atalaia.redact import Redactor
from atalaia.store.bell import LOG
from atalaia.store.store import Store, ring_after
from atalaia.store.tables import parked

app = typer.Typer(help="The event log.", no_args_is_help=True)

Types = Annotated[
    list[str] | None, typer.Option("--type", help="Event type; `call.*` means all that begin so.")
]
Key = Annotated[str, typer.Option(help="Only events about this key.")]
OfConnection = Annotated[str, typer.Option("--connection", help="Only events of this connection (its id).")]
POLL_S = 0.5


@app.command("tail")
def tail(
    types: Types = None,
    key: Key = "",
    connection: OfConnection = "",
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many of the last events first.")
    ] = 20,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", "-f", help="Go on as new ones come.")
    ] = True,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Print the last events and follow the log."""
    settings = settings_of(data_dir, database_url, config)
    matches = _matcher(types, key, connection)

    async def work(store: Store) -> None:
        seq = max(0, await store.read(head) - lines)
        while True:
            page = await store.read(lambda tx, after=seq: read_after(tx, after))
            for event in page:
                seq = event.seq
                if matches(event):
                    _show(event, as_json)
            if not page:
                if not follow:
                    return
                await asyncio.sleep(POLL_S)

    try:
        with_store(settings, work)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command("grep")
def grep(
    text: Annotated[str, typer.Argument(help="What to look for in keys and bodies.")],
    types: Types = None,
    key: Key = "",
    connection: OfConnection = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Print the events that hold a text. Ends with status 1 when there are none."""
    settings = settings_of(data_dir, database_url, config)
    matches = _matcher(types, key, connection)
    needle = text.casefold()

    async def work(store: Store) -> int:
        seq, found = 0, 0
        while page := await store.read(lambda tx, after=seq: read_after(tx, after, limit=2000)):
            seq = page[-1].seq
            for event in page:
                if matches(event) and needle in f"{event.key} {event.body}".casefold():
                    found += 1
                    _show(event, as_json)
        return found

    if with_store(settings, work) == 0:
        raise typer.Exit(1)


@app.command("export")
def export_(
    to: Annotated[Path | None, typer.Option("--to", help="File to write; else standard output.")] = None,
    types: Types = None,
    key: Key = "",
    connection: OfConnection = "",
    after: Annotated[int, typer.Option(help="Only events after this sequence number.")] = 0,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Write the log as JSON lines, with secrets masked."""
    settings = settings_of(data_dir, database_url, config)
    wanted = Wanted(types=tuple(types or ()), key=key, connection=connection, after=after)
    redactor = Redactor(settings.secret_values())

    async def work(store: Store) -> int:
        count = 0
        out = to.open("wb") if to else sys.stdout.buffer
        try:
            async for line in export(store, wanted, redact=redactor.json):
                out.write(line)
                count += 1
        finally:
            if to:
                out.close()
        return count

    try:
        count = with_store(settings, work)
    except OSError as error:
        fail(f"{to} cannot be written: {error.strerror}.")
    if to:
        console.print(f"{count} events written to {to}.", markup=False)


@app.command("retry")
def retry(
    reaction: Annotated[str, typer.Argument(help="The reaction whose parked events are tried again.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Have the parked events of a reaction tried again by the running hub."""

    def work(tx: Connection) -> int:
        mine = (parked.c.reaction == reaction, parked.c.state == "parked")
        ring_after(tx, LOG)
        return tx.execute(update(parked).where(*mine).values(state="again")).rowcount

    settings = settings_of(data_dir, database_url, config)
    count = with_store(settings, lambda store: store.write(work))
    console.print(f"{count} events are tried again.", markup=False)


def _matcher(types: list[str] | None, key: str, connection: str) -> Any:
    wanted = Matcher(types or ["*"])

    def matches(event: Event) -> bool:
        return (
            wanted(event.type)
            and (not key or event.key == key)
            and (not connection or event.connection == connection)
        )

    return matches


def _show(event: Event, as_json: bool) -> None:
    if as_json:
        print_json([line_of(event)])
        return
    body = event.body if len(event.body) <= 160 else event.body[:157] + "…"
    when = rfc3339(event.occurred_ms)
    console.print(f"{event.seq:>8} {when} {event.type} {event.key} {body}", markup=False, highlight=False)
