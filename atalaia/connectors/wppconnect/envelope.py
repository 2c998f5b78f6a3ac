"""What arrives at our door, in the three forms it is known in, brought to one.

Source: contract WhatsApp, sections 3.1 (the server's own form), 4.1 (the gateway's envelope) and 4.2 (where a
foreign payload hides its session); recordings `hub-envelope/*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson

from atalaia.errors import Unreadable

Json = dict[str, Any]

# The envelope's own words, for payloads that come without the server's.
_RAW_NAMES = {
    "message": "onmessage",
    "message.sent": "onselfmessage",
    "message.ack": "onack",
}
# Where a session's name was seen, in this order.
_SESSION_PLACES = (
    ("sessionId",), ("session",), ("session", "id"), ("session", "session"), ("data", "session", "id"),
    ("data", "session", "session"), ("metadata", "channel_id"), ("metadata", "sessionId"), ("channelId",),
    ("channel",), ("channel_id",), ("data", "channel"), ("raw", "payload", "session"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """One webhook: the upstream's event and its data, wherever they stood.

    event: the server's own name (`onmessage`); an envelope without the raw payload is given the name that its
        word stands for. session: as written, `""` when it is missing, which happens while pairing.
    payload: the event's data with its keys in order, without the event's and the session's name.
    event_id: the gateway's id of this envelope, the same in a retry; `""` from the server itself.
    said_ms: when the envelope says it was sent; None when it does not.
    """

    event: str
    session: str
    payload: Json
    event_id: str
    said_ms: int | None
    form: str  # "envelope", "server", "simulated"


def read_said(raw: bytes) -> Said:
    """Read the body of one webhook.

    Errors: `Unreadable` when it is not a JSON object, or names no event.
    """
    try:
        whole: Any = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"the body is not JSON: {error}", raw=raw) from error
    if not isinstance(whole, dict):
        raise Unreadable(f"the body is a JSON {_kind(whole)}, not an object", raw=raw)
    return read_object(cast("Json", whole))


def read_object(whole: Json) -> Said:
    """Read one webhook's body that was taken apart already; see `read_said`."""
    event = whole.get("event")
    if not isinstance(event, str) or not event:
        raise Unreadable(f"`event` is {_kind(event)}, not the name of an event")
    payload = _at(whole, ("raw", "payload"))
    session = session_in(whole)
    event_id = whole.get("event_id")
    common = (event_id if isinstance(event_id, str) else "", read_time_ms(whole.get("timestamp")))
    if isinstance(payload, dict):
        inner = cast("Json", payload)
        name = inner.get("event")
        named = name if isinstance(name, str) and name else _RAW_NAMES.get(event, event)
        return Said(named, session, _without_names(inner), *common, "envelope")
    if "spec_version" in whole or isinstance(whole.get("message"), dict):
        return Said(_RAW_NAMES.get(event, event), session, _of_message(whole), *common, "simulated")
    return Said(event, session, _without_names(whole), "", None, "server")


def session_in(whole: Mapping[str, Any]) -> str:
    """Answer the session's name from the first place that has one; `""` for none."""
    for place in _SESSION_PLACES:
        found = _at(whole, place)
        if isinstance(found, str) and found:
            return found
    return ""


def session_key(name: str) -> str:
    """Answer the form in which names of one session are equal; calls keep the exact spelling."""
    return "".join(name.split()).lower()


def read_time_ms(value: Any) -> int | None:
    """Read a time: seconds, milliseconds or microseconds since 1970, or ISO 8601; None for none.

    Source: the envelope has seconds in messages and a text with milliseconds in `connection.update`.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return _from_number(float(value))
    if not isinstance(value, str):
        return None
    try:
        return int(datetime.fromisoformat(value).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        return _from_number(float(value))
    except ValueError:
        return None


def _from_number(value: float) -> int | None:
    for over, factor in ((1e14, 0.001), (1e11, 1.0), (1.0, 1000.0)):
        if value >= over:
            return int(value * factor) if value < 1e17 else None
    return None


def _of_message(whole: Json) -> Json:
    """Answer the data of an envelope that carries no raw payload, under the server's own keys."""
    found: Any = whole.get("message")
    message = cast("Json", found) if isinstance(found, dict) else {}
    payload: Json = {
        "id": message.get("id"), "body": message.get("text", whole.get("text")), "type": "chat",
        "t": message.get("timestamp", whole.get("timestamp")),
        "from": message.get("from", whole.get("from")), "to": message.get("to", whole.get("to")),
    }  # fmt: skip
    for part in ("ack", "connection"):
        more: Any = whole.get(part)
        if isinstance(more, dict):
            payload |= cast("Json", more)
    return {key: value for key, value in payload.items() if value is not None}


def _without_names(payload: Json) -> Json:
    return {key: value for key, value in payload.items() if key not in ("event", "session")}


def _at(whole: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        if not isinstance(whole, Mapping):
            return None
        whole = cast("Mapping[str, Any]", whole).get(key)
    return whole


def _kind(value: Any) -> str:
    names = {"NoneType": "missing", "str": "a text", "int": "a number", "float": "a number", "list": "a list"}
    return names.get(type(value).__name__, f"a {type(value).__name__}")
