"""A message of our own now and then, where nothing else can prove it: its receipt and its coming back.

Off unless somebody names whom to write to: the session's own number, or another session of this hub. Nobody
else is ever written to. What it says is marked on its way into the log, so that no conversation comes of it.
Source: contract WhatsApp, section 5.2, point 4.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from atalaia.clock import to_ms
from atalaia.connections.recovery import Found
from atalaia.connections.truth import Truth
from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.door import Sent
from atalaia.connectors.wppconnect.envelope import Json
from atalaia.connectors.wppconnect.wids import PHONE, MessageId, Wid, comparable, read_message_id, read_wid
from atalaia.errors import Rejected, UpstreamError

if TYPE_CHECKING:
    from atalaia.connections.session import SessionPort
    from atalaia.connectors.wppconnect.settings import WppconnectSettings

OWN = "own"
MARK = "$canary"
ACK_WITHIN_S, ARRIVES_WITHIN_S, LOOK_S = 30.0, 60.0, 5.0
ACKS = (1, 2, 3, 4)  # from the server on
_TEXT = "Atalaia: sinal de teste {}"
_IS_TEXT = re.compile(r"Atalaia: sinal de teste [0-9a-f]{8}")
NOBODY = "The canary's number is no session of this hub, so nothing is written to it."
ACKED, NOT_ACKED = "The canary was acknowledged.", "The canary was not acknowledged in time."
CAME_BACK = "The canary came back by webhook."


class Canary:
    """Writes it again and again. `missed`: what a look has to know of the last one; None = nothing.

    send: (chat, text) -> what the upstream said. own: () -> the session's own account, None = not known.
    suspects: takes it that a receipt is missing.
    """

    def __init__(
        self, settings: WppconnectSettings, port: SessionPort, send: Callable[[Wid, str], Awaitable[Sent]],
        own: Callable[[], Wid | None], suspects: Callable[[Truth], None],
    ) -> None:  # fmt: skip
        self.missed: Found | None = None
        self._settings = settings
        self._port = port
        self._clock = port.ambient.clock
        self._send, self._own, self._suspects = send, own, suspects

    def begin_anew(self) -> None:
        """Take it that the session was opened anew: what it could not do before says nothing of it."""
        self.missed = None

    async def once(self) -> None:
        """Write one, and show what became of it."""
        chat = await self._to()
        if chat is None:
            return
        token = f"{self._port.ambient.random.getrandbits(32):08x}"
        try:
            sent = await self._send(chat, _TEXT.format(token))
        except Rejected as error:
            self._port.prove("message_out", "failing", said=str(error))
            return
        except UpstreamError as error:
            self._miss(str(error))
            return
        if sent.id is None:
            return  # a gateway may not say which message it was: then nothing is proven
        await self._port.append([heard.canary(sent.id, chat, to_ms(self._clock.now()))])
        await self._follow(sent.id, sent.ack or 0)

    async def _to(self) -> Wid | None:
        """Answer whom to write to, None when that is nobody of ours."""
        own = self._own()
        if self._settings.canary_to == OWN:
            return own or (Wid(self._settings.phone, PHONE) if self._settings.phone else None)
        ours = {comparable(account.partition("@")[0]) for account in await self._port.accounts()}
        if comparable(self._settings.canary_to) not in ours:
            self._port.prove("message_out", "unknown", said=NOBODY)
            return None
        return Wid(self._settings.canary_to, PHONE)

    async def _follow(self, sent: MessageId, ack: int) -> None:
        """Wait for the receipt and for the message's own webhook. Not every server sends the latter."""
        marks = [f"ack:{sent.identity}:{level}:" for level in ACKS]
        began = self._clock.monotonic()
        acked = ack >= 1
        while True:
            acked = acked or bool(await self._port.known(marks))
            came = bool(await self._port.known([f"message:{sent.identity}:"]))
            took_s = self._clock.monotonic() - began
            if acked and self.missed is not None:
                self.missed = None
            if acked:
                self._port.prove("message_out", "proven", said=ACKED)
            if came:
                self._port.prove("message_in", "proven", said=CAME_BACK)
            if not acked and took_s >= ACK_WITHIN_S:
                self._miss(NOT_ACKED)
                return
            if acked and (came or took_s >= ARRIVES_WITHIN_S):
                return
            await self._clock.sleep(LOOK_S)

    def _miss(self, said: str) -> None:
        self._port.prove("message_out", "failing", said=said)
        self.missed = Found("sick", Truth.NO_ACK, NOT_ACKED, evidence={"said": said})
        self._suspects(Truth.NO_ACK)


def marked(payload: Json, settings: WppconnectSettings) -> Json:
    """Answer a message, marked when it is a canary: one that this account wrote, or its partner.

    Nobody else can mark a message by its words, and so hide it.
    """
    body: Any = payload.get("body")
    if not isinstance(body, str) or not _IS_TEXT.fullmatch(body):
        return payload
    identity = read_message_id(payload.get("id"))
    sender = read_wid(payload.get("from"))
    partner = settings.canary_to
    ours = identity is not None and identity.from_me
    theirs = (
        sender is not None and partner not in ("", OWN) and comparable(sender.user) == comparable(partner)
    )
    return {**payload, MARK: True} if ours or theirs else payload
