"""One session of the server: what it claims, what is true, and how it gets from one to the other.

Source: the contract's sections 2.2 and 2.3, and the transcripts 02, 03, 04 and 09 to 12.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from atalaia.clock import Clock
from simulators.wppconnect.listen import Listener
from simulators.wppconnect.models import Json
from simulators.wppconnect.page import Browser, Page, Profile
from simulators.wppconnect.pictures import PAGE_PX, qr_base64

if TYPE_CHECKING:
    from simulators.wppconnect.host import Host
    from simulators.wppconnect.phone import Phone


@dataclass
class Client:
    """What the server remembers under a session's name. `status` is a claim; `None` after a close.

    `named`: replies and events carry the session's name. `page` is set from login on, and stays when the
    browser is long gone. `first_code` is what a held start-session waits for.
    """

    status: str | None = None
    named: bool = True
    urlcode: str = ""
    phone_code: str = ""
    config: Json = field(default_factory=dict[str, Any])
    browser: Browser | None = None
    page: Page | None = None
    first_code: asyncio.Event = field(default_factory=asyncio.Event)
    scanned: asyncio.Event = field(default_factory=asyncio.Event)
    scanned_by: str = ""


class Session:
    """A session by name. `client` is `None` when it was never started, was logged out or removed."""

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.name = name
        self.client: Client | None = None
        self.listener: Listener | None = None
        self.log: deque[str] = deque(maxlen=200)  # what the server's own log would say
        self._owners: dict[int, Client] = {}

    # ---- what it claims ------------------------------------------------------------------

    @property
    def page(self) -> Page | None:
        """Answer the page of a logged-in session, well or not."""
        return self.client.page if self.client is not None else None

    @property
    def phone(self) -> Phone | None:
        return self.host.phones.get(self.host.profile(self.name).phone)

    def reply_name(self, client: Client | None) -> str | None:
        """Answer what replies carry as `session`: empty without a client, nothing after a close."""
        if client is None:
            return ""
        return self.name if client.named else None

    # ---- starting ------------------------------------------------------------------------

    def start(self, config: Json) -> Client:
        """Begin to open the session; nothing happens unless the remembered status is none or CLOSED.

        An empty `config` takes the stored one; any other replaces it whole.
        """
        if self.client is None:
            self.client = Client()
        client = self.client
        if client.status not in (None, "CLOSED"):
            return client
        stored: Json = self.host.tokens.get(self.name, {}).get("config", {})
        client.config = config or stored
        client.status, client.page = "INITIALIZING", None
        client.first_code.clear()
        client.scanned.clear()
        self.host.keep_token(self.name, {"config": client.config})
        self.host.spawn(self._open(client))
        return client

    async def _open(self, client: Client) -> None:
        if self.client is not client:
            return  # closed, or the process ended, before it began
        profile = self.host.profile(self.name)
        if profile.browser is not None and not profile.browser.ended.is_set():
            self.log.append(f"Error: The browser is already running for /userDataDir/{self.name}.")
            return
        browser = client.browser = self.host.launch(profile)
        self._owners[browser.pid] = client
        if self.host.rules.take("stuck_initializing", session=self.name) is not None:
            self.log.append("Error: net::ERR_INTERNET_DISCONNECTED at https://web.whatsapp.com/")
            return
        self.host.page_loads(self.name)
        await self.host.pause(self.host.pace.page_s)
        if browser.ended.is_set():
            return
        phone = self.host.phones.get(profile.phone)
        paired = phone is not None and phone.linked == profile.name
        if paired:
            self.emit(client, "status-find", status="isLogged")
        elif not await self._pair(client, browser, profile):
            return
        await self.host.pause(self.host.pace.login_s)
        if self.client is client and not browser.ended.is_set():
            self._log_in(client, browser, profile, fresh=not paired)

    def _log_in(self, client: Client, browser: Browser, profile: Profile, *, fresh: bool) -> None:
        phone = self.host.phones[profile.phone]
        client.page = Page(profile, browser, phone)
        client.page.connected = not self.host.rules.has("socket_timeout", session=self.name)
        client.status, client.named = "CONNECTED", True
        self.listener = Listener(self, client, client.page)
        phone.watch = self.listener.heard
        self.host.spawn(self.listener.settle(fresh=fresh))

    # ---- pairing -------------------------------------------------------------------------

    async def _pair(self, client: Client, browser: Browser, profile: Profile) -> bool:
        """Show codes until one is read; answers whether one was."""
        pace, clock = self.host.pace, self.host.clock
        limited = self.host.natural("autoclose_60s", self.name)
        deadline = clock.monotonic() + pace.pairing_s if limited else float("inf")
        first = True
        while True:
            self._show_code(client)
            if first:
                self.emit(client, "status-find", status="notLogged")
            first = False
            left = deadline - clock.monotonic()
            await either(clock, min(pace.code_s, left), client.scanned, browser.ended)
            if browser.ended.is_set():
                return False
            if client.scanned.is_set():
                break
            if clock.monotonic() >= deadline:
                self._give_up(client, browser, profile)
                return False
        self.host.pair(profile, self.host.phones[client.scanned_by])
        self.emit(client, "status-find", status="qrReadSuccess")
        return True

    def _show_code(self, client: Client) -> None:
        if self.client is not client:
            return  # closed meanwhile: the page goes on by itself
        random = self.host.random
        if number := str(client.config.get("phone") or ""):
            client.status = "PHONECODE"
            client.phone_code = "".join(random.choices("ABCDEFGHJKLMNPQRSTVWXYZ123456789", k=8))
            self.emit(client, "phoneCode", phoneCode=client.phone_code, phone=number)
        else:
            client.status = "QRCODE"
            parts = [base64.b64encode(random.randbytes(size)).decode() for size in (32, 32, 32)]
            client.urlcode = f"2@{','.join(parts)}"
            self.emit(client, "qrcode", qrcode=qr_base64(client.urlcode, PAGE_PX), urlcode=client.urlcode)
        client.first_code.set()

    def scan(self, phone: Phone, code: str = "") -> str:
        """Read the code on the screen with a phone; answers why not, or an empty text."""
        client = self.client
        if client is None or client.status not in ("QRCODE", "PHONECODE"):
            return "no code is shown"
        if code and code not in (client.urlcode, client.phone_code):
            return "this code is over"
        client.scanned_by = phone.name
        client.scanned.set()
        return ""

    def _give_up(self, client: Client, browser: Browser, profile: Profile) -> None:
        """Close the page whose code nobody read. `autocloseCalled` is never sent: its handler throws."""
        browser.ended.set()
        if profile.browser is browser:
            profile.browser = None
        if self.client is client:
            client.status = "CLOSED"
            self.emit(client, "status-find", status="browserClose")
            self.emit(client, "status-find", status="qrReadError")

    # ---- ending --------------------------------------------------------------------------

    async def close(self) -> int:
        """Close the session; answers the HTTP status. Never answers while the page is hung or crashed.

        A session that is still opening answers 500, is CLOSED all the same, and its browser runs on.
        """
        client = self.client
        if client is None:
            return 500
        if client.status is None:
            return 200
        named = not self.host.natural("no_session_name_after_close", self.name)
        self.client = Client(named=named)
        browser, page = client.browser, client.page
        if page is None or browser is None:
            if browser is not None:
                browser.orphan = not browser.ended.is_set()
            return 500
        if not browser.ended.is_set() and not page.alive:
            browser.orphan = True
            if page.close_hangs:
                await browser.ended.wait()
            return 500
        self._leave(page)
        if self.host.rules.take("orphan_browser", session=self.name) is not None:
            browser.orphan = True
        else:
            self._end(browser)
        self.emit(client, "closesession", message=f"Session: {self.name} disconnected", connected=False)
        return 200

    async def log_out(self) -> bool:
        """Unpair the device and delete the profile; answers whether there was a page to do it with."""
        client, page = self.client, self.page
        if client is None or page is None or not page.alive:
            return False
        page.phone.unlink()
        self._leave(page)
        self.client = None
        await self.host.clock.sleep(self.host.pace.logout_s)
        self.host.delete_profile(self.name)
        self._end(page.browser)
        self.emit(client, "logoutsession", message=f"Session: {self.name} logged out", connected=False)
        self.emit(client, "status-find", status="disconnectedMobile")
        self.emit(client, "status-find", status="browserClose")
        return True

    async def removed(self) -> None:
        """The phone removed the device: the page notices, if it still runs and hears the phone."""
        client, page = self.client, self.page
        self.host.unpair(self.name)
        if client is None or page is None:
            return
        await self.host.pause(self.host.pace.removed_s)
        if not page.alive or not page.connected or self.client is not client:
            return
        self._leave(page)
        if self.host.rules.has("version_skew", session=self.name):
            page.connected = False  # the server tests another spelling and goes on as if nothing were
            self.emit(client, "status-find", status=self._spelling())
            return
        self.client = None
        self._end(page.browser)
        self.emit(client, "status-find", status=self._spelling())
        self.emit(client, "status-find", status="browserClose")

    def _spelling(self) -> str:
        """Answer how the library spells it: libraries before 1.37.7 had a slip."""
        old = self.host.rules.has("old_spelling", session=self.name)
        return "desconnectedMobile" if old else "disconnectedMobile"

    def browser_ended(self, browser: Browser) -> None:
        """The browser of this session was ended from outside: killed, or by an operator."""
        client = self._owners.pop(browser.pid, None)
        self._end(browser)
        if client is not None:
            if client.page is not None:
                self._leave(client.page)
            self.emit(client, "status-find", status="browserClose")

    def forget(self) -> None:
        """The server's process ended: what it knew is gone."""
        if self.page is not None:
            self._leave(self.page)
        self.client = None
        self._owners.clear()

    def _leave(self, page: Page) -> None:
        if self.listener is not None and page.phone.watch == self.listener.heard:
            page.phone.watch = None
        self.listener = None

    def _end(self, browser: Browser) -> None:
        browser.ended.set()
        self._owners.pop(browser.pid, None)
        profile = self.host.profiles.get(self.name)
        if profile is not None and profile.browser is browser:
            profile.browser = None

    # ---- events --------------------------------------------------------------------------

    def emit(
        self,
        client: Client,
        event: str,
        *,
        after_s: float = 0.0,
        then: Callable[[], None] | None = None,
        **data: Any,
    ) -> None:
        """Send one event to the session's consumer, or to the server's."""
        url = str(client.config.get("webhook") or self.host.config.webhook_url)
        name = {"session": self.name} if client.named else {}
        self.log.append(f"{event} {data.get('status', '')}".strip())
        self.host.webhooks.send(self.name, url, {"event": event, **name, **data}, after_s=after_s, then=then)


async def either(clock: Clock, seconds: float, *events: asyncio.Event) -> None:
    """Wait until one of the events happens, or `seconds` of the clock are over; infinity waits for ever."""
    waits: list[asyncio.Task[Any]] = [asyncio.create_task(one.wait()) for one in events]
    if seconds != float("inf"):
        waits.append(asyncio.create_task(clock.sleep(max(0.0, seconds))))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()
