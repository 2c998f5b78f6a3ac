"""What the facts of vehicles and processes say, as rows; what is missing or of another shape is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import String, Table

from atalaia.clock import to_ms
from atalaia.events.model import Event
from atalaia.store.vehicle_tables import processes, vehicle_modules, vehicle_values, vehicles

Json = Mapping[str, Any]
_NUMBER = re.compile(r"-?\d+(\.\d+)?")

# Header fields by the column that shows them; the first that is filled counts.
_HEADER = {
    "plate": ("license_nmbr", "plate"),
    "serial": ("inner_id", "serial"),
    "client": ("client_id", "vcl_client_id", "client"),
    "client_name": ("vcl_client_description", "client_name", "client_descr"),
}


def mapping(value: Any) -> Json:
    """Answer a mapping, {} for anything else."""
    return cast("Json", value) if isinstance(value, Mapping) else {}


def moment(value: Any) -> int | None:
    """Answer Unix milliseconds of what may be such a number or RFC 3339 text; None for anything else."""
    if isinstance(value, bool) or value in (None, ""):
        return None
    if isinstance(value, int | float):
        return int(value)
    try:
        told = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    return to_ms(told) if told.tzinfo else None


def flag(value: Any) -> bool | None:
    """Answer a yes or no, also when it is told as 1 or "1"; None when nobody said."""
    if isinstance(value, bool):
        return value
    return {"1": True, "0": False, "true": True, "false": False}.get(str(value).strip().lower())


def number(value: Any) -> float | None:
    """Answer a number, also when it is told as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    text = str(value or "").strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def text(value: Any) -> str:
    """Answer text as a cell shows it: whole floats without their point."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def fit(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """Cut texts to their columns: an upstream may send anything, and PostgreSQL refuses what is too long."""
    for name, value in row.items():
        kind = table.c[name].type
        if isinstance(value, str) and isinstance(kind, String) and kind.length:
            row[name] = value.replace("\x00", "")[: kind.length]
    return row


def vehicle_row(event: Event, data: Json) -> dict[str, Any]:
    """Answer what a merged snapshot says of the vehicle itself."""
    header = mapping(data.get("header"))
    names = {column: _first(header, fields) for column, fields in _HEADER.items()}
    names["serial"] = names["serial"].lstrip("0") or names["serial"]
    modules, values = list(module_rows(event, data)), list(value_rows(event, data))
    seen = [row["seen_ms"] for row in values if row["seen_ms"] is not None]
    told = [row["seen_ms"] for row in modules if row["seen_ms"] is not None]
    ages = mapping(data.get("ages"))
    return fit(
        vehicles,
        names
        | {
            "header": header,
            "header_ms": moment(ages.get("header")) or moment(data.get("read_ms")) or event.occurred_ms,
            "modules_complete": flag(data.get("modules_complete")),
            "modules_count": len(modules),
            "modules_ms": moment(ages.get("modules")) or max(told, default=None),
            "values_count": sum(1 for row in values if row["raw"] or row["value"]),
            "values_ms": max(seen, default=None),
            "complete": flag(data.get("complete")),
            "missing": _texts(data.get("missing")),
        },
    )


def value_rows(event: Event, data: Json) -> Iterator[dict[str, Any]]:
    """Answer the parameters of a merged snapshot, with the moment at which each was seen."""
    for identity, one in _named(data.get("parameters"), ("id", "parameter")):
        value = one.get("value")
        yield fit(
            vehicle_values,
            {
                "parameter": identity,
                "name": text(one.get("name")) or identity,
                "raw": text(one.get("raw")),
                "value": text(value),
                "number": number(value),
                "unit": text(one.get("unit")),
                "source": text(one.get("source")),
                "preferred": flag(one.get("preferred")) is not False,
                "seen_ms": moment(one.get("seen_ms")),
            },
        )


def module_rows(event: Event, data: Json) -> Iterator[dict[str, Any]]:
    """Answer the modules of a merged snapshot by name."""
    for identity, one in _named(data.get("modules"), ("name", "module")):
        module = text(one.get("module")) or identity.partition("/")[0]
        # What follows the module's name also tells two of the same name apart.
        sub = identity.removeprefix(module).removeprefix("/")
        yield fit(
            vehicle_modules,
            {
                "module": module,
                "sub": sub,
                "active": flag(one.get("active")),
                "ok": flag(one.get("ok")),
                "was_ok": flag(one.get("was_ok")),
                "error": "" if flag(one.get("error")) is False else text(one.get("error_descr")),
                "seen_ms": moment(one.get("seen_ms")),
            },
        )


def process_row(event: Event, data: Json, before: Json) -> dict[str, Any]:
    """Answer a process after a fact, given its row before; an end is not taken back by late progress."""
    heard_ms = moment(data.get("heard_ms")) or event.occurred_ms
    row = dict(before) | {"changed_seq": event.seq, "heard_ms": heard_ms}
    for name, column in (
        ("vehicle_id", "vehicle"), ("kind", "kind"), ("status", "status"), ("last_command", "last_command"),
        ("configuration_key", "configuration_key"), ("job", "job"), ("why", "why"),
    ):  # fmt: skip
        if data.get(name):
            row[column] = text(data[name])
    for name in ("acknowledged", "total"):
        if (told := number(data.get(name))) is not None:
            row[name] = int(told)
    if (percent := number(data.get("percent"))) is not None:
        row["percent"] = min(100.0, max(0.0, percent))
    if row["queued_ms"] is None:
        row["queued_ms"] = moment(data.get("queued_ms") or data.get("started_ms"))
    match event.type:
        case "process.queued":
            row["queued_ms"] = moment(data.get("queued_ms")) or event.occurred_ms
        case "process.progressed" if row["state"] != "ended":
            row["state"] = "running"
        case "process.ended":
            row |= {"state": "ended", "ended_ms": event.occurred_ms}
            confirmed = row["outcome"] == "confirmed"  # the key proves more than silence does
            row["outcome"] = "confirmed" if confirmed else text(data.get("outcome")) or "unknown"
        case "process.confirmed":
            row |= {"outcome": "confirmed", "confirmed_ms": event.occurred_ms, "state": "ended"}
            row["ended_ms"] = row["ended_ms"] or event.occurred_ms
        case _:
            pass
    return fit(processes, row)


def no_process(connection: str, identity: str) -> dict[str, Any]:
    """Answer the row of a process of which nothing is known."""
    texts = dict.fromkeys(
        ("vehicle", "kind", "outcome", "why", "status", "last_command", "configuration_key", "job"), ""
    )
    times = dict.fromkeys(("queued_ms", "heard_ms", "ended_ms", "confirmed_ms"))
    numbers = dict.fromkeys(("acknowledged", "total", "percent"))
    own = {"connection": connection, "process": identity, "state": "queued", "changed_seq": 0}
    return {**own, **texts, **times, **numbers}


def no_vehicle(connection: str, identity: str) -> dict[str, Any]:
    """Answer the row of a vehicle of which nothing is known."""
    texts = dict.fromkeys(("plate", "serial", "client", "client_name"), "")
    unknown = dict.fromkeys(
        ("connected", "connected_ms", "header_ms", "modules_complete", "modules_ms", "values_ms", "complete")
    )
    counts = dict.fromkeys(("modules_count", "values_count", "changed_seq"), 0)
    own = {"connection": connection, "vehicle": identity, "header": "{}", "evidence": "{}", "missing": "[]"}
    return {**own, **texts, **unknown, **counts}


def _first(header: Json, names: Sequence[str]) -> str:
    return next((text(header[name]).strip() for name in names if text(header.get(name)).strip()), "")


def _named(told: Any, names: Sequence[str]) -> Iterator[tuple[str, Json]]:
    """Answer (id, object) of a mapping by id, or of a list whose objects carry their id."""
    if isinstance(told, Mapping):
        for identity, one in cast("Mapping[str, Any]", told).items():
            yield str(identity), mapping(one)
    elif isinstance(told, list):
        for one in cast("list[Any]", told):
            identity = next((text(mapping(one).get(n)) for n in names if mapping(one).get(n)), "")
            if identity:
                yield identity, mapping(one)


def _texts(told: Any) -> list[str]:
    return [text(one) for one in cast("list[Any]", told)] if isinstance(told, list) else []
