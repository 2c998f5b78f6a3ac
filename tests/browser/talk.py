"""Conversations on the screens: a channel that heard people, a group, trouble, and can send."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from atalaia.clock import to_ms
from atalaia.connections.pairing import Code, Pairing
from atalaia.connectors.connector import Connector
from atalaia.connectors.setup import Setup
from atalaia.desk.chats import notes, queries
from atalaia.desk.chats.actions import Acts
from atalaia.desk.chats.outbox import Outbox
from atalaia.desk.chats.queries import Thread, ThreadFilter
from atalaia.desk.chats.reading import thread_id
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.serve import Hub
from tests.connectors.wppconnect.ground import GROUP, LID, Account, message, own_message
from tests.desk.chats.line import Line

OTHER = "5521988887777@c.us"
ANA = {"kind": "person", "id": "", "name": "Ana Prado"}


class Nothing(BaseModel):
    """A gateway of tests needs no settings."""


async def _look(settings: object, ambient: object) -> Code:
    return Code("scan", "QRCODE", text="2@test-only")


async def _begin(settings: object, ambient: object, connection: str, phone: str) -> bool:
    return True


PAIRING = Pairing(_look, _begin, by_number=lambda _: True, expected=lambda _: "5511955500201")
GATEWAY = Connector(
    "gateway", "Canal de teste", Nothing, None, world="chats", notices="send", pairing=PAIRING
)


def can_send(app: FastAPI) -> None:
    """Let the channels of an app send."""
    app.state.parts.outbox = Outbox(app.state.parts.ambient, Line())


class Talk:
    """The account behind the channel. hear: what its webhooks tell, as facts of the hub."""

    def __init__(self, hub: Hub, channel: str) -> None:
        self.hub, self.channel = hub, channel
        self._account = Account()

    async def hear(self, *bodies: dict[str, Any], late: bool = False) -> None:
        facts = [self._of(fact) for fact in self._account.hear(*bodies, late=late)]
        hub = self.hub
        await hub.store.write(
            lambda tx: append_facts(tx, hub.ambient, "gateway", facts, connection=self.channel)
        )

    def _of(self, fact: Fact) -> Fact:
        data = {**fact.data, "channel": self.channel}
        if not fact.type.startswith("message."):
            return replace(fact, data=data)
        conversation = thread_id(self.channel, str(data["contact"]))
        return replace(fact, key=conversation, data=data | {"conversation": conversation})

    async def thread(self, text: str) -> Thread | None:
        found = await self.hub.store.read(lambda tx: queries.list_threads(tx, ThreadFilter(), ""))
        return next((one for one in found if text in one.last_text), None)


async def chatter(hub: Hub) -> tuple[Talk, dict[str, str]]:
    """Set a channel up and let it hear; answers it with ids: chat, group, sealed, gateway."""
    from tests.browser.house import until

    setup = Setup(hub.registry, hub.ambient, hub.secretbox, hub.connectors, hub.formats)
    read = setup.read("gateway", {})
    made = await hub.store.write(lambda tx: setup.create(tx, "gateway", "Suporte", read, by="Ana"))
    talk, now = Talk(hub, made.id), to_ms(hub.ambient.clock.now()) // 1000
    day = now - 86_400
    await talk.hear(
        message("A1", text="Bom dia, a máquina não liga", notifyName="João", t=day),
        own_message("B1", text="Bom dia, já vamos aí", t=day + 60, ack=3),
        message(
            "A2", text="obrigado, espero", notifyName="João", t=now - 500, quotedStanzaID="true_x@c.us_B1"
        ),
        message("A2", text="obrigado!", t=now - 500, latestEditSenderTimestampMs=(now - 400) * 1000),
        message(
            "A3", kind="image", body="", caption="a placa", mimetype="image/jpeg", size=120_000, t=now - 300
        ),
        message("A4", text="desculpe", t=now - 250),
        message("A4", kind="revoked", text="", t=now - 250),
        own_message("B2", text="Recebido", t=now - 200, ack=-1),
        message("C1", chat=OTHER, text="Máquinas paradas", t=now - 900),
        message("C2", chat=OTHER, kind="ciphertext", text="", t=now - 100),
        message("G1", chat=GROUP, author=LID, text="Reunião às 10", t=now - 700, notifyName="Bia"),
    )
    await talk.hear(message("A0", text="tem alguém?", notifyName="João", t=day - 60), late=True)
    ids = {"gateway": made.id}
    chat = await until(lambda: talk.thread("Recebido"))
    group = await until(lambda: talk.thread("Reunião"))
    acts = Acts(hub.ambient, ANA)
    await hub.store.write(lambda tx: acts.label(tx, chat.id, add=["garantia"]))
    await hub.store.write(lambda tx: acts.note(tx, chat.id, "Cliente antigo; ligar antes das 12."))
    await hub.store.write(lambda tx: acts.link(tx, chat.id, company="Edifício Aurora", person="João Lima"))
    await hub.store.write(lambda tx: notes.keep_reply(tx, hub.ambient, ANA, "bom", "Bom dia, como ajudo?"))
    found = await hub.store.read(lambda tx: queries.list_threads(tx, ThreadFilter(words="21988887777"), ""))
    return talk, ids | {"chat": chat.id, "group": group.id, "sealed": found[0].id}
