"""People and API tokens, and the one who asks."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Request, Response
from pydantic import Field

from atalaia.desk.people import rows
from atalaia.desk.people.model import Token
from atalaia.desk.people.roles import SCOPES, Role
from atalaia.settings import Settings
from atalaia.web.access import Known, Who, require
from atalaia.web.api.common import ONCE, Asked, Wire, router
from atalaia.web.i18n import N_
from atalaia.web.parts import parts_of
from atalaia.web.problems import Problem, not_found
from atalaia.web.wire import Identity, Instant, Moment, ms_of

routes = router("people")
PeopleAdmin = Annotated[Who, Depends(require("people:admin"))]
TokensAdmin = Annotated[Who, Depends(require("tokens:admin"))]
Text = Annotated[str, Field(min_length=1, max_length=120)]


class MeOut(Wire):
    """Who asks, and what he may do."""

    kind: str
    id: str
    name: str
    scopes: list[str]


class ProfileChange(Asked):
    """How a person likes his screens; an empty text means the hub's choice."""

    language: Literal["", "pt_BR", "en"] | None = None
    zone: Annotated[str | None, Field(max_length=60, pattern=r"^[A-Za-z0-9_+/-]*$")] = None
    theme: Literal["", "auto", "light", "dark"] | None = None
    density: Literal["", "dense", "comfortable"] | None = None


class PersonOut(Wire):
    """One who may sign in."""

    id: str
    email: str
    name: str
    role: str
    has_password: bool
    created_at: Moment = Field(validation_alias="created_ms")
    disabled_at: Moment | None = Field(validation_alias="disabled_ms")
    seen_at: Moment | None = Field(validation_alias="seen_ms")


class InvitedOut(Wire):
    """A person and the address of his one-time link; it is shown only now."""

    person: PersonOut
    link: str


class PersonInvite(Asked):
    """Somebody to invite."""

    email: Annotated[str, Field(min_length=3, max_length=200)]
    name: Text
    role: Role


class PersonChange(Asked):
    """What to change; what is left out stays."""

    name: Text | None = None
    role: Role | None = None
    disabled: bool | None = None


class TokenOut(Wire):
    """An API token without its secret; `hint` are the last characters of it."""

    id: str
    name: str
    scopes: list[str]
    hint: str
    person: str | None
    created_at: Moment = Field(validation_alias="created_ms")
    expires_at: Moment | None = Field(validation_alias="expires_ms")
    used_at: Moment | None = Field(validation_alias="used_ms")
    revoked_at: Moment | None = Field(validation_alias="revoked_ms")


class MadeTokenOut(Wire):
    """A fresh token; the secret is shown only now."""

    token: TokenOut
    secret: str


class TokenMake(Asked):
    """A token to make."""

    name: Text
    scopes: Annotated[list[str], Field(min_length=1, max_length=len(SCOPES))]
    expires_at: Instant | None = None


@routes.get("/me")
async def me(who: Known) -> MeOut:
    """Answer who asks, and what he may do."""
    return MeOut(kind=who.kind, id=who.id, name=who.name, scopes=sorted(who.scopes))


@routes.patch("/me")
async def change_me(request: Request, who: Known, asked: ProfileChange) -> MeOut:
    """Change how one's own screens look."""
    if who.person is None:
        raise Problem(403, "forbidden", N_("You may not do that"), "Only a signed-in person has a profile.")
    wanted = {name: value for name, value in asked.model_dump().items() if value is not None}
    await parts_of(request).people.set_profile(who.person.id, wanted)
    return await me(who)


@routes.get("/people")
async def list_people(request: Request, who: PeopleAdmin) -> list[PersonOut]:
    """List everybody."""
    found = await parts_of(request).store.read(rows.list_people)
    return [PersonOut.model_validate(one) for one in found]


@routes.post("/people", status_code=201, dependencies=ONCE)
async def invite_person(
    request: Request, response: Response, who: PeopleAdmin, asked: PersonInvite
) -> InvitedOut:
    """Invite somebody; hand the link over yourself."""
    parts = parts_of(request)
    person, secret = await parts.people.invite(asked.email, asked.name, asked.role, by=who.by)
    response.headers["Location"] = f"/api/people/{person.id}"
    link = link_url(parts.settings, request, secret)
    return InvitedOut(person=PersonOut.model_validate(person), link=link)


