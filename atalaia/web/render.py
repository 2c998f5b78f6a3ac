"""Draws pages and fragments: the template environment, and what every page carries around its content.

A page handler answers `page(request, "calls/list.html", calls=…)`. With `block="rows"` the same call
answers only that block when htmx asked. Templates find the macros of `templates/components/` as
`ui.…`, formats as filters (`ms|age`), words as `_()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

import atalaia
from atalaia import clock
from atalaia.ambient import Ambient
from atalaia.web import i18n, ranges, show, states
from atalaia.web.assets import assets
from atalaia.web.bar import bar_of
from atalaia.web.i18n import N_, View
from atalaia.web.said import said

TEMPLATES_DIR = Path(__file__).parent / "templates"
COOKIE_LANGUAGE, COOKIE_THEME, COOKIE_DENSITY = "atalaia_language", "atalaia_theme", "atalaia_density"
THEMES, DENSITIES = ("auto", "light", "dark"), ("dense", "comfortable")
CSRF_FIELD, CSRF_HEADER = "csrf", "X-CSRF-Token"
YEAR_S = 31_536_000
FILTER_LENGTH_MAX = 1000
OWN_STYLES = ("tokens", "frame", "parts", "lists", "pages", "work", "chats")


@dataclass(frozen=True)
class Place:
    """One item of the rail. `letter` goes there after `g`; `world` must be present for it to be shown.

    scope: what one must be allowed to do to see it; "" is everybody.
    """

    key: str
    label: str
    icon: str
    href: str
    letter: str
    world: str = ""
    scope: str = ""
    group: int = 0


PLACES = (
    Place("now", N_("Now"), "layout-dashboard", "/", "n", scope="events:read"),
    Place("calls", N_("Calls"), "phone", "/calls", "c", "calls", scope="calls:read"),
    Place("charging", N_("Charging"), "battery-charging", "/charging", "r", "charging", scope="events:read"),
    Place("chats", N_("Chats"), "messages", "/chats", "w", "chats", scope="events:read"),
    Place("vehicles", N_("Vehicles"), "truck", "/vehicles", "v", "vehicles", scope="vehicles:read"),
    Place("installations", N_("Installations"), "tool", "/installations", "o", "vehicles",
          scope="installations:read"),
    Place("devices", N_("Devices"), "device-desktop", "/devices", "i", "devices", scope="events:read"),
    Place("tickets", N_("Tickets"), "ticket", "/tickets", "t", "tickets", scope="events:read"),
    Place("connections", N_("Connections"), "plug-connected", "/connections", "x", group=1,
          scope="connections:read"),
    Place("events", N_("Events"), "list-details", "/events", "e", group=1, scope="events:read"),
    Place("jobs", N_("Jobs"), "subtask", "/jobs", "j", "jobs", group=1, scope="jobs:read"),
    Place("deliveries", N_("Deliveries"), "send", "/deliveries", "d", group=1,
          scope="deliveries:read"),
    Place("alerts", N_("Alerts"), "bell", "/alerts", "a", group=1, scope="alerts:read"),
    Place("settings", N_("Settings"), "settings", "/settings", "s", group=1),
    Place("demo", N_("Fault panel"), "bug", "/demo", "f", "demo", group=1, scope="connections:read"),
)  # fmt: skip


class Missing(StrictUndefined):
    """What is not there: it may be asked for (`{% if row.note %}`), and fails when it is drawn."""

    def __bool__(self) -> bool:
        return False


@lru_cache
def environment() -> Environment:
    """Answer the one template environment; words and formats follow the view being drawn."""
    env: Any = Environment(  # Jinja's own types leave its tables open
        loader=FileSystemLoader(TEMPLATES_DIR),
        autoescape=True,
        undefined=Missing,
        trim_blocks=True,
        lstrip_blocks=True,
        optimized=False,  # constants must not be translated or formatted at compile time
        extensions=["jinja2.ext.i18n", "jinja2.ext.do", "jinja2.ext.loopcontrols"],
    )
    env.policies["ext.i18n.trimmed"] = True
    env.install_gettext_callables(
        i18n.gettext, i18n.ngettext, newstyle=True, pgettext=i18n.pgettext, npgettext=i18n.npgettext
    )
    env.filters.update(_filters())
    env.globals.update(
        asset=assets().url,
        icon=show.icon,
        view=i18n.view,
        sign=states.sign,
        url_with=url_with,
        said=said,
        attributes=show.attributes,
        sparkline=show.sparkline,
        ranges=ranges,
        languages=i18n.LANGUAGES,
        csrf_field_name=CSRF_FIELD,
    )
    env.globals["ui"] = _components(env)
    return env


def _filters() -> dict[str, Any]:
    return {
        "number": show.number,
        "percent": show.percent,
        "size": show.size,
        "duration": show.duration,
        "stopwatch": show.stopwatch,
        "age": show.age,
        "exact": show.exact,
        "moment": show.moment,
        "moment_text": show.moment_text,
        "rfc3339": clock.rfc3339,
        "timer": show.timer,
        "json_text": show.json_text,
        "json_tree": show.json_tree,
    }


def _components(env: Any) -> SimpleNamespace:
    """Gather the macros of all component files under one name, so that pages import nothing."""
    found: dict[str, Any] = {}
    ui = SimpleNamespace()
    env.globals["ui"] = ui  # macros call each other through it
    for file in sorted((TEMPLATES_DIR / "components").glob("*.html")):
        module: Any = env.get_template(f"components/{file.name}").module
        names: dict[str, Any] = module.__dict__
        found.update({name: item for name, item in names.items() if not name.startswith("_")})
    vars(ui).update(found)
    return ui


def page(
    request: Request,
    template: str,
    /,
    *,
    block: str = "",
    remember: str = "",
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Response:
    """Draw `template` with everything the frame needs.

    block: answer this block alone when htmx asks (header `HX-Request: true`).
    remember: name under which the query string is kept as this person's filter; see `recall`.
    """
    if block and request.headers.get("hx-request") == "true":
        return fragment(request, template, block, status_code=status_code, headers=headers, **context)
    with i18n.drawing(view_of(request)) as view:
        text = environment().get_template(template).render(frame_context(request, view) | context)
    answer = HTMLResponse(
        text, status_code, {"Cache-Control": "private, no-cache", "Vary": "HX-Request, Cookie"}
    )
    answer.headers.update(headers or {})
    if i18n.known_language(request.query_params.get("lang")):
        set_preference(answer, request, COOKIE_LANGUAGE, view.language)
    if remember and request.url.query and _chosen_here(request):
        keep = "" if "clear" in request.query_params else filter_of(request)
        set_preference(answer, request, f"atalaia_filter_{remember}", keep, path=request.url.path)
    return answer


_PASSING = ("cursor", "part", "after", "lang")


def filter_of(request: Request) -> str:
    """Answer the query of a list without what belongs to one look at it only."""
    kept = [pair for pair in request.query_params.multi_items() if pair[0] not in _PASSING and pair[1]]
    return urlencode(kept)[:FILTER_LENGTH_MAX]


def _chosen_here(request: Request) -> bool:
    """Answer whether the filter was chosen on the list itself; a link from another page is no habit."""
    return urlsplit(request.headers.get("referer", "")).path in ("", request.url.path)


def fragment(
    request: Request,
    template: str,
    block: str,
    /,
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Response:
    """Draw one block of `template`: what a live page or a form asks for again. Top-level sets do not run."""
    text = draw_block(view_of(request), template, block, **(frame_context(request, None) | context))
    answer = HTMLResponse(text, status_code, {"Cache-Control": "no-store", "Vary": "HX-Request, Cookie"})
    answer.headers.update(headers or {})
    return answer


def draw_block(view: View, template: str, block: str, /, **context: Any) -> str:
    """Draw one block outside of a request: the live stream renders each event once per language."""
    with i18n.drawing(view):
        loaded = environment().get_template(template)
        return "".join(loaded.blocks[block](loaded.new_context(context)))


def draw_macro(view: View, name: str, /, *args: Any, **kwargs: Any) -> str:
    """Draw one component by name, as in `draw_macro(view, "state", "live")`."""
    with i18n.drawing(view):
        env: Any = environment()
        return str(getattr(env.globals["ui"], name)(*args, **kwargs))


def view_of(request: Request) -> View:
    """Answer who looks: language, zone, moment, address and token of this request."""
    person = getattr(request.state, "person", None)
    language = i18n.choose_language(
        request.query_params.get("lang"),
        request.cookies.get(COOKIE_LANGUAGE),
        getattr(person, "language", None),
        request.headers.get("accept-language"),
    )
    ambient = _ambient(request)
    return View(
        language=language,
        zone=i18n.zone_named(getattr(person, "zone", None) or getattr(request.app.state, "zone", None)),
        now_ms=clock.to_ms(ambient.clock.now()),
        path=request.url.path,
        # `part` asks for one block of a page; links drawn inside of it lead to the page.
        query=tuple(pair for pair in request.query_params.multi_items() if pair[0] != "part"),
        csrf=str(getattr(request.state, "csrf", "") or ""),
    )


def _ambient(request: Request) -> Ambient:
    """Answer the app's ambient: `app.state.ambient`, or that of `app.state.parts`."""
    state = request.app.state
    return (
        getattr(state, "ambient", None)
        or getattr(getattr(state, "parts", None), "ambient", None)
        or Ambient()
    )


