"""A few chats are held against the log in turn, at a price that no busy session can raise."""

from __future__ import annotations

from collections.abc import Sequence

from atalaia.connectors.wppconnect.backfill import mark_start
from atalaia.connectors.wppconnect.door import ChatHead
from atalaia.connectors.wppconnect.envelope import Json
from atalaia.connectors.wppconnect.sampling import CHATS, Sampler
from atalaia.connectors.wppconnect.wids import Wid
from atalaia.errors import Unavailable
from tests.connectors.wppconnect.ground import NOON_S, message

NOON_MS = NOON_S * 1000


class Page:
    """Chats in memory, and a log that heard what came of them; counts what it is asked."""

    def __init__(self) -> None:
        self.rows: dict[Wid, list[Json]] = {}
        self.heard: set[str] = set()
        self.asked: list[Wid] = []
        self.queries = 0

    def write(self, chat: int, key: str, at_s: int, *, came: bool = True, **more: str) -> None:
        wid = Wid(f"5511555001{chat:02}", "c.us")
        row = message(key, chat=str(wid), **more) | {"t": NOON_S + at_s}
        self.rows.setdefault(wid, []).append(row)
        if came:
            self.heard.add(mark_start(row))

    @property
    def heads(self) -> list[ChatHead]:
        """Answer the chats as the page lists them, the newest first."""
        found = [ChatHead(wid, rows[-1]["t"] * 1000, 0, "", False) for wid, rows in self.rows.items()]
        return sorted(found, key=lambda one: -(one.newest_ms or 0))

    async def messages(self, chat: Wid, *, count: int) -> list[Json]:
        self.asked.append(chat)
        return self.rows[chat][-count:]

    async def known(self, starts: Sequence[str]) -> set[str]:
        self.queries += 1
        return self.heard & set(starts)


async def turn(sampler: Sampler, page: Page, upto_s: int = 600) -> list[int]:
    """Take a turn that counts what was sent from noon on; answer what was lost, in seconds after noon."""
    lost = await sampler.turn(page.heads, NOON_MS, NOON_MS + upto_s * 1000)
    return sorted((at - NOON_MS) // 1000 for at in lost)


async def test_what_was_lost_before_newer_messages_came_is_found():
    page = Page()
    page.write(1, "A1", 10)
    page.write(1, "A2", 20, came=False)
    page.write(1, "A3", 30)

    assert await turn(Sampler(page, page), page) == [20]


async def test_what_no_webhook_brings_or_is_older_than_the_session_or_may_still_come_is_not_lost():
    page = Page()
    page.write(1, "A1", -10, came=False)
    page.write(1, "A2", 20, came=False, kind="e2e_notification")
    page.write(1, "A3", 30, came=False)
    page.write(1, "A4", 40)
    sampler = Sampler(page, page)

    assert await turn(sampler, page, upto_s=25) == []
    assert await turn(sampler, page, upto_s=30) == [30], "it did not come, and is looked for again"


async def test_a_chat_is_compared_once_for_what_it_has_and_again_for_what_comes():
    page = Page()
    page.write(1, "A1", 10)
    sampler = Sampler(page, page)
    for _ in range(3):
        assert await turn(sampler, page) == []
    assert (len(page.asked), page.queries) == (1, 1)

    page.write(1, "A2", 10, came=False)  # in the same second
    page.write(1, "A3", 11)
    assert await turn(sampler, page) == [10]
    page.heard.update(mark_start(row) for rows in page.rows.values() for row in rows)
    assert await turn(sampler, page) == []
    assert await turn(sampler, page) == []
    assert len(page.asked) == 3


async def test_many_busy_chats_take_turns_at_the_price_of_a_few():
    page, busy = Page(), range(4 * CHATS)
    sampler = Sampler(page, page)
    for round_ in range(4):
        for chat in busy:
            page.write(chat, f"{chat}-{round_}", 10 + 20 * round_ + chat)
        assert await turn(sampler, page) == []
        assert (len(page.asked), page.queries) == (CHATS * (round_ + 1), round_ + 1)
    assert set(page.asked) == set(page.rows), "each had its turn"


async def test_a_chat_that_cannot_be_read_is_left_to_the_routine_check_and_the_others_are_read():
    class Broken(Page):
        async def messages(self, chat: Wid, *, count: int) -> list[Json]:
            if chat.user.endswith("01"):
                raise Unavailable("The page could not read a chat.")
            return await super().messages(chat, count=count)

    page = Broken()
    for chat in (1, 2):
        page.write(chat, f"{chat}-1", 10, came=False)
        page.write(chat, f"{chat}-2", 20)

    assert await turn(Sampler(page, page), page) == [10]
