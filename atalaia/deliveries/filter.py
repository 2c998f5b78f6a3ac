"""Which events a subscription wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

import orjson

from atalaia.deliveries.fields import expect_names, text_field, texts_field
from atalaia.errors import ConfigError
from atalaia.events.model import Event

DEFAULT_TYPES = ("call.*",)
_NAMES = ("types", "connection", "client", "key_prefix")
_TYPE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-*")


@dataclass(frozen=True)
class Filter:
    """Wanted events: any of `types`, and everything else that is set.

    types: event types with `*`. A pattern whose first word is spelled out selects whatever carries it, heard
        (`asterisk.*`) or fact (`call.*`); one that begins with `*` selects facts only.
    connection: its id. clients: values of the data's field `client`. key_prefix: how the key begins.
    """

    types: tuple[str, ...] = DEFAULT_TYPES
    connection: str = ""
    clients: tuple[str, ...] = ()
    key_prefix: str = ""

    def wants_type(self, event_type: str, *, heard: bool) -> bool:
        """Answer whether a pattern selects this type."""
        return any(
            fnmatchcase(event_type, pattern) and not (heard and "*" in pattern.partition(".")[0])
            for pattern in self.types
        )

    def wants(self, event: Event, client: str | None) -> bool:
        """Answer whether an event of a wanted type is wanted itself. client: the data's field, if needed."""
        if self.connection and event.connection != self.connection:
            return False
        if self.key_prefix and not event.key.startswith(self.key_prefix):
            return False
        return not self.clients or client in self.clients

    def to_json(self) -> dict[str, Any]:
        """Answer the form in which it is stored and shown; `read_filter` reads it back."""
        return {
            "types": list(self.types),
            "connection": self.connection,
            "client": list(self.clients),
            "key_prefix": self.key_prefix,
        }


def read_filter(given: Mapping[str, Any]) -> Filter:
    """Read {"types": [str], "connection": str, "client": str | [str], "key_prefix": str}, all optional.

    Errors: `ConfigError` naming the field, what it holds and the remedy.
    """
    expect_names("filter", given, _NAMES)
    types = texts_field(given, "types", "filter.types") or DEFAULT_TYPES
    for pattern in types:
        if not pattern or not set(pattern) <= _TYPE_LETTERS:
            raise ConfigError(
                f"filter.types holds {pattern[:60]!r}, which is no event type. Write names such as "
                "call.ended, or a pattern such as call.*, with letters, digits, dots and *."
            )
    return Filter(
        types,
        text_field(given, "connection", "filter.connection", most=36),
        texts_field(given, "client", "filter.client"),
        text_field(given, "key_prefix", "filter.key_prefix", most=200),
    )


def client_of(event: Event) -> str | None:
    """Answer the field `client` of the event's data, None when it has none."""
    if '"client"' not in event.body:
        return None
    try:
        data: object = orjson.loads(event.body)
    except orjson.JSONDecodeError:
        return None
    client = cast("dict[str, object]", data).get("client") if isinstance(data, dict) else None
    return str(client) if isinstance(client, str | int) else None


def first_words(filters: Sequence[Filter]) -> frozenset[str]:
    """Answer the spelled-out first words of all patterns: heard events with another one interest nobody."""
    words = (pattern.partition(".")[0] for one in filters for pattern in one.types)
    return frozenset(word for word in words if "*" not in word)
