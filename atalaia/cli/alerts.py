"""`atalaia alerts`: what is wrong, who is told, taking, silencing, trying a channel."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.cli import alert_channels
from atalaia.cli.alert_channels import register_of
from atalaia.cli.common import (
    BY,
    Json,
    Limit,
    ago,
    fail,
    learned,
    now_ms,
    pick,
    print_json,
    print_pairs,
    print_rows,
    print_table,
    say,
    time_of,
    with_settings,
    with_store,
)
from atalaia.connections.queries import list_connections, names
from atalaia.desk.alerts import acts, channels, queries
from atalaia.desk.alerts.channels import Channel
from atalaia.desk.alerts.queries import Incident, Member, Notice, Wanted
from atalaia.desk.alerts.sending import Sent
from atalaia.desk.alerts.wording import Tongue, headline
from atalaia.errors import ConfigError
from atalaia.redact import Redactor
from atalaia.settings import Settings
from atalaia.store.store import Store

app = typer.Typer(help="What is wrong, and who is told of it.", no_args_is_help=True)
app.add_typer(alert_channels.app, name="channel")
State = Literal["open", "silenced", "resolved", "all"]
Alert = Annotated[str, typer.Argument(help="Id of the alert, or its first characters.")]
_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


@app.command("list")
@with_settings
def list_(
    settings: Settings,
    state: Annotated[State, typer.Option(help="Which alerts.")] = "open",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List alerts, one for each cause, the latest first."""
    now = now_ms()

    async def work(store: Store) -> tuple[list[Incident], Redactor]:
        found = await store.read(lambda tx: queries.list_incidents(tx, Wanted(state), now, limit=limit))
        return found, await learned(store, settings)

    found, redactor = with_store(settings, work)
    rows = [_told(one, redactor) for one in found]
    print_rows(
        rows,
        ["state", "severity", "alert", "members", "since", "id"],
        lambda row: [
            row["state"], row["severity"], row["headline"], f"{row['standing']}/{row['members']}",
            ago(row["since_ms"], now), row["id"],
        ],
        "Nothing is wrong." if state == "open" else "There is no such alert.",
        as_json=as_json,
    )  # fmt: skip


@app.command("show")
@with_settings
def show(settings: Settings, alert: Alert, as_json: Json = False) -> None:
    """Show one alert: evidence, what to do, its members, and who was told."""

    async def work(store: Store) -> tuple[Incident, list[Member], list[Notice], dict[str, str], Redactor]:
        found = await _find(store, alert)
        return (
            found,
            await store.read(lambda tx: queries.members_of(tx, found.id, limit=100)),
            await store.read(lambda tx: queries.list_notices(tx, incident=found.id)),
            await store.read(channels.names),
            await learned(store, settings),
        )

    found, members, notices, names, redactor = with_store(settings, work)
    told = _told(found, redactor)
    if as_json:
        parts = [_member(one, redactor) for one in members]
        print_json([{**told, "causes": parts, "notices": [_notice(one, names) for one in notices]}])
        return
    detail = told["detail"]
    print_pairs(
        [
            ("alert", told["headline"]), ("state", told["state"]), ("severity", told["severity"]),
            ("known", detail.get("known")), ("what to do", detail.get("todo")),
            ("evidence", detail.get("evidence")), ("since", told["since_at"]), ("raised", told["opened_at"]),
            ("resolved", told["resolved_at"]), ("came", f"{found.turns} times" if found.turns > 1 else ""),
            ("taken by", found.ack.by if found.ack else ""),
            ("silenced until", told["silenced_until"]),
            ("silenced because", found.silence.reason if found.silence else ""),
        ]
    )  # fmt: skip
    cells = [
        ["over" if one.resolved_ms else "stands", redactor.text(one.title), one.times] for one in members
    ]
    print_table(["", "member", "times"], cells, "")
    lines = [_notice(one, names) for one in notices]
    print_table(
        ["notice", "channel", "state", "tries", "error"],
        ([one["kind"], one["channel"], one["state"], one["attempts"], one["error"]] for one in lines),
        "Nobody was told.",
    )


