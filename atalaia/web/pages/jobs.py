"""Jobs: what was asked of upstreams, what of it waits for a person, what runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Query, Request, Response
from markupsafe import Markup
from sqlalchemy import Connection

from atalaia.connections.queries import names as connection_names
from atalaia.jobs.queries import (
    NEEDS_PERSON,
    STATES,
    Job,
    JobFilter,
    Step,
    count_by_state,
    known_kinds,
    list_jobs,
    needing_person,
)
from atalaia.web import i18n, render
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages.common import ROWS, PageCursor, Part, look, position, screens, show
from atalaia.web.pages.work import (
    STEP_KINDS,
    choice_word,
    job_sign,
    job_told,
    kind_title,
    step_error,
    step_sign,
    subject_of,
)
from atalaia.web.parts import Parts, parts_of
from atalaia.web.wire import page_of

# By what an effect can be found upstream: names that people read instead of ours.
EVIDENCE = {
    "process_id": N_("Process"),
    "comment": N_("Comment"),
    "attribute": N_("Action"),
    "value": N_("Value"),
    "key_before": N_("Key before"),
    "command": N_("Command"),
    "serial": N_("Serial"),
    "plate": N_("Plate"),
    "vehicle_id": N_("Vehicle"),
    "order_id": N_("Order"),
    "seen": N_("Seen upstream"),
}
TOLD_ELSEWHERE = ("trace", "sent_ms")

routes = screens("jobs:read")

Text = Annotated[str, Query(max_length=120)]
# Groups of states that the list offers; what needs a person comes first.
GROUPS: dict[str, tuple[str, ...]] = {
    "person": NEEDS_PERSON,
    "open": ("queued", "running"),
    "failed": ("failed", "expired"),
    "done": ("done",),
}


GROUP_WORDS = {
    "person": N_("Need a person"),
    "open": N_("Under way"),
    "failed": N_("Failed or expired"),
    "done": N_("Done"),
}


@dataclass
class Listed:
    """One page of jobs with what the filter may choose from. counts: by state, over the other filters."""

    jobs: list[Job]
    following: str | None
    needs: list[dict[str, Any]]
    counts: dict[str, int]
    kinds: list[tuple[str, str]]
    connections: list[tuple[str, str]]
    names: dict[str, str] = field(default_factory=dict[str, str])


@routes.get("/jobs")
async def list_page(
    request: Request, q: Text = "", state: Text = "", kind: Text = "", connection: Text = "",
    cursor: PageCursor = "", part: Part = "",
) -> Response:  # fmt: skip
    """Answer the list, what needs a person above it; the filter of the last time is remembered."""
    if again := render.recall(request, "jobs"):
        return again
    view, parts = render.view_of(request), parts_of(request)
    kinds = (kind,) if kind else ()
    wanted = JobFilter(states_of(state), kinds, connection or None, words=q.strip())
    before = position(cursor, str)

    def read(tx: Connection) -> Listed:
        with i18n.drawing(view):
            return read_list(tx, parts, wanted, before)

    found = await look(request, read)
    asked = {"q": q, "state": state, "kind": kind, "connection": connection}
    return show(
        request, "jobs/list.html", part, remember="jobs", found=found, asked=asked, first=before is None,
        groups=groups_of(found.counts, state), h=helpers(parts, found.names),
    )  # fmt: skip


def states_of(word: str) -> tuple[str, ...]:
    """Answer the states behind a word of the filter: a group, or one; others restrict nothing."""
    return GROUPS.get(word) or ((word,) if word in STATES else ())


def groups_of(counts: Mapping[str, int], here: str) -> list[dict[str, Any]]:
    """Answer the groups with how many jobs are in each, the chosen one marked."""
    return [
        {"key": key, "word": GROUP_WORDS[key], "n": sum(counts[one] for one in states), "here": key == here}
        for key, states in GROUPS.items()
    ]


def read_list(tx: Connection, parts: Parts, wanted: JobFilter, before: str | None) -> Listed:
    """Read one page of jobs; in the language of the view being drawn."""
    names = connection_names(tx)
    rows, following = page_of(list_jobs(tx, wanted, before=before, limit=ROWS + 1), ROWS, "id")
    everywhere = JobFilter((), wanted.kinds, wanted.connection, words=wanted.words)
    kinds = [(one, kind_title(one, parts.connectors)) for one in known_kinds(tx)]
    return Listed(
        jobs=rows,
        following=following,
        needs=[] if wanted.states == NEEDS_PERSON else needs_of_jobs(tx, parts, names),
        counts=count_by_state(tx, everywhere),
        kinds=sorted(kinds, key=lambda one: one[1]),
        connections=_connections(tx, parts, names),
        names=names,
    )


def _connections(tx: Connection, parts: Parts, names: Mapping[str, str]) -> list[tuple[str, str]]:
    able = [one for one in parts.registry.all(tx) if parts.connectors[one.connector].jobs]
    return [(one.id, names.get(one.id, one.id)) for one in able]


def needs_of_jobs(tx: Connection, parts: Parts, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Answer the jobs that wait for a person, as `ui.attention` draws them, what waits longest first."""
    return [_need(job, parts, names) for job in needing_person(tx)]


