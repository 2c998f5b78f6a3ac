"""The durable engine below the jobs: a port, and its one implementation on DBOS. Nobody else imports `dbos`.

What people see, what steps answered, and what must not be done twice is in our own tables, where one
transaction holds it together with the facts. The engine starts a job's code, knows which worker runs it, and
brings back what a dead worker ran.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import structlog
from sqlalchemy import make_url

from atalaia.errors import ConfigError

log = structlog.get_logger(__name__)

Run = Callable[[str, int], Awaitable[None]]  # (job, attempt)
Still = Callable[[Callable[[], object]], Awaitable[object]]
# DBOS loads it. It adds to the inspection of all statements with its first lines, long before it is whole.
ORM = "sqlalchemy.orm"


class Standing(StrEnum):
    """How the engine sees one workflow."""

    MISSING = "missing"
    RUNNING = "running"
    ENDED = "ended"
    GAVE_UP = "gave_up"  # it came back too often: whoever ran it died


class Engine(Protocol):
    """What jobs need of a durable engine. A workflow is one run of a job's code, by the name it is given."""

    async def launch(self) -> None:
        """Make it ready; a repeat is harmless. Slow the first time, so it is done when a job needs it."""
        ...

    @property
    def launched(self) -> bool: ...

    async def start(self, workflow: str, job: str, attempt: int) -> None:
        """Run a job here, unless a workflow of this name is known. Returns at once."""
        ...

    async def recover(self, alive: Sequence[str]) -> None:
        """Bring back what workers ran that are not among these. A repeat is harmless."""
        ...

    async def standing(self, workflows: Sequence[str]) -> Mapping[str, Standing]:
        """Answer how each of these stands, or the newest whose name goes on behind a dot."""
        ...

    async def forget(self, workflows: Sequence[str]) -> None:
        """Delete what is known of ended workflows."""
        ...

    async def forget_ended(self, older_s: float) -> int:
        """Delete what is known of workflows that ended so many seconds ago; answer how many."""
        ...

    async def close(self) -> None:
        """Let go; what runs goes on with the next start, here or in another worker."""
        ...


NAME = "atalaia"
WORKFLOW = "atalaia_job"
VERSION = "jobs-1"  # grows only when old workflows could not be resumed any more
RECOVERIES_MAX = 5
SQLITE_LEAST = (3, 42)
POOL = 8
FORGET_AT_ONCE = 500
THREADS = "dbos-"  # how the names of its pool's threads begin; the others it joins itself
LEAVE_S = 10.0


class DbosEngine:
    """DBOS, in a file of its own beside SQLite or in the schema `dbos` of PostgreSQL.

    There is one per process, for DBOS keeps its state in the process.
    still: runs what must not meet statements on their way, see `Store.still`.
    """

    def __init__(
        self, database_url: str, data_dir: Path, worker: str, run: Run, still: Still | None = None
    ) -> None:
        self._still = still
        self._database_url = database_url
        self._data_dir = data_dir
        self.worker = worker
        self._run = run
        # Launching and leaving are done by one thread, one after the other, whoever waits for them or not.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="atalaia-engine")
        self._launching: Future[tuple[Any, Any]] | None = None
        self._closed = False
        self._dbos: Any = None
        self._workflow: Any = None

    @property
    def launched(self) -> bool:
        return self._dbos is not None

    async def launch(self) -> None:
        if self._dbos is not None:
            return
        if self._closed:
            raise RuntimeError("the job engine is closed")
        if self._still is not None and ORM not in sys.modules:
            await self._still(lambda: import_module(ORM))
        if self._launching is None or _has_failed(self._launching):
            self._launching = self._thread.submit(self._launch)
        dbos, workflow = await asyncio.wrap_future(self._launching)
        if self._dbos is None and not self._closed:
            # Launched in a thread, it knows no loop; what it brings back must run on ours, as all else does.
            dbos._background_event_loop.set_main_loop()
            self._dbos, self._workflow = dbos, workflow

    def _launch(self) -> tuple[Any, Any]:
        import dbos

        global _running
        if _running is not None:
            raise RuntimeError("a job engine runs in this process already; close it first")
        _running = self
        try:
            workflow = _register(dbos)
            made = dbos.DBOS(config=self._config(dbos))
            # Its own handler writes to the terminal in a form of its own; ours are at the root.
            logger = logging.getLogger("dbos")
            logger.handlers.clear()
            logger.propagate = True
            dbos.DBOS.launch()
            return made, workflow
        except BaseException:
            _leave(dbos.DBOS)
            raise

    def _config(self, dbos: Any) -> Any:
        url, kwargs = self._address()
        return dbos.DBOSConfig(
            name=NAME,
            system_database_url=url,
            dbos_system_schema="dbos",
            application_version=VERSION,
            executor_id=self.worker,
            serializer=dbos.DBOSPortableJSONSerializer(),  # the default is pickle: code in a database
            sys_db_pool_size=POOL,
            db_engine_kwargs=kwargs,
            use_listen_notify=False,  # its events and messages are not used
            notification_listener_polling_interval_sec=0.25,  # it looks into memory; an end waits for it
            scheduler_polling_interval_sec=3600.0,  # its schedules neither
            log_level="ERROR",  # it warns of each task that ends with its worker
            enable_otlp=False,
        )

    def _address(self) -> tuple[str, dict[str, Any]]:
        url = make_url(self._database_url) if self._database_url else None
        if url is not None and url.get_backend_name() == "postgresql":
            return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False), {}
        path = self._data_dir / "jobs.db"
        if url is not None and url.database:
            path = Path(url.database).with_name("jobs.db")
        module = sqlite_module()
        # WAL lasts in the file, and DBOS leaves it as it finds it.
        with closing(module.connect(str(path))) as raw:
            raw.execute("PRAGMA journal_mode=WAL")
        return f"sqlite:///{path}", {"module": module}

    async def start(self, workflow: str, job: str, attempt: int) -> None:
        await self.launch()
        import dbos

        with dbos.SetWorkflowID(workflow):
            await self._dbos.start_workflow_async(self._workflow, job, attempt)

    async def recover(self, alive: Sequence[str]) -> None:
        await self.launch()
        pending: Any = await asyncio.to_thread(lambda: self._list(status="PENDING"))
        dead = {one.executor_id for one in pending} - set(alive) - {None}
        if dead:
            # Private, and the only way: `tests/jobs/test_engine.py` fails when an upgrade changes it.
            await asyncio.to_thread(self._dbos._recover_pending_workflows, sorted(dead))

    async def standing(self, workflows: Sequence[str]) -> Mapping[str, Standing]:
        await self.launch()
        found: Any = await asyncio.to_thread(lambda: self._list(workflow_id_prefix=list(workflows)))
        answer = dict.fromkeys(workflows, Standing.MISSING)
        for one in found:  # oldest first
            name = ".".join(one.workflow_id.split(".")[:2])
            status = _STANDINGS.get(one.status, Standing.ENDED)
            if name in answer and answer[name] is not Standing.RUNNING:
                answer[name] = status
        return answer

    def _list(self, **which: Any) -> Any:
        return self._dbos.list_workflows(load_input=False, load_output=False, **which)

    async def forget(self, workflows: Sequence[str]) -> None:
        await self.launch()
        await asyncio.to_thread(self._dbos.delete_workflows, list(workflows))

    async def forget_ended(self, older_s: float) -> int:
        await self.launch()
        gone = 0
        # Its own times are the machine's, whatever clock the house was given.
        before = datetime.fromtimestamp(time.time() - older_s, UTC).isoformat()
        while True:
            found: Any = await asyncio.to_thread(
                lambda: self._list(status=_ENDED, completed_before=before, limit=FORGET_AT_ONCE)
            )
            if found:
                await self.forget([one.workflow_id for one in found])
            gone += len(found)
            if len(found) < FORGET_AT_ONCE:
                return gone

    async def close(self) -> None:
        self._closed = True
        launching, self._launching = self._launching, None
        dbos, self._dbos = self._dbos, None
        try:
            if dbos is not None:
                await _end_workflows(dbos)
        finally:
            leaving = self._thread.submit(_leave_after, launching) if launching is not None else None
            self._thread.shutdown(wait=False)
            if leaving is not None:
                # Behind the launch, which perhaps nobody waits for; it is done also when this is cancelled.
                await asyncio.shield(asyncio.wrap_future(leaving))

    async def run(self, job: str, attempt: int) -> None:
        """Run a job's code within a workflow."""
        await self._run(job, attempt)


