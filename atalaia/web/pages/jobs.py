"""Jobs: what was asked of upstreams, what of it waits for a person, what runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Query, Request, Response
from markupsafe import Markup
from sqlalchemy import Connection

from atalaia.connections.queries import names as connection_names
from atalaia.desk.vehicles.plates import Plates, plates_of_jobs, vehicles_called
from atalaia.jobs.queries import (
    NEEDS_PERSON,
    STATES,
    Job,
    JobFilter,
    Step,
    askers,
    count_by_state,
    known_kinds,
    list_jobs,
    needing_person,
)
from atalaia.web import i18n, render
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages.common import ROWS, PageCursor, Part, look, position, screens, show
from atalaia.web.pages.installs import VERDICTS
from atalaia.web.pages.job_words import evidence_of, evidence_word, frame_word, step_word
from atalaia.web.pages.work import (
    STEP_KINDS,
    choice_word,
    job_sign,
    job_told,
    kind_title,
    quantity_words,
    step_error,
    step_sign,
    subject_of,
)
from atalaia.web.parts import Parts, parts_of
from atalaia.web.wire import page_of

NOTHING: Plates = {}
NOBODY: Mapping[str, str] = {}

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
    plates: Plates = field(default_factory=dict[tuple[str, str], str])
    askers: dict[str, str] = field(default_factory=dict[str, str])


@routes.get("/jobs")
async def list_page(
    request: Request, q: Text = "", state: Text = "", kind: Text = "", connection: Text = "",
    cursor: PageCursor = "", part: Part = "",
) -> Response:  # fmt: skip
    """Answer the list, what needs a person above it; the filter of the last time is remembered."""
    if again := render.recall(request, "jobs"):
        return again
    view, parts = render.view_of(request), parts_of(request)
    before = position(cursor, str)

    def read(tx: Connection) -> Listed:
        with i18n.drawing(view):
            return read_list(tx, parts, wanted_of(tx, q, state, kind, connection), before)

    found = await look(request, read)
    asked = {"q": q, "state": state, "kind": kind, "connection": connection}
    return show(
        request, "jobs/list.html", part, remember="jobs", found=found, asked=asked, first=before is None,
        groups=groups_of(found.counts, state),
        h=helpers(parts, found.names, found.plates, found.askers),
    )  # fmt: skip


def wanted_of(tx: Connection, q: str, state: str, kind: str, connection: str) -> JobFilter:
    """Answer the filter behind the words of the address; a vehicle is found by its plate, too."""
    words = q.strip()
    return JobFilter(
        states_of(state), (kind,) if kind else (), connection or None, words=words,
        vehicles=vehicles_called(tx, words),
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
    everywhere = replace(wanted, states=())
    kinds = [(one, kind_title(one, parts.connectors)) for one in known_kinds(tx)]
    return Listed(
        jobs=rows,
        following=following,
        needs=[] if wanted.states == NEEDS_PERSON else needs_of_jobs(tx, parts, names),
        counts=count_by_state(tx, everywhere),
        kinds=sorted(kinds, key=lambda one: one[1]),
        connections=_connections(tx, parts, names),
        names=names,
        plates=plates_of_jobs(tx, rows),
        askers=askers(tx, (job.root for job in rows if job.parent)),
    )


def _connections(tx: Connection, parts: Parts, names: Mapping[str, str]) -> list[tuple[str, str]]:
    able = [one for one in parts.registry.all(tx) if parts.connectors[one.connector].jobs]
    return [(one.id, names.get(one.id, one.id)) for one in able]


def needs_of_jobs(tx: Connection, parts: Parts, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Answer the jobs that wait for a person, as `ui.attention` draws them, what waits longest first."""
    waiting = needing_person(tx)
    plates = plates_of_jobs(tx, waiting)
    return [_need(job, parts, names, plates) for job in waiting]


def _need(job: Job, parts: Parts, names: Mapping[str, str], plates: Plates) -> dict[str, Any]:
    title, about = kind_title(job.kind, parts.connectors), about_of(job, plates)
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


def about_of(job: Job, plates: Plates) -> str:
    """Answer what a job is about: its vehicle's plate where one is known, else what its parameters say."""
    return plates.get((job.connection, str(job.params.get("vehicle_id") or ""))) or subject_of(job.params)


def helpers(
    parts: Parts, names: Mapping[str, str], plates: Plates = NOTHING, askers: Mapping[str, str] = NOBODY
) -> dict[str, Any]:
    """Answer what the templates of jobs need to name things. askers: by the first job of a pipeline."""

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
        plate = plates.get((job.connection, str(one)))
        name = f"{plate} · {one}" if plate else one
        return Markup('<a href="/vehicles/{}?{}">{}</a>').format(quote(str(one)), query, name)

    def by(job: Job) -> str:
        return (askers.get(job.root) or gettext("the job before it")) if job.parent else job.by or "—"

    def about(job: Job) -> str:
        return about_of(job, plates)

    def evidence(step: Step) -> list[tuple[str, Any]]:
        """Answer by what an effect can be found upstream, as names and values."""
        return evidence_of(parts.redactor.value(step.evidence))

    def connection(identity: str) -> str:
        return names.get(identity, identity)

    return {
        "title": title,
        "subject": about,
        "sign": job_sign,
        "step_sign": step_sign,
        "told": told,
        "by": by,
        "vehicle": vehicle,
        "choice": choice_word,
        "connection": connection,
        "step_kinds": STEP_KINDS,
        "step": step_word,
        "evidence": evidence,
        "evidence_word": evidence_word,
        "frame": frame_word,
        "verdicts": VERDICTS,
        "quantities": quantity_words,
        "error": step_error,
        "text": parts.redactor.json,
        "json": parts.redactor.value,
    }
