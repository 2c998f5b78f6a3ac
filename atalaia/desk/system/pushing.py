"""Pushes the state snapshot on a schedule, and says so when it cannot."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connections.registry import Registry
from atalaia.desk.system.publishing import repository_of
from atalaia.desk.system.report import state_report
from atalaia.errors import AtalaiaError, StoreUnavailable
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.redact import Redactor
from atalaia.settings import Settings
from atalaia.store.store import Store
from atalaia.store.tables import alerts

log = structlog.get_logger(__name__)

CAUSE = "snapshots.push"
PRODUCER = "snapshots"
AGAIN_S = 900.0  # after a failure, unless the next turn is sooner
TITLE = "The state snapshot cannot be pushed to its git repository."
TODO = "See that the repository can be reached and that the account may push to its branch."


@dataclass(frozen=True)
class Pushing:
    """One worker alone may run it."""

    store: Store
    ambient: Ambient
    registry: Registry
    settings: Settings
    redactor: Redactor

    async def run(self) -> None:
        """Push now and then until cancelled; what cannot be pushed raises an alert and is tried again."""
        every_s = self.settings.snapshot_every_hours * 3600
        pause_s = every_s
        while True:
            await self.ambient.clock.sleep(pause_s)
            pause_s = every_s if await self.push() else min(AGAIN_S, every_s)

    async def push(self) -> bool:
        """Push once; answer whether it is there. The alert is raised or resolved accordingly."""
        now = to_ms(self.ambient.clock.now())
        try:
            report = await state_report(self.store, self.registry, self.settings, self.redactor, now)
            commit = await repository_of(self.settings, self.redactor).publish(report, "State of Atalaia")
        except AtalaiaError as error:
            said = self.redactor.text(str(error))
            log.warning("snapshot.not_pushed", said=said)
            with contextlib.suppress(StoreUnavailable):
                await self.store.write(lambda tx: self._complain(tx, said, now))
            return False
        log.info("snapshot.pushed", commit=commit)
        with contextlib.suppress(StoreUnavailable):  # the next push says it
            await self.store.write(lambda tx: self._calm(tx, now))
        return True

    def _complain(self, tx: Connection, said: str, now_ms: int) -> None:
        known = {"said": said, "branch": self.settings.snapshot_branch}
        detail = {"known": known, "since_ms": now_ms, "todo": TODO}
        data = {"cause": CAUSE, "title": TITLE, "detail": detail}
        append_facts(tx, self.ambient, PRODUCER, [Fact("alert.raised", CAUSE, now_ms, data)])

    def _calm(self, tx: Connection, now_ms: int) -> None:
        stands = select(alerts.c.cause).where(alerts.c.cause == CAUSE, alerts.c.resolved_ms.is_(None))
        if tx.scalar(stands):
            fact = Fact("alert.resolved", CAUSE, now_ms, {"cause": CAUSE})
            append_facts(tx, self.ambient, PRODUCER, [fact])
