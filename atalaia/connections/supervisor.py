"""Owns connections by lease and runs one keeper for each of those it owns."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import structlog
from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import rfc3339, to_ms
from atalaia.connections.keeper import Keeper, Kind, Shared
from atalaia.connections.pace import Pace
from atalaia.connections.registry import Configured, Registry
from atalaia.errors import ConfigError, Fenced, StoreUnavailable
from atalaia.events.grouping import same
from atalaia.events.log import EventLog, append_facts
from atalaia.events.model import Fact
from atalaia.store.bell import LEASES
from atalaia.store.bulk import fetch_rows, tuples_of
from atalaia.store.leases import Lease
from atalaia.store.ownership import Ownership, Watch
from atalaia.store.tables import alerts, connections

log = structlog.get_logger(__name__)

PREFIX = "connection:"
LOOK_S = 5.0
AGAIN_S = 5.0


class Supervisor:
    """Starts a keeper when a connection's lease is gained and ends it when the lease is lost.

    kinds: connector name -> how its sessions run; connectors without a session are not supervised.
    """

    def __init__(
        self, eventlog: EventLog, ambient: Ambient, registry: Registry, kinds: Mapping[str, Kind],
        ownership: Ownership, pace: Pace | None = None,
    ) -> None:  # fmt: skip
        self.keepers: dict[str, Keeper] = {}
        self._log = eventlog
        self._ambient = ambient
        self._registry = registry
        self._kinds = kinds
        self._ownership = ownership
        self._pace = pace or Pace()
        self._shared = Shared(eventlog, ambient)
        self._leases: dict[str, Lease] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()  # also those that were told to end
        self._versions: dict[str, int] = {}
        ownership.watch(Watch(PREFIX, self._candidates, self._gained, self._lost))

    async def run(self) -> None:
        """Restart keepers whose settings changed, until cancelled."""
        bell = self._log.store.bell
        try:
            while True:
                rung = bell.count(LEASES)
                try:
                    await self._restart_changed()
                except StoreUnavailable as error:
                    log.warning("supervisor.store_unavailable", error=str(error))
                except Exception:
                    # The keepers go on; a defect here must be seen, not end them.
                    log.exception("supervisor.defect")
                await bell.wait(LEASES, rung, at_most_s=LOOK_S)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End all keepers and wait for their last words."""
        for name in list(self._tasks):
            self._lost(name)
        while self._running:
            await asyncio.wait(set(self._running))

    def _candidates(self, tx: Connection) -> list[str]:
        kinds = list(self._kinds)
        if not kinds:
            return []
        among = tuples_of(len(kinds), 1)
        query = (
            f"select id from connections where desired = 'on' and deleted_ms is null and connector in {among}"  # noqa: S608
        )
        return [PREFIX + row[0] for row in fetch_rows(tx, "id", query, *kinds)]

    def _gained(self, lease: Lease) -> None:
        # The one before may still be closing its session: two at once would log in twice.
        before = {task for task in self._running if task.get_name() == lease.name}
        task = asyncio.create_task(self._keep_on(lease, before), name=lease.name)
        self._leases[lease.name] = lease
        self._tasks[lease.name] = task
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _lost(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        self._leases.pop(name, None)
        self._versions.pop(name.removeprefix(PREFIX), None)
        self.keepers.pop(name.removeprefix(PREFIX), None)
        if task is not None:
            task.cancel()

    async def _keep_on(self, lease: Lease, before: set[asyncio.Task[None]]) -> None:
        """Keep a connection for as long as its lease is ours, whatever goes wrong meanwhile."""
        if before:
            await asyncio.wait(before)
        while True:
            try:
                await self._keep(lease)
                return  # switched off, deleted or wrongly configured: a change of its settings begins anew
            except Fenced as error:
                # The next beat of ours will find the lease gone and end this; until then we try nothing.
                log.warning("keeper.fenced", connection=lease.name, error=str(error))
                return
            except StoreUnavailable as error:
                log.warning("keeper.store_unavailable", connection=lease.name, error=str(error))
            except Exception:
                # A defect of one connection must not take the others down; it stays loud in the log.
                log.exception("keeper.defect", connection=lease.name)
            await self._ambient.clock.sleep(AGAIN_S)

    async def _keep(self, lease: Lease) -> None:
        identity = lease.name.removeprefix(PREFIX)
        version, configured = await self._log.store.read(lambda tx: self._look(tx, identity))
        if version is not None:
            self._versions[identity] = version
        if isinstance(configured, ConfigError):
            await self._complain(identity, configured)
            return
        if configured is None:
            return
        await self._log.store.write(lambda tx: self._calm(tx, identity))
        kind = self._kinds[configured.connector]
        keeper = Keeper(configured, kind, lease, self._log, self._ambient, self._pace, self._shared)
        self.keepers[identity] = keeper
        try:
            await keeper.run()
        finally:
            if self.keepers.get(identity) is keeper:
                del self.keepers[identity]

    def _look(self, tx: Connection, identity: str) -> tuple[int | None, Configured | ConfigError | None]:
        version = tx.scalar(select(connections.c.changed_ms).where(connections.c.id == identity))
        try:
            return version, self._registry.get(tx, identity)
        except ConfigError as error:
            return version, error

    async def _complain(self, identity: str, error: ConfigError) -> None:
        now, said = to_ms(self._ambient.clock.now()), str(error)
        todo = "Open the connection's settings, correct and save them."
        # A key that went, or a connector that is not there any more, is one cause for all connections.
        grouping = same("settings", re.sub(r"“[^”]*”", "…", said, count=1))
        detail = {"known": said, "since": rfc3339(now), "todo": todo}
        data = {"title": said, "detail": detail, "grouping": grouping}
        fact = Fact("alert.raised", _cause(identity), now, data)
        await self._log.put_facts("supervisor", [fact], connection=identity)

    def _calm(self, tx: Connection, identity: str) -> None:
        """Take back what we complained of, now that the settings can be read."""
        cause = _cause(identity)
        if tx.scalar(select(alerts.c.cause).where(alerts.c.cause == cause, alerts.c.resolved_ms.is_(None))):
            fact = Fact("alert.resolved", cause, to_ms(self._ambient.clock.now()), {})
            append_facts(tx, self._ambient, "supervisor", [fact], connection=identity)

    async def _restart_changed(self) -> None:
        current = await self._log.store.read(self._registry.versions)
        for name, lease in list(self._leases.items()):
            identity = name.removeprefix(PREFIX)
            before, found = self._versions.get(identity), current.get(identity)
            now = found.changed_ms if found else None
            if now is not None and before is not None and now != before:
                self._lost(name)
                self._gained(lease)


def _cause(identity: str) -> str:
    return f"settings:{identity}"
