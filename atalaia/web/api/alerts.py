"""Alerts and gaps: what is wrong, and where something may have been missed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request
from pydantic import Field

from atalaia.desk.alerts.queries import list_alerts as read_alerts
from atalaia.events.gaps import list_gaps as read_gaps
from atalaia.web.access import require
from atalaia.web.api.common import Wire, router
from atalaia.web.parts import parts_of
from atalaia.web.wire import Cursor, Limit, Moment, Page, page_of, read_cursor

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
    """An interval in which something may have been missed. lost: no, yes or unknown."""

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
    detail: dict[str, Any]


@routes.get("/alerts", dependencies=[Depends(require("alerts:read"))])
async def list_alerts(
    request: Request,
    state: Annotated[Literal["open", "resolved", "all"], Query()] = "open",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[AlertOut]:
    """List alerts, the latest first."""
    parts = parts_of(request)
    before = read_cursor(cursor, int, str)
    found = await parts.store.read(lambda tx: read_alerts(tx, state=state, before=before, limit=limit + 1))
    rows, following = page_of(found, limit, "raised_ms", "cause")
    items = [AlertOut.model_validate(one) for one in rows]
    for item in items:
        item.title, item.detail = parts.redactor.text(item.title), parts.redactor.value(item.detail)
    return Page(items=items, next=following)


@routes.get("/gaps", dependencies=[Depends(require("connections:read"))])
async def list_gaps(
    request: Request,
    connection: Annotated[str | None, Query(max_length=36)] = None,
    open_only: Annotated[
        bool, Query(alias="open", description="Only those that nobody reconciled yet.")
    ] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[GapOut]:
    """List gaps, the latest first."""
    before = read_cursor(cursor, int, str)
    found = await parts_of(request).store.read(
        lambda tx: read_gaps(tx, connection=connection, open_only=open_only, before=before, limit=limit + 1)
    )
    rows, following = page_of(found, limit, "from_ms", "id")
    return Page(items=[GapOut.model_validate(one) for one in rows], next=following)
