"""What a job's form offers for fields that ask for an upstream's ids: each id with the name people know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from atalaia.desk.catalogs import catalogs
from atalaia.desk.vehicles.queries import VehicleFilter, list_vehicles

Suggestions = Mapping[str, list[tuple[str, str]]]
MOST = 2_000
SIDES = ("UP", "DOWN", "LEFT", "RIGHT", "FRONT", "BACK")


def suggestions(tx: Connection, connection: str, fields: Iterable[str], client: str = "") -> Suggestions:
    """Answer (value, name) to choose from, by field; fields that nobody knows anything for are left out.

    client: its schemes alone, when it is known. What is typed need not be among them.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    wanted = set(fields)
    if "vehicle_id" in wanted:
        rows = list_vehicles(tx, VehicleFilter(connection=connection), limit=MOST)
        found["vehicle_id"] = [(one.vehicle, f"{one.plate} · {one.client_name}".strip(" ·")) for one in rows]
    if wanted & {"client_id", "client_name"}:
        clients = catalogs.list_entries(tx, catalogs.CLIENTS, limit=MOST)
        found["client_id"] = [(one.key, one.name) for one in clients]
        found["client_name"] = [(one.name, "") for one in clients]
    if "vehicle_setting_id" in wanted:
        found["vehicle_setting_id"] = _schemes(tx, client)
    for side in ("label", "harness"):
        if side in wanted:
            found[side] = [(one, "") for one in SIDES]
    return {name: rows for name, rows in found.items() if rows and name in wanted}


def _schemes(tx: Connection, client: str) -> list[tuple[str, str]]:
    rows = catalogs.list_entries(tx, catalogs.SCHEMES, catalogs.Wanted(client=client), limit=MOST)
    names = {one.key: one.name for one in catalogs.list_entries(tx, catalogs.CLIENTS, limit=MOST)}
    found: dict[str, str] = {}
    for one in rows:
        whose = "" if client else names.get(one.client, one.client)
        found.setdefault(str(one.value.get("scheme_id") or ""), " · ".join(x for x in (one.name, whose) if x))
    return sorted(
        ((number, name) for number, name in found.items() if number), key=lambda one: one[1].casefold()
    )
