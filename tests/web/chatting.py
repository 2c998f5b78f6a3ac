"""Conversations for the tests of the web: webhooks interpreted, appended and folded into a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from atalaia.desk.chats import queries
from atalaia.desk.chats.fold import Chats
from atalaia.desk.chats.queries import Thread, ThreadFilter
from atalaia.desk.chats.reading import thread_id
from atalaia.events.log import append_facts, read_after
from atalaia.events.model import Fact
from tests.connectors.wppconnect.ground import GROUP, LID, NOON_S, Account, message, own_message
from tests.web.site import Site

OTHER = "5521988887777@c.us"


class Talk:
    """What an account hears, in a site. channel: the connection's id."""

    def __init__(self, site: Site, channel: str = "alpha") -> None:
        self.site, self.channel = site, channel
        self.account = Account()
        self._upto = 0

    async def hear(self, *bodies: dict[str, Any], late: bool = False) -> None:
        facts = self.account.hear(*bodies, late=late)
        ambient = self.site.parts.ambient
        own = [self._of(fact) for fact in facts]
        await self.site.parts.store.write(
            lambda tx: append_facts(tx, ambient, "wpp", own, connection=self.channel)
        )
        await self.fold()

    def _of(self, fact: Fact) -> Fact:
        data = {**fact.data, "channel": self.channel}
        if not fact.type.startswith("message."):
            return replace(fact, data=data)
        conversation = thread_id(self.channel, str(data["contact"]))
        return replace(fact, key=conversation, data=data | {"conversation": conversation})

    async def fold(self) -> None:
        await self.site.parts.store.write(self._fold)

    async def threads(self) -> list[Thread]:
        return await self.site.parts.store.read(lambda tx: queries.list_threads(tx, ThreadFilter(), "nobody"))

    async def thread(self, text: str = "") -> Thread:
        return next(one for one in await self.threads() if text in one.last_text)

    def _fold(self, tx: Connection) -> None:
        events = read_after(tx, self._upto, family=1)
        fold = Chats()
        wanted = [event for event in events if event.type in fold.types]
        if wanted:
            fold.apply(tx, wanted)
        self._upto = events[-1].seq if events else self._upto


async def talk(site: Site, channel: str = "alpha") -> Talk:
    """Answer an account that heard a little of everything."""
    one = Talk(site, channel)
    await one.hear(
        message("A1", text="Olá, a máquina não liga", notifyName="João"),
        own_message("B1", text="Já vamos aí", t=NOON_S + 10, ack=3),
        message("A2", text="obrigado!", t=NOON_S + 20, notifyName="João", quotedStanzaID="true_x@c.us_B1"),
        message("C1", chat=OTHER, text="máquinas paradas", t=NOON_S + 30),
        message("G1", chat=GROUP, author=LID, text="bom dia grupo", t=NOON_S + 40, notifyName="Bia"),
        message("C2", chat=OTHER, kind="ciphertext", text="", t=NOON_S + 50),
    )
    return one
