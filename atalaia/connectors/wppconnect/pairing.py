"""What a person does with a session: pair it with a phone, and look at its page.

A picture is no proof that a scan is needed: the server goes on drawing the last one after the login. So a
code is answered only while the session's own status asks for one.
Source: contract WhatsApp, sections 1.4, 2.2 and 2.3.
"""

from __future__ import annotations

from typing import Literal

from atalaia.ambient import Ambient
from atalaia.connections.pairing import Code
from atalaia.connectors.wppconnect.door import Claim, Word
from atalaia.connectors.wppconnect.gateway import GatewayDoor
from atalaia.connectors.wppconnect.server import ServerDoor
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.errors import InDoubt, Rejected, Unavailable

_WORDS: dict[Word, Literal["connected", "scan", "type", "starting", "closed"]] = {
    Word.CONNECTED: "connected", Word.QRCODE: "scan", Word.PHONECODE: "type", Word.INITIALIZING: "starting",
    Word.CLOSED: "closed", Word.DISCONNECTED: "closed",
}  # fmt: skip


async def look(settings: WppconnectSettings, ambient: Ambient) -> Code:
    """Answer the code that is wanted now. A gateway is asked for its picture only while it wants one."""
    if settings.server_url:
        async with ServerDoor(settings, ambient.clock, "") as door:
            return code_of(await door.status())
    async with GatewayDoor(settings, ambient.clock) as gateway:
        claim = await gateway.status()
        # Its `/qr` starts the session, so it is not called for one that is connected or closed.
        return code_of(await gateway.code() if claim.word is Word.QRCODE else claim)


async def begin(settings: WppconnectSettings, ambient: Ambient, connection: str, phone: str) -> bool:
    """Open the session for pairing. phone: type a code on that phone instead of scanning one, by the server.

    Answers whether it was opened anew; False: it shows such a code already.
    One that shows the other kind of code is left alone: closing it there would leave its browser behind, and
    with it the session could not start again.
    Errors: `Rejected` when it is connected, shows another kind of code, or is asked for by a gateway that has
    none to type.
    """
    if not settings.server_url:
        if phone:
            raise Rejected("Only the server itself gives a code to type; scan the picture.")
        async with GatewayDoor(settings, ambient.clock) as gateway:
            await gateway.start()
        return True
    async with ServerDoor(settings, ambient.clock, settings.hook_url(connection)) as door:
        claim = await door.status()
        if claim.word is Word.CONNECTED:
            raise Rejected("The session is connected: there is nothing to pair.")
        if claim.word in (Word.QRCODE, Word.PHONECODE):
            if (claim.word is Word.PHONECODE) == bool(phone):
                return False
            raise Rejected(
                "The session shows another kind of code, and gives it up within a minute. Ask again then."
            )
        try:
            await door.start(phone)
        except InDoubt as error:
            raise Unavailable(str(error)) from error  # it may be asked for again
    return True


async def picture(settings: WppconnectSettings, ambient: Ambient) -> bytes:
    """Answer what the session's page shows now. Errors: `Rejected` without a server: a gateway has none."""
    if not settings.server_url:
        raise Rejected("Only the server itself gives a picture of the page, and none is configured.")
    async with ServerDoor(settings, ambient.clock, "") as door:
        return await door.screenshot()


def code_of(claim: Claim) -> Code:
    """Answer what a claim says of the pairing."""
    word: Literal["connected", "scan", "type", "starting", "closed", "unknown"]
    word = _WORDS.get(claim.word, "unknown")
    return Code(word, claim.said, claim.text, claim.code if word == "scan" else "")
