"""The simulator's own buttons, on a port of their own: faults, calls, truth, load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from simulators.panel import FaultPanel, read_body

if TYPE_CHECKING:
    from simulators.asterisk.server import AsteriskSimulator


class Control:
    """`GET /_faults`, `POST` and `DELETE /_faults/NAME`, `GET /_truth`, `GET /_state`, `POST /_load`."""

    def __init__(self, sim: AsteriskSimulator) -> None:
        self.sim = sim

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_routes(FaultPanel(lambda: self.sim.faults).routes())
        app.router.add_get("/_truth", self.truth)
        app.router.add_get("/_state", self.state)
        app.router.add_post("/_load", self.load)
        return app

    async def truth(self, request: web.Request) -> web.Response:
        """Answer what a monitor must have come to know."""
        return web.json_response({"load": self.sim.load_state(), "calls": self.sim.scores.as_json()})

    async def state(self, request: web.Request) -> web.Response:
        return web.json_response(self.sim.state())

    async def load(self, request: web.Request) -> web.Response:
        """Begin a load: `{"rate": 25, "seconds": 10}` or `{"rate": 25, "calls": 250, "talk_s": [0.5, 3]}`."""
        body = await read_body(request)
        rate = float(body.get("rate") or 1)
        calls = int(body.get("calls") or rate * float(body.get("seconds") or 1))
        low, high = body.get("talk_s") or (0.5, 3.0)
        self.sim.begin_load(rate, calls, (float(low), float(high)))
        return web.json_response(self.sim.load_state(), status=202)
