"""What people must see of one session; kept and told again while the store is away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from atalaia.connections.session import SessionPort
from atalaia.errors import StoreUnavailable


@dataclass(frozen=True)
class Alarm:
    """title: one sentence. todo: the remedy. known: what else is known."""

    title: str
    todo: str
    known: dict[str, Any] = field(default_factory=dict[str, Any])


class Alarms:
    """One alarm per kind and connection; only changes are written."""

    def __init__(self, port: SessionPort) -> None:
        self._port = port
        self._wanted: dict[str, Alarm | None] = {}
        self._written: dict[str, Alarm | None] = {}

    async def say(self, kind: str, alarm: Alarm | None) -> None:
        """Raise the alarm of this kind, or with None report that its cause is gone."""
        self._wanted[kind] = alarm
        await self.settle()

    async def settle(self) -> None:
        """Write what is not written yet."""
        for kind, alarm in list(self._wanted.items()):
            if kind in self._written and self._written[kind] == alarm:
                continue
            try:
                await self._write(f"asterisk.{kind}:{self._port.connection}", alarm)
            except StoreUnavailable:
                return  # told again with the next application check
            self._written[kind] = alarm

    async def _write(self, cause: str, alarm: Alarm | None) -> None:
        if alarm is None:
            await self._port.calm(cause)
        else:
            await self._port.alert(cause, alarm.title, todo=alarm.todo, **alarm.known)
