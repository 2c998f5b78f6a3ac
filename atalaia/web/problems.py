"""Refusals and errors in one shape: problem+json (RFC 9457) for programs, a page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from atalaia.desk.people.model import NotAllowed
from atalaia.errors import (
    ConfigError,
    InDoubt,
    Refused,
    Rejected,
    StoreUnavailable,
    Unavailable,
    Unreadable,
    kind_of,
)
from atalaia.redact import MASK, Redactor
from atalaia.web import render
from atalaia.web.headers import security_headers
from atalaia.web.i18n import N_

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_S = 2
WELCOME = "/welcome/"
HOOKS = "/hooks/"


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong input, never its value.

    field: where, e.g. `body.name`. kind: what the value is. remedy: what to do.
    """

    field: str
    kind: str
    remedy: str

    def as_data(self) -> dict[str, str]:
        return {"field": self.field, "kind": self.kind, "remedy": self.remedy}


class Problem(Exception):
    """A refusal on its way out. title and detail are English sentences fit for a screen, without secrets.

    slug: names the kind of problem for programs. kept: what was not lost. todo: what the person may do.
    """

    def __init__(
        self, status: int, slug: str, title: str, detail: str = "", *, errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None, kept: str = "", todo: str = "",
    ) -> None:  # fmt: skip
        super().__init__(detail or title)
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.kept = kept
        self.todo = todo


class ProblemError(BaseModel):
    """One wrong input of a request."""

    field: str = Field(description="Where it is, e.g. body.name or query.limit.")
    kind: str = Field(description="What kind of value was found.")
    remedy: str = Field(description="What to do about it.")


class ProblemDetails(BaseModel):
    """RFC 9457, with the id that finds the log line."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    id: str = Field(description="Names this answer in the hub's log.")
    errors: list[ProblemError] = []


def not_found(thing: str) -> Problem:
    """Answer the problem of a thing that is not there, e.g. `not_found("call")`."""
    return Problem(404, "not-found", N_("Not found"), f"There is no such {thing}.")


def invalid(field: str, kind: str, remedy: str, detail: str = "") -> Problem:
    """Answer the problem of one wrong input."""
    fault = Fault(field, kind, remedy)
    return Problem(422, "invalid-input", N_("The input does not fit"), detail or remedy, errors=[fault])


def conflict(detail: str) -> Problem:
    """Answer the problem of an act that does not fit the present state."""
    return Problem(409, "conflict", N_("That does not fit the present state"), detail)


def too_many(retry_s: float) -> Problem:
    """Answer the problem of one who asks too often."""
    seconds = max(1, round(retry_s + 0.5))
    return Problem(
        429, "too-many", N_("Too many requests"), f"Try again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )  # fmt: skip


def of_error(error: Exception) -> Problem | None:
    """Translate what the house raises on purpose; None for defects."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _of_validation(error)
        case HTTPException():
            return _of_http(error)
        case NotAllowed():
            return Problem(
                422, "not-allowed", N_("That is not allowed"), str(error),
                errors=[Fault(error.field or "", "", error.remedy or str(error))], todo=error.remedy,
            )  # fmt: skip
        case StoreUnavailable():
            return Problem(
                503, "store-unavailable", N_("The database cannot be used now"), str(error),
                headers={"Retry-After": str(RETRY_S)}, kept=N_("Nothing was acknowledged, so nothing is "
            "lost."),
                todo=N_("Try again in a moment."),
            )  # fmt: skip
        case ConfigError():
            return Problem(422, "invalid-settings", N_("A setting does not fit"), str(error))
        case Rejected() | Refused() | Unreadable():
            return Problem(502, "upstream-refused", N_("The other system said no"), str(error))
        case Unavailable() | InDoubt():
            return Problem(503, "upstream-unavailable", N_("The other system cannot be reached"), str(error))
        case _:
            return None


def install(app: FastAPI) -> None:
    """Make the app answer every error in this shape."""
    for kind in (Problem, RequestValidationError, HTTPException, NotAllowed, StoreUnavailable, ConfigError):
        app.add_exception_handler(kind, _answer)
    for kind in (Rejected, Refused, Unreadable, Unavailable, InDoubt):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(Exception, _answer_defect)


