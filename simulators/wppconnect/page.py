"""The web page in its browser: what it has synchronised, whether it runs, what it hears from the phone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from simulators.wppconnect.models import Message
from simulators.wppconnect.phone import Phone


class PageGone(Exception):
    """The browser is not there any more: every call into the page fails at once."""


@dataclass
class Browser:
    """A browser process, as an operator sees it: a record with a process id, not a process.

    It holds the lock of its profile until it ends. `orphan`: nobody at the server remembers it.
    """

    pid: int
    profile: str
    orphan: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Profile:
    """A profile folder of the server: whether it is paired, with which phone, and who holds its lock.

    `sealed`: messages that the page cannot decrypt yet, with the moment (monotonic seconds) from which a
    read gives the text, `None` for never.
    """

    name: str
    phone: str = ""
    browser: Browser | None = None
    sealed: dict[str, float | None] = field(default_factory=dict[str, float | None])


class Page:
    """The page of a logged-in session.

    `connected` tells whether it still hears the phone, `close_hangs` whether a crashed one holds a close or
    lets it fail.
    """

    def __init__(self, profile: Profile, browser: Browser, phone: Phone) -> None:
        self.profile = profile
        self.browser = browser
        self.phone = phone
        self.crashed = False
        self.close_hangs = True
        self._online = asyncio.Event()
        self._online.set()
        self._thawed = asyncio.Event()
        self._thawed.set()

    @property
    def connected(self) -> bool:
        return self._online.is_set()

    @connected.setter
    def connected(self, online: bool) -> None:
        if online:
            self._online.set()
        else:
            self._online.clear()

    @property
    def alive(self) -> bool:
        return not self.browser.ended.is_set() and not self.crashed and self._thawed.is_set()

    def freeze(self) -> None:
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    async def run_script(self) -> None:
        """Run something in the page: at once when it is well, for ever while it is hung or crashed.

        Errors: `PageGone` when the browser is not there, or ends while we wait.
        """
        while not self.browser.ended.is_set():
            if self.alive:
                return
            await self._first(self.browser.ended, *([] if self.crashed else [self._thawed]))
        raise PageGone

    async def ask_network(self) -> None:
        """Have the page ask WhatsApp itself: no answer comes while it does not hear the phone.

        Errors: as `run_script`.
        """
        while not self.connected:
            await self.run_script()
            await self._first(self.browser.ended, self._online)
        await self.run_script()

    async def _first(self, *events: asyncio.Event) -> None:
        waits = [asyncio.create_task(one.wait()) for one in events]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    # ---- the page's own database ---------------------------------------------------------

    def knows(self, key: str) -> bool:
        return key in self.phone.known.get(self.profile.name, ())

    def learn(self, keys: Iterable[str]) -> None:
        self.phone.learn(self.profile.name, keys)

    def missing(self) -> list[Message]:
        """Answer what the phone has and the page has not, oldest first."""
        return sorted(
            (one for one in self.phone.messages.values() if not self.knows(one.key)),
            key=lambda one: (one.t, one.order),
        )

    def chat(self, handle: str) -> list[Message]:
        """Answer the messages of a chat that the page has, oldest first."""
        return [one for one in self.phone.chats.get(handle, ()) if self.knows(one.key)]

    def chats(self) -> list[tuple[str, Message]]:
        """Answer the chats with something in them, each with its last message, the newest first."""
        rows = [(handle, last) for handle in self.phone.chats if (last := self._last(handle)) is not None]
        return sorted(rows, key=lambda row: -row[1].t)

    def _last(self, handle: str) -> Message | None:
        return next((one for one in reversed(self.phone.chats[handle]) if self.knows(one.key)), None)

    def is_sealed(self, key: str, now: float) -> bool:
        """Answer whether a message is still undecrypted; one whose time has come is opened."""
        if key not in self.profile.sealed:
            return False
        opens = self.profile.sealed[key]
        if opens is not None and opens <= now:
            del self.profile.sealed[key]
            return False
        return True


def profile_json(profile: Profile) -> dict[str, Any]:
    """Answer a profile as an operator finds it on the server's disk and in its list of processes."""
    browser = profile.browser
    running = browser is not None and not browser.ended.is_set()
    return {
        "profile": profile.name,
        "paired_with": profile.phone,
        "locked": running,
        "pid": browser.pid if browser is not None and running else None,
        "orphan": bool(browser is not None and running and browser.orphan),
    }
