"""Alerts and gaps: what is wrong, and where something may have been missed."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import orjson
from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from atalaia.clock import rfc3339
from atalaia.desk.alerts.queries import list_alerts as read_alerts
from atalaia.events.gaps import Gap, GapFilter, find_gaps
from atalaia.web.access import require
from atalaia.web.api.common import Wire, router
from atalaia.web.parts import Parts, parts_of
from atalaia.web.tables import harmless
from atalaia.web.wire import Cursor, From, Limit, Moment, Page, To, ms_of, page_of, read_cursor

routes = router("alerts")


class AlertOut(Wire):
    """One cause of trouble. `detail` says what is known, by which evidence, and what to do."""

    cause: str
    title: str
    detail: dict[str, Any]
    raised_at: Moment = Field(validation_alias="raised_ms")
    resolved_at: Moment | None = Field(validation_alias="resolved_ms")
    times: int


class GapOut(Wire):
    """An interval in which something may have been missed.

    lost: no, yes or unknown. origin: loss, downtime, found (by a look) or routine. detail: `left` is what was
    found but could not be brought in, `unknown` what nobody can know.
    """

    id: str
    connection: str
    from_: Moment = Field(validation_alias="from_ms", serialization_alias="from")
    to: Moment | None = Field(validation_alias="to_ms")
    closed_at: Moment | None = Field(validation_alias="closed_ms")
    cause: str
    planes: list[str]
    checked: Any
    recovered: Any
    lost: str
    origin: str
    detail: dict[str, Any]


@routes.get("/alerts", dependencies=[Depends(require("alerts:read"))])
async def list_alerts(
    request: Request,
    state: Annotated[Literal["open", "resolved", "all"], Query()] = "open",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[AlertOut]:
    """List single causes, the latest first. `/api/hub/alerts` groups them as people see them."""
    parts = parts_of(request)
    before = read_cursor(cursor, int, str)
    found = await parts.store.read(lambda tx: read_alerts(tx, state=state, before=before, limit=limit + 1))
    rows, following = page_of(found, limit, "raised_ms", "cause")
    items = [AlertOut.model_validate(one) for one in rows]
    for item in items:
        item.title, item.detail = parts.redactor.text(item.title), parts.redactor.value(item.detail)
    return Page(items=items, next=following)


def gap_filter(
    connection: Annotated[str | None, Query(max_length=36)] = None,
    state: Annotated[Literal["open", "closed", "lost"] | None, Query()] = None,
    origin: Annotated[
        Literal["loss", "downtime", "found", "routine"] | None,
        Query(description="Without it, routine checks that found nothing are left out."),
    ] = None,
    open_only: Annotated[bool, Query(alias="open", description="The same as `state=open`.")] = False,
    since: From = None,
    until: To = None,
) -> GapFilter:
    """Read which gaps are meant from the query."""
    wanted = "open" if open_only else state or ""
    return GapFilter(connection, wanted, origin or "", ms_of(since), ms_of(until))


Wanted = Annotated[GapFilter, Depends(gap_filter)]


@routes.get("/gaps", dependencies=[Depends(require("connections:read"))])
async def list_gaps(
    request: Request, wanted: Wanted, cursor: Cursor = None, limit: Limit = 50
) -> Page[GapOut]:
    """List gaps, the latest first."""
    before = read_cursor(cursor, int, str)
    found = await parts_of(request).store.read(
        lambda tx: find_gaps(tx, wanted, before=before, limit=limit + 1)
    )
    rows, following = page_of(found, limit, "from_ms", "id")
    return Page(items=[GapOut.model_validate(one) for one in rows], next=following)


@routes.get(
    "/gaps/export",
    dependencies=[Depends(require("connections:read"))],
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
async def export_gaps(
    request: Request, wanted: Wanted, format: Annotated[Literal["csv", "jsonl"], Query()] = "csv"
) -> Response:
    """Export gaps, the latest first."""
    parts = parts_of(request)
    lines = csv_lines(parts, wanted) if format == "csv" else json_lines(parts, wanted)
    media = "text/csv" if format == "csv" else "application/x-ndjson"
    headers = {"Content-Disposition": f'attachment; filename="gaps.{format}"', "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type=media, headers=headers)


async def csv_lines(parts: Parts, wanted: GapFilter) -> AsyncIterator[str]:
    """Answer gaps as CSV, page by page."""
    yield ",".join(_COLUMNS) + "\r\n"
    async for page in _pages(parts, wanted):
        text = io.StringIO()
        writer = csv.writer(text)
        for gap in page:
            told = parts.redactor.value(_row(gap))
            cells = [value if isinstance(value, str) else _plain(value) for value in told.values()]
            writer.writerow([harmless(cell) for cell in cells])
        yield text.getvalue()


async def json_lines(parts: Parts, wanted: GapFilter) -> AsyncIterator[bytes]:
    """Answer gaps as JSON lines, page by page."""
    async for page in _pages(parts, wanted):
        yield b"".join(orjson.dumps(parts.redactor.value(_row(gap))) + b"\n" for gap in page)


async def _pages(parts: Parts, wanted: GapFilter) -> AsyncIterator[list[Gap]]:
    before: tuple[int, str] | None = None
    while True:
        start = before
        page = await parts.store.read(
            lambda tx: find_gaps(tx, wanted, before=start, limit=_EXPORT_PAGE)  # noqa: B023
        )
        if page:
            yield page
        if len(page) < _EXPORT_PAGE:
            return
        before = (page[-1].from_ms, page[-1].id)


def _row(gap: Gap) -> dict[str, Any]:
    """Answer a gap as exports tell it; what stands in its columns is our own words and numbers."""
    times = {"from": gap.from_ms, "to": gap.to_ms, "closed_at": gap.closed_ms}
    return {
        "id": gap.id,
        "connection": gap.connection,
        **{name: None if at is None else rfc3339(at) for name, at in times.items()},
        "origin": gap.origin,
        "cause": gap.cause,
        "planes": gap.planes,
        "checked": gap.checked,
        "recovered": gap.recovered,
        "left": gap.detail.get("left", {}),
        "lost": gap.lost,
        "unknown": gap.detail.get("unknown", ""),
    }


def _plain(value: Any) -> str:
    """Answer a cell: names and numbers of what was looked at in one text."""
    if value is None:
        return ""
    return orjson.dumps(value).decode()


_COLUMNS = (
    "id", "connection", "from", "to", "closed_at", "origin", "cause", "planes", "checked", "recovered",
    "left", "lost", "unknown",
)  # fmt: skip
_EXPORT_PAGE = 1_000