_running: DbosEngine | None = None
_registered: Any = None


def _has_failed(launching: Future[tuple[Any, Any]]) -> bool:
    return launching.done() and (launching.cancelled() or launching.exception() is not None)


async def _end_workflows(dbos: Any) -> None:
    tasks: list[asyncio.Task[Any]] = list(dbos._workflow_tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # DBOS made its threads this loop's; they end with it.
    own = ThreadPoolExecutor(thread_name_prefix="atalaia")
    asyncio.get_running_loop().set_default_executor(own)


def _leave_after(launching: Future[tuple[Any, Any]]) -> None:
    """Take DBOS down, if it was launched."""
    if not _has_failed(launching):
        _leave(launching.result()[0])


def _leave(dbos: Any) -> None:
    """Take DBOS down and wait for its threads: one that lived on would use its database, or our dice."""
    global _running
    before = set(threading.enumerate())
    dbos.destroy()
    _running = None
    end = time.monotonic() + LEAVE_S
    for thread in before:
        if thread.name.startswith(THREADS):
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():  # it waits for a database that is away
                log.warning("jobs.engine_thread_lives_on", thread=thread.name)


_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_STANDINGS = {
    "PENDING": Standing.RUNNING,
    "ENQUEUED": Standing.RUNNING,
    "DELAYED": Standing.RUNNING,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": Standing.GAVE_UP,
}


def _register(dbos: Any) -> Any:
    """Make the one workflow known to DBOS; it hands over to the engine that runs now."""
    global _registered
    if _registered is None:

        @dbos.DBOS.workflow(name=WORKFLOW, max_recovery_attempts=RECOVERIES_MAX)
        async def atalaia_job(job: str, attempt: int) -> None:
            assert _running is not None
            await _running.run(job, attempt)

        _registered = atalaia_job
    return _registered


def sqlite_module() -> Any:
    """Answer a DB-API module whose SQLite is new enough for DBOS: the standard library's, or one installed.

    Errors: `ConfigError` when there is none.
    """
    if sqlite3.sqlite_version_info >= SQLITE_LEAST:
        return sqlite3
    for name in ("pysqlite3.dbapi2", "sqlean.dbapi2"):
        try:
            found: Any = import_module(name)
        except ImportError:
            continue
        if found.sqlite_version_info >= SQLITE_LEAST:
            return found
    raise ConfigError(
        f"Jobs need SQLite 3.42, and this Python has {sqlite3.sqlite_version}. Install pysqlite3 or "
        "sqlean.py into its environment, or use PostgreSQL."
    )
