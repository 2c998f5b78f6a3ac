"""Vehicles: what is known of each and how old it is, their processes, snapshots and exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Path, Query, Request, Response
from pydantic import Field
from sqlalchemy import Connection

from atalaia.clock import rfc3339
from atalaia.desk.vehicles import queries
from atalaia.desk.vehicles.queries import Value, Vehicle, VehicleFilter
from atalaia.web.access import require
from atalaia.web.api.common import Wire, router
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.tables import CSV, XLSX, Cell, attachment, csv_text, xlsx_bytes
from atalaia.web.wire import (
    SEQ_MAX,
    Cursor,
    From,
    Limit,
    Moment,
    Page,
    ms_of,
    page_of,
    read_cursor,
)

T = TypeVar("T")
routes = router("vehicles")
_READ = [Depends(require("vehicles:read"))]
Json = dict[str, Any]
VehicleId = Annotated[str, Path(min_length=1, max_length=40, pattern=r"^[0-9A-Za-z._-]+$")]
Account = Annotated[
    str | None, Query(max_length=36, description="The connection, when several accounts know the vehicle.")
]
Minute = Annotated[int, Field(ge=0, le=SEQ_MAX, description="`id` of a snapshot.")]


class VehicleOut(Wire):
    """One vehicle; each part with the moment it is from. connected: null when nobody knows."""

    connection: str
    vehicle: str
    plate: str
    serial: str
    client: str
    client_name: str
    connected: bool | None
    connected_since: Moment | None = Field(validation_alias="connected_ms")
    evidence: Json
    header: Json
    header_at: Moment | None = Field(validation_alias="header_ms")
    modules_complete: bool | None
    modules_count: int
    modules_at: Moment | None = Field(validation_alias="modules_ms")
    values_count: int
    values_at: Moment | None = Field(validation_alias="values_ms")
    complete: bool | None
    missing: list[str]


class ValueOut(Wire):
    """The newest value of one parameter. preferred: of several ids of the same quantity."""

    parameter: str
    name: str
    raw: str
    value: str
    number: float | None
    unit: str
    source: str
    preferred: bool
    seen_at: Moment | None = Field(validation_alias="seen_ms")


class ModuleOut(Wire):
    """One module; null where the upstream did not say."""

    module: str
    sub: str
    active: bool | None
    ok: bool | None
    was_ok: bool | None
    error: str
    seen_at: Moment | None = Field(validation_alias="seen_ms")


class ProcessOut(Wire):
    """One process in a vehicle.

    outcome: confirmed, completed_unconfirmed, unknown, failed; "" until the end.
    """

    connection: str
    process: str
    vehicle: str
    kind: str
    state: Literal["queued", "running", "ended"]
    outcome: str
    why: str
    status: str
    acknowledged: int | None
    total: int | None
    percent: float | None
    last_command: str
    configuration_key: str
    job: str
    queued_at: Moment | None = Field(validation_alias="queued_ms")
    heard_at: Moment | None = Field(validation_alias="heard_ms")
    ended_at: Moment | None = Field(validation_alias="ended_ms")
    confirmed_at: Moment | None = Field(validation_alias="confirmed_ms")


class VehicleWhole(VehicleOut):
    """One vehicle with everything that is known of it."""

    parameters: list[ValueOut]
    modules: list[ModuleOut]
    processes: list[ProcessOut]


class PointOut(Wire):
    """The last value of a minute."""

    at: Moment
    value: float


class SnapshotOut(Wire):
    """One merged snapshot, at most one a minute."""

    id: int = Field(validation_alias="minute_ms")
    at: Moment = Field(validation_alias="at_ms")
    values_count: int
    modules_count: int
    job: str


class ChangeOut(Wire):
    """What differs between two snapshots; null where it was not there."""

    part: Literal["header", "modules", "parameters"]
    name: str
    before: str | None
    after: str | None


@routes.get("/vehicles", dependencies=_READ)
async def list_vehicles(
    request: Request,
    connection: Annotated[str | None, Query(max_length=36)] = None,
    client: Annotated[str | None, Query(max_length=40)] = None,
    connected: Annotated[bool | None, Query(description="As last told.")] = None,
    text: Annotated[str, Query(max_length=80, description="Part of plate, serial, id or client.")] = "",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[VehicleOut]:
    """List vehicles by id."""
    parts, after = parts_of(request), read_cursor(cursor, str, str)
    wanted = VehicleFilter(connection, client, connected, text.strip())
    found = await parts.store.read(lambda tx: queries.list_vehicles(tx, wanted, after=after, limit=limit + 1))
    rows, following = page_of(found, limit, "vehicle", "connection")
    return Page(items=[_out(one, parts) for one in rows], next=following)


@routes.get("/processes", dependencies=_READ)
async def list_open_processes(
    request: Request, connection: Annotated[str | None, Query(max_length=36)] = None
) -> list[ProcessOut]:
    """List the processes that are queued or run now, the longest first."""
    found = await parts_of(request).store.read(lambda tx: queries.open_processes(tx, connection=connection))
    return [ProcessOut.model_validate(one) for one in found]


@routes.get("/vehicles/{vehicle}", dependencies=_READ)
async def get_vehicle(request: Request, vehicle: VehicleId, connection: Account = None) -> VehicleWhole:
    """Answer one vehicle with its parameters, modules and latest processes."""
    parts = parts_of(request)

    def read(tx: Connection, one: Vehicle) -> VehicleWhole:
        return VehicleWhole(
            **dict(_out(one, parts)),
            parameters=[ValueOut.model_validate(value) for value in queries.list_values(tx, one)],
            modules=[ModuleOut.model_validate(module) for module in queries.list_modules(tx, one)],
            processes=[ProcessOut.model_validate(process) for process in queries.list_processes(tx, one)],
        )

    return await of_vehicle(parts, vehicle, connection, read)


@routes.get(
    "/vehicles/{vehicle}/export",
    dependencies=_READ,
    response_class=Response,
    responses={
        200: {
            "content": {
                CSV: {"schema": {"type": "string"}},
                XLSX: {"schema": {"type": "string", "format": "binary"}},
            }
        }
    },
)
async def export_parameters(
    request: Request,
    vehicle: VehicleId,
    connection: Account = None,
    format: Annotated[Literal["csv", "xlsx"], Query()] = "csv",
) -> Response:
    """Export the newest value of every parameter."""
    values = await of_vehicle(parts_of(request), vehicle, connection, queries.list_values)
    name = f"vehicle-{vehicle}-parameters.{format}"
    rows = [_row(value) for value in values]
    if format == "csv":
        return attachment(csv_text(_COLUMNS, rows), CSV, name)
    return attachment(xlsx_bytes(f"Vehicle {vehicle}", _COLUMNS, rows), XLSX, name)


@routes.get("/vehicles/{vehicle}/parameters/{parameter}", dependencies=_READ)
async def parameter_history(
    request: Request,
    vehicle: VehicleId,
    parameter: Annotated[str, Path(min_length=1, max_length=40)],
    since: From = None,
    connection: Account = None,
) -> list[PointOut]:
    """Answer what a parameter was, by minute, oldest first; only numbers have a history."""
    start = ms_of(since) or 0

    def read(tx: Connection, one: Vehicle) -> list[PointOut]:
        lines = queries.value_lines(tx, one, from_ms=start, parameter=parameter)
        return [PointOut(at=at, value=value) for at, value in lines.get(parameter, [])]

    return await of_vehicle(parts_of(request), vehicle, connection, read)


@routes.get("/vehicles/{vehicle}/snapshots", dependencies=_READ)
async def list_snapshots(
    request: Request, vehicle: VehicleId, connection: Account = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[SnapshotOut]:
    """List merged snapshots, the latest first."""
    before: int | None = read_cursor(cursor, int)

    def read(tx: Connection, one: Vehicle) -> list[queries.SnapshotLine]:
        return queries.list_snapshots(tx, one, before=before, limit=limit + 1)

    found = await of_vehicle(parts_of(request), vehicle, connection, read)
    rows, following = page_of(found, limit, "minute_ms")
    return Page(items=[SnapshotOut.model_validate(one) for one in rows], next=following)


@routes.get("/vehicles/{vehicle}/snapshots/{snapshot}", dependencies=_READ)
async def get_snapshot(
    request: Request, vehicle: VehicleId, snapshot: Minute, connection: Account = None
) -> Json:
    """Answer one merged snapshot: header, modules, parameters."""
    parts = parts_of(request)
    found = await of_vehicle(
        parts, vehicle, connection, lambda tx, one: queries.get_snapshot(tx, one, snapshot)
    )
    if found is None:
        raise not_found("snapshot")
    return parts.redactor.value(found)


@routes.get("/vehicles/{vehicle}/compare", dependencies=_READ)
async def compare_snapshots(
    request: Request,
    vehicle: VehicleId,
    before: Annotated[int, Query(ge=0, le=SEQ_MAX, description="`id` of the earlier snapshot.")],
    after: Annotated[int, Query(ge=0, le=SEQ_MAX, description="`id` of the later snapshot.")],
    connection: Account = None,
) -> list[ChangeOut]:
    """Answer what differs between two snapshots; ages alone are no difference."""

    def read(tx: Connection, one: Vehicle) -> tuple[Json | None, Json | None]:
        return queries.get_snapshot(tx, one, before), queries.get_snapshot(tx, one, after)

    old, new = await of_vehicle(parts_of(request), vehicle, connection, read)
    if old is None or new is None:
        raise not_found("snapshot")
    return [ChangeOut.model_validate(one) for one in queries.changes_between(old, new)]


async def of_vehicle(
    parts: Parts, vehicle: str, connection: str | None, read: Callable[[Connection, Vehicle], T]
) -> T:
    """Read something of one vehicle. Errors: `Problem` 404."""

    def work(tx: Connection) -> tuple[T] | None:
        one = queries.get_vehicle(tx, vehicle, connection)
        return (read(tx, one),) if one else None

    found = await parts.store.read(work)
    if found is None:
        raise not_found("vehicle")
    return found[0]


_COLUMNS = ("id", "name", "value", "unit", "raw", "source", "preferred", "seen_at")


def _row(value: Value) -> tuple[Cell, ...]:
    seen = rfc3339(value.seen_ms) if value.seen_ms is not None else None
    shown = value.value if value.number is None else value.number
    return value.parameter, value.name, shown, value.unit, value.raw, value.source, value.preferred, seen


def _out(one: Vehicle, parts: Parts) -> VehicleOut:
    out = VehicleOut.model_validate(one)
    out.header, out.evidence = parts.redactor.value(one.header), parts.redactor.value(one.evidence)
    return out
