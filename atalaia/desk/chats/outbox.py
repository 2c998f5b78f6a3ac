"""What people ask a channel to send, stored under an id of our own before anything leaves.

A row is queued, then sent, failed or uncertain: it may have left. What is uncertain is looked up upstream
before anybody may ask again. How far it came after that is told by the message's own receipts.
Source: contract WhatsApp, sections 2.5 and 5.6: there is no idempotency key, and a time-out tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import orjson
from sqlalchemy import Connection, Select, and_, insert, or_, select, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.desk.chats import queries
from atalaia.desk.chats.actions import PRODUCER, NoSuchChat, NotFitting
from atalaia.desk.chats.queries import Thread
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.ids import derived_uuid7
from atalaia.store.chat_tables import chat_aliases, chat_messages, chat_outbox
from atalaia.store.store import serialise

QUEUED, SENT, ACKED, READ, FAILED, UNCERTAIN = "queued", "sent", "acked", "read", "failed", "uncertain"
DROPPED = "dropped"  # it failed, and a person wants it no more
KINDS = ("text", "image", "document", "voice", "location", "reply", "reaction")
FILES = ("image", "document", "voice")
_NEXT = {
    QUEUED: (SENT, FAILED, UNCERTAIN), UNCERTAIN: (SENT, FAILED, QUEUED), FAILED: (QUEUED, SENT, DROPPED),
    SENT: (DROPPED,),  # when its receipt says that it failed
}  # fmt: skip
_DEVICE, _READ = 2, 3  # levels of receipts
TEXT_CHARS_MAX = 60_000
SHOWN_MAX = 100
CHANGED = "message.send_changed"


class Sender(Protocol):
    """Who sends: the jobs of the channel's connector."""

    def can_send(self, tx: Connection, channel: str) -> bool:
        """Answer whether anything can be sent by this channel now or later."""
        ...

    def chat_of(self, tx: Connection, channel: str, number: str) -> str:
        """Answer the chat of a number as the channel writes it; "" where nobody can be written to first."""
        ...

    def first_channels(self, tx: Connection) -> frozenset[str]:
        """Answer the channels by which somebody can be written to first."""
        ...

    def submit(self, tx: Connection, request: Request) -> str:
        """Take a request in the transaction that stores it; answer the job's id. Errors: `NotFitting`."""
        ...

    def again(self, tx: Connection, request: Request, by: str) -> None:
        """Send once more what failed, or what a person says has not left. Errors: `NotFitting`."""
        ...

    def happened(
        self, tx: Connection, request: Request, by: str, answer: Mapping[str, Any] | None = None
    ) -> None:
        """Take for sent what is uncertain. answer: what the upstream would have. Errors: `NotFitting`."""
        ...

    def call_off(self, tx: Connection, request: Request, by: str) -> None:
        """Send it no more, if it has not left. Errors: `NotFitting`."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to send. id: our own, also the idempotency key of its job. key: the upstream's, once known.

    state: queued, sent, acked (on the device), read, failed, uncertain, dropped.
    body: by kind; text, quoted (the upstream's id of the message that is answered), message (ours of it),
        file (SHA-256), mimetype, filename, size_bytes, latitude, longitude, reaction,
        first (nobody talked with that number by this channel before).
    said: why it failed or waits; what looking it up has found, "" while that goes on.
    """

    id: str
    channel: str
    chat: str
    kind: str
    body: Mapping[str, Any]
    state: str
    key: str
    said: str
    by: str
    job: str
    asked_ms: int
    changed_ms: int

    @property
    def text(self) -> str:
        return str(self.body.get("text") or "")

    @property
    def may_repeat(self) -> bool:
        """Whether "send again" makes sense: it failed, or was looked up and not found."""
        return self.state == FAILED or (self.state == UNCERTAIN and bool(self.said))


