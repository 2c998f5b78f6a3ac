"""Folds messages, contacts and what people did with conversations into their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import orjson
from sqlalchemy import Connection, Table, delete

from atalaia.desk.chats.reading import (
    TO_READ,
    UNKNOWN,
    Data,
    best_ack,
    dumped,
    fit,
    mapping,
    message_id,
    new_message,
    number,
    text,
    thread_id,
    told,
)
from atalaia.desk.chats.shelf import Shelf
from atalaia.desk.chats.threads import STATUSES, Threads
from atalaia.events.model import Event
from atalaia.store.chat_tables import (
    chat_aliases,
    chat_contacts,
    chat_merges,
    chat_messages,
    chat_notes,
    chat_reactions,
    chat_reads,
    chat_threads,
)

_TABLES: tuple[Table, ...] = (
    chat_aliases, chat_contacts, chat_merges, chat_threads, chat_messages, chat_reactions, chat_reads,
    chat_notes,
)  # fmt: skip


class Chats:
    """Keeps messages, the contacts behind them, and what people did with their conversations.

    A fact may come late or before what it is about: a receipt before its message, an edit before the text.
    """

    name = "chats"

    def __init__(self) -> None:
        self._takes: dict[str, Callable[[_Batch, Event, Data], None]] = {
            "message.received": _Batch.message, "message.sent": _Batch.message,
            "message.revised": _Batch.message, "message.noticed": _Batch.message,
            "message.acked": _Batch.acked, "message.reacted": _Batch.reacted,
            "contact.named": _Batch.named, "contact.alias_learned": _Batch.learned,
            "contact.merged": _Batch.merged, "contact.parted": _Batch.parted,
            "conversation.assigned": _Batch.assigned,
            "conversation.labelled": _Batch.labelled, "conversation.status_changed": _Batch.status_changed,
            "conversation.noted": _Batch.noted, "conversation.note_removed": _Batch.note_removed,
            "conversation.linked": _Batch.linked, "conversation.read": _Batch.read,
        }  # fmt: skip
        self.types: tuple[str, ...] = tuple(self._takes)

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Fold a batch."""
        told = [(event, mapping(orjson.loads(event.body))) for event in events]
        batch = _Batch(Shelf(tx))
        batch.preload(told)
        for event, data in told:
            self._takes[event.type](batch, event, data)
        batch.threads.settle()
        batch.shelf.flush()

    def reset(self, tx: Connection) -> None:
        """Forget what was folded; drafts, replies at hand and what was asked to be sent stay."""
        for table in _TABLES:
            tx.execute(delete(table))