def frame_context(request: Request, view: View | None) -> dict[str, Any]:
    """Answer what the frame draws around any page; without a view only what blocks may use."""
    person = getattr(request.state, "person", None)
    common: dict[str, Any] = {"request": request, "person": person}
    if view is None:
        return common
    health = getattr(request.app.state, "health", None)
    places = nav(getattr(request.app.state, "worlds", ("calls",)), view.path, _may(request))
    return common | {
        "nav": places,
        "may": _may(request),
        "bar": bar_of([item["place"].key for item in places], getattr(person, "role", "")),
        "counts": getattr(request.state, "counts", None) or {},
        "health": (health() if callable(health) else health) or "unknown",
        "flashes": getattr(request.state, "flashes", None) or [],
        "theme": _choice(request.cookies.get(COOKIE_THEME), getattr(person, "theme", None), THEMES),
        "density": _choice(request.cookies.get(COOKIE_DENSITY), None, DENSITIES),
        "words": i18n.script_words(),
        "uplot_js": assets().vendored("uPlot.iife.min.js"),
        "styles": [
            assets().vendored("tabler.min.css"),
            assets().vendored("uPlot.min.css"),
            *(assets().url(f"app/{name}.css") for name in OWN_STYLES),
        ],
        "htmx_js": assets().vendored("htmx.min.js"),
        "csrf_headers": {CSRF_HEADER: view.csrf},
        "version": atalaia.__version__,
        "live_after": getattr(request.state, "live_after", None),
    }


