"""API tokens: shown once, stored as SHA-256, limited by scopes, revocable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, insert, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.desk.people import rows
from atalaia.desk.people.model import HUB, By, NotAllowed, Token
from atalaia.desk.people.passwords import digest, new_secret
from atalaia.desk.people.roles import SCOPES
from atalaia.desk.people.sessions import PRODUCER
from atalaia.desk.words import N_
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.store.store import Store
from atalaia.store.tables import tokens

PREFIX = "atl_"  # lets secret scanners recognise a token that was published by mistake
_HINT_CHARS = 4


@dataclass(frozen=True)
class Tokens:
    """The register of API tokens."""

    store: Store
    ambient: Ambient

    async def make(
        self, name: str, scopes: Iterable[str], *, by: By = HUB, expires_ms: int | None = None
    ) -> tuple[Token, str]:
        """Make a token; answer it and its secret, which nobody can read again. Errors: `NotAllowed`."""
        wanted = sorted(set(scopes))
        _check(name, wanted, expires_ms, to_ms(self.ambient.clock.now()))
        return await self.store.write(lambda tx: self._make(tx, name.strip(), wanted, by, expires_ms))

    async def revoke(self, identity: str, *, by: By) -> Token:
        """Revoke a token; twice is once. Errors: `NotAllowed` when there is none."""
        return await self.store.write(lambda tx: self._revoke(tx, identity, by))

    async def find(self, secret: str) -> Token | None:
        """Answer the token of a secret while it is good."""
        now, hashed = to_ms(self.ambient.clock.now()), digest(secret)
        return await self.store.read(lambda tx: rows.find_token(tx, hashed, now))

    async def used(self, identities: Iterable[str]) -> None:
        """Note that these tokens were used until now; callers gather, so that a request costs no write."""
        change = update(tokens).where(tokens.c.id.in_(list(identities)))
        now = to_ms(self.ambient.clock.now())
        await self.store.write(lambda tx: tx.execute(change.values(used_ms=now)))

    def _make(
        self, tx: Connection, name: str, scopes: list[str], by: By, expires_ms: int | None
    ) -> tuple[Token, str]:
        secret, now, identity = new_secret(PREFIX), to_ms(self.ambient.clock.now()), self.ambient.ids.new()
        row = {
            "id": identity, "hash": digest(secret), "name": name, "scopes": " ".join(scopes),
            "hint": secret[-_HINT_CHARS:], "person": by.id if by.kind == "person" else None,
            "created_ms": now, "expires_ms": expires_ms, "used_ms": None, "revoked_ms": None,
        }  # fmt: skip
        tx.execute(insert(tokens).values(row))
        data = {"by": by.as_data(), "name": name, "scopes": scopes}
        append_facts(tx, self.ambient, PRODUCER, [Fact("token.created", identity, now, data)])
        return self._known(tx, identity), secret

    def _revoke(self, tx: Connection, identity: str, by: By) -> Token:
        token, now = self._known(tx, identity), to_ms(self.ambient.clock.now())
        if token.revoked_ms is not None:
            return token
        tx.execute(update(tokens).where(tokens.c.id == identity).values(revoked_ms=now))
        data = {"by": by.as_data(), "name": token.name}
        append_facts(tx, self.ambient, PRODUCER, [Fact("token.revoked", identity, now, data)])
        return self._known(tx, identity)

    def _known(self, tx: Connection, identity: str) -> Token:
        token = rows.get_token(tx, identity)
        if token is None:
            raise NotAllowed(N_("There is no such token."), field="id")
        return token


def _check(name: str, scopes: list[str], expires_ms: int | None, now_ms: int) -> None:
    if not 1 <= len(name.strip()) <= 120:
        raise NotAllowed(N_("The name is empty or longer than 120 characters."), field="name")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise NotAllowed(
            N_("A token needs at least one scope, and only known ones."),
            field="scopes",
            remedy=f"Choose from {', '.join(SCOPES)}.",
        )
    if expires_ms is not None and expires_ms <= now_ms:
        raise NotAllowed(
            N_("The token would expire in the past."), field="expires", remedy="Choose a later day."
        )
