"""The parameters of a unit: names, values in units, which of several is preferred, and what is still missing.

Conversions are data with evidence (`data/parameter_conversions.json`); ids without one keep their raw value.
Source: contracts/traffilog.md §6.1, §8.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

_DATA = Path(__file__).parent / "data"
_HEX = re.compile(r"[0-9A-Fa-f]{1,16}", re.ASCII)

IGNITION = ("00002710", "00002711")
LATITUDE, LONGITUDE = "00000118", "00000119"
_CONSOLIDATED = "000027"  # the unit's own choice among several sources

GROUPS: dict[str, tuple[str, ...]] = {
    "total_fuel_used": ("00000031", "000000C5", "00002719", "0000A8BD"),
    "fuel_level": ("00000032", "000000C3", "0000879F", "00002717"),
    "fuel_rate": ("0000003C", "00002718", "0000C21F"),
    "oil_pressure": ("00000024", "0000010D", "00002723"),
    "oil_temperature": ("0000168E", "0000271E"),
    "coolant_temperature": ("0000002F", "0000010E", "0000271F"),
    "fuel_temperature": ("0000002E", "0000010F"),
    "vehicle_distance": ("00002714",),
    "analog_input_3": ("0000AF8C", "0000D419", "0000D41A"),
    "rpm": ("000000AD", "0000003A", "00002715"),
}
_LIVE_IDS = ("00002719", "00002717", "00002718", "00002714", "00002715")
_LIVE_MODULES = 5


@dataclass(frozen=True, slots=True)
class Conversion:
    """value = raw * multiplier + offset, in `unit`, if it is within [least, most].

    encoding: `""`, `position` (degrees modulo 360 in millionths) or `switch` (0 is off). status: how sure.
    """

    id: str
    name: str
    unit: str
    status: str
    evidence: str
    encoding: str = ""
    multiplier: float = 1.0
    offset: float = 0.0
    least: float = 0.0
    most: float = 0.0


@dataclass(frozen=True, slots=True)
class Value:
    """A decoded value. value: None when there is none; note: why."""

    value: float | int | None
    unit: str
    note: str = ""


@cache
def conversions() -> Mapping[str, Conversion]:
    """Answer what is known of the ids, by id."""
    found: dict[str, Conversion] = {}
    for row in orjson.loads((_DATA / "parameter_conversions.json").read_bytes()):
        told: str = row.get("encoding", "")
        found[row["id"]] = Conversion(
            id=row["id"],
            name=row["name"],
            unit=row["unit"],
            status=row["status"],
            evidence=row.get("evidence", ""),
            encoding="position" if told.startswith("degrees") else "switch" if told else "",
            multiplier=row.get("multiplier", 1.0),
            offset=row.get("offset", 0.0),
            least=row.get("min", 0.0),
            most=row.get("max", 0.0),
        )
    return found


@cache
def known_names() -> Mapping[str, str]:
    """Answer the upstream's names of the ids that were recorded, for values whose list was not asked for."""
    names: dict[str, str] = orjson.loads((_DATA / "parameter_names.json").read_bytes())
    return names


def decode_value(parameter_id: str, raw: str) -> Value:
    """Decode one raw value (hex). The raw one stays with the caller whatever this answers.

    Errors: none; no hex, no conversion and out of range are notes.
    """
    known = conversions().get(parameter_id)
    unit = known.unit if known else ""
    if _HEX.fullmatch(raw) is None:
        return Value(None, unit, "no number" if raw else "no value")
    number = int(raw, 16)
    if known is None:
        return Value(None, "", "no conversion")
    match known.encoding:
        case "position":
            return _position(number, unit, 90 if parameter_id == LATITUDE else 180)
        case "switch":
            return Value(1 if number else 0, unit)
        case _:
            value = round(number * known.multiplier + known.offset, 3)
            if known.least <= value <= known.most:
                return Value(value, unit)
            return Value(None, unit, f"{value:g} is outside of {known.least:g} to {known.most:g}")


def encode_position(degrees: float) -> str:
    """Answer the raw value of a position, as a unit sends it."""
    return f"{round(degrees % 360 * 1_000_000):08X}"


def quantity_of(parameter_id: str) -> str:
    """Answer the quantity that an id measures among others, `""` for an id that stands alone."""
    for quantity, ids in GROUPS.items():
        if parameter_id in ids:
            return quantity
    known = conversions().get(parameter_id)
    return known.name if known else ""


def preferred(ids: Iterable[str]) -> set[str]:
    """Answer, among ids that have a value, the preferred one of each quantity: the unit's own first."""
    by_quantity: dict[str, list[str]] = {}
    for one in ids:
        by_quantity.setdefault(quantity_of(one) or one, []).append(one)
    return {
        min(found, key=lambda one: (not one.startswith(_CONSOLIDATED), one)) for found in by_quantity.values()
    }


def missing_groups(ids: Collection[str]) -> list[str]:
    """Answer the quantities for which none of `ids` (those with a value) stands; none missing: complete."""
    return [quantity for quantity, group in GROUPS.items() if not any(one in ids for one in group)]


def is_live_complete(ids: Collection[str], *, connected: bool, driver_code: str, modules: int) -> bool:
    """Answer whether a live view has what it waits for. ids: those with a value. modules: rows read."""
    return (
        connected and bool(driver_code) and all(one in ids for one in _LIVE_IDS) and modules >= _LIVE_MODULES
    )


def _position(number: int, unit: str, most: int) -> Value:
    degrees = number / 1_000_000
    degrees = round(degrees - 360 if degrees > 180 else degrees, 6)
    if abs(degrees) > most:
        return Value(None, unit, f"{degrees:g} is no place on Earth")
    return Value(degrees, unit)


def shown(parameter_id: str, raw: str, name: str = "") -> dict[str, Any]:
    """Answer a parameter as facts and screens show it: {"id", "name", "raw", "value", "unit", "note"?}."""
    decoded = decode_value(parameter_id, raw)
    row: dict[str, Any] = {
        "id": parameter_id,
        "name": name or known_names().get(parameter_id, ""),
        "raw": raw,
        "value": decoded.value,
        "unit": decoded.unit,
    }
    return {**row, "note": decoded.note} if decoded.note not in ("", "no conversion") else row