def nav(
    worlds: Iterable[str], path: str, may: Callable[[str], bool] = lambda _: True
) -> list[dict[str, Any]]:
    """Answer the rail's items for these worlds (names, or a mapping by name), the current one marked.

    may: says whether one is allowed to see what a scope opens.
    """
    present = set(worlds)
    places = [
        place
        for place in PLACES
        if (not place.world or place.world in present) and (not place.scope or may(place.scope))
    ]
    return [
        {
            "place": place,
            "here": path == place.href or (place.href != "/" and path.startswith(place.href + "/")),
        }
        for place in places
    ]


def home(worlds: Iterable[str], may: Callable[[str], bool]) -> str:
    """Answer the address of the first screen that one may see."""
    return next((item["place"].href for item in nav(worlds, "", may)), "/settings/me")


def _may(request: Request) -> Callable[[str], bool]:
    who = getattr(request.state, "who", None)
    return who.may if who is not None else lambda _: True  # links open nothing: each route asks itself


def url_with(**changes: str | int | None) -> str:
    """Answer this page's address with some query values changed; None takes one away."""
    view = i18n.view()
    names = {name.rstrip("_") for name in changes}
    kept = [pair for pair in view.query if pair[0] not in names | {"lang"}]
    added = [(name.rstrip("_"), str(value)) for name, value in changes.items() if value is not None]
    query = urlencode(kept + added)
    return f"{view.path}?{query}" if query else view.path


def recall(request: Request, name: str) -> Response | None:
    """Answer a redirect to the person's last filter of this list, when the address has none itself."""
    kept = request.cookies.get(f"atalaia_filter_{name}", "")
    if request.url.query or not kept or request.headers.get("hx-request") == "true":
        return None
    return RedirectResponse(f"{request.url.path}?{kept}", 303)


def set_preference(answer: Response, request: Request, name: str, value: str, path: str = "/") -> None:
    """Keep a choice of this device in a cookie for a year; an empty value forgets it."""
    secure = request.url.scheme == "https"
    age = YEAR_S if value else 0
    answer.set_cookie(name, value, max_age=age, path=path, secure=secure, samesite="lax")


def _choice(cookie: str | None, profile: str | None, known: tuple[str, ...]) -> str:
    return next((asked for asked in (cookie, profile) if asked in known), known[0])


PROBLEM_TITLES = {
    400: N_("The request could not be understood"),
    401: N_("Please sign in"),
    403: N_("This is not open to you"),
    404: N_("There is nothing at this address"),
    405: N_("This address does not take that"),
    409: N_("Something changed meanwhile"),
    413: N_("That is too large"),
    422: N_("Some fields need another look"),
    429: N_("Too many attempts"),
    500: N_("Something broke on our side"),
    503: N_("Not able to answer now"),
}


def problem_page(
    request: Request, status: int, happened: str, *, kept: str = "", todo: str = "", error_id: str = ""
) -> Response:
    """Draw an error as a page: what happened, what was kept, what to do, and the id that finds the log line.

    The texts are English source strings or already translated; both are drawn well.
    """
    with i18n.drawing(view_of(request)):
        title = i18n.gettext(PROBLEM_TITLES.get(status, PROBLEM_TITLES[500 if status >= 500 else 400]))
        told = {name: said(text) for name, text in
                (("happened", happened), ("kept", kept), ("todo", todo))}  # fmt: skip
    headers = {"X-Error-Id": error_id} if error_id else {}
    return page(
        request, "problem.html", status_code=status, headers=headers,
        problem_status=status, problem_title=title, error_id=error_id, **told,
    )  # fmt: skip
