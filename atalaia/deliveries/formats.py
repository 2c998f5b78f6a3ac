"""How a fact looks on its way to a consumer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from atalaia.clock import rfc3339
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


class CloudEventsFormat:
    """CloudEvents 1.0 in structured mode, one JSON object a message.

    Shape: {"specversion": "1.0", "id": the event's id, "source": "/connections/<id>" or "/",
        "type": "call.ended", "subject": the key, "time": RFC 3339, "datacontenttype": "application/json",
        "sequence": "<seq>", "late": false, "data": {…}}
    Source: CloudEvents 1.0.2, JSON format 3.1; `sequence` is its extension of that name.
    """

    name = "cloudevents"
    content_type = "application/cloudevents+json"

    def address(self, event: Event, options: Mapping[str, Any]) -> tuple[str, str]:
        """Answer destination and message id without rendering the rest."""
        return "", event.id

    def render(self, event: Event, options: Mapping[str, Any]) -> Outgoing | None:
        """Answer the message of any event. options: none are read."""
        body = orjson.dumps(
            {
                "specversion": "1.0",
                "id": event.id,
                "source": f"/connections/{event.connection}" if event.connection else "/",
                "type": event.type,
                "subject": event.key,
                "time": rfc3339(event.occurred_ms),
                "datacontenttype": "application/json",
                "sequence": str(event.seq),
                "late": event.late,
                "data": orjson.Fragment(event.body),
            }
        )
        return Outgoing("", event.id, body, self.content_type, event.type)


class RawFormat:
    """The upstream's own words: the body exactly as it was recorded, the rest in headers."""

    name = "raw"

    def address(self, event: Event, options: Mapping[str, Any]) -> tuple[str, str]:
        """Answer destination and message id without rendering the rest."""
        return "", event.id

    def render(self, event: Event, options: Mapping[str, Any]) -> Outgoing | None:
        """Answer the recorded body. options: none are read."""
        about = {
            "x-event-type": event.type,
            "x-event-key": event.key,
            "x-event-time": rfc3339(event.occurred_ms),
            "x-event-connection": event.connection,
        }
        return Outgoing("", event.id, event.body.encode(), "application/json", event.type, about)


OWN_FORMATS: Mapping[str, Format] = {one.name: one for one in (CloudEventsFormat(), RawFormat())}
