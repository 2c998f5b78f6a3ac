"""Plates of vehicles: what people call them, while upstreams count them by id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, select, tuple_

from atalaia.desk.vehicles.reading import mapping
from atalaia.events.model import Event
from atalaia.jobs.queries import Job
from atalaia.store.installation_tables import installations
from atalaia.store.vehicle_tables import vehicles

Place = tuple[str, str]  # connection, and the upstream's id of the vehicle
Plates = Mapping[Place, str]
PLACES_MAX = 500


def plates_of(tx: Connection, places: Iterable[Place]) -> dict[Place, str]:
    """Answer the plates of these vehicles, as far as they are known: from the vehicle itself, else from its
    newest installation. At most 500 are looked for."""
    wanted = sorted({place for place in places if place[1]})[:PLACES_MAX]
    found: dict[Place, str] = {}
    for table in (installations, vehicles):  # the vehicle's own word comes last and counts
        c = table.c
        query = select(c.connection, c.vehicle, c.plate).where(tuple_(c.connection, c.vehicle).in_(wanted))
        if table is installations:
            query = query.order_by(c.created_ms)
        if wanted:
            found |= {(row[0], row[1]): row[2] for row in tx.execute(query) if row[2]}
    return found


def plates_of_jobs(tx: Connection, jobs: Iterable[Job]) -> dict[Place, str]:
    """Answer the plates of the vehicles that jobs name by id alone."""
    return plates_of(tx, ((job.connection, str(job.params.get("vehicle_id") or "")) for job in jobs))


def plates_of_events(tx: Connection, events: Iterable[Event]) -> dict[Place, str]:
    """Answer the plates of the vehicles that facts are about."""
    return plates_of(tx, ((event.connection, _vehicle(event)) for event in events if event.connection))


def vehicles_called(tx: Connection, words: str, *, limit: int = 50) -> tuple[str, ...]:
    """Answer the ids of vehicles whose plate holds these words."""
    if not words:
        return ()
    query = select(vehicles.c.vehicle).where(vehicles.c.plate.contains(words, autoescape=True)).limit(limit)
    return tuple(str(row[0]) for row in tx.execute(query))


def _vehicle(event: Event) -> str:
    thing = event.type.partition(".")[0]
    if thing == "vehicle":
        return event.key
    if thing not in ("process", "job"):
        return ""
    try:
        data: Any = orjson.loads(event.body)
    except orjson.JSONDecodeError:
        return ""
    told = mapping(data)
    return str((mapping(told.get("params")) if thing == "job" else told).get("vehicle_id") or "")
