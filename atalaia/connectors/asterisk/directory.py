"""Who lives on an Asterisk: clients, endpoints and ring groups, and the rules by which its calls are read.

The session appends it to the log as `asterisk.directory` (never a password in it), so that the
interpretation of what follows depends on nothing but the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar, cast

TYPES = ("apto", "unidade", "condominio", "ia", "ring-member", "ring-group")
STRATEGIES = ("ringall", "hunt", "queue")
Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the configuration, fit for the screen; holds no value that could be a secret.

    kind: what the place holds, e.g. `an endpoint's line`. line: 1-based, 0 for the whole file or table.
    """

    file: str
    line: int
    reason: str
    kind: str
    remedy: str
    level: Level = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.kind}: {self.reason} {self.remedy}"


@dataclass(frozen=True)
class Client:
    """A customer: three digits, and the RabbitMQ vhost that his messages go to."""

    code: str
    name: str
    vhost: str
    status: str = "active"
    record: bool = True
    push: bool = True
    allow_ips: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Endpoint:
    """A phone, gate or IA extension."""

    number: str
    client: str
    type: str
    name: str = ""
    guid: str = ""
    extra: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class RingGroup:
    """A number behind which several endpoints ring."""

    number: str
    client: str
    name: str = ""
    strategy: str = "ringall"
    timeout_s: int = 20
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class MqServer:
    """A RabbitMQ server of `__MQSERVERS__.DEF`; kept apart from the directory because of its password."""

    name: str
    host: str
    port: int = 5672
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False


@dataclass(frozen=True)
class Rules:
    """What the operator decides about reading calls.

    server: name in messages and addresses; `""` = Asterisk's own system name. ia_numbers: numbers that
    the dialplan answers itself. number_plan: fourth digit of a seven-digit number -> type, for endpoints
    that no list names. url_rule: where a recording will be heard; `{audio}` is one of `audio_servers`.
    push_expires_s: how long waking a phone makes sense. callnumber_from: first number ever given.
    """

    server: str = ""
    ia_numbers: tuple[str, ...] = ("94",)
    number_plan: Mapping[str, str] = field(default_factory=lambda: dict(NUMBER_PLAN))
    audio_servers: tuple[str, ...] = ("audio",)
    url_rule: str = "http://{audio}/{server}/{name}.mp3"
    push_expires_s: int = 15
    callnumber_from: int = 1


NUMBER_PLAN = {"1": "apto", "2": "ring-member", "3": "unidade", "7": "apto", "8": "ring-group", "9": "ia"}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a number: its type, and the client and vhost it belongs to (`""` if unknown)."""

    type: str
    client: str
    vhost: str


@dataclass(frozen=True)
class Directory:
    """All that configuration says about one Asterisk. `problems` are shown, they do not stop anything."""

    clients: Mapping[str, Client] = field(default_factory=dict[str, Client])
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict[str, Endpoint])
    ring_groups: Mapping[str, RingGroup] = field(default_factory=dict[str, RingGroup])
    problems: tuple[Problem, ...] = ()
    rules: Rules = field(default_factory=Rules)

    def find(self, number: str) -> Known | None:
        """Answer what the lists say about a number; an IA number belongs to nobody."""
        listed = self.endpoints.get(number) or self.ring_groups.get(number)
        if listed is None:
            return Known("ia", "", "") if number in self.rules.ia_numbers else None
        kind = listed.type if isinstance(listed, Endpoint) else "ring-group"
        return Known(kind, listed.client, self.vhost(listed.client))

    def infer(self, number: str) -> Known | None:
        """Answer what the number plan says about seven digits of a known client; the lists go first.

        Only for numbers that Asterisk itself vouches for: the endpoint of a PJSIP channel, or what its
        dialplan dials. Never open anything for a number that merely somebody typed.
        """
        found = self.find(number)
        if found is not None:
            return found
        if len(number) != 7 or not number.isdecimal() or number[:3] not in self.clients:
            return None
        kind = self.rules.number_plan.get(number[3])
        return Known(kind, number[:3], self.vhost(number[:3])) if kind else None

    def vhost(self, client: str) -> str:
        """Answer the client's vhost, `""` if there is no such client."""
        found = self.clients.get(client)
        return found.vhost if found else ""

    def merged(self, winner: Directory) -> Directory:
        """Answer both together; where both name something, `winner` is right (mixed mode: the database)."""
        return Directory(
            {**self.clients, **winner.clients},
            {**self.endpoints, **winner.endpoints},
            {**self.ring_groups, **winner.ring_groups},
            (*self.problems, *winner.problems),
            winner.rules,
        )

    def to_body(self) -> dict[str, Any]:
        """Answer the body of an `asterisk.directory` event."""
        return {
            "clients": [asdict(one) for one in self.clients.values()],
            "endpoints": [asdict(one) for one in self.endpoints.values()],
            "ring_groups": [asdict(one) for one in self.ring_groups.values()],
            "problems": [asdict(one) for one in self.problems],
            "rules": asdict(self.rules),
        }

    @staticmethod
    def from_body(body: Mapping[str, Any]) -> Directory:
        """Read the body of an `asterisk.directory` event; what it lacks keeps its default."""
        clients = (_made(Client, one) for one in body.get("clients", ()))
        endpoints = (_made(Endpoint, one) for one in body.get("endpoints", ()))
        groups = (_made(RingGroup, one) for one in body.get("ring_groups", ()))
        return Directory(
            {one.code: one for one in clients},
            {one.number: one for one in endpoints},
            {one.number: one for one in groups},
            tuple(_made(Problem, one) for one in body.get("problems", ())),
            _made(Rules, body.get("rules", {})),
        )


_Made = TypeVar("_Made")


def _made(kind: type[_Made], raw: Mapping[str, Any]) -> _Made:
    """Make a dataclass of what JSON kept of it: lists become tuples, unknown keys are dropped."""
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    known = {
        key: tuple(cast("list[Any]", value)) if isinstance(value, list) else value
        for key, value in raw.items()
        if key in names
    }
    return kind(**known)
