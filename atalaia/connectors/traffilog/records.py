"""Records that other software has made of vehicles, read into one shape; pure.

Known: the newer worker's snapshot and the older one's cycle files, its completion body, and the snapshot tool
(v4). Source: contracts/traffilog.md §8.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from atalaia.connectors.traffilog.wire import Json, Row, read_time_ms, text_of
from atalaia.errors import Unreadable

_TOOL_FIELDS = {"gprs_last": "server_time", "gps_last": "orig_time", "firmware": "unit_version"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a vehicle. at_ms: when. info: fields as in a row of `get_vehicle_info`.

    connected: None when it is not said. modules, parameters: rows; of the latter those with a value.
    """

    vehicle_id: str
    at_ms: int
    info: Row
    connected: bool | None
    modules: list[Row]
    parameters: list[Row]
    names: dict[str, str] = field(default_factory=dict[str, str])


def read_record(record: Json) -> list[Reading]:
    """Read a record of any known shape, oldest reading first.

    Errors: `Unreadable` for a shape that is not known, or without a vehicle or a time.
    """
    if "parameters_tab" in record:
        return [_read_tool(record)]
    if isinstance(record.get("result"), dict) or "can_snapshot" in record:
        return _read_completion(record)
    if "moduleState" in record or "parameters" in record:
        return [_read_snapshot(record)]
    raise Unreadable(
        "no record of a vehicle: neither `parameters` nor `parameters_tab` nor `result` is in it"
    )


def _read_snapshot(record: Json) -> Reading:
    header = _object(record.get("header"))
    info = {**{k: v for k, v in header.items() if k != "raw"}, **_object(header.get("raw"))}
    at = text_of(record, "capturedAt") or text_of(record, "captured_at")
    vehicle_id = text_of(record, "vehicleId") or text_of(info, "vehicle_id")
    told = text_of(record, "isConnected").strip().lower()
    return _reading(
        vehicle_id,
        at,
        info,
        None if not told else told not in ("0", "false", "none"),
        list(_rows(record.get("moduleState"))),
        list(_rows(record.get("parameters"))),
    )


def _read_completion(record: Json) -> list[Reading]:
    """Read what an older worker sent at the end of its job: the same snapshot, several times."""
    result = _object(record.get("result"))
    found = [*_rows(result.get("snapshots")), *_rows(record.get("can_snapshot"))]
    found += [
        one for one in (result.get("snapshot"), record.get("can_snapshot_latest")) if isinstance(one, dict)
    ]
    readings: list[Reading] = []
    for one in found:
        reading = _read_snapshot(one)
        if reading not in readings:
            readings.append(reading)
    if not readings:
        raise Unreadable("a completion without a snapshot")
    return sorted(readings, key=lambda one: one.at_ms)


def _read_tool(record: Json) -> Reading:
    meta, header = _object(record.get("meta")), _object(record.get("header"))
    info = {_TOOL_FIELDS.get(name, name): value for name, value in header.items()}
    info.update(_object(record.get("header_raw")))
    rows: list[Row] = [
        {**row, "raw_value": row.get("value_raw")}
        for row in _rows(_object(record["parameters_tab"]).get("rows"))
    ]
    vehicle_id = text_of(meta, "vehicle_id") or text_of(info, "vehicle_id")
    modules = list(_rows(_object(record.get("module_state")).get("rows")))
    return _reading(vehicle_id, text_of(meta, "at"), info, None, modules, rows)


def _reading(
    vehicle_id: str, at: str, info: Row, connected: bool | None, modules: list[Row], parameters: list[Row]
) -> Reading:
    at_ms = read_time_ms(at)
    if not vehicle_id or at_ms is None:
        raise Unreadable("a record without its vehicle or its time")
    valued = [row for row in parameters if text_of(row, "raw_value")]
    names = {text_of(row, "id"): text_of(row, "name") for row in parameters if text_of(row, "name")}
    return Reading(vehicle_id, at_ms, info, connected, modules, valued, names)


def _object(value: Any) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _rows(value: Any) -> Iterator[Row]:
    for row in cast("list[Any]", value) if isinstance(value, list) else []:
        if isinstance(row, dict):
            yield cast("Row", row)
