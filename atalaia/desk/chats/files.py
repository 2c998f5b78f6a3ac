"""The attachments of messages: fetched by jobs, tried again over a day, shown with what became of them.

Source: contract WhatsApp, section 1.6: the upstream has a file some seconds after its message, and for days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.desk.chats.actions import PRODUCER, NoSuchChat, NotFitting
from atalaia.desk.chats.outbox import thread_of
from atalaia.desk.chats.reading import loaded, mapping, message_id, number, text
from atalaia.errors import ConfigError
from atalaia.events.log import append_facts
from atalaia.events.model import Event, Fact
from atalaia.jobs.submit import NoSuchJob, NotNow, Order, Orders, WrongParams
from atalaia.store.chat_tables import chat_files, chat_messages, chat_outbox
from atalaia.store.store import serialise
from atalaia.store.tables import connections

WAITING, FETCHED, FAILED, LEFT = "waiting", "fetched", "failed", "left"
EXPIRED = "expired"  # it was here, and retention took it: see `events.old_files`
FIRST_MS = 30_000
# The pauses after a try that failed; what is not there after a day is given up until a person asks.
PAUSES_S = (60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 28_800)
TRY_MS = 24 * 3_600_000
OLD_MS = 7 * 24 * 3_600_000  # of what is older nobody fetches anything on our own
PRIORITY = -5  # what people write goes first
BY = "attachments"
GROUPS = {
    "image": "image", "video": "video", "ptv": "video", "audio": "audio", "ptt": "audio",
    "sticker": "sticker", "document": "document",
}  # fmt: skip
TOO_LARGE = "It is larger than what is kept here."


@dataclass(frozen=True, slots=True)
class File:
    """What became of an attachment. state: waiting, fetched, failed, left (nobody asked for it), expired.

    file: SHA-256, "" until it has been here. mimetype: by its content. next_ms: when it is tried again.
    changed_ms: of an expired one, until when it was kept.
    """

    message: str
    channel: str
    state: str
    job: str
    tries: int
    file: str
    mimetype: str
    size_bytes: int | None
    said: str
    from_ms: int
    next_ms: int | None
    changed_ms: int


@dataclass(frozen=True)
class Fetching:
    """Asks for attachments.

    kinds: connector -> its kind of job that fetches. groups: those that are fetched as they come.
    """

    ambient: Ambient
    orders: Orders
    kinds: Mapping[str, str]
    groups: frozenset[str] = field(default=frozenset(GROUPS.values()))
    bytes_max: int = 67_108_864

    def fetch(self, tx: Connection, message: str, by: str) -> File:
        """Fetch an attachment now, whatever became of earlier tries.

        Errors: `NoSuchChat` when there is no such message or attachment; `NotFitting`.
        """
        serialise(tx)
        known = get_file(tx, message)
        if known is None:
            raise NoSuchChat("There is no such attachment.")
        if known.state == FETCHED:
            return known
        if known.state == WAITING and known.job:
            self._cancel(tx, known.job)
        now = self._now()
        return self._ask(tx, replace(known, tries=0, from_ms=now), now, by)

    def note(self, tx: Connection, told: _Told) -> None:
        """Take in a message with an attachment; what is known already stays as it is."""
        if get_file(tx, told.message) is not None:
            return
        now = self._now()
        one = File(
            told.message, told.channel, LEFT, "", 0, "", "", told.size_bytes, "", now, None, now
        )  # fmt: skip
        tx.execute(
            insert(chat_files).values({name: getattr(one, name) for name in File.__dataclass_fields__})
        )
        if (sent := _sent_by_us(tx, told.channel, told.key)) is not None:
            self._keep(tx, one, state=FETCHED, **sent)
        elif told.kept:
            self.came(tx, one, told.kept, told)
        elif told.size_bytes is not None and told.size_bytes > self.bytes_max:
            self._keep(tx, one, state=FAILED, said=TOO_LARGE)
        elif told.group in self.groups and told.sent_ms >= now - OLD_MS:
            self._next(tx, one, max(now, told.sent_ms + FIRST_MS), told.serialized)

    def came(self, tx: Connection, one: File, result: Mapping[str, Any], told: _Told | None = None) -> None:
        """Take in the file that a job has fetched, or that came with its message, which is `told`."""
        kept = self._keep(
            tx, one, state=FETCHED, file=text(result.get("file"), 64), said="", next_ms=None,
            mimetype=text(result.get("mimetype"), 100), size_bytes=number(result.get("size_bytes")),
        )  # fmt: skip
        self._tell(tx, "message.file_fetched", kept, told)

    def missed(self, tx: Connection, one: File, reason: str, said: str) -> None:
        """Try again later, or give up after a day."""
        tries = one.tries
        next_ms = self._now() + 1000 * PAUSES_S[min(tries, len(PAUSES_S)) - 1]
        final = reason in ("too_large", "cancelled") or next_ms > one.from_ms + TRY_MS
        if not final:
            self._next(tx, replace(one, said=said), next_ms)
            return
        kept = self._keep(tx, one, state=FAILED, said=said, next_ms=None)
        self._tell(tx, "message.file_failed", kept)

    def sent(self, tx: Connection, channel: str, key: str) -> None:
        """Take the file of a request for the attachment of its message, whose key is known now."""
        m = chat_messages.c
        query = select(m.id).where(m.channel == channel, m.key == key, m.from_me)
        for message in tx.scalars(query).all():
            one, ours = get_file(tx, message), _sent_by_us(tx, channel, key)
            if one is not None and one.state not in (FETCHED, EXPIRED) and ours is not None:
                if one.state == WAITING:
                    self._cancel(tx, one.job)
                self._keep(tx, one, state=FETCHED, **ours)

    def _next(self, tx: Connection, one: File, at_ms: int, serialized: str = "") -> None:
        """Try on our own at this time; a channel that is gone meanwhile is no defect."""
        try:
            self._ask(tx, one, at_ms, BY, serialized)
        except NotFitting as error:
            self._keep(tx, one, state=FAILED, said=str(error), next_ms=None)

    def _ask(self, tx: Connection, one: File, at_ms: int, by: str, serialized: str = "") -> File:
        """Ask for the next try at this time. serialized: the upstream's id; a new one is in no table."""
        kind, m = self._kind(tx, one.channel), chat_messages.c
        serialized = serialized or tx.scalar(select(m.serialized).where(m.id == one.message)) or ""
        if not kind or not serialized:
            raise NotFitting("message", "This channel cannot fetch it.")
        params = {"message": serialized, "bytes_max": self.bytes_max}
        try:
            job = self.orders.submit(
                tx, Order(kind, one.channel, params, by, priority=PRIORITY, not_before_ms=at_ms)
            )
        except (WrongParams, ConfigError) as error:
            raise NotFitting("message", str(error)) from None
        return self._keep(tx, one, state=WAITING, job=job.id, tries=one.tries + 1, next_ms=at_ms)

    def _cancel(self, tx: Connection, job: str) -> None:
        try:
            self.orders.cancel(tx, job, reason="It is not needed any more.", by=BY)
        except (NotNow, NoSuchJob):
            return  # it has ended

    def _keep(self, tx: Connection, one: File, **changed: Any) -> File:
        after = replace(one, **changed, changed_ms=self._now())
        row = {name: getattr(after, name) for name in File.__dataclass_fields__ if name != "message"}
        tx.execute(update(chat_files).where(chat_files.c.message == one.message).values(row))
        return after

    def _tell(self, tx: Connection, kind: str, one: File, about: _Told | None = None) -> None:
        """Say what became of a file. about: its message, where that may be in no table yet."""
        m = chat_messages.c
        row = tx.execute(select(m.message, m.key, m.chat).where(m.id == one.message)).first()
        if row is not None:
            identity, key, thread = row.message, row.key, thread_of(tx, one.channel, row.chat)
        elif about is not None:
            identity, key, thread = about.identity, about.key, about.thread
        else:
            return
        told = {
            "message": identity, "key": key, "channel": one.channel, "conversation": thread,
            "file": one.file, "mimetype": one.mimetype, "size_bytes": one.size_bytes, "said": one.said,
            "tries": one.tries,
        }  # fmt: skip
        fact = Fact(kind, thread or one.message, one.changed_ms, told)
        append_facts(tx, self.ambient, PRODUCER, [fact], connection=one.channel)

    def _kind(self, tx: Connection, channel: str) -> str:
        c = connections.c
        connector = tx.scalar(select(c.connector).where(c.id == channel, c.deleted_ms.is_(None)))
        return self.kinds.get(connector or "", "")

    def can_fetch(self, tx: Connection, channel: str) -> bool:
        """Answer whether attachments of this channel can be fetched at all."""
        return bool(self._kind(tx, channel))

    def _now(self) -> int:
        return to_ms(self.ambient.clock.now())


