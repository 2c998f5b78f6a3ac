"""Ask the page which number a hidden identity is, once for each that writes; what it says goes into the log.

A contact that moves to a hidden identity would else begin a second conversation without its number.
Source: contract WhatsApp, sections 2.7 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from atalaia.clock import Clock, to_ms
from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.door import ChatHead
from atalaia.connectors.wppconnect.wids import LID, Wid, read_wid
from atalaia.errors import Rejected, StoreUnavailable, UpstreamError
from atalaia.events.model import Appended, Heard

LOOKED_AT = 20  # chats, the newest
AT_A_TURN = 5
AGAIN_S = 3600.0  # a page learns both together later, e.g. by a second message


class Page(Protocol):
    """What is asked of the session's page."""

    async def chats(self, count: int | None = None) -> list[ChatHead]: ...

    async def alias(self, wid: Wid) -> Mapping[str, Any]: ...


class Log(Protocol):
    """What is asked of our log."""

    async def append(self, heard: Sequence[Heard]) -> list[Appended]: ...

    async def known(self, starts: Sequence[str]) -> set[str]: ...


class Asker:
    """Asks for one session. every_s: seconds between two turns that look for new identities."""

    def __init__(self, page: Page, log: Log, clock: Clock, every_s: float) -> None:
        self._page, self._log, self._clock, self._every_s = page, log, clock, every_s
        self._next = 0.0
        self._again: dict[str, float] = {}  # lid -> from when on it may be asked for once more

    async def turn(self) -> None:
        """Ask about a few identities, if it is time; what cannot be asked now is asked at another turn."""
        now = self._clock.monotonic()
        if now < self._next:
            return
        self._next = now + self._every_s
        try:
            for lid in await self._wanted(now):
                self._again[str(lid)] = now + AGAIN_S
                await self._ask(lid)
        except (UpstreamError, StoreUnavailable):
            return

    async def _wanted(self, now: float) -> list[Wid]:
        """Answer hidden identities of the newest chats whose number the page has not told us."""
        chats = await self._page.chats(LOOKED_AT)
        lids = [one.wid for one in chats if one.wid.server == LID]
        due = [lid for lid in lids if self._again.get(str(lid), 0.0) <= now]
        told = await self._log.known([_mark(lid) for lid in due])
        return [lid for lid in due if _mark(lid) not in told][:AT_A_TURN]

    async def _ask(self, lid: Wid) -> None:
        try:
            answer = await self._page.alias(lid)
        except Rejected:
            return  # servers before December 2025 cannot say
        if read_wid(answer.get("phoneNumber")) is not None:
            await self._log.append([heard.asked_alias(answer, to_ms(self._clock.now()))])


def _mark(lid: Wid) -> str:
    """Answer how the mark of what was told of an identity begins; see `heard.asked_alias`."""
    return f"alias:{lid}:"
