"""The command line. Each command lives in a module of its own; every list has `--json`."""

from __future__ import annotations

import typer

from atalaia.cli import (
    backup,
    bench,
    connections,
    deliveries,
    doctor,
    events,
    people,
    replay,
    snapshot,
    tokens,
    up,
)
from atalaia.cli.demo import demo
from atalaia.version import VERSION, git_sha

app = typer.Typer(
    name="atalaia",
    help="One hub for a team that lives on systems which are not its own.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("demo")(demo)
app.command("replay")(replay.replay)
app.command("doctor")(doctor.doctor)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("snapshot")(snapshot.snapshot)
app.add_typer(connections.app, name="connections")
app.add_typer(events.app, name="events")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(people.app, name="people")
app.add_typer(tokens.app, name="tokens")
app.add_typer(bench.app, name="bench")


@app.command("version")
def version() -> None:
    """Say which code this is."""
    typer.echo(" ".join(part for part in ("atalaia", VERSION, git_sha()) if part))
