"""`atalaia connections`: what is configured, how it is, what it may have missed."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, cast

import typer

from atalaia.ambient import Ambient
from atalaia.cli.common import (
    Config,
    DatabaseUrl,
    DataDir,
    Json,
    Limit,
    ago,
    find_connection,
    learned,
    now_ms,
    pick,
    print_json,
    print_pairs,
    print_table,
    say,
    settings_of,
    times,
    with_store,
)
from atalaia.connections.queries import ConnectionSeen, PlaneSeen, get_connection, list_connections
from atalaia.connections.session import CheckStep
from atalaia.connectors import CONNECTORS
from atalaia.events.gaps import Gap, list_gaps
from atalaia.settings import Settings
from atalaia.store.store import Store

app = typer.Typer(help="Connections, the truth about them, and their gaps.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="CONNECTION", help="Name or id of the connection.")]


@app.command("list")
def list_(
    data_dir: DataDir = None, database_url: DatabaseUrl = None, config: Config = None, as_json: Json = False
) -> None:
    """List connections with their state, since when, and why."""
    settings = settings_of(data_dir, database_url, config)

    async def work(store: Store) -> list[dict[str, Any]]:
        redactor = await learned(store, settings)
        return [redactor.value(_told(one)) for one in await store.read(list_connections)]

    rows = with_store(settings, work)
    if as_json:
        print_json(rows)
        return
    lines = [
        [
            row["name"],
            row["connector"],
            row["state"],
            row["since_at"],
            row["heard_at"],
            row["reason"],
            row["id"],
        ]
        for row in rows
    ]
    empty = "No connections yet. Add one on the screen, under Connections."
    print_table(["name", "connector", "state", "since", "last heard", "reason", "id"], lines, empty)


@app.command("show")
def show(
    name: Name,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show one connection: its state, and for each plane the evidence and its age."""
    settings = settings_of(data_dir, database_url, config)

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
    print_pairs((key, value) for key, value in row.items() if key not in ("planes", "evidence"))
    print_pairs([("evidence", _evidence(row["evidence"]))])
    say("")
    now = now_ms()
    planes = [_plane_line(seen, told, now) for seen, told in zip(one.planes, row["planes"], strict=True)]
    columns = ["plane", "state", "seen", "claims", "evidence"]
    print_table(columns, planes, "Nothing was proven or disproven yet.")


@app.command("test")
def try_(
    name: Name,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Try a connection's settings step by step, from this machine. Ends with status 1 when a step fails."""
    settings = settings_of(data_dir, database_url, config)
    steps = with_store(settings, lambda store: _test(store, settings, name))
    if as_json:
        print_json(asdict(step) for step in steps)
    else:
        lines = [[step.name, step.outcome, step.said, step.todo] for step in steps]
        print_table(
            ["step", "", "found", "what to do"], lines, "There is nothing to try: others call us here."
        )
    if any(step.outcome == "failed" for step in steps):
        raise typer.Exit(1)


@app.command("gaps")
def gaps(
    name: Annotated[str, typer.Argument(metavar="[CONNECTION]", help="Only of this one (name or id).")] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those not reconciled yet.")] = False,
    limit: Limit = 50,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the intervals in which something may have been missed, latest first, with what was recovered."""
    settings = settings_of(data_dir, database_url, config)

    async def work(store: Store) -> list[dict[str, Any]]:
        redactor = await learned(store, settings)
        known = await store.read(list_connections)
        of = pick(known, name, "connection").id if name else None
        names = {one.id: one.name for one in known}
        found = await store.read(lambda tx: list_gaps(tx, connection=of, open_only=open_only, limit=limit))
        return [redactor.value(_gap(one, names.get(one.connection, ""))) for one in found]

    rows = with_store(settings, work)
    if as_json:
        print_json(rows)
        return
    lines = [
        [row["name"] or row["connection"], row["from_at"], row["to_at"] or "still", row["lost"],
         _evidence(row["recovered"]), row["cause"]]
        for row in rows
    ]  # fmt: skip
    print_table(["connection", "from", "to", "lost", "recovered", "cause"], lines, "There are no gaps.")


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
    return {**row, "planes": [times(asdict(plane)) for plane in one.planes]}


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
