"""Reads what facts tell of messages into rows; pure, and forgiving: a fact is never worth a crash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson
from sqlalchemy import String, Table

from atalaia.events.fit import fit_text
from atalaia.events.model import Event
from atalaia.ids import derived_uuid7
from atalaia.store.search import words_of

UNKNOWN, CIPHERTEXT, CONTENT, NOTICE, REVOKED = "unknown", "ciphertext", "content", "notice", "revoked"
TO_READ = (CIPHERTEXT, CONTENT)  # what moves a conversation up and counts as unread
SHOWN = (CIPHERTEXT, CONTENT, NOTICE, REVOKED)
Row = dict[str, Any]
Data = Mapping[str, Any]


def message_id(channel: str, message: str) -> str:
    """Answer our id of a message, the same in every replay."""
    return derived_uuid7(0, f"message:{channel}:{message}")


def thread_id(channel: str, contact: str) -> str:
    """Answer the id of what a channel and a contact, or group, talk: the key of their facts."""
    return derived_uuid7(0, f"conversation:{channel}:{contact}")


def text(value: Any, length: int | None = None) -> str:
    """Answer a text that fits a column of this length."""
    whole = value if isinstance(value, str) else "" if value is None else str(value)
    return whole if length is None else whole[:length]


def number(value: Any) -> int | None:
    """Answer a whole number, None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping(value: Any) -> dict[str, Any]:
    """Answer an object, an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def dumped(value: Any) -> str:
    """Answer JSON as text, `""` for nothing."""
    return orjson.dumps(value).decode() if value else ""


def loaded(value: str, kind: type[Any]) -> Any:
    """Answer what `dumped` wrote; an empty one of its kind for `""`."""
    return orjson.loads(value) if value else kind()


def fit(table: Table, row: Row) -> Row:
    """Answer a row whose texts fit: an upstream may send anything, and PostgreSQL refuses what does not."""
    texts = {column.name: column.type.length for column in table.c if isinstance(column.type, String)}
    return row | {
        name: fit_text(row[name], len(row[name]) if length is None else length)
        for name, length in texts.items()
    }


def new_message(event: Event, data: Data) -> Row:
    """Answer the row of a message of which nothing is known but that it is."""
    channel = text(data.get("channel")) or event.connection
    return {
        "id": message_id(channel, text(data.get("message"))), "channel": channel, "chat": "",
        "message": text(data.get("message")), "key": text(data.get("key")), "serialized": "",
        "from_me": bool(data.get("from_me")), "kind": UNKNOWN, "type": "", "author": "", "author_name": "",
        "text": "", "media": "", "quoted": "", "more": "", "sent_ms": event.occurred_ms,
        "heard_ms": event.recorded_ms, "edited_ms": None, "revoked_ms": None, "history": "", "ack": None,
        "recovered": event.late, "words": "", "first_seq": event.seq, "news_seq": event.seq, "changed_seq": 0,
    }  # fmt: skip


def told(row: Row, event: Event, data: Data) -> Row:
    """Answer the row after a fact that tells a message: received, sent, noticed or revised.

    What could be read is never taken away: not by ciphertext that comes late, and not by a deletion.
    """
    row = dict(row)
    kind = text(data.get("kind"))
    author = mapping(data.get("author"))
    if not row["chat"]:
        row["chat"] = text(data.get("chat"))
    for name, value in (
        ("serialized", data.get("serialized")), ("author", author.get("wid")),
        ("author_name", author.get("name")), ("quoted", data.get("quoted")),
    ):  # fmt: skip
        row[name] = text(value) or row[name]
    if kind == REVOKED:
        row["revoked_ms"] = min(event.occurred_ms, row["revoked_ms"] or event.occurred_ms)
        if row["kind"] == UNKNOWN and row["chat"]:
            row["kind"] = REVOKED
    elif kind == "edit":
        _say(row, number(data.get("edited_ms")) or event.occurred_ms, data)
        row["edited_ms"] = max(number(data.get("edited_ms")) or event.occurred_ms, row["edited_ms"] or 0)
        _is_news(row, event, CONTENT)
    elif kind in (CONTENT, NOTICE):
        row["sent_ms"] = number(data.get("occurred_at")) or row["sent_ms"]
        _say(row, row["sent_ms"], data)
        _is_news(row, event, kind)
    elif row["kind"] in (UNKNOWN, REVOKED):
        row["sent_ms"] = number(data.get("occurred_at")) or row["sent_ms"]
        row["type"] = text(data.get("type"))
        _is_news(row, event, CIPHERTEXT)
    row["ack"] = best_ack(row["ack"], number(data.get("ack")))
    return row


def best_ack(known: int | None, level: int | None) -> int | None:
    """Answer the higher level: from 1 on the maximum, else a failure, else 0, which is only "waiting".

    Source: contract WhatsApp, section 3.3: levels come early, late, repeated and out of order.
    """
    levels = [one for one in (known, level) if one is not None]
    above, below = [one for one in levels if one > 0], [one for one in levels if one < 0]
    return max(above or below or levels, default=None)


def versions(row: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Answer what a message said before its present text, oldest first, as (since, text)."""
    return [(int(at), str(said)) for at, said in loaded(row["history"], list)]


def _is_news(row: Row, event: Event, kind: str) -> None:
    """It can be read, or be seen that it cannot, from this event on."""
    if row["kind"] == UNKNOWN:
        row["heard_ms"], row["recovered"] = event.recorded_ms, event.late
    if row["kind"] != kind and row["kind"] != CONTENT:
        row["kind"], row["news_seq"] = kind, event.seq


def _say(row: Row, at_ms: int, data: Data) -> None:
    """Put a text in its place among what the message said over time, whichever of them came first."""
    for name in ("media", "more"):
        row[name] = dumped(data.get(name)) or row[name]
    row["type"] = text(data.get("type")) or row["type"]
    said = versions(row)
    if row["kind"] in (CONTENT, NOTICE) or row["edited_ms"]:
        said.append((row["edited_ms"] or row["sent_ms"], row["text"]))
    said.append((at_ms, text(data.get("text"))))
    kept: list[tuple[int, str]] = []
    for one in sorted(said, key=lambda one: one[0]):
        if not kept or kept[-1][1] != one[1]:
            kept.append(one)
    row["text"] = kept[-1][1]
    row["history"] = dumped(kept[:-1])
    filename = text(mapping(data.get("media")).get("filename"))
    row["words"] = words_of(filename, *(one for _, one in reversed(kept)))
