"""Traffilog's socket: our frames out, byte exact, and the forms in which answers come; pure.

Source: contracts/traffilog.md §2.2 and §3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from random import Random
from typing import Any, cast
from urllib.parse import quote, unquote

import orjson

from atalaia.errors import Rejected, Unreadable

Json = Mapping[str, Any]
Row = Mapping[str, Any]

PREFIX = "traffilog."
FIRE_AND_FORGET = "0"
PUSHED = "-1"
MESSAGES, CONFIG_STATUS, PARAMETERS = "UNIT_MESSAGES", "UNIT_CONFIG_STATUS", "UNIT_PARAMETERS"

TOKEN_CHARS_MIN, TOKEN_CHARS_MAX = 20, 200
_RESERVED = frozenset({"_action_name", "mtkn"})
_UNESCAPED = "-_.!~*'()"  # what JavaScript's encodeURIComponent leaves beside letters and digits


@dataclass(frozen=True, slots=True)
class Token:
    """A session token fit to be sent. There is no empty one: a frame without token is answered 403.

    Errors: `Unreadable` for a text that cannot be a token (20 to 200 characters, no white space).
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if not TOKEN_CHARS_MIN <= len(self.value) <= TOKEN_CHARS_MAX or re.search(r"\s", self.value):
            raise Unreadable("The login answered with something that is no session token.")

    def same(self, other: str) -> bool:
        """Answer whether `other` is this token: the socket echoes it in lower case."""
        return other.lower() == self.value.lower()


@dataclass(frozen=True, slots=True)
class Action:
    """What is asked over the socket. parameters: in the order in which they are sent, without our own two.

    All values are text; the one known exception is `keep_priority`, a boolean.
    """

    name: str
    parameters: Mapping[str, str | bool] = field(default_factory=dict[str, "str | bool"])

    @property
    def vehicle_id(self) -> str:
        return str(self.parameters.get("vehicle_id", ""))


def new_mtkn(now_ms: int, dice: Random) -> str:
    """Answer a correlation id of 25 digits: Unix milliseconds, then twelve at random.

    Digits only: to any other form the upstream answers in fragments.
    """
    return f"{now_ms:013d}{dice.randrange(10**12):012d}"


def new_flow_id(dice: Random) -> str:
    """Answer six digits. The upstream neither echoes nor checks them."""
    return str(dice.randrange(200_000, 1_000_000))


