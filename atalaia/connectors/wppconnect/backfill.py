"""What was missed, read from the page's own store, chat by chat, in the same words as the live events.

Read only, two requests at a time, with a pause between chats; never all messages at once, which can freeze
the page. Only what the page has synchronised can be found.
Source: contract WhatsApp, section 5.5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from atalaia.clock import Clock, to_ms
from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.door import ChatHead, Store
from atalaia.connectors.wppconnect.envelope import Json, read_time_ms
from atalaia.connectors.wppconnect.message import CIPHERTEXT, NOTICE, REVOKED, read_message
from atalaia.connectors.wppconnect.wids import BROADCAST, NEWSLETTER, read_message_id
from atalaia.errors import Unavailable, Unreadable
from atalaia.events.model import Appended, Heard

MARGIN_MS = 600_000  # clocks differ, and a webhook may have been on its way when the gap began
PAGE = 50
PAGES_MAX = 200
AT_ONCE = 2
PAUSE_S = 0.2
BATCH = 200
NAMED_MAX = 50
NO_TIME = 1 << 62


class Ledger(Protocol):
    """Our log, as a catch-up sees it."""

    async def append(self, heard: Sequence[Heard]) -> list[Appended]:
        """Write down; duplicates are told apart."""
        ...

    async def known(self, starts: Sequence[str]) -> set[str]:
        """Answer which of these beginnings of marks are those of something heard."""
        ...


@dataclass
class Report:
    """What one catch-up found. recovered: messages that nobody had told us. undecrypted: still unreadable.

    upgraded: known as unreadable, readable now. failed: chats that could not be read, with the reason.
    cut: chats with more messages than a catch-up reads. owed_ms: when those of the recovered were sent that a
    webhook should have brought.
    """

    from_ms: int
    to_ms: int = 0
    chats: int = 0
    checked: int = 0
    messages: int = 0
    recovered: int = 0
    upgraded: int = 0
    undecrypted: int = 0
    failed: dict[str, str] = field(default_factory=dict[str, str])
    cut: list[str] = field(default_factory=list[str])
    owed_ms: list[int] = field(default_factory=list[int])

    @property
    def lost(self) -> str:
        """Answer whether something is missing still: `no`, `yes` (seen, but not readable), `unknown`."""
        if self.failed or self.cut:
            return "unknown"
        return "yes" if self.undecrypted else "no"

    def told(self) -> tuple[Json, Json]:
        """Answer what a gap's closing fact says: (checked, recovered)."""
        checked: Json = {"chats": self.checked, "of": self.chats, "messages": self.messages}
        if self.failed:
            checked["failed"] = dict(list(self.failed.items())[:NAMED_MAX])
        if self.cut:
            checked["cut"] = self.cut[:NAMED_MAX]
        found: Json = {
            "messages": self.recovered, "upgraded": self.upgraded, "undecrypted": self.undecrypted,
        }  # fmt: skip
        return checked, found


async def reconcile(
    store: Store, ledger: Ledger, clock: Clock, from_ms: int, upto_ms: int | None = None
) -> Report:
    """Read every chat that changed since `from_ms`, and append what is in it.

    upto_ms: what was sent later is left to its webhook. Were it brought in, nobody would ever notice that no
    webhook comes any more.
    Errors: those of the list of chats; a chat that cannot be read is in the report, and the others are read.
    `StoreUnavailable` and `Fenced` of our own log end it.
    """
    return await _Catchup(store, ledger, clock, max(0, from_ms - MARGIN_MS), upto_ms).run()


def is_wanted(chat: ChatHead, since_ms: int) -> bool:
    """Answer whether a chat may hold something that was missed; one without a time may."""
    if chat.wid.server in (BROADCAST, NEWSLETTER):
        return False
    return chat.newest_ms is None or chat.newest_ms >= since_ms


def owed_ms(message: Json) -> int:
    """Answer when a message was sent that a webhook should have brought; 0 for what none brings by nature.

    Our own messages come only where the server was told to send them, and a chat's own notices never.
    """
    try:
        found = read_message(message)
    except Unreadable:
        return 0
    return 0 if found.from_me or found.kind in (NOTICE, REVOKED) else found.sent_ms or 0


