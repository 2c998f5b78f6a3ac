"""The list of jobs as a file: what the filter shows, one line each, in the person's words and time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from fastapi import Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import names as connection_names
from atalaia.desk.vehicles.plates import plates_of_jobs
from atalaia.jobs.queries import Job, JobFilter, askers, list_jobs
from atalaia.web import i18n, render
from atalaia.web.i18n import N_, View, gettext
from atalaia.web.pages.common import screens
from atalaia.web.pages.jobs import Text, about_of, wanted_of
from atalaia.web.pages.work import job_sign, job_told, kind_title
from atalaia.web.parts import Parts, parts_of
from atalaia.web.states import sign
from atalaia.web.tables import CSV, XLSX, Cell, attachment, csv_text, xlsx_bytes

routes = screens("jobs:read")
ROWS_MAX, AT_ONCE = 20_000, 500
COLUMNS = (
    N_("State"), N_("Job"), N_("About"), N_("Vehicle"), N_("How it stands"), N_("Reason"), N_("Asked by"),
    N_("Asked at"), N_("Started at"), N_("Ended at"), N_("Took (s)"), N_("Attempt"), N_("Connection"),
    N_("Trace"), N_("Job id"), N_("First job of the pipeline"),
)  # fmt: skip


@routes.get("/jobs/export")
async def export(
    request: Request, q: Text = "", state: Text = "", kind: Text = "", connection: Text = "",
    format: Literal["csv", "xlsx"] = "csv",
) -> Response:  # fmt: skip
    """Answer what the filter shows, the latest first, at most 20,000 lines."""
    parts, view = parts_of(request), render.view_of(request)

    def read(tx: Connection) -> list[list[Cell]]:
        with i18n.drawing(view):
            wanted = wanted_of(tx, q, state, kind, connection)
            return [[gettext(one) for one in COLUMNS], *lines(tx, parts, view, wanted)]

    head, *rows = await parts.store.read(read)
    titles = [str(one) for one in head]
    if format == "xlsx":
        with i18n.drawing(view):
            sheet = gettext("Jobs")
        return attachment(xlsx_bytes(sheet, titles, rows), XLSX, "jobs.xlsx")
    return attachment("\ufeff" + csv_text(titles, rows), CSV, "jobs.csv")  # the mark lets Excel read UTF-8


def lines(tx: Connection, parts: Parts, view: View, wanted: JobFilter) -> Iterator[list[Cell]]:
    """Answer one line per job, read in pages; in the language of the view being drawn."""
    names, before, n = connection_names(tx), None, 0
    while n < ROWS_MAX:
        page = list_jobs(tx, wanted, before=before, limit=AT_ONCE)
        plates, asked = plates_of_jobs(tx, page), askers(tx, (job.root for job in page))
        for job in page:
            about, by = about_of(job, plates), asked.get(job.root) or job.by
            yield _line(parts, view, job, about, by, names.get(job.connection, job.connection))
        if len(page) < AT_ONCE:
            return
        n, before = n + len(page), page[-1].id


def _line(parts: Parts, view: View, job: Job, about: str, by: str, connection: str) -> list[Cell]:
    ran_ms = job.ended_ms - job.started_ms if job.ended_ms and job.started_ms else None
    return [
        sign(job_sign(job.state)).said, kind_title(job.kind, parts.connectors), about,
        str(job.params.get("vehicle_id") or ""), parts.redactor.text(job_told(job)), job.reason, by,
        _time(view, job.created_ms), _time(view, job.started_ms), _time(view, job.ended_ms),
        None if ran_ms is None else round(ran_ms / 1000, 1), job.attempt, connection, job.trace,
        job.id, job.root,
    ]  # fmt: skip


def _time(view: View, ms: int | None) -> str:
    """Answer a moment as spreadsheets read it, in the person's zone."""
    if ms is None:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(view.zone).strftime("%Y-%m-%d %H:%M:%S")
