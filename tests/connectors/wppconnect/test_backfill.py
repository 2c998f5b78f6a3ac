"""What was missed is read from the page's store: once, in order, gently, and accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atalaia.clock import SystemClock
from atalaia.connectors.wppconnect import backfill, heard
from atalaia.connectors.wppconnect.backfill import MARGIN_MS, reconcile
from atalaia.connectors.wppconnect.door import ChatHead
from atalaia.connectors.wppconnect.wids import Wid, read_wid
from atalaia.errors import Unavailable
from atalaia.events.model import Appended, Heard
from tests.connectors.wppconnect.ground import GROUP, NOON_S, NUMBER, Account, message


class Quick(SystemClock):
    """The machine's time without its pauses."""

    async def sleep(self, seconds: float) -> None:
        return


class Page:
    """A page's store in memory, with the odd ways of the real one: newest first, pages by id."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.messages_of: dict[str, list[dict[str, Any]]] = {}
        for one in sorted(messages, key=lambda one: -one["t"]):
            self.messages_of.setdefault(one["chatId"], []).append(one)
        self.broken: set[str] = set()
        self.names: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []

    async def chats(self, count: int | None = None) -> list[ChatHead]:
        heads = [(chat, rows[0]["t"] * 1000) for chat, rows in self.messages_of.items()]
        return [
            ChatHead(wid, t, 0, self.names.get(chat, ""), False)
            for chat, t in heads
            if (wid := read_wid(chat))
        ]

    async def messages(self, chat: Wid, *, count: int, before: str = "") -> list[dict[str, Any]]:
        self.asked.append((str(chat), before))
        if str(chat) in self.broken:
            raise Unavailable("The page could not read a chat.")
        rows = self.messages_of[str(chat)]
        start = next((place for place, one in enumerate(rows, 1) if one["id"] == before), 0)
        return rows[start : start + count]


class Log:
    """A log in memory that knows duplicates."""

    def __init__(self) -> None:
        self.marks: set[str] = set()
        self.heard: list[Heard] = []

    async def append(self, heard: Sequence[Heard]) -> list[Appended]:
        answers: list[Appended] = []
        for one in heard:
            duplicate = one.dedupe in self.marks
            if not duplicate:
                self.heard.append(one)
                self.marks.add(one.dedupe or "")
            answers.append(Appended(len(self.heard), duplicate))
        return answers

    async def known(self, starts: Sequence[str]) -> set[str]:
        return {start for start in starts if any(mark.startswith(start) for mark in self.marks)}


def stored(key: str, at_s: int = NOON_S, **more: Any) -> dict[str, Any]:
    """Answer a message as `get-messages` gives it."""
    body = message(key, **more)
    return {name: value for name, value in body.items() if name not in ("event", "session")} | {"t": at_s}


async def caught_up(page: Page, log: Log, from_s: int = NOON_S - 3600) -> backfill.Report:
    return await reconcile(page, log, Quick(), from_s * 1000)


async def test_what_no_webhook_brought_is_recovered_and_the_known_is_left_alone():
    log = Log()
    live = Account()
    await log.append([live.heard(message("A1"))])
    page = Page([stored("A1"), stored("A2", NOON_S + 5), stored("G1", chat=GROUP, author=NUMBER)])

    report = await caught_up(page, log)

    assert (report.checked, report.messages, report.recovered, report.lost) == (2, 3, 2, "no")
    assert [one.late for one in log.heard] == [False, True, True]
    again = await caught_up(page, log)
    assert (again.recovered, again.upgraded, len(log.heard)) == (0, 0, 3)


async def test_a_long_chat_is_read_page_by_page_to_the_beginning_of_the_gap_and_not_beyond():
    older = [stored(f"O{number:03}", NOON_S - 86_400 + number) for number in range(200)]
    missed = [stored(f"M{number:03}", NOON_S + number) for number in range(130)]
    log, page = Log(), Page([*older, *missed])

    report = await caught_up(page, log, NOON_S)

    assert report.recovered == 130
    assert [one.occurred_ms for one in log.heard] == sorted(one.occurred_ms for one in log.heard)
    assert len(page.asked) == 3


async def test_a_message_told_as_unreadable_is_upgraded_not_recovered():
    log = Log()
    await log.append([Account().heard(message("A1", kind="ciphertext", text=""))])

    report = await caught_up(Page([stored("A1")]), log)

    assert (report.recovered, report.upgraded, report.undecrypted) == (0, 1, 0)


async def test_only_what_a_webhook_should_have_brought_and_none_did_is_owed():
    log, number = Log(), "551155500102@c.us"
    await log.append([Account().heard(message("A1")), Account().heard(message("A2", kind="ciphertext"))])
    own = {**stored("C1", NOON_S + 7), "id": f"true_{NUMBER}_C1", "fromMe": True}
    notice = stored("D1", NOON_S + 8, kind="e2e_notification")
    missed = [stored("A3", NOON_S + 5), stored("B1", NOON_S + 6, chat=number)]

    report = await caught_up(Page([stored("A1"), stored("A2"), *missed, own, notice]), log)

    assert (report.recovered, report.upgraded) == (4, 1)
    assert sorted(report.owed_ms) == [(NOON_S + 5) * 1000, (NOON_S + 6) * 1000]


async def test_what_stays_unreadable_is_said():
    report = await caught_up(Page([stored("A1", kind="ciphertext", text="")]), Log())

    assert (report.recovered, report.undecrypted, report.lost) == (1, 1, "yes")


async def test_the_same_message_under_its_lid_is_not_recovered_a_second_time():
    log = Log()
    await log.append([Account().heard(message("A1"))])

    report = await caught_up(Page([stored("A1", chat="150000000000101@lid")]), log)

    assert (report.recovered, report.messages) == (0, 1)


async def test_a_chat_that_cannot_be_read_is_named_and_the_others_are_read():
    page = Page([stored("A1"), stored("B1", chat="551155500102@c.us")])
    page.broken.add("551155500102@c.us")

    report = await caught_up(page, Log())

    assert (report.checked, report.recovered, report.lost) == (1, 1, "unknown")
    assert list(report.failed) == ["551155500102@c.us"]
    assert report.told()[0]["failed"] == {"551155500102@c.us": "The page could not read a chat."}


async def test_status_posts_and_chats_without_news_are_not_asked_for():
    page = Page(
        [stored("A1", NOON_S - 90_000), stored("S1", chat="status@broadcast"), stored("B1", chat=GROUP)]
    )

    await caught_up(page, Log(), NOON_S)

    assert [chat for chat, _ in page.asked] == [GROUP]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-7200, 7200), st.booleans()), max_size=60))
async def test_store_and_log_agree_afterwards_whatever_was_missed(placed: list[tuple[int, int, bool]]):
    chats = [NUMBER, "551155500102@c.us", "150000000000103@lid", GROUP]
    messages = [
        stored(f"K{number}", NOON_S + after, chat=chats[chat], **({"author": NUMBER} if chat == 3 else {}))
        for number, (chat, after, _) in enumerate(placed)
    ]
    log, live = Log(), Account()
    for one, (_, _, came) in zip(messages, placed, strict=True):
        if came:
            await log.append([live.heard({**one, "event": "onmessage"})])

    report = await caught_up(Page(messages), log, NOON_S)

    since = NOON_S - MARGIN_MS // 1000
    due = {
        one["id"]
        for one, (_, after, came) in zip(messages, placed, strict=True)
        if came or NOON_S + after >= since
    }
    assert len(log.heard) == len(due)
    assert report.recovered == len(due) - sum(came for _, _, came in placed)


async def test_what_groups_are_called_is_written_down_once():
    page, log = Page([stored("G1", chat=GROUP, author=NUMBER), stored("A1")]), Log()
    page.names = {GROUP: "Plantão", NUMBER: "Bia"}  # what our phone's book calls a person is not his own word

    for _ in range(2):
        await caught_up(page, log)

    named = [one for one in log.heard if one.type == heard.GROUP_NAME]
    assert [(one.key, "Plantão" in one.body) for one in named] == [(GROUP, True)]


async def test_a_message_that_may_still_come_by_webhook_is_left_to_it():
    page = Page([stored("A1", NOON_S), stored("A2", NOON_S + 60), stored("A3", NOON_S + 300)])
    log = Log()
    report = await reconcile(page, log, Quick(), (NOON_S - 60) * 1000, (NOON_S + 60) * 1000)
    assert (report.recovered, len(log.heard)) == (2, 2)
    report = await reconcile(page, log, Quick(), (NOON_S - 60) * 1000)
    assert report.recovered == 1
