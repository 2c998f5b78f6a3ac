"""The machine that the server runs on: sessions, tokens, profiles, browsers, phones; what survives."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from atalaia.clock import Clock
from simulators.rules import Rules
from simulators.wppconnect.journal import Journal
from simulators.wppconnect.models import LID, Account, Json, Message, Person, digits_of
from simulators.wppconnect.pace import Pace, Span
from simulators.wppconnect.page import Browser, Profile
from simulators.wppconnect.phone import Phone
from simulators.wppconnect.session import Session
from simulators.wppconnect.webhooks import Webhooks

VERSION = "2.10.4"


@dataclass
class Config:
    """The server's own configuration, with its defaults. Source: the contract's section 2.8.

    `webhook_url` is for sessions that were started without one.
    """

    secret_key: str
    webhook_url: str = ""
    auto_download: bool = True
    on_self_message: bool = False
    on_presence_changed: bool = True
    listen_acks: bool = True
    on_reaction_message: bool = True
    on_revoked_message: bool = True
    all_unread_on_start: bool = False
    start_all_session: bool = True
    ignore: tuple[str, ...] = ("status@broadcast",)


class Host:
    """What the doors share. Nothing here waits for a client.

    `folder` keeps tokens, profiles and phones over a restart of the simulator; without it they live as
    long as this object, that is over every restart of the simulated server.
    """

    def __init__(
        self, clock: Clock, random: Random, config: Config, pace: Pace, folder: Path | None = None
    ) -> None:
        self.clock = clock
        self.random = random
        self.config = config
        self.pace = pace
        self.folder = folder
        self.rules = Rules()
        self.cured: set[tuple[str, str]] = set()  # natural faults that were ended, with their session
        self.webhooks = Webhooks(self)
        self.phones: dict[str, Phone] = {}
        self.sessions: dict[str, Session] = {}
        self.tokens: dict[str, Json] = {}  # session -> its stored config, as in tokens/NAME.data.json
        self.profiles: dict[str, Profile] = {}
        self.failures: list[BaseException] = []
        # What faults do when a session's page is loaded anew.
        self.page_loads: Callable[[str], None] = lambda name: None
        self.strangers: set[str] = set()  # numbers that are not on the network
        self.called_strangers: dict[str, set[str]] = {}  # known numbers that a session takes for such
        self.started_at = clock.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pid = 4_000
        self._runs = 0
        self._read()
        if self._runs:  # another run must not draw the same ids and keys again
            self.random = Random(f"{random.getrandbits(64)} {self._runs}")
        self._runs += 1
        self.save()

    # ---- time, chance, work --------------------------------------------------------------

    def draw(self, span: Span) -> float:
        return span[0] if span[0] == span[1] else self.random.uniform(*span)

    async def pause(self, span: Span) -> None:
        if (seconds := self.draw(span)) > 0:
            await self.clock.sleep(seconds)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something until the simulator stops; what it raises is kept in `failures`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def stop(self) -> None:
        for profile in self.profiles.values():
            if profile.browser is not None:
                profile.browser.ended.set()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.webhooks.close()
        for phone in self.phones.values():
            phone.close()

    def natural(self, fault: str, session: str) -> bool:
        """Answer whether version 2.10.4 still does by nature what it does, for this session."""
        return (fault, session) not in self.cured

    # ---- phones --------------------------------------------------------------------------

    def add_phone(self, name: str, account: Account) -> Phone:
        """Put a phone beside the session of the same name, with what it had in an earlier run."""
        path = self.folder / "phones" / f"{_file(name)}.jsonl" if self.folder is not None else None
        phone = Phone(name, account, self.clock, self.random, Journal(path))
        phone.load()
        self.phones[name] = phone
        return phone

    def number_exists(self, digits: str) -> bool:
        """Answer whether a number is on the network: those that end in 9999 are not, nor `strangers`."""
        return not digits.endswith("9999") and digits not in self.strangers

    async def carry(self, phone: Phone, message: Message, *, level: int = 3) -> None:
        """Let a message of ours travel: taken by the network, delivered, read, as far as `level`."""
        for rank, span in enumerate(
            (self.pace.server_ack_s, self.pace.device_ack_s, self.pace.read_ack_s), 1
        ):
            if rank > level:
                return
            if rank > message.ack:
                await self.pause(span)
                phone.acknowledge(message.key, rank)

    async def travel(self, phone: Phone, message: Message) -> None:
        """Carry a message of ours to its reader, who may have a phone in this world too."""
        await self.carry(phone, message, level=1)
        wid = phone.wid(message.chat)
        for other in self.phones.values():
            if other is not phone and wid in (other.account.wid, other.account.lid + LID):
                other.receive(phone.account.wid, message.text, kind=message.kind, key=message.key)
        if self.number_exists(digits_of(wid)):
            await self.carry(phone, message)

    def presence(self, phone: Phone, person: Person, state: str) -> None:
        """Let a contact come, go or type; whoever listens to that phone hears of it."""
        for session in self.sessions.values():
            if session.listener is not None and session.listener.page.phone is phone:
                session.listener.presence(person, state)

    # ---- sessions ------------------------------------------------------------------------

    def session(self, name: str) -> Session:
        """Answer a session, known or not: the server makes one of every name it is called by."""
        if name not in self.sessions:
            self.sessions[name] = Session(self, name)
        return self.sessions[name]

    def keep_token(self, name: str, config: Json) -> None:
        self.tokens[name] = config
        self.save()

    def token_of(self, name: str, salt: str = "") -> str:
        """Answer a token of a session that looks like bcrypt's and costs nothing.

        Every salt gives a valid one; the key is part of it, so changing the key revokes all.
        """
        salt = salt or "".join(self.random.choices(_ALPHABET, k=22))
        secret = f"{name}{self.config.secret_key}".encode()
        digest = hmac.new(secret, salt.encode(), hashlib.sha256).digest()
        return f"$2b$10${salt}{''.join(_ALPHABET[byte % 62] for byte in digest[:31])}"

    def is_token(self, name: str, token: str) -> bool:
        plain = token.replace("/", "_").replace("+", "-")
        if not plain.startswith("$2b$10$") or len(plain) != 60:
            return False
        return hmac.compare_digest(self.token_of(name, plain[7:29]), plain)

    # ---- profiles and browsers -----------------------------------------------------------

    def profile(self, name: str) -> Profile:
        if name not in self.profiles:
            self.profiles[name] = Profile(name)
        return self.profiles[name]

    def launch(self, profile: Profile) -> Browser:
        self._pid += self.random.randint(3, 40)
        profile.browser = Browser(self._pid, profile.name)
        return profile.browser

    def pair(self, profile: Profile, phone: Phone) -> None:
        """Link a phone to a profile; what another profile had with it is over."""
        if phone.linked not in ("", profile.name) and phone.linked in self.sessions:
            self.spawn(self.sessions[phone.linked].removed())
        profile.phone = phone.name
        phone.link(profile.name)
        self.save()

    def unpair(self, name: str) -> None:
        """Take the pairing from a profile, as the phone does; the page's database goes with it."""
        profile = self.profile(name)
        phone = self.phones.get(profile.phone)
        if phone is not None:
            if phone.linked == name:
                phone.unlink()
            phone.wipe(name)
        profile.phone = ""
        profile.sealed.clear()
        self.save()

    def end_browser(self, name: str) -> bool:
        """End the browser of a profile, as an operator does by its process id; answers whether one ran."""
        browser = self.profile(name).browser
        if browser is None or browser.ended.is_set():
            return False
        self.session(name).browser_ended(browser)
        return True

    def delete_profile(self, name: str) -> None:
        """Delete a profile's folder: the pairing and the page's database are gone."""
        profile = self.profiles.pop(name, None)
        if profile is not None:
            for phone in self.phones.values():
                phone.wipe(name)
            self.save()

    # ---- what survives -------------------------------------------------------------------

    def save(self) -> None:
        if self.folder is None:
            return
        kept = {
            "runs": self._runs,
            "tokens": self.tokens,
            "profiles": {one.name: one.phone for one in self.profiles.values() if one.phone},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / "server.json.new"
        fresh.write_text(json.dumps(kept, ensure_ascii=False, indent=1), encoding="utf-8")
        fresh.replace(self.folder / "server.json")

    def _read(self) -> None:
        path = self.folder / "server.json" if self.folder is not None else None
        if path is None or not path.is_file():
            return
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self._runs = int(kept["runs"])
        self.tokens = dict(kept["tokens"])
        for name, phone in kept["profiles"].items():
            self.profiles[name] = Profile(name, phone)


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _file(name: str) -> str:
    return quote(name, safe="")