class _Batch:
    """The facts of one page; each method takes one kind."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.threads = Threads(shelf)

    def preload(self, told: Sequence[tuple[Event, Data]]) -> None:
        """Read what a page will touch in few trips."""
        about = [(_channel(event, data), data) for event, data in told]
        named = [(channel, data) for channel, data in about if data.get("message")]
        self.shelf.preload(chat_messages, [(message_id(c, text(data.get("message"))),) for c, data in named])
        wids = [(channel, data.get("chat")) for channel, data in about]
        wids += [(channel, mapping(data.get("author")).get("wid")) for channel, data in about]
        places = {(channel, text(wid, 120)) for channel, wid in wids if wid}
        self.shelf.preload(chat_aliases, places)
        aliases = [row for place in places if (row := self.shelf.get(chat_aliases, *place)) is not None]
        people = {text(data.get("contact")) for _, data in about} | {row["contact"] for row in aliases}
        people |= {text(mapping(data.get("author")).get("contact")) for _, data in about}
        self.shelf.preload(chat_contacts, [(one,) for one in people if one])
        threads = {thread_id(channel, text(data.get("contact"))) for channel, data in about}
        threads |= {row["thread"] for row in aliases} | {event.key for event, _ in told}
        self.shelf.preload(chat_threads, [(one,) for one in threads if one])

    # Messages.

    def message(self, event: Event, data: Data) -> None:
        before = self._message_row(event, data)
        if event.seq <= before["changed_seq"] or not data.get("message"):
            return
        row = fit(chat_messages, told(before, event, data) | {"changed_seq": event.seq})
        self.shelf.put(chat_messages, row)
        author = mapping(data.get("author"))
        if (wid := text(author.get("wid"))) and wid != row["chat"]:
            alias = self.threads.alias(
                event, row["channel"], wid, text(author.get("contact")), phone=text(author.get("phone"))
            )
            self.threads.named(event, alias["contact"], text(author.get("name")))
        if not row["chat"] or row["kind"] == UNKNOWN:
            return
        # The same message may be told under another identity of the same chat; it stays where it was.
        same = data.get("chat") == row["chat"]
        alias = self.threads.alias(
            event, row["channel"], row["chat"], text(data.get("contact")) if same else "",
            is_group=bool(data.get("group")), phone=text(data.get("phone")) if same else "",
        )  # fmt: skip
        if wid and wid == row["chat"]:
            self.threads.named(event, alias["contact"], text(author.get("name")))
        if row["kind"] in TO_READ:
            self.threads.spoken(event, alias, row, news=row["news_seq"] == event.seq)

    def acked(self, event: Event, data: Data) -> None:
        row = self._message_row(event, data)
        if event.seq > row["changed_seq"]:
            ack = best_ack(row["ack"], number(data.get("ack")))
            self.shelf.put(chat_messages, fit(chat_messages, row | {"ack": ack, "changed_seq": event.seq}))

    def reacted(self, event: Event, data: Data) -> None:
        message = message_id(_channel(event, data), text(data.get("message")))
        by = text(data.get("by"), 120)
        row = self.shelf.get(chat_reactions, message, by) or {"at_ms": -1, "changed_seq": 0}
        if event.seq <= row["changed_seq"]:
            return
        if event.occurred_ms >= row["at_ms"]:
            said = {"text": text(data.get("text"), 40), "at_ms": event.occurred_ms}
            row = {"message": message, "by": by, **said}
        self.shelf.put(chat_reactions, fit(chat_reactions, row | {"changed_seq": event.seq}))

    def _message_row(self, event: Event, data: Data) -> dict[str, Any]:
        identity = message_id(_channel(event, data), text(data.get("message")))
        return self.shelf.get(chat_messages, identity) or new_message(event, data)

    # Contacts.

    def named(self, event: Event, data: Data) -> None:
        channel, chat = _channel(event, data), text(data.get("chat"))
        if not chat:
            return
        alias = self.threads.alias(
            event, channel, chat, text(data.get("contact")), is_group=bool(data.get("group"))
        )
        self.threads.named(event, alias["contact"], text(data.get("name"), 160))

    def learned(self, event: Event, data: Data) -> None:
        channel, chat = _channel(event, data), text(data.get("alias"))
        contact, gone = text(data.get("contact")), text(data.get("merged"))
        if not chat or not contact:
            return
        evidence = text(data.get("evidence"), 20)
        if gone and gone != contact:
            self.threads.merge(
                event, gone, contact, alias=[channel, chat], id=event.id, evidence=evidence, by=""
            )  # fmt: skip
        self.threads.alias(event, channel, chat, contact, phone=text(data.get("phone")), evidence=evidence)

    def merged(self, event: Event, data: Data) -> None:
        merge, gone = text(data.get("merge")) or event.id, text(data.get("gone"))
        if gone and gone != event.key:
            self.threads.merge(
                event, gone, event.key, alias=[], id=merge, evidence="person", by=_name(data)
            )  # fmt: skip

    def parted(self, event: Event, data: Data) -> None:
        pairs = [[text(c), text(chat)] for c, chat in _pairs(data.get("aliases"))]
        if apart := text(data.get("apart")):
            self.threads.part(event, apart, pairs, text(data.get("merge")), _name(data))

    def linked(self, event: Event, data: Data) -> None:
        told = [text(data.get(name)) for name in ("contact", "company", "person")]
        self.threads.link(event, *told)

    # Conversations.

    def assigned(self, event: Event, data: Data) -> None:
        self.threads.act(
            event, event.key, assigned=text(data.get("person")), assigned_name=text(data.get("name"))
        )  # fmt: skip

    def labelled(self, event: Event, data: Data) -> None:
        labels = data.get("labels")
        kept = sorted({text(one) for one in cast("list[Any]", labels)}) if isinstance(labels, list) else []
        self.threads.act(event, event.key, labels=dumped(kept))

    def status_changed(self, event: Event, data: Data) -> None:
        status = text(data.get("status"))
        if status in STATUSES:
            self.threads.act(
                event, event.key, status=status, status_ms=event.occurred_ms, status_by=_name(data),
                reopens=bool(data.get("reopens", True)),
            )  # fmt: skip

    def noted(self, event: Event, data: Data) -> None:
        note = text(data.get("note")) or event.id
        if self.shelf.get(chat_notes, note) is not None:
            return
        self.shelf.put(
            chat_notes,
            fit(chat_notes, {
                "id": note, "channel": _channel(event, data), "chat": text(data.get("chat")),
                "text": text(data.get("text")), "by": _name(data), "at_ms": event.occurred_ms,
                "removed_ms": None, "removed_by": "", "changed_seq": event.seq,
            }),
        )  # fmt: skip

    def note_removed(self, event: Event, data: Data) -> None:
        row = self.shelf.get(chat_notes, text(data.get("note"), 36))
        if row is not None and event.seq > row["changed_seq"]:
            gone = {"removed_ms": event.occurred_ms, "removed_by": _name(data), "changed_seq": event.seq}
            self.shelf.put(chat_notes, fit(chat_notes, row | gone))

    def read(self, event: Event, data: Data) -> None:
        reader, upto = text(data.get("person"), 36), number(data.get("upto")) or 0
        for channel, chat in _pairs(data.get("chats")):
            key = (reader, text(channel, 36), text(chat, 120))
            row = self.shelf.get(chat_reads, *key)
            if row is None or event.seq > row["changed_seq"]:
                names = dict(zip(("reader", "channel", "chat"), key, strict=True))
                read = {"upto_seq": upto, "at_ms": event.occurred_ms, "changed_seq": event.seq}
                self.shelf.put(chat_reads, names | read)


def _channel(event: Event, data: Data) -> str:
    return text(data.get("channel"), 36) or event.connection


def _name(data: Mapping[str, Any]) -> str:
    """Answer the name of who did it."""
    by = data.get("by")
    return text(mapping(by).get("name") if isinstance(by, dict) else by)


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    """Answer a list of [channel, chat]; what is none is left out."""
    rows = cast("list[Any]", value) if isinstance(value, list) else []
    pairs = [cast("list[Any]", row) for row in rows if isinstance(row, list)]
    return [(row[0], row[1]) for row in pairs if len(row) == 2]
