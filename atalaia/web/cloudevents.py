"""CloudEvents 1.0 over HTTP: bytes and headers in, heard events out. Pure.

Source: CloudEvents HTTP protocol binding 1.0.2, sections 3.1 to 3.3; JSON format 1.0.2.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast
from urllib.parse import unquote

import orjson

from atalaia.clock import to_ms
from atalaia.events.model import Heard
from atalaia.web.problems import Fault

PREFIX = "intake."
BATCH_MAX = 1_000
TYPE_CHARS_MAX = 100
KEY_CHARS_MAX = 200

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


class NotCloudEvents(Exception):
    """The request holds no CloudEvents that fit; `faults` name each wrong attribute."""

    def __init__(self, said: str, faults: list[Fault] | None = None) -> None:
        super().__init__(said)
        self.faults = faults or []


def read_request(content_type: str, headers: Mapping[str, str], body: bytes, now_ms: int) -> list[Heard]:
    """Read one event (structured or binary mode) or a batch.

    headers: those that begin with `ce-`, lower case. now_ms: the time of an event that names none.
    Errors: `NotCloudEvents`; of a batch with one wrong event nothing is taken.
    """
    if "ce-specversion" in headers and not content_type.startswith("application/cloudevents"):
        return [_heard(_binary(content_type, headers, body), None, now_ms, "")]
    try:
        given: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotCloudEvents(f"The body is not JSON in UTF-8: {error}.") from None
    if isinstance(given, dict) and not content_type.startswith(BATCH):
        return [_heard(cast("dict[str, Any]", given), body, now_ms, "")]
    if isinstance(given, list) and not content_type.startswith(STRUCTURED):
        return _batch(cast("list[object]", given), now_ms)
    raise NotCloudEvents(f"The body is no {'list of events' if content_type.startswith(BATCH) else 'event'}.")


def _batch(given: list[object], now_ms: int) -> list[Heard]:
    if len(given) > BATCH_MAX:
        raise NotCloudEvents(f"A batch may have {BATCH_MAX} events at most; send the rest in a second one.")
    heard: list[Heard] = []
    faults: list[Fault] = []
    for number, one in enumerate(given):
        if not isinstance(one, dict):
            faults.append(
                Fault(f"[{number}]", type(one).__name__, "Send an object with the event's attributes.")
            )
            continue
        try:
            heard.append(_heard(cast("dict[str, Any]", one), None, now_ms, f"[{number}]."))
        except NotCloudEvents as error:
            faults += error.faults
    if faults:
        raise NotCloudEvents("The batch has events that do not fit; none was taken.", faults)
    return heard


def _heard(event: dict[str, Any], raw: bytes | None, now_ms: int, place: str) -> Heard:
    """Check the attributes and answer what the log keeps: the whole event as it came."""
    identity, source, kind = event.get("id"), event.get("source"), event.get("type")
    key = event.get("partitionkey") or event.get("subject") or ""
    time = event.get("time")
    occurred_ms = now_ms if time is None else _moment(time)
    fits = (
        event.get("specversion") == "1.0"
        and _is_text(identity, 512)
        and _is_text(source, 512)
        and _is_text(kind, TYPE_CHARS_MAX)
        and isinstance(key, str)
        and len(key) <= KEY_CHARS_MAX
        and "\x00" not in key
        and occurred_ms is not None
    )
    if not fits:
        raise NotCloudEvents("The event does not fit.", _faults(event, place))
    assert occurred_ms is not None
    seed = f"{source}\x00{identity}".encode()
    body = (raw if raw is not None else orjson.dumps(event)).decode()
    dedupe = hashlib.blake2b(seed, digest_size=16).hexdigest()
    return Heard(f"{PREFIX}{kind}", key, occurred_ms, body, dedupe)


def _is_text(value: object, most: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most and value.isprintable()


def _moment(time: object) -> int | None:
    if not isinstance(time, str):
        return None
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return None if moment.tzinfo is None else to_ms(moment)


def _faults(event: Mapping[str, Any], place: str) -> list[Fault]:
    faults: list[Fault] = []
    if event.get("specversion") != "1.0":
        faults.append(_fault(event, place, "specversion", 'Write "1.0".'))
    for name, most in (("id", 512), ("source", 512), ("type", TYPE_CHARS_MAX)):
        if not _is_text(event.get(name), most):
            faults.append(_fault(event, place, name, f"Give a text of 1 to {most} printable characters."))
    if event.get("time") is not None and _moment(event["time"]) is None:
        faults.append(
            _fault(event, place, "time", "Write it like 2026-11-20T20:48:56.130Z, or leave it out.")
        )
    for name in ("partitionkey", "subject"):
        key = event.get(name)
        if key is not None and not (isinstance(key, str) and len(key) <= KEY_CHARS_MAX and "\x00" not in key):
            faults.append(_fault(event, place, name, f"Give a text of at most {KEY_CHARS_MAX} characters."))
    return faults


def _fault(event: Mapping[str, Any], place: str, name: str, remedy: str) -> Fault:
    kind = type(event[name]).__name__ if name in event else "nothing"
    return Fault(f"{place}{name}", kind, remedy)


def _binary(content_type: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Put attributes (headers) and data (body) of binary mode together in the JSON format."""
    event: dict[str, Any] = {
        name[3:]: unquote(text) for name, text in headers.items() if name.startswith("ce-")
    }
    if content_type:
        event["datacontenttype"] = content_type
    if not body:
        return event
    if not content_type or "json" in content_type:
        try:
            event["data"] = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise NotCloudEvents(f"The body is not JSON, as its content type says: {error}.") from None
        return event
    try:
        event["data"] = body.decode()
    except UnicodeDecodeError:
        event["data_base64"] = base64.b64encode(body).decode()
    return event
