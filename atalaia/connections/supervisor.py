"""Owns connections by lease and runs one keeper for each of those it owns."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connections.keeper import Keeper, Kind
from atalaia.connections.pace import Pace
from atalaia.connections.registry import Registry
from atalaia.errors import ConfigError, Fenced
from atalaia.events.log import EventLog
from atalaia.events.model import Fact
from atalaia.store.leases import Lease
from atalaia.store.ownership import Ownership, Watch
from atalaia.store.tables import connections

log = structlog.get_logger(__name__)

PREFIX = "connection:"


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
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._versions: dict[str, int] = {}
        ownership.watch(Watch(PREFIX, self._candidates, self._gained, self._lost))

    async def run(self) -> None:
        """Restart keepers whose settings changed, until cancelled."""
        bell = self._log.store.bell
        try:
            while True:
                rung = bell.count("leases")
                await self._restart_changed()
                await bell.wait("leases", rung, at_most_s=5.0)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End all keepers and wait for their last words."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self.keepers.clear()

    def _candidates(self, tx: Connection) -> list[str]:
        wanted = (connections.c.desired == "on", connections.c.deleted_ms.is_(None))
        query = select(connections.c.id).where(*wanted, connections.c.connector.in_(list(self._kinds)))
        return [PREFIX + identity for identity in tx.scalars(query)]

    def _gained(self, lease: Lease) -> None:
        self._tasks[lease.name] = asyncio.create_task(self._keep(lease), name=lease.name)

    def _lost(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        self.keepers.pop(name.removeprefix(PREFIX), None)
        if task is not None:
            task.cancel()

    async def _keep(self, lease: Lease) -> None:
        identity = lease.name.removeprefix(PREFIX)
        try:
            configured = await self._log.store.read(lambda tx: self._registry.get(tx, identity))
        except ConfigError as error:
            await self._complain(identity, error)
            return
        if configured is None:
            return
        keeper = Keeper(
            configured, self._kinds[configured.connector], lease, self._log, self._ambient, self._pace
        )
        self.keepers[identity] = keeper
        self._versions[identity] = configured.changed_ms
        try:
            await keeper.run()
        except Fenced as error:
            log.warning("keeper.fenced", connection=identity, error=str(error))

    async def _complain(self, identity: str, error: ConfigError) -> None:
        data = {
            "title": str(error),
            "detail": {"todo": "Open the connection's settings, correct and save them."},
        }
        fact = Fact("alert.raised", f"settings:{identity}", to_ms(self._ambient.clock.now()), data)
        await self._log.put_facts("supervisor", [fact], connection=identity)

    async def _restart_changed(self) -> None:
        current = await self._log.store.read(_versions)
        for identity, keeper in list(self.keepers.items()):
            changed = current.get(identity)
            if changed is None or changed == self._versions.get(identity):
                continue
            task = self._tasks.pop(keeper.lease.name, None)
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                self._gained(keeper.lease)


def _versions(tx: Connection) -> dict[str, int]:
    query = select(connections.c.id, connections.c.changed_ms).where(connections.c.deleted_ms.is_(None))
    return {row.id: row.changed_ms for row in tx.execute(query)}
