"""The explorer of the log: a tail that can be held, filters, one event with its cause and its effects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, cast
from urllib.parse import urlencode

import orjson
from fastapi import Path, Query, Request, Response
from sqlalchemy import Connection

from atalaia.clock import rfc3339
from atalaia.connections.queries import list_connections, names
from atalaia.deliveries.queries import DeliveryView, list_deliveries
from atalaia.deliveries.subscription import list_subscriptions
from atalaia.desk.vehicles.plates import plates_of_events
from atalaia.events.log import read_event
from atalaia.events.model import Event
from atalaia.events.queries import EventFilter, EventPage, caused_by, known_types, newest, oldest
from atalaia.redact import Redactor
from atalaia.web import i18n, render
from atalaia.web.pages.common import ROWS, PageCursor, Part, look, now_ms, position, screens, show
from atalaia.web.pages.directory import book_of
from atalaia.web.pages.telling import Names, tell
from atalaia.web.parts import parts_of
from atalaia.web.problems import not_found
from atalaia.web.ranges import TimeRange
from atalaia.web.wire import SEQ_MAX, to_cursor

routes = screens("events:read")

Text = Annotated[str, Query(max_length=200)]
Seq = Annotated[int, Path(ge=1, le=SEQ_MAX)]
NEWS_MAX = 99
SUMMARY_CHARS = 160
_SUMMARY_SKIPS = ("type", "timestamp", "asterisk_id", "application")


@dataclass(frozen=True, slots=True)
class Row:
    """One event in the list."""

    event: Event
    icon: str
    tone: str
    text: str


@dataclass
class Listed:
    """One page of the log, and what the filter may choose from."""

    rows: list[Row]
    following: int | None
    types: list[str]
    connections: list[tuple[str, str]]
    names: Names
    first_seq: int = 0


@routes.get("/events")
async def list_page(
    request: Request, q: Text = "", type: Text = "", connection: Text = "", key: Text = "", family: Text = "",
    cursor: PageCursor = "", after: Annotated[int, Query(ge=0, le=SEQ_MAX)] = 0, part: Part = "",
) -> Response:  # fmt: skip
    """Answer the explorer; `part=news` with `after` answers how many newer events fit the filter.

    The filter of the last time is remembered.
    """
    if again := render.recall(request, "events"):
        return again
    view, parts = render.view_of(request), parts_of(request)
    ranged = TimeRange.read(request.query_params, now_ms(request), view.zone, default="7d")
    wanted = filter_of(q, type, connection, key, family, ranged)
    before = position(cursor, int)
    if part == "news":
        return await _news(request, wanted, after)

    def read(tx: Connection) -> Listed:
        with i18n.drawing(view):
            return read_list(tx, wanted, before, parts.redactor)

    found = await look(request, read)
    asked = {"q": q, "type": type, "connection": connection, "key": key, "family": family}
    return show(
        request, "events/list.html", part, remember="events", found=found, asked=asked,
        range=ranged, first=before is None,
        export=export_query(wanted),
        next_cursor=None if found.following is None else to_cursor(found.following),
        scanning=bool(q) and found.following is not None and len(found.rows) < ROWS, news=0, more=False,
        live_names=live_names(wanted),
    )  # fmt: skip


def filter_of(q: str, type_: str, connection: str, key: str, family: str, ranged: TimeRange) -> EventFilter:
    """Answer which events the query means; a preset range has no end, so that new events fit."""
    known = family if family == "heard" or family == "fact" else None
    types = tuple(word for word in type_.replace(",", " ").split() if word)
    to_ms = ranged.to_ms if ranged.key == "custom" else None
    return EventFilter(
        known, types, connection or None, key.strip() or None, ranged.from_ms, to_ms, q.strip()
    )


def live_names(wanted: EventFilter) -> str:
    """Answer the topics that can bring an event that fits."""
    if wanted.family == "fact":
        return "facts"
    if wanted.family == "heard" and wanted.connection:
        return f"heard:{wanted.connection}"
    return "events"


async def _news(request: Request, wanted: EventFilter, after: int) -> Response:
    def read(tx: Connection) -> EventPage:
        return oldest(tx, wanted, after=after, limit=NEWS_MAX)

    page = await look(request, read)
    return show(request, "events/list.html", "news", news=len(page.events), more=page.next_seq is not None)


def read_list(tx: Connection, wanted: EventFilter, before: int | None, redactor: Redactor) -> Listed:
    """Read one page of the log."""
    seen = list_connections(tx, with_planes=False)
    page = newest(tx, wanted, before=before, limit=ROWS)
    subscriptions = {one.id: one.name for one in list_subscriptions(tx)}
    known = Names(names(tx), subscriptions, book_of(tx, seen), plates_of_events(tx, page.events))
    rows = [row_of(event, known, redactor) for event in page.events]
    top = rows[0].event.seq if rows else 0
    choices = [(one.id, one.name) for one in seen]
    return Listed(rows, page.next_seq, known_types(tx), choices, known, top)


def row_of(event: Event, known: Names, redactor: Redactor) -> Row:
    """Answer one event as a row: a fact in words, a heard event by what it holds."""
    if event.family == "fact":
        told = tell(event, known)
        text = f"{told.title} · {told.text}" if told.text else told.title
        return Row(event, told.icon, told.tone, redactor.text(text))
    return Row(event, "ear", "idle", redactor.text(summary(event.body)))


def summary(body: str) -> str:
    """Answer the beginning of what a body says, without what every body says."""
    try:
        content: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:SUMMARY_CHARS]
    if not isinstance(content, dict):
        return str(content)[:SUMMARY_CHARS]
    told: list[str] = []
    for name, value in cast("dict[str, Any]", content).items():
        if name in _SUMMARY_SKIPS or value in (None, "", [], {}):
            continue
        told.append(f"{name} {_brief(value)}")
        if sum(len(one) for one in told) > SUMMARY_CHARS:
            break
    return " · ".join(told)[:SUMMARY_CHARS]


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        inner = cast("dict[str, Any]", value)
        named = inner.get("name") or inner.get("id") or inner.get("resource")
        return str(named) if named else f"{{{len(inner)}}}"
    if isinstance(value, list):
        return f"[{len(cast('list[Any]', value))}]"
    return str(value)


def export_query(wanted: EventFilter) -> str:
    """Answer the address that exports what the filter takes, oldest first."""
    pairs: list[tuple[str, str]] = [("type", one) for one in wanted.types]
    pairs += [("family", wanted.family)] if wanted.family else []
    pairs += [("connection", wanted.connection)] if wanted.connection else []
    pairs += [("key", wanted.key)] if wanted.key else []
    pairs += [("from", rfc3339(wanted.from_ms))] if wanted.from_ms is not None else []
    pairs += [("to", rfc3339(wanted.to_ms))] if wanted.to_ms is not None else []
    pairs += [("text", wanted.words)] if wanted.words else []
    return f"/api/events/export?{urlencode(pairs)}"


@dataclass
class Shown:
    """One event with everything around it."""

    event: Event
    row: Row
    body: Any
    connection: str
    cause: Row | None = None
    effects: list[Row] = field(default_factory=list[Row])
    deliveries: list[DeliveryView] = field(default_factory=list[DeliveryView])
    subscriptions: dict[str, str] = field(default_factory=dict[str, str])


@routes.get("/events/{seq}")
async def one_page(request: Request, seq: Seq, part: Part = "") -> Response:
    """Answer one event; `part=raw` answers what it says alone."""
    view, redactor = render.view_of(request), parts_of(request).redactor

    def read(tx: Connection) -> Shown | None:
        with i18n.drawing(view):
            event = read_event(tx, seq)
            return read_one(tx, event, redactor, alone=part == "raw") if event else None

    shown = await look(request, read)
    if shown is None:
        raise not_found("event")
    return show(request, "events/event.html", part, shown=shown, event=shown.event)


def read_one(tx: Connection, event: Event, redactor: Redactor, *, alone: bool) -> Shown:
    """Read an event with its cause, its effects and its deliveries."""
    plates = plates_of_events(tx, [event])
    known = Names()
    if not alone:
        seen = list_connections(tx, with_planes=False)
        known = Names(names(tx), {}, book_of(tx, seen), plates)
    row = row_of(event, known, redactor)
    shown = Shown(event, row, body_of(event, redactor), known.connection(event.connection))
    if alone:
        return shown
    cause = read_event(tx, event.cause_seq) if event.cause_seq is not None else None
    shown.cause = row_of(cause, known, redactor) if cause else None
    shown.effects = [row_of(one, known, redactor) for one in caused_by(tx, event.seq)]
    shown.deliveries = list(list_deliveries(tx, seq=event.seq, limit=100).items)
    shown.subscriptions = {one.id: one.name for one in list_subscriptions(tx)}
    return shown


def body_of(event: Event, redactor: Redactor) -> Any:
    """Answer what an event says, secrets masked, as JSON if it is any."""
    try:
        return redactor.value(orjson.loads(event.body))
    except orjson.JSONDecodeError:
        return redactor.text(event.body)
