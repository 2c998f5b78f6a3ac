"""Starts and ends faults by name: most are rules that the surfaces ask for, some are deeds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from simulators.rules import Rule
from simulators.traffilog import reports
from simulators.traffilog.faults import FAULTS
from simulators.traffilog.wire import push

if TYPE_CHECKING:
    from simulators.traffilog.server import TraffilogSimulator


class Chaos:
    """`LookupError` for a name that is not in `FAULTS`."""

    def __init__(self, sim: TraffilogSimulator) -> None:
        self.sim = sim
        self.until: dict[str, float | None] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._deeds: dict[str, Callable[..., Awaitable[None]]] = {
            "drop": self._drop,
            "close": self._close,
            "flap": self._flap,
            "half-open": self._half_open,
            "mute": self._mute,
            "garbage": self._garbage,
            "unknown-push": self._unknown_push,
            "raw-error": self._raw_error,
            "gone": self._gone,
            "forget-tokens": self._forget_tokens,
            "burn-tokens": self._burn_tokens,
            "offline": self._offline,
            "portal-evict": self._evict,
            "portal-stale": self._stale,
        }

    async def start(
        self, name: str, seconds: float | None = None, times: int | None = None, **options: Any
    ) -> None:
        """Begin a fault, for `seconds` of the clock, for so many `times`, or until `stop`.

        Options that filter: `action`, `vehicle_id`, `serial`, `client_id`. Others are in the fault's text.
        """
        fault = FAULTS[name]
        if fault.kind == "lasting":
            await self.stop(name)
            self.until[name] = None if seconds is None else self.sim.clock.monotonic() + seconds
            self.sim.upstream.rules.add(Rule(name, options, times))
            if seconds is not None:
                self._timers[name] = asyncio.create_task(self._end_later(name, seconds))
        if (deed := self._deeds.get(name)) is not None:
            await deed(**options)

    async def stop(self, name: str) -> None:
        """End a lasting fault; the others end as their `ends` says."""
        if (timer := self._timers.pop(name, None)) is not None and timer is not asyncio.current_task():
            timer.cancel()
        if name not in self.until:
            return
        del self.until[name]
        rules = [rule for rule in self.sim.upstream.rules.active if rule.name == name]
        self.sim.upstream.rules.drop(name)
        if name == "gone":
            await self.sim.open_ports()
        elif name == "flap":
            self._timers.pop("flap-beat").cancel()
        elif name == "offline":
            self._online(rules)

    async def stop_all(self) -> None:
        for name in list(self.until):
            await self.stop(name)
        for timer in self._timers.values():
            timer.cancel()

    def as_json(self) -> list[dict[str, object]]:
        """Answer all faults, with `active` and `left_s`, for the fault panel."""
        now = self.sim.clock.monotonic()
        rows: list[dict[str, object]] = []
        for fault in FAULTS.values():
            until = self.until.get(fault.name)
            left = None if until is None else round(max(0.0, until - now), 1)
            # A rule that was counted down is over, although nobody ended it.
            active = any(rule.name == fault.name for rule in self.sim.upstream.rules.active)
            rows.append({**fault.as_json(), "active": active, "left_s": left if active else None})
        return rows

    async def _end_later(self, name: str, seconds: float) -> None:
        await self.sim.clock.sleep(seconds)
        await self.stop(name)

    # ---- connections ---------------------------------------------------------------------

    async def _drop(self) -> None:
        self.sim.upstream.connections.abort_all()

    async def _close(self, code: int = 1001) -> None:
        for connection in list(self.sim.upstream.connections.open):
            await connection.socket.close(code=code)

    async def _flap(self, every_s: float = 5.0) -> None:
        async def beat() -> None:
            while True:
                await self.sim.clock.sleep(every_s)
                await self._drop()

        await self._drop()
        self._timers["flap-beat"] = asyncio.create_task(beat())

    async def _half_open(self) -> None:
        for connection in self.sim.upstream.connections.open:
            connection.mute = connection.deaf = True

    async def _mute(self) -> None:
        for connection in self.sim.upstream.connections.open:
            connection.mute = True

    async def _say(self, text: str) -> None:
        for connection in self.sim.upstream.connections.open:
            connection.write(text)

    async def _garbage(self) -> None:
        await self._say('{"response":{"properties":{"action_name":"refresh","da')

    async def _unknown_push(self) -> None:
        for connection in self.sim.upstream.connections.open:
            for vehicle_id in connection.wants:
                row = {"kind": "tomorrow", "vehicle_id": vehicle_id}
                connection.write(push("UNIT_TOMORROW", [row], connection.session.token))

    async def _raw_error(self, value: str = "500") -> None:
        await self._say(f'{{"action_value":"{value}","error_description":"internal error"}}')

    async def _gone(self) -> None:
        await self.sim.close_ports()

    # ---- sessions ------------------------------------------------------------------------

    async def _forget_tokens(self) -> None:
        self.sim.upstream.accounts.sessions.clear()

    async def _burn_tokens(self) -> None:
        for session in self.sim.upstream.accounts.sessions.values():
            session.burnt = True

    async def _evict(self, account: str = "") -> None:
        self.sim.portal.evict(account)

    async def _stale(self, **_: str) -> None:
        self.sim.portal.lose_sessions()

    # ---- units ---------------------------------------------------------------------------

    async def _offline(self, vehicle_id: str = "", serial: str = "") -> None:
        up = self.sim.upstream
        for vehicle in up.vehicles.values():
            unit = up.unit_of(vehicle)
            wanted = (not vehicle_id or vehicle.id == vehicle_id) and (not serial or vehicle.serial == serial)
            if unit is not None and unit.online and wanted:
                reports.connected(up, unit, False)

    def _online(self, rules: list[Rule]) -> None:
        up = self.sim.upstream
        for vehicle in up.vehicles.values():
            unit = up.unit_of(vehicle)
            about = {"vehicle_id": vehicle.id, "serial": vehicle.serial}
            if unit is not None and not unit.online and any(rule.fits(about) for rule in rules):
                reports.connected(up, unit, True)
