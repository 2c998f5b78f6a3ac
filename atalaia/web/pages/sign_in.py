"""Signing in and out, and one-time links: the first start, an invitation, a forgotten password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from atalaia.desk.people.model import NotAllowed, SignedIn
from atalaia.desk.people.people import Link
from atalaia.desk.people.rows import nobody_yet
from atalaia.desk.people.sessions import WrongPassword
from atalaia.web import i18n, render
from atalaia.web.access import COOKIE, who_of
from atalaia.web.i18n import N_
from atalaia.web.limits import Limiter
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import Problem, too_many

routes = APIRouter(include_in_schema=False)

Text = Annotated[str, Form(max_length=1_000)]


@routes.get("/sign-in")
async def show_sign_in(request: Request, next: str = "/") -> Response:
    if who_of(request).kind == "person":
        return RedirectResponse(safe_next(next), 303)
    new = await parts_of(request).store.read(nobody_yet)
    notice = N_("This hub is new. Open the one-time link that it printed when it started.") if new else ""
    return _draw(request, next=safe_next(next), notice=notice)


@routes.post("/sign-in")
async def sign_in(request: Request, email: Text = "", password: Text = "", next: Text = "/") -> Response:
    parts = parts_of(request)
    address = str(request.state.address)
    limiter: Limiter = request.app.state.sign_in_limiter
    askers = (f"address:{address}", f"account:{email.strip().lower()}")
    wait_s = max(limiter.wait_s(asker) for asker in askers)
    if wait_s:
        raise too_many(wait_s)
    try:
        signed_in = await parts.sessions.sign_in(
            email, password, agent=request.headers.get("user-agent", ""), address=address
        )
    except WrongPassword as error:
        for asker in askers:
            limiter.take(asker)
        return _draw(request, status=422, email=email, next=safe_next(next), error=str(error))
    answer = RedirectResponse(safe_next(next), 303)
    set_session(answer, parts, request, signed_in)
    return answer


@routes.post("/sign-out")
async def sign_out(request: Request) -> Response:
    who = who_of(request)
    if who.session is not None:
        await parts_of(request).sessions.sign_out(who.session, address=who.address)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@routes.get("/welcome/{secret}")
async def show_welcome(request: Request, secret: str) -> Response:
    """Looking does not use the link up: mail programs and chats fetch links to preview them."""
    link = await parts_of(request).people.look_at_link(secret)
    if link is None:
        raise _used_up()
    return _draw_welcome(request, link)


@routes.post("/welcome/{secret}")
async def welcome(
    request: Request, secret: str, email: Text = "", name: Text = "", password: Text = "", again: Text = ""
) -> Response:
    parts = parts_of(request)
    link = await parts.people.look_at_link(secret)
    if link is None:
        raise _used_up()
    if link.kind != "sign_in" and password != again:
        errors = {"again": N_("The two passwords are not the same.")}
        return _draw_welcome(request, link, status=422, name=name, email=email, errors=errors)
    try:
        signed_in = await parts.people.use_link(
            secret, email=email, name=name, password=password,
            agent=request.headers.get("user-agent", ""), address=str(request.state.address),
        )  # fmt: skip
    except NotAllowed as error:
        errors = {error.field: str(error)} if error.field else {}
        said = "" if error.field else str(error)
        return _draw_welcome(request, link, status=422, name=name, email=email, errors=errors, error=said)
    answer = RedirectResponse("/", 303)
    set_session(answer, parts, request, signed_in)
    return answer


def set_session(answer: Response, parts: Parts, request: Request, signed_in: SignedIn) -> None:
    """Give the browser its session; scripts cannot read it, other sites cannot use it."""
    answer.set_cookie(
        COOKIE,
        signed_in.cookie,
        max_age=parts.settings.session_hours * 3600,
        path="/",
        secure=parts.settings.https or request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    answer.headers["Cache-Control"] = "no-store"


def safe_next(path: str) -> str:
    """Answer where to go on to: only an address of ours, never another site's."""
    if not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(char) < 32 for char in path):
        return "/"
    return path


def _draw(
    request: Request,
    *,
    status: int = 200,
    email: str = "",
    next: str = "/",
    error: str = "",
    notice: str = "",
) -> Response:
    with i18n.drawing(render.view_of(request)):
        error, notice = (i18n.gettext(text) if text else "" for text in (error, notice))
    return render.page(
        request, "sign_in.html", status_code=status, headers={"Cache-Control": "no-store"},
        email=email, next=next, error=error, notice=notice,
    )  # fmt: skip


def _draw_welcome(
    request: Request, link: Link, *, status: int = 200, name: str = "", email: str = "", error: str = "",
    errors: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    with i18n.drawing(render.view_of(request)):
        said = {field: i18n.gettext(text) for field, text in (errors or {}).items()}
        error = i18n.gettext(error) if error else ""
    person = link.person
    return render.page(
        request, "link.html" if link.kind == "sign_in" else "set_password.html", status_code=status,
        headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
        first=link.kind == "first", name=person.name if person else name,
        email=person.email if person else email, errors=said, error=error,
    )  # fmt: skip


def _used_up() -> Problem:
    return Problem(
        404, "link-used", N_("This link does not work any more"),
        N_("This link was used already or is too old."), todo=N_("Ask an administrator for a new one."),
    )  # fmt: skip
