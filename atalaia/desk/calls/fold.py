"""Folds the facts of calls into the table `calls`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, String, delete

from atalaia.desk.upsert import upsert_newer
from atalaia.events.model import Event
from atalaia.store.tables import calls

_STATUS = {"call.opened": "open", "call.answered": "oncall"}
_TEXTS = (
    "server", "client", "origin", "origin_type", "destiny", "destiny_type", "dialled", "answered_by",
    "reason", "hangup_by", "dtmf", "recording", "recovered", "linked_guid", "transferred_to", "channel_id",
    "channel", "extra_channel",
)  # fmt: skip
_LENGTHS = {name: kind.length for name in _TEXTS if isinstance(kind := calls.c[name].type, String)}


class Calls:
    """Keeps one row per conversation. Every fact of a call tells all that is known, so the newest wins."""

    name = "calls"
    types: tuple[str, ...] = ("call.opened", "call.answered", "call.ended")

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Fold a batch."""
        rows: dict[str, dict[str, Any]] = {}
        for event in events:
            row = _row(event, orjson.loads(event.body))
            before = rows.get(event.key)
            rows[event.key] = row | {"opened_seq": before["opened_seq"]} if before else row
        upsert_newer(tx, calls, list(rows.values()), first_only=("opened_seq",))

    def reset(self, tx: Connection) -> None:
        """Forget every call; the log is folded again from its beginning."""
        tx.execute(delete(calls))


def _row(event: Event, data: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: _text(data.get(name), _LENGTHS.get(name)) for name in _TEXTS}
    ended = event.type == "call.ended"
    return texts | {
        "guid": event.key,
        "connection": event.connection,
        "callnumber": int(data.get("callnumber") or 0),
        "status": str(data.get("outcome") or "closed") if ended else _STATUS[event.type],
        "opened_ms": int(data.get("opened_ms") or event.occurred_ms),
        "answered_ms": data.get("answered_ms"),
        "ended_ms": (data.get("ended_ms") or event.occurred_ms) if ended else None,
        "ring_s": data.get("ring_s"),
        "talk_s": data.get("talk_s"),
        "forceclose": bool(data.get("forceclose")),
        "opened_seq": event.seq,
        "changed_seq": event.seq,
    }


def _text(value: object, length: int | None) -> str:
    """Answer a column's text: an upstream may send anything, and PostgreSQL refuses what is too long."""
    text = "" if value is None else str(value)
    return text if length is None else text[:length]
