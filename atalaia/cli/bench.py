"""`atalaia bench`: how fast and how lean, beside a baseline measured in the same run."""

from __future__ import annotations

import json
import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import typer
import uvloop

from atalaia.bench import calls as calls_bench
from atalaia.bench import deliver as deliver_bench
from atalaia.bench import frames as frames_bench
from atalaia.bench import ingest as ingest_bench
from atalaia.bench import intake as intake_bench
from atalaia.bench import jobs as jobs_bench
from atalaia.bench import sessions as sessions_bench
from atalaia.bench import start as start_bench
from atalaia.bench import wall as wall_bench
from atalaia.cli.common import DatabaseUrl, console

app = typer.Typer(help="Measurements, each with a baseline from the same run.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Seconds = Annotated[float, typer.Option(min=0.5, max=600, help="How long to measure.")]


@app.command("ingest")
def ingest(
    clients: Annotated[int, typer.Option(min=1, max=1000, help="Connections that send at once.")] = 64,
    seconds: Seconds = 10.0,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Durable events over HTTP, one a request, beside confirmed publishes to a quorum queue."""
    _show(ingest_bench.bench(clients=clients, seconds=seconds, database_url=database_url), as_json)


@app.command("intake")
def intake(
    clients: Annotated[int, typer.Option(min=1, max=1000, help="Connections that send at once.")] = 64,
    seconds: Seconds = 10.0,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Durable WhatsApp webhooks, one a request, beside confirmed publishes of the same body."""
    _show(intake_bench.bench(clients=clients, seconds=seconds, database_url=database_url), as_json)


@app.command("deliver")
def deliver(
    seconds: Seconds = 8.0,
    rate: Annotated[float, typer.Option(min=1, help="Events a second in the calm part.")] = 500.0,
    keys: Annotated[int, typer.Option(min=1, help="Keys among which order is kept.")] = 500,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """From the intake to a signed, delivered and recorded webhook, in order per key."""
    work = deliver_bench.bench(seconds=seconds, rate=rate, keys=keys, database_url=database_url)
    _show(work, as_json)


@app.command("calls")
def calls(
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long the sustained load lasts.")] = 4.0,
    rate: Annotated[float, typer.Option(min=1, help="Calls a second of the sustained load.")] = 25.0,
    burst: Annotated[
        float, typer.Option(min=0, help="Calls a second of the burst; 0 leaves it out.")
    ] = 100.0,
    burst_seconds: Annotated[
        float,
        typer.Option(
            min=0,
            max=600,
            help="How long the burst lasts; its calls live 10 s and more. 30 is the whole test.",
        ),
    ] = 12.0,
    as_json: AsJson = False,
) -> None:
    """Calls from an Asterisk to a message bus: every record right, in time, without a cut."""
    work = calls_bench.bench(seconds=seconds, rate=rate, burst=burst, burst_seconds=burst_seconds)
    _show(work, as_json)


@app.command("frames")
def frames(
    vehicles: Annotated[int, typer.Option(min=1, max=100_000, help="Vehicles whose units push.")] = 1000,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="How long to measure each figure.")] = 0.5,
    rate: Annotated[float, typer.Option(min=1, help="Pushes a second of the hub's steady load.")] = 300.0,
    burst: Annotated[float, typer.Option(min=1, help="Pushes a second of its heavy load.")] = 4000.0,
    hub_seconds: Annotated[
        float, typer.Option(min=0, max=600, help="How long each load on the hub lasts; 0 leaves it out.")
    ] = 4.0,
    as_json: AsJson = False,
) -> None:
    """Telematics frames read per second, and a whole hub with 1,000 vehicles subscribed and pushing."""
    work = frames_bench.bench(
        vehicles=vehicles, seconds=seconds, rate=rate, burst=burst, hub_seconds=hub_seconds
    )
    _show(work, as_json)


@app.command("jobs")
def jobs(
    seconds: Annotated[float, typer.Option(min=0.5, max=60, help="How long each case lasts.")] = 4.0,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Jobs of one and five steps, serial and 32 at once, beside plain DBOS workflows."""
    _show(jobs_bench.bench(seconds=seconds, database_url=database_url), as_json)


@app.command("sessions")
def sessions(
    busy: Annotated[int, typer.Option(min=0, max=20_000, help="Sessions that hear messages.")] = 1_000,
    idle: Annotated[int, typer.Option(min=0, max=20_000, help="Sessions that are only looked at.")] = 5_000,
    seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="How long the load lasts; faults are found meanwhile.")
    ] = 40.0,
    rate: Annotated[float, typer.Option(min=0.01, help="Messages a second of each busy session.")] = 1.0,
    faults: Annotated[int, typer.Option(min=0, help="Sessions whose page crashes or browser ends.")] = 20,
    deaf: Annotated[int, typer.Option(min=0, help="Busy sessions that go deaf.")] = 4,
    probe_every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at a session.")] = 30,
    as_json: AsJson = False,
) -> None:
    """WhatsApp sessions, busy and idle: what each needs, how soon a fault is found, nothing lost."""
    plan = sessions_bench.Plan(busy, idle, seconds, rate, faults, deaf, probe_every)
    _show(sessions_bench.bench(plan), as_json)


@app.command("wall")
def wall(
    sessions: Annotated[int, typer.Option(min=2, max=100_000, help="Connections on the wall.")] = 10_000,
    seconds: Seconds = 12.0,
    rate: Annotated[float, typer.Option(min=1, help="Changes of state a second.")] = 200.0,
    browser: Annotated[bool, typer.Option(help="Also look with Chromium.")] = True,
    as_json: AsJson = False,
) -> None:
    """The screen of many sessions: how soon the page and a change are on it."""
    _show(wall_bench.bench(sessions=sessions, seconds=seconds, rate=rate, browser=browser), as_json)


@app.command("start")
def start(
    events: Annotated[int, typer.Option(min=0, help="Events in the log before the start.")] = 5_000_000,
    as_json: AsJson = False,
) -> None:
    """How soon the hub is ready on a full log, and what it needs when nothing happens."""
    _show(start_bench.bench(events=events), as_json)


def _show(work: Coroutine[Any, Any, dict[str, Any]], as_json: bool) -> None:
    result = uvloop.run(work)
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    for name, value in result.items():
        console.print(f"{name:>20}  {value}", markup=False, highlight=False)
