"""Accounts and tokens of surfaces A and B."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from simulators.traffilog.models import Process


@dataclass
class Context:
    """What a session has on its table between `associate` and `execute`."""

    action_id: str
    client_id: str
    setting_id: str = ""
    command: str = ""
    comment: str = ""
    process: Process | None = None


@dataclass
class Session:
    """One token and what the upstream remembers of it.

    The selection is kept per token; whether the real one keeps it per socket is not known.
    `sockets` counts the sockets it opened. `burnt`: subscriptions are answered with 406.
    """

    token: str
    account: str
    ticked: dict[str, str] = field(default_factory=dict[str, str])  # vehicle id -> client id
    context: Context | None = None
    command: str = ""  # the last raw command it added
    sockets: int = 0
    left_dirty: bool = False
    burnt: bool = False


Burning = Literal["unclean", "reused", "never"]


class Accounts:
    """Who may log in, and the tokens given out."""

    def __init__(self, random: Random, users: dict[str, str], burning: Burning) -> None:
        self.random = random
        self.users = dict(users)
        self.burning: Burning = burning
        self.sessions: dict[str, Session] = {}
        self.logins = 0
        self._tail = 4_690_685_313

    def login(self, name: str, password: str) -> Session | None:
        """Answer a session with a new token of 32 hex and 10 decimal digits, or `None`."""
        if self.users.get(name) != password:
            return None
        self.logins += 1
        self._tail += self.random.randint(3, 4_000)
        token = f"{self.random.getrandbits(128):032X}{self._tail:010d}"
        session = Session(token, name)
        self.sessions[token.lower()] = session
        return session

    def find(self, token: str) -> Session | None:
        return self.sessions.get(token.lower())

    def opened(self, session: Session) -> None:
        """A socket with this token opens: depending on the rule an earlier one has burnt it."""
        reused = session.sockets > 0
        session.sockets += 1
        if self.burning == "reused":
            session.burnt = session.burnt or reused
        elif self.burning == "unclean":
            session.burnt = session.burnt or session.left_dirty

    def closed(self, session: Session, *, subscribed: bool) -> None:
        session.left_dirty = session.left_dirty or subscribed
