"""The parameters that a unit reports: their list, and values for a push."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from random import Random

from simulators.traffilog.models import Row, Unit, push_time

_FILE = Path(__file__).with_name("data") / "parameters.tsv"


@dataclass(frozen=True)
class Parameter:
    """One kind of value. `sample` is a value somebody recorded, hex, or empty."""

    id: str
    name: str
    sample: str
    source: str


@cache
def all_parameters() -> dict[str, Parameter]:
    """Read the list of one vehicle, in its order. Source: the recorded `get_unit_parameters_opr`."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    found = (Parameter(*line.split("\t")) for line in lines if not line.startswith("#"))
    return {one.id: one for one in found}


def list_rows(unit: Unit) -> list[Row]:
    """Answer the rows of `get_unit_parameters_opr`; there are no values in them."""
    known = all_parameters()
    return [
        {
            "index": str(index),
            "id": one,
            "param_type": str(int(one, 16)),
            "param_type_descr": known[one].name,
            "multiply_param": "0",
            "multiply_inner": "",
            "view_schemes": "1",
        }
        for index, one in enumerate(unit.parameters, start=1)
    ]


def metadata_rows(unit: Unit) -> list[Row]:
    """Answer the rows of `get_unit_parameters_metadata`, of which only these keys are known."""
    return [
        {"id": one, "source": all_parameters()[one].source, "convertion_type": ""} for one in unit.parameters
    ]


def _turned(degrees: float) -> str:
    return f"{round((degrees % 360) * 1_000_000):08X}"


def value_of(unit: Unit, parameter: str, random: Random) -> tuple[str, str]:
    """Answer hex and source of a parameter as the unit would report it now."""
    own = {
        "00000118": lambda: _turned(unit.latitude),
        "00000119": lambda: _turned(unit.longitude),
        "00002710": lambda: f"{int(unit.ignition):08X}",
        "00002711": lambda: f"{int(unit.ignition):08X}",
        "00002712": lambda: f"{random.randint(11_900, 12_200) * 2:08X}",
        "00002713": lambda: f"{unit.speed:08X}",
        "00002714": lambda: f"{round((unit.mileage_km + unit.way_km) * 1000):08X}",
        "00002715": lambda: f"{random.randint(700, 1_400) if unit.ignition else 0:08X}",
        "00002717": lambda: f"{random.randint(40, 90):08X}",
        "00002719": lambda: f"{round(unit.fuel_l * 10):08X}",
    }
    known = all_parameters()[parameter]
    if parameter in unit.values:
        return unit.values[parameter]
    if parameter in own:
        return own[parameter](), "FF"
    return known.sample or f"{random.randint(0, 0xFF):08X}", known.source


def push_rows(unit: Unit, names: list[str], moment: datetime, random: Random) -> list[Row]:
    """Answer rows of a `UNIT_PARAMETERS` push, with the key that is the empty string."""
    rows: list[Row] = []
    for name in names:
        value, source = value_of(unit, name, random)
        rows.append(
            {
                "orig_time": push_time(moment.replace(microsecond=0)),
                "unitType": "SPT",
                "inner_id": unit.serial,
                "id": name,
                "paramvalue": value,
                "paramsource": source,
                "": "",
                "param_value": value,
            }
        )
    return rows
