"""What a phone knows: people with two names each, groups, messages, media."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, cast

Json = dict[str, Any]

PHONE, LID, GROUP = "@c.us", "@lid", "@g.us"


@dataclass
class Person:
    """Somebody who writes. `number` and `lid` are digits; a stranger may have only one of them.

    `name` is the phone's address book's, empty for who is not in it. `migrated`: the person now appears
    by lid where the number was used before. `paired`: whether the page knows that both belong together.
    """

    number: str = ""
    lid: str = ""
    pushname: str = ""
    name: str = ""
    business: bool = False
    migrated: bool = False
    paired: bool = True

    @property
    def handle(self) -> str:
        """Answer what never changes about this person: how the phone files the chat."""
        return self.number + PHONE if self.number else self.lid + LID

    @property
    def wid(self) -> str:
        """Answer how the page calls this person now."""
        return self.lid + LID if self.lid and (self.migrated or not self.number) else self.number + PHONE

    @property
    def shown(self) -> str:
        return self.name or self.pushname or pretty(self.number or self.lid)


@dataclass
class Group:
    """A group; `members` are handles of people."""

    handle: str
    name: str
    members: list[str] = field(default_factory=list[str])

    @property
    def wid(self) -> str:
        return self.handle


@dataclass
class Media:
    """A file: `data` in base64, or made from its `seed` when somebody asks for it. `size` in bytes."""

    mimetype: str
    filename: str
    size: int
    seed: int
    caption: str = ""
    data: str = ""

    def grow(self, size: int) -> None:
        """Make the file at least so many bytes large; readers of its kind ignore what follows its end."""
        self.size = max(self.size, size)
        if self.data:
            self.data = base64.b64encode(base64.b64decode(self.data).ljust(self.size, b"\0")).decode()


@dataclass
class Message:
    """One message of the phone's store, filed under its chat's handle. Times in Unix milliseconds.

    `source`: `contact`, `phone` (typed by the owner) or `api`. `kind` is the message type on the wire.
    `author` is a handle, set in groups. `order` counts within the phone.
    """

    key: str
    chat: str
    from_me: bool
    at_ms: int
    source: str
    kind: str = "chat"
    text: str = ""
    author: str = ""
    media: Media | None = None
    quoted: str = ""
    forwarded: bool = False
    location: tuple[float, float] | None = None
    ack: int = 1
    revoked: bool = False
    edits: list[str] = field(default_factory=list[str])
    reactions: dict[str, str] = field(default_factory=dict[str, str])
    order: int = 0

    @property
    def t(self) -> int:
        """Answer the time in whole seconds, as it travels."""
        return self.at_ms // 1000

    @property
    def body(self) -> str:
        return self.edits[-1] if self.edits else self.text


@dataclass
class Account:
    """Whose phone it is; `device` is the number of the linked browser in `LID:DEVICE@lid`."""

    number: str
    lid: str
    pushname: str
    device: int = 3

    @property
    def wid(self) -> str:
        return self.number + PHONE


def pretty(digits: str) -> str:
    """Answer a number as the page shows it: `+55 11 5550-0304`, `+55 11 95550-0303`."""
    if len(digits) < 12 or not digits.isdigit():
        return f"+{digits}"
    line = digits[4:]
    return f"+{digits[:2]} {digits[2:4]} {line[:-4]}-{line[-4:]}"


def digits_of(wid: str) -> str:
    return wid.partition("@")[0].partition(":")[0]


def as_object(value: Any) -> Json:
    """Answer a JSON object, or an empty one for anything else."""
    return cast(Json, value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Answer a JSON array, or an empty one for anything else."""
    return cast(list[Any], value) if isinstance(value, list) else []
