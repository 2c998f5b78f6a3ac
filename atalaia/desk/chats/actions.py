"""What people do with conversations and contacts: each is one fact with who did it and what was before.

The tables follow by folding, so an act answers where its fact is in the log. Doing what is so already
leaves no fact. What was before is in the answer, which is what undoing needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.desk.chats import contacts, queries
from atalaia.desk.chats.queries import Thread
from atalaia.desk.chats.threads import CLOSED, IGNORED, STATUSES
from atalaia.desk.people.rows import get_person
from atalaia.errors import AtalaiaError
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.ids import derived_uuid7
from atalaia.store.chat_tables import chat_notes
from atalaia.store.store import serialise

PRODUCER = "chats"
LABEL_CHARS, LABELS_MAX, NAME_CHARS, NOTE_CHARS, TITLE_CHARS = 40, 20, 160, 10_000, 200
_REOPENING = {"none": (), "closed": (CLOSED,), "ignored": (IGNORED,), "both": (CLOSED, IGNORED)}


class NoSuchChat(AtalaiaError):
    """There is no such conversation, message, note or contact."""


class NotFitting(AtalaiaError):
    """What is asked does not fit; `field` says where."""

    def __init__(self, field: str, said: str) -> None:
        super().__init__(said)
        self.field = field


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an act. seq: of its fact, 0 when it was so already. before: what to ask for to undo it."""

    thread: str
    seq: int
    before: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: str = ""