async def _answer(request: Request, error: Exception) -> Response:
    problem = of_error(error)
    assert problem is not None
    if problem.status == 405:
        problem.headers["Allow"] = ", ".join(sorted(_methods(request)))
    if problem.status >= 500:
        log.warning(
            "request.failed",
            id=_id(request),
            path=shown_path(request.url.path),
            problem=problem.slug,
            said=str(error),
        )
    return respond(request, problem)


def _methods(request: Request) -> set[str]:
    """Answer every method of this address; the router itself knows only those of one route."""
    routes = [route for router in request.app.state.routers for route in router.routes]
    fitting = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    same = [route for route in fitting if route.path == fitting[0].path]
    return {method for route in same for method in route.methods or ()}


async def _answer_defect(request: Request, error: Exception) -> Response:
    """Starlette raises the error again after this answer, and uvicorn logs it; this line carries the id."""
    log.error("request.defect", id=_id(request), path=shown_path(request.url.path), exc_info=error)
    answer = respond(request, defect())
    for name, value in security_headers(request.app.state.parts.settings):  # it leaves past the door
        answer.headers[name.decode()] = value.decode()
    return answer


def defect() -> Problem:
    """Answer the problem of a defect of ours; what went wrong is in the log, not in the answer."""
    return Problem(
        500, "defect", N_("Something broke inside the hub"),
        N_("The error is written down in the log under the id of this answer."),
        todo=N_("Try again. If it happens again, tell whoever runs this hub the id below."),
    )  # fmt: skip


def respond(request: Request, problem: Problem) -> Response:
    """Answer a problem in the shape that the asker reads."""
    if wants_page(request):
        return _page(request, problem)
    redactor: Redactor = request.app.state.parts.redactor
    content: dict[str, Any] = {
        "type": f"urn:atalaia:problem:{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": redactor.text(problem.detail),
        "instance": shown_path(request.url.path),
        "id": _id(request),
        "errors": [fault.as_data() for fault in problem.errors],
    }
    return JSONResponse(content, problem.status, problem.headers, media_type=MEDIA_TYPE)


def shown_path(path: str) -> str:
    """Answer a path for the log and for answers: a one-time link and a webhook's address are secrets."""
    if path.startswith(HOOKS):
        connection, slash, _ = path.removeprefix(HOOKS).partition("/")
        return f"{HOOKS}{connection}/{MASK}" if slash else path
    return f"{WELCOME}{MASK}" if path.startswith(WELCOME) else path


def wants_page(request: Request) -> bool:
    """Answer whether a person waits for a page."""
    if request.url.path.startswith(("/api/", "/health", "/metrics", "/live", "/static/")):
        return False
    return "text/html" in request.headers.get("accept", "") or request.headers.get("hx-request") == "true"


def _page(request: Request, problem: Problem) -> Response:
    if problem.status == 401 and request.method == "GET" and request.headers.get("hx-request") != "true":
        return RedirectResponse(_sign_in_url(request), 303)
    headers = dict(problem.headers)
    if problem.status == 401:
        headers["HX-Redirect"] = "/sign-in"
    redactor: Redactor = request.app.state.parts.redactor
    happened = redactor.text(problem.detail or problem.title)
    answer = render.problem_page(
        request, problem.status, happened, kept=problem.kept, todo=problem.todo, error_id=_id(request)
    )
    answer.headers.update(headers)
    return answer


def _sign_in_url(request: Request) -> str:
    from urllib.parse import urlencode

    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return "/sign-in" if path == "/" else f"/sign-in?{urlencode({'next': path})}"


def _id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


def _of_http(error: HTTPException) -> Problem:
    titles = {
        400: ("bad-request", N_("The request cannot be read")),
        404: ("not-found", N_("Not found")),
        405: ("method-not-allowed", N_("This address does not take that method")),
    }
    slug, title = titles.get(error.status_code, ("refused", N_("Refused")))
    detail = error.detail if error.status_code not in titles else title + "."
    return Problem(error.status_code, slug, title, str(detail), headers=error.headers)


def _of_validation(error: RequestValidationError) -> Problem:
    """Name each wrong field, the kind of its value and the remedy; the value may be a secret."""
    faults: list[Fault] = []
    for one in error.errors():
        field = ".".join(str(part) for part in one.get("loc", ()))
        remedy = str(one.get("msg", "")).removeprefix("Value error, ")
        faults.append(Fault(field, kind_of(one.get("input")), remedy))
    detail = "; ".join(f"{fault.field}: {fault.remedy}" for fault in faults[:5])
    return Problem(422, "invalid-input", N_("The input does not fit"), detail, errors=faults)
