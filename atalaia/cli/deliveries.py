"""`atalaia deliveries`: did they get it, what was given up, and sending it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.cli.common import (
    BY,
    STEPS,
    Json,
    Limit,
    Since,
    Until,
    fail,
    learned,
    moment,
    now_ms,
    pick,
    print_json,
    print_pairs,
    print_rows,
    print_table,
    registry_of,
    say,
    secretbox_of,
    times,
    with_settings,
    with_store,
)
from atalaia.connectors import CONNECTORS
from atalaia.deliveries import queries
from atalaia.deliveries.formats import OWN_FORMATS, Format
from atalaia.deliveries.guard import Guard
from atalaia.deliveries.queries import DeliveryView, SubscriptionView
from atalaia.deliveries.replay import REPLAY_MOST, Replayed, Selection, redo, replay, skip
from atalaia.deliveries.subscription import Subscription, list_subscriptions, open_secrets
from atalaia.deliveries.targets.factory import Targets
from atalaia.deliveries.targets.target import Step
from atalaia.errors import ConfigError
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.settings import Settings
from atalaia.store.store import Store

app = typer.Typer(help="What is sent to whom, with every attempt.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="Name or id of the subscription.")]
Of = Annotated[str, typer.Option("--subscription", help="Only of this subscription (name or id).")]
Ids = Annotated[
    list[int] | None, typer.Argument(metavar="[DELIVERY]...", help="Numbers; none = all of them.")
]


@app.command("subscriptions")
@with_settings
def subscriptions(settings: Settings, as_json: Json = False) -> None:
    """List who gets what: state, what waits, lag, dead letters, and whether a destination is down."""
    now = now_ms()

    async def work(store: Store) -> list[dict[str, Any]]:
        redactor = await learned(store, settings)
        found = await store.read(lambda tx: queries.list_views(tx, now))
        return [redactor.value(_view(one)) for one in found]

    rows = with_store(settings, work)
    print_rows(
        rows,
        ["name", "state", "format", "pending", "waiting", "lag", "dead", "down", "id"],
        lambda row: [
            row["name"], row["state"], row["format"], row["pending"], row["waiting"],
            f"{row['lag_ms'] / 1000:.0f}s", row["dead"], _down(row["lanes"]), row["id"],
        ],
        "Nobody has asked for anything. Add a subscription on the screen, under Deliveries.",
        as_json=as_json,
    )  # fmt: skip


@app.command("list")
@with_settings
def list_(
    settings: Settings,
    subscription: Of = "",
    state: Annotated[
        str,
        typer.Option(
            help="pending, sending, waiting, delivered, dead, cancelled, or open = the first three."
        ),
    ] = "",
    destination: Annotated[str | None, typer.Option(help="Only to this destination, e.g. a vhost.")] = None,
    key: Annotated[str, typer.Option(help="Only about this key, e.g. a call's guid.")] = "",
    seq: Annotated[int | None, typer.Option(help="Only of the event with this sequence number.")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List deliveries, newest first."""
    if state and state not in (*queries.STATES, "open"):
        fail(f"There is no state “{state}”. Write one of: {', '.join((*queries.STATES, 'open'))}.")
    chosen = {"state": state, "destination": destination, "key": key, "seq": seq, "limit": limit}
    _print_deliveries(settings, subscription, chosen, as_json, "There is no delivery like that.")


