"""Hold the last messages of a few chats against the log, in turn: a webhook that was lost among others.

The look compares the newest message of each chat, and is blind to what came before it. Reading whole chats is
for the routine check; this costs at most `CHATS` calls and one query a turn, and nothing while nobody writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from atalaia.connectors.wppconnect.backfill import mark_start, owed_ms
from atalaia.connectors.wppconnect.door import ChatHead
from atalaia.connectors.wppconnect.envelope import Json
from atalaia.connectors.wppconnect.wids import Wid
from atalaia.errors import Unavailable, Unreadable

CHATS = 3
LAST = 10


class Page(Protocol):
    """The page's store, as a sample sees it."""

    async def messages(self, chat: Wid, *, count: int) -> list[Json]: ...


class Log(Protocol):
    """Our log, as a sample sees it; see `backfill.Ledger`."""

    async def known(self, starts: Sequence[str]) -> set[str]: ...


class Sampler:
    """Compares the chats of one session in turn, those that waited longest first."""

    def __init__(self, page: Page, log: Log) -> None:
        self._page, self._log = page, log
        self._compared: dict[str, int] = {}  # chat -> up to which of its messages nothing is missing
        self._turns: dict[str, int] = {}  # chat -> the turn that compared it last
        self._turn = 0

    async def turn(self, chats: Sequence[ChatHead], since_ms: int, upto_ms: int) -> list[int]:
        """Answer when those messages were sent that a webhook should have brought, and none has.

        chats: the newest of the page. since_ms, upto_ms: older ones are missed for reasons that are known,
        younger ones may still come.
        """
        fresh = self._with_news(chats, since_ms)
        owed = {name: found for name, one in fresh.items() if (found := await self._owed(one, since_ms))}
        starts = [start for found in owed.values() for start in found]
        known = await self._log.known(starts) if starts else set[str]()
        self._turn += 1
        lost: list[int] = []
        for name, one in fresh.items():
            missing = [at for start, at in owed.get(name, {}).items() if start not in known]
            lost += [at for at in missing if at <= upto_ms]
            self._turns[name] = self._turn
            if not missing:
                self._compared[name] = one.newest_ms or 0
        return lost

    def _with_news(self, chats: Sequence[ChatHead], since_ms: int) -> dict[str, ChatHead]:
        """Answer the chats of this turn. One that is no longer among the newest is forgotten."""
        listed = {str(one.wid): one for one in chats}
        self._compared = {name: at for name, at in self._compared.items() if name in listed}
        self._turns = {name: turn for name, turn in self._turns.items() if name in listed}
        fresh = [
            name
            for name, one in listed.items()
            if (one.newest_ms or 0) > max(since_ms, self._compared.get(name, 0))
        ]
        fresh.sort(key=lambda name: (self._turns.get(name, 0), -(listed[name].newest_ms or 0)))
        return {name: listed[name] for name in fresh[:CHATS]}

    async def _owed(self, chat: ChatHead, since_ms: int) -> dict[str, int]:
        """Answer what of a chat's last messages is owed and was not compared yet, and when it was sent."""
        try:
            rows = await self._page.messages(chat.wid, count=LAST)
        except (Unavailable, Unreadable):
            return {}  # the routine check reads it, and says when it cannot
        # Times are of whole seconds: the last one that was compared may have got another message since.
        after_ms = max(since_ms, self._compared.get(str(chat.wid), 0) - 1)
        sent = {start: owed_ms(row) for row in rows if (start := mark_start(row))}
        return {start: at for start, at in sent.items() if at > after_ms}
