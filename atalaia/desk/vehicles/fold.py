"""Folds the facts of vehicles and of the processes that run in them into their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, Table, delete, select, tuple_

from atalaia.desk.upsert import upsert_newer
from atalaia.desk.vehicles.reading import (
    fit,
    flag,
    mapping,
    module_rows,
    moment,
    no_process,
    no_vehicle,
    number,
    process_row,
    text,
    value_rows,
    vehicle_row,
)
from atalaia.events.model import Event
from atalaia.store.upsert import upsert_many
from atalaia.store.vehicle_tables import (
    processes,
    vehicle_modules,
    vehicle_snapshots,
    vehicle_value_history,
    vehicle_values,
    vehicles,
)

MINUTE_MS = 60_000
Place = tuple[str, str]  # connection, and the vehicle's or process's id
_NAMES = ("plate", "serial", "client", "client_name")


class Vehicles:
    """Keeps vehicles with their newest values, modules, history, snapshots by the minute, and processes.

    A merged snapshot tells the whole of what is known, seen values only themselves; a fact that is not
    newer than its vehicle's row changes nothing.
    """

    name = "vehicles"
    types: tuple[str, ...] = (
        "vehicle.snapshot_merged", "vehicle.parameters_seen", "vehicle.connection_changed",
        "process.queued", "process.progressed", "process.key_acknowledged", "process.ended",
        "process.confirmed",
    )  # fmt: skip

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Fold a batch."""
        told = [(event, mapping(orjson.loads(event.body))) for event in events]
        _fold_processes(tx, [one for one in told if one[0].type.startswith("process.")])
        _fold_vehicles(tx, [one for one in told if one[0].type.startswith("vehicle.")])

    def reset(self, tx: Connection) -> None:
        """Forget every vehicle; the log is folded again from its beginning."""
        for table in _TABLES:
            tx.execute(delete(table))


_TABLES: tuple[Table, ...] = (
    vehicles, vehicle_values, vehicle_value_history, vehicle_modules, vehicle_snapshots, processes,
)  # fmt: skip
Told = tuple[Event, Mapping[str, Any]]


def _fold_processes(tx: Connection, told: Sequence[Told]) -> None:
    rows = _present(tx, processes, "process", {(event.connection, event.key) for event, _ in told})
    for event, data in told:
        place = (event.connection, event.key[:40])
        before = rows.get(place) or no_process(*place)
        if event.seq > before["changed_seq"]:
            rows[place] = process_row(event, data, before)
    upsert_newer(tx, processes, list(rows.values()))


@dataclass
class _Parts:
    """Rows to write, by table and key; a later row of the same key takes the place of an earlier one."""

    rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = field(
        default_factory=dict[str, dict[tuple[Any, ...], dict[str, Any]]]
    )

    def add(self, table: Table, row: dict[str, Any]) -> None:
        key = tuple(row[column.name] for column in table.primary_key.columns)
        self.rows.setdefault(table.name, {})[key] = row

    def of(self, table: Table) -> list[dict[str, Any]]:
        return list(self.rows.get(table.name, {}).values())


def _fold_vehicles(tx: Connection, told: Sequence[Told]) -> None:
    rows = _present(tx, vehicles, "vehicle", {(event.connection, event.key) for event, _ in told})
    parts = _Parts()
    for event, data in told:
        place = (event.connection, event.key[:40])
        before = rows.get(place) or no_vehicle(*place)
        if event.seq <= before["changed_seq"]:
            continue
        if event.type == "vehicle.connection_changed":
            rows[place] = before | _connected(event, data)
            continue
        if event.type == "vehicle.parameters_seen":
            rows[place] = before | _seen(event, data, before)
            _add_values(parts, place, event, data)
            continue
        known = vehicle_row(event, data)
        kept = {name: before[name] for name in _NAMES if not known[name]}
        dumped = {name: orjson.dumps(known[name]).decode() for name in ("header", "missing")}
        rows[place] = before | known | kept | dumped | {"changed_seq": event.seq}
        _add_parts(parts, place, event, data, rows[place])
    upsert_newer(tx, vehicles, list(rows.values()))
    for table in (vehicle_values, vehicle_modules, vehicle_snapshots):
        upsert_newer(tx, table, parts.of(table))
    history = parts.of(vehicle_value_history)
    upsert_many(tx, vehicle_value_history, history, ("connection", "vehicle", "parameter", "minute_ms"))


def _connected(event: Event, data: Mapping[str, Any]) -> dict[str, Any]:
    evidence: Any = data.get("evidence") or {}
    return {
        "connected": flag(data.get("connected")),
        "connected_ms": moment(data.get("since_ms") or data.get("since")) or event.occurred_ms,
        "evidence": orjson.dumps(evidence).decode(),
        "changed_seq": event.seq,
    }


def _seen(event: Event, data: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Answer what a few new values change of their vehicle: how many are known, and the age of the newest."""
    times = [row["seen_ms"] for row in value_rows(event, data) if row["seen_ms"] is not None]
    missing: Any = data.get("missing")
    told = {"missing": orjson.dumps(missing).decode()} if isinstance(missing, list) else {}
    return told | {
        # A session that began anew knows fewer than are kept; what is kept is never forgotten.
        "values_count": max(int(number(data.get("known")) or 0), before["values_count"]),
        "values_ms": max([*times, before["values_ms"] or 0]) or None,
        "changed_seq": event.seq,
    }


def _add_parts(
    parts: _Parts, place: Place, event: Event, data: Mapping[str, Any], row: Mapping[str, Any]
) -> None:
    """Add the values, modules, history and snapshot of one merged snapshot; nothing is taken away by it."""
    newest = {"connection": place[0], "vehicle": place[1], "changed_seq": event.seq}
    _add_values(parts, place, event, data)
    for module in module_rows(event, data):
        parts.add(vehicle_modules, newest | module)
    body = {name: data.get(name) for name in ("header", "modules", "parameters")}
    snapshot = {
        "minute_ms": event.occurred_ms - event.occurred_ms % MINUTE_MS, "at_ms": event.occurred_ms,
        "body": orjson.dumps(body).decode(), "values_count": row["values_count"],
        "modules_count": row["modules_count"], "job": text(data.get("job")),
    }  # fmt: skip
    parts.add(vehicle_snapshots, fit(vehicle_snapshots, newest | snapshot))


def _add_values(parts: _Parts, place: Place, event: Event, data: Mapping[str, Any]) -> None:
    own: dict[str, Any] = {"connection": place[0], "vehicle": place[1]}
    for value in value_rows(event, data):
        parts.add(vehicle_values, own | value | {"changed_seq": event.seq})
        if value["number"] is not None and value["seen_ms"] is not None:
            minute = value["seen_ms"] - value["seen_ms"] % MINUTE_MS
            told = {"parameter": value["parameter"], "minute_ms": minute, "number": value["number"]}
            parts.add(vehicle_value_history, own | told)


def _present(tx: Connection, table: Table, key: str, places: set[Place]) -> dict[Place, dict[str, Any]]:
    wanted = sorted((connection, identity[:40]) for connection, identity in places)
    found: dict[Place, dict[str, Any]] = {}
    columns = tuple_(table.c.connection, table.c[key])
    for start in range(0, len(wanted), 200):
        query = select(table).where(columns.in_(wanted[start : start + 200]))
        for row in tx.execute(query).mappings():
            found[row["connection"], row[key]] = dict(row)
    return found