@app.command("take")
@with_settings
def take(
    settings: Settings, alert: Alert, note: Annotated[str, typer.Option(help="Shown beside your name.")] = ""
) -> None:
    """Take an alert: it is told no more until it is over."""

    async def work(store: Store) -> str:
        found = await _find(store, alert)
        await store.write(lambda tx: acts.acknowledge(tx, Ambient(), found.id, by=BY, note=note))
        return found.title

    say(f"Taken: {with_store(settings, work)}")


@app.command("silence")
@with_settings
def silence(
    settings: Settings,
    reason: Annotated[str, typer.Option(help="Why, for who looks at it later.")],
    alert: Annotated[str, typer.Argument(help="Id of the alert, or its first characters.")] = "",
    connection: Annotated[str, typer.Option(help="Instead: all that is about this one (name or id).")] = "",
    span: Annotated[str, typer.Option("--for", help="How long: 90m, 4h, 7d.")] = "4h",
) -> None:
    """Tell nobody of an alert, and of later ones with the same cause, or of a connection, for a while."""
    if bool(alert) == bool(connection):
        fail("Name either an alert or, with --connection, a connection.")
    if span[-1:] not in _UNITS or not span[:-1].isdecimal():
        fail(f"“{span}” is no time. Write 90m, 4h or 7d.")
    until = now_ms() + int(span[:-1]) * _UNITS[span[-1]]

    async def work(store: Store) -> str:
        given: Any = {"reason": reason, "until_ms": until, "by": BY}
        if connection:
            known = pick(await store.read(list_connections), connection, "connection")
            title, made = (
                known.name,
                await store.write(lambda tx: acts.silence_connection(tx, Ambient(), known.id, **given)),
            )
        else:
            found = await _find(store, alert)
            title, made = (
                found.title,
                await store.write(lambda tx: acts.silence(tx, Ambient(), found.id, **given)),
            )
        return f"{title} is silenced until {time_of(made.until_ms)}."

    say(with_store(settings, work))