@routes.get("/people/{person}")
async def get_person(request: Request, person: Identity, who: PeopleAdmin) -> PersonOut:
    """Answer one person."""
    found = await parts_of(request).store.read(lambda tx: rows.get_person(tx, person))
    if found is None:
        raise not_found("person")
    return PersonOut.model_validate(found)


@routes.patch("/people/{person}")
async def change_person(
    request: Request, person: Identity, who: PeopleAdmin, asked: PersonChange
) -> PersonOut:
    """Change name or role; disable or enable. A disabled person is signed out and his tokens stop working."""
    await get_person(request, person, who)
    changed = await parts_of(request).people.change(
        person, by=who.by, name=asked.name, role=asked.role, disabled=asked.disabled
    )
    request.app.state.token_cache.forget()
    return PersonOut.model_validate(changed)


@routes.post("/people/{person}/link", status_code=201, dependencies=ONCE)
async def invite_again(request: Request, person: Identity, who: PeopleAdmin) -> InvitedOut:
    """Make a fresh one-time link to choose a new password; the old one stops working, sessions end."""
    parts = parts_of(request)
    before = await get_person(request, person, who)
    secret = await parts.people.invite_again(person, by=who.by)
    return InvitedOut(person=before, link=link_url(parts.settings, request, secret))


@routes.post("/people/{person}/sign-out", status_code=204, dependencies=ONCE)
async def sign_out_person(request: Request, person: Identity, who: PeopleAdmin) -> None:
    """End all sessions of a person."""
    await get_person(request, person, who)
    await parts_of(request).people.sign_out_everywhere(person, by=who.by)


@routes.get("/tokens")
async def list_tokens(request: Request, who: TokensAdmin) -> list[TokenOut]:
    """List API tokens."""
    found = await parts_of(request).store.read(rows.list_tokens)
    return [TokenOut.model_validate(one) for one in found]


@routes.get("/tokens/scopes")
async def list_scopes(who: TokensAdmin) -> dict[str, str]:
    """Answer the scopes and what each allows."""
    return dict(SCOPES)


@routes.post("/tokens", status_code=201, dependencies=ONCE)
async def make_token(
    request: Request, response: Response, who: TokensAdmin, asked: TokenMake
) -> MadeTokenOut:
    """Make a token. A token cannot give more than it has itself."""
    known = set(asked.scopes) & set(SCOPES)
    missing = sorted(known - who.scopes) if who.kind == "token" else []
    if missing:
        raise Problem(
            403, "forbidden", N_("You may not do that"), f"The token that asks lacks {', '.join(missing)}."
        )
    expires_ms = ms_of(asked.expires_at)
    token, secret = await parts_of(request).tokens.make(
        asked.name, asked.scopes, by=who.by, expires_ms=expires_ms
    )
    response.headers["Location"] = f"/api/tokens/{token.id}"
    response.headers["Cache-Control"] = "no-store"
    return MadeTokenOut(token=TokenOut.model_validate(token), secret=secret)


@routes.get("/tokens/{token}")
async def get_token(request: Request, token: Identity, who: TokensAdmin) -> TokenOut:
    """Answer one token."""
    return TokenOut.model_validate(await _found_token(request, token))


@routes.delete("/tokens/{token}", status_code=204)
async def revoke_token(request: Request, token: Identity, who: TokensAdmin) -> None:
    """Revoke a token: at once here, within seconds in other workers."""
    await _found_token(request, token)
    await parts_of(request).tokens.revoke(token, by=who.by)
    request.app.state.token_cache.forget()


def link_url(settings: Settings, request: Request, secret: str) -> str:
    """Answer the address of a one-time link. After the public address, else after how we were asked."""
    base = settings.public_url or str(request.base_url).rstrip("/")
    return f"{base}/welcome/{secret}"


async def _found_token(request: Request, identity: str) -> Token:
    token = await parts_of(request).store.read(lambda tx: rows.get_token(tx, identity))
    if token is None:
        raise not_found("token")
    return token
