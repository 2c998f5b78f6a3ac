"""Which vehicles a plate or a serial belongs to, as far as the hub knows without asking the portal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from sqlalchemy import Connection, func, or_, select

from atalaia.connectors.traffilog.portal.forms import PARKED
from atalaia.connectors.traffilog.portal.lookups import normal_plate, normal_serial, spellings
from atalaia.store.installation_tables import installations
from atalaia.store.vehicle_tables import vehicles

VEHICLES_MAX = 8  # of one plate or serial; more would be a placeholder's


def vehicle_lock(vehicle_id: str) -> str:
    """Answer the lock of one vehicle, the same for jobs by the socket and by the portal."""
    return f"vehicle:{vehicle_id}"


def known_locks(tx: Connection, connection: str, params: Any) -> Sequence[str]:
    """Answer the locks of the vehicles that a job on this plate or these units is about.

    params: the job's, or what an old client sent. It is what the hub heard, so it may be old: a vehicle too
    many is locked then. What the portal says is locked when the job has asked it (`JobContext.lock`).
    """
    given = cast("dict[str, Any]", params.model_dump())
    given = cast("dict[str, Any]", given.get("payload") or given)
    plates = [str(given[name]) for name in ("plate", "plate_real") if given.get(name)]
    serials = [str(given[name]) for name in ("serial", "serial_new") if given.get(name)]
    return [vehicle_lock(one) for one in known_vehicles(tx, connection, plates=plates, serials=serials)]


def known_vehicles(
    tx: Connection, connection: str, *, plates: Iterable[str], serials: Iterable[str]
) -> list[str]:
    """Answer the ids of vehicles that have one of these plates, or hold one of these units."""
    asked = {normal_plate(one) for plate in plates for one in spellings(plate)}
    units = {normal_serial(one) for one in serials}
    asked, units = {one for one in asked if one and PARKED not in one}, units - {""}
    found: set[str] = set()
    for table in (vehicles, installations):
        c = table.c
        plate = func.replace(func.upper(c.plate), " ", "")
        # A fleet stands before the plate as in `604-ABC1D23`.
        ours = [rule for one in sorted(asked) for rule in (plate == one, plate.endswith(f"-{one}"))]
        ours += [func.ltrim(c.serial, "0") == one for one in sorted(units)]
        if not ours:
            continue
        query = select(c.vehicle).where(c.connection == connection, c.vehicle != "", or_(*ours)).distinct()
        rows = list(tx.scalars(query.limit(VEHICLES_MAX + 1)))
        found.update(rows if len(rows) <= VEHICLES_MAX else ())
    return sorted(found)
