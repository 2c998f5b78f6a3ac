"""Vehicles for board, page, comparison and exports; each part with its own age."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from sqlalchemy import Connection, Row, func, or_, select, tuple_

from atalaia.desk.vehicles.reading import mapping
from atalaia.store.vehicle_tables import (
    processes,
    vehicle_modules,
    vehicle_snapshots,
    vehicle_value_history,
    vehicle_values,
    vehicles,
)

FULL_REGISTRY = 36  # rows of the smallest complete reading of modules that was ever seen
BUSES = ("CAN", "J1708")
PROCESSES_MAX = 100
SNAPSHOTS_MAX = 200


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One vehicle. connected: None when nobody knows; evidence: what that rests on.

    complete: every group of parameters has a value; missing: the groups without one.
    """

    connection: str
    vehicle: str
    plate: str
    serial: str
    client: str
    client_name: str
    connected: bool | None
    connected_ms: int | None
    evidence: dict[str, Any]
    header: dict[str, Any]
    header_ms: int | None
    modules_complete: bool | None
    modules_count: int
    modules_ms: int | None
    values_count: int
    values_ms: int | None
    complete: bool | None
    missing: tuple[str, ...]
    changed_seq: int


@dataclass(frozen=True, slots=True)
class Value:
    """The newest value of one parameter. number: None when it is none; preferred: of several ids."""

    parameter: str
    name: str
    raw: str
    value: str
    number: float | None
    unit: str
    source: str
    preferred: bool
    seen_ms: int | None


@dataclass(frozen=True, slots=True)
class Module:
    """One module by name. None: the upstream did not say."""

    module: str
    sub: str
    active: bool | None
    ok: bool | None
    was_ok: bool | None
    error: str
    seen_ms: int | None

    @property
    def is_bus(self) -> bool:
        """Whether it is one of the vehicle's own buses."""
        return self.module in BUSES


@dataclass(frozen=True, slots=True)
class Process:
    """One process in a vehicle. state: queued, running, ended. outcome: "" until the end."""

    connection: str
    process: str
    vehicle: str
    kind: str
    state: str
    outcome: str
    why: str
    status: str
    acknowledged: int | None
    total: int | None
    percent: float | None
    last_command: str
    configuration_key: str
    job: str
    queued_ms: int | None
    heard_ms: int | None
    ended_ms: int | None
    confirmed_ms: int | None


