"""Who owns what, until when, under which epoch. An epoch is never granted twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from atalaia.errors import Fenced
from atalaia.store.bulk import fetch_rows, given, in_parts, run, tuples_of
from atalaia.store.store import database_ms
from atalaia.store.tables import leases

_LOOKED_AT = 500  # names at once


@dataclass(frozen=True, slots=True)
class Lease:
    """Ownership of `name` under `epoch`; expires at `expires_ms` of the database's clock unless renewed."""

    name: str
    epoch: int
    expires_ms: int


def claim(
    tx: Connection, names: Iterable[str], owner: str, *, ttl_ms: int, process_ms: int, most: int
) -> list[Lease]:
    """Take up to `most` of the named leases that nobody holds; their epochs grow by one."""
    now = database_ms(tx, process_ms)
    wanted = sorted(set(names))
    taken: list[Lease] = []
    # Piece by piece, because of thousands that are free only the first few are taken at once.
    for start in range(0, len(wanted), _LOOKED_AT):
        if len(taken) >= most:
            break
        part = wanted[start : start + _LOOKED_AT]
        _ensure(tx, part)
        taken += _claim(tx, part, owner, now, ttl_ms, most - len(taken))
    return taken


def _claim(tx: Connection, names: list[str], owner: str, now: int, ttl_ms: int, most: int) -> list[Lease]:
    free = (
        select(leases.c.name, leases.c.epoch)
        .where(leases.c.name.in_(names), (leases.c.owner.is_(None)) | (leases.c.expires_ms <= now))
        .order_by(leases.c.name)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    taken = [Lease(row.name, row.epoch + 1, now + ttl_ms) for row in tx.execute(free)]
    for lease in taken:
        change = {"owner": owner, "epoch": lease.epoch, "expires_ms": lease.expires_ms, "taken_ms": now}
        tx.execute(update(leases).where(leases.c.name == lease.name).values(change))
    return taken


def renew(tx: Connection, held: Iterable[Lease], owner: str, *, ttl_ms: int, process_ms: int) -> list[Lease]:
    """Extend the leases that are still ours; answer those. What is missing was taken by somebody else."""
    expires = database_ms(tx, process_ms) + ttl_ms
    rows = sorted((lease.name, lease.epoch) for lease in held)
    kept: list[tuple[str, int]] = []
    for part in in_parts(rows):
        # One statement for many; which of them was taken from us is asked only when one was.
        whole = _renew(tx, part, owner, expires) == len(part)
        kept += [one for one in part if whole or _renew(tx, [one], owner, expires)]
    return [Lease(name, epoch, expires) for name, epoch in kept]


def _renew(tx: Connection, rows: Sequence[tuple[str, int]], owner: str, expires_ms: int) -> int:
    """Extend those of these (name, epoch) that are the owner's; answer how many they are."""
    mine = "leases.name = given.name and leases.epoch = given.epoch and leases.owner = ?"
    renewed = 0
    for table, values in given(tx, {"name": "text", "epoch": "bigint"}, rows):
        sql = f"update leases set expires_ms = ? from {table} where {mine}"  # noqa: S608
        renewed += run(tx, sql, expires_ms, *values, owner).rowcount
    return renewed


def release(tx: Connection, held: Iterable[Lease], owner: str) -> None:
    """Hand leases back at once, so that nobody waits for them to expire."""
    for lease in held:
        mine = (leases.c.name == lease.name, leases.c.owner == owner, leases.c.epoch == lease.epoch)
        tx.execute(update(leases).where(*mine).values(owner=None, expires_ms=0))


def check(tx: Connection, name: str, epoch: int) -> None:
    """Refuse to go on in this transaction when `epoch` is no longer current. Errors: `Fenced`.

    The key-share lock holds a take-over back until we have committed, but not the owner's own renewal:
    a plain share lock would, and then renewal and appends can wait for each other in a circle.
    """
    lock = " for key share" if tx.dialect.name == "postgresql" else ""
    current = run(tx, f"select epoch from leases where name = ?{lock}", name).scalar()  # noqa: S608
    if current != epoch:
        raise Fenced(f"{name} is owned by a newer worker (epoch {current}, ours was {epoch}).")


def epochs_of(tx: Connection, names: Sequence[str]) -> dict[str, int]:
    """Answer under which epochs these are owned, and will be until we have committed; see `check`."""
    found: dict[str, int] = {}
    # In one order everywhere, so that two workers never wait for each other's rows in a circle.
    for table, values in given(tx, {"name": "text"}, [(name,) for name in sorted(set(names))]):
        sql = f"select leases.name, leases.epoch from {table} join leases on leases.name = given.name"  # noqa: S608
        lock = " order by leases.name for key share of leases" if tx.dialect.name == "postgresql" else ""
        found.update({row[0]: row[1] for row in fetch_rows(tx, "name, epoch", sql + lock, *values)})
    return found


def _ensure(tx: Connection, names: list[str]) -> None:
    asked = f"select name from leases where name in {tuples_of(len(names), 1)}"  # noqa: S608
    known = {row[0] for row in fetch_rows(tx, "name", asked, *names)}
    rows = [
        {"name": name, "owner": None, "epoch": 0, "expires_ms": 0, "taken_ms": 0}
        for name in names
        if name not in known
    ]
    if rows:
        insert = pg_insert if tx.dialect.name == "postgresql" else sqlite_insert
        tx.execute(insert(leases).on_conflict_do_nothing(), rows)
