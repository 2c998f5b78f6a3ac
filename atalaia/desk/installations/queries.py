"""Installations for lists and pages; how each stands is derived from its jobs when it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from sqlalchemy import Connection, func, or_, select, tuple_

from atalaia.desk.installations.state import Standing, standing
from atalaia.events.log import to_event
from atalaia.events.model import Event
from atalaia.jobs import queries as jobs
from atalaia.jobs.queries import Job
from atalaia.store.installation_tables import installations
from atalaia.store.tables import events

SERVICES = ("INSTALL", "UNINSTALL", "MAINT_WITH_SWAP", "MAINT_NO_SWAP")
HISTORY_MAX = 500


@dataclass(frozen=True, slots=True)
class Installation:
    """One installation as it is kept. root: the first job of its chain, by which it is called.

    form: what the technician filled in; record: {cadastro, can, ts} once it is saved. state: the last word
    that was derived, to filter by; `Seen.standing` is the truth. vehicle: "" until the portal found it.
    """

    root: str
    token: str
    connection: str
    service: str
    client: str
    client_name: str
    plate: str
    serial: str
    technician: str
    vehicle: str
    label: str
    harness: str
    scheme: str
    comment: str
    form: dict[str, Any]
    state: str
    approved_by: str
    approved_ms: int | None
    override: bool
    override_reason: str
    record: dict[str, Any]
    saved_ms: int | None
    by: str
    created_ms: int
    changed_ms: int


@dataclass(frozen=True, slots=True)
class Seen:
    """An installation with its jobs, in the order in which they were asked for, and how it stands."""

    installation: Installation
    chain: list[Job]
    standing: Standing


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which installations. Empty fields do not restrict. words: part of plate, serial, client or technician.

    states: words of `state.WORDS`, as they were last derived.
    """

    states: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    client: str = ""
    words: str = ""
    from_ms: int | None = None
    to_ms: int | None = None


def get(tx: Connection, root: str) -> Seen | None:
    """Answer one installation with its chain; by its first job's id, or by its token."""
    c = installations.c
    row = tx.execute(select(installations).where(or_(c.root == root, c.token == root))).first()
    if row is None:
        return None
    found = to_installation(row)
    chain = jobs.chain(tx, found.root)
    return Seen(found, chain, standing(chain, saved=found.saved_ms is not None))


def plate_of(tx: Connection, root: str) -> str:
    """Answer the plate of the installation whose chain begins with this job, "" when it is none."""
    return str(tx.scalar(select(installations.c.plate).where(installations.c.root == root)) or "")


def list_installations(
    tx: Connection, wanted: Wanted, *, before: tuple[int, str] | None = None, limit: int = 50
) -> list[Seen]:
    """Answer installations, the latest first. before: (created_ms, root) of the last one already known."""
    return [_seen(tx, one) for one in list_rows(tx, wanted, before=before, limit=limit)]


def list_rows(
    tx: Connection, wanted: Wanted, *, before: tuple[int, str] | None = None, limit: int = 50
) -> list[Installation]:
    """Answer what is kept of installations, without their jobs; as `list_installations`."""
    c = installations.c
    query = select(installations).where(*_conditions(wanted))
    if before is not None:
        query = query.where(tuple_(c.created_ms, c.root) < before)
    query = query.order_by(c.created_ms.desc(), c.root.desc()).limit(limit)
    return [to_installation(row) for row in tx.execute(query)]


def count_by_state(tx: Connection, wanted: Wanted) -> dict[str, int]:
    """Answer how many installations stand how, by the words last derived."""
    query = select(installations.c.state, func.count()).where(*_conditions(wanted))
    return {word: int(n) for word, n in tx.execute(query.group_by(installations.c.state))}


def clients(tx: Connection) -> list[tuple[str, str]]:
    """Answer (id, name) of the clients that have installations. A removal need not name one."""
    c = installations.c
    named = select(c.client, func.max(c.client_name)).where(c.client != "").group_by(c.client)
    query = named.order_by(func.max(c.client_name))
    return [(str(one), str(name)) for one, name in tx.execute(query.limit(1_000))]


def history(tx: Connection, roots: Sequence[str]) -> list[Event]:
    """Answer what people did to an installation, oldest first."""
    query = select(events).where(events.c.key.in_(list(roots)), events.c.type.startswith("installation."))
    return [to_event(row) for row in tx.execute(query.order_by(events.c.seq).limit(HISTORY_MAX))]


def verified(tx: Connection, root: str) -> Event | None:
    """Answer what was last said of the scheme that the portal shows (`installation.scheme_verified`)."""
    query = select(events).where(events.c.key == root, events.c.type == "installation.scheme_verified")
    row = tx.execute(query.order_by(events.c.seq.desc()).limit(1)).first()
    return to_event(row) if row else None


def verified_of_vehicle(tx: Connection, connection: str, vehicle: str) -> Event | None:
    """Answer the same for the newest installation of a vehicle."""
    c = installations.c
    query = select(c.root).where(c.connection == connection, c.vehicle == vehicle)
    root = tx.scalar(query.order_by(c.created_ms.desc(), c.root.desc()).limit(1))
    return verified(tx, root) if root else None


def to_installation(row: Any) -> Installation:
    """Read a row of `installations`, all columns."""
    values: dict[str, Any] = row._asdict()
    for name in ("form", "record"):
        read: Any = orjson.loads(values[name] or "{}")
        values[name] = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    return Installation(**values)


def _seen(tx: Connection, one: Installation) -> Seen:
    chain = jobs.chain(tx, one.root)
    return Seen(one, chain, standing(chain, saved=one.saved_ms is not None))


def _conditions(wanted: Wanted) -> Iterator[Any]:
    c = installations.c
    if wanted.states:
        yield c.state.in_(wanted.states)
    if wanted.services:
        yield c.service.in_(wanted.services)
    if wanted.client:
        yield c.client == wanted.client
    if wanted.words:
        places = (c.plate, c.serial, c.client_name, c.technician, c.vehicle, c.root)
        yield or_(*(place.icontains(wanted.words, autoescape=True) for place in places))
    if wanted.from_ms is not None:
        yield c.created_ms >= wanted.from_ms
    if wanted.to_ms is not None:
        yield c.created_ms < wanted.to_ms
