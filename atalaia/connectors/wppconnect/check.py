"""The test before a connection is saved: how far one comes at each door, and what to do where it ends."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import BaseModel

from atalaia.ambient import Ambient
from atalaia.connections.session import CheckStep
from atalaia.connectors.wppconnect import versions
from atalaia.connectors.wppconnect.door import Claim, Word
from atalaia.connectors.wppconnect.gateway import GatewayDoor
from atalaia.connectors.wppconnect.server import NoSession, ServerDoor
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.wids import comparable
from atalaia.errors import Refused, UpstreamError


async def check(settings: BaseModel, ambient: Ambient) -> list[CheckStep]:
    """Try the settings without touching the log. Never raises for what the other side does."""
    return await _Checker(cast("WppconnectSettings", settings), ambient).run()


class _Checker:
    def __init__(self, settings: WppconnectSettings, ambient: Ambient) -> None:
        self._settings = settings
        self._clock = ambient.clock
        self._steps: list[CheckStep] = []

    async def run(self) -> list[CheckStep]:
        if self._settings.server_url:
            async with ServerDoor(self._settings, self._clock, "") as door:
                await self._server(door)
        if self._settings.gateway_url:
            async with GatewayDoor(self._settings, self._clock) as gateway:
                await self._gateway(gateway)
        self._webhook()
        return self._steps

    async def _server(self, door: ServerDoor) -> None:
        names = ("Server", "Secret key", "Session", "Version", "Account")
        try:
            await door.alive()
            self._say("Server", "ok", "The server answers.")
            claim = await door.status()
        except Refused as error:
            self._say("Secret key", "failed", str(error), error.ask)
        except UpstreamError as error:
            self._say("Server", "failed", str(error), "Check the address, and that the server runs.")
        else:
            self._say("Secret key", "ok", "The server takes our key.")
            await self._session(door, claim)
        done = {step.name for step in self._steps}
        for name in names:
            if name not in done:
                self._say(name, "skipped", "Not tried, because an earlier step failed.")

    async def _session(self, door: ServerDoor, claim: Claim) -> None:
        evidence = {"claim": claim.said}
        match claim.word:
            case Word.CONNECTED:
                self._say("Session", "ok", "The server says that it is connected.", **evidence)
            case Word.QRCODE | Word.PHONECODE:
                said = "The session waits to be paired."
                self._say(
                    "Session", "failed", said, "Save, then scan the code on the session's page.", **evidence
                )
            case _:
                said = "The session is not open; the hub starts it when the connection is saved."
                self._say("Session", "ok", said, **evidence)
        self._version(claim.version)
        if claim.word is not Word.CONNECTED:
            self._say("Account", "skipped", "Only a connected session tells which number it is.")
            return
        try:
            own = await door.own_number()
        except (NoSession, UpstreamError) as error:
            self._say("Account", "failed", str(error), "Save: the hub finds out what is wrong with the page.")
            return
        wanted = self._settings.phone
        if own is None:
            self._say("Account", "skipped", "The page does not say yet which account it is.")
        elif wanted and comparable(own.user) != comparable(wanted):
            said = f"It is paired with {own.user}, and {wanted} is expected."
            self._say("Account", "failed", said, "Pair the right phone, or correct the expected number.")
        else:
            self._say("Account", "ok", f"It is paired with {own.user}.", account=own.user)

    def _version(self, version: str) -> None:
        """Versions before the renamed status never notice that a phone was unpaired."""
        if not versions.parts_of(version):
            self._say("Version", "skipped", "The server does not say its version while no session is open.")
        elif said := versions.skew_of(version):
            self._say("Version", "failed", said, versions.TODO, version=version)
        else:
            self._say("Version", "ok", f"Server {version}.", version=version)

    async def _gateway(self, door: GatewayDoor) -> None:
        try:
            claim = await door.status()
        except Refused as error:
            self._say("Gateway", "failed", str(error), error.ask)
        except UpstreamError as error:
            self._say("Gateway", "failed", str(error), "Check the address, and the session's exact name.")
        else:
            self._say("Gateway", "ok", f"The gateway knows the session and calls it “{claim.said}”.")

    def _webhook(self) -> None:
        if self._settings.hub_url:
            self._say("Webhooks", "ok", "The hub tells the server where to send them.")
        else:
            said = "Nobody tells the server where to send its webhooks."
            todo = "Give this hub's address as the server reaches it, or set the webhook there yourself."
            self._say("Webhooks", "skipped", said, todo)

    def _say(
        self,
        name: str,
        outcome: Literal["ok", "failed", "skipped"],
        said: str,
        todo: str = "",
        **evidence: Any,
    ) -> None:
        self._steps.append(CheckStep(name, outcome, said, todo, evidence))
