"""The board of vehicles: which transmit, what runs in them now, how old what is known of them is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Query, Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import ConnectionSeen, list_connections
from atalaia.desk.vehicles import queries
from atalaia.desk.vehicles.plates import Plates, plates_of
from atalaia.desk.vehicles.queries import Module, Process, Vehicle, VehicleFilter
from atalaia.web import render
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages.common import PageCursor, Part, look, now_ms, position, screens, show
from atalaia.web.pages.vehicle_words import measured
from atalaia.web.pages.work import outcome_sign, quantity_word
from atalaia.web.parts import Parts, parts_of
from atalaia.web.said import said
from atalaia.web.wire import page_of

routes = screens("vehicles:read")

Text = Annotated[str, Query(max_length=80)]
ROWS = 100
JUST_ENDED_MS = 15 * 60_000
# What a vehicle last told is believed for so long; beyond it nobody knows.
FRESH_MS = 15 * 60_000
QUIET_MS = 15 * 60_000  # of a process; a unit that is configured says something every few seconds

KINDS = {
    "scheme_builder": N_("Scheme Builder"),
    "run_command": N_("G-sensor command"),
}


@dataclass
class Board:
    """What the board shows. known: the vehicles of the processes, by (connection, id)."""

    running: list[Process]
    ended: list[Process]
    vehicles: list[Vehicle]
    following: str | None
    clients: list[tuple[str, str, int]]
    counts: dict[str, int]
    known: dict[tuple[str, str], Vehicle]
    plates: Plates
    connections: list[ConnectionSeen] = field(default_factory=list[ConnectionSeen])


@routes.get("/vehicles")
async def board_page(
    request: Request, q: Text = "", client: Text = "", state: Text = "", cursor: PageCursor = "",
    part: Part = "",
) -> Response:  # fmt: skip
    """Answer the board; the filter of the last time is remembered."""
    if again := render.recall(request, "vehicles"):
        return again
    parts, moment = parts_of(request), now_ms(request)
    connected = {"connected": True, "silent": False}.get(state)
    wanted = VehicleFilter(client=client or None, connected=connected, words=q.strip())
    after = position(cursor, str, str)
    board = await look(request, lambda tx: read_board(tx, parts, wanted, after, moment))
    asked = {"q": q, "client": client, "state": state}
    return show(
        request, "vehicles/board.html", part, remember="vehicles", board=board, asked=asked,
        first=after is None, h=helpers(moment, parts, board.running, board.plates),
    )  # fmt: skip


def read_board(
    tx: Connection, parts: Parts, wanted: VehicleFilter, after: tuple[str, str] | None, moment: int
) -> Board:
    """Read what the board shows: running processes are shown of every client, whatever the filter."""
    running = queries.open_processes(tx)
    ended = queries.just_ended(tx, since_ms=moment - JUST_ENDED_MS)
    rows = queries.list_vehicles(tx, wanted, after=after, limit=ROWS + 1)
    vehicles, following = page_of(rows, ROWS, "vehicle", "connection")
    places = sorted({(one.connection, one.vehicle) for one in (*running, *ended)})
    worlds = {name for name, one in parts.connectors.items() if one.world == "vehicles"}
    known = queries.vehicles_by_id(tx, places) if places else {}
    if wanted.client is not None:
        running = [one for one in running if _client(known, one) == wanted.client]
        ended = [one for one in ended if _client(known, one) == wanted.client]
    return Board(
        running=running,
        ended=ended,
        vehicles=vehicles,
        following=following,
        clients=queries.clients_of_vehicles(tx),
        counts=queries.count_vehicles(tx),
        known=known,
        plates=plates_of(tx, [*places, *((one.connection, one.vehicle) for one in vehicles)]),
        connections=[one for one in list_connections(tx, with_planes=False) if one.connector in worlds],
    )


def _client(known: dict[tuple[str, str], Vehicle], one: Process) -> str:
    vehicle = known.get((one.connection, one.vehicle))
    return vehicle.client if vehicle else ""


Place = tuple[str, str]


def truth_of(one: Vehicle, signs: Mapping[Place, int], moment: int) -> str:
    """Answer the state to show: what nobody heard of for a while is not known, whatever was told last."""
    if one.connected is None:
        return "unknown"
    if not one.connected:
        return "silent"
    return "connected" if moment - (seen_ms(one, signs) or 0) <= FRESH_MS else "unknown"


def seen_ms(one: Vehicle, signs: Mapping[Place, int]) -> int | None:
    """Answer the last moment at which anything of the vehicle itself was seen."""
    times = (one.connected_ms, one.values_ms, one.header_ms, signs.get((one.connection, one.vehicle)))
    return max((ms for ms in times if ms is not None), default=None)


def signs_of(running: Iterable[Process]) -> dict[Place, int]:
    """Answer when the units whose processes run were last heard: they have acknowledged commands."""
    found: dict[Place, int] = {}
    for one in running:
        if one.acknowledged and one.heard_ms is not None:
            place = (one.connection, one.vehicle)
            found[place] = max(found.get(place, 0), one.heard_ms)
    return found


def module_sign(one: Module) -> str:
    """Answer a module's sign: what works now, what worked once, what never did, what is not active."""
    if one.ok is None and one.active is None:
        return "unknown"
    if one.active is False:
        return "module_off"
    if one.ok:
        return "module_ok"
    return "module_was_ok" if one.was_ok else "module_bad"


