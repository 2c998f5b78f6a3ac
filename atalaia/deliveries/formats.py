"""How a fact looks on its way to a consumer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from atalaia.events.model import Event


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One rendered message.

    destination: the part of the target that fails on its own, e.g. an AMQP vhost; `""` for the whole target.
    message_id: by which the consumer drops repeats. routing_key: AMQP only.
    """

    destination: str
    message_id: str
    body: bytes
    content_type: str = "application/json"
    routing_key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Format(Protocol):
    """Turns an event of the log into what one kind of consumer wants."""

    @property
    def name(self) -> str: ...

    def render(self, event: Event, options: Mapping[str, Any]) -> Outgoing | None:
        """Answer the message, or None when this consumer is not meant. Same event, same answer."""
        ...
