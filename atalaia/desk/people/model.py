"""People, their sessions and tokens as the rest of the house sees them; times in Unix milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from atalaia.errors import AtalaiaError


class NotAllowed(AtalaiaError):
    """What was asked for is against a rule; `field` names the input it hangs on, or is empty."""

    def __init__(self, said: str, *, field: str = "", remedy: str = "") -> None:
        super().__init__(said)
        self.field = field
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Person:
    """One who signs in. The hash of the password stays in the database."""

    id: str
    email: str
    name: str
    role: str
    has_password: bool
    language: str
    zone: str
    theme: str
    density: str
    created_ms: int
    disabled_ms: int | None
    seen_ms: int | None


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser. `hash` is the SHA-256 of its cookie."""

    hash: str
    person: Person
    csrf: str
    agent: str
    created_ms: int
    seen_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Token:
    """An API token without its secret; `hint` are the last characters of it."""

    id: str
    name: str
    scopes: tuple[str, ...]
    hint: str
    person: str | None
    created_ms: int
    expires_ms: int | None
    used_ms: int | None
    revoked_ms: int | None


@dataclass(frozen=True, slots=True)
class By:
    """Who did something, as it is written into the fact about it."""

    kind: str  # person, token, hub
    id: str = ""
    name: str = ""
    address: str = ""

    def as_data(self) -> dict[str, Any]:
        """Answer the `by` of a fact."""
        return {"kind": self.kind, "id": self.id, "name": self.name, "address": self.address}


HUB = By("hub")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh session and the cookie's value, which is nowhere else."""

    cookie: str = field(repr=False)
    session: Session