@dataclass(frozen=True, slots=True)
class SnapshotLine:
    """One merged snapshot without its body."""

    minute_ms: int
    at_ms: int
    values_count: int
    modules_count: int
    job: str


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between two snapshots. part: header, modules, parameters. None: it was not there."""

    part: str
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class VehicleFilter:
    """Which vehicles. Empty fields do not restrict. words: part of plate, serial or id."""

    connection: str | None = None
    client: str | None = None
    connected: bool | None = None
    words: str = ""


def list_vehicles(
    tx: Connection, wanted: VehicleFilter, *, after: tuple[str, str] | None = None, limit: int = 100
) -> list[Vehicle]:
    """Answer vehicles by id. after: (vehicle, connection) of the last one already known."""
    c = vehicles.c
    query = select(vehicles).where(*_conditions(wanted)).order_by(c.vehicle, c.connection).limit(limit)
    if after is not None:
        query = query.where(tuple_(c.vehicle, c.connection) > after)
    return [_vehicle(row) for row in tx.execute(query)]


def get_vehicle(tx: Connection, identity: str, connection: str | None = None) -> Vehicle | None:
    """Answer one vehicle; of several accounts that know it the one that heard of it last."""
    query = select(vehicles).where(vehicles.c.vehicle == identity)
    if connection:
        query = query.where(vehicles.c.connection == connection)
    row = tx.execute(query.order_by(vehicles.c.changed_seq.desc()).limit(1)).first()
    return _vehicle(row) if row else None


def vehicles_by_id(tx: Connection, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Vehicle]:
    """Answer vehicles by (connection, id); at most 500 are looked for."""
    query = select(vehicles).where(tuple_(vehicles.c.connection, vehicles.c.vehicle).in_(list(places)[:500]))
    return {(one.connection, one.vehicle): one for one in map(_vehicle, tx.execute(query))}


def count_vehicles(tx: Connection) -> dict[str, int]:
    """Answer how many vehicles transmit, are silent, or are not known of."""
    found = {"connected": 0, "silent": 0, "unknown": 0}
    query = select(vehicles.c.connected, func.count()).group_by(vehicles.c.connected)
    for connected, n in tx.execute(query):
        found["unknown" if connected is None else "connected" if connected else "silent"] += int(n)
    return found


def clients_of_vehicles(tx: Connection) -> list[tuple[str, str, int]]:
    """Answer (client, name, vehicles) by name."""
    c = vehicles.c
    query = select(c.client, func.max(c.client_name), func.count()).group_by(c.client).limit(1_000)
    rows = [(str(code), str(name or code), int(n)) for code, name, n in tx.execute(query) if code]
    return sorted(rows, key=lambda one: one[1].lower())


def list_values(tx: Connection, one: Vehicle) -> list[Value]:
    """Answer the newest value of every parameter: what can be read first, then what is only raw; by name."""
    c = vehicle_values.c
    query = select(vehicle_values).where(c.connection == one.connection, c.vehicle == one.vehicle)
    rows = tx.execute(query.order_by(c.value == "", c.name, c.preferred.desc(), c.parameter))
    names = Value.__dataclass_fields__
    return [Value(**{name: row._mapping[name] for name in names}) for row in rows]  # pyright: ignore[reportPrivateUsage]


def value_lines(
    tx: Connection, one: Vehicle, *, from_ms: int, parameter: str | None = None
) -> dict[str, list[tuple[int, float]]]:
    """Answer (minute, number) of every parameter since a moment, oldest first; or of one alone."""
    c = vehicle_value_history.c
    query = select(c.parameter, c.minute_ms, c.number).where(
        c.connection == one.connection, c.vehicle == one.vehicle, c.minute_ms >= from_ms
    )
    if parameter is not None:
        query = query.where(c.parameter == parameter)
    found: dict[str, list[tuple[int, float]]] = {}
    for row in tx.execute(query.order_by(c.parameter, c.minute_ms).limit(200_000)):
        found.setdefault(row.parameter, []).append((int(row.minute_ms), float(row.number)))
    return found


def list_modules(tx: Connection, one: Vehicle) -> list[Module]:
    """Answer the modules, the vehicle's buses first, then by name."""
    c = vehicle_modules.c
    query = select(vehicle_modules).where(c.connection == one.connection, c.vehicle == one.vehicle)
    names = Module.__dataclass_fields__
    rows = [
        Module(**{name: row._mapping[name] for name in names})  # pyright: ignore[reportPrivateUsage]
        for row in tx.execute(query.order_by(c.module, c.sub))
    ]
    return sorted(rows, key=lambda module: not module.is_bus)


def list_snapshots(
    tx: Connection, one: Vehicle, *, before: int | None = None, limit: int = 20
) -> list[SnapshotLine]:
    """Answer merged snapshots, the latest first. before: the minute of the last one already known."""
    c = vehicle_snapshots.c
    query = select(c.minute_ms, c.at_ms, c.values_count, c.modules_count, c.job)
    query = query.where(c.connection == one.connection, c.vehicle == one.vehicle)
    if before is not None:
        query = query.where(c.minute_ms < before)
    rows = tx.execute(query.order_by(c.minute_ms.desc()).limit(min(limit, SNAPSHOTS_MAX)))
    return [SnapshotLine(*row) for row in rows]


def get_snapshot(tx: Connection, one: Vehicle, minute_ms: int) -> dict[str, Any] | None:
    """Answer the body of one merged snapshot: {"header", "modules", "parameters"}."""
    c = vehicle_snapshots.c
    query = select(c.body).where(
        c.connection == one.connection, c.vehicle == one.vehicle, c.minute_ms == minute_ms
    )
    body = tx.scalar(query)
    return None if body is None else cast("dict[str, Any]", orjson.loads(body))


