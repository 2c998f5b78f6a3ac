"""`atalaia jobs`: what is asked of upstreams, how far it is, and what a person must decide."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.cli.common import (
    BY,
    Json,
    Limit,
    Since,
    Until,
    fail,
    find_connection,
    learned,
    moment,
    now_ms,
    print_json,
    print_pairs,
    print_rows,
    print_table,
    say,
    times,
    with_settings,
    with_store,
)
from atalaia.connectors import CONNECTORS
from atalaia.errors import ConfigError
from atalaia.jobs import queries
from atalaia.jobs.model import Planned
from atalaia.jobs.queries import STATES, Job, JobFilter
from atalaia.jobs.submit import Order, Orders
from atalaia.redact import Redactor
from atalaia.serve import job_kinds
from atalaia.settings import Settings
from atalaia.store.store import Store

T = TypeVar("T")
app = typer.Typer(help="What is asked of upstreams: list, submit, decide, call off.", no_args_is_help=True)

Identity = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, or the beginning of it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
BY_NAME = f"{BY.kind}: {BY.name}"


@app.command("list")
@with_settings
def list_(
    settings: Settings,
    state: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(STATES)}, open, or person = needs one; may be repeated."),
    ] = None,
    kind: Annotated[str, typer.Option(help="Only of this kind, e.g. traffilog.scheme_builder.")] = "",
    connection: Annotated[str, typer.Option(help="Only of this connection (name or id).")] = "",
    words: Annotated[str, typer.Option(help="Only where this is in the id, trace, kind or parameters.")] = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    chosen = JobFilter(
        _states(state or []), (kind,) if kind else (), words=words,
        from_ms=moment(since, settings), to_ms=moment(until, settings),
    )  # fmt: skip

    async def work(store: Store) -> list[dict[str, Any]]:
        redactor = await learned(store, settings)
        of = (await find_connection(store, settings, connection)).id if connection else None
        wanted = replace(chosen, connection=of)
        found = await store.read(lambda tx: queries.list_jobs(tx, wanted, limit=limit))
        return [redactor.value(_told(one)) for one in found]

    print_rows(
        with_store(settings, work),
        ["job", "kind", "state", "", "asked", "said"],
        lambda row: [
            row["id"], row["kind"], row["state"], _percent(row), row["created_at"],
            row["said"] or row["reason"],
        ],
        "There is no job like that.",
        as_json=as_json,
    )  # fmt: skip


@app.command("kinds")
def kinds(as_json: Json = False) -> None:
    """List what can be asked, and of which connector."""
    known = job_kinds(CONNECTORS)
    rows: list[dict[str, Any]] = [
        {
            "kind": name, "title": kind.title, "dry_run": kind.plan is not None, "external": kind.external,
            "params": kind.params.model_json_schema(),
        }
        for name, kind in sorted(known.items())
    ]  # fmt: skip
    print_rows(
        rows,
        ["kind", "", "parameters"],
        lambda row: [row["kind"], row["title"], ", ".join(row["params"].get("properties", {}))],
        "None of the connectors has jobs.",
        as_json=as_json,
    )


@app.command("show")
@with_settings
def show(
    settings: Settings,
    job: Identity,
    frames: Annotated[int, typer.Option(min=0, max=10_000, help="How many of its last frames.")] = 20,
    as_json: Json = False,
) -> None:
    """Show one job: steps with what was sent and decided, the last frames, the pipeline it is part of."""

    async def work(store: Store) -> dict[str, Any]:
        redactor = await learned(store, settings)
        one = await _find(store, job)
        return redactor.value(await store.read(lambda tx: _all_of(tx, one, frames)))

    told = with_store(settings, work)
    if as_json:
        print_json([told])
        return
    inner = ("steps", "frames", "pipeline")
    print_pairs((name, value) for name, value in told.items() if name not in inner)
    say("")
    lines = [
        [one["name"], one["kind"], one["attempt"], one["state"], one["began_at"], one["sent_at"],
         one["decided_by"], json.dumps(one["evidence"], ensure_ascii=False) if one["evidence"] else ""]
        for one in told["steps"]
    ]  # fmt: skip
    columns = ["step", "kind", "attempt", "state", "began", "sent", "decided by", "evidence"]
    print_table(columns, lines, "No step has begun.")
    for one in told["steps"]:
        if one["state"] == "in_doubt" and one["result"] is not None:
            supposed = json.dumps(one["result"], ensure_ascii=False)
            say(f"If “{one['name']}” happened, it answered as far as is known: {supposed}")
    for one in told["frames"]:
        say(f"{one['at_at']} {one['direction']:>8} {one['surface']}  {one['text']}")
    if len(told["pipeline"]) > 1:
        lines = [[one["step"] or "first", one["kind"], one["state"], one["id"]] for one in told["pipeline"]]
        print_table(["step", "kind", "state", "job"], lines, "")


@app.command("submit")
@with_settings
def submit(
    settings: Settings,
    kind: Annotated[str, typer.Argument(help="What is asked; see bin/atalaia jobs kinds.")],
    params: Annotated[str, typer.Argument(help="Its parameters as JSON, @FILE, or - for standard input.")],
    connection: Annotated[str, typer.Option("--connection", help="Name or id of the connection.")],
    key: Annotated[str, typer.Option(help="Idempotency key: the same key and body are the same job.")] = "",
    priority: Annotated[int, typer.Option(help="Higher goes first.")] = 0,
    wait_s: Annotated[float, typer.Option(min=0, help="Start at the earliest in so many seconds.")] = 0.0,
    expires_s: Annotated[
        float, typer.Option(min=0, help="Give up when it has not begun in so many seconds; 0 = never.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the frames; send none.")] = False,
    as_json: Json = False,
) -> None:
    """Ask an upstream for something. The running hub does it; this command only queues it."""
    asked, now = _params(params), now_ms()

    async def work(store: Store) -> list[Planned] | dict[str, Any]:
        redactor = await learned(store, settings)
        to = await find_connection(store, settings, connection)
        orders = _orders(redactor)
        if dry_run:
            return orders.plan(kind, to.settings, asked)
        order = Order(
            kind, to.id, asked, BY_NAME, key=key or None, priority=priority,
            not_before_ms=now + int(wait_s * 1000) if wait_s else None,
            expires_ms=now + int(expires_s * 1000) if expires_s else None,
        )  # fmt: skip
        made = await store.write(lambda tx: orders.submit(tx, order))
        return {"job": made.id, "state": made.state.value, "trace": made.trace}

    done = with_store(settings, work)
    if isinstance(done, dict):
        _say(done, as_json, f"{done['job']} is {done['state']}. See bin/atalaia jobs show {done['job']}")
    elif as_json:
        print_json(asdict(one) for one in done)
    else:
        print_table(["surface", "frame", ""], [[one.surface, one.text, one.note] for one in done], "Nothing.")


@app.command("cancel")
@with_settings
def cancel(
    settings: Settings,
    job: Identity,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Call a job off: at once, or after the answer of what is on its way."""
    _change(settings, job, lambda o, tx, id: o.cancel(tx, id, reason=reason, by=BY_NAME), as_json)


