"""`atalaia events`: look into the log, take it out, fold it again."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer
from sqlalchemy import Connection, select, update

from atalaia.ambient import Ambient
from atalaia.cli.common import (
    BY,
    Json,
    Limit,
    Since,
    Until,
    errors,
    fail,
    learned,
    moment,
    now_ms,
    pick,
    print_rows,
    say,
    times,
    with_settings,
    with_store,
)
from atalaia.clock import rfc3339
from atalaia.connections.queries import list_connections
from atalaia.desk.alerts.fold import Alerts
from atalaia.desk.calls.fold import Calls
from atalaia.desk.endpoints.fold import Endpoints
from atalaia.desk.system.queries import list_parked
from atalaia.errors import ConfigError
from atalaia.events.export import line, pages
from atalaia.events.gaps import Gaps
from atalaia.events.log import append_facts, head
from atalaia.events.model import Event, Fact
from atalaia.events.queries import EventFilter, newest, oldest
from atalaia.reactions.folding import rebuild
from atalaia.reactions.projection import Projection
from atalaia.redact import Redactor
from atalaia.settings import Settings
from atalaia.store.bell import LOG
from atalaia.store.store import Store, ring_after
from atalaia.store.tables import parked

app = typer.Typer(help="The event log.", no_args_is_help=True)

Types = Annotated[
    list[str] | None, typer.Option("--type", help="Event type; `call.*` means all that begin so.")
]
Key = Annotated[str, typer.Option(help="Only events about this key, e.g. a call's guid.")]
OfConnection = Annotated[
    str, typer.Option("--connection", help="Only events of this connection (name or id).")
]
FamilyOf = Annotated[str, typer.Option("--family", help="Only `heard` or only `fact`.")]
Reaction = Annotated[str, typer.Argument(help="Name of the reaction, as `events parked` shows it.")]

POLL_S = 0.5
PAGE = 500
PROGRESS_EVERY = 10_000
# What folds facts into tables of its own and can forget them. Deliveries are no table to forget.
PROJECTIONS: tuple[type[Projection], ...] = (Calls, Endpoints, Alerts, Gaps)


@app.command("tail")
@with_settings
def tail(
    settings: Settings,
    types: Types = None,
    key: Key = "",
    connection: OfConnection = "",
    family: FamilyOf = "",
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=10_000, help="How many of the last events first.")
    ] = 20,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", "-f", help="Go on as new ones come.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Print the last events and follow the log. Ctrl C ends it."""
    family_ = _family(family)

    async def work(store: Store) -> None:
        redactor = await learned(store, settings)
        wanted = await _wanted(store, types, key, connection, family_)
        seq = await store.read(head)
        if lines:
            page = await store.read(lambda tx: newest(tx, wanted, before=seq + 1, limit=lines))
            _show(page.events[::-1], redactor, as_json)
        while follow:
            page, last = await store.read(
                lambda tx, after=seq: (oldest(tx, wanted, after=after, limit=PAGE), head(tx))
            )
            _show(page.events, redactor, as_json)
            seq = last if page.next_seq is None else page.next_seq
            if page.next_seq is None:
                await asyncio.sleep(POLL_S)

    with_store(settings, work)


@app.command("grep")
@with_settings
def grep(
    settings: Settings,
    text: Annotated[str, typer.Argument(help="What to look for in the events' bodies, whatever the case.")],
    types: Types = None,
    key: Key = "",
    connection: OfConnection = "",
    family: FamilyOf = "",
    since: Since = "",
    until: Until = "",
    as_json: Json = False,
) -> None:
    """Print the events whose body holds a text, oldest first. Ends with status 1 when there are none."""
    family_ = _family(family)
    span = moment(since, settings), moment(until, settings)

    async def work(store: Store) -> int:
        redactor, found = await learned(store, settings), 0
        wanted = await _wanted(store, types, key, connection, family_, *span, words=text)
        async for page in pages(store, wanted):
            _show(page, redactor, as_json)
            found += len(page)
        return found

    if with_store(settings, work) == 0:
        raise typer.Exit(1)


@app.command("export")
@with_settings
def export(
    settings: Settings,
    to: Annotated[Path | None, typer.Option("--to", help="File to write; else standard output.")] = None,
    types: Types = None,
    key: Key = "",
    connection: OfConnection = "",
    family: FamilyOf = "",
    after: Annotated[int, typer.Option(min=0, help="Only events after this sequence number.")] = 0,
    since: Since = "",
    until: Until = "",
    capture: Annotated[
        bool, typer.Option("--capture", help="Only what an Asterisk said, as a capture that `replay` reads.")
    ] = False,
) -> None:
    """Write the log as JSON lines, oldest first, with secrets masked."""
    family_ = _family(family)
    span = moment(since, settings), moment(until, settings)
    write = capture_line if capture else line

    async def work(store: Store) -> int:
        redactor, count = await learned(store, settings), 0
        wanted = await _wanted(store, types, key, connection, family_, *span)
        out = to.open("wb") if to else sys.stdout.buffer
        try:
            async for page in pages(store, wanted, after=after):
                lines = [text for event in page if (text := write(event, redactor.json))]
                out.write(b"".join(lines))
                count += len(lines)
                _progress(count, len(lines), to)
            out.flush()
        finally:
            if to:
                out.close()
        return count

    try:
        count = with_store(settings, work)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:
        fail(f"{to} cannot be written: {error.strerror}.")
    if to:
        say(f"{count} events written to {to}.")


