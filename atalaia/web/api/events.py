"""The event log: list, one, raw body, export, counts."""

from __future__ import annotations

from typing import Annotated, Literal

import orjson
from fastapi import Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from atalaia.clock import to_ms
from atalaia.events import queries
from atalaia.events.export import export
from atalaia.events.log import read_event
from atalaia.events.model import Event
from atalaia.events.queries import EventFilter
from atalaia.redact import Redactor
from atalaia.web.access import require
from atalaia.web.api.common import Wire, router
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import SEQ_MAX, Cursor, From, Limit, Moment, Page, To, ms_of, read_cursor, to_cursor

routes = router("events")
_READ = [Depends(require("events:read"))]

Seq = Annotated[int, Path(ge=1, le=SEQ_MAX, description="The event's place in the log.")]


class EventOut(Wire):
    """One event of the log. `data` is what it says: a fact's data, or what was heard, with secrets masked."""

    seq: int
    id: str
    family: Literal["heard", "fact"]
    type: str
    key: str
    connection: str
    occurred_at: Moment = Field(validation_alias="occurred_ms")
    recorded_at: Moment = Field(validation_alias="recorded_ms")
    cause_seq: int | None
    late: bool
    data: object


class CountOut(Wire):
    """How many events of one kind."""

    connection: str
    type: str
    kept: int
    counted: int
    dropped: int
    duplicate: int


def event_filter(
    family: Annotated[Literal["heard", "fact"] | None, Query(description="Heard or fact.")] = None,
    type: Annotated[
        list[Annotated[str, Field(max_length=120)]] | None,
        Query(max_length=20, description="Exact types or patterns like call.*; several may be given."),
    ] = None,
    connection: Annotated[str | None, Query(max_length=36)] = None,
    key: Annotated[str | None, Query(max_length=200, description="What the event is about.")] = None,
    since: From = None,
    until: To = None,
    text: Annotated[str, Query(max_length=200, description="Found in the body.")] = "",
) -> EventFilter:
    """Read which events are meant from the query."""
    return EventFilter(family, tuple(type or ()), connection, key, ms_of(since), ms_of(until), text)


Wanted = Annotated[EventFilter, Depends(event_filter)]


@routes.get("/events", dependencies=_READ)
async def list_events(
    request: Request,
    wanted: Wanted,
    order: Annotated[Literal["newest", "oldest"], Query(description="Which come first.")] = "newest",
    cursor: Cursor = None,
    after: Annotated[
        int | None,
        Query(ge=0, le=SEQ_MAX, description="With order=oldest: after this sequence. For tailing."),
    ] = None,
    limit: Limit = 50,
) -> Page[EventOut]:
    """List events. A search for text may answer fewer than asked for with a `next`: go on there."""
    parts = parts_of(request)
    start = read_cursor(cursor, int)
    if order == "newest":
        page = await parts.store.read(lambda tx: queries.newest(tx, wanted, before=start, limit=limit))
    else:
        first = after if start is None else start
        page = await parts.store.read(lambda tx: queries.oldest(tx, wanted, after=first, limit=limit))
    items = [event_out(event, parts.redactor) for event in page.events]
    return Page(items=items, next=None if page.next_seq is None else to_cursor(page.next_seq))


@routes.get("/events/types", dependencies=_READ)
async def event_types(request: Request) -> list[str]:
    """Answer every type in the log."""
    return await parts_of(request).store.read(queries.known_types)


@routes.get("/events/counts", dependencies=_READ)
async def event_counts(
    request: Request,
    hours: Annotated[int, Query(ge=1, le=24 * 90, description="Over the last so many hours.")] = 24,
    connection: Annotated[str | None, Query(max_length=36)] = None,
) -> list[CountOut]:
    """Count events per connection and kind: kept, only counted, dropped, duplicates."""
    parts = parts_of(request)
    since_ms = to_ms(parts.ambient.clock.now()) - hours * 3_600_000
    found = await parts.store.read(lambda tx: queries.counts(tx, since_ms=since_ms, connection=connection))
    return [CountOut.model_validate(one) for one in found]


@routes.get(
    "/events/export",
    dependencies=_READ,
    response_class=Response,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def export_events(
    request: Request,
    wanted: Wanted,
    after: Annotated[int, Query(ge=0, le=SEQ_MAX, description="Only after this sequence.")] = 0,
    most: Annotated[int | None, Query(ge=1, le=10_000_000, description="So many at most.")] = None,
) -> Response:
    """Export events as JSON lines, oldest first, with secrets masked."""
    parts = parts_of(request)
    lines = export(parts.store, wanted, redact=parts.redactor.json, after=after, most=most)
    headers = {"Content-Disposition": 'attachment; filename="events.jsonl"', "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


@routes.get("/events/{seq}", dependencies=_READ)
async def get_event(request: Request, seq: Seq) -> EventOut:
    """Answer one event."""
    parts = parts_of(request)
    return event_out(await _found(parts, seq), parts.redactor)


@routes.get(
    "/events/{seq}/body",
    dependencies=_READ,
    response_class=Response,
    responses={200: {"content": {"application/json": {}, "text/plain": {"schema": {"type": "string"}}}}},
)
async def get_event_body(request: Request, seq: Seq) -> Response:
    """Answer the body as it came, to the byte unless a secret had to be masked."""
    parts = parts_of(request)
    event = await _found(parts, seq)
    return Response(parts.redactor.json(event.body), media_type="application/json")


@routes.get("/events/{seq}/caused", dependencies=_READ)
async def get_caused(request: Request, seq: Seq) -> list[EventOut]:
    """Answer the facts that followed from an event."""
    parts = parts_of(request)
    await _found(parts, seq)
    found = await parts.store.read(lambda tx: queries.caused_by(tx, seq))
    return [event_out(event, parts.redactor) for event in found]


def event_out(event: Event, redactor: Redactor) -> EventOut:
    """Answer an event as the API shows it."""
    return EventOut(
        seq=event.seq, id=event.id, family=event.family, type=event.type, key=event.key,
        connection=event.connection, occurred_at=event.occurred_ms, recorded_at=event.recorded_ms,
        cause_seq=event.cause_seq, late=event.late, data=data_of(event, redactor),
    )  # fmt: skip


def data_of(event: Event, redactor: Redactor) -> object:
    """Answer what an event says, masked; text that is no JSON stays text."""
    body = redactor.json(event.body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body


async def _found(parts: Parts, seq: int) -> Event:
    event = await parts.store.read(lambda tx: read_event(tx, seq))
    if event is None:
        raise not_found("event")
    return event
