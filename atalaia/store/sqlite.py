"""SQLite: one thread writes and commits for everybody, a few read."""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from atalaia.errors import ConfigError, StoreUnavailable
from atalaia.store.bell import Bell
from atalaia.store.failure import in_transaction, is_broken, unavailable
from atalaia.store.store import Work, savepoint

T = TypeVar("T")
BATCH_MAX = 500
READERS = 3
HELD_WITHIN_S = 10.0
LOCK_PATIENCE_S = 5.0
LOCK_PAUSE_S = 0.05


@dataclass
class _Unit:
    work: Callable[[Connection], Any]
    done: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    result: Any = None
    error: BaseException | None = None


@dataclass
class _News:
    """What a commit brings: topics that ring, and items told about topics."""

    rings: set[str] = field(default_factory=set[str])
    told: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])


class SqliteStore:
    """The embedded store: WAL, `synchronous=FULL`, group commit. See `store.Store` for the promise."""

    dialect: Literal["sqlite", "postgresql"] = "sqlite"

    def __init__(self, path: Path, *, exclusive: bool = True) -> None:
        self.path = path
        self.bell = Bell()
        self._lock_fd = _lock(path) if exclusive else None
        self._units: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._writer = _engine(path, pool=NullPool)
        self._reader = _engine(path, pool=QueuePool, pool_size=READERS, max_overflow=0)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="atalaia-read")
        self._thread = threading.Thread(target=self._run, name="atalaia-write", daemon=True)
        self._closed = False
        self._stilling = asyncio.Lock()  # two that hold threads would wait for one another
        self._thread.start()

    @property
    def engine(self) -> Engine:
        """The writing engine, for migrations before anybody else writes."""
        return self._writer

    async def write(self, work: Work[T]) -> T:
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        loop = asyncio.get_running_loop()
        unit = _Unit(work, loop.create_future(), loop)
        self._units.put(unit)
        return await unit.done

    async def read(self, work: Work[T]) -> T:
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Work[T]) -> T:
        try:
            with self._reader.connect() as tx:
                return work(tx)
        except DBAPIError as error:
            known = unavailable(error)
            if known is None:
                raise
            raise known from error

    async def still(self, work: Callable[[], T]) -> T:
        here, go = threading.Semaphore(0), threading.Event()

        def hold(_: object = None) -> None:
            here.release()
            go.wait()

        def all_hold() -> None:
            for _ in range(READERS + 1):
                here.acquire(timeout=HELD_WITHIN_S)

        loop = asyncio.get_running_loop()
        async with self._stilling:
            readers = [loop.run_in_executor(self._readers, hold) for _ in range(READERS)]
            held = asyncio.gather(self.write(hold), *readers, return_exceptions=True)
            try:
                await asyncio.to_thread(all_hold)
                return work()
            finally:
                go.set()
                await held

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._units.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self._readers.shutdown(wait=True)
        self._writer.dispose()
        self._reader.dispose()
        if self._lock_fd is not None:
            os.close(self._lock_fd)

    # The writer's thread.

    def _run(self) -> None:
        tx: Connection | None = None
        last = False
        while not last and (unit := self._units.get()) is not None:
            batch, last = self._gather(unit)
            news = _News()
            try:
                tx = tx or self._writer.connect()
                news = _commit(tx, batch)
            except BaseException as error:  # noqa: BLE001  # whatever it was, the callers must hear of it
                _blame(batch, error)
                if tx is not None and (tx.in_transaction() or is_broken(error)):
                    tx = _drop(tx)
            self._answer(batch, news)
        _drop(tx)

    def _gather(self, first: _Unit) -> tuple[list[_Unit], bool]:
        batch = [first]
        while len(batch) < BATCH_MAX:
            try:
                unit = self._units.get_nowait()
            except queue.Empty:
                break
            if unit is None:
                return batch, True
            batch.append(unit)
        return batch, False

    def _answer(self, batch: list[_Unit], news: _News) -> None:
        loops = {unit.loop for unit in batch}
        for loop in loops:
            try:
                loop.call_soon_threadsafe(self._resolve, [u for u in batch if u.loop is loop], news)
            except RuntimeError:  # the loop of a test that ended is closed: nobody waits there
                continue

    def _resolve(self, batch: list[_Unit], news: _News) -> None:
        for unit in batch:
            if unit.done.done():
                continue
            if unit.error is not None:
                unit.done.set_exception(unit.error)
            else:
                unit.done.set_result(unit.result)
        self.bell.tell(news.told)
        self.bell.ring(news.rings)