@app.command("parked")
@with_settings
def parked_(
    settings: Settings,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List events that a reaction could not take, with the reason. They hold nobody else up."""

    async def work(store: Store) -> list[dict[str, object]]:
        redactor = await learned(store, settings)
        return [
            redactor.value(times(row)) for row in await store.read(lambda tx: list_parked(tx, limit=limit))
        ]

    rows = with_store(settings, work)
    shown = ("reaction", "seq", "key", "parked_at", "error")
    columns = ["reaction", "event", "key", "since", "error"]
    print_rows(rows, columns, lambda row: [row[one] for one in shown], "No event is parked.", as_json=as_json)


@app.command("retry")
@with_settings
def retry(
    settings: Settings,
    reaction: Reaction,
) -> None:
    """Have the parked events of a reaction tried again by the running hub."""
    ambient = Ambient()

    def work(tx: Connection) -> int:
        mine = (parked.c.reaction == reaction, parked.c.state == "parked")
        seqs = list(tx.scalars(select(parked.c.seq).where(*mine).order_by(parked.c.seq)))
        tx.execute(update(parked).where(*mine).values(state="again"))
        now, by = now_ms(), BY.as_data()
        told = [Fact("reaction.retried", reaction, now, {"seq": seq, "by": by}) for seq in seqs]
        append_facts(tx, ambient, "cli", told)
        ring_after(tx, LOG)
        return len(seqs)

    count = with_store(settings, lambda store: store.write(work))
    say(f"{count} events are tried again.")


@app.command("rebuild")
@with_settings
def rebuild_(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="TABLE", help="calls, endpoints, alerts or gaps.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget what was folded into a table and have the running hub fold the log again from its start.

    Nothing is delivered again. What is older than the facts in the log (keep_facts_days) does not come back.
    """
    known = {one().name: one for one in PROJECTIONS}
    if name not in known:
        fail(f"There is no table “{name}” to rebuild. Write one of: {', '.join(known)}.")
    if not yes:
        typer.confirm(f"Forget “{name}” and fold it again from the log?", abort=True)

    def work(tx: Connection) -> None:
        rebuild(tx, known[name]())
        ring_after(tx, LOG)

    with_store(settings, lambda store: store.write(work))
    say(f"“{name}” is being folded again by the running hub, or at its next start.")


# --- work ------------------------------------------------------------------------------------------


def _family(text: str) -> Literal["heard", "fact"] | None:
    if text not in ("", "heard", "fact"):
        fail(f"There is no family “{text}”. Write heard or fact.")
    return text or None


async def _wanted(
    store: Store,
    types: list[str] | None,
    key: str,
    connection: str,
    family: Literal["heard", "fact"] | None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    words: str = "",
) -> EventFilter:
    """Turn options into a filter; a connection may be told by its name."""
    identity: str | None = None
    if connection:
        known = await store.read(list_connections)
        try:
            identity = pick(known, connection, "connection").id
        except ConfigError:
            if len(connection) != 36:  # the events of a deleted connection stay; its id still finds them
                raise
            identity = connection
    return EventFilter(family, tuple(types or ()), identity, key or None, from_ms, to_ms, words)


def capture_line(event: Event, redact: Callable[[str], str]) -> bytes:
    """Answer one line of a capture, b"" for what is none of the upstream's words."""
    connector, _, name = event.type.partition(".")
    if event.family != "heard" or connector != "asterisk" or name in ("directory", "unreadable"):
        return b""
    body = orjson.loads(redact(event.body))
    received = {"received": (event.occurred_ms if name in _READ_THEN else event.recorded_ms) / 1000}
    if name == "control":
        return orjson.dumps({**received, **body}) + b"\n"
    return orjson.dumps({**received, name if name in _READ_THEN else "event": body}) + b"\n"


# Readings carry no time of their own: the capture's is when they were made.
_READ_THEN = ("rest", "recordings")


def _progress(count: int, fresh: int, to: Path | None) -> None:
    if to and count // PROGRESS_EVERY != (count - fresh) // PROGRESS_EVERY:
        errors.print(f"{count} events …", markup=False, highlight=False)


def _show(events: list[Event], redactor: Redactor, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(b"".join(line(event, redactor.json) for event in events).decode())
        sys.stdout.flush()
        return
    for event in events:
        body = redactor.json(event.body)
        body = body if len(body) <= 160 else body[:157] + "…"
        say(f"{event.seq:>8} {rfc3339(event.occurred_ms)} {event.type} {event.key} {body}")
