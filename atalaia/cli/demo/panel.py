"""The demo's fault panel: a page that makes the simulated upstreams and the consumer misbehave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Form, Request
from starlette.responses import RedirectResponse, Response

from atalaia.deliveries.receiver import Received, Receiver
from atalaia.web.access import require
from atalaia.web.render import page, view_of
from simulators.asterisk import AsteriskSimulator
from simulators.traffilog import TraffilogSimulator

ROLE = Depends(require("connections:write"))


CONSUMER = "consumer"
Simulator = AsteriskSimulator | TraffilogSimulator


@dataclass(frozen=True)
class Shown:
    """One simulated upstream on the panel."""

    title: str
    simulator: Simulator


class Panel:
    """Draws the panel and carries out what is pressed."""

    def __init__(self, servers: Mapping[str, Shown], receiver: Receiver) -> None:
        self._servers = servers
        self._receiver = receiver

    def install(self, app: FastAPI) -> None:
        """Add the panel's routes to the app."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/demo", self.show, methods=["GET"], dependencies=[ROLE])
        router.add_api_route("/demo/faults", self.press, methods=["POST"], dependencies=[ROLE])
        app.include_router(router)
        app.state.more_worlds = ("demo",)

    async def show(self, request: Request) -> Response:
        """Draw every fault of every server with what it does and how it ends."""
        language = "en" if view_of(request).language == "en" else "pt-BR"
        servers = [
            {"name": name, "title": one.title, "faults": _faults(one.simulator, language)}
            for name, one in self._servers.items()
        ]
        down = self._receiver.answer is not None
        return page(request, "demo/panel.html", servers=servers, consumer_down=down)

    async def press(
        self,
        server: Annotated[str, Form()],
        fault: Annotated[str, Form()],
        do: Annotated[str, Form()] = "start",
    ) -> Response:
        """Begin or end one fault."""
        if server == CONSUMER:
            self._receiver.answer = None if do == "stop" else _refusal
            return RedirectResponse("/demo", status_code=303)
        shown = self._servers.get(server)
        if shown is not None:
            await _carry_out(shown.simulator, fault, do)
        return RedirectResponse("/demo", status_code=303)


def _refusal(_: Received) -> int:
    """What a consumer that is down for maintenance answers."""
    return 503


async def _carry_out(simulator: Simulator, fault: str, do: str) -> None:
    known = {str(one["name"]): one for one in simulator.faults.as_json()}.get(fault)
    if known is None:
        return
    if do == "stop":
        await simulator.faults.stop(fault)
    else:
        await simulator.faults.start(fault, float(str(known["default_s"])) or None)


def _faults(simulator: Simulator, language: str) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    for one in simulator.faults.as_json():
        texts = {key: _text(one[key], language) for key in ("title", "description", "ends")}
        shown.append({**one, **texts})
    return shown


def _text(texts: Any, language: str) -> str:
    return str(texts[language])
