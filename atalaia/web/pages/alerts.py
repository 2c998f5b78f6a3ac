"""Alerts: what is wrong, since when, by which evidence, what to do; and what was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import Query, Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import names
from atalaia.desk.alerts.queries import Alert, count_open, list_alerts
from atalaia.web.pages.common import ROWS, PageCursor, Part, look, position, screens, show
from atalaia.web.parts import parts_of
from atalaia.web.wire import page_of

routes = screens("alerts:read")


@routes.get("/alerts")
async def list_page(
    request: Request,
    state: Annotated[str, Query(max_length=10)] = "open",
    cursor: PageCursor = "",
    part: Part = "",
) -> Response:
    """Answer the alerts that are open, resolved, or all."""
    redactor = parts_of(request).redactor
    chosen, before = (state if state in ("open", "resolved", "all") else "open"), position(cursor, int, str)

    def read(tx: Connection) -> tuple[list[Alert], dict[str, str], int]:
        return list_alerts(tx, state=chosen, before=before, limit=ROWS + 1), names(tx), count_open(tx)

    rows, known, opened = await look(request, read)
    alerts, following = page_of(rows, ROWS, "raised_ms", "cause")
    return show(
        request, "alerts/list.html", part, alerts=alerts, state=chosen, next_cursor=following,
        first=before is None,
        opened=opened, connections=known, href=href_of, evidence=evidence_of, redact=redactor.text,
        masked=redactor.value,
    )  # fmt: skip


def href_of(alert: Alert) -> str:
    """Answer the page where something can be done about it, "" when there is none."""
    kind, _, rest = alert.cause.partition(":")
    if kind == "dead":
        return f"/deliveries/{rest}?state=dead#dead"
    if kind == "target":
        return f"/deliveries/{rest.partition(':')[0]}"
    if kind == "job":
        return f"/jobs/{rest}"
    connection = alert.detail.get("connection")
    return f"/connections/{connection}" if connection else ""


def evidence_of(alert: Alert) -> Mapping[str, Any]:
    """Answer what the alert rests on, without what the page says in words of its own."""
    evidence: Any = alert.detail.get("evidence")
    if isinstance(evidence, dict):
        return cast("dict[str, Any]", evidence)
    return {
        name: value
        for name, value in alert.detail.items()
        if name not in ("todo", "known", "since", "connection")
    }