def list_processes(tx: Connection, one: Vehicle, *, limit: int = 20) -> list[Process]:
    """Answer the processes of a vehicle, the latest first."""
    c = processes.c
    query = select(processes).where(c.connection == one.connection, c.vehicle == one.vehicle)
    return [_process(row) for row in tx.execute(query.order_by(c.changed_seq.desc()).limit(limit))]


def open_processes(
    tx: Connection, *, connection: str | None = None, limit: int = PROCESSES_MAX
) -> list[Process]:
    """Answer what is queued or runs now, the longest first."""
    query = select(processes).where(processes.c.state.in_(("queued", "running")))
    if connection is not None:
        query = query.where(processes.c.connection == connection)
    order = (func.coalesce(processes.c.queued_ms, processes.c.heard_ms), processes.c.process)
    return [_process(row) for row in tx.execute(query.order_by(*order).limit(limit))]


def just_ended(tx: Connection, *, since_ms: int, limit: int = 20) -> list[Process]:
    """Answer the processes that ended since a moment, the latest first."""
    c = processes.c
    query = select(processes).where(c.ended_ms >= since_ms).order_by(c.ended_ms.desc()).limit(limit)
    return [_process(row) for row in tx.execute(query)]


def count_outcomes(tx: Connection, *, since_ms: int) -> dict[str, int]:
    """Answer how many processes ended since a moment, by outcome."""
    c = processes.c
    query = select(c.outcome, func.count()).where(c.ended_ms >= since_ms).group_by(c.outcome)
    return {str(outcome): int(n) for outcome, n in tx.execute(query)}


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Answer what differs between two snapshots, by part and name; ages alone are no difference. Pure."""
    found: list[Change] = []
    for part in ("header", "modules", "parameters"):
        old, new = dict(_flat(part, before.get(part))), dict(_flat(part, after.get(part)))
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                found.append(Change(part, name, old.get(name), new.get(name)))
    return found


_AGES = ("server_time", "orig_time", "seen_at", "seen_ms", "last_update_date")


def _flat(part: str, told: Any) -> Iterator[tuple[str, str]]:
    if isinstance(told, list):
        rows = [mapping(one) for one in cast("list[Any]", told)]
        told = {str(row.get("id") or row.get("name") or place): row for place, row in enumerate(rows)}
    for name, value in mapping(told).items():
        if name in _AGES:
            continue
        if part == "parameters":
            one = mapping(value)
            label = f"{one.get('name') or name} ({name})" if one.get("name") else name
            unit = f" {one.get('unit')}" if one.get("unit") else ""
            shown = one.get("value") if one.get("value") not in (None, "") else one.get("raw")
            yield label, f"{'' if shown is None else shown}{unit}"
        elif part == "modules":
            one = mapping(value)
            flags = [word for word in ("active", "ok", "was_ok") if one.get(word) in (True, 1, "1")]
            error = one.get("error_descr") or (one.get("error") if isinstance(one.get("error"), str) else "")
            yield name, " ".join([*flags, *([str(error)] if error else [])]) or "—"
        elif not isinstance(value, Mapping | list):
            yield name, "" if value is None else str(value)


def _conditions(wanted: VehicleFilter) -> Iterator[Any]:
    c = vehicles.c
    if wanted.connection is not None:
        yield c.connection == wanted.connection
    if wanted.client is not None:
        yield c.client == wanted.client
    if wanted.connected is not None:
        yield c.connected.is_(wanted.connected)
    if wanted.words:
        places = (c.plate, c.serial, c.vehicle, c.client_name)
        yield or_(*(place.icontains(wanted.words, autoescape=True) for place in places))


_JSON = ("evidence", "header", "missing")


def _vehicle(row: Row[Any]) -> Vehicle:
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's public name for it
    told = {name: orjson.loads(values[name]) for name in _JSON}
    told["missing"] = tuple(told["missing"])
    told["evidence"] = dict(mapping(told["evidence"]))
    return Vehicle(**(values | told))


def _process(row: Row[Any]) -> Process:
    values = row._mapping  # pyright: ignore[reportPrivateUsage]
    return Process(**{name: values[name] for name in Process.__dataclass_fields__})
