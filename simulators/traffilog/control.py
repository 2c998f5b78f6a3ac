"""The simulator's own buttons, on a port of their own: faults, the ledger, units, replays."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from simulators.panel import FaultPanel, read_body
from simulators.traffilog import reports
from simulators.traffilog.doors import Doors

if TYPE_CHECKING:
    from simulators.traffilog.server import TraffilogSimulator


class Control:
    """`/_faults`, `/_ledger`, `/_state`, `/_units/SERIAL`, `/_play`, `/_load`, `/_doors`."""

    def __init__(self, sim: TraffilogSimulator) -> None:
        self.sim = sim

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_routes(FaultPanel(lambda: self.sim.faults).routes())
        app.router.add_get("/_ledger", self.ledger)
        app.router.add_get("/_state", self.state)
        app.router.add_post("/_units/{serial}", self.unit)
        app.router.add_post("/_play", self.play)
        app.router.add_post("/_load", self.load)
        app.router.add_post("/_doors", self.turn)
        return app

    async def ledger(self, request: web.Request) -> web.Response:
        """Answer every effect, its count, and what looks like done twice."""
        return web.json_response(self.sim.ledger.as_json())

    async def state(self, request: web.Request) -> web.Response:
        return web.json_response(self.sim.state())

    async def unit(self, request: web.Request) -> web.Response:
        """Change a unit: `{"online": false, "ignition": true, "speed": 60}`."""
        unit = self.sim.upstream.units.get(request.match_info["serial"].zfill(16))
        if unit is None:
            return web.json_response({"error": "no such unit"}, status=404)
        body = await read_body(request)
        if "online" in body and bool(body["online"]) != unit.online:
            reports.connected(self.sim.upstream, unit, bool(body["online"]))
        unit.ignition = bool(body.get("ignition", unit.ignition))
        unit.speed = int(body.get("speed", unit.speed))
        return web.json_response({"serial": unit.serial, "online": unit.online, "key": unit.key})

    async def play(self, request: web.Request) -> web.Response:
        """Push a recording: `{"file": "sb_run_460_steps.jsonl", "vehicle_id": "2900108"}`.

        With `"answers": true` everything in it is said, answers and fragments too, on the newest socket.
        """
        body = await read_body(request)
        file, vehicle_id = Path(str(body.get("file"))), str(body.get("vehicle_id"))
        if not await asyncio.to_thread(file.is_file) or vehicle_id not in self.sim.upstream.vehicles:
            return web.json_response({"error": "no such file or vehicle"}, status=404)
        sockets = sorted(self.sim.upstream.connections.open, key=lambda one: one.number)
        if body.get("answers") and not sockets:
            return web.json_response({"error": "no open socket"}, status=409)
        token = sockets[-1].session.token if body.get("answers") else ""
        self.sim.upstream.spawn(self._play(file, vehicle_id, token))
        return web.json_response({"playing": str(file)}, status=202)

    async def turn(self, request: web.Request) -> web.Response:
        """Turn the switches of `Doors`, and `burning`: `{"nul_tails": false, "burning": "reused"}`."""
        body = await read_body(request)
        known = {one.name for one in fields(Doors)} - {"bad_frames"}
        if unknown := sorted(body.keys() - known - {"burning"}):
            told = {"error": "no such switch", "unknown": unknown, "switches": sorted([*known, "burning"])}
            return web.json_response(told, status=404)
        for name, value in body.items():
            setattr(self.sim.upstream.accounts if name == "burning" else self.sim.doors, name, value)
        now = {name: getattr(self.sim.doors, name) for name in known}
        return web.json_response({**now, "burning": self.sim.upstream.accounts.burning})

    async def load(self, request: web.Request) -> web.Response:
        """Have the vehicles that are heard push: `{"rate": 500, "seconds": 10}`, pushes a second."""
        body = await read_body(request)
        self.sim.begin_load(float(body["rate"]), float(body["seconds"]))
        return web.json_response({"load": "begun"}, status=202)

    async def _play(self, recording: Path, vehicle_id: str, token: str) -> None:
        if token:
            await self.sim.play_all(recording, token, vehicle_id)
        else:
            await self.sim.play(recording, vehicle_id)