def _commit(tx: Connection, batch: list[_Unit]) -> _News:
    """Run all units in one transaction; answer whom to wake and what to tell."""
    tx.info.pop("rings", None)
    tx.info.pop("told", None)
    with tx.begin():
        for unit in batch:
            _run_unit(tx, unit, alone=len(batch) == 1)
    return _News(tx.info.pop("rings", set()), tx.info.pop("told", []))


def _run_unit(tx: Connection, unit: _Unit, *, alone: bool) -> None:
    """Run one unit so that its failure undoes only itself; alone, the transaction itself does that."""
    if alone:
        _run_alone(tx, unit)
        return
    try:
        with savepoint(tx):
            unit.result = unit.work(tx)
    except BaseException as error:
        if unavailable(error) is not None or not in_transaction(tx):
            raise  # disk full, file gone: nobody in this batch was served
        unit.error = error


def _run_alone(tx: Connection, unit: _Unit) -> None:
    try:
        unit.result = unit.work(tx)
    except BaseException as error:
        if unavailable(error) is None and not in_transaction(tx):
            # SQLite undid it by itself; what is raised may be a savepoint that went with it.
            raise StoreUnavailable("The database undid the transaction. Check the disk space.") from error
        raise


def _blame(batch: list[_Unit], error: BaseException) -> None:
    """The transaction is undone: each unit hears its own error, or else that nothing was written."""
    known = unavailable(error)
    if known is None and len(batch) > 1:
        known = StoreUnavailable(f"The transaction was undone ({type(error).__name__}). It is tried again.")
    for unit in batch:
        unit.error = unit.error or known or error
        if unit.error is not error and unit.error.__cause__ is None:
            unit.error.__cause__ = error


def _drop(tx: Connection | None) -> None:
    """Give up a connection that may be in a strange state; the next batch opens its own."""
    if tx is not None:
        with suppress(Exception):
            tx.close()


def _engine(path: Path, **pool: Any) -> Engine:
    poolclass = pool.pop("pool")
    engine = create_engine(
        f"sqlite:///{path}", poolclass=poolclass, connect_args={"check_same_thread": False}, **pool
    )

    def on_connect(raw: sqlite3.Connection, _: object) -> None:
        raw.isolation_level = None  # we say BEGIN IMMEDIATE ourselves
        cursor = raw.cursor()
        cursor.execute("PRAGMA busy_timeout=5000")
        if cursor.execute("PRAGMA page_count").fetchone() == (0,):
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")  # only a new file takes it, and only before WAL
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            # The writer's pages are used again and again; readers' come mostly from the system's own cache.
            f"cache_size={-16_000 if poolclass is NullPool else -4_000}",
            "temp_store=MEMORY",
            "wal_autocheckpoint=2000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        if poolclass is not NullPool:
            cursor.execute("PRAGMA query_only=ON")  # one thread writes; nobody else by mistake
        cursor.close()

    def on_begin(tx: Connection) -> None:
        tx.exec_driver_sql("BEGIN IMMEDIATE" if poolclass is NullPool else "BEGIN")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


def _lock(path: Path) -> int:
    """Take the file lock that says which process owns this database."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    patience = LOCK_PATIENCE_S
    while not _locked(descriptor):
        other = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        # A process that was killed a moment ago holds the lock until the last of its threads has gone.
        if patience > 0 and not _lives(other):
            time.sleep(LOCK_PAUSE_S)
            patience -= LOCK_PAUSE_S
            continue
        os.close(descriptor)
        raise ConfigError(
            f"Another Atalaia (process {other}) already uses {path}. Stop it first, give this one another "
            "--data-dir, or use PostgreSQL when several workers should share the work."
        )
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: str) -> bool:
    """Answer whether a process is there and not on its way out; yes where that cannot be seen."""
    try:
        return Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return not Path("/proc/self/stat").exists()
    except (ValueError, OSError):
        return True
