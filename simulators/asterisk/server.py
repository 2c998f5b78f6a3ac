"""The simulated Asterisk as a whole: engine, listeners, faults, and three real ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

from aiohttp import web

from atalaia.clock import Clock
from simulators.asterisk.ami import AmiPort
from simulators.asterisk.ari import Ari
from simulators.asterisk.chaos import Chaos
from simulators.asterisk.control import Control
from simulators.asterisk.dialplan import Call
from simulators.asterisk.hub import Hub
from simulators.asterisk.load import Load
from simulators.asterisk.models import Bridge, Channel, Json, Phone, ari_time
from simulators.asterisk.pbx import Pbx
from simulators.asterisk.player import Player
from simulators.asterisk.recorded import play_capture
from simulators.asterisk.scenarios import Plan
from simulators.asterisk.traffic import Traffic
from simulators.asterisk.truth import Scores
from simulators.asterisk.world import World


def as_asked(plan: Plan) -> Plan:
    return plan


class AsteriskSimulator:
    """An ARI server that plays calls and misbehaves on request.

    `user` may write; `observer` is a read-only user with the same password. `people` decides what the
    people in an originated call do. Times come from `clock`, chance from `random`.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        random: Random,
        user: str,
        password: str,
        prefix: str = "",
        systemname: str = "demo1",
        observer: str = "observer",
        version: str = "22.10.1",
        entity_id: str = "00:00:5e:00:53:01",
        channelvars: bool = True,
        write_timeout_s: float = 1.0,
        people: Callable[[Plan], Plan] = as_asked,
    ) -> None:
        self.clock = clock
        self.random = random
        self.users = {user: (password, False), observer: (password, True)}
        self.prefix = prefix.strip("/")
        self.write_timeout_s = write_timeout_s
        self.people = people
        self.reloads: list[str] = []
        self.hub = Hub(clock, random)
        self.pbx = Pbx(
            clock,
            random,
            self.hub.tell,
            systemname=systemname,
            entity_id=entity_id,
            version=version,
            channelvars=channelvars,
        )
        self.scores = Scores()
        self.player = Player(self.pbx, self.scores)
        self.faults = Chaos(self)
        self.heard_somebody = asyncio.Event()
        self._load: Load | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._host, self._port, self._ami_port, self._control_port = "127.0.0.1", 0, 0, 0
        self._site: web.TCPSite | None = None
        self._ami = AmiPort(self)
        self._runner = web.AppRunner(
            Ari(self, prefix).application(), access_log=None, shutdown_timeout=0.1, handle_signals=False
        )
        self._control = web.AppRunner(Control(self).application(), access_log=None, shutdown_timeout=0.1)

    # ---- ports ---------------------------------------------------------------------------

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, ami_port: int = 0, control_port: int = 0
    ) -> None:
        """Open the ports; 0 takes a free one."""
        self._host, self._port, self._ami_port = host, port, ami_port
        await self._runner.setup()
        await self._control.setup()
        await self.open_ports()
        await web.TCPSite(self._control, host, control_port).start()
        self._control_port = int(self._control.addresses[0][1])

    async def stop(self) -> None:
        """End everything: calls, faults, connections, ports."""
        for task in list(self._tasks):
            task.cancel()
        self.player.abandon()
        self.hub.close()
        await self.faults.stop_all()
        await self.close_ports()
        await self._runner.cleanup()
        await self._control.cleanup()

    async def open_ports(self) -> None:
        """Open ARI and AMI, at the same ports as before."""
        self._site = web.TCPSite(self._runner, self._host, self._port, reuse_address=True)
        await self._site.start()
        self._port = int(self._runner.addresses[0][1])
        await self._ami.open(self._host, self._ami_port)
        self._ami_port = self._ami.port

    async def close_ports(self) -> None:
        """Close ARI and AMI as the end of the process does: new connections are refused, old ones break."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        for connection in self.hub.connections():
            connection.abort()
        if self._runner.server is not None:
            for handler in self._runner.server.connections:
                if handler.transport is not None:
                    handler.transport.abort()
        await self._ami.close()

    @property
    def port(self) -> int:
        return self._port

    @property
    def ami_port(self) -> int:
        return self._ami_port

    @property
    def url(self) -> str:
        """Answer the base of REST requests, with the prefix, without `/ari`."""
        return f"http://{self._host}:{self._port}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def control_url(self) -> str:
        return f"http://{self._host}:{self._control_port}"

    # ---- calls ---------------------------------------------------------------------------

    def add_phones(self, phones: list[Phone]) -> None:
        for phone in phones:
            self.pbx.add_phone(phone)

    def begin(self, scenario: str, origin: str, destiny: str, **plan: object) -> asyncio.Task[None]:
        """Start a scripted call and go on. `plan`: the fields of `scenarios.Plan`."""
        return self.player.begin(scenario, Plan(origin, destiny, **plan))  # type: ignore[arg-type]

    async def call(self, scenario: str, origin: str, destiny: str, **plan: object) -> Call:
        """Play a scripted call to its end."""
        return await self.player.play(scenario, Plan(origin, destiny, **plan))  # type: ignore[arg-type]

    async def play(self, capture: Path, *, controls: bool = False) -> None:
        """Play a recorded stream, re-timed to now and with fresh ids."""
        await play_capture(self, capture, controls=controls)

    def run_demo(self, rate: float = 1.0, world: World | None = None) -> Traffic:
        """Start the demo's traffic; the world's phones must have been added."""
        traffic = Traffic(self, world, rate)
        self.spawn(traffic.run())
        return traffic

    def begin_load(self, rate: float, calls: int, talk_s: tuple[float, float] = (0.5, 3.0)) -> Load:
        """Start a load of `calls` answered calls, `rate` a second, each talking within `talk_s`."""
        self.end_load()
        self._load = Load(self, rate, calls, talk_s)
        self.spawn(self._load.run())
        return self._load

    def end_load(self) -> None:
        """Stop a load where it is; its calls are gone without another event."""
        if self._load is not None:
            self._load.abandon()

    def load_state(self) -> Json:
        return self._load.as_json() if self._load is not None else {"state": "none"}

    def spawn(self, work: object) -> None:
        """Run something until the simulator stops."""
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- what REST sees ------------------------------------------------------------------

    def legs(self) -> list[Channel]:
        load = self._load.channels() if self._load is not None else []
        return [*self.pbx.channels.values(), *load]

    def leg(self, channel_id: str) -> Channel | None:
        found = self.pbx.channels.get(channel_id)
        return found or next((leg for leg in self.legs() if leg.id == channel_id), None)

    def bridges(self) -> list[Bridge]:
        load = self._load.bridges() if self._load is not None else []
        return [*self.pbx.bridges.values(), *load]

    def stamped(self, kind: str) -> Json:
        """Begin an event that goes to one application only."""
        return {"type": kind, "timestamp": ari_time(self.pbx.now()), "asterisk_id": self.pbx.entity_id}

    def goodbye(self) -> Json:
        return self.stamped("ApplicationReplaced")

    def state(self) -> Json:
        """Answer what goes on inside, for the fault panel and for tests."""
        return {
            "calls": self.player.live,
            "channels": len(self.legs()),
            "bridges": len(self.bridges()),
            "events_told": self.hub.told,
            "failures": [repr(error) for error in self.player.failures],
            "connections": [
                {
                    "app": connection.app,
                    "registered": connection.app in self.hub.apps,
                    "mute": connection.mute,
                    "cut": connection.given_up,
                    "sent": connection.sent,
                }
                for connection in self.hub.connections()
            ],
            "load": self.load_state(),
        }
