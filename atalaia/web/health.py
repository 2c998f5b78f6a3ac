"""The hub's health, told three ways: does it live, can it work, is what it shows the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import Connection

from atalaia.clock import to_ms
from atalaia.connections.queries import states
from atalaia.desk.alerts.queries import count_open
from atalaia.desk.system.queries import list_cursors, sizes
from atalaia.errors import StoreUnavailable
from atalaia.jobs.queries import NEEDS_PERSON, count_by_state
from atalaia.store.bell import LOG
from atalaia.web.parts import Parts

log = structlog.get_logger(__name__)

# A reaction that is so many events behind shows old things.
BEHIND_MAX = 20_000
_LOOK_S = 15.0
_BAD = ("lost", "waiting", "suspect", "opening", "unknown")


@dataclass(frozen=True, slots=True)
class Seen:
    """word: `healthy`, `attention` (a person is needed), `failing` (not able to work). why: sentences."""

    word: str
    why: list[str] = field(default_factory=list[str])
    details: dict[str, Any] = field(default_factory=dict[str, Any])


class Health:
    """Looks when somebody asks, and keeps one word for the frame of every page."""

    def __init__(self, parts: Parts, changed: Callable[[str], None] = lambda word: None) -> None:
        self._parts = parts
        self._changed = changed
        self._word = "unknown"
        self._counts: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def word(self) -> str:
        """Answer the last word, without looking."""
        return self._word

    def counts(self) -> dict[str, int]:
        """Answer how many things need a person, by place of the rail, as last seen."""
        return dict(self._counts)

    async def look(self) -> Seen:
        """Look now."""
        try:
            seen = await self._parts.store.read(self._look)
        except StoreUnavailable as error:
            seen = Seen("failing", [str(error)])
        if seen.details:
            self._counts = {
                "alerts": seen.details["alerts_open"],
                "connections": seen.details["connections"].get("needs_person", 0),
                "deliveries": seen.details["deliveries_dead"],
                "jobs": sum(seen.details["jobs"][state] for state in NEEDS_PERSON),
            }
        if seen.word != self._word:
            self._word = seen.word
            self._changed(seen.word)
        return seen

    def start(self) -> None:
        """Keep the word fresh."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop keeping it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        bell = self._parts.store.bell
        while True:
            rung = bell.count(LOG)
            try:
                await self.look()
            except Exception as error:  # a defect must not leave an old word standing in silence
                log.error("health.defect", exc_info=error)
            await self._parts.ambient.clock.sleep(1.0)  # a storm of events is one look
            await bell.wait(LOG, rung, at_most_s=_LOOK_S)

    def _look(self, tx: Connection) -> Seen:
        connections, alerts, size = states(tx), count_open(tx), sizes(tx)
        behind = {one.reaction: one.behind for one in list_cursors(tx) if one.behind > BEHIND_MAX}
        why: list[str] = []
        if behind:
            why.append(f"Behind the log: {', '.join(sorted(behind))}.")
        if connections.get("needs_person"):
            why.append(f"{connections['needs_person']} connections need a person.")
        down = sum(connections.get(name, 0) for name in _BAD)
        if down:
            why.append(f"{down} connections are not proven live.")
        jobs = count_by_state(tx)
        waiting = sum(jobs[state] for state in NEEDS_PERSON)
        if waiting:
            why.append(f"{waiting} jobs wait for a person's decision.")
        if alerts:
            why.append(f"{alerts} alerts are open.")
        if size.circuits_open:
            why.append(f"{size.circuits_open} destinations are down.")
        if size.deliveries_dead:
            why.append(f"{size.deliveries_dead} deliveries were given up and wait for a decision.")
        details = {
            "connections": connections,
            "jobs": jobs,
            "alerts_open": alerts,
            "behind": behind,
            "deliveries_open": size.deliveries_open,
            "deliveries_dead": size.deliveries_dead,
            "circuits_open": size.circuits_open,
            "looked_ms": to_ms(self._parts.ambient.clock.now()),
        }
        return Seen("attention" if why else "healthy", why, details)
