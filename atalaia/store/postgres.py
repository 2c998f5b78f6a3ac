"""PostgreSQL through asyncpg: every worker writes in its own transactions, the log's lock orders appends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from atalaia.errors import ConfigError, StoreUnavailable
from atalaia.store.bell import Bell
from atalaia.store.failure import unavailable
from atalaia.store.migrate import upgrade
from atalaia.store.store import Work

T = TypeVar("T")
CHANNEL = "atalaia"
RELISTEN_S = 2.0
MIGRATION_LOCK = 0x41746C62
CONNECT_S = 10.0
COMMAND_S = 60.0
# A worker that is paused in a transaction holds the log's lock against all others. The server undoes that
# before the worker's leases run out; what it says when it wakes is refused.
PAUSED_MS = 5_000


class PostgresStore:
    """The shared store of many workers. See `store.Store` for the promise."""

    dialect: Literal["sqlite", "postgresql"] = "postgresql"

    def __init__(self, url: str, *, pool_size: int = 12) -> None:
        self.url = url
        self.bell = Bell()
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=30,
            # A server that froze or a path that swallows packets must not hold us for ever.
            connect_args={
                "timeout": CONNECT_S,
                "command_timeout": COMMAND_S,
                "server_settings": {"idle_in_transaction_session_timeout": str(PAUSED_MS)},
            },
        )
        # One snapshot for all statements of a read, as SQLite gives it.
        self._reading = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._listener: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to hear the rings of other workers."""
        self._listener = asyncio.get_running_loop().create_task(self._listen())

    async def write(self, work: Work[T]) -> T:
        try:
            async with self.engine.connect() as connection, connection.begin():
                result, rings = await connection.run_sync(_run, work)
        except _FAILURES as error:
            known = _unavailable(error)
            if known is None:
                raise
            raise known from error
        self.bell.ring(rings)
        return result

    async def read(self, work: Work[T]) -> T:
        try:
            async with self._reading.connect() as connection:
                return await connection.run_sync(work)
        except _FAILURES as error:
            known = _unavailable(error)
            if known is None:
                raise
            raise known from error

    async def still(self, work: Callable[[], T]) -> T:
        return work()  # statements are made and run on the loop

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
        await self.engine.dispose()

    async def _listen(self) -> None:
        """Keep one connection that hears NOTIFY; polling is the net while it is away."""
        dsn = self.url.replace("postgresql+asyncpg://", "postgresql://")
        while True:
            try:
                connection = cast("Any", await asyncpg.connect(dsn))  # pyright: ignore[reportUnknownMemberType]
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(RELISTEN_S)
                continue
            try:
                await self._hear(connection)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(RELISTEN_S)
            finally:
                connection.terminate()

    async def _hear(self, connection: Any) -> None:
        gone = asyncio.Event()
        connection.add_termination_listener(partial(_set, gone))
        await connection.add_listener(CHANNEL, self._heard)
        await gone.wait()

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self.bell.ring(str(payload).split(","))


def _run(tx: Connection, work: Work[T]) -> tuple[T, set[str]]:
    """Do the work and, once per transaction, tell the other workers what rang."""
    tx.info.pop("rings", None)
    tx.info.pop("serialised", None)
    result = work(tx)
    rings: set[str] = tx.info.pop("rings", set())
    tx.info.pop("serialised", None)
    if rings:
        tx.execute(text("select pg_notify(:c, :p)"), {"c": CHANNEL, "p": ",".join(sorted(rings))})
    return result, rings


def _set(event: asyncio.Event, _connection: Any) -> None:
    event.set()


_FAILURES = (OSError, DBAPIError, PoolTimeout, asyncpg.PostgresError, asyncpg.InterfaceError)


def _unavailable(error: BaseException) -> StoreUnavailable | None:
    if isinstance(error, OSError):  # cannot connect, or no answer in time
        return StoreUnavailable(f"PostgreSQL did not answer ({type(error).__name__}). It is tried again.")
    return unavailable(error)


async def open_postgres(url: str) -> PostgresStore:
    """Migrate the database and open it.

    Errors: `StoreUnavailable` when the server does not answer; `ConfigError` when it refuses us, or when
        the database is newer than this version.
    """
    await migrate_postgres(url)
    store = PostgresStore(url)
    store.start()
    return store


async def migrate_postgres(url: str) -> None:
    """Migrate the shared database; workers that start together wait for the first, however long it takes."""
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": CONNECT_S})
    try:
        async with engine.begin() as connection:
            await connection.execute(text("select pg_advisory_xact_lock(:n)"), {"n": MIGRATION_LOCK})
            await connection.run_sync(upgrade)
    except _FAILURES as error:
        state = str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")
        if state.startswith(("28", "3D", "42501")):  # password, no such database, no right to create tables
            said = getattr(error, "orig", error)
            raise ConfigError(f"PostgreSQL refused: {said}. Correct database_url or the rights.") from error
        raise _unavailable(error) or error from error
    finally:
        await engine.dispose()
