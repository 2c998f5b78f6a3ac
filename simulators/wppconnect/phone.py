"""A phone: its people, chats and messages, kept over every restart of server and simulator."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import asdict
from random import Random
from typing import Any

from atalaia.clock import Clock, to_ms
from simulators.wppconnect.journal import Journal
from simulators.wppconnect.models import LID, PHONE, Account, Group, Media, Message, Person, digits_of

# What a phone tells the page that is linked to it: what happened, the message, and more.
Watcher = Callable[[str, Message, dict[str, Any]], None]


class Phone:
    """The owner's phone. It is the truth: what is in here was really sent or received.

    `linked` is the profile that the phone has paired, empty for none. `watch` takes the one page that is
    told of changes as they happen: `message`, `ack`, `edit`, `revoke`, `reaction`.
    """

    def __init__(
        self, name: str, account: Account, clock: Clock, random: Random, journal: Journal | None = None
    ) -> None:
        self.name = name
        self.account = account
        self.people: dict[str, Person] = {}
        self.groups: dict[str, Group] = {}
        self.messages: dict[str, Message] = {}
        self.chats: dict[str, list[Message]] = {}
        self.unread: dict[str, int] = {}
        self.linked = ""
        self.known: dict[str, set[str]] = {}  # profile -> keys its page has synchronised
        self.watch: Watcher | None = None
        self._waiting: dict[str, asyncio.Event] = {}
        self._clock = clock
        self._random = random
        self._journal = journal or Journal()

    # ---- people --------------------------------------------------------------------------

    def add_person(self, person: Person) -> Person:
        if person.handle not in self.people:
            self.people[person.handle] = person
            self._journal.add("person", **asdict(person))
        return self.people[person.handle]

    def add_group(self, group: Group) -> Group:
        if group.handle not in self.groups:
            self.groups[group.handle] = group
            self._journal.add("group", **asdict(group))
        return self.groups[group.handle]

    def find(self, wid: str) -> str:
        """Answer the handle of a chat by any of its names, or an empty text."""
        if wid in self.groups or wid in self.people:
            return wid
        if wid.endswith(LID):
            digits = digits_of(wid)
            return next((one.handle for one in self.people.values() if one.lid == digits), "")
        return ""

    def find_or_add(self, wid: str) -> str:
        """Answer the handle of a chat; strangers are taken up as they are called."""
        if handle := self.find(wid):
            return handle
        digits = digits_of(wid)
        if wid.endswith(PHONE):
            return self.add_person(Person(number=digits)).handle
        if wid.endswith(LID):
            return self.add_person(Person(lid=digits, paired=False)).handle
        return self.add_group(Group(wid, wid)).handle

    def wid(self, handle: str) -> str:
        """Answer how the page calls this chat now."""
        found = self.groups.get(handle) or self.people.get(handle)
        return found.wid if found is not None else handle

    def migrate(self, handle: str) -> None:
        """Let a person appear by lid from now on, in old chats too."""
        person = self.people[handle]
        person.lid = person.lid or "".join(self._random.choices("0123456789", k=15))
        person.migrated = True
        self._journal.add("person", **asdict(person))

    # ---- messages ------------------------------------------------------------------------

    def receive(self, chat: str, text: str = "", *, author: str = "", **about: Any) -> Message:
        """Place a message that somebody sent. `chat` is any name of a person or a group.

        In a group `author` is any name of a person. `about`: fields of `Message`.
        """
        handle = self.find_or_add(chat)
        author = self.find_or_add(author) if author else ""
        self._hear_from(self.people.get(author or handle))
        message = self._place(handle, False, "contact", text, author=author, **about)
        self.unread[handle] = self.unread.get(handle, 0) + 1
        self._tell("message", message)
        return message

    def _hear_from(self, person: Person | None) -> None:
        """Learn, by a second message, that a lid and a number belong together."""
        if person is not None and not person.paired and person.number and self.chats.get(person.handle):
            person.paired = True
            self._journal.add("person", **asdict(person))

    def write(self, chat: str, text: str = "", *, source: str = "phone", **about: Any) -> Message:
        """Place a message of the owner's, typed on the phone or sent by the page (`source` `api`)."""
        handle = self.find_or_add(chat)
        message = self._place(handle, True, source, text, **{"ack": 0, **about})
        self._tell("message", message)
        return message

    def _place(self, handle: str, from_me: bool, source: str, text: str, **about: Any) -> Message:
        now = to_ms(self._clock.now())
        key = about.pop("key", "") or self._new_key(source)
        message = Message(key, handle, from_me, about.pop("at_ms", now), source, text=text, **about)
        self._keep(message)
        self._journal.add("message", **asdict(message))
        return message

    def _keep(self, message: Message) -> None:
        message.order = len(self.messages) + 1
        self.messages[message.key] = message
        insort(self.chats.setdefault(message.chat, []), message, key=lambda one: (one.t, one.order))

    def _new_key(self, source: str) -> str:
        head, digits = ("3EB0", 18) if source == "api" else self._random.choice((("3A", 18), ("AC", 30)))
        key = head + f"{self._random.getrandbits(4 * digits):0{digits}X}"
        return key if key not in self.messages else self._new_key(source)

    def acknowledge(self, key: str, level: int) -> None:
        message = self.messages[key]
        if level > message.ack or level < 0:
            message.ack = level
            if level > 0 and (waiting := self._waiting.pop(key, None)) is not None:
                waiting.set()
            self._journal.add("ack", key=key, level=level)
            self._tell("ack", message)

    def taken(self, key: str) -> asyncio.Event:
        """Answer what is set once the network has taken a message of the owner's."""
        waiting = self._waiting.setdefault(key, asyncio.Event())
        if self.messages[key].ack > 0:
            waiting.set()
        return waiting

    def edit(self, key: str, text: str) -> None:
        self.messages[key].edits.append(text)
        self._journal.add("edit", key=key, text=text)
        self._tell("edit", self.messages[key])

    def revoke(self, key: str) -> None:
        self.messages[key].revoked = True
        self._journal.add("revoke", key=key)
        self._tell("revoke", self.messages[key])

    def react(self, key: str, who: str, text: str) -> None:
        """Let `who`, a handle or `me`, react; an empty text takes the reaction back."""
        self.messages[key].reactions[who] = text
        self._journal.add("react", key=key, who=who, text=text)
        self._tell("reaction", self.messages[key], who=who, text=text)

    def read(self, handle: str) -> None:
        if self.unread.get(handle):
            self.unread[handle] = 0
            self._journal.add("read", chat=handle)

    def _tell(self, what: str, message: Message, **about: Any) -> None:
        if self.watch is not None:
            self.watch(what, message, about)

    # ---- pairing -------------------------------------------------------------------------

    def link(self, profile: str) -> None:
        self.linked = profile
        self._journal.add("link", profile=profile)

    def unlink(self) -> None:
        self.link("")

    def learn(self, profile: str, keys: Iterable[str]) -> None:
        """Note that the page of a profile has these messages in its own database now."""
        known = self.known.setdefault(profile, set())
        if fresh := [key for key in keys if key not in known]:
            known.update(fresh)
            self._journal.add("learn", profile=profile, keys=fresh)

    def wipe(self, profile: str) -> None:
        """Note that a profile's folder is gone, and its page's database with it."""
        if self.known.pop(profile, None) is not None:
            self._journal.add("wipe", profile=profile)

    # ---- what survives -------------------------------------------------------------------

    def load(self) -> None:
        """Read the journal of an earlier run."""
        for line in self._journal.read():
            getattr(self, "_read_" + str(line.pop("op")))(**line)

    def close(self) -> None:
        self._journal.close()

    def _read_person(self, **about: Any) -> None:
        person = Person(**about)
        self.people[person.handle] = person

    def _read_group(self, **about: Any) -> None:
        self.groups[about["handle"]] = Group(**about)

    def _read_message(self, **about: Any) -> None:
        media, place = about.pop("media"), about.pop("location")
        message = Message(
            media=Media(**media) if media else None, location=tuple(place) if place else None, **about
        )
        self._keep(message)
        if not message.from_me:
            self.unread[message.chat] = self.unread.get(message.chat, 0) + 1

    def _read_ack(self, key: str, level: int) -> None:
        self.messages[key].ack = level

    def _read_edit(self, key: str, text: str) -> None:
        self.messages[key].edits.append(text)

    def _read_revoke(self, key: str) -> None:
        self.messages[key].revoked = True

    def _read_react(self, key: str, who: str, text: str) -> None:
        self.messages[key].reactions[who] = text

    def _read_read(self, chat: str) -> None:
        self.unread[chat] = 0

    def _read_link(self, profile: str) -> None:
        self.linked = profile

    def _read_learn(self, profile: str, keys: list[str]) -> None:
        self.known.setdefault(profile, set()).update(keys)

    def _read_wipe(self, profile: str) -> None:
        self.known.pop(profile, None)
