"""Starts and ends faults by name: most are rules that the surfaces ask for, some are deeds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from simulators.rules import Rule
from simulators.switches import Switches
from simulators.traffilog import reports
from simulators.traffilog.faults import FAULTS
from simulators.traffilog.wire import push

if TYPE_CHECKING:
    from simulators.traffilog.server import TraffilogSimulator


class Chaos(Switches):
    """Rules for the surfaces, and deeds. `LookupError` for a name that is not in `FAULTS`.

    Options that filter: `action`, `vehicle_id`, `serial`, `client_id`. Others are in the fault's text.
    """

    def __init__(self, sim: TraffilogSimulator) -> None:
        super().__init__(FAULTS, sim.clock)
        self.sim = sim
        self._flapping: asyncio.Task[None] | None = None
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

    async def begin(self, name: str, times: int | None, options: dict[str, Any]) -> None:
        if FAULTS[name].kind == "lasting":
            self.sim.upstream.rules.add(Rule(name, options, times))
        if (deed := self._deeds.get(name)) is not None:
            await deed(**options)

    async def end(self, name: str, scope: str) -> None:
        rules = [rule for rule in self.sim.upstream.rules.active if rule.name == name]
        self.sim.upstream.rules.drop(name)
        if name == "gone":
            await self.sim.open_ports()
        elif name == "flap" and self._flapping is not None:
            self._flapping.cancel()
        elif name == "offline":
            self._online(rules)

    def active(self, name: str) -> bool:
        # A rule that was counted down is over, although nobody ended it.
        return any(rule.name == name for rule in self.sim.upstream.rules.active)

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
        self._flapping = asyncio.create_task(beat())

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