def parted(modules: Sequence[Module]) -> dict[str, list[Module]]:
    """Part modules: what is active or a bus, trouble first; and what is not active."""
    shown = [one for one in modules if one.is_bus or one.active is not False]
    order = {"module_was_ok": 0, "module_bad": 0}
    shown.sort(key=lambda one: (not one.is_bus, order.get(module_sign(one), 1)))
    return {"active": shown, "idle": [one for one in modules if one not in shown]}


def process_sign(one: Process, moment: int) -> str:
    """Answer a process's sign: its outcome once it ended.

    One that nobody follows to its end, because its job was called off or somebody else began it, does not run
    for ever: without any sign of life it is silent.
    """
    if one.state == "ended":
        return outcome_sign(one.outcome or "unknown")
    last_ms = max(one.heard_ms or 0, one.queued_ms or 0)
    return "silent" if moment - last_ms > QUIET_MS else one.state


def href_of(one: Vehicle | Process) -> str:
    """Answer the page of a vehicle."""
    return f"/vehicles/{quote(one.vehicle)}?{urlencode({'connection': one.connection})}"


def process_title(one: Process) -> str:
    """Answer what a process is, in words."""
    return gettext(KINDS[one.kind]) if one.kind in KINDS else one.kind.replace("_", " ") or gettext("Process")


def helpers(
    moment: int, parts: Parts, running: Iterable[Process], plates: Plates | None = None
) -> dict[str, Any]:
    """Answer what the templates of vehicles need. running: the processes that run in them."""
    signs = signs_of(running)

    def truth(one: Vehicle) -> str:
        return truth_of(one, signs, moment)

    def seen(one: Vehicle) -> int | None:
        return seen_ms(one, signs)

    def missing(one: Vehicle) -> str:
        return ", ".join(quantity_word(name) for name in one.missing)

    def looks(one: Process) -> str:
        return process_sign(one, moment)

    def plate(one: Vehicle | Process) -> str:
        return (plates or {}).get((one.connection, one.vehicle)) or getattr(one, "plate", "")

    def told(text: str) -> str:
        return said(parts.redactor.text(text))

    return {
        "truth": truth,
        "seen_ms": seen,
        "module": module_sign,
        "modules": parted,
        "process": looks,
        "href": href_of,
        "process_title": process_title,
        "said": told,
        "plate": plate,
        "measured": measured,
        "missing": missing,
    }
