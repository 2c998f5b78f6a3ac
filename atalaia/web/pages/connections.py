"""The wall of connections, and the page of one: planes, gaps, history, kinds, switches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Depends, Form, Query, Request, Response
from sqlalchemy import Connection

from atalaia.clock import from_ms, to_ms
from atalaia.connections.queries import ConnectionSeen, get_connection
from atalaia.connections.silence import Fresh
from atalaia.connectors.connector import Connector
from atalaia.deliveries.subscription import Subscription, list_subscriptions
from atalaia.events.gaps import Gap, list_gaps
from atalaia.events.queries import EventFilter, counts, newest, rates_of
from atalaia.web import i18n, render
from atalaia.web.access import Who, require
from atalaia.web.api.connections import setup_of
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages import freshness, wall
from atalaia.web.pages.common import (
    DAY_MS,
    HOUR_MS,
    PageCursor,
    Part,
    Words,
    done,
    look,
    now_ms,
    position,
    screens,
    show,
)  # fmt: skip
from atalaia.web.pages.directory import Book, book_of
from atalaia.web.pages.gap_words import ORIGINS, gap_rest, gap_words, lost_sign
from atalaia.web.pages.telling import Names, Told, tell
from atalaia.web.pages.wall import Card
from atalaia.web.pages.wall_many import Walled, Wanted, read_wall
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.ranges import TimeRange
from atalaia.web.show import moment_text
from atalaia.web.wire import Identity

routes = screens("connections:read")
Text = Annotated[str, Query(max_length=200)]
Writer = Annotated[Who, Depends(require("connections:write"))]

GAPS_SHOWN, HISTORY_SHOWN, SERIES_SHOWN, DAYS_SHOWN = 50, 60, 5, 7
_MOVES = ("opening", "live", "suspect", "lost", "waiting", "needs_person", "stopped", "created", "changed")
_STATES = (
    *(f"connection.{name}" for name in _MOVES),
    "recovery.tried",
    "recovery.proved",
    "recovery.failed",
    "session.looked",
)
_TONES = ("info", "good", "ask", "bad", "idle")


@routes.get("/connections")
async def list_page(
    request: Request, part: Part = "", q: Text = "", state: Text = "", server: Text = "",
    view: Annotated[str, Query(pattern="^(rows)?$")] = "", cursor: PageCursor = "",
) -> Response:  # fmt: skip
    """Answer the wall: what every connection is, and by which evidence."""
    parts, moment = parts_of(request), now_ms(request)
    wanted = Wanted(q.strip(), state, server, view)
    after = position(cursor, int, str, str)

    def read(tx: Connection) -> Walled:
        return read_wall(tx, parts.connectors, wanted, after, moment, part)

    walled = await look(request, read)
    return show(
        request, "connections/wall.html", part, walled=walled, wanted=wanted, first=after is None,
        wall=wall.for_templates(),
    )  # fmt: skip


@dataclass
class Days:
    """How much was heard by kind and day. starts: beginnings of days, today first.

    rows: (type, the upstream's own word, numbers by day). columns: how the table calls the days.
    """

    starts: list[int] = field(default_factory=list[int])
    rows: list[tuple[str, str, list[int]]] = field(default_factory=list[tuple[str, str, list[int]]])

    @property
    def columns(self) -> list[dict[str, Any]]:
        """The columns of the table, named in the view being drawn."""
        return [{"label": moment_text(start, "column"), "num": True} for start in self.starts]


@dataclass
class Shown:
    """What the page of one connection shows."""

    card: Card
    owner: str
    range: TimeRange
    gaps: list[Gap] = field(default_factory=list[Gap])
    history: list[Told] = field(default_factory=list[Told])
    kinds: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    plot: dict[str, Any] = field(default_factory=dict[str, Any])
    book: Book = field(default_factory=Book)
    subscriptions: list[Subscription] = field(default_factory=list[Subscription])
    settings: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    settings_error: str = ""
    days: Days = field(default_factory=Days)
    columns: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    fresh: list[Fresh] = field(default_factory=list[Fresh])


@routes.get("/connections/{connection}")
async def one_page(
    request: Request, connection: Identity, part: Part = "", range: Annotated[str, Query()] = ""
) -> Response:
    """Answer the page of one connection."""
    parts, view = parts_of(request), render.view_of(request)
    moment = now_ms(request)
    ranged = TimeRange.read(request.query_params, moment, view.zone)

    def read(tx: Connection) -> Shown | None:
        with i18n.drawing(view):
            seen = get_connection(tx, connection)
            return read_one(tx, parts, seen, ranged, moment) if seen else None

    found = await look(request, read)
    if found is None:
        raise not_found("connection")
    return show(
        request, "connections/connection.html", part, shown=found, card=found.card, wall=wall.for_templates(),
        lost_sign=lost_sign, gap_words=gap_words, gap_rest=gap_rest, origin_words=ORIGINS, moment=moment,
        day_columns=found.columns, is_channel=found.card.world == "chats", fresh_words=freshness.KINDS,
        fresh_verdict=freshness.verdict,
    )  # fmt: skip


def read_one(tx: Connection, parts: Parts, seen: ConnectionSeen, ranged: TimeRange, moment: int) -> Shown:
    """Read everything that the page of a connection shows."""
    connector = parts.connectors.get(seen.connector)
    card = wall.card_of(tx, seen, connector, moment)
    history = newest(tx, EventFilter("fact", _STATES, key=seen.id), limit=HISTORY_SHOWN)
    names = Names({seen.id: seen.name})
    shown = Shown(
        card=card,
        owner=seen.owner,
        range=ranged,
        gaps=list_gaps(tx, connection=seen.id, limit=GAPS_SHOWN),
        history=[_without_name(tell(event, names), seen.name) for event in history.events],
        kinds=kinds_of(tx, parts, seen, moment),
        book=book_of(tx, [seen]),
        subscriptions=[
            one for one in list_subscriptions(tx) if seen.id in (one.managed_by, one.filter.connection)
        ],
    )
    shown.plot = plot_of(tx, shown, ranged, moment)
    shown.days = days_of(tx, shown, moment, ranged.zone)
    shown.columns = shown.days.columns
    shown.fresh = freshness.fresh_of(tx, connector, seen.id, moment, ranged.zone)
    _read_settings(tx, parts, connector, shown)
    return shown


def _without_name(told: Told, name: str) -> Told:
    """Answer a fact of this connection without its name, which stands above all of them."""
    title = told.title.removeprefix(f"{name}: ")
    return replace(told, title=title[:1].upper() + title[1:])


def _read_settings(tx: Connection, parts: Parts, connector: Connector | None, shown: Shown) -> None:
    if connector is None:
        shown.settings_error = gettext("This version does not know the connector of this connection.")
        return
    from atalaia.errors import ConfigError
    from atalaia.web.pages.forms import summary_of

    try:
        configured = parts.registry.get(tx, shown.card.id)
    except ConfigError as error:
        shown.settings_error = str(error)
        return
    if configured is not None:
        shown.settings = summary_of(connector, configured.settings, parts.redactor)


def kinds_of(tx: Connection, parts: Parts, seen: ConnectionSeen, moment: int) -> list[dict[str, Any]]:
    """Answer what was heard in the last day by kind, with what the log does with it."""
    rows = counts(tx, since_ms=moment - DAY_MS, connection=seen.id)
    prefix = f"{seen.connector}."
    policies = parts.log.policies
    found = [
        row | {"short": row["type"].removeprefix(prefix), "policy": str(policies.of(row["type"]))}
        for row in rows
        if row["type"].startswith(prefix) or seen.connector == "intake"
    ]
    return sorted(found, key=lambda row: -(row["kept"] + row["counted"] + row["dropped"]))


def plot_of(tx: Connection, shown: Shown, ranged: TimeRange, moment: int) -> dict[str, Any]:
    """Answer the plot of what was heard over a time, busiest kinds first, gaps as bands."""
    bucket = max(60_000, ranged.bucket_ms())
    start = ranged.from_ms - ranged.from_ms % bucket
    rates = rates_of(tx, shown.card.id, from_ms=start, to_ms=ranged.to_ms, bucket_ms=bucket)
    prefix = f"{shown.card.seen.connector}."
    heard = {name: line for name, line in rates.items() if name.startswith(prefix) or shown.card.passive}
    busiest = sorted(heard, key=lambda name: -sum(heard[name]))
    shares = [
        60_000 / bucket * value for value in (sum(column) for column in zip(*heard.values(), strict=True))
    ]
    length = -(-(ranged.to_ms - start) // bucket)
    series = [
        {
            "label": gettext("all kinds"),
            "unit": "",
            "tone": "idle",
            "kind": "area",
            "values": shares or [0] * length,
        }
    ]
    for place, name in enumerate(busiest[: SERIES_SHOWN - 1]):
        values = [round(60_000 / bucket * value, 2) for value in heard[name]]
        series.append(
            {
                "label": name.removeprefix(prefix),
                "unit": "",
                "tone": _TONES[place],
                "kind": "line",
                "values": values,
            }
        )
    gaps = [
        {
            "from": max(gap.from_ms, start),
            "to": min(gap.to_ms or moment, ranged.to_ms),
            "label": gettext("Not heard"),
        }
        for gap in shown.gaps
        if gap.from_ms < ranged.to_ms and (gap.to_ms or moment) > start
    ]
    return {"x": [start + place * bucket for place in range(length)], "series": series, "gaps": gaps}


def days_of(tx: Connection, shown: Shown, moment: int, zone: ZoneInfo) -> Days:
    """Answer how much of each kind was heard on each of the last days, by the person's own days."""
    today = from_ms(moment).astimezone(zone).date()
    days = [today - timedelta(days=ago) for ago in range(DAYS_SHOWN)]
    start = to_ms(datetime.combine(days[-1], time.min, zone))
    start -= start % HOUR_MS
    hours = rates_of(tx, shown.card.id, from_ms=start, to_ms=moment + 1, bucket_ms=HOUR_MS)
    prefix = f"{shown.card.seen.connector}."
    found: Days = Days([to_ms(datetime.combine(day, time.min, zone)) for day in days])
    for kind, line in hours.items():
        if not (kind.startswith(prefix) or shown.card.passive):
            continue
        row = dict.fromkeys(days, 0)
        for place, number in enumerate(line):
            day = from_ms(start + place * HOUR_MS).astimezone(zone).date()
            if number and day in row:
                row[day] += number
        found.rows.append((kind, kind.removeprefix(prefix), list(row.values())))
    found.rows.sort(key=lambda row: -sum(row[2]))
    return found


# Acts.


@routes.post("/connections/{connection}/switch")
async def switch(
    request: Request, connection: Identity, who: Writer, desired: Annotated[str, Form(pattern="^(on|off)$")]
) -> Response:
    """Start or stop a connection."""
    parts, words = parts_of(request), Words(request)
    setup = setup_of(parts)
    made = await parts.store.write(lambda tx: setup.change(tx, connection, by=who.name, desired=desired))
    text = N_("%(name)s is being started.") if desired == "on" else N_("%(name)s is being stopped.")
    return done(request, f"/connections/{connection}", words(text, name=made.name))


@routes.post("/connections/{connection}/delete")
async def delete(request: Request, connection: Identity, who: Writer) -> Response:
    """Take a connection out of use; its events, calls and gaps stay."""
    from atalaia.web.app import refresh_worlds

    parts, words = parts_of(request), Words(request)
    setup = setup_of(parts)
    seen = await parts.store.read(lambda tx: get_connection(tx, connection))
    if seen is None:
        raise not_found("connection")
    await parts.store.write(lambda tx: setup.delete(tx, connection, by=who.name))
    await refresh_worlds(request.app)
    return done(
        request,
        "/connections",
        words(N_("%(name)s was removed. Its events and calls are kept."), name=seen.name),
    )
