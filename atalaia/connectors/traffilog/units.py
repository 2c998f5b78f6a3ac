"""Raw messages between the upstream and a unit, as `UNIT_MESSAGES` pushes carry them; pure.

Only what is needed is understood; everything keeps its raw text. Source: contracts/traffilog.md §5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

FROM_UNIT, TO_UNIT, CONNECTION = "1", "0", "9"  # a row's `inbound`
DISCONNECTED = "DISCONNECTED"


@dataclass(frozen=True, slots=True)
class Numbered:
    """`1502<seq><command>…`: a numbered message. sequence: four hex digits; each side counts its own."""

    sequence: str
    command: str
    data: str


@dataclass(frozen=True, slots=True)
class Transported:
    """`1602<seq>`: the unit has got the message with this number."""

    sequence: str


@dataclass(frozen=True, slots=True)
class Executed:
    """`0401<command>` or `0402<command><sub>`: the unit has executed a command."""

    command: str
    sub: str = ""


@dataclass(frozen=True, slots=True)
class KeyWritten:
    """The upstream writes the configuration key, in the numbered message of this sequence."""

    key: str
    sequence: str


@dataclass(frozen=True, slots=True)
class KeyReported:
    """The unit says its configuration key; `00000000` is none."""

    key: str


@dataclass(frozen=True, slots=True)
class Battery:
    """The unit's periodic report. battery_mv: parameter 00002712."""

    battery_mv: int


@dataclass(frozen=True, slots=True)
class Mounting:
    """The mounting matrix (`C614…`). sequence: `""` when it is not numbered."""

    matrix: str
    sequence: str = ""


@dataclass(frozen=True, slots=True)
class Reset:
    """`06025753`: the upstream resets the unit, which then disconnects and comes back."""


@dataclass(frozen=True, slots=True)
class Other:
    """A payload that is not needed, or not known."""

    payload: str


Payload = Numbered | Transported | Executed | KeyWritten | KeyReported | Battery | Mounting | Reset | Other


@dataclass(frozen=True, slots=True)
class Report:
    """What a unit says.

    at_ms: its own clock, None if it is no time. latitude, longitude: degrees. speed: km/h. heading: degrees.
    mileage: km. engine_hours: h. driver_code: `""` as a rule.
    """

    inner_id: str
    at_ms: int | None
    satellites: int | None
    latitude: float | None
    longitude: float | None
    speed: int | None
    heading: int | None
    mileage: int | None
    engine_hours: int | None
    driver_code: str
    payload: Payload
    raw: str


@dataclass(frozen=True, slots=True)
class Command:
    """What the upstream says to a unit."""

    payload: Payload
    raw: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The unit is disconnected."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of another form."""

    raw: str


Message = Report | Command | Gone | Unknown

_COMMAND = re.compile(r"\(\s*[oO]2[wW]\s*,\s*(\d+)\s*,\s*([0-9A-Fa-f]*)\s*\)", re.ASCII)
_REPORT_FIELDS = 17
_HEX = re.compile(r"[0-9A-F]*", re.ASCII)


def read_message(raw: str) -> Message:
    """Read one `raw_message`. Never raises: what has another form is `Unknown`."""
    text = raw.strip()
    if text.upper() == DISCONNECTED:
        return Gone()
    command = _COMMAND.fullmatch(text)
    if command is not None:
        return Command(read_payload(command[2], to_unit=True), raw)
    if not (text.startswith("(") and text.endswith(")")):
        return Unknown(raw)
    fields = text[1:-1].split(",")
    if len(fields) < _REPORT_FIELDS or not fields[0].isdecimal():
        return Unknown(raw)
    return Report(
        inner_id=fields[0],
        at_ms=_time_ms(fields[2]),
        satellites=_integer(fields[5]),
        latitude=_degrees(fields[6], 90),
        longitude=_degrees(fields[7], 180),
        speed=_integer(fields[8]),
        heading=_integer(fields[9]),
        mileage=_integer(fields[12]),
        engine_hours=_integer(fields[13]),
        driver_code=fields[14].strip(),
        payload=read_payload(fields[16], to_unit=False),
        raw=raw,
    )


def read_payload(text: str, *, to_unit: bool) -> Payload:
    """Read the hex payload of a message."""
    payload = text.strip().upper()
    if _HEX.fullmatch(payload) is None:
        return Other(payload)
    if payload.startswith("1502") and len(payload) >= 10:
        return _numbered(payload[4:8], payload[8:], to_unit=to_unit)
    if payload.startswith("C614") and to_unit:
        return Mounting(payload)
    if payload.startswith("06025753") and to_unit:
        return Reset()
    if to_unit:
        return Other(payload)
    if payload.startswith("1602") and len(payload) >= 8:
        return Transported(payload[4:8])
    if payload.startswith("0401") and len(payload) >= 6:
        return Executed(payload[4:6])
    if payload.startswith("0402") and len(payload) >= 6:
        return Executed(payload[4:6], payload[6:8])
    return Other(payload)


def _numbered(sequence: str, inside: str, *, to_unit: bool) -> Payload:
    if inside.startswith("1304") and len(inside) == 12 and to_unit:
        return KeyWritten(inside[4:], sequence)
    if inside.startswith("1404") and len(inside) == 12 and not to_unit:
        return KeyReported(inside[4:])
    if inside.startswith("C614") and to_unit:
        return Mounting(inside, sequence)
    if inside.startswith("240B000B0000") and inside[16:].startswith("00002712") and not to_unit:
        return Battery(int(inside[12:16], 16))
    return Numbered(sequence, inside[:2], inside[2:])


def _integer(text: str) -> int | None:
    found = re.fullmatch(r"[+-]?\d{1,15}", text.strip(), re.ASCII)
    return int(found[0]) if found else None


def _degrees(text: str, most: int) -> float | None:
    """Read millionths of a degree; None when it is none on Earth."""
    value = _integer(text)
    if value is None or abs(value) > most * 1_000_000:
        return None
    return value / 1_000_000


def _time_ms(text: str) -> int | None:
    """Read `DDMMYYhhmmss` in UTC as Unix milliseconds."""
    try:
        return int(datetime.strptime(text.strip(), "%d%m%y%H%M%S").replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return None
