"""Requests on their way: jobs of the channel's connector, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, and_, or_, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.desk.chats import outbox
from atalaia.desk.chats.actions import PRODUCER, NotFitting
from atalaia.desk.chats.outbox import (
    FAILED,
    FILES,
    QUEUED,
    SENT,
    UNCERTAIN,
    Outbox,
    Request,
    get_request,
    request_of_job,
    thread_of,
)
from atalaia.desk.chats.phones import same_number
from atalaia.desk.chats.reading import mapping, number, text
from atalaia.errors import ConfigError
from atalaia.events.log import append_facts
from atalaia.events.model import Event, Fact
from atalaia.jobs.rows import read_job
from atalaia.jobs.state import State
from atalaia.jobs.submit import PROBE, NoSuchJob, NotNow, Order, Orders, WrongParams
from atalaia.store.chat_tables import chat_aliases, chat_messages, chat_outbox
from atalaia.store.tables import connections

CLOCKS_MS = 120_000  # the sender's time is the network's, ours is ours
_MEDIA = {
    "image": ("image", "sticker"), "voice": ("ptt", "audio"),
    "document": ("document", "video", "audio", "image"), "location": ("location",),
}  # fmt: skip


@dataclass(frozen=True)
class JobSender:
    """Sends by jobs. kinds: connector's name -> its kind of job that sends, with the connector's name.

    numbers: connector's name -> how it writes the chat of a number, with {} for the digits.
    """

    orders: Orders
    kinds: Mapping[str, str]
    numbers: Mapping[str, str] = field(default_factory=dict[str, str])

    def can_send(self, tx: Connection, channel: str) -> bool:
        return bool(self._kind(tx, channel))

    def chat_of(self, tx: Connection, channel: str, number: str) -> str:
        return self.numbers.get(self._connector(tx, channel), "").format(number)

    def first_channels(self, tx: Connection) -> frozenset[str]:
        c = connections.c
        can = [name for name in self.kinds if self.numbers.get(name)]
        wanted = (c.connector.in_(can), c.deleted_ms.is_(None), c.desired == "on")
        return frozenset(tx.scalars(select(c.id).where(*wanted)))

    def submit(self, tx: Connection, request: Request) -> str:
        kind = self._kind(tx, request.channel)
        params = params_of(tx, request)
        try:
            order = Order(kind, request.channel, params, request.by, key=request.id)
            return self.orders.submit(tx, order).id
        except WrongParams as error:
            wrong = error.fields[0]["field"] if error.fields else "body"
            raise NotFitting(wrong, str(error)) from None
        except ConfigError as error:
            raise NotFitting("thread", str(error)) from None

    def again(self, tx: Connection, request: Request, by: str) -> None:
        job = read_job(tx, request.job)
        in_doubt = job is not None and job.state is State.IN_DOUBT
        self._do(
            lambda: (
                self.orders.decide(tx, request.job, "again", by=by)
                if in_doubt
                else self.orders.retry(tx, request.job, reason="send again", by=by)
            )
        )

    def happened(
        self, tx: Connection, request: Request, by: str, answer: Mapping[str, Any] | None = None
    ) -> None:
        known = answer or {"key": "", "serialized": "", "ack": None}
        self._do(lambda: self.orders.decide(tx, request.job, "happened", by=by, result=dict(known)))

    def call_off(self, tx: Connection, request: Request, by: str) -> None:
        self._do(lambda: self.orders.cancel(tx, request.job, reason="called off", by=by))

    def _do(self, act: Any) -> None:
        try:
            act()
        except (NotNow, NoSuchJob) as error:
            raise NotFitting("id", str(error)) from None

    def _kind(self, tx: Connection, channel: str) -> str:
        return self.kinds.get(self._connector(tx, channel), "")

    def _connector(self, tx: Connection, channel: str) -> str:
        """Answer the connector of a channel that is wanted, "" for any other."""
        c = connections.c
        wanted = (c.id == channel, c.deleted_ms.is_(None), c.desired == "on")
        return tx.scalar(select(c.connector).where(*wanted)) or ""


def params_of(tx: Connection, request: Request) -> dict[str, Any]:
    """Answer what the connector's job is asked: to, phone, kind, text, reply_to and what the kind needs.

    ask_first: nobody knows yet whether that number can be written to.
    """
    body = request.body
    a = chat_aliases.c
    phone = tx.scalar(select(a.phone).where(a.channel == request.channel, a.chat == request.chat))
    params: dict[str, Any] = {
        "to": request.chat, "phone": phone or "", "text": request.text,
        "kind": "text" if request.kind == "reply" else request.kind,
        "reply_to": str(body.get("quoted") or ""),
    }  # fmt: skip
    for name in ("file", "mimetype", "filename", "latitude", "longitude", "reaction"):
        if body.get(name) not in (None, ""):
            params[name] = body[name]
    return params | ({"ask_first": True} if body.get("first") else {})


class Outgoing:
    """Settles requests from what their jobs and the channel's own messages tell. kinds: of jobs that send.

    Nothing is folded anew: what was settled stays so.
    """

    name = "outbox"
    types = (
        "job.in_doubt", "job.probed", "job.decided", "job.retried", "job.progressed", "job.done",
        "job.failed", "job.cancelled", "job.expired", "message.sent",
    )  # fmt: skip

    def __init__(self, ambient: Ambient, sender: JobSender) -> None:
        self._ambient = ambient
        self._sender = sender
        self._kinds = frozenset(sender.kinds.values())
        self._outbox = Outbox(ambient, sender)

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Take in a batch."""
        for event in events:
            data = mapping(orjson.loads(event.body))
            if event.type == "message.sent":
                self._told(tx, event, data)
            elif data.get("kind") in self._kinds:
                one = request_of_job(tx, event.key)
                if one is not None:
                    self._settle(tx, one, event, data)

    def reset(self, tx: Connection) -> None:
        """Forget nothing: requests are no fold of the log."""

    def _settle(self, tx: Connection, one: Request, event: Event, data: Mapping[str, Any]) -> None:
        said, settle = text(data.get("said")), self._outbox.settle
        match event.type:
            case "job.done":
                result = mapping(data.get("result"))
                key = text(result.get("key")) or _key_of(self._find(tx, one))
                if settle(tx, one.id, SENT, key=key) and one.kind == "reaction":
                    self._reacted(tx, one)
            case "job.in_doubt":
                settle(tx, one.id, UNCERTAIN)
                self._resolve(tx, one.id)
            case "job.probed":
                settle(tx, one.id, UNCERTAIN, said=said or "…")
                self._resolve(tx, one.id)
            case "job.decided":
                if data.get("choice") == "again":
                    settle(tx, one.id, QUEUED)
            case "job.retried":
                settle(tx, one.id, QUEUED)
            case "job.progressed":
                if one.state == QUEUED:
                    settle(tx, one.id, QUEUED, said=said)
            case _:
                settle(tx, one.id, FAILED, said=said or text(data.get("reason")) or event.type)

    def _resolve(self, tx: Connection, identity: str) -> None:
        """Take what is in the chat's log already for what was in doubt."""
        one = get_request(tx, identity)
        found = self._find(tx, one) if one is not None and one.state == UNCERTAIN else None
        if one is not None and found is not None:
            self._is_there(tx, one, found.key, found.serialized, found.ack)

    def _told(self, tx: Connection, event: Event, data: Mapping[str, Any]) -> None:
        """A message of ours came by the channel: perhaps one whose key or fate nobody knew."""
        o = chat_outbox.c
        channel, key = text(data.get("channel")) or event.connection, text(data.get("key"))
        if not key or _is_claimed(tx, channel, key):
            return
        at_ms = number(data.get("occurred_at")) or event.occurred_ms
        waiting = select(o.id).where(
            o.channel == channel, o.key == "", o.state.in_((SENT, UNCERTAIN)), o.kind != "reaction",
            o.asked_ms <= at_ms + CLOCKS_MS, o.changed_ms >= at_ms - CLOCKS_MS,
        )  # fmt: skip
        thread = thread_of(tx, channel, text(data.get("chat"), 120))
        for identity in tx.scalars(waiting.order_by(o.asked_ms, o.id)).all():
            one = get_request(tx, identity)
            if one is None or not _fits(one, text(data.get("type")), text(data.get("text"))):
                continue
            chat = text(data.get("chat"))
            if chat not in _forms(one.chat) and thread_of(tx, channel, one.chat) != thread:
                continue
            self._is_there(tx, one, key, text(data.get("serialized")), number(data.get("ack")))
            return

    def _is_there(self, tx: Connection, one: Request, key: str, serialized: str, ack: int | None) -> None:
        if one.state == UNCERTAIN:
            try:
                told = {"key": key, "serialized": serialized, "ack": ack}
                self._sender.happened(tx, one, PROBE, told)
            except NotFitting:
                return  # decided meanwhile; what follows says what it came to
        self._outbox.settle(tx, one.id, SENT, key=key)

    def _find(self, tx: Connection, one: Request) -> Any:
        """Answer the channel's own message that is this request, None when none was heard."""
        if one.kind == "reaction":
            return None
        m, a = chat_messages.c, chat_aliases.c
        same = and_(a.channel == m.channel, a.chat == m.chat)
        thread = thread_of(tx, one.channel, one.chat)
        now = to_ms(self._ambient.clock.now())
        query = (
            select(m.key, m.serialized, m.ack, m.type, m.text)
            .select_from(chat_messages.join(chat_aliases, same))
            .where(
                m.channel == one.channel, or_(m.chat.in_(_forms(one.chat)), a.thread == thread), m.from_me,
                m.kind == "content", m.sent_ms.between(one.asked_ms - CLOCKS_MS, now + CLOCKS_MS),
            )
            .order_by(m.sent_ms, m.first_seq)
            .limit(200)
        )  # fmt: skip
        for row in tx.execute(query).all():
            if _fits(one, row.type, row.text) and not _is_claimed(tx, one.channel, row.key):
                return row
        return None

    def _reacted(self, tx: Connection, one: Request) -> None:
        """Say that we reacted; the channel tells nobody of own reactions."""
        m = chat_messages.c
        row = tx.execute(select(m.message, m.key).where(m.id == one.body.get("message"))).first()
        if row is None:
            return
        thread = thread_of(tx, one.channel, one.chat)
        told = {
            "message": row.message, "key": row.key, "channel": one.channel, "conversation": thread,
            "text": str(one.body.get("reaction") or ""), "by": "me",
        }  # fmt: skip
        now = to_ms(self._ambient.clock.now())
        fact = Fact("message.reacted", thread, now, told, f"outbox:{one.id}:{row.message}")
        append_facts(tx, self._ambient, PRODUCER, [fact], connection=one.channel)


def _fits(one: Request, kind: str, said: str) -> bool:
    """Answer whether a message of this type and text may be this request."""
    if one.kind in ("text", "reply"):
        return said == one.text and kind not in outbox.FILES
    if kind not in _MEDIA.get(one.kind, ()):
        return False
    return one.kind in ("voice", "location") or one.kind not in FILES or said == one.text


def _forms(chat: str) -> list[str]:
    """Answer how a chat may be written: a number that nobody knew was typed with a ninth digit or without."""
    user, at, server = chat.partition("@")
    return [f"{one}{at}{server}" for one in same_number(user)]


def _is_claimed(tx: Connection, channel: str, key: str) -> bool:
    o = chat_outbox.c
    return tx.execute(select(o.id).where(o.channel == channel, o.key == key).limit(1)).first() is not None


def _key_of(found: Any) -> str:
    return found.key if found is not None else ""
