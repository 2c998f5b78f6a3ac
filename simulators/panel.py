"""What the control ports of all simulators have: the fault panel by HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from simulators.switches import Switches


class FaultPanel:
    """`GET /_faults`, `POST` and `DELETE /_faults/NAME`."""

    def __init__(self, switches: Callable[[], Switches]) -> None:
        self._switches = switches

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_faults", self.faults),
            web.post("/_faults/{name}", self.begin),
            web.delete("/_faults/{name}", self.end),
        ]

    async def faults(self, request: web.Request) -> web.Response:
        return web.json_response({"faults": self._switches().as_json()})

    async def begin(self, request: web.Request) -> web.Response:
        """Begin a fault. Body, optional: `{"seconds": 20, "times": 1, ...}` and the fault's own options.

        A lasting one without `seconds` and `times` ends after its own default. 400 for an option it does
        not know.
        """
        switches = self._switches()
        fault = switches.faults.get(request.match_info["name"])
        if fault is None:
            return self._unknown()
        options = await read_body(request)
        seconds, times = options.pop("seconds", None), options.pop("times", None)
        if fault.kind == "lasting" and seconds is None and times is None:
            seconds = fault.default_s
        try:
            await switches.start(fault.name, seconds, times, **options)
        except TypeError:
            return web.json_response({"error": f"{fault.name} knows no {sorted(options)}"}, status=400)
        return await self.faults(request)

    async def end(self, request: web.Request) -> web.Response:
        """End a fault; `?session=NAME` and the like for one that is active for several."""
        switches = self._switches()
        if request.match_info["name"] not in switches.faults:
            return self._unknown()
        await switches.stop(request.match_info["name"], request.query.get(switches.scope_option or "-", ""))
        return await self.faults(request)

    def _unknown(self) -> web.Response:
        return web.json_response(
            {"error": "no such fault", "faults": sorted(self._switches().faults)}, status=404
        )


async def read_body(request: web.Request) -> dict[str, Any]:
    """Read an optional JSON object."""
    if not await request.read():
        return {}
    body: Any = await request.json()
    return dict(body)
