"""`atalaia connections`: what is configured, how it is, what it may have missed."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, cast

import typer

from atalaia.ambient import Ambient
from atalaia.cli.common import (
    STEPS,
    Json,
    Limit,
    Since,
    Until,
    ago,
    fail,
    find_connection,
    learned,
    moment,
    now_ms,
    pick,
    print_json,
    print_pairs,
    print_rows,
    print_table,
    say,
    times,
    with_settings,
    with_store,
)
from atalaia.connections.queries import ConnectionSeen, PlaneSeen, get_connection, list_connections
from atalaia.connections.recoveries import list_recoveries
from atalaia.connections.session import CheckStep
from atalaia.connectors import CONNECTORS
from atalaia.events.gaps import ORIGINS, Gap, GapFilter, find_gaps
from atalaia.settings import Settings
from atalaia.store.store import Store

app = typer.Typer(help="Connections, the truth about them, and their gaps.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="CONNECTION", help="Name or id of the connection.")]


@app.command("list")
@with_settings
def list_(settings: Settings, as_json: Json = False) -> None:
    """List connections with their state, since when, and why."""

    async def work(store: Store) -> list[dict[str, Any]]:
        redactor = await learned(store, settings)
        return [redactor.value(_told(one)) for one in await store.read(list_connections)]

    rows = with_store(settings, work)
    columns = ["name", "connector", "state", "known", "since", "last heard", "reason", "id"]
    shown = ("name", "connector", "state", "kind", "since_at", "heard_at", "reason", "id")
    empty = "No connections yet. Add one on the screen, under Connections."
    for row in rows if not as_json else ():
        row["reason"] = row["reason"] or row["failure"].get("said", "")  # of the last try, while one opens
    print_rows(rows, columns, lambda row: [row[one] for one in shown], empty, as_json=as_json)


@app.command("show")
@with_settings
def show(
    settings: Settings,
    name: Name,
    as_json: Json = False,
) -> None:
    """Show one connection: its state, and for each plane the evidence and its age."""

    async def work(store: Store) -> tuple[ConnectionSeen, dict[str, Any]]:
        redactor = await learned(store, settings)
        identity = pick(await store.read(list_connections), name, "connection").id
        one = await store.read(lambda tx: get_connection(tx, identity))
        assert one is not None
        return one, redactor.value(_told(one))

    one, row = with_store(settings, work)
    if as_json:
        print_json([row])
        return
    print_pairs((key, value) for key, value in row.items() if key not in ("planes", "evidence", "failure"))
    print_pairs([("evidence", _evidence(row["evidence"]))])
    names = {"said": "last failure", "cause": "where", "todo": "to do"}
    print_pairs((names[key], value) for key, value in row["failure"].items() if key in names)
    say("")
    now = now_ms()
    planes = [_plane_line(seen, told, now) for seen, told in zip(one.planes, row["planes"], strict=True)]
    columns = ["plane", "state", "seen", "claims", "evidence"]
    print_table(columns, planes, "Nothing was proven or disproven yet.")


@app.command("test")
@with_settings
def try_(
    settings: Settings,
    name: Name,
    as_json: Json = False,
) -> None:
    """Try a connection's settings step by step, from this machine. Ends with status 1 when a step fails."""
    steps = with_store(settings, lambda store: _test(store, settings, name))
    rows = [asdict(step) for step in steps]
    empty = "There is nothing to try: others call us here."
    print_rows(
        rows,
        STEPS,
        lambda row: [row[one] for one in ("name", "outcome", "said", "todo")],
        empty,
        as_json=as_json,
    )
    if any(step.outcome == "failed" for step in steps):
        raise typer.Exit(1)