@dataclass(frozen=True)
class Acts:
    """Acts of one person. by: {kind, id, name}, as facts say it. reopening: the setting `chats_reopen`."""

    ambient: Ambient
    by: Mapping[str, str]
    reopening: str = "closed"

    # Conversations.

    def status(self, tx: Connection, thread: str, status: str) -> Done:
        """Open, park, close or ignore a conversation. Errors: `NoSuchChat`, `NotFitting`."""
        if status not in STATUSES:
            raise NotFitting("status", f"Choose one of {', '.join(STATUSES)}.")
        one = self._hold(tx, thread)
        if one.status == status:
            return Done(one.id, 0, {"status": status})
        reopens = status in _REOPENING[self.reopening]
        told = {"status": status, "before": one.status, "reopens": reopens}
        return self._tell(tx, "conversation.status_changed", one, {"status": one.status}, **told)

    def assign(self, tx: Connection, thread: str, person: str) -> Done:
        """Give a conversation to somebody who may sign in; "" takes it back. Errors: as `status`."""
        one = self._hold(tx, thread)
        name = ""
        if person:
            known = get_person(tx, person)
            if known is None or known.disabled_ms is not None:
                raise NotFitting("person", "There is no such person, or the person may not sign in.")
            name = known.name
        before = {"person": one.assigned}
        if one.assigned == person:
            return Done(one.id, 0, before)
        return self._tell(
            tx, "conversation.assigned", one, before, person=person, name=name, before=one.assigned
        )  # fmt: skip

    def label(
        self, tx: Connection, thread: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> Done:
        """Add and remove labels. Errors: as `status`."""
        one = self._hold(tx, thread)
        added = {_short("add", label, LABEL_CHARS) for label in add}
        labels = sorted((set(one.labels) | added) - {label.strip() for label in remove})
        if len(labels) > LABELS_MAX:
            raise NotFitting("add", f"A conversation has at most {LABELS_MAX} labels.")
        before = {"labels": list(one.labels)}
        if labels == list(one.labels):
            return Done(one.id, 0, before)
        return self._tell(
            tx, "conversation.labelled", one, before, labels=labels, before=list(one.labels)
        )  # fmt: skip

    def note(self, tx: Connection, thread: str, text: str) -> Done:
        """Leave a note that only the team sees; `Done.id` is its id. Errors: as `status`."""
        one = self._hold(tx, thread)
        identity = self.ambient.ids.new()
        told = {"note": identity, "text": _short("text", text, NOTE_CHARS), "chat": one.chat}
        done = self._tell(tx, "conversation.noted", one, {}, **told)
        return Done(done.thread, done.seq, {}, identity)

    def remove_note(self, tx: Connection, thread: str, note: str) -> Done:
        """Take a note away; it stays in the log. Errors: `NoSuchChat`."""
        one = self._hold(tx, thread)
        n = chat_notes.c
        row = tx.execute(select(chat_notes).where(n.id == note, n.removed_ms.is_(None))).first()
        if row is None or (row.channel, row.chat) not in queries.chats_of(tx, one.id):
            raise NoSuchChat("There is no such note here.")
        return self._tell(tx, "conversation.note_removed", one, {"text": row.text}, note=note)

    def link(self, tx: Connection, thread: str, *, company: str, person: str) -> Done:
        """Say which company and person the contact is; it holds on every channel. Errors: as `status`."""
        one = self._hold(tx, thread)
        names = {
            "company": _short("company", company, NAME_CHARS, may_be_empty=True),
            "person": _short("person", person, NAME_CHARS, may_be_empty=True),
        }
        before = {"company": one.company, "person": one.person}
        if names == before:
            return Done(one.id, 0, before)
        return self._tell(tx, "conversation.linked", one, before, **names, before=before)

    def read(self, tx: Connection, thread: str, reader: str, *, before_message: str = "") -> Done:
        """Mark a conversation as read by somebody, or as unread from a message on. Errors: `NoSuchChat`."""
        one = self._hold(tx, thread)
        upto = queries.last_seq(tx, one.id)
        if before_message:
            message = queries.get_message(tx, before_message)
            if message is None or message.thread != one.id:
                raise NoSuchChat("There is no such message here.")
            upto = message.news_seq - 1
        elif queries.unread_of(tx, one.id, reader) == 0:
            return Done(one.id, 0)
        chats = [list(pair) for pair in queries.chats_of(tx, one.id)]
        return self._tell(tx, "conversation.read", one, {}, person=reader, upto=upto, chats=chats)

    def ask_ticket(self, tx: Connection, message: str, title: str = "") -> Done:
        """Ask for a ticket about a message; the fact is the link. Errors: `NoSuchChat`."""
        serialise(tx)
        one = queries.get_message(tx, message)
        thread = queries.get_thread(tx, one.thread) if one else None
        if one is None or thread is None:
            raise NoSuchChat("There is no such message.")
        told = {
            "channel": thread.channel, "conversation": thread.id, "contact": thread.contact,
            "title": (title.strip() or one.text or one.type)[:TITLE_CHARS], "text": one.text,
            "by": dict(self.by),
        }  # fmt: skip
        seq = self._append(tx, Fact("ticket.stub_asked", one.id, self._now(), told), thread.channel)
        return Done(thread.id, seq)

    # Contacts.

    def merge(self, tx: Connection, target: str, gone: str) -> Done:
        """Say that two contacts are one; `Done.id` is the merge, by which it can be undone.

        Errors: `NoSuchChat`; `NotFitting` for a group, or for what is one already.
        """
        serialise(tx)
        stays, goes = contacts.get_contact(tx, target), contacts.get_contact(tx, gone)
        if stays is None or goes is None:
            raise NoSuchChat("There is no such contact.")
        if stays.is_group or goes.is_group:
            raise NotFitting("contact", "A group is nobody's other identity.")
        if stays.id == goes.id:
            raise NotFitting("contact", "They are one contact already.")
        merge = self.ambient.ids.new()
        moved = [[one.channel, one.chat] for one in goes.aliases]
        told = {"gone": goes.id, "merge": merge, "aliases": moved, "by": dict(self.by)}
        seq = self._append(tx, Fact("contact.merged", stays.id, self._now(), told))
        return Done("", seq, {"merge": merge}, merge)

    def unmerge(self, tx: Connection, merge: str) -> Done:
        """Undo a merge, whoever made it; evidence alone does not make it again. Errors: as `merge`."""
        serialise(tx)
        known = contacts.get_merge(tx, merge)
        if known is None:
            raise NoSuchChat("There is no such merge.")
        if known.undone_ms is not None:
            raise NotFitting("merge", "It is undone already.")
        aliases = [list(pair) for pair in known.aliases]
        return self._part(tx, known.target, known.gone, aliases, merge)

    def part(self, tx: Connection, contact: str, channel: str, chat: str) -> Done:
        """Make one identity a contact of its own; `Done.id` is the new contact. Errors: as `merge`."""
        serialise(tx)
        known = contacts.get_contact(tx, contact)
        own = [one for one in known.aliases if (one.channel, one.chat) == (channel, chat)] if known else []
        if known is None or not own:
            raise NoSuchChat("The contact has no such identity.")
        if len({one.chat for one in known.aliases}) < 2:
            raise NotFitting("chat", "It is the contact's only identity.")
        apart = derived_uuid7(0, f"apart:{channel}:{chat}:{known.id}")
        return self._part(tx, known.id, apart, [[channel, chat]], "")

    def _part(self, tx: Connection, contact: str, apart: str, aliases: list[list[str]], merge: str) -> Done:
        told = {"apart": apart, "aliases": aliases, "merge": merge, "by": dict(self.by)}
        seq = self._append(tx, Fact("contact.parted", contact, self._now(), told))
        return Done("", seq, {}, apart)

    # What the acts share.

    def _hold(self, tx: Connection, thread: str) -> Thread:
        serialise(tx)
        one = queries.get_thread(tx, thread)
        if one is None:
            raise NoSuchChat("There is no such conversation.")
        return one

    def _tell(
        self, tx: Connection, kind: str, one: Thread, undo: Mapping[str, Any], /, **told: Any
    ) -> Done:  # fmt: skip
        data = {"channel": one.channel, "contact": one.contact, **told, "by": dict(self.by)}
        return Done(one.id, self._append(tx, Fact(kind, one.id, self._now(), data), one.channel), undo)

    def _append(self, tx: Connection, fact: Fact, channel: str = "") -> int:
        return append_facts(tx, self.ambient, PRODUCER, [fact], connection=channel)[0].seq

    def _now(self) -> int:
        return to_ms(self.ambient.clock.now())


def _short(name: str, value: str, chars: int, *, may_be_empty: bool = False) -> str:
    value = value.strip()
    if not value and not may_be_empty:
        raise NotFitting(name, "Write something.")
    if len(value) > chars:
        raise NotFitting(name, f"At most {chars} characters.")
    return value
