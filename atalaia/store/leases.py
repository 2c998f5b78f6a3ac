"""Who owns what, until when, under which epoch. An epoch is never granted twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from atalaia.errors import Fenced
from atalaia.store.bulk import run
from atalaia.store.store import database_ms
from atalaia.store.tables import leases


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
    if not wanted or most <= 0:
        return []
    _ensure(tx, wanted)
    free = (
        select(leases.c.name, leases.c.epoch)
        .where(leases.c.name.in_(wanted), (leases.c.owner.is_(None)) | (leases.c.expires_ms <= now))
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
    now = database_ms(tx, process_ms)
    kept: list[Lease] = []
    for lease in sorted(held, key=lambda one: one.name):
        mine = (leases.c.name == lease.name, leases.c.owner == owner, leases.c.epoch == lease.epoch)
        done = tx.execute(update(leases).where(*mine).values(expires_ms=now + ttl_ms))
        if done.rowcount:
            kept.append(Lease(lease.name, lease.epoch, now + ttl_ms))
    return kept


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


def _ensure(tx: Connection, names: list[str]) -> None:
    insert = pg_insert if tx.dialect.name == "postgresql" else sqlite_insert
    rows = [{"name": name, "owner": None, "epoch": 0, "expires_ms": 0, "taken_ms": 0} for name in names]
    tx.execute(insert(leases).on_conflict_do_nothing(), rows)
