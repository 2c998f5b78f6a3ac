"""One's own profile, and how the hub is told to work."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from atalaia.clock import to_ms
from atalaia.desk.people import rows
from atalaia.desk.people.model import NotAllowed
from atalaia.settings import FILE_NAME
from atalaia.web import flash, i18n, render
from atalaia.web.access import Known, Who, require
from atalaia.web.api.system import KindSet, list_kinds, set_kind, settings_out, unset_kind
from atalaia.web.i18n import N_
from atalaia.web.parts import parts_of
from atalaia.web.problems import Problem, too_many

routes = APIRouter(include_in_schema=False)
Text = Annotated[str, Form(max_length=1_000)]
Admin = Annotated[Who, Depends(require("settings:admin"))]

POLICIES = {"keep": N_("keep"), "count": N_("only count"), "drop": N_("drop")}


@routes.get("/settings")
async def settings(who: Known) -> Response:
    return RedirectResponse("/settings/me" if who.person else "/settings/hub", 303)


@routes.get("/settings/system")
async def system(who: Known) -> Response:
    return RedirectResponse("/system", 303)


@routes.get("/settings/me")
async def me(request: Request, who: Known) -> Response:
    return await _draw_me(request, who)


@routes.post("/settings/me")
async def change_me(
    request: Request, who: Known, language: Text = "", zone: Text = "", theme: Text = "", density: Text = ""
) -> Response:
    person = _person(who)
    if zone and not _is_zone(zone):
        return await _draw_me(request, who, errors={"zone": N_("There is no such time zone.")})
    wanted = {
        "language": language if language in i18n.LANGUAGES else "",
        "zone": zone,
        "theme": theme if theme in render.THEMES else "",
        "density": density if density in render.DENSITIES else "",
    }
    await parts_of(request).people.set_profile(person.id, wanted)
    request.state.person = replace(person, language=wanted["language"])  # said in the new language
    answer = flash.done(request, "/settings/me", N_("Saved."))
    for name in (render.COOKIE_LANGUAGE, render.COOKIE_THEME, render.COOKIE_DENSITY):
        render.set_preference(answer, request, name, "")  # what this device said before gives way
    return answer


@routes.post("/settings/me/password")
async def change_password(
    request: Request, who: Known, old: Text = "", new: Text = "", again: Text = ""
) -> Response:
    person = _person(who)
    if new != again:
        return await _draw_me(request, who, errors={"again": N_("The two passwords are not the same.")})
    limiter = request.app.state.sign_in_limiter
    if wait_s := limiter.wait_s(f"account:{person.email}"):
        raise too_many(wait_s)
    keep = who.session.hash if who.session else ""
    try:
        await parts_of(request).people.change_password(person, old, new, keep=keep, by=who.by)
    except NotAllowed as error:
        if error.field == "old":
            limiter.take(f"account:{person.email}")
        return await _draw_me(request, who, errors={error.field: str(error)})
    return flash.done(
        request, "/settings/me", N_("The password is changed; everywhere else you are signed out.")
    )


@routes.post("/settings/me/sign-out-others")
async def sign_out_others(request: Request, who: Known) -> Response:
    person = _person(who)
    keep = who.session.hash if who.session else ""
    ended = await parts_of(request).people.sign_out_everywhere(person.id, by=who.by, but=keep)
    return flash.done(request, "/settings/me", N_("Sessions ended: %(count)s."), count=ended)


@routes.get("/settings/hub")
async def hub(request: Request, who: Admin) -> Response:
    return await _draw_hub(request, who)


@routes.post("/settings/hub/kinds")
async def set_hub_kind(
    request: Request, who: Admin, connector: Text = "", type: Text = "", policy: Text = "",
    retention_days: Text = "",
) -> Response:  # fmt: skip
    days = int(retention_days) if retention_days.isdigit() and len(retention_days) < 6 else None
    name = type.strip().removeprefix(f"{connector}.")
    if not name or not all(char.isalnum() or char in "_.-*" for char in name) or "*" in name[:-1]:
        return await _draw_hub(
            request, who, errors={"type": N_("Write letters and digits; * only at the end.")}
        )
    asked = KindSet.model_validate({"policy": policy or None, "retention_days": days or None})
    await set_kind(request, connector, name, who, asked)
    return flash.done(request, "/settings/hub", N_("Saved."))


@routes.post("/settings/hub/kinds/remove")
async def remove_hub_kind(request: Request, who: Admin, connector: Text = "", type: Text = "") -> Response:
    await unset_kind(request, connector, type, who)
    return flash.done(request, "/settings/hub", N_("Removed."))


async def _draw_me(request: Request, who: Who, *, errors: dict[str, str] | None = None) -> Response:
    person, parts = _person(who), parts_of(request)
    now = to_ms(parts.ambient.clock.now())
    here = who.session.hash if who.session else ""

    def read(tx: Connection) -> list[dict[str, Any]]:
        found = rows.sessions_of(tx, person.id, now)
        return [{**one, "here": one["hash"] == here, "browser": browser(one["agent"])} for one in found]

    return render.page(
        request, "settings/me.html", status_code=422 if errors else 200, may=who.may, here="me",
        profile=person, hub_zone=parts.settings.zone,
        zones=sorted(zone for zone in available_timezones() if "/" in zone),
        sessions=await parts.store.read(read), errors=translated(request, errors),
    )  # fmt: skip


async def _draw_hub(request: Request, who: Who, *, errors: dict[str, str] | None = None) -> Response:
    parts = parts_of(request)
    with i18n.drawing(render.view_of(request)):
        policies = {name: i18n.gettext(text) for name, text in POLICIES.items()}
    return render.page(
        request, "settings/hub.html", status_code=422 if errors else 200, may=who.may, here="hub",
        settings=settings_out(parts), kinds=await list_kinds(request, who), policies=policies,
        connectors=[(one.name, one.title) for one in parts.connectors.values()],
        file=str(parts.settings.data_dir / FILE_NAME), errors=translated(request, errors),
    )  # fmt: skip


def translated(request: Request, errors: dict[str, str] | None) -> dict[str, str]:
    """Answer what is wrong with each field in the person's language."""
    with i18n.drawing(render.view_of(request)):
        return {field: i18n.gettext(text) for field, text in (errors or {}).items()}


def browser(agent: str) -> str:
    """Answer browser and system in a User-Agent, as in `Firefox 140 · Linux`; "" when it says neither."""
    names = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Version": "Safari"}
    found = [f"{names[one]} {match[1]}" for one in names if (match := re.search(rf"{one}/(\d+)", agent))]
    systems = {
        "Android": "Android",
        "iPhone": "iPhone",
        "iPad": "iPad",
        "Windows": "Windows",
        "Mac OS": "macOS",
    }
    system = next((name for mark, name in {**systems, "Linux": "Linux"}.items() if mark in agent), "")
    return " · ".join([*found[:1], *([system] if system else [])])


def _person(who: Who) -> Any:
    if who.person is None:
        raise Problem(
            403, "forbidden", N_("You may not do that"), N_("Only a signed-in person has a profile.")
        )
    return who.person


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True
