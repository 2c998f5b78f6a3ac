"""Asking for a job: choose what and of whom, see what would be sent, then ask for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request, Response
from sqlalchemy import Connection

from atalaia.connections.registry import Configured
from atalaia.errors import AtalaiaError, ConfigError
from atalaia.jobs.model import JobKind, Planned
from atalaia.web import i18n, render
from atalaia.web.access import Who, require
from atalaia.web.api import jobs as api
from atalaia.web.i18n import N_
from atalaia.web.pages.common import Words, flash, look, screens, show
from atalaia.web.pages.forms import FormField, Group, form_of, read_fields
from atalaia.web.pages.job_words import frame_word
from atalaia.web.pages.suggesting import suggestions
from atalaia.web.pages.work import kind_title, subject_of
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import Problem, not_found

routes = screens("jobs:write")
Writer = Annotated[Who, Depends(require("jobs:write"))]
Text = Annotated[str, Query(max_length=120)]
OWN = ("kind", "connection", "key", "stamp", "csrf", "anyway")


@dataclass
class Tried:
    """What a dry run showed, or why there is none. stamp: proves that these very parameters were tried."""

    planned: list[Planned] = field(default_factory=list[Planned])
    errors: dict[str, str] = field(default_factory=dict[str, str])
    error: str = ""
    stamp: str = ""
    tried: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One kind that one connection takes."""

    kind: str
    title: str
    connection: str
    name: str


@routes.get("/jobs/new")
async def new_page(request: Request, kind: Text = "", connection: Text = "") -> Response:
    """Choose a kind and a connection, or fill in the form of the chosen ones; the query fills fields in."""
    parts, view = parts_of(request), render.view_of(request)

    def read(tx: Connection) -> list[Choice]:
        with i18n.drawing(view):
            return choices_of(parts, parts.registry.all(tx))

    choices = await look(request, read)
    fitting = [one for one in choices if one.kind == kind and connection in ("", one.connection)]
    if not kind or not fitting:
        return show(request, "jobs/choose.html", choices=choices, wanted=kind)
    chosen, declared = fitting[0], api.kinds_of(parts)[kind]
    given = {name: value for name, value in request.query_params.items() if name not in OWN}
    with i18n.drawing(view):
        groups = named(form_of(declared.params, given))
    names = [one.name for group in groups for one in group.fields]
    offered = await parts.store.read(
        lambda tx: suggestions(tx, chosen.connection, names, given.get("client_id", ""))
    )
    return show(
        request, "jobs/new.html", chosen=chosen, groups=groups, dry_run=declared.plan is not None,
        offered=offered,
        key=parts.ambient.ids.new(), tried=Tried(), text=parts.redactor.text, frame_word=frame_word,
    )  # fmt: skip


# Fields that kinds of jobs share and do not title themselves: pydantic makes titles of their names.
TITLES = {
    "client_id": N_("Client id"),
    "client_name": N_("Client name"),
    "vehicle_id": N_("Vehicle id"),
    "vehicle_setting_id": N_("Scheme id"),
    "comment": N_("Comment"),
    "label": N_("Unit's label faces"),
    "harness": N_("Unit's harness faces"),
    "terminal": N_("Nothing follows it"),
    "mode": N_("Mode"),
    "after_ms": N_("Only what is newer than (Unix ms)"),
    "round": N_("Round"),
    "cycles": N_("Cycles"),
    "interval_ms": N_("Pause between cycles (ms)"),
    "enough": N_("Values that are enough"),
    "plate": N_("Plate"),
    "serial": N_("Serial"),
}


def named(groups: list[Group]) -> list[Group]:
    """Answer the groups with titles that people know instead of those made of field names."""
    return [replace(group, fields=[_named(one) for one in group.fields]) for group in groups if group.fields]


def _named(one: FormField) -> FormField:
    made = one.name.replace("_", " ").title()
    return replace(one, title=TITLES.get(one.name, made.capitalize())) if one.title == made else one


def choices_of(parts: Parts, configured: list[Configured]) -> list[Choice]:
    """Answer what can be asked of which connection, by title; in the language of the view being drawn."""
    found = [
        Choice(name, kind_title(name, parts.connectors), one.id, one.name)
        for name, kind in api.kinds_of(parts).items()
        for one in configured
        if one.connector == name.partition(".")[0] and kind.offered and not kind.external
    ]
    return sorted(found, key=lambda one: (one.title, one.name))


@routes.post("/jobs/plan")
async def plan(request: Request, who: Writer) -> Response:
    """Show the frames that would be sent; nothing is sent and nothing is written down."""
    parts = parts_of(request)
    asked, _ = await _read(request, parts)
    tried = Tried(tried=True)
    try:
        tried.planned = await api.plan(parts, asked)
        tried.stamp = parts.secretbox.seal(_digest(asked))
    except Problem as problem:
        _explain(tried, problem)
    return _box(request, asked, tried)


@routes.post("/jobs/submit")
async def submit(request: Request, who: Writer) -> Response:
    """Ask for the job, when its frames were looked at or the kind has no dry run."""
    parts, words = parts_of(request), Words(request)
    asked, form = await _read(request, parts)
    if _kind(parts, asked.kind).plan is not None and not _was_tried(parts, asked, form.get("stamp", "")):
        said = words(N_("The parameters were changed after the dry run. Look at the frames again."))
        return _box(request, asked, Tried(error=said))
    try:
        job = await api.place(parts, asked, form.get("key") or None, by=who.name)
    except Problem as problem:
        tried = Tried()
        _explain(tried, problem)
        return _box(request, asked, tried)
    except ConfigError as error:
        return _box(request, asked, Tried(error=str(error)))
    answer = Response(status_code=204, headers={"HX-Redirect": f"/jobs/{job.id}"})
    with i18n.drawing(render.view_of(request)):
        title = kind_title(asked.kind, parts.connectors)
        about = subject_of(asked.params)
        said = i18n.gettext("%(job)s was asked for.") % {"job": f"{title} · {about}" if about else title}
    flash(request, answer, said)
    return answer


async def _read(request: Request, parts: Parts) -> tuple[api.JobAsked, Mapping[str, str]]:
    """Read the form as an order; its fields are checked when it is planned or placed."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    kind = _kind(parts, form.get("kind", ""))
    params = read_fields(kind.params, form)
    return api.JobAsked(kind=form["kind"], connection=form.get("connection", ""), params=params), form


def _kind(parts: Parts, name: str) -> JobKind:
    found = api.kinds_of(parts).get(name)
    if found is None:
        raise not_found("kind of job")
    return found


def _explain(tried: Tried, problem: Problem) -> None:
    """Part what does not fit: by field, and the rest."""
    tried.errors = {fault.field.removeprefix("body.params."): fault.remedy for fault in problem.errors}
    tried.error = "" if tried.errors else str(problem)


def _box(request: Request, asked: api.JobAsked, tried: Tried) -> Response:
    parts = parts_of(request)
    dry_run = _kind(parts, asked.kind).plan is not None
    return show(
        request, "jobs/new.html", "tried", tried=tried, dry_run=dry_run, text=parts.redactor.text,
        frame_word=frame_word,
    )  # fmt: skip


def _was_tried(parts: Parts, asked: api.JobAsked, stamp: str) -> bool:
    try:
        return bool(stamp) and parts.secretbox.open(stamp) == _digest(asked)
    except (AtalaiaError, ValueError):
        return False


def _digest(asked: api.JobAsked) -> str:
    told: list[Any] = [asked.kind, asked.connection, asked.params]
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()
