"""What a target is: the far end of a delivery, and the ways in which it fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from atalaia.deliveries.formats import Outgoing
from atalaia.errors import Refused, Unavailable, UpstreamError


class Unreachable(Unavailable):
    """The whole destination is away, whatever is sent: nobody answered, or nothing there can take it."""


class Busy(Unavailable):
    """The destination asked for a pause of `retry_after_s` seconds."""

    def __init__(self, said: str, *, retry_after_s: float) -> None:
        super().__init__(said)
        self.retry_after_s = retry_after_s


class Forbidden(Refused):
    """Our own rules forbid to go there (SSRF guard); nothing left this machine."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a target may tell the consumer besides the message itself. Times in Unix milliseconds."""

    delivery: int
    number: int
    seq: int
    type: str
    key: str
    occurred_ms: int
    replay_of: int | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The consumer has it. status: e.g. `HTTP 204`, `confirmed`. response: a small part of the answer."""

    status: str
    response: str = ""


def witnessed(error: UpstreamError, status: str, response: str = "") -> UpstreamError:
    """Answer the error, carrying what the far end said for the attempt's row; `witness` reads it."""
    error.__dict__.update(status=status, response=response)
    return error


def witness(error: UpstreamError) -> tuple[str, str]:
    """Answer status and response that came with an error, empty when nobody answered."""
    return str(error.__dict__.get("status", "")), str(error.__dict__.get("response", ""))


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a target's test, for the set-up form. remedy: what to do when it failed."""

    name: str
    state: Literal["ok", "failed", "skipped"]
    said: str
    remedy: str = ""


class Target(Protocol):
    """Sends rendered messages to one consumer; safe to call for many messages at once."""

    async def send(self, destination: str, message: Outgoing, attempt: Attempt) -> Sent:
        """Answer once the consumer has taken responsibility for the message.

        Errors: `Rejected` (this message is not wanted), `Unavailable` or `InDoubt` (this one failed, it is
            tried again), `Unreachable` (everything fails now), `Refused` (all fail until a person acts).
        """
        ...

    async def test(self, destination: str) -> list[Step]:
        """Try the way to the consumer, telling each step; never raises for a consumer that fails."""
        ...

    async def close(self) -> None:
        """Let go of what only this target uses."""
        ...


@dataclass(frozen=True, slots=True)
class Secrets:
    """The open secrets of one target, for as long as they are needed.

    signing: webhook secrets `whsec_…` with the Unix ms until which each is valid (None = current).
    headers: secret header values. passwords: AMQP passwords by user name; `""` serves any user.
    """

    signing: tuple[tuple[str, int | None], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    passwords: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def __repr__(self) -> str:
        return f"Secrets({len(self.signing)} signing, {len(self.headers)} headers, …)"


# Answers the AMQP servers a connection knows, best first: {"host", "port", "user", "password", "tls"}.
ServersOf = Callable[[str], Awaitable[Sequence[Mapping[str, Any]]]]
# Opens the target that a subscription describes.
TargetFactory = Callable[[Mapping[str, Any], Secrets], Target]
