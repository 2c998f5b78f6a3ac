"""Alerts: what is wrong, since when, by which evidence, what to do; and what was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

from fastapi import Query, Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import names
from atalaia.desk.alerts.queries import Alert, count_open, list_alerts
from atalaia.desk.vehicles.plates import plates_of_jobs
from atalaia.jobs import queries as jobs
from atalaia.web import i18n, render
from atalaia.web.i18n import gettext
from atalaia.web.pages.common import ROWS, PageCursor, Part, look, position, screens, show
from atalaia.web.pages.job_words import step_word
from atalaia.web.pages.jobs import about_of
from atalaia.web.pages.work import kind_title
from atalaia.web.parts import Parts, parts_of
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

    view = render.view_of(request)

    def read(tx: Connection) -> tuple[list[Alert], dict[str, str], int, dict[str, str]]:
        found = list_alerts(tx, state=chosen, before=before, limit=ROWS + 1)
        with i18n.drawing(view):
            return found, names(tx), count_open(tx), job_titles(tx, parts_of(request), found)

    rows, known, opened, titles = await look(request, read)
    alerts, following = page_of(rows, ROWS, "raised_ms", "cause")
    return show(
        request, "alerts/list.html", part, alerts=alerts, state=chosen, next_cursor=following,
        first=before is None,
        opened=opened, connections=known, href=href_of, evidence=evidence_of, redact=redactor.text,
        masked=redactor.value, titles=titles,
    )  # fmt: skip


def job_titles(tx: Connection, parts: Parts, alerts: Sequence[Alert]) -> dict[str, str]:
    """Answer what alerts about jobs say, by cause: the job and its step by the names that people know."""
    found = {one.cause: jobs.get_job(tx, one.cause.partition(":")[2]) for one in alerts if is_job(one)}
    plates = plates_of_jobs(tx, [job for job in found.values() if job])
    titles: dict[str, str] = {}
    for alert in alerts:
        job = found.get(alert.cause)
        step = str(evidence_of(alert).get("step") or "")
        if job is not None and step:
            place = " · ".join(
                one for one in (kind_title(job.kind, parts.connectors), about_of(job, plates)) if one
            )
            titles[alert.cause] = gettext("%(job)s: nobody knows whether “%(step)s” happened.") % {
                "job": place, "step": step_word(step),
            }  # fmt: skip
    return titles


def is_job(alert: Alert) -> bool:
    """Answer whether an alert is about one job."""
    return alert.cause.startswith("job:")


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
