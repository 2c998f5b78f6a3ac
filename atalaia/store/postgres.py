"""PostgreSQL through asyncpg: every worker writes in its own transactions, the log's lock orders appends."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any, Literal, TypeVar, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from atalaia.errors import StoreUnavailable
from atalaia.store.bell import Bell
from atalaia.store.store import Work

T = TypeVar("T")
CHANNEL = "atalaia"
RELISTEN_S = 2.0


class PostgresStore:
    """The shared store of many workers. See `store.Store` for the promise."""

    dialect: Literal["sqlite", "postgresql"] = "postgresql"

    def __init__(self, url: str, *, pool_size: int = 12) -> None:
        self.url = url
        self.bell = Bell()
        self.engine: AsyncEngine = create_async_engine(
            url, pool_size=pool_size, max_overflow=0, pool_pre_ping=True, pool_timeout=30
        )
        self._listener: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to hear the rings of other workers."""
        self._listener = asyncio.get_running_loop().create_task(self._listen())

    async def write(self, work: Work[T]) -> T:
        try:
            async with self.engine.connect() as connection, connection.begin():
                result, rings = await connection.run_sync(_run, work)
        except (OSError, OperationalError, InterfaceError, asyncpg.PostgresConnectionError) as error:
            raise _unavailable(error) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise _unavailable(error) from error
            raise
        self.bell.ring(rings)
        return result

    async def read(self, work: Work[T]) -> T:
        try:
            async with self.engine.connect() as connection:
                return await connection.run_sync(work)
        except (OSError, OperationalError, InterfaceError, asyncpg.PostgresConnectionError) as error:
            raise _unavailable(error) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise _unavailable(error) from error
            raise

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


def _unavailable(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"PostgreSQL did not answer ({type(error).__name__}). It is tried again.")
