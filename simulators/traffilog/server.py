"""The simulated telematics upstream as a whole: state, faults, and four real ports."""

from __future__ import annotations

from pathlib import Path
from random import Random

from aiohttp import web

from atalaia.clock import Clock
from simulators.traffilog import recorded
from simulators.traffilog.api import Api
from simulators.traffilog.chaos import Chaos
from simulators.traffilog.control import Control
from simulators.traffilog.doors import ORIGIN as ORIGIN
from simulators.traffilog.doors import Doors as Doors
from simulators.traffilog.ledger import Ledger
from simulators.traffilog.life import Life
from simulators.traffilog.load import Load
from simulators.traffilog.models import Json
from simulators.traffilog.pace import Pace
from simulators.traffilog.portal import Portal
from simulators.traffilog.socket import SocketSurface
from simulators.traffilog.tokens import Accounts, Burning
from simulators.traffilog.upstream import Upstream
from simulators.traffilog.world import World, demo_world, furnish

APP_GUID = "B3A1C7D2-5E4F-4A6B-8C9D-0E1F2A3B4C5D"
WS_GUID = "7F6E5D4C-3B2A-4190-8F7E-6D5C4B3A2910"


class TraffilogSimulator:
    """A telematics upstream with surfaces A (HTTP), B (WebSocket) and C (portal), each on a port of its own.

    Times come from `clock`, chance from `random`, pauses from `pace`. `ledger` tells what really happened.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        random: Random,
        user: str,
        password: str,
        portal_user: str,
        portal_password: str,
        pace: Pace | None = None,
        world: World | None = None,
        burning: Burning = "unclean",
        doors: Doors | None = None,
    ) -> None:
        self.clock = clock
        self.doors = doors or Doors()
        accounts = Accounts(random, {user: password}, burning)
        self.upstream = Upstream(clock, random, pace or Pace(), accounts)
        furnish(self.upstream, world or demo_world())
        self.faults = Chaos(self)
        self.portal = Portal(self.upstream, {portal_user: portal_password})
        surfaces = {
            "a": Api(self).application(),
            "b": SocketSurface(self).application(),
            "c": self.portal.application(),
        }
        self._runners = {name: _runner(app) for name, app in surfaces.items()}
        self._control = _runner(Control(self).application())
        self._sites: list[web.TCPSite] = []
        self._host = "127.0.0.1"
        self._ports = dict.fromkeys(surfaces, 0)
        self._control_port = 0
        self._load: Load | None = None

    # ---- ports ---------------------------------------------------------------------------

    async def start(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ws_port: int = 0,
        portal_port: int = 0,
        control_port: int = 0,
    ) -> None:
        """Open the ports; 0 takes a free one."""
        self._host = host
        self._ports = {"a": port, "b": ws_port, "c": portal_port}
        for runner in (*self._runners.values(), self._control):
            await runner.setup()
        await self.open_ports()
        await web.TCPSite(self._control, host, control_port).start()
        self._control_port = int(self._control.addresses[0][1])

    async def stop(self) -> None:
        """End everything: processes, faults, connections, ports."""
        await self.faults.stop_all()
        await self.upstream.stop()
        await self.close_ports()
        for runner in (*self._runners.values(), self._control):
            await runner.cleanup()

    async def open_ports(self) -> None:
        """Open the three surfaces, at the same ports as before."""
        for name, runner in self._runners.items():
            site = web.TCPSite(runner, self._host, self._ports[name], reuse_address=True)
            await site.start()
            self._sites.append(site)
            self._ports[name] = int(runner.addresses[0][1])

    async def close_ports(self) -> None:
        """Refuse new connections and break the old ones; processes go on behind."""
        for site in self._sites:
            await site.stop()
        self._sites.clear()
        self.upstream.connections.abort_all()
        for runner in self._runners.values():
            if runner.server is not None:
                for handler in runner.server.connections:
                    if handler.transport is not None:
                        handler.transport.abort()

    @property
    def api_url(self) -> str:
        """Answer surface A's full address."""
        return f"http://{self._host}:{self._ports['a']}/appengine_3/{APP_GUID}/1/json"

    @property
    def ws_url(self) -> str:
        """Answer surface B's base, to which `/WS_GUID/TOKEN/json?defragment=1` is added."""
        return f"ws://{self._host}:{self._ports['b']}"

    @property
    def portal_url(self) -> str:
        """Answer surface C's action address."""
        return f"http://{self._host}:{self._ports['c']}/AppEngine_2_1/default.aspx"

    @property
    def portal_bootstrap_url(self) -> str:
        return f"http://{self._host}:{self._ports['c']}/appv2/index.htm"

    @property
    def control_url(self) -> str:
        return f"http://{self._host}:{self._control_port}"

    def addresses(self) -> Json:
        """Answer everything a connection's settings need, but the passwords."""
        return {
            "api": self.api_url,
            "ws": self.ws_url,
            "portal": self.portal_url,
            "bootstrap": self.portal_bootstrap_url,
            "control": self.control_url,
            "app_guid": APP_GUID,
            "ws_guid": WS_GUID,
            "origin": self.doors.origin,
        }

    # ---- what tests and the demo ask for -------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        return self.upstream.ledger

    def run_demo(self) -> None:
        """Let vehicles drive and units come and go, until the simulator stops."""
        self.upstream.spawn(Life(self.upstream).run())

    def begin_load(self, rate: float, seconds: float) -> Load:
        """Have the vehicles that are heard push, `rate` pushes a second; see `Load`."""
        self._load = Load(self.upstream, rate, seconds)
        self.upstream.spawn(self._load.run())
        return self._load

    async def play(self, recording: Path, vehicle_id: str) -> int:
        """Push a recorded stream to whoever subscribed `vehicle_id`, with its own times; answers how many."""
        return await recorded.play(self.upstream, recording, vehicle_id)

    async def play_all(self, recording: Path, token: str, vehicle_id: str) -> int:
        """Say a whole recorded stream, answers too, on the open socket of `token`; `LookupError` without."""
        found = [one for one in self.upstream.connections.open if one.session.token == token]
        if not found:
            raise LookupError("no open socket with this token")
        return await recorded.play_all(self.upstream, recording, found[0], vehicle_id)

    def state(self) -> Json:
        """Answer what goes on inside, for the fault panel and for tests."""
        up = self.upstream
        return {
            "logins": up.accounts.logins,
            "sockets": [
                {
                    "token": one.session.token[-10:],
                    "wants": {vehicle: sorted(kinds) for vehicle, kinds in one.wants.items()},
                    "heard": one.heard,
                    "sent": one.sent,
                    "mute": one.mute,
                }
                for one in up.connections.open
            ],
            "slots": {client: slot.process.id for client, slot in up.slots.items()},
            "processes": [
                {
                    "process_id": one.id,
                    "kind": one.kind,
                    "state": one.state,
                    "outcome": one.outcome,
                    "acknowledged": one.acknowledged,
                    "total": one.total,
                    "vehicles": one.vehicles,
                    "comment": one.comment,
                }
                for one in up.processes.values()
            ],
            "bad_frames": list(self.doors.bad_frames),
            "pushed": up.connections.pushed,
            "load": self._load.as_json() if self._load else None,
            "portal": self.portal.state(),
            "failures": [repr(error) for error in up.failures],
        }


def _runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handle_signals=False)
