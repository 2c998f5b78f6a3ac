"""The simulator's own buttons, on a port of their own: faults, calls, truth, load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from simulators.asterisk.ari import read_json
from simulators.asterisk.faults import FAULTS

if TYPE_CHECKING:
    from simulators.asterisk.server import AsteriskSimulator

OPTIONS = ("share", "delay_s", "count", "every_s", "down_s", "size")


class Control:
    """`GET /_faults`, `POST` and `DELETE /_faults/NAME`, `GET /_truth`, `GET /_state`, `POST /_load`."""

    def __init__(self, sim: AsteriskSimulator) -> None:
        self.sim = sim

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/_faults", self.faults)
        app.router.add_post("/_faults/{name}", self.begin)
        app.router.add_delete("/_faults/{name}", self.end)
        app.router.add_get("/_truth", self.truth)
        app.router.add_get("/_state", self.state)
        app.router.add_post("/_load", self.load)
        return app

    async def faults(self, request: web.Request) -> web.Response:
        return web.json_response({"faults": self.sim.faults.as_json()})

    async def begin(self, request: web.Request) -> web.Response:
        """Begin a fault. Body, optional: `{"seconds": 20, "share": 0.5, ...}`; a lasting one always ends."""
        fault = FAULTS.get(request.match_info["name"])
        if fault is None:
            return web.json_response({"error": "no such fault", "faults": sorted(FAULTS)}, status=404)
        body = await read_json(request)
        seconds = float(body.get("seconds", fault.default_s)) if fault.kind == "lasting" else None
        options = {key: body[key] for key in OPTIONS if key in body}
        try:
            await self.sim.faults.start(fault.name, seconds, **options)
        except TypeError:
            return web.json_response({"error": f"{fault.name} knows no {sorted(options)}"}, status=400)
        return web.json_response({"faults": self.sim.faults.as_json()})

    async def end(self, request: web.Request) -> web.Response:
        fault = FAULTS.get(request.match_info["name"])
        if fault is None:
            return web.json_response({"error": "no such fault", "faults": sorted(FAULTS)}, status=404)
        await self.sim.faults.stop(fault.name)
        return web.json_response({"faults": self.sim.faults.as_json()})

    async def truth(self, request: web.Request) -> web.Response:
        """Answer what a monitor must have come to know."""
        return web.json_response({"load": self.sim.load_state(), "calls": self.sim.scores.as_json()})

    async def state(self, request: web.Request) -> web.Response:
        return web.json_response(self.sim.state())

    async def load(self, request: web.Request) -> web.Response:
        """Begin a load: `{"rate": 25, "seconds": 10}` or `{"rate": 25, "calls": 250, "talk_s": [0.5, 3]}`."""
        body = await read_json(request)
        rate = float(body.get("rate") or 1)
        calls = int(body.get("calls") or rate * float(body.get("seconds") or 1))
        low, high = body.get("talk_s") or (0.5, 3.0)
        self.sim.begin_load(rate, calls, (float(low), float(high)))
        return web.json_response(self.sim.load_state(), status=202)
