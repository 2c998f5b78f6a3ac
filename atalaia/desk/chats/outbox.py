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
from sqlalchemy import Connection, and_, insert, or_, select, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.desk.chats import queries
from atalaia.desk.chats.actions import NoSuchChat, NotFitting
from atalaia.store.chat_tables import chat_messages, chat_outbox
from atalaia.store.store import serialise

QUEUED, SENT, ACKED, READ, FAILED, UNCERTAIN = "queued", "sent", "acked", "read", "failed", "uncertain"
KINDS = ("text", "image", "document", "voice", "location", "reply", "reaction")
_NEXT = {QUEUED: (SENT, FAILED, UNCERTAIN), UNCERTAIN: (SENT, FAILED), FAILED: (QUEUED,)}
_DEVICE, _READ = 2, 3  # levels of receipts
TEXT_CHARS_MAX = 60_000
SHOWN_MAX = 100


class Sender(Protocol):
    """Who sends: the jobs of the channel's connector."""

    def can_send(self, tx: Connection, channel: str) -> bool:
        """Answer whether anything can be sent by this channel now or later."""
        ...

    def submit(self, tx: Connection, request: Request) -> str:
        """Take a request in the transaction that stores it; answer the job's id."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to send. id: our own, also the idempotency key of its job. key: the upstream's, once known.

    state: queued, sent, acked (on the device), read, failed, uncertain. body: by kind, e.g. {"text": "…"}.
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


@dataclass(frozen=True)
class Outbox:
    """Asks and settles. sender: None while no channel can send."""

    ambient: Ambient
    sender: Sender | None = None
    kinds: Sequence[str] = field(default=KINDS)

    def can_send(self, tx: Connection, channel: str) -> bool:
        """Answer whether a composer makes sense for this channel."""
        return self.sender is not None and self.sender.can_send(tx, channel)

    def ask(
        self, tx: Connection, thread: str, kind: str, body: Mapping[str, Any], *, by: str, identity: str = ""
    ) -> Request:
        """Store a request and hand it to the sender, in one transaction; it goes to the chat used last.

        identity: the caller's own id; the same one again answers what became of it, and sends nothing.
        Errors: `NoSuchChat`; `NotFitting` when the channel cannot send or the body does not fit.
        """
        serialise(tx)
        if identity and (known := get_request(tx, identity)) is not None:
            return known
        one = queries.get_thread(tx, thread)
        if one is None:
            raise NoSuchChat("There is no such conversation.")
        if self.sender is None or not self.sender.can_send(tx, one.channel):
            raise NotFitting("thread", "This channel cannot send.")
        if kind not in self.kinds:
            raise NotFitting("kind", f"Choose one of {', '.join(self.kinds)}.")
        if kind in ("text", "reply") and not str(body.get("text") or "").strip():
            raise NotFitting("text", "Write something.")
        if len(str(body.get("text") or "")) > TEXT_CHARS_MAX:
            raise NotFitting("text", f"At most {TEXT_CHARS_MAX} characters.")
        now = to_ms(self.ambient.clock.now())
        request = Request(
            identity or self.ambient.ids.new(), one.channel, one.chat, kind, dict(body), QUEUED, "", "",
            by[:120], "", now, now,
        )  # fmt: skip
        row = {name: getattr(request, name) for name in Request.__dataclass_fields__}
        tx.execute(insert(chat_outbox).values(row | {"body": orjson.dumps(request.body).decode()}))
        job = self.sender.submit(tx, request)
        tx.execute(update(chat_outbox).where(chat_outbox.c.id == request.id).values(job=job))
        return replace(request, job=job)

    def settle(self, tx: Connection, identity: str, state: str, *, key: str = "", said: str = "") -> bool:
        """Say what became of a request; answer whether that was news. What was sent stays sent.

        key: the upstream's key of the message. said: why it failed, or what is known of an uncertain one.
        Errors: `NoSuchChat`.
        """
        known = get_request(tx, identity)
        if known is None:
            raise NoSuchChat("There is no such request.")
        now = to_ms(self.ambient.clock.now())
        stored = SENT if known.state in (ACKED, READ) else known.state
        if state not in _NEXT.get(stored, ()):
            return False
        changed = {"state": state, "key": key[:160] or known.key, "said": said, "changed_ms": now}
        tx.execute(update(chat_outbox).where(chat_outbox.c.id == identity).values(**changed))
        return True


def get_request(tx: Connection, identity: str) -> Request | None:
    """Answer one request with how far it came."""
    row = tx.execute(_requests().where(chat_outbox.c.id == identity)).first()
    return _read(row) if row else None


def list_requests(tx: Connection, chats: Sequence[tuple[str, str]]) -> list[Request]:
    """Answer what was asked to be sent in these chats and is no message there yet, oldest first."""
    o, m = chat_outbox.c, chat_messages.c
    if not chats:
        return []
    of_chat = or_(*(and_(o.channel == channel, o.chat == chat) for channel, chat in chats))
    query = _requests().where(of_chat, or_(m.id.is_(None), m.kind == "unknown"))
    return [_read(row) for row in tx.execute(query.order_by(o.asked_ms, o.id).limit(SHOWN_MAX))]


def _requests() -> Any:
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
