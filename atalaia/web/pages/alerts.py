"""Alerts: what is wrong, since when, by which evidence, what to do; and what was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Query, Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import names
from atalaia.desk.alerts.kinds import SEVERITIES
from atalaia.desk.alerts.queries import STATES, Incident, Wanted, count_by_state, list_incidents
from atalaia.desk.alerts.wording import evidence_of, headline, known
from atalaia.desk.vehicles.plates import plates_of_jobs
from atalaia.jobs.queries import get_job
from atalaia.web import i18n, render
from atalaia.web.alerting import drawn_tongue
from atalaia.web.i18n import N_
from atalaia.web.pages.common import ROWS, PageCursor, Part, Words, look, now_ms, position, screens, show
from atalaia.web.pages.job_words import step_word
from atalaia.web.pages.jobs import about_of
from atalaia.web.pages.work import kind_title
from atalaia.web.parts import Parts, parts_of
from atalaia.web.wire import page_of

routes = screens("alerts:read")
SEVERITY_WORDS = {"urgent": N_("urgent"), "warning": N_("warning")}
KIND_WORDS = {
    "person": N_("needs a person"),
    "open": N_("not heard"),
    "gap": N_("something was lost"),
    "target": N_("destination down"),
    "dead": N_("dead letters"),
    "job": N_("job in doubt"),
    "worker": N_("worker lost"),
    "channel": N_("channel for alerts"),
    "settings": N_("settings"),
}


@dataclass
class Listed:
    """What the list shows."""

    alerts: list[Incident] = field(default_factory=list[Incident])
    connections: dict[str, str] = field(default_factory=dict[str, str])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    jobs: dict[str, str] = field(default_factory=dict[str, str])


@routes.get("/alerts")
async def list_page(
    request: Request,
    state: Annotated[str, Query(max_length=10)] = "open",
    severity: Annotated[str, Query(max_length=10)] = "",
    kind: Annotated[str, Query(max_length=40)] = "",
    connection: Annotated[str, Query(max_length=36)] = "",
    q: Annotated[str, Query(max_length=120)] = "",
    cursor: PageCursor = "",
    part: Part = "",
) -> Response:
    """Answer the alerts that are open, silenced, resolved, or all."""
    chosen, before = (state if state in STATES else "open"), position(cursor, int, str)
    wanted = Wanted(chosen, severity if severity in SEVERITIES else "", kind, connection, q.strip())
    moment, words, view = now_ms(request), Words(request), render.view_of(request)

    def read(tx: Connection) -> Listed:
        found = list_incidents(tx, wanted, moment, before=before, limit=ROWS + 1)
        with i18n.drawing(view):
            jobs = jobs_of(tx, parts_of(request), found)
        return Listed(found, names(tx), count_by_state(tx, moment), jobs)

    found = await look(request, read)
    rows, following = page_of(found.alerts, ROWS, "opened_ms", "id")
    return show(
        request, "alerts/list.html", part, alerts=rows, wanted=wanted, counts=found.counts,
        next_cursor=following, first=before is None,
        connections=sorted(found.connections.items(), key=lambda pair: pair[1].lower()),
        h=Told(parts_of(request), found.connections, found.jobs),
        severities=_options(words, N_("Any severity"), SEVERITY_WORDS),
        kinds=_options(words, N_("Any kind"), KIND_WORDS),
    )  # fmt: skip


def _options(words: Words, anything: str, known: Mapping[str, str]) -> list[tuple[str, str]]:
    return [("", words(anything)), *((key, words(text)) for key, text in known.items())]


@dataclass(frozen=True)
class Told:
    """What templates say of an alert; secrets are masked on the way.

    names: of connections, by id. jobs: what people call the job that an alert is about, by the alert's id.
    """

    parts: Parts
    names: dict[str, str]
    jobs: Mapping[str, str] = field(default_factory=dict[str, str])

    def headline(self, alert: Incident) -> str:
        """Answer it in one line; of a job and its step by the names that people know."""
        return self.parts.redactor.text(self._of_job(alert) or headline(alert, drawn_tongue()))

    def _of_job(self, alert: Incident) -> str:
        job, step = self.jobs.get(alert.id), evidence_of(alert.detail).get("step")
        if not job or not step:
            return ""
        text = drawn_tongue().word(N_("%(job)s: nobody knows whether “%(step)s” happened."))
        return text % {"job": job, "step": step_word(str(step))}

    def known(self, alert: Incident) -> str:
        """Answer what is known, "" when the line says it all."""
        text = self.parts.redactor.text(known(alert.detail, drawn_tongue()))
        return "" if text.rstrip(".") == self.headline(alert) else text

    def todo(self, detail: dict[str, Any]) -> str:
        """Answer what to do."""
        return drawn_tongue().said(self.parts.redactor.text(str(detail.get("todo") or "")))

    def said(self, text: str) -> str:
        """Answer a sentence in the person's language."""
        return drawn_tongue().said(self.parts.redactor.text(text))

    def masked(self, value: Any) -> Any:
        """Answer data without secrets."""
        return self.parts.redactor.value(value)

    def kind(self, alert: Incident) -> str:
        """Answer what it is about."""
        return drawn_tongue().word(KIND_WORDS[alert.kind]) if alert.kind in KIND_WORDS else alert.kind

    def severity(self, alert: Incident) -> str:
        """Answer how much it hurries."""
        return drawn_tongue().word(SEVERITY_WORDS.get(alert.severity, alert.severity))

    def connection(self, alert: Incident) -> str:
        """Answer the name of the connection it is about, "" when there is none or there are several."""
        identity = str(alert.detail.get("connection") or "")
        return self.names.get(identity, identity) if identity and alert.members == 1 else ""


def jobs_of(tx: Connection, parts: Parts, alerts: Sequence[Incident]) -> dict[str, str]:
    """Answer what people call the jobs that alerts are about, by the alerts' ids: kind and vehicle."""
    ids = {
        one.id: str(evidence_of(one.detail).get("job") or one.grouping.partition(":")[2])
        for one in alerts
        if one.kind == "job" and one.members == 1
    }
    found = {alert: job for alert, job_id in ids.items() if (job := get_job(tx, job_id)) is not None}
    plates = plates_of_jobs(tx, list(found.values()))
    return {
        alert: " · ".join(
            one for one in (kind_title(job.kind, parts.connectors), about_of(job, plates)) if one
        )
        for alert, job in found.items()
    }


def href_of(cause: str, connection: str) -> str:
    """Answer the page where something can be done about a cause, "" when there is none."""
    kind, _, rest = cause.partition(":")
    match kind:
        case "dead":
            return f"/deliveries/{rest}?state=dead#dead"
        case "target":
            return f"/deliveries/{rest.partition(':')[0]}"
        case "job":
            return f"/jobs/{rest}"
        case "worker":
            return "/system"
        case "channel":
            return f"/settings/channels/{rest}"
        case "gap" | "open":
            return f"/connections/{connection}#gaps" if connection else ""
        case "settings":
            return f"/connections/{rest}/edit"
        case _:
            return f"/connections/{connection}" if connection else ""
