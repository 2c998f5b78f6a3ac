"""Asking for an installation, on a phone beside the truck: choose the service, fill in, look up, start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import ValidationError
from sqlalchemy import Connection

from atalaia.connections.registry import Configured
from atalaia.connectors.traffilog.gsensor import mounts
from atalaia.connectors.traffilog.importing import side_words
from atalaia.connectors.traffilog.installing import Form, Known, start_of
from atalaia.desk.installations.actions import Installations, Start
from atalaia.desk.installations.queries import SERVICES
from atalaia.errors import ConfigError
from atalaia.jobs import queries as jobs
from atalaia.jobs.submit import KeyReused, Order, WrongParams
from atalaia.web import i18n, render
from atalaia.web.access import Who, require
from atalaia.web.api.jobs import orders_of
from atalaia.web.i18n import N_
from atalaia.web.pages.common import Words, flash, look, screens, show
from atalaia.web.pages.installs import HINTS, service_word
from atalaia.web.pages.installs import SERVICES as SERVICE_WORDS
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import Identity

routes = screens("installations:write")
Writer = Annotated[Who, Depends(require("installations:write"))]
Text = Annotated[str, Query(max_length=200)]
CONNECTOR = "traffilog"
MODELS_MAX = 2_000
ICONS = {
    "INSTALL": "plus",
    "UNINSTALL": "minus",
    "MAINT_WITH_SWAP": "switch-horizontal",
    "MAINT_NO_SWAP": "tool",
}
OWN = ("csrf", "key", "mount", "model_text")


@routes.get("/installations/new")
async def new_page(request: Request, service: Text = "") -> Response:
    """Choose a service, or fill in its form; the query fills fields in."""
    connections = await look(request, lambda tx: _connections(parts_of(request), tx))
    if service not in SERVICES or not connections:
        choices = [(one, ICONS[one], SERVICE_WORDS[one], HINTS[one]) for one in SERVICES]
        return show(request, "installations/choose.html", choices=choices, connections=connections)
    return await _form(request, dict(request.query_params), {})


@routes.get("/installations/models")
async def models(request: Request, client_id: Text = "") -> Response:
    """Answer the models to choose from: the client's own, or all."""
    known = await parts_of(request).store.read(lambda tx: Known.read(tx, client_id))
    return show(request, "installations/new.html", "models", models=model_words(known))


@routes.post("/installations/new")
async def start(request: Request, who: Writer) -> Response:
    """Start an installation."""
    parts = parts_of(request)
    given = {name: str(value) for name, value in (await request.form()).items()}
    try:
        asked = await parts.store.read(lambda tx: read_start(tx, given))
        acts, key = Installations(orders_of(parts)), given.get("key") or None
        done = await parts.store.write(lambda tx: acts.start(tx, asked, by=who.name, key=key))
    except (WrongParams, KeyReused, ConfigError) as error:
        fields = error.fields if isinstance(error, WrongParams) else []
        errors = {one["field"].rpartition(".")[2]: one["said"] for one in fields}
        return await _form(request, given, errors, "" if errors else str(error))
    answer = Response(status_code=303, headers={"Location": f"/installations/{done.seen.installation.root}"})
    with i18n.drawing(render.view_of(request)):
        said = i18n.gettext("%(service)s of %(plate)s is under way.") % {
            "service": service_word(asked.service), "plate": asked.plate,
        }  # fmt: skip
    flash(request, answer, said)
    return answer


def read_start(tx: Connection, given: Mapping[str, str]) -> Start:
    """Read a form. Errors: `WrongParams` by field."""
    values = {name: value for name, value in given.items() if name not in OWN}
    if mount := given.get("mount", ""):
        values["label"], _, values["harness"] = mount.partition("|")
    known = Known.read(tx, values.get("client_id", ""))
    if text := given.get("model_text", "").strip():
        number = text.partition(" ")[0]
        values["asset_type"] = number
        found = next((one for one in known.models if one.id == number), None)
        if found is not None:
            values |= {"manufacturer": found.manufacturer, "model": found.model}
    try:
        form = Form.model_validate(values)
    except ValidationError as error:
        wrong = [
            {"field": str(one["loc"][0]) if one["loc"] else "", "said": _said(one["type"])}
            for one in error.errors()
        ]
        raise WrongParams("Some fields need another look.", wrong) from None
    return start_of(form, known)


@routes.post("/installations/lookup")
async def lookup(request: Request, who: Writer) -> Response:
    """Ask the portal for the vehicle by plate, or by the unit's serial; answer a box that waits for it."""
    parts = parts_of(request)
    given = {name: str(value) for name, value in (await request.form()).items()}
    serial = given.get("serial_new") or given.get("serial") or ""
    params = {"plate": given.get("plate", ""), "serial": serial}
    order = Order(f"{CONNECTOR}.vehicle_resolve", given.get("connection", ""), params, who.name, priority=10)
    orders = orders_of(parts)
    try:
        job = await parts.store.write(lambda tx: orders.submit(tx, order))
    except (WrongParams, ConfigError) as error:
        return show(
            request, "installations/new.html", "lookup", job=None, error=str(error), text=_mask(parts)
        )
    return await _looked(request, job.id)


@routes.get("/installations/lookup/{job}")
async def looked(request: Request, job: Identity) -> Response:
    """Answer what the portal said."""
    return await _looked(request, job)


async def _looked(request: Request, identity: str) -> Response:
    parts = parts_of(request)
    job = await parts.store.read(lambda tx: jobs.get_job(tx, identity))
    if job is None or job.kind != f"{CONNECTOR}.vehicle_resolve":
        raise not_found("job")
    return show(request, "installations/new.html", "lookup", job=job, error="", text=_mask(parts))


async def _form(
    request: Request, given: Mapping[str, str], errors: Mapping[str, str], error: str = ""
) -> Response:
    parts, words = parts_of(request), Words(request)

    def read(tx: Connection) -> tuple[list[Configured], Known, dict[str, str]]:
        return _connections(parts, tx), Known.read(tx, given.get("client_id", "")), side_words(tx)

    connections, known, sides = await look(request, read)
    pairs = [(f"{one.label}|{one.harness}", f"{sides[one.label]} | {sides[one.harness]}") for one in mounts()]
    return show(
        request, "installations/new.html", given=given, service=given["service"], errors=errors, error=error,
        connections=[(one.id, one.name) for one in connections],
        clients=sorted(known.clients.items(), key=lambda one: one[1].casefold()),
        technicians=sorted(known.technicians.items(), key=lambda one: one[1].casefold()),
        models=model_words(known), mounts=pairs, key=given.get("key") or parts.ambient.ids.new(),
        title=words(SERVICE_WORDS[given["service"]]), job=None, text=_mask(parts),
    )  # fmt: skip


def model_words(known: Known) -> list[str]:
    """Answer models as a person types them: `7547 Iveco Stralis`."""
    found = [" ".join(part for part in (one.id, one.manufacturer, one.model) if part) for one in known.models]
    return sorted(dict.fromkeys(found), key=lambda one: one.partition(" ")[2].casefold())[:MODELS_MAX]


def _connections(parts: Parts, tx: Connection) -> list[Configured]:
    return [one for one in parts.registry.all(tx) if one.connector == CONNECTOR]


def _mask(parts: Parts) -> Any:
    return parts.redactor.text


def _said(kind: str) -> str:
    known = {"string_pattern_mismatch": N_("Only digits, and not too many."), "missing": N_("Fill it in.")}
    return known.get(kind, N_("That does not fit."))
