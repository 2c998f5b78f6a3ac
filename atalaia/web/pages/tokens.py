"""API tokens: made for one program each, shown once."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from atalaia.clock import to_ms
from atalaia.desk.people import rows
from atalaia.desk.people.model import NotAllowed, Token
from atalaia.desk.people.roles import SCOPES
from atalaia.web import flash, i18n, render
from atalaia.web.access import Who, require
from atalaia.web.i18n import N_
from atalaia.web.pages.settings import translated
from atalaia.web.parts import parts_of

routes = APIRouter(include_in_schema=False)
Text = Annotated[str, Form(max_length=200)]
Admin = Annotated[Who, Depends(require("tokens:admin"))]
_DAY_MS = 86_400_000
_DAYS = ("30", "90", "365", "")


@routes.get("/settings/tokens")
async def show_tokens(request: Request, who: Admin) -> Response:
    return await _draw(request, who)


@routes.post("/settings/tokens")
async def make(
    request: Request, who: Admin, name: Text = "", scopes: Annotated[list[str] | None, Form()] = None,
    days: Text = "",
) -> Response:  # fmt: skip
    """Answers the page itself, not a redirect: the token is shown this once."""
    parts = parts_of(request)
    wanted = scopes or []
    form = {"name": name, "scopes": wanted, "days": days}
    if days not in _DAYS:
        return await _draw(request, who, form=form, errors={"expires": N_("Choose one of the times.")})
    now = to_ms(parts.ambient.clock.now())
    expires_ms = now + int(days) * _DAY_MS if days else None
    try:
        token, secret = await parts.tokens.make(name, wanted, by=who.by, expires_ms=expires_ms)
    except NotAllowed as error:
        return await _draw(request, who, form=form, errors={error.field: str(error)})
    return await _draw(request, who, made={"name": token.name, "secret": secret})


@routes.post("/settings/tokens/{token}/revoke")
async def revoke(request: Request, who: Admin, token: str) -> Response:
    try:
        await parts_of(request).tokens.revoke(token, by=who.by)
    except NotAllowed as error:
        return await _draw(request, who, error=str(error))
    request.app.state.token_cache.forget()
    return flash.done(request, "/settings/tokens", N_("The token is revoked."))


async def _draw(
    request: Request, who: Who, *, form: dict[str, Any] | None = None, errors: dict[str, str] | None = None,
    error: str = "", made: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    def read(tx: Connection) -> tuple[list[Token], dict[str, str]]:
        return rows.list_tokens(tx), {person.id: person.name for person in rows.list_people(tx)}

    tokens, makers = await parts_of(request).store.read(read)
    with i18n.drawing(render.view_of(request)):
        error = i18n.gettext(error) if error else ""
    return render.page(
        request, "settings/tokens.html", status_code=422 if errors or error else 200,
        headers={"Cache-Control": "no-store"} if made else None, may=who.may, here="tokens", tokens=tokens,
        scopes=SCOPES, makers=makers, made=made, error=error,
        form=form or {"name": "", "scopes": [], "days": "365"}, errors=translated(request, errors),
    )  # fmt: skip