@dataclass(frozen=True, slots=True)
class _Told:
    """What a fact tells of a message with an attachment. kept: the file, if it came with the message."""

    message: str
    identity: str
    thread: str
    channel: str
    key: str
    serialized: str
    group: str
    sent_ms: int
    size_bytes: int | None
    kept: Mapping[str, Any]


class Files:
    """Sees to it that attachments are fetched, from what messages and jobs tell.

    Nothing is folded anew: what was fetched stays here.
    """

    name = "chat_files"
    types = (
        "message.received", "message.sent", "message.revised", "message.send_changed", "job.done",
        "job.failed", "job.cancelled", "job.expired",
    )  # fmt: skip

    def __init__(self, fetching: Fetching) -> None:
        self._fetching = fetching
        self._kinds = frozenset(fetching.kinds.values())

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Take in a batch."""
        for event in events:
            data = mapping(orjson.loads(event.body))
            if event.type == "message.send_changed":
                if key := text(data.get("key")):
                    self._fetching.sent(tx, text(data.get("channel")), key)
            elif event.type.startswith("message."):
                self._message(tx, event, data)
            elif data.get("kind") in self._kinds and (one := _of_job(tx, event.key)) is not None:
                self._job(tx, event, data, one)

    def reset(self, tx: Connection) -> None:
        """Forget nothing: files are no fold of the log."""

    def _message(self, tx: Connection, event: Event, data: Mapping[str, Any]) -> None:
        media, channel = mapping(data.get("media")), text(data.get("channel")) or event.connection
        group = GROUPS.get(text(data.get("type")))
        if not media or group is None or data.get("kind") != "content":
            return
        if not self._fetching.can_fetch(tx, channel):
            return
        told = _Told(
            message_id(channel, text(data.get("message"))), text(data.get("message")),
            text(data.get("conversation")), channel, text(data.get("key")),
            text(data.get("serialized")), group,
            number(data.get("occurred_at")) or event.occurred_ms, number(media.get("size_bytes")),
            mapping(media.get("kept")),
        )  # fmt: skip
        self._fetching.note(tx, told)

    def _job(self, tx: Connection, event: Event, data: Mapping[str, Any], one: File) -> None:
        if one.state != WAITING:
            return
        if event.type == "job.done":
            self._fetching.came(tx, one, mapping(data.get("result")))
            return
        reason = "cancelled" if event.type == "job.cancelled" else text(data.get("reason"))
        self._fetching.missed(tx, one, reason, text(data.get("said")) or reason)


def get_file(tx: Connection, message: str) -> File | None:
    """Answer what became of a message's attachment."""
    row = tx.execute(select(chat_files).where(chat_files.c.message == message)).first()
    return File(*row) if row else None


def files_of(tx: Connection, messages: Iterable[str]) -> dict[str, File]:
    """Answer what became of the attachments of messages, by message."""
    rows = tx.execute(select(chat_files).where(chat_files.c.message.in_(list(messages))))
    return {row.message: File(*row) for row in rows}


def _of_job(tx: Connection, job: str) -> File | None:
    row = tx.execute(select(chat_files).where(chat_files.c.job == job)).first()
    return File(*row) if row else None


def _sent_by_us(tx: Connection, channel: str, key: str) -> dict[str, Any] | None:
    """Answer the file of the request that a message of ours was, None when it was none of ours."""
    o = chat_outbox.c
    body = tx.scalar(select(o.body).where(o.channel == channel, o.key == key, o.key != "").limit(1))
    ours: dict[str, Any] = loaded(body or "", dict)
    if not ours.get("file"):
        return None
    return {
        "file": ours["file"], "mimetype": text(ours.get("mimetype"), 100),
        "size_bytes": number(ours.get("size_bytes")), "said": "", "next_ms": None,
    }  # fmt: skip