def _need(job: Job, parts: Parts, names: Mapping[str, str]) -> dict[str, Any]:
    title, about = kind_title(job.kind, parts.connectors), subject_of(job.params)
    place = f"{title} · {about}" if about else title
    doubt = job.state == "in_doubt"
    text = parts.redactor.text(job_told(job))
    where = names.get(job.connection, "")
    return {
        "title": (gettext("%(job)s is in doubt") if doubt else gettext("%(job)s waits for a choice"))
        % {"job": place},
        "text": " · ".join(one for one in (text, where) if one),
        "since": job.changed_ms,
        "href": f"/jobs/{job.id}",
        "action": gettext("Decide") if doubt else gettext("Choose"),
        "state": job_sign(job.state),
    }


def helpers(parts: Parts, names: Mapping[str, str]) -> dict[str, Any]:
    """Answer what the templates of jobs need to name things."""

    def title(kind: str) -> str:
        return kind_title(kind, parts.connectors)

    def told(job: Job) -> str:
        return parts.redactor.text(job_told(job))

    def vehicle(job: Job) -> Markup | str:
        """Draw a link to the vehicle that a job is about, "" when it is about none."""
        one, connector = job.params.get("vehicle_id"), parts.connectors.get(job.kind.partition(".")[0])
        if not one or connector is None or connector.world != "vehicles":
            return ""
        query = urlencode({"connection": job.connection})
        return Markup('<a href="/vehicles/{}?{}">{}</a>').format(quote(str(one)), query, one)

    def by(job: Job) -> str:
        return gettext("the job before it") if job.parent else job.by or "—"

    def evidence_word(name: str) -> str:
        return gettext(EVIDENCE[name]) if name in EVIDENCE else name.replace("_", " ")

    def evidence(step: Step) -> list[tuple[str, Any]]:
        """Answer by what an effect can be found upstream, as names and values."""
        shown: dict[str, Any] = parts.redactor.value(step.evidence)
        return [
            (evidence_word(name), str(value)) for name, value in shown.items() if name not in TOLD_ELSEWHERE
        ]

    def connection(identity: str) -> str:
        return names.get(identity, identity)

    return {
        "title": title,
        "subject": subject_of,
        "sign": job_sign,
        "step_sign": step_sign,
        "told": told,
        "by": by,
        "vehicle": vehicle,
        "choice": choice_word,
        "connection": connection,
        "step_kinds": STEP_KINDS,
        "evidence": evidence,
        "evidence_word": evidence_word,
        "error": step_error,
        "text": parts.redactor.json,
        "json": parts.redactor.value,
    }
