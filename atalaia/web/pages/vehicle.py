"""The page of one vehicle: what is known of it, how old each part is, what runs, ran and changed in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import names as connection_names
from atalaia.desk.installations.queries import verified_of_vehicle
from atalaia.desk.vehicles import queries
from atalaia.desk.vehicles.plates import Plates, plates_of
from atalaia.desk.vehicles.queries import Module, Process, SnapshotLine, Value, Vehicle
from atalaia.jobs.queries import Job, newest_by_param
from atalaia.web import i18n, render
from atalaia.web.api.jobs import kinds_of
from atalaia.web.api.vehicles import VehicleId
from atalaia.web.pages.common import DAY_MS, PageCursor, Part, look, now_ms, position, screens, show
from atalaia.web.pages.installs import Verified, verified_of
from atalaia.web.pages.jobs import helpers as job_helpers
from atalaia.web.pages.vehicle_words import Changes, change_words, header_pairs, parted_changes
from atalaia.web.pages.vehicles import helpers
from atalaia.web.pages.work import kind_title
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.ranges import TimeRange
from atalaia.web.wire import SEQ_MAX, page_of

routes = screens("vehicles:read")

Text = Annotated[str, Query(max_length=80)]
Minute = Annotated[int, Query(ge=0, le=SEQ_MAX)]
VIEWS = ("overview", "parameters", "snapshots")
SPARK_MS, SPARK_POINTS = DAY_MS, 48
PLOT_POINTS_MAX = 2_000
SNAPSHOTS = 30
# Fields of a header that fill a job's form in, by the field of the form.
_FILLS = {
    "vehicle_id": ("vehicle",),
    "client_id": ("client",),
    "client_name": ("client_name",),
    "plate": ("plate",),
    "license_nmbr": ("plate",),
    "serial": ("serial",),
    "inner_id": ("serial",),
}


@dataclass
class Act:
    """One job that can be asked for this vehicle."""

    title: str
    href: str


@dataclass
class Shown:
    """What the page shows; each view fills in its own parts. known, raw: values that are decoded, and those
    that nobody can read yet."""

    vehicle: Vehicle
    connection: str
    running: list[Process] = field(default_factory=list[Process])
    processes: list[Process] = field(default_factory=list[Process])
    modules: list[Module] = field(default_factory=list[Module])
    values: list[Value] = field(default_factory=list[Value])
    known: list[Value] = field(default_factory=list[Value])
    raw: list[Value] = field(default_factory=list[Value])
    sparks: dict[str, list[float | None]] = field(default_factory=dict[str, list[float | None]])
    plot: dict[str, Any] | None = None
    plotted: Value | None = None
    snapshots: list[SnapshotLine] = field(default_factory=list[SnapshotLine])
    following: str | None = None
    changes: Changes | None = None
    compared: tuple[int, int] = (0, 0)
    jobs: list[Job] = field(default_factory=list[Job])
    acts: list[Act] = field(default_factory=list[Act])
    names: dict[str, str] = field(default_factory=dict[str, str])
    verified: Verified | None = None
    plates: Plates = field(default_factory=dict[tuple[str, str], str])


@routes.get("/vehicles/{vehicle}")
async def vehicle_page(
    request: Request, vehicle: VehicleId, connection: Annotated[str, Query(max_length=36)] = "",
    view: Text = "", q: Text = "", all: Text = "", parameter: Text = "", before: Minute = 0,
    after: Minute = 0, cursor: PageCursor = "", part: Part = "",
) -> Response:  # fmt: skip
    """Answer one view of a vehicle: overview, parameters or snapshots."""
    parts, moment, seen = parts_of(request), now_ms(request), render.view_of(request)
    chosen = view if view in VIEWS else "overview"
    ranged = TimeRange.read(request.query_params, moment, seen.zone, default="24h")

    def read(tx: Connection) -> Shown | None:
        with i18n.drawing(seen):
            one = queries.get_vehicle(tx, vehicle, connection or None)
            if one is None:
                return None
            shown = _read_frame(tx, parts, one)
            if chosen == "parameters":
                _read_parameters(tx, shown, q, parameter, every=all == "1", ranged=ranged)
            elif chosen == "snapshots":
                _read_snapshots(tx, shown, before, after, position(cursor, int))
            else:
                _read_overview(tx, shown, parts)
            return shown

    shown = await look(request, read)
    if shown is None:
        raise not_found("vehicle")
    asked = {"q": q, "all": all, "parameter": parameter, "view": chosen}
    # The head of every view is drawn by the template that they extend.
    template = "vehicles/vehicle.html" if part == "truth" else f"vehicles/{chosen}.html"
    return show(
        request, template, part, shown=shown, one=shown.vehicle, asked=asked, range=ranged,
        h=helpers(moment, parts, shown.running, shown.plates),
        jobs=job_helpers(parts, shown.names, shown.plates), first=not cursor,
        where=_where(shown.vehicle), mask=parts.redactor.value,
        header_pairs=header_pairs, change_words=change_words,
    )  # fmt: skip


def _where(one: Vehicle) -> Mapping[str, str]:
    """Answer the addresses of the views of this vehicle."""
    base = f"/vehicles/{one.vehicle}"
    return {name: f"{base}?{urlencode({'connection': one.connection, 'view': name})}" for name in VIEWS} | {
        "export": f"/api/vehicles/{one.vehicle}/export?{urlencode({'connection': one.connection})}"
    }


def _read_frame(tx: Connection, parts: Parts, one: Vehicle) -> Shown:
    """Read what every view shows: the vehicle, what runs in it, what can be asked for it."""
    names = connection_names(tx)
    processes = queries.list_processes(tx, one)
    configured = parts.registry.get(tx, one.connection)
    return Shown(
        vehicle=one,
        connection=names.get(one.connection, one.connection),
        running=[process for process in processes if process.state != "ended"],
        processes=[process for process in processes if process.state == "ended"],
        acts=_acts(parts, one, configured.connector if configured else ""),
        names=names,
        verified=verified_of(verified_of_vehicle(tx, one.connection, one.vehicle)),
        plates=plates_of(tx, [(one.connection, one.vehicle)]),
    )


def _acts(parts: Parts, one: Vehicle, connector: str) -> list[Act]:
    """Answer the jobs of the connection that are about one vehicle, their forms filled in."""
    found: list[Act] = []
    for name, kind in kinds_of(parts).items():
        fields = kind.params.model_fields
        able = kind.offered and not kind.external and "vehicle_id" in fields
        if name.partition(".")[0] != connector or not able:
            continue
        given = {
            form: str(getattr(one, column))
            for form, (column,) in _FILLS.items()
            if form in fields and getattr(one, column)
        }
        query = urlencode({"kind": name, "connection": one.connection, **given})
        found.append(Act(kind_title(name, parts.connectors), f"/jobs/new?{query}"))
    return sorted(found, key=lambda act: act.title)


def _read_overview(tx: Connection, shown: Shown, parts: Parts) -> None:
    shown.modules = queries.list_modules(tx, shown.vehicle)
    shown.jobs = newest_by_param(tx, "vehicle_id", shown.vehicle.vehicle, limit=10)


def _read_parameters(
    tx: Connection, shown: Shown, q: str, parameter: str, *, every: bool, ranged: TimeRange
) -> None:
    words = q.strip().lower()
    values = queries.list_values(tx, shown.vehicle)
    shown.values = [
        one
        for one in values
        if (every or one.preferred) and (not words or words in f"{one.name} {one.parameter}".lower())
    ]
    lines = queries.value_lines(tx, shown.vehicle, from_ms=ranged.from_ms)
    shown.known = [one for one in shown.values if one.value]
    shown.raw = [one for one in shown.values if not one.value]
    drawn = {
        one.parameter: spark_of(lines[one.parameter], ranged.from_ms, ranged.to_ms)
        for one in shown.values
        if len(lines.get(one.parameter, ())) > 1
    }
    shown.sparks = {name: line for name, line in drawn.items() if sum(one is not None for one in line) > 1}
    shown.plotted = next((one for one in values if one.parameter == parameter), None)
    if shown.plotted is not None:
        shown.plot = plot_of(shown.plotted, lines.get(parameter, []))


def spark_of(line: list[tuple[int, float]], from_ms: int, to_ms: int) -> list[float | None]:
    """Answer the last value of each of some equal stretches of time; None where nothing was seen."""
    width = max(1, (to_ms - from_ms) // SPARK_POINTS)
    cells: list[float | None] = [None] * SPARK_POINTS
    for at, value in line:
        cells[min(SPARK_POINTS - 1, max(0, (at - from_ms) // width))] = value
    last: float | None = None
    for place, value in enumerate(cells):  # a value holds until the next one is seen
        last = value if value is not None else last
        cells[place] = last
    return cells


def plot_of(value: Value, line: list[tuple[int, float]]) -> dict[str, Any]:
    """Answer what static/app/plots.js draws of one parameter."""
    points = line[-PLOT_POINTS_MAX:]
    series = {
        "label": value.name, "unit": value.unit, "tone": "info", "kind": "steps",
        "values": [number for _, number in points],
    }  # fmt: skip
    return {"x": [at for at, _ in points], "series": [series], "gaps": []}


def _read_snapshots(tx: Connection, shown: Shown, before: int, after: int, cursor: int | None) -> None:
    one = shown.vehicle
    rows = queries.list_snapshots(tx, one, before=cursor, limit=SNAPSHOTS + 1)
    shown.snapshots, shown.following = page_of(rows, SNAPSHOTS, "minute_ms")
    if not (before and after) and len(shown.snapshots) > 1:
        before, after = shown.snapshots[1].minute_ms, shown.snapshots[0].minute_ms
    if before and after:
        old, new = queries.get_snapshot(tx, one, before), queries.get_snapshot(tx, one, after)
        if old is not None and new is not None:
            shown.compared = (before, after)
            shown.changes = parted_changes(queries.changes_between(old, new))
