"""The test before a connection is saved: how far one comes at each door, and what to do where it ends."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import BaseModel

from atalaia.ambient import Ambient
from atalaia.connections.session import CheckStep
from atalaia.connectors.traffilog.line import Line, Watcher, open_line
from atalaia.connectors.traffilog.portal.check import check_login
from atalaia.connectors.traffilog.reach import REMEDY, Cause, Unreached, probe
from atalaia.connectors.traffilog.settings import TraffilogSettings, place_of
from atalaia.errors import Refused, UpstreamError

# The names of the steps below, in the order of the way; those after a failed one are skipped.
WAY = ("name", "route", "port", "TLS")
CAUSES = {"Login": Cause.LOGIN, "WebSocket": Cause.SOCKET, "Frame": Cause.FRAME}
PASSED: dict[str, int] = {
    Cause.DNS: 0,
    Cause.ROUTE: 1,
    Cause.TCP: 2,
    Cause.TLS: 3,
}


async def check(settings: BaseModel, ambient: Ambient) -> list[CheckStep]:
    """Try the settings without touching the log. Never raises for what the other side does."""
    return await _Checker(cast("TraffilogSettings", settings), ambient).run()


class _Checker:
    def __init__(self, settings: TraffilogSettings, ambient: Ambient) -> None:
        self._settings = settings
        self._ambient = ambient
        self._steps: list[CheckStep] = []

    async def run(self) -> list[CheckStep]:
        api = await self._reach("API", self._settings.login_url)
        socket = await self._reach("Socket", self._settings.socket_url)
        if api and socket:
            await self._talk()
        for name in CAUSES:
            if all(step.name != name for step in self._steps):
                self._say(name, "skipped", "Not tried, because an earlier step failed.")
        if self._settings.portal_url:
            if await self._reach("Portal", self._settings.portal_url):
                self._steps += await check_login(self._settings, self._ambient)
        else:
            self._say("Portal", "skipped", "No portal is set.", "Give its address to install and uninstall.")
        return self._steps

    def _say(
        self,
        name: str,
        outcome: Literal["ok", "failed", "skipped"],
        said: str,
        todo: str = "",
        **evidence: Any,
    ) -> None:
        self._steps.append(CheckStep(name, outcome, said, todo, evidence))

    async def _reach(self, door: str, url: str) -> bool:
        """Say name, route, port and TLS of one door; answer whether all of it stands."""
        host, port, tls = place_of(url)
        try:
            way = await probe(url, self._settings, self._ambient.clock)
        except Refused as error:
            self._say(f"{door}: TLS", "failed", str(error), error.ask)
            return False
        ended = len(WAY) if way.failed is None else PASSED[way.failed.cause]
        passed = (
            f"{host} leads to {', '.join(way.addresses)}.",
            f"There is a way to {host}.",
            f"{host}:{port} accepts connections.",
            "The certificate is good." if tls else "No TLS is asked for.",
        )
        for place, name in enumerate(WAY):
            if place < ended:
                self._say(f"{door}: {name}", "ok", passed[place], took_ms=way.took_ms)
            elif place == ended and way.failed is not None:
                self._say(f"{door}: {name}", "failed", str(way.failed), way.failed.todo)
            else:
                self._say(f"{door}: {name}", "skipped", "Not tried, because an earlier step failed.")
        return way.failed is None

    async def _talk(self) -> None:
        """Log in, open a socket, and ask something harmless over it."""
        stage: str = "Login"

        def reached(what: str) -> None:
            nonlocal stage
            if what == "login":
                self._say("Login", "ok", "The login name and password are good.")
                stage = "WebSocket"
            elif what == "socket":
                self._say("WebSocket", "ok", "The socket is open.")
                stage = "Frame"

        try:
            async with open_line(self._settings, self._ambient, Watcher(reached=reached), tries=1) as line:
                await self._frame(line)
        except Refused as error:
            self._say(stage, "failed", str(error), error.ask)
        except Unreached as error:
            self._say(stage, "failed", str(error), error.todo, cause=str(error.cause))
        except UpstreamError as error:
            self._say(stage, "failed", str(error), REMEDY[CAUSES[stage]])

    async def _frame(self, line: Line) -> None:
        began = self._ambient.clock.monotonic()
        said = await line.prove()
        took_ms = round((self._ambient.clock.monotonic() - began) * 1000, 2)
        self._say("Frame", "ok", f"Our frame was answered in {took_ms:g} ms ({said}).", answer_ms=took_ms)