@app.command("dead")
@with_settings
def dead(
    settings: Settings,
    subscription: Of = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List dead letters: deliveries that were given up and wait for a decision (redo or skip)."""
    _print_deliveries(
        settings, subscription, {"state": "dead", "limit": limit}, as_json, "There are no dead letters."
    )


@app.command("attempts")
@with_settings
def attempts(
    settings: Settings,
    delivery: Annotated[int, typer.Argument(help="Number of the delivery, from the list.")],
    as_json: Json = False,
) -> None:
    """Show one delivery with every attempt: when, how long, and what the consumer answered."""

    async def work(store: Store) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        redactor = await learned(store, settings)
        one = await store.read(lambda tx: queries.get_delivery(tx, delivery))
        if one is None:
            raise ConfigError(f"There is no delivery {delivery}. It may be older than retention keeps.")
        tries = await store.read(lambda tx: queries.list_attempts(tx, delivery))
        return redactor.value(_delivery(one)), [redactor.value(times(asdict(row))) for row in tries]

    one, tries = with_store(settings, work)
    if as_json:
        print_json(tries)
        return
    print_pairs(one.items())
    lines = [
        [row["number"], row["started_at"], f"{row['took_ms']} ms", row["outcome"], row["status"],
         row["error"], row["response"][:120]]
        for row in tries
    ]  # fmt: skip
    columns = ["try", "at", "took", "outcome", "status", "error", "answer"]
    print_table(columns, lines, "It was not tried yet.")


@app.command("replay")
@with_settings
def replay_(
    settings: Settings,
    subscription: Name,
    deliveries: Annotated[
        list[int] | None, typer.Option("--delivery", help="Only this delivery; may be given several times.")
    ] = None,
    from_seq: Annotated[int | None, typer.Option(help="From this sequence number of the log on.")] = None,
    to_seq: Annotated[int | None, typer.Option(help="Up to this sequence number.")] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only this type; `call.*` means all that begin so.")
    ] = None,
    key: Annotated[str, typer.Option(help="Only about this key, e.g. a call's guid.")] = "",
    client: Annotated[str, typer.Option(help="Only of this client, e.g. 112.")] = "",
    since: Since = "",
    until: Until = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be sent.")] = False,
    as_json: Json = False,
) -> None:
    """Send events again, also those from before the subscription existed. Message ids stay the same."""
    chosen = Selection(
        tuple(deliveries or ()), from_seq, to_seq, tuple(types or ()), key, client,
        moment(since, settings), moment(until, settings),
    )  # fmt: skip
    done = with_store(settings, lambda store: _replay(store, subscription, chosen, dry_run=dry_run))
    if as_json:
        print_json([{"matched": done.matched, "queued": done.queued, "upto_seq": done.upto_seq}])
    elif dry_run:
        say(f"{done.matched} events would be sent again.")
    else:
        say(f"{done.queued} of {done.matched} events are queued; the running hub sends them.")


@app.command("redo")
@with_settings
def redo_(
    settings: Settings,
    subscription: Name,
    ids: Ids = None,
) -> None:
    """Try dead letters again, in their own place: what waits behind them stays behind."""
    count = with_store(settings, lambda store: _settle(store, subscription, ids, again=True))
    say(f"{count} dead letters are tried again.")


@app.command("skip")
@with_settings
def skip_(
    settings: Settings,
    subscription: Name,
    ids: Ids = None,
) -> None:
    """Let dead letters go for good, so that what waits behind them is sent."""
    count = with_store(settings, lambda store: _settle(store, subscription, ids, again=False))
    say(f"{count} dead letters were let go.")


@app.command("test")
@with_settings
def try_(
    settings: Settings,
    subscription: Name,
    destination: Annotated[str, typer.Option(help="For RabbitMQ: the virtual host to try.")] = "",
    as_json: Json = False,
) -> None:
    """Try the way to a consumer: a webhook gets one signed ping. Ends with status 1 when a step fails."""
    steps = with_store(settings, lambda store: _test(store, settings, subscription, destination))
    rows = [asdict(step) for step in steps]
    shown = ("name", "state", "said", "remedy")
    print_rows(
        rows, STEPS, lambda row: [row[one] for one in shown], "There was nothing to try.", as_json=as_json
    )
    if any(step.state == "failed" for step in steps):
        raise typer.Exit(1)


# --- work ------------------------------------------------------------------------------------------


async def _find(store: Store, wanted: str) -> Subscription:
    return pick(await store.read(list_subscriptions), wanted, "subscription")


async def _replay(store: Store, wanted: str, chosen: Selection, *, dry_run: bool) -> Replayed:
    """Replay in bites, so that no transaction holds the others up for long."""
    one = await _find(store, wanted)
    ambient, formats = Ambient(), _formats()
    whole = Replayed(0, 0, 0, more=True)
    start = chosen
    while whole.more:

        def work(tx: Connection, part: Selection = start) -> Replayed:
            return replay(tx, ambient, formats, one.id, part, dry_run=dry_run, most=REPLAY_MOST)

        done = await (store.read(work) if dry_run else store.write(work))
        matched, queued = whole.matched + done.matched, whole.queued + done.queued
        whole = Replayed(matched, queued, done.upto_seq, done.more)
        start = replace(chosen, from_seq=done.upto_seq + 1)
    if whole.queued:
        filter_ = {name: value for name, value in asdict(chosen).items() if value not in ((), "", None)}
        await store.write(lambda tx: _tell(tx, ambient, one, whole.queued, filter_))
    return whole


async def _settle(store: Store, wanted: str, ids: list[int] | None, *, again: bool) -> int:
    one = await _find(store, wanted)
    ambient = Ambient()
    act, how = (redo, "redo") if again else (skip, "skip")

    def work(tx: Connection) -> int:
        count = act(tx, ambient, one.id, ids or None)
        if count:
            _tell(tx, ambient, one, count, {"dead": how, "deliveries": ids or None})
        return count

    return await store.write(work)


async def _test(store: Store, settings: Settings, wanted: str, destination: str) -> list[Step]:
    one = await _find(store, wanted)
    redactor = await learned(store, settings)

    async def servers(connection: str) -> list[dict[str, Any]]:
        configured = await store.read(lambda tx: registry_of(settings).get(tx, connection))
        if configured is None:
            raise ConfigError("The connection whose servers this subscription uses does not exist any more.")
        listed = CONNECTORS[configured.connector].servers
        return listed(configured.settings) if listed else []

    targets = Targets(Ambient(), Guard(settings.allow_private_targets), servers)
    try:
        target = targets.open(one.target, open_secrets(secretbox_of(settings), one))
        steps = await target.test(destination)
    finally:
        await targets.close()
    return [replace(step, said=redactor.text(step.said), remedy=redactor.text(step.remedy)) for step in steps]


def _tell(tx: Connection, ambient: Ambient, one: Subscription, count: int, chosen: Mapping[str, Any]) -> None:
    data = {"name": one.name, "count": count, "filter": dict(chosen), "by": BY.as_data()}
    append_facts(tx, ambient, "subscriptions", [Fact("delivery.replayed", one.id, now_ms(), data)])


def _formats() -> dict[str, Format]:
    theirs = [one for connector in CONNECTORS.values() for one in connector.formats]
    return {**OWN_FORMATS, **{one.name: one for one in theirs}}


def _print_deliveries(
    settings: Settings, wanted: str, chosen: Mapping[str, Any], as_json: bool, empty: str
) -> None:
    async def work(store: Store) -> list[dict[str, Any]]:
        redactor = await learned(store, settings)
        of = (await _find(store, wanted)).id if wanted else ""
        page = await store.read(lambda tx: queries.list_deliveries(tx, subscription=of, **chosen))
        names = {one.id: one.name for one in await store.read(list_subscriptions)}
        rows = [_delivery(one) for one in page.items]
        return [redactor.value({**row, "name": names.get(row["subscription"], "")}) for row in rows]

    rows = with_store(settings, work)
    shown = ("id", "created_at", "name", "destination", "type", "key", "state", "attempts", "error")
    columns = ["number", "made", "to", "destination", "type", "key", "state", "tries", "error"]
    print_rows(rows, columns, lambda row: [row[one] for one in shown], empty, as_json=as_json)
    if not as_json and len(rows) == chosen["limit"]:
        say(f"These are the newest {len(rows)}. More: --limit.")


def _delivery(one: DeliveryView) -> dict[str, Any]:
    return times(asdict(one))


def _view(one: SubscriptionView) -> dict[str, Any]:
    return {**times(asdict(replace(one, lanes=()))), "lanes": [times(asdict(lane)) for lane in one.lanes]}


def _down(lanes: list[dict[str, Any]]) -> str:
    broken: list[str] = []
    for lane in lanes:
        if lane["circuit"] == "open":
            broken.append(f"{lane['destination'] or 'yes'}: {lane['ask'] or lane['error']}")
    return "; ".join(broken[:3]) + (f" and {len(broken) - 3} more" if len(broken) > 3 else "")
