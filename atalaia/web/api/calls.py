"""Calls and phones: list, one, timeline, figures, exports."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import orjson
from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from atalaia.desk.calls import queries
from atalaia.desk.calls.queries import Call, CallFilter
from atalaia.desk.endpoints import queries as phones
from atalaia.web.access import require
from atalaia.web.api.common import Wire, router
from atalaia.web.api.events import EventOut, event_out
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.tables import Cell, harmless
from atalaia.web.wire import Cursor, From, Identity, Limit, Moment, Page, To, ms_of, page_of, read_cursor

routes = router("calls")
_READ = [Depends(require("calls:read"))]
_EXPORT_PAGE = 1_000

Status = Literal["open", "oncall", "closed", "unanswered"]


class CallOut(Wire):
    """One conversation. status: open (rings), oncall (talks), closed, unanswered."""

    guid: str
    connection: str
    server: str
    client: str
    callnumber: int
    origin: str
    origin_type: str
    destiny: str
    destiny_type: str
    dialled: str
    answered_by: str
    status: str
    opened_at: Moment = Field(validation_alias="opened_ms")
    answered_at: Moment | None = Field(validation_alias="answered_ms")
    ended_at: Moment | None = Field(validation_alias="ended_ms")
    ring_s: int | None
    talk_s: int | None
    reason: str
    hangup_by: str
    dtmf: str
    recording: str
    recovered: str
    forceclose: bool
    linked_guid: str
    transferred_to: str
    channel_id: str
    channel: str
    extra_channel: str
    opened_seq: int
    changed_seq: int


class HourOut(Wire):
    """The calls that began in one hour."""

    hour: Moment = Field(validation_alias="hour_ms")
    calls: int
    answered: int
    unanswered: int
    ring_s: int
    talk_s: int


class EndpointOut(Wire):
    """One phone."""

    connection: str
    endpoint: str
    client: str
    type: str
    status: str
    address: str
    since: Moment | None = Field(validation_alias="since_ms")


def call_filter(
    connection: Annotated[str | None, Query(max_length=36)] = None,
    client: Annotated[str | None, Query(max_length=20)] = None,
    status: Annotated[list[Status] | None, Query(max_length=4)] = None,
    number: Annotated[
        str, Query(max_length=80, description="Part of caller, callee, dialled or who answered.")
    ] = "",
    since: From = None,
    until: To = None,
    recovered: Annotated[bool, Query(description="Only those put together after a loss of hearing.")] = False,
) -> CallFilter:
    """Read which calls are meant from the query."""
    return CallFilter(connection, client, tuple(status or ()), number, ms_of(since), ms_of(until), recovered)


Wanted = Annotated[CallFilter, Depends(call_filter)]


@routes.get("/calls", dependencies=_READ)
async def list_calls(
    request: Request, wanted: Wanted, cursor: Cursor = None, limit: Limit = 50
) -> Page[CallOut]:
    """List calls, the latest first."""
    before = read_cursor(cursor, int, str)
    store = parts_of(request).store
    found = await store.read(lambda tx: queries.list_calls(tx, wanted, before=before, limit=limit + 1))
    rows, following = page_of(found, limit, "opened_ms", "guid")
    return Page(items=[CallOut.model_validate(call) for call in rows], next=following)


@routes.get("/calls/hours", dependencies=_READ)
async def call_hours(request: Request, wanted: Wanted) -> list[HourOut]:
    """Answer figures per hour; hours without calls are missing."""
    found = await parts_of(request).store.read(lambda tx: queries.hours(tx, wanted))
    return [HourOut.model_validate(one) for one in found]


@routes.get(
    "/calls/export",
    dependencies=_READ,
    response_class=Response,
    responses={
        200: {
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/x-ndjson": {"schema": {"type": "string"}},
            }
        }
    },
)
async def export_calls(
    request: Request, wanted: Wanted, format: Annotated[Literal["csv", "jsonl"], Query()] = "csv"
) -> Response:
    """Export calls, the latest first."""
    lines = csv_lines(parts_of(request), wanted) if format == "csv" else json_lines(parts_of(request), wanted)
    media = "text/csv" if format == "csv" else "application/x-ndjson"
    headers = {"Content-Disposition": f'attachment; filename="calls.{format}"', "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type=media, headers=headers)


@routes.get("/calls/{guid}", dependencies=_READ)
async def get_call(request: Request, guid: Identity) -> CallOut:
    """Answer one call."""
    return CallOut.model_validate(await _found(parts_of(request), guid))


@routes.get("/calls/{guid}/timeline", dependencies=_READ)
async def call_timeline(request: Request, guid: Identity) -> list[EventOut]:
    """Answer what was heard of a call and what was made of it, in order of the log."""
    parts = parts_of(request)
    call = await _found(parts, guid)
    found = await parts.store.read(lambda tx: queries.timeline(tx, call))
    return [event_out(event, parts.redactor) for event in found]


@routes.get("/endpoints", dependencies=_READ)
async def list_endpoints(
    request: Request,
    connection: Annotated[str | None, Query(max_length=36)] = None,
    client: Annotated[str | None, Query(max_length=20)] = None,
    status: Annotated[Literal["online", "offline", "unknown"] | None, Query()] = None,
    text: Annotated[str, Query(max_length=80, description="Part of number or address.")] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[EndpointOut]:
    """List phones by number."""
    after = read_cursor(cursor, str, str)
    found = await parts_of(request).store.read(
        lambda tx: phones.list_endpoints(
            tx, connection=connection, client=client, status=status, words=text, after=after, limit=limit + 1
        )
    )
    rows, following = page_of(found, limit, "endpoint", "connection")
    return Page(items=[EndpointOut.model_validate(one) for one in rows], next=following)


async def csv_lines(parts: Parts, wanted: CallFilter) -> AsyncIterator[str]:
    """Answer calls as CSV, page by page."""
    yield ",".join(_NAMES) + "\r\n"
    async for page in _pages(parts, wanted):
        text = io.StringIO()
        writer = csv.writer(text)
        for call in page:
            writer.writerow([harmless(value) for value in _row(call).values()])
        yield text.getvalue()


async def json_lines(parts: Parts, wanted: CallFilter) -> AsyncIterator[bytes]:
    """Answer calls as JSON lines, page by page."""
    async for page in _pages(parts, wanted):
        yield b"".join(orjson.dumps(_row(call)) + b"\n" for call in page)


async def _pages(parts: Parts, wanted: CallFilter) -> AsyncIterator[list[Call]]:
    before: tuple[int, str] | None = None
    while True:
        start = before
        page = await parts.store.read(
            lambda tx: queries.list_calls(tx, wanted, before=start, limit=_EXPORT_PAGE)  # noqa: B023
        )
        if page:
            yield page
        if len(page) < _EXPORT_PAGE:
            return
        before = (page[-1].opened_ms, page[-1].guid)


_NAMES = tuple(CallOut.model_fields)


def _row(call: Call) -> dict[str, Cell]:
    return CallOut.model_validate(call).model_dump(mode="json")


async def _found(parts: Parts, guid: str) -> Call:
    call = await parts.store.read(lambda tx: queries.get_call(tx, guid))
    if call is None:
        raise not_found("call")
    return call
