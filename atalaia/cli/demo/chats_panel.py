"""What the fault panel shows of the demo's WhatsApp: each channel with its faults, and what all share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from atalaia.cli.demo.chats import CHANNELS, Channel, Chats
from atalaia.cli.demo.expected import EXPECTED
from atalaia.cli.demo.panel import Deed, Shown, Texts
from simulators.wppconnect import BY_GATEWAY, EVERYWHERE, GROUPS, WppSimulator

DEEDS = (
    ("write", ("Um cliente escreve", "A customer writes")),
    ("file", ("Um cliente manda foto ou áudio", "A customer sends a photo or voice")),
    ("answer", ("Alguém responde no celular", "Somebody answers on the phone")),
    ("scan", ("Ler o código com o celular", "Scan the code with the phone")),
    ("end_browser", ("Encerrar o navegador, como operador", "End the browser, as an operator")),
)
NOTES = {
    True: (
        "Fala direto com o wppconnect-server, e um agente ao lado dele pode encerrar um navegador. A "
        "primeira recuperação começa na hora; depois a mesma sessão espera 1, 2, 5, 15 min entre duas "
        "tentativas. O que faltou é trazido na hora, de qualquer forma.",
        "Talks to the wppconnect-server itself, and an agent beside it can end a browser. The first recovery "
        "begins at once; after that the same session waits 1, 2, 5, 15 min between two tries. What was "
        "missed is brought in at once all the same.",
    ),
    False: (
        "As mensagens chegam pelo gateway, em envelopes; o servidor é lido diretamente. Sem agente: um "
        "navegador preso espera por uma pessoa.",
        "Its messages come by the gateway, in envelopes; the server is read directly. No agent: a browser "
        "that is stuck waits for a person.",
    ),
}


def shown_chats(chats: Chats) -> dict[str, Shown]:
    """Answer the sections of the panel: one for each channel, and one for what all share."""
    deeds = chats.deeds()
    shown = {
        f"whatsapp{place}": Shown(
            channel.title,
            _Speaking(chats, channel.session),
            chats.connections.get(channel.session, ""),
            _groups(channel),
            EXPECTED,
            [Deed(name, title, _bound(deeds[name], channel.session)) for name, title in DEEDS],
            NOTES[channel.direct],
        )
        for place, channel in enumerate(CHANNELS, 1)
    }
    whole = next((title, names) for title, names in GROUPS if names == EVERYWHERE)
    server = Shown("WhatsApp: wppconnect-server, gateway", _Whole(chats.simulator), "", (whole,), EXPECTED)
    return shown | {"whatsapp": server}


def _groups(channel: Channel) -> tuple[tuple[Texts, tuple[str, ...]], ...]:
    """Answer what can go wrong with one channel; a gateway it has nothing to do with is left out."""
    others = (EVERYWHERE, BY_GATEWAY) if channel.direct else (EVERYWHERE,)
    return tuple((title, names) for title, names in GROUPS if names not in others)


def _bound(deed: Callable[[str], Awaitable[None]], session: str) -> Callable[[], Awaitable[None]]:
    return lambda: deed(session)


@dataclass(frozen=True)
class _Speaking:
    """The switches of one session. Somebody writes right after a fault of its messages has begun: a deaf
    session to which nobody writes looks like a quiet one to everybody.
    """

    chats: Chats
    session: str

    async def start(self, name: str, seconds: float | None = None, times: int | None = None) -> None:
        if name == "lid_migration":
            await self.chats.hide(self.session)
            return
        faults = self.chats.simulator.one(self.session).faults
        await faults.start(name, seconds, times)
        if name == "double_reply_400_but_sent":
            self.chats.take_for_unknown(self.session)
        if name in SPOKEN:
            self.chats.talks[self.session].press()

    async def stop(self, name: str) -> None:
        await self.chats.simulator.one(self.session).faults.stop(name)

    def as_json(self) -> list[dict[str, Any]]:
        return self.chats.simulator.one(self.session).faults.as_json()


@dataclass(frozen=True)
class _Whole:
    """The switches of the server and the gateway."""

    simulator: WppSimulator

    async def start(self, name: str, seconds: float | None = None, times: int | None = None) -> None:
        await self.simulator.faults.start(name, seconds, times)

    async def stop(self, name: str) -> None:
        await self.simulator.faults.stop(name)

    def as_json(self) -> list[dict[str, Any]]:
        return self.simulator.faults.as_json()


# What only shows once somebody writes.
SPOKEN = frozenset(
    {
        "deaf", "socket_timeout", "ciphertext_then_chat", "ciphertext_never_resolved", "webhook_delay",
        "webhook_lost", "case_alias", "events_disabled",
    }
)  # fmt: skip
