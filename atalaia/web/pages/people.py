"""People: who may sign in, by invitation."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from atalaia.desk.people import rows
from atalaia.desk.people.model import NotAllowed
from atalaia.web import flash, i18n, render
from atalaia.web.access import Who, require
from atalaia.web.api.people import link_url
from atalaia.web.i18n import N_
from atalaia.web.pages.settings import translated
from atalaia.web.parts import parts_of

routes = APIRouter(include_in_schema=False)
Text = Annotated[str, Form(max_length=1_000)]
Admin = Annotated[Who, Depends(require("people:admin"))]

ROLE_NAMES = {
    "admin": N_("Administrator"),
    "agent": N_("Agent"),
    "technician": N_("Technician"),
    "viewer": N_("Viewer"),
}


@routes.get("/settings/people")
async def show_people(request: Request, who: Admin) -> Response:
    return await _draw(request, who)


@routes.post("/settings/people")
async def invite(
    request: Request, who: Admin, name: Text = "", email: Text = "", role: Text = ""
) -> Response:
    """Answers the page itself, not a redirect: the link is shown this once."""
    parts = parts_of(request)
    try:
        person, secret = await parts.people.invite(email, name, role, by=who.by)
    except NotAllowed as error:
        form = {"name": name, "email": email, "role": role}
        return await _draw(request, who, form=form, errors={error.field: str(error)})
    link = link_url(parts.settings, request, secret)
    return await _draw(request, who, invited={"name": person.name, "link": link})


@routes.post("/settings/people/{person}/link")
async def new_link(request: Request, who: Admin, person: str) -> Response:
    parts = parts_of(request)
    known = await parts.store.read(lambda tx: rows.get_person(tx, person))
    try:
        secret = await parts.people.invite_again(person, by=who.by)
    except NotAllowed as error:
        return await _draw(request, who, error=str(error))
    name = known.name if known else ""
    return await _draw(
        request, who, invited={"name": name, "link": link_url(parts.settings, request, secret)}
    )


@routes.post("/settings/people/{person}/role")
async def change_role(request: Request, who: Admin, person: str, role: Text = "") -> Response:
    return await _change(request, who, person, role=role)


@routes.post("/settings/people/{person}/disable")
async def disable(request: Request, who: Admin, person: str) -> Response:
    return await _change(request, who, person, disabled=True)


@routes.post("/settings/people/{person}/enable")
async def enable(request: Request, who: Admin, person: str) -> Response:
    return await _change(request, who, person, disabled=False)


async def _change(request: Request, who: Who, person: str, **change: Any) -> Response:
    try:
        await parts_of(request).people.change(person, by=who.by, **change)
    except NotAllowed as error:
        return await _draw(request, who, error=str(error))
    request.app.state.token_cache.forget()
    return flash.done(request, "/settings/people", N_("Saved."))


async def _draw(
    request: Request, who: Who, *, form: dict[str, str] | None = None, errors: dict[str, str] | None = None,
    error: str = "", invited: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    people = await parts_of(request).store.read(rows.list_people)
    with i18n.drawing(render.view_of(request)):
        roles = {name: i18n.gettext(text) for name, text in ROLE_NAMES.items()}
        error = i18n.gettext(error) if error else ""
    headers = {"Cache-Control": "no-store"} if invited else None
    return render.page(
        request, "settings/people.html", status_code=422 if errors or error else 200, headers=headers,
        may=who.may, here="people", people=people, roles=roles, invited=invited, error=error,
        form=form or {"name": "", "email": "", "role": ""}, errors=translated(request, errors),
    )  # fmt: skip
