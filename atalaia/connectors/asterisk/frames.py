"""What comes over the event socket and what we add to it, made ready for the log. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from atalaia.connectors.asterisk import wire
from atalaia.connectors.asterisk.protocol import CANARY
from atalaia.events.model import Heard

# Our own noise: counted by the log, never kept.
CANARY_TYPE = wire.PREFIX + "canary"
# Of a frame beyond the limit this much is kept, to see what it was.
START_BYTES = 4096
TYPE_MAX, KEY_MAX = 120, 200  # the columns of the log

_CANARY = CANARY.encode()
_REPLACED = b"ApplicationReplaced"


def read_frame(raw: bytes, received_ms: int, bytes_max: int) -> Heard:
    """Make a frame ready for the log, whatever it is.

    The duplicate key is a hash of the frame: the same bytes twice are the same event, because every
    event carries its time in milliseconds and what it is about.
    """
    if len(raw) > bytes_max:
        return _too_large(raw, received_ms)
    heard = wire.heard(raw, received_ms)
    # A foreign name must fit the log's columns, or it would take the whole batch with it.
    return Heard(
        _plain(heard.type, TYPE_MAX), _plain(heard.key, KEY_MAX), heard.occurred_ms, heard.body, _digest(raw)
    )


def _too_large(raw: bytes, received_ms: int) -> Heard:
    start = raw[:START_BYTES].decode(errors="replace")
    body = {"raw": start, "truncated": True, "bytes": len(raw), "blake2b": _digest(raw)}
    return Heard(wire.UNREADABLE, "", received_ms, orjson.dumps(body).decode(), _digest(raw))


def _digest(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def _plain(name: str, most: int) -> str:
    if len(name) <= most and "\x00" not in name:
        return name
    return name.replace("\x00", "")[:most]


def is_about_channels(event_type: str) -> bool:
    """Answer whether an event of this type shows that channels are heard."""
    return event_type.startswith("asterisk.Channel") and event_type != "asterisk.ChannelUserevent"


def canary_number(raw: bytes, app: str) -> int | None:
    """Answer the number of our own event, None for any other frame. Cheap for those."""
    if _CANARY not in raw:
        return None
    try:
        event = wire.read_object(raw)
        if (event.get("type"), event.get("eventname")) != ("ChannelUserevent", CANARY):
            return None
        return int(event["userevent"]["n"]) if event.get("application") == app else None
    except (wire.Unreadable, KeyError, TypeError, ValueError):
        return None


def is_replaced(raw: bytes, app: str) -> bool:
    """Answer whether the frame says that another client took the name `app`."""
    if _REPLACED not in raw:
        return False
    try:
        event = wire.read_object(raw)
    except wire.Unreadable:
        return False
    return event.get("type") == "ApplicationReplaced" and event.get("application") in (app, None)


def control(word: str, at_ms: int, **more: Any) -> Heard:
    """Make the event that says what our session did: connected, snapshot, disconnected, closed."""
    return _ours(wire.CONTROL, {"control": word, "at_ms": at_ms, **more}, at_ms)


def canary(n: int, took_ms: float, at_ms: int) -> Heard:
    """Make the event that the log only counts."""
    return _ours(CANARY_TYPE, {"n": n, "took_ms": took_ms}, at_ms)


def rest(path: str, status: int, body: bytes, at_ms: int) -> Heard:
    """Make the event of one REST reading; a body that is no JSON is kept as text."""
    try:
        orjson.loads(body)
        kept: Any = orjson.Fragment(body)
    except orjson.JSONDecodeError:
        kept = body.decode(errors="replace")
    return _ours(wire.REST, {"method": "GET", "path": path, "status": status, "body": kept}, at_ms)


def recordings(found: Mapping[str, Mapping[str, Any]], at_ms: int) -> Heard:
    """Make the event that lists WAV files: relative path -> bytes, mtime, seconds, header_data_bytes."""
    return _ours(wire.RECORDINGS, found, at_ms)


def directory(body: Mapping[str, Any], at_ms: int) -> Heard:
    """Make the event that holds who lives on this Asterisk."""
    return _ours(wire.DIRECTORY, body, at_ms)


def _ours(kind: str, body: Mapping[str, Any], at_ms: int) -> Heard:
    return Heard(kind, "", at_ms, orjson.dumps(body).decode())