@dataclass(frozen=True)
class Outbox:
    """Asks and settles. sender: None while no channel can send."""

    ambient: Ambient
    sender: Sender | None = None
    kinds: Sequence[str] = field(default=KINDS)

    def can_send(self, tx: Connection, channel: str) -> bool:
        """Answer whether a composer makes sense for this channel."""
        return self.sender is not None and self.sender.can_send(tx, channel)

    def chat_of(self, tx: Connection, channel: str, number: str) -> str:
        """Answer the chat of a number as the channel writes it; "" where nobody can be written to first."""
        return self.sender.chat_of(tx, channel, number) if self.sender is not None else ""

    def first_channels(self, tx: Connection) -> frozenset[str]:
        """Answer the channels by which somebody can be written to first."""
        return self.sender.first_channels(tx) if self.sender is not None else frozenset()

    def ask(
        self, tx: Connection, thread: str, kind: str, body: Mapping[str, Any], *, by: str, identity: str = ""
    ) -> Request:
        """Store a request and hand it to the sender, in one transaction.

        It goes to the chat used last; an answer or reaction goes where its message, `body["message"]`, is.
        identity: the caller's own id; the same one again answers what became of it, and sends nothing.
        Errors: `NoSuchChat`; `NotFitting` when the channel cannot send or the body does not fit.
        """
        serialise(tx)
        if identity and (known := get_request(tx, identity)) is not None:
            return known
        one = queries.get_thread(tx, thread)
        if one is None:
            raise NoSuchChat("There is no such conversation.")
        self._check(kind, body)
        chat, quoted = _answered(tx, one, str(body.get("message") or ""))
        return self.put(tx, one.channel, chat, kind, {**body, **quoted}, by=by, identity=identity)

    def put(
        self, tx: Connection, channel: str, chat: str, kind: str, body: Mapping[str, Any], *, by: str,
        identity: str = "",
    ) -> Request:  # fmt: skip
        """Store a request to a chat of which there may be no conversation yet, and hand it to the sender.

        Errors: `NotFitting`.
        """
        serialise(tx)
        if identity and (known := get_request(tx, identity)) is not None:
            return known
        if self.sender is None or not self.sender.can_send(tx, channel):
            raise NotFitting("thread", "This channel cannot send.")
        self._check(kind, body)
        now = to_ms(self.ambient.clock.now())
        request = Request(
            identity or self.ambient.ids.new(), channel, chat[:120], kind, dict(body), QUEUED, "", "",
            by[:120], "", now, now,
        )  # fmt: skip
        row = {name: getattr(request, name) for name in Request.__dataclass_fields__}
        tx.execute(insert(chat_outbox).values(row | {"body": orjson.dumps(request.body).decode()}))
        job = self.sender.submit(tx, request)
        tx.execute(update(chat_outbox).where(chat_outbox.c.id == request.id).values(job=job))
        request = replace(request, job=job)
        self._tell(tx, request)
        return request

    def settle(self, tx: Connection, identity: str, state: str, *, key: str = "", said: str = "") -> bool:
        """Say what became of a request; answer whether that was news. What was sent stays sent.

        key: the upstream's key of the message. said: why it failed, or what is known of an uncertain one.
        Errors: `NoSuchChat`.
        """
        known = get_request(tx, identity)
        if known is None:
            raise NoSuchChat("There is no such request.")
        stored = _stored(tx, identity)
        if state == stored:
            news = bool(key and not known.key) or (state in (QUEUED, UNCERTAIN) and said != known.said)
        else:
            news = state in _NEXT.get(stored, ())
        if not news:
            return False
        now = to_ms(self.ambient.clock.now())
        changed = {"state": state, "key": key[:160] or known.key, "said": said, "changed_ms": now}
        tx.execute(update(chat_outbox).where(chat_outbox.c.id == identity).values(**changed))
        self._tell(tx, replace(known, **changed))
        return True

    # What people say of one that did not simply go.

    def again(self, tx: Connection, identity: str, by: str) -> Request:
        """Send once more what failed, or what was looked up and not found.

        Errors: `NoSuchChat`, `NotFitting`.
        """
        one = self._hold(tx, identity)
        if not one.may_repeat:
            raise NotFitting("id", "It is on its way, or is being looked up; it cannot be sent again now.")
        assert self.sender is not None
        if _stored(tx, identity) == SENT:  # it had left, and its receipt says that it failed
            anew = derived_uuid7(one.asked_ms, f"again:{one.id}")
            again = self.put(tx, one.channel, one.chat, one.kind, one.body, by=by, identity=anew)
            self.settle(tx, one.id, DROPPED, said=one.said)
            return again
        self.sender.again(tx, one, by)
        self.settle(tx, one.id, QUEUED)
        return self._hold(tx, identity)

    def happened(self, tx: Connection, identity: str, by: str) -> Request:
        """Take an uncertain one for sent. Errors: `NoSuchChat`, `NotFitting`."""
        one = self._hold(tx, identity)
        if one.state != UNCERTAIN:
            raise NotFitting("id", "It is not uncertain any more.")
        assert self.sender is not None
        self.sender.happened(tx, one, by)
        return one

    def call_off(self, tx: Connection, identity: str, by: str) -> Request:
        """Send it no more; one that failed is shown no more.

        Errors: `NoSuchChat`, `NotFitting` when it has left.
        """
        one = self._hold(tx, identity)
        if one.state == FAILED and self.settle(tx, identity, DROPPED, said=one.said):
            return self._hold(tx, identity)
        if one.state not in (QUEUED, UNCERTAIN):
            raise NotFitting("id", "It has left or ended already.")
        assert self.sender is not None
        self.sender.call_off(tx, one, by)
        return one

    def _hold(self, tx: Connection, identity: str) -> Request:
        serialise(tx)
        one = get_request(tx, identity)
        if one is None or self.sender is None:
            raise NoSuchChat("There is no such request.")
        return one

    def _check(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind not in self.kinds:
            raise NotFitting("kind", f"Choose one of {', '.join(self.kinds)}.")
        text = str(body.get("text") or "")
        if kind in ("text", "reply") and not text.strip():
            raise NotFitting("text", "Write something.")
        if len(text) > TEXT_CHARS_MAX:
            raise NotFitting("text", f"At most {TEXT_CHARS_MAX} characters.")
        if kind in FILES and not body.get("file"):
            raise NotFitting("file", "Attach a file.")
        if kind in ("reply", "reaction") and not (body.get("message") or body.get("quoted")):
            raise NotFitting("message", "Say which message is meant.")
        if kind == "location" and None in (body.get("latitude"), body.get("longitude")):
            raise NotFitting("latitude", "Give latitude and longitude.")

    def _tell(self, tx: Connection, request: Request) -> None:
        thread = thread_of(tx, request.channel, request.chat)
        told = {
            "request": request.id, "state": request.state, "kind": request.kind, "text": request.text,
            "channel": request.channel, "conversation": thread, "chat": request.chat, "key": request.key,
            "job": request.job, "said": request.said, "by": request.by,
        }  # fmt: skip
        fact = Fact(CHANGED, thread or request.id, request.changed_ms, told)
        append_facts(tx, self.ambient, PRODUCER, [fact], connection=request.channel)


def _answered(tx: Connection, one: Thread, message: str) -> tuple[str, dict[str, str]]:
    """Answer (chat, what the body says of it) for the message that is answered. Errors: `NoSuchChat`."""
    if not message:
        return one.chat, {}
    found = queries.get_message(tx, message)
    if found is None or found.thread != one.id or not found.serialized:
        raise NoSuchChat("There is no such message here.")
    return found.chat, {"message": found.id, "quoted": found.serialized}


def thread_of(tx: Connection, channel: str, chat: str) -> str:
    """Answer the conversation in which a chat is shown now, "" before anything was said in it."""
    a = chat_aliases.c
    return tx.scalar(select(a.thread).where(a.channel == channel, a.chat == chat)) or ""


def get_request(tx: Connection, identity: str) -> Request | None:
    """Answer one request with how far it came."""
    row = tx.execute(requests().where(chat_outbox.c.id == identity)).first()
    return _read(row) if row else None


def request_of_job(tx: Connection, job: str) -> Request | None:
    """Answer the request that a job sends."""
    row = tx.execute(requests().where(chat_outbox.c.job == job)).first()
    return _read(row) if row else None


def list_requests(tx: Connection, chats: Sequence[tuple[str, str]]) -> list[Request]:
    """Answer what was asked to be sent in these chats and is no message there yet, oldest first.

    A reaction that was sent is shown at its message.
    """
    o, m = chat_outbox.c, chat_messages.c
    if not chats:
        return []
    of_chat = or_(*(and_(o.channel == channel, o.chat == chat) for channel, chat in chats))
    open_ones = and_(o.state != DROPPED, or_(o.kind != "reaction", o.state != SENT))
    query = requests().where(of_chat, open_ones, or_(m.id.is_(None), m.kind == "unknown"))
    return read_requests(tx, query.order_by(o.asked_ms.desc(), o.id.desc()).limit(SHOWN_MAX))[::-1]


def unsent(tx: Connection, threads: Sequence[str]) -> frozenset[str]:
    """Answer the conversations with something that failed or is uncertain, for a person to look at."""
    o, a = chat_outbox.c, chat_aliases.c
    same = and_(a.channel == o.channel, a.chat == o.chat)
    query = select(a.thread).select_from(chat_outbox.join(chat_aliases, same))
    wanted = query.where(o.state.in_((FAILED, UNCERTAIN)), a.thread.in_(list(threads)))
    return frozenset(tx.scalars(wanted.distinct()))


def read_requests(tx: Connection, query: Select[Any]) -> list[Request]:
    """Answer what a select of `requests()` finds."""
    return [_read(row) for row in tx.execute(query)]


def _stored(tx: Connection, identity: str) -> str:
    return tx.scalar(select(chat_outbox.c.state).where(chat_outbox.c.id == identity)) or ""


def requests() -> Select[Any]:
    """Answer the select of requests, for `read_requests`."""
    o, m = chat_outbox.c, chat_messages.c
    same = and_(m.channel == o.channel, m.key == o.key, m.from_me, o.key != "")
    return select(chat_outbox, m.ack.label("ack")).select_from(chat_outbox.outerjoin(chat_messages, same))


def _read(row: Any) -> Request:
    state = row.state
    if state == SENT and row.ack is not None:
        state = READ if row.ack >= _READ else ACKED if row.ack >= _DEVICE else FAILED if row.ack < 0 else SENT
    return Request(
        row.id, row.channel, row.chat, row.kind, orjson.loads(row.body), state, row.key, row.said, row.by,
        row.job, row.asked_ms, row.changed_ms,
    )  # fmt: skip