def mark_start(message: Json) -> str:
    """Answer how each mark of this message in our log begins; `""` when nothing tells it from another."""
    found = read_message_id(message.get("id"))
    return f"message:{found.identity}:" if found else ""


async def name_groups(ledger: Ledger, chats: Sequence[ChatHead], now_ms: int) -> None:
    """Write down what groups are called, where that is news: no message says it."""
    told = [heard.group_name(one.wid, one.name, now_ms) for one in chats if one.wid.is_group and one.name]
    known = await ledger.known([one.dedupe for one in told if one.dedupe]) if told else set[str]()
    news = [one for one in told if one.dedupe not in known]
    for start in range(0, len(news), BATCH):
        await ledger.append(news[start : start + BATCH])


class _Catchup:
    def __init__(
        self, store: Store, ledger: Ledger, clock: Clock, since_ms: int, upto_ms: int | None
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._since_ms = since_ms
        self._upto_ms = upto_ms
        self._report = Report(since_ms)

    async def run(self) -> Report:
        listed = await self._store.chats()
        await name_groups(self._ledger, listed, to_ms(self._clock.now()))
        chats = [chat for chat in listed if is_wanted(chat, self._since_ms)]
        self._report.chats = len(chats)
        waiting = iter(chats)
        async with asyncio.TaskGroup() as together:
            for _ in range(AT_ONCE):
                together.create_task(self._work(waiting))
        self._report.to_ms = to_ms(self._clock.now())
        return self._report

    async def _work(self, waiting: Any) -> None:
        for chat in waiting:
            await self._check(chat)
            await self._clock.sleep(PAUSE_S)

    async def _check(self, chat: ChatHead) -> None:
        try:
            found = await self._read(chat)
        except (Unavailable, Unreadable) as error:
            self._report.failed[str(chat.wid)] = str(error)
            return
        await self._append(found)
        self._report.checked += 1

    async def _read(self, chat: ChatHead) -> list[Json]:
        """Answer a chat's messages since the beginning of the gap, each once, oldest first."""
        found: dict[str, Json] = {}
        before = ""
        for _ in range(PAGES_MAX):
            page = await self._store.messages(chat.wid, count=PAGE, before=before)
            fresh = {name: one for one in page if (name := _name(one)) not in found}
            found.update(fresh)
            oldest = min(fresh.values(), key=_time, default=None)
            if oldest is None or _time(oldest) < self._since_ms or len(page) < PAGE:
                break
            before = _serialized(oldest)
            if not before:
                break
        else:
            self._report.cut.append(str(chat.wid))
        wanted = [one for one in found.values() if _time(one) >= self._since_ms and not self._is_young(one)]
        return sorted(wanted, key=_time)

    def _is_young(self, message: Json) -> bool:
        return self._upto_ms is not None and self._upto_ms < _time(message) < NO_TIME

    async def _append(self, messages: list[Json]) -> None:
        """Write a chat's messages down in their order, and count what nobody had told us."""
        came_ms = to_ms(self._clock.now())
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            known = await self._ledger.known([mark for one in batch if (mark := mark_start(one))])
            appended = await self._ledger.append([_heard(one, came_ms) for one in batch])
            for one, place in zip(batch, appended, strict=True):
                self._count(one, known=mark_start(one) in known, duplicate=place.duplicate)

    def _count(self, message: Json, *, known: bool, duplicate: bool) -> None:
        self._report.messages += 1
        unreadable = message.get("type") == CIPHERTEXT
        if unreadable:
            self._report.undecrypted += 1
        if not known and not duplicate:  # its webhook may have come while we asked
            self._report.recovered += 1
            self._report.owed_ms += [at] if (at := owed_ms(message)) else []
        elif not duplicate and not unreadable:
            self._report.upgraded += 1


def _heard(message: Json, came_ms: int) -> Heard:
    return heard.stored_message(message, came_ms)


def _name(message: Json) -> str:
    found = read_message_id(message.get("id"))
    return found.serialized if found else repr(sorted(message.items(), key=str))


def _serialized(message: Json) -> str:
    found = read_message_id(message.get("id"))
    return found.serialized if found else ""


def _time(message: Json) -> int:
    """Answer when a message was sent; one without a time counts as new."""
    return read_time_ms(message.get("t")) or read_time_ms(message.get("timestamp")) or NO_TIME
