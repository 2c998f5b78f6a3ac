"""`atalaia alerts channel`: who is told of alerts, set up from the machine on which the hub runs."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer

from atalaia.ambient import Ambient
from atalaia.cli.common import (
    BY,
    Json,
    fail,
    pick,
    print_json,
    say,
    secretbox_of,
    with_settings,
    with_store,
)
from atalaia.connections.queries import list_connections
from atalaia.connectors import CONNECTORS
from atalaia.desk.alerts import channels
from atalaia.desk.alerts.channels import Channel, Policy, SessionPlace, read_policy
from atalaia.desk.alerts.register import Register
from atalaia.desk.people.model import NotAllowed
from atalaia.errors import ConfigError
from atalaia.jobs.submit import Orders
from atalaia.redact import Redactor
from atalaia.serve import alert_ways, job_kinds
from atalaia.settings import Settings
from atalaia.store.store import Store

app = typer.Typer(help="Set up who is told of alerts.", no_args_is_help=True)

Named = Annotated[str, typer.Argument(metavar="CHANNEL", help="Name or id of the channel.")]
Place = Annotated[
    str,
    typer.Option(help="Apprise address; - reads it from standard input, so that it stands in no history."),
]
Sessions = Annotated[
    list[str] | None,
    typer.Option("--session", help="Tell by this session of ours (name or id); the first that can. Repeat."),
]
To = Annotated[str, typer.Option(help="With --session: a number with its country code, or a group's id.")]
Severity = Annotated[
    Literal["urgent", "warning"] | None, typer.Option(help="The least that is told; warning is all.")
]
Quiet = Annotated[str | None, typer.Option(metavar="HH:MM-HH:MM", help="Quiet hours; empty ends them.")]
Passes = Annotated[bool | None, typer.Option("--urgent-passes/--urgent-waits", help="In quiet hours.")]
Language = Annotated[Literal["pt_BR", "en"] | None, typer.Option(help="Of the notices.")]
Zone = Annotated[str | None, typer.Option(help="Time zone, e.g. America/Sao_Paulo.")]
Repeat = Annotated[int | None, typer.Option(help="Remind so often, in minutes; 0 is never.")]
Hold = Annotated[int | None, typer.Option(help="Told after it stood for so many seconds.")]
Retry = Annotated[int | None, typer.Option(help="Tried for so many hours.")]
Connections = Annotated[
    list[str] | None, typer.Option("--connection", help="Only alerts about this one (name or id). Repeat.")
]
Worlds = Annotated[list[str] | None, typer.Option("--world", help="Only alerts of this world. Repeat.")]


def register_of(store: Store, settings: Settings) -> Register:
    """Answer what sets channels up and tries them, beside a hub that may be running."""
    ambient, redactor = Ambient(), Redactor()
    orders = Orders(ambient, job_kinds(CONNECTORS), redactor)
    ways = alert_ways(store, orders, CONNECTORS, settings)
    return Register(store, ambient, secretbox_of(settings), redactor, ways)


@app.command("add")
@with_settings
def add(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="Who is told, as your colleagues call it.")],
    place: Place = "", session: Sessions = None, to: To = "", severity: Severity = None,
    quiet: Quiet = None, urgent_passes: Passes = None, language: Language = None, zone: Zone = None,
    repeat_min: Repeat = None, hold_s: Hold = None, retry_h: Retry = None,
    connection: Connections = None, world: Worlds = None,
    off: Annotated[bool, typer.Option("--off", help="Keep it switched off for now.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Make a channel; its address is read, not tried: see `alerts test`."""
    given = _given(
        severity, quiet, urgent_passes, language, zone, repeat_min, hold_s, retry_h, world
    )  # fmt: skip

    async def work(store: Store) -> Channel:
        policy = read_policy(
            {**given, **await _chosen(store, connection)},
            Policy(language=settings.language, zone=settings.zone),
        )
        where = await _where(store, place, session, to)
        return await register_of(store, settings).create(name, where, policy, by=BY, enabled=not off)

    _tell(_done(settings, work), "is told of alerts from now on", as_json=as_json)


@app.command("change")
@with_settings
def change(
    settings: Settings, channel: Named,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    place: Place = "", session: Sessions = None, to: To = "", severity: Severity = None,
    quiet: Quiet = None, urgent_passes: Passes = None, language: Language = None, zone: Zone = None,
    repeat_min: Repeat = None, hold_s: Hold = None, retry_h: Retry = None,
    connection: Connections = None, world: Worlds = None,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Switch it.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Change what is given; the rest stays. Switched on again, it tells what begins from now on."""
    given = _given(
        severity, quiet, urgent_passes, language, zone, repeat_min, hold_s, retry_h, world
    )  # fmt: skip

    async def work(store: Store) -> Channel:
        found: Channel = pick(await store.read(channels.list_channels), channel, "channel")
        policy = {**given, **await _chosen(store, connection)}
        where = await _where(store, place, session, to) if place or session or to else ""
        return await register_of(store, settings).change(
            found.id, by=BY, name=name, place=where, policy=policy or None, enabled=on
        )

    _tell(_done(settings, work), "was changed", as_json=as_json)


@app.command("remove")
@with_settings
def remove(settings: Settings, channel: Named) -> None:
    """Delete a channel with its address; what waited for it is dropped, what was sent stays listed."""

    async def work(store: Store) -> Channel:
        found: Channel = pick(await store.read(channels.list_channels), channel, "channel")
        await register_of(store, settings).delete(found.id, by=BY)
        return found

    _tell(_done(settings, work), "was removed", as_json=False)


def _given(
    severity: str | None, quiet: str | None, urgent_passes: bool | None, language: str | None,
    zone: str | None, repeat_min: int | None, hold_s: int | None, retry_h: int | None,
    worlds: list[str] | None,
) -> dict[str, Any]:  # fmt: skip
    """Answer the parts of a policy that were given."""
    begins, _, ends = (quiet or "").partition("-")
    hours = {} if quiet is None else {"quiet_from": begins.strip(), "quiet_to": ends.strip()}
    more = {
        "severity": severity, "urgent_passes": urgent_passes, "language": language, "zone": zone,
        "repeat_min": repeat_min, "hold_s": hold_s, "retry_h": retry_h, "worlds": worlds or None,
    }  # fmt: skip
    return {**hours, **{name: value for name, value in more.items() if value is not None}}


async def _chosen(store: Store, wanted: list[str] | None) -> dict[str, Any]:
    if not wanted:
        return {}
    known = await store.read(list_connections)
    return {"connections": [pick(known, one, "connection").id for one in wanted]}


async def _where(store: Store, place: str, sessions: list[str] | None, to: str) -> str:
    """Answer the address that was meant. Errors: `ConfigError`."""
    if place and (sessions or to):
        raise ConfigError("Give either --place, or --session and --to.")
    if not sessions and not to:
        return sys.stdin.readline().strip() if place == "-" else place
    known = await store.read(list_connections)
    return str(SessionPlace(tuple(pick(known, one, "connection").id for one in sessions or ()), to))


def _done(settings: Settings, work: Any) -> Channel:
    try:
        return with_store(settings, work)
    except NotAllowed as error:
        fail(str(error))


def _tell(channel: Channel, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json([{"id": channel.id, "name": channel.name, "kind": channel.kind, "service": channel.hint}])
    else:
        say(f"{channel.name} {what}.")
