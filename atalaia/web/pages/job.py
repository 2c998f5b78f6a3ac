"""The page of one job: how far it is, each step, what was sent, what a person may decide."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, cast

import orjson
from fastapi import Depends, Form, Query, Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import names as connection_names
from atalaia.desk.installations.queries import plate_of
from atalaia.desk.vehicles.plates import Plates, plates_of_jobs
from atalaia.jobs import queries
from atalaia.jobs.queries import Frame, Job, Step
from atalaia.web import i18n, render
from atalaia.web.access import Who, require
from atalaia.web.api import jobs as api
from atalaia.web.i18n import N_
from atalaia.web.pages.common import PageCursor, Part, Words, done, look, position, screens, show
from atalaia.web.pages.jobs import helpers
from atalaia.web.pages.telling import Names, Told, tell
from atalaia.web.pages.work import DECISIONS, choice_word, kind_title
from atalaia.web.parts import parts_of
from atalaia.web.problems import invalid, not_found
from atalaia.web.wire import Identity, page_of

routes = screens("jobs:read")
Writer = Annotated[Who, Depends(require("jobs:write"))]
# An upstream pushes many times what is sent to it; the page of frames has them all.
SENT, RECEIVED, FRAMES_PAGE = 12, 6, 200
SEEN = "seen."  # how the names of fields begin that hold what a person saw upstream


@dataclass
class Shown:
    """What the page shows. frames: the last ones; doubt: the step that is in doubt."""

    job: Job
    steps: list[Step]
    chain: list[Job]
    history: list[Told]
    frames: list[Frame]
    frames_total: int
    names: dict[str, str] = field(default_factory=dict[str, str])
    plates: Plates = field(default_factory=dict[tuple[str, str], str])
    installation: str = ""  # the plate of the installation that this job is a part of

    @property
    def askers(self) -> dict[str, str]:
        """Who asked for the pipeline."""
        return {one.id: one.by for one in self.chain if one.parent is None}

    @property
    def doubt(self) -> Step | None:
        found = [step for step in self.steps if step.state == "in_doubt"]
        return found[-1] if found and self.job.state == "in_doubt" else None

    @property
    def supposed(self) -> dict[str, str]:
        """What the step in doubt would have answered, as far as that is known: the texts in it, by name."""
        answer: Any = self.doubt.result if self.doubt else None
        if not isinstance(answer, dict):
            return {}
        known = cast("dict[str, Any]", answer)
        return {name: value for name, value in known.items() if isinstance(value, str)}


@routes.get("/jobs/{job}")
async def job_page(request: Request, job: Identity, part: Part = "") -> Response:
    """Answer the page of one job."""
    view = render.view_of(request)

    def read(tx: Connection) -> Shown | None:
        with i18n.drawing(view):
            found = queries.get_job(tx, job)
            return read_job(tx, found) if found else None

    shown = await look(request, read)
    if shown is None:
        raise not_found("job")
    h = helpers(parts_of(request), shown.names, shown.plates, shown.askers)
    return show(request, "jobs/job.html", part, shown=shown, job=shown.job, h=h)


def read_job(tx: Connection, job: Job) -> Shown:
    """Read everything about one job; in the language of the view being drawn."""
    names, told = connection_names(tx), queries.history(tx, job.id)
    chain = queries.chain(tx, job.root)
    plates = plates_of_jobs(tx, chain)
    return Shown(
        job=job,
        steps=queries.list_steps(tx, job.id),
        chain=chain,
        history=[of_this_job(tell(event, Names(names, plates=plates))) for event in told],
        frames=sorted(
            queries.last_frames(tx, job.id, direction="sent", limit=SENT)
            + queries.last_frames(tx, job.id, direction="received", limit=RECEIVED),
            key=lambda frame: frame.id,
        ),
        frames_total=queries.count_frames(tx, job.id),
        names=names,
        plates=plates,
        installation=plate_of(tx, job.root),
    )


def of_this_job(told: Told) -> Told:
    """Answer a fact without the name of the job, which is the page's own title: what follows its colon."""
    _, colon, rest = told.title.partition(": ")
    return replace(told, title=rest[:1].upper() + rest[1:]) if colon and rest else told