def build_frame(action: Action, token: Token, mtkn: str, flow_id: str, *, encoded: bool = False) -> str:
    """Answer the text of one frame, byte for byte as the upstream's own screens send it.

    encoded: percent-encoded as a whole, as the screens do; the upstream takes both.
    Errors: `Rejected` for a parameter that no frame can carry.
    """
    if not mtkn.isascii() or not mtkn.isdigit():
        raise Rejected("A correlation id must be digits only.")
    for name, value in action.parameters.items():
        if name in _RESERVED or not isinstance(value, (str, bool)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise Rejected(f"The parameter “{name}” of {action.name} cannot be sent like this.")
    body = {
        "action": {
            "flow_id": flow_id,
            "name": action.name,
            "parameters": {**action.parameters, "_action_name": action.name, "mtkn": mtkn},
            "session_token": token.value,
            "mtkn": mtkn,
        }
    }
    try:
        text = orjson.dumps(body).decode()
    except orjson.JSONEncodeError as error:
        raise Rejected(f"A parameter of {action.name} is no valid text.") from error
    return encode_whole(text) if encoded else text


def encode_whole(text: str) -> str:
    """Percent-encode a frame as JavaScript's `encodeURIComponent` does."""
    return quote(text, safe=_UNESCAPED)


def read_frame(text: str) -> tuple[Action, Json]:
    """Read a frame that a client sent: the action without what is added to it, and the whole `action` object.

    Errors: `Unreadable` when it has not the shape of `build_frame`.
    """
    whole = read_object(unquote(text) if text[:3].lower() == "%7b" else text)
    action = whole.get("action")
    if not isinstance(action, dict):
        raise Unreadable("a frame without `action`", raw=text.encode(errors="replace"))
    inside = cast("dict[str, Any]", action)
    name, parameters = inside.get("name"), inside.get("parameters")
    if not isinstance(name, str) or not isinstance(parameters, dict):
        raise Unreadable("a frame without `name` or `parameters`", raw=text.encode(errors="replace"))
    asked = cast("dict[str, Any]", parameters)
    return Action(name, {key: value for key, value in asked.items() if key not in _RESERVED}), inside


@dataclass(frozen=True, slots=True)
class Answer:
    """The upstream's answer to one request, whole or put together from fragments.

    rows: decoded, without their `mtkn`; empty unless the answer is a success.
    errors: the rows of an answer that is none. properties: as it came, rows included and still encoded.
    partial: rows are missing or the end never came. fragments: how many texts it was made of.
    """

    action: str
    mtkn: str
    value: str
    rows: tuple[Row, ...]
    errors: tuple[Row, ...]
    properties: Json
    description: str = ""
    partial: bool = False
    fragments: int = 1

    @property
    def ok(self) -> bool:
        return self.value == "0"


@dataclass(frozen=True, slots=True)
class Push:
    """What the upstream tells on its own. source: e.g. `UNIT_MESSAGES`. rows: as they came, never encoded."""

    source: str
    rows: tuple[Row, ...]
    properties: Json
    fragments: int = 1

    @property
    def inner_id(self) -> str:
        """The unit's serial, when the rows say it; status pushes do not."""
        return next((text_of(row, "inner_id") for row in self.rows if text_of(row, "inner_id")), "")


@dataclass(frozen=True, slots=True)
class RawError:
    """An error without an envelope, e.g. `{"action_value":"403","error_description":"action forbidden"}`.

    mtkn: `""` as a rule, so that it says of no request that it is meant.
    """

    value: str
    description: str
    properties: Json
    mtkn: str = ""
    fragments: int = 1


@dataclass(frozen=True, slots=True)
class Strange:
    """A text that could not be understood, whole, and why."""

    text: str
    why: str
    fragments: int = 1


Incoming = Answer | Push | RawError | Strange


def read_object(text: str | bytes) -> Json:
    """Parse a JSON object. Errors: `Unreadable`."""
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raw = text if isinstance(text, bytes) else text.encode(errors="replace")
        raise Unreadable(f"no JSON: {error}", raw=raw) from error
    if not isinstance(value, dict):
        raw = text if isinstance(text, bytes) else text.encode(errors="replace")
        raise Unreadable("JSON, but no object", raw=raw)
    return cast("Json", value)


def read_properties(properties: Json, *, fragments: int = 1, cut: bool = False) -> Answer | Push:
    """Read the `properties` of a response. cut: it is known to lack rows.

    A push says so by its `mtkn` or has a `data_source`. Errors: `Unreadable` when `data` is no list of rows.
    """
    data: Any = properties.get("data", [])
    if not isinstance(data, list):
        raise Unreadable("`data` is no list")
    found = cast("list[Any]", data)
    rows = tuple(cast("Row", row) for row in found if isinstance(row, dict))
    source, mtkn = text_of(properties, "data_source"), text_of(properties, "mtkn")
    if source or mtkn == PUSHED:
        return Push(source or text_of(properties, "action_name"), rows, properties, fragments)
    value = text_of(properties, "action_value")
    decoded = tuple(_decode_row(row) for row in rows)
    good = value == "0"
    told = text_of(properties, "action_records")
    short = good and told.isdecimal() and int(told[:9]) != len(rows)
    return Answer(
        action=text_of(properties, "action_name"),
        mtkn=mtkn,
        value=value,
        rows=decoded if good else (),
        errors=() if good else decoded,
        properties=properties,
        description=decode(text_of(properties, "description")),
        partial=cut or short or len(rows) != len(found),
        fragments=fragments,
    )


def read_error(body: Json) -> RawError:
    """Read an error without an envelope."""
    said = text_of(body, "error_description") or text_of(body, "description")
    return RawError(text_of(body, "action_value"), decode(said), body, text_of(body, "mtkn"))


def text_of(row: Json, key: str) -> str:
    """Answer a field as text; what is not there or null is `""`."""
    value = row.get(key)
    if isinstance(value, str):
        return value
    return "" if value is None else str(value)


def decode(value: str) -> str:
    """Undo the percent-encoding of one value; a value that cannot be decoded stays as it is."""
    if "%" not in value:
        return value
    return _decode_often(value) if len(value) <= 64 else _decode(value)


def _decode(value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        return value


# Colours, dates and names repeat from row to row.
_decode_often = lru_cache(maxsize=4_096)(_decode)


def _decode_row(row: Row) -> Row:
    return {
        key: decode(value) if isinstance(value, str) else value for key, value in row.items() if key != "mtkn"
    }


def read_time_ms(value: str) -> int | None:
    """Read a date, e.g. `2026-01-07T23:57:00.0000000+00:00`, `…:07.02Z`; None if it is none.

    A date without zone is read as UTC. Answer: Unix milliseconds.
    """
    found = _DATE.fullmatch(decode(value).strip())
    if found is None:
        return None
    zone = "+00:00" if found["zone"] in (None, "Z", "z") else found["zone"]
    try:
        at = datetime.fromisoformat(f"{found['date']}T{found['time']}{zone}").astimezone(UTC)
        seconds = int(at.timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds * 1000 + int((found["fraction"] or "0")[:3].ljust(3, "0"))


_DATE = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[T ](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?"
    r"(?P<zone>[Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)


def socket_url(base: str, guid: str, token: Token) -> str:
    """Answer the address of the socket, e.g. `wss://host:8182/<GUID>/<TOKEN>/json?defragment=1`."""
    return f"{base.rstrip('/')}/{guid}/{token.value}/json?defragment=1"
