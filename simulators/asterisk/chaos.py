"""Carries the faults out on one simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulators.asterisk.faults import FAULTS
from simulators.asterisk.hub import Connection, text_frame
from simulators.asterisk.models import Json, ari_time
from simulators.switches import Switches

if TYPE_CHECKING:
    from simulators.asterisk.server import AsteriskSimulator

LOADING_S = 0.3  # the port is open earlier than ARI is loaded


@dataclass
class Gate:
    """What stands between a request and its answer."""

    answer: int = 0  # 401, 404, 502: everybody gets this
    hung: asyncio.Event | None = None  # everybody waits for this
    born_mute: int = 0  # so many next connections are open and mute
    race: bool = False  # whoever reuses an application name is open and mute

    def newborn_is_mute(self, name_used_before: bool) -> bool:
        """Answer, and count, whether a new connection is one of the open and mute."""
        if self.born_mute > 0:
            self.born_mute -= 1
            return True
        return self.race and name_used_before


class Chaos(Switches):
    """Carries the faults out on one simulator.

    Options: `share` (duplicate), `delay_s` (slow), `count` (mute-next), `every_s` (flap), `down_s` (restart,
    stop), `size` (huge-frame, bytes).
    """

    def __init__(self, sim: AsteriskSimulator) -> None:
        super().__init__(FAULTS, sim.clock)
        self.sim = sim
        self.gate = Gate()
        self._running: dict[str, asyncio.Task[None]] = {}

    async def begin(self, name: str, times: int | None, options: dict[str, Any]) -> None:
        deed: Callable[..., Awaitable[None]] = getattr(self, "_begin_" + name.replace("-", "_"))
        await deed(**options)

    async def end(self, name: str, scope: str) -> None:
        deed: Callable[[], Awaitable[None]] | None = getattr(self, "_end_" + name.replace("-", "_"), None)
        if deed is not None:
            await deed()

    async def stop_all(self) -> None:
        await super().stop_all()
        for task in self._running.values():
            task.cancel()

    # ---- connections ---------------------------------------------------------------------

    async def _begin_drop(self) -> None:
        self._cut_all()

    async def _begin_flap(self, every_s: float = 2.0) -> None:
        self._cut_all()
        self._running["flap"] = self._task(self._flap(every_s))

    async def _flap(self, every_s: float) -> None:
        while True:
            await self.sim.clock.sleep(every_s)
            self._cut_all()

    async def _end_flap(self) -> None:
        self._running.pop("flap").cancel()

    async def _begin_half_open(self) -> None:
        for connection in self._connections():
            connection.mute = connection.deaf = True

    async def _begin_silent(self) -> None:
        for connection in self._connections():
            connection.mute = True

    async def _begin_mute(self) -> None:
        for connection in self._connections():
            connection.mute = True
        self.sim.hub.apps.clear()

    async def _begin_mute_next(self, count: int = 1) -> None:
        self.gate.born_mute = count

    async def _end_mute_next(self) -> None:
        self.gate.born_mute = 0

    async def _begin_race(self) -> None:
        self.gate.race = True

    async def _end_race(self) -> None:
        self.gate.race = False

    async def _begin_replaced(self) -> None:
        for app in self.sim.hub.apps.values():
            self.sim.hub.send(app, self.sim.goodbye())
            app.connection.mute = True

    # ---- the server ----------------------------------------------------------------------

    async def _begin_hung(self) -> None:
        self.gate.hung = asyncio.Event()
        for connection in self._connections():
            connection.held = connection.deaf = True

    async def _end_hung(self) -> None:
        if self.gate.hung is not None:
            self.gate.hung.set()
            self.gate.hung = None
        for connection in self._connections():
            connection.release()

    async def _begin_bad_gateway(self) -> None:
        self._answer_all(502)

    async def _begin_not_loaded(self) -> None:
        self._answer_all(404)

    async def _begin_wrong_password(self) -> None:
        self._answer_all(401)

    async def _end_bad_gateway(self) -> None:
        self.gate.answer = 0

    _end_not_loaded = _end_wrong_password = _end_bad_gateway

    async def _begin_restart(self, down_s: float = 1.0) -> None:
        self.sim.player.abandon()
        await self._come_back(down_s)

    async def _begin_stop(self, down_s: float = 3.0) -> None:
        self.sim.player.end_all()
        self.sim.hub.flush()
        # What was told before the end must still reach the clients.
        await asyncio.sleep(0)
        for connection in self._connections():
            connection.transport.close()
        await self._come_back(down_s)

    async def _come_back(self, down_s: float) -> None:
        self.sim.hub.apps.clear()
        self.sim.end_load()
        await self.sim.close_ports()
        self.sim.pbx.forget_everything()
        self._running["back"] = self._task(self._open_again(down_s))

    async def _open_again(self, down_s: float) -> None:
        await self.sim.clock.sleep(down_s)
        self.sim.pbx.forget_everything()
        self.gate.answer = 404
        await self.sim.open_ports()
        await self.sim.clock.sleep(LOADING_S)
        self.gate.answer = 0

    # ---- events --------------------------------------------------------------------------

    async def _begin_duplicate(self, share: float = 1 / 3) -> None:
        self.sim.hub.weather.duplicate_share = share

    async def _end_duplicate(self) -> None:
        self.sim.hub.weather.duplicate_share = 0.0

    async def _begin_reorder(self) -> None:
        self.sim.hub.weather.reorder = True

    async def _end_reorder(self) -> None:
        self.sim.hub.weather.reorder = False
        self.sim.hub.flush()

    async def _begin_slow(self, delay_s: float = 3.0) -> None:
        self.sim.hub.weather.delay_s = delay_s

    async def _end_slow(self) -> None:
        self.sim.hub.weather.delay_s = 0.0
        self.sim.hub.flush()

    async def _begin_garbage(self) -> None:
        for connection in self._connections():
            connection.write(text_frame(b'{"type":"ChannelVarset","timestamp":"2026-11-20T20:4'))

    async def _begin_huge_frame(self, size: int = 10 * 1024 * 1024) -> None:
        self._odd({"type": "ChannelVarset", "variable": "SIMULATED_BIG", "value": "x" * size})

    async def _begin_unknown_event(self) -> None:
        self._odd({"type": "ChannelTeleported", "from_planet": "Marte", "channel": self._some_leg()})

    async def _begin_unknown_state(self) -> None:
        self._odd({"type": "ChannelStateChange", "channel": {**self._some_leg(), "state": "Levitating"}})

    # ---- parts ---------------------------------------------------------------------------

    def _odd(self, event: Json) -> None:
        kind = str(event.pop("type"))
        self.sim.pbx.event(kind, **event)

    def _some_leg(self) -> Json:
        """Answer a living leg, or one that never was."""
        for leg in self.sim.pbx.channels.values():
            return self.sim.pbx.of(leg)
        stamp = ari_time(self.sim.pbx.now())
        return {
            "id": self.sim.pbx.fresh_id(),
            "name": "PJSIP/0000000-ffffffff",
            "state": "Down",
            "protocol_id": "",
            "caller": {"name": "", "number": ""},
            "connected": {"name": "", "number": ""},
            "accountcode": "",
            "dialplan": {"context": "none", "exten": "s", "priority": 1, "app_name": "", "app_data": ""},
            "creationtime": stamp,
            "language": "en",
        }

    def _connections(self) -> list[Connection]:
        return self.sim.hub.connections()

    def _cut_all(self) -> None:
        for connection in self._connections():
            connection.abort()

    def _answer_all(self, status: int) -> None:
        self.gate.answer = status
        self._cut_all()

    def _task(self, work: Any) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)