@dataclass
class Framed:
    """One page of a job's frames."""

    job: Job
    frames: list[Frame]
    following: str | None
    names: dict[str, str]
    plates: Plates


@routes.get("/jobs/{job}/frames")
async def frames_page(
    request: Request, job: Identity, direction: Annotated[str, Query(max_length=8)] = "",
    cursor: PageCursor = "",
) -> Response:  # fmt: skip
    """Answer every frame of a job, oldest first."""
    after, chosen = position(cursor, int), direction if direction in ("sent", "received") else ""

    def read(tx: Connection) -> Framed | None:
        found = queries.get_job(tx, job)
        if found is None:
            return None
        rows = queries.list_frames(tx, job, after=after or 0, direction=chosen, limit=FRAMES_PAGE + 1)
        frames, following = page_of(rows, FRAMES_PAGE, "id")
        return Framed(found, frames, following, connection_names(tx), plates_of_jobs(tx, [found]))

    shown = await look(request, read)
    if shown is None:
        raise not_found("job")
    return show(
        request, "jobs/frames.html", shown=shown, job=shown.job, direction=chosen, first=after is None,
        h=helpers(parts_of(request), shown.names, shown.plates),
    )  # fmt: skip


# Acts.


@routes.post("/jobs/{job}/decide")
async def decide(
    request: Request, job: Identity, who: Writer,
    choice: Annotated[Literal["happened", "again", "cancel"], Form()],
    step: Annotated[str, Form(max_length=80)] = "", result: Annotated[str, Form(max_length=20_000)] = "",
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:  # fmt: skip
    """Say what became of a step in doubt; the job goes on from there. Fields `seen.*`: what was seen."""
    words = Words(request)
    fields = {name: str(value).strip() for name, value in (await request.form()).items()}
    seen = {
        name[len(SEEN) :]: value[:2000] for name, value in fields.items() if name.startswith(SEEN) and value
    }
    evidence = seen if choice == "happened" else {}
    asked = api.DecideAsked(
        choice=choice, step=step, result=_json(result), evidence=evidence, reason=reason
    )  # fmt: skip
    await api.decide(request, job, who, asked)
    said = words(N_("Decided: %(choice)s."), choice=words(DECISIONS[choice]))
    return done(request, f"/jobs/{job}", said)


@routes.post("/jobs/{job}/answer")
async def answer(
    request: Request, job: Identity, who: Writer, choice: Annotated[str, Form(max_length=80)],
    name: Annotated[str, Form(max_length=80)] = "", reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:  # fmt: skip
    """Choose one of the words a waiting job offers."""
    data: dict[str, Any] = {"reason": reason} if reason else {}
    await api.answer(request, job, who, api.AnswerAsked(choice=choice, name=name, data=data))
    with i18n.drawing(render.view_of(request)):
        said = i18n.gettext("Chosen: %(choice)s.") % {"choice": choice_word(choice)}
    return done(request, f"/jobs/{job}", said)


@routes.post("/jobs/{job}/cancel")
async def cancel(
    request: Request, job: Identity, who: Writer, reason: Annotated[str, Form(max_length=500)] = ""
) -> Response:
    """Call a job off."""
    found = await api.cancel(request, job, who, api.CancelAsked(reason=reason))
    words = Words(request)
    said = N_("The job is cancelled.") if found.state == "cancelled" else N_("The job ends after its step.")
    return done(request, f"/jobs/{job}", words(said))


@routes.post("/jobs/{job}/retry")
async def retry(
    request: Request, job: Identity, who: Writer, reason: Annotated[str, Form(max_length=500)]
) -> Response:
    """Run a job again, with a reason that is written down."""
    found = await api.retry(request, job, who, api.RetryAsked(reason=reason))
    with i18n.drawing(render.view_of(request)):
        title = kind_title(found.kind, parts_of(request).connectors)
        said = i18n.gettext("%(job)s runs again.") % {"job": title}
    return done(request, f"/jobs/{job}", said)


def _json(text: str) -> Any:
    """Read what a person typed as a step's answer; nothing typed is no answer. Errors: `Problem` 422."""
    if not text.strip():
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise invalid("form.result", "text", 'Write JSON, e.g. {"process_id": "10422606"}.') from None
