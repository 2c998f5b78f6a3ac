"""What the API answers of conversations."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from atalaia.web.api.common import Wire
from atalaia.web.wire import Moment


class ThreadOut(Wire):
    """One conversation: a channel and a contact, or a group. name: what the contact calls himself.

    unread: of the one who asks, at most 100. reopens: a new message opens it when it is closed or ignored.
    last_ack: −7…−1 failed, 0 waits, 1 server, 2 device, 3 read, 4 played.
    """

    id: str
    channel: str
    contact: str
    group: bool = Field(validation_alias="is_group")
    name: str
    phone: str
    chat: str
    company: str
    person: str
    status: str
    status_at: Moment = Field(validation_alias="status_ms")
    status_by: str
    reopens: bool
    assigned: str
    assigned_name: str
    labels: list[str]
    last_at: Moment = Field(validation_alias="last_ms")
    last_message: str
    last_from_me: bool
    last_kind: str
    last_type: str
    last_text: str
    last_ack: int | None
    last_revoked: bool
    unread: int


class AliasOut(Wire):
    """One identity on one channel. evidence: what ties it to the number. pinned: a person said so."""

    channel: str
    chat: str
    contact: str
    pinned: bool
    group: bool = Field(validation_alias="is_group")
    phone: str
    evidence: str
    evidence_at: Moment | None = Field(validation_alias="evidence_ms")
    conversation: str = Field(validation_alias="thread")
    last_at: Moment | None = Field(validation_alias="last_ms")


class MergeOut(Wire):
    """Two contacts that became one. by: who said so; empty means the evidence alone."""

    id: str
    gone: str
    target: str
    evidence: str
    by: str
    aliases: list[tuple[str, str]]
    at: Moment = Field(validation_alias="at_ms")
    undone_at: Moment | None = Field(validation_alias="undone_ms")
    undone_by: str


class ContactLineOut(Wire):
    """One contact in a list."""

    id: str
    name: str
    company: str
    person: str
    phone: str
    group: bool = Field(validation_alias="is_group")


class LinkOut(Wire):
    """What says that a hidden identity is a number. channel: the account that told it.

    strength: 1, a hint, to 5, a person said so; 0 = unknown. stands: the number that is believed instead,
    empty when this one is. seq: of its fact, 0 when the log holds it no more.
    """

    alias: str
    phone: str
    channel: str
    evidence: str
    strength: int
    stands: str
    at: Moment = Field(validation_alias="at_ms")
    seq: int


class ContactOut(ContactLineOut):
    """One contact with all its identities, what ties them together, and merges."""

    aliases: list[AliasOut]
    merges: list[MergeOut]
    links: list[LinkOut]


class NoteOut(Wire):
    """A note that only the team sees."""

    id: str
    text: str
    by: str
    at: Moment = Field(validation_alias="at_ms")


class ThreadWhole(ThreadOut):
    """One conversation with the contact behind it and the team's notes."""

    identities: ContactOut
    notes: list[NoteOut]


class VersionOut(Wire):
    """What a message said, since when."""

    since: Moment
    text: str


class ReactionOut(Wire):
    """A reaction. by: `me`, an identity, or empty when nobody says."""

    by: str
    text: str


class MessageOut(Wire):
    """One message. kind: ciphertext (not readable yet), content, notice, revoked, unknown (only a receipt).

    A deleted message keeps its text and has `revoked_at`; `versions` is what it said before it was edited.
    recovered: found by a catch-up after a gap; `heard_at` says when.
    """

    id: str
    channel: str
    chat: str
    conversation: str = Field(validation_alias="thread")
    key: str
    serialized: str
    from_me: bool
    kind: str
    type: str
    author: str
    author_name: str
    text: str
    media: dict[str, Any] | None
    more: dict[str, Any]
    quoted: str
    quoted_id: str
    quoted_text: str
    sent_at: Moment = Field(validation_alias="sent_ms")
    heard_at: Moment = Field(validation_alias="heard_ms")
    edited_at: Moment | None = Field(validation_alias="edited_ms")
    revoked_at: Moment | None = Field(validation_alias="revoked_ms")
    ack: int | None
    recovered: bool
    seq: int
    versions: list[VersionOut]
    reactions: list[ReactionOut]

    @field_validator("versions", mode="before")
    @classmethod
    def _versions(cls, value: Any) -> Any:
        return [{"since": since, "text": text} for since, text in value]

    @field_validator("reactions", mode="before")
    @classmethod
    def _reactions(cls, value: Any) -> Any:
        return [{"by": by, "text": text} for by, text in value]


class GapSeenOut(Wire):
    """An interval in which something may have been missed."""

    id: str
    channel: str
    from_at: Moment = Field(validation_alias="from_ms", serialization_alias="from")
    to_at: Moment | None = Field(validation_alias="to_ms", serialization_alias="to")
    cause: str
    lost: str
    closed: bool


class ChannelHeardOut(Wire):
    """The nearest messages that a channel heard before and after the time that is asked about."""

    channel: str
    before: Moment | None = Field(validation_alias="before_ms")
    after: Moment | None = Field(validation_alias="after_ms")


class LookupOut(Wire):
    """Whether a message was heard.

    verdict: `heard`; `unreadable`, something of that number and time came and cannot be read yet;
    `maybe_missed`, a gap of that time is open or its loss is not known; `not_heard`.
    receipts: messages of that time of which only a receipt or a deletion is known.
    """

    verdict: Literal["heard", "unreadable", "maybe_missed", "not_heard"]
    heard: list[MessageOut]
    unreadable: list[MessageOut]
    receipts: list[MessageOut]
    channels: list[ChannelHeardOut]
    gaps: list[GapSeenOut]


class CountOut(Wire):
    """How many messages of a type a channel had on a day."""

    channel: str
    day: str
    type: str
    received: int
    sent: int
    recovered: int
    unreadable: int


class DraftOut(Wire):
    """What somebody was writing; empty for nothing."""

    text: str


class ReplyOut(Wire):
    """A reply to keep at hand."""

    id: str
    shortcut: str
    text: str
    by: str
    changed_at: Moment = Field(validation_alias="changed_ms")


class DoneOut(Wire):
    """What came of an act. seq: of its fact in the log, 0 when it was so already.

    before: what was; asking for it undoes the act. id: what was made, if anything was.
    """

    conversation: str = Field(validation_alias="thread")
    seq: int
    before: dict[str, Any]
    id: str
