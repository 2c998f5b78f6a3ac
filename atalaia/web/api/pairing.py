"""Pair a session with a phone: the code that is wanted now, and to ask for one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response
from pydantic import Field

from atalaia.web import pairing
from atalaia.web.access import require
from atalaia.web.api.common import ONCE, Asked, Wire, router
from atalaia.web.parts import parts_of
from atalaia.web.wire import Identity, Moment

routes = router("pairing")
_WRITE = [Depends(require("connections:write"))]


class PairingOut(Wire):
    """How far the pairing of a session is."""

    word: str = Field(
        description="connected: no code is wanted. scan, type: what to do with the code. starting, closed, "
        "unknown, or unreachable when the upstream could not be asked."
    )
    said: str = Field(description="The upstream's own word.")
    text: str = Field(description="What to draw as a QR code, or to type into the phone; empty without one.")
    picture: str = Field(description="Base64 of a PNG, where the upstream gives no text.")
    shown_since: Moment | None = Field(validation_alias="shown_ms")
    given_up_at: Moment | None = Field(validation_alias="until_ms")
    error: str


class PairingBegin(Asked):
    """How to pair."""

    phone: Annotated[str, Field(max_length=40)] = Field(
        "", description="Digits with the country code: a code is typed on that phone. Empty: one is scanned."
    )


@routes.get("/connections/{connection}/pairing", dependencies=_WRITE)
async def get_pairing(request: Request, response: Response, connection: Identity) -> PairingOut:
    """Answer the code that is wanted now. It lives for seconds: ask again, and keep it nowhere."""
    found = await pairing.look(parts_of(request), connection)
    response.headers["Cache-Control"] = "no-store"
    return PairingOut.model_validate(found)


@routes.post("/connections/{connection}/pairing", status_code=202, dependencies=[*_WRITE, *ONCE])
async def begin_pairing(request: Request, connection: Identity, asked: PairingBegin) -> None:
    """Open a session so that it shows a code. One whose pairing still holds just connects."""
    await pairing.begin(parts_of(request), connection, asked.phone)