@app.command("gaps")
@with_settings
def gaps(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="[CONNECTION]", help="Only of this one (name or id).")] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those not reconciled yet.")] = False,
    lost_only: Annotated[bool, typer.Option("--lost", help="Only those of which something is lost.")] = False,
    origin: Annotated[str, typer.Option(help=f"Only those opened by: {', '.join(ORIGINS)}.")] = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List the intervals in which something may have been missed, latest first, with what was recovered.

    Routine checks that found nothing are listed only with --origin routine.
    """
    if origin and origin not in ORIGINS:
        fail(f"“{origin}” opens no gap. Choose one of {', '.join(ORIGINS)}.")
    state = "open" if open_only else "lost" if lost_only else ""
    low, high = moment(since, settings), moment(until, settings)

    async def work(store: Store) -> list[dict[str, Any]]:
        redactor = await learned(store, settings)
        known = await store.read(list_connections)
        of = pick(known, name, "connection").id if name else None
        names = {one.id: one.name for one in known}
        wanted = GapFilter(of, state, origin, low, high)
        found = await store.read(lambda tx: find_gaps(tx, wanted, limit=limit))
        return [redactor.value(_gap(one, names.get(one.connection, ""))) for one in found]

    rows = with_store(settings, work)
    print_rows(
        rows,
        ["connection", "from", "to", "closed", "lost", "checked", "recovered", "cause"],
        lambda row: [
            row["name"] or row["connection"], row["from_at"], row["to_at"] or "still",
            row["closed_at"] or "still open", row["lost"], _evidence(row["checked"]),
            _evidence(row["recovered"]), row["cause"],
        ],
        "There are no gaps.",
        as_json=as_json,
    )  # fmt: skip


@app.command("recoveries")
@with_settings
def recoveries(
    settings: Settings, name: Name, since: Since = "24h", limit: Limit = 50, as_json: Json = False
) -> None:
    """List what was tried to bring a session back, latest first, and whether it helped."""
    low = moment(since, settings) or 0

    async def work(store: Store) -> list[dict[str, Any]]:
        redactor = await learned(store, settings)
        of = pick(await store.read(list_connections), name, "connection").id
        found = await store.read(lambda tx: list_recoveries(tx, of, since_ms=low, limit=limit))
        return [redactor.value(times(asdict(one))) for one in found]

    print_rows(
        with_store(settings, work),
        ["started", "ended", "step", "tried", "because", "outcome", "said"],
        lambda row: [
            row["started_at"], row["ended_at"] or "", str(row["step"]), row["title"] or row["rung"],
            row["cause"], row["outcome"] or "under way", row["said"],
        ],
        "Nothing had to be tried.",
        as_json=as_json,
    )  # fmt: skip


async def _test(store: Store, settings: Settings, name: str) -> list[CheckStep]:
    one = await find_connection(store, settings, name)
    redactor = await learned(store, settings)
    check = CONNECTORS[one.connector].check
    steps = await check(one.settings, Ambient()) if check else []
    return [
        replace(
            step,
            said=redactor.text(step.said),
            todo=redactor.text(step.todo),
            evidence=redactor.value(step.evidence),
        )
        for step in steps
    ]


def _told(one: ConnectionSeen) -> dict[str, Any]:
    row = times(asdict(replace(one, planes=[])))
    return {**row, "failure": one.failure, "planes": [times(asdict(plane)) for plane in one.planes]}


def _gap(one: Gap, name: str) -> dict[str, Any]:
    return {"name": name, **times(asdict(one))}


def _plane_line(seen: PlaneSeen, told: dict[str, Any], now: int) -> list[str]:
    age = f"{ago(seen.seen_ms, now)} ago" if seen.seen_ms else "never"
    return [told["plane"], told["state"], age, told["claim"], _evidence(told["evidence"])]


def _evidence(found: Any) -> str:
    """Answer evidence as short words; details are in --json."""
    if not isinstance(found, dict):
        return "" if found in (None, [], "") else str(found)
    pairs_of = cast("dict[str, Any]", found)
    pairs = [f"{key}={value}" for key, value in pairs_of.items() if not isinstance(value, dict | list)]
    return ", ".join(pairs)