@app.command("silences")
@with_settings
def silences(
    settings: Settings,
    all_: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List of what nobody is told, until when, and why; those in force first."""
    now = now_ms()

    def read(tx: Connection) -> list[dict[str, Any]]:
        found = queries.list_silences(tx, now, in_force=None if all_ else True, limit=limit)
        titles, known = queries.titles_of(tx, [one.incident for one in found]), names(tx)
        return [
            {
                "id": one.id, "of": known.get(one.connection) or titles.get(one.incident) or one.incident,
                "connection": one.connection, "alert": one.incident, "reason": one.reason, "by": one.by,
                "from_at": time_of(one.from_ms), "until_at": time_of(one.until_ms),
                "ended_at": time_of(one.ended_ms),
            }
            for one in found
        ]  # fmt: skip

    print_rows(
        with_store(settings, lambda store: store.read(read)),
        ["of", "until", "reason", "by", "id"],
        lambda row: [row["of"], row["ended_at"] or row["until_at"], row["reason"], row["by"], row["id"]],
        "Nothing is silenced.",
        as_json=as_json,
    )


@app.command("unsilence")
@with_settings
def unsilence(
    settings: Settings,
    alert: Annotated[str, typer.Argument(help="Id of the alert or of the silence, or its beginning.")],
) -> None:
    """End a silence, by its id or by that of an alert."""

    async def work(store: Store) -> str:
        now = now_ms()
        in_force = await store.read(lambda tx: queries.list_silences(tx, now, in_force=True))
        mine = [one for one in in_force if one.id.startswith(alert)]
        if len(mine) == 1:
            await store.write(lambda tx: acts.unsilence(tx, Ambient(), mine[0].id, by=BY))
            return mine[0].reason
        found = await _find(store, alert)
        if found.silence is None:
            raise ConfigError("This alert is not silenced.")
        silence = found.silence.id
        await store.write(lambda tx: acts.unsilence(tx, Ambient(), silence, by=BY))
        return found.title

    say(f"Not silenced any more: {with_store(settings, work)}")


@app.command("channels")
@with_settings
def channels_(settings: Settings, as_json: Json = False) -> None:
    """List who is told of alerts. `alerts channel add` sets one up, as does the screen."""

    def read(tx: Connection) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for one in channels.list_channels(tx):
            last = next(iter(queries.list_notices(tx, channel=one.id, limit=1)), None)
            rows.append(
                {
                    "id": one.id, "name": one.name, "service": one.hint, "enabled": one.enabled,
                    "policy": one.policy.to_json(), "last": _notice(last, {}) if last else None,
                }
            )  # fmt: skip
        return rows

    print_rows(
        with_store(settings, lambda store: store.read(read)),
        ["name", "service", "state", "tells", "quiet hours", "last notice", "id"],
        lambda row: [
            row["name"], row["service"], "on" if row["enabled"] else "off", row["policy"]["severity"],
            f"{row['policy']['quiet_from']}–{row['policy']['quiet_to']}".strip("–"),
            f"{row['last']['kind']} {row['last']['state']}" if row["last"] else "never", row["id"],
        ],
        "Nobody is told of alerts yet. Set a channel up: bin/atalaia alerts channel add, or on the screen.",
        as_json=as_json,
    )  # fmt: skip


@app.command("test")
@with_settings
def try_(
    settings: Settings,
    channel: Annotated[str, typer.Argument(help="Name or id of the channel.")],
    as_json: Json = False,
) -> None:
    """Send a test to a channel and say what happened. Status 1 when it was not taken."""

    async def work(store: Store) -> tuple[Channel, Sent]:
        known = await store.read(channels.list_channels)
        found: Channel = pick(known, channel, "channel")
        return found, await register_of(store, settings).test(found, by=BY)

    found, sent = with_store(settings, work)
    if as_json:
        print_json([{"channel": found.name, "ok": sent.ok, "said": sent.said, "took_ms": sent.took_ms}])
    elif sent.ok:
        say(f"{found.name} took the test in {sent.took_ms} ms.")
    if not sent.ok:
        fail(f"{found.name} did not take the test: {sent.said}")


async def _find(store: Store, wanted: str) -> Incident:
    """Answer the one alert whose id begins so. Errors: `ConfigError`."""
    now = now_ms()
    found = await store.read(lambda tx: queries.find_incidents(tx, wanted, now))
    if len(found) != 1:
        raise ConfigError(
            f"There is no alert “{wanted}”. `bin/atalaia alerts list --state all` shows them."
            if not found else f"Several alerts begin with “{wanted}”. Write more of the id."
        )  # fmt: skip
    return found[0]


def _told(one: Incident, redactor: Redactor) -> dict[str, Any]:
    return {
        "id": one.id, "state": one.state, "severity": one.severity, "kind": one.kind,
        "headline": redactor.text(headline(one, Tongue())), "title": redactor.text(one.title),
        "detail": redactor.value(one.detail), "opened_ms": one.opened_ms, "since_ms": one.since_ms,
        "since_at": time_of(one.since_ms), "opened_at": time_of(one.opened_ms),
        "resolved_at": time_of(one.resolved_ms), "turns": one.turns, "flapping": one.flapping,
        "members": one.members, "standing": one.standing, "taken_by": one.ack.by if one.ack else None,
        "silenced_until": time_of(one.silence.until_ms) if one.silence else None,
    }  # fmt: skip


def _member(one: Member, redactor: Redactor) -> dict[str, Any]:
    return {
        "cause": one.cause, "title": redactor.text(one.title), "connection": one.connection,
        "raised_at": time_of(one.raised_ms), "resolved_at": time_of(one.resolved_ms), "times": one.times,
    }  # fmt: skip


def _notice(one: Notice, names: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": one.kind, "channel": names.get(one.channel, one.channel), "state": one.state,
        "title": one.title, "attempts": one.attempts, "error": one.error,
        "created_at": time_of(one.created_ms), "done_at": time_of(one.done_ms),
    }  # fmt: skip
