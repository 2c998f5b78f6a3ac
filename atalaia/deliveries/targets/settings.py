"""Checks what a person wrote about a target before it is kept. No network here: `Target.test` tries it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from atalaia.deliveries.fields import (
    choice_field,
    expect_names,
    flag_field,
    kind,
    number_field,
    object_field,
    text_field,
)
from atalaia.errors import ConfigError

_WEBHOOK = ("kind", "url", "headers", "timeout_s")
_AMQP = (
    "kind", "servers", "servers_from", "vhost", "exchange", "exchange_type", "queue", "queue_type", "binding",
    "declare",
)  # fmt: skip
_SERVER = ("host", "port", "user", "tls")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,80}")
# What the message itself or the connection needs is not for a person to set.
_OWN_HEADERS = frozenset(
    (
        "connection", "content-length", "content-type", "content-encoding", "expect", "host", "keep-alive",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        "user-agent",
    )
)  # fmt: skip
_EXCHANGE_TYPES = ("topic", "direct", "fanout", "headers")


def check_target(given: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the target in its full form. Errors: `ConfigError` with field and remedy."""
    if choice_field(given, "kind", "target.kind", ("webhook", "amqp")) == "amqp":
        return _check_amqp(given)
    return _check_webhook(given)


def _check_webhook(given: Mapping[str, Any]) -> dict[str, Any]:
    expect_names("target", given, _WEBHOOK)
    headers = object_field(given, "headers", "target.headers")
    return {
        "kind": "webhook",
        "url": check_url(text_field(given, "url", "target.url", required=True)),
        "headers": {
            check_header(name): text_field(headers, name, f"target.headers.{name}") for name in headers
        },
        "timeout_s": number_field(given, "timeout_s", "target.timeout_s", default=10, least=1, most=60),
    }


def check_url(url: str) -> str:
    """Answer the address when its shape is allowed; where it leads is checked when it is dialled."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"target.url is not an address ({error}). Write https://host/path.") from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(
            f"target.url begins with {parts.scheme[:20]!r}. Write https://host/path, or http:// inside."
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError("target.url holds a user or a password. Write them as a secret header instead.")
    if not parts.hostname or any(letter.isspace() for letter in url) or "\\" in url:
        raise ConfigError(
            "target.url names no usable host. Write https://host/path without spaces or backslashes."
        )
    if port == 0:
        raise ConfigError(
            "target.url has port 0. Leave the port out, or write the one your consumer listens on."
        )
    return url


def check_header(name: str) -> str:
    """Answer a header's name when a person may set it."""
    if not _HEADER.fullmatch(name):
        raise ConfigError(
            f"target.headers names {name[:40]!r}, which is no header. Use letters, digits and hyphens."
        )
    if name.lower() in _OWN_HEADERS or name.lower().startswith("webhook-"):
        raise ConfigError(f"target.headers sets {name}, which the hub sets itself. Leave it out.")
    return name


def _check_amqp(given: Mapping[str, Any]) -> dict[str, Any]:
    expect_names("target", given, _AMQP)
    servers_from = text_field(given, "servers_from", "target.servers_from", most=60)
    servers = _check_servers(given.get("servers"))
    if bool(servers) == bool(servers_from):
        raise ConfigError("target needs either servers or servers_from. Write exactly one of the two.")
    if servers_from and not servers_from.startswith("connection:"):
        raise ConfigError(
            f"target.servers_from holds {servers_from!r}. Write connection: and the connection's id."
        )
    return {
        "kind": "amqp",
        "servers": servers,
        "servers_from": servers_from,
        "vhost": text_field(given, "vhost", "target.vhost", most=120),
        "exchange": text_field(given, "exchange", "target.exchange", default="calls", most=120),
        "exchange_type": choice_field(given, "exchange_type", "target.exchange_type", _EXCHANGE_TYPES),
        "queue": text_field(given, "queue", "target.queue", default="calls", most=120),
        "queue_type": choice_field(given, "queue_type", "target.queue_type", ("classic", "quorum")),
        "binding": text_field(given, "binding", "target.binding", default="#", most=120),
        "declare": flag_field(given, "declare", "target.declare", default=True),
    }  # fmt: skip


def _check_servers(value: object) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ConfigError(
            f"target.servers holds {kind(value)}. Write a list of servers in order of preference."
        )
    checked: list[dict[str, Any]] = []
    for position, row in enumerate(cast("list[object]", value)):
        where = f"target.servers[{position}]"
        if not isinstance(row, dict):
            raise ConfigError(f"{where} holds {kind(row)}. Write an object with host, port, user and tls.")
        server = cast("dict[str, Any]", row)
        expect_names(where, server, _SERVER)
        tls = flag_field(server, "tls", f"{where}.tls", default=False)
        checked.append(
            {
                "host": text_field(server, "host", f"{where}.host", most=253, required=True),
                "port": number_field(
                    server, "port", f"{where}.port", default=5671 if tls else 5672, least=1, most=65535
                ),
                "user": text_field(server, "user", f"{where}.user", default="guest", most=120),
                "tls": tls,
            }
        )
    return checked
