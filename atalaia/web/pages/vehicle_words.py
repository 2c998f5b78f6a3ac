"""What a vehicle's header, modules and values say, in words and units; what changed between readings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atalaia.desk.vehicles.queries import Change
from atalaia.web.i18n import N_, gettext
from atalaia.web.show import number
from atalaia.web.states import sign

# Header fields in words, in the order in which people ask for them; the rest of a header is shown raw.
HEADER = {
    "unit_type": N_("Unit"),
    "unit_version": N_("Firmware"),
    "ignition": N_("Ignition"),
    "driver_code": N_("Driver"),
    "mileage": N_("Mileage"),
    "speed": N_("Speed"),
    "engine_hours": N_("Engine hours"),
    "fuel_used": N_("Fuel used"),
    "vcl_manufacturer": N_("Manufacturer"),
    "vcl_model": N_("Model"),
}
MORE_HEADER = {
    "license_nmbr": N_("Plate"),
    "inner_id": N_("Serial"),
    "client_id": N_("Client number"),
    "vcl_client_id": N_("Client number"),
    "vcl_client_description": N_("Client"),
    "configuration_key_unit": N_("Key in the unit"),
    "configuration_key_db": N_("Key assigned"),
    "configuration_status": N_("State of the configuration"),
    "latitude": N_("Latitude"),
    "longitude": N_("Longitude"),
    "number_of_prms": N_("Parameters of the scheme"),
    "number_of_scms": N_("Commands of the scheme"),
}
UNITS = {"mileage": "km", "speed": "km/h", "engine_hours": "h", "fuel_used": "l"}
# How upstreams write units, where people write them otherwise.
PLAIN_UNITS = {"-": "", "deg": "°", "RPM": "rpm", "L": "l", "L/h": "l/h"}
DEGREE_DIGITS = 6
_NUMBER = re.compile(r"-?\d{1,15}(\.\d+)?")
_FLAGS = ("active", "ok", "was_ok")


def unit_word(unit: str) -> str:
    """Answer a unit as people write it."""
    return PLAIN_UNITS.get(unit, unit)


def measured(value: str | float, unit: str = "") -> str:
    """Answer a value with its unit in the view's language; what is no number stays as it is."""
    shown = str(value).strip()
    if isinstance(value, int | float) or _NUMBER.fullmatch(shown):
        shown = str(number(float(value), DEGREE_DIGITS if unit == "deg" else None))
    word = unit_word(unit)
    return f"{shown}{'' if word == '°' else chr(160)}{word}" if word else shown


def header_pairs(header: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Answer the fields of a header that people ask for, in the order in which they do."""
    found: list[tuple[str, str]] = []
    for name, word in HEADER.items():
        value = header_value(name, header.get(name))
        if value:
            found.append((gettext(word), value))
    return found


def header_value(name: str, value: Any) -> str:
    """Answer one field of a header as people read it."""
    shown = "" if value is None else str(value).strip()
    if name == "ignition":
        known = {"1": N_("on"), "0": N_("off"), "True": N_("on"), "False": N_("off")}
        return gettext(known[shown]) if shown in known else shown
    return measured(shown, UNITS[name]) if name in UNITS and shown else shown


@dataclass(frozen=True)
class Changes:
    """What differs between two readings: what changed, what came, what went."""

    changed: list[Change] = field(default_factory=list[Change])
    came: list[Change] = field(default_factory=list[Change])
    went: list[Change] = field(default_factory=list[Change])

    def __len__(self) -> int:
        return len(self.changed) + len(self.came) + len(self.went)


def parted_changes(changes: Sequence[Change]) -> Changes:
    """Part differences: a poorer reading before a richer one must not bury what really changed."""
    return Changes(
        [one for one in changes if one.before is not None and one.after is not None],
        [one for one in changes if one.before is None],
        [one for one in changes if one.after is None],
    )


def change_words(change: Change) -> tuple[str, str, str]:
    """Answer what changed, its value before and after, in words; "" for one that was not there."""
    return _name(change), _value(change, change.before), _value(change, change.after)


def _name(change: Change) -> str:
    words = HEADER | MORE_HEADER
    if change.part == "header":
        return gettext(words[change.name]) if change.name in words else change.name.replace("_", " ")
    return change.name.replace("/", " ") if change.part == "modules" else change.name


def _value(change: Change, told: str | None) -> str:
    if told is None:
        return ""
    if change.part == "header":
        return header_value(change.name, told) or "—"
    if change.part == "modules":
        return _module(told)
    value, _, unit = told.rpartition(" ")
    return measured(value, unit) if value and _NUMBER.fullmatch(value) else measured(told) or "—"


def _module(told: str) -> str:
    """Answer a module's flags as its state: `active ok was_ok ERROR`."""
    words = told.split()
    flags, error = (
        {one for one in words if one in _FLAGS},
        " ".join(one for one in words if one not in (*_FLAGS, "—")),
    )
    if "active" not in flags:
        state = "module_off"
    elif "ok" in flags:
        state = "module_ok"
    else:
        state = "module_was_ok" if "was_ok" in flags else "module_bad"
    return f"{sign(state).said} · {error}" if error else sign(state).said