@app.command("retry")
@with_settings
def retry(
    settings: Settings,
    job: Identity,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.", prompt=True)],
    anew: Annotated[
        bool | None,
        typer.Option("--anew/--resume", help="Send what is done again, or keep it; else as the kind says."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a job that ended without success again."""
    _change(settings, job, lambda o, tx, id: o.retry(tx, id, reason=reason, by=BY_NAME, anew=anew), as_json)


@app.command("decide")
@with_settings
def decide(
    settings: Settings,
    job: Identity,
    choice: Annotated[str, typer.Argument(help="happened, again, or cancel.")],
    step: Annotated[str, typer.Option(help="The step; needed by nobody, checked when given.")] = "",
    result: Annotated[
        str, typer.Option(help="happened: what the step would have answered, or a part of that, as JSON.")
    ] = "",
    evidence: Annotated[
        list[str] | None,
        typer.Option(help="What was seen upstream, NAME=VALUE, e.g. process_id=10422606; may be repeated."),
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Decide about a step in doubt: it happened; it did not, run it again; or call the job off.

    What the step would have answered, as far as that is known, is its result in bin/atalaia jobs show.
    """
    known = _json(result, "--result") if result else None
    seen = dict(_pair(one) for one in evidence or [])
    _change(
        settings,
        job,
        lambda o, tx, id: o.decide(
            tx, id, choice, by=BY_NAME, step=step or None, result=known, evidence=seen, reason=reason
        ),
        as_json,
    )


@app.command("answer")
@with_settings
def answer(
    settings: Settings,
    job: Identity,
    choice: Annotated[str, typer.Argument(help="One of the choices that the job offers.")],
    data: Annotated[str, typer.Option(help="What is filled in, as JSON.")] = "{}",
    as_json: Json = False,
) -> None:
    """Answer what a waiting job asks."""
    filled = _json(data, "--data")
    _change(settings, job, lambda o, tx, id: o.answer(tx, id, choice, by=BY_NAME, data=filled), as_json)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        fail(f"--evidence holds “{text}”; write NAME=VALUE, e.g. process_id=10422606.")
    return name.strip(), value.strip()


def _change(
    settings: Settings, wanted: str, work: Callable[[Orders, Connection, str], Any], as_json: bool
) -> None:
    async def run(store: Store) -> dict[str, Any]:
        orders = _orders(await learned(store, settings))
        one = await _find(store, wanted)
        after = await store.write(lambda tx: work(orders, tx, one.id))
        return {"job": after.id, "state": after.state.value}

    done = with_store(settings, run)
    _say(done, as_json, f"{done['job']} is {done['state']}.")


def _say(done: dict[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        print_json([done])
    else:
        say(text)


def _orders(redactor: Redactor) -> Orders:
    return Orders(Ambient(), job_kinds(CONNECTORS), redactor)


async def _find(store: Store, wanted: str) -> Job:
    """Answer the job whose id begins so. Errors: `ConfigError`."""
    exact = await store.read(lambda tx: queries.get_job(tx, wanted))
    if exact is not None:
        return exact
    found = await store.read(lambda tx: queries.list_jobs(tx, JobFilter(words=wanted), limit=200))
    found = [one for one in found if one.id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    raise ConfigError(f"{'Several jobs begin' if found else 'There is no job that begins'} with “{wanted}”.")


def _all_of(tx: Connection, one: Job, frames: int) -> dict[str, Any]:
    last = queries.last_frames(tx, one.id, limit=frames) if frames else []
    return {
        **_told(one),
        "steps": [times(asdict(step)) for step in queries.list_steps(tx, one.id)],
        "frames": [times(asdict(frame)) for frame in last],
        "pipeline": [_told(other) for other in queries.chain(tx, one.root)],
    }


def _told(one: Job) -> dict[str, Any]:
    return times(asdict(one) | {"percent": one.percent})


def _percent(row: dict[str, Any]) -> str:
    shown = row["state"] == "running" and row["percent"] is not None
    return f"{row['percent']:g} %" if shown else ""


def _states(given: list[str]) -> tuple[str, ...]:
    known = {state: (state,) for state in STATES} | {
        "open": tuple(state for state in STATES if state not in queries.ENDED),
        "person": queries.NEEDS_PERSON,
    }
    for one in given:
        if one not in known:
            fail(f"There is no state “{one}”. Write one of: {', '.join(known)}.")
    return tuple(state for one in given for state in known[one])


def _params(text: str) -> dict[str, Any]:
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text()
    except OSError as error:
        fail(f"{text[1:]} cannot be read: {error.strerror}.")
    found = _json(text, "the parameters")
    if not isinstance(found, dict):
        fail('The parameters are no JSON object. Write them like \'{"name": "value"}\'.')
    return found  # pyright: ignore[reportUnknownVariableType]  # JSON


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        fail(f"{what} holds text that is not JSON: {error}.")
