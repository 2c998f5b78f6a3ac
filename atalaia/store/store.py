"""What the rest of the house knows of the database."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TypeVar

from sqlalchemy import Connection, text

from atalaia.store.bell import Bell

T = TypeVar("T")
Dialect = Literal["sqlite", "postgresql"]
Work = Callable[[Connection], T]

# One number for all appends: commit order equals sequence order, or a cursor skips rows (3 % measured).
_APPEND_LOCK = 0x41746C61


class Store(Protocol):
    """One database. Work is a plain function of a SQLAlchemy connection, the same for both dialects."""

    @property
    def dialect(self) -> Dialect: ...

    @property
    def bell(self) -> Bell: ...

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and answer once it is durable.

        Works that wait at the same time may share one commit; a failing one is undone alone and its
        exception raised here. `work` must not block on anything but the database.
        Errors: `StoreUnavailable` when the database is away or the disk is full.
        """
        ...

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a read connection; it sees one consistent state."""
        ...

    async def still(self, work: Callable[[], T]) -> T:
        """Run `work` on the loop while no statement is made or run in this process; short, and rarely.

        A library loaded late may add to SQLAlchemy itself, and a statement that meets it half-loaded fails.
        """
        ...

    async def close(self) -> None:
        """Finish what waits and let go of the database."""
        ...


def ring_after(tx: Connection, *topics: str) -> None:
    """Ring these topics once the transaction of `tx` is committed."""
    tx.info.setdefault("rings", set()).update(topics)


def tell_after(tx: Connection, topic: str, item: Any) -> None:
    """Hand `item` to who listens to the topic once the transaction of `tx` is committed, in order of commits.

    Only for what may get lost: nobody outside of this process hears of it, and on PostgreSQL nobody at all,
    where several workers commit in one another's way.
    """
    if tx.dialect.name == "sqlite":
        tx.info.setdefault("told", []).append((topic, item))


@contextmanager
def savepoint(tx: Connection) -> Generator[None]:
    """Undo what is done within when it fails, and only that, also what was told; the error goes on.

    On SQLite by the driver: SQLAlchemy's own savepoints cost as much as what is done within them.
    """
    if tx.dialect.name == "postgresql":
        with tx.begin_nested():
            yield
        return
    driver: Any = tx.connection.dbapi_connection
    driver.execute("savepoint part")
    told = len(tx.info.get("told", ()))
    try:
        yield
    except BaseException:
        del tx.info.get("told", [])[told:]
        if driver.in_transaction:  # at some errors SQLite has undone all of it by itself
            driver.execute("rollback to part")
            driver.execute("release part")
        raise
    driver.execute("release part")


def serialise(tx: Connection) -> None:
    """Hold all other appends back until this transaction ends. SQLite has one writer anyway."""
    if tx.dialect.name == "postgresql" and not tx.info.get("serialised"):
        tx.execute(text("select pg_advisory_xact_lock(:n)"), {"n": _APPEND_LOCK})
        # A lock taken within a savepoint is given back when that savepoint is rolled back.
        tx.info["serialised"] = not tx.in_nested_transaction()


def database_ms(tx: Connection, process_ms: int) -> int:
    """Answer the arbiter's time: PostgreSQL's own clock, or this process's where it is the only one."""
    if tx.dialect.name == "postgresql":
        return int(tx.scalar(text("select (extract(epoch from clock_timestamp()) * 1000)::bigint")) or 0)
    return process_ms
