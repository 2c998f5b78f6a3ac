"""Who asks, and what he may do."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import structlog
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer

from atalaia.ambient import Ambient
from atalaia.desk.people.model import By, Person, Session, Token
from atalaia.desk.people.roles import scopes_of
from atalaia.desk.people.tokens import Tokens
from atalaia.errors import StoreUnavailable
from atalaia.web.i18n import N_
from atalaia.web.problems import Problem

log = structlog.get_logger(__name__)

COOKIE = "atalaia_session"
# So long an answer about a token is believed: a revoked one works for at most that long in other workers.
_CACHE_S = 3.0
_CACHE_MAX = 5_000
_USED_EVERY_S = 60.0

_bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="An API token (Settings, API tokens)."
)
_cookie = APIKeyCookie(
    name=COOKIE, auto_error=False, scheme_name="session", description="A signed-in browser."
)


@dataclass(frozen=True, slots=True)
class Who:
    """One who asks. kind: `person`, `token` or `nobody`. `id` names him in limits, logs and idempotency."""

    kind: str
    id: str
    name: str
    scopes: frozenset[str]
    address: str = ""
    person: Person | None = None
    session: Session | None = None

    def may(self, scope: str) -> bool:
        """Answer whether he may."""
        return scope in self.scopes

    @property
    def by(self) -> By:
        """Answer who did it, for a fact."""
        return By(self.kind, self.id, self.name, self.address)


NOBODY = Who("nobody", "", "", frozenset())


def of_session(session: Session, address: str) -> Who:
    """Answer the person behind a session."""
    person = session.person
    return Who("person", person.id, person.name, scopes_of(person.role), address, person, session)


def of_token(token: Token, address: str) -> Who:
    """Answer the program behind a token."""
    return Who("token", token.id, token.name, frozenset(token.scopes), address)


class TokenCache:
    """Knows tokens for seconds, so that a busy sender costs no reads; notes when they were used."""

    def __init__(self, tokens: Tokens, ambient: Ambient) -> None:
        self._tokens = tokens
        self._clock = ambient.clock
        self._known: OrderedDict[str, tuple[Token | None, float]] = OrderedDict()
        self._used: set[str] = set()
        self._noted_at = 0.0
        self._noting: asyncio.Task[None] | None = None

    def peek(self, secret: str) -> Token | None:
        """Answer the token when it is known to be good right now; for the hot path, never waits."""
        entry = self._known.get(secret)
        if entry is None or entry[1] < self._clock.monotonic():
            return None
        return entry[0]

    async def find(self, secret: str) -> Token | None:
        """Answer the token of a secret while it is good. Errors: `StoreUnavailable`."""
        if not secret:
            return None
        now = self._clock.monotonic()
        entry = self._known.get(secret)
        if entry is not None and entry[1] >= now:
            return entry[0]
        token = await self._tokens.find(secret)
        self._known[secret] = (token, now + _CACHE_S)
        self._known.move_to_end(secret)
        while len(self._known) > _CACHE_MAX:
            self._known.popitem(last=False)
        if token is not None:
            self._note(token.id, now)
        return token

    def forget(self) -> None:
        """Know nothing any more: a token was revoked or a person disabled here."""
        self._known.clear()

    def _note(self, identity: str, now: float) -> None:
        self._used.add(identity)
        if (self._noted_at and now - self._noted_at < _USED_EVERY_S) or self._noting is not None:
            return
        self._noted_at = now
        used, self._used = self._used, set()
        self._noting = asyncio.create_task(self._write(used))

    async def _write(self, used: set[str]) -> None:
        try:
            await self._tokens.used(used)
        except StoreUnavailable as error:
            log.warning("tokens.use_not_noted", said=str(error))
        finally:
            self._noting = None


def bearer_of(authorization: str) -> str:
    """Answer the token in an Authorization header, `""` when there is none."""
    scheme, _, secret = authorization.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def who_of(request: Request) -> Who:
    """Answer who asks; the door has found out."""
    return getattr(request.state, "who", NOBODY)


def require(scope: str) -> Callable[..., Awaitable[Who]]:
    """Answer a dependency that lets in only who has this scope; `""` lets in everybody who is known."""

    async def allowed(
        request: Request, _token: object = Security(_bearer), _session: object = Security(_cookie)
    ) -> Who:
        who = who_of(request)
        if who.kind == "nobody":
            raise unauthenticated()
        if scope and not who.may(scope):
            raise forbidden(scope)
        return who

    return allowed


def forbidden(scope: str) -> Problem:
    """Answer the problem of one who may not do what a scope opens."""
    return Problem(
        403, "forbidden", N_("You may not do that"), f"This needs the scope {scope}.",
        todo=N_("Ask an administrator."),
    )  # fmt: skip


def unauthenticated() -> Problem:
    """Answer the problem of one who did not say who he is."""
    return Problem(
        401, "unauthenticated", N_("Sign in first"), N_("This needs a signed-in person or an API token."),
        headers={"WWW-Authenticate": 'Bearer realm="atalaia"'},
    )  # fmt: skip


Known = Annotated[Who, Depends(require(""))]
