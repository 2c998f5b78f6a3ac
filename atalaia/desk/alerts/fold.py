"""Folds alerts into the table `alerts`: one row per cause, however often it is raised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select, update

from atalaia.desk.upsert import upsert_newer
from atalaia.events.model import Event
from atalaia.store.tables import alerts


class Alerts:
    """Keeps what is wrong now, and since when."""

    name = "alerts"
    types: tuple[str, ...] = ("alert.raised", "alert.resolved")

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Fold a batch."""
        for event in events:
            cause = event.key[:200]
            row = tx.execute(select(alerts).where(alerts.c.cause == cause)).first()
            if row is not None and row.changed_seq >= event.seq:
                continue
            if event.type == "alert.raised":
                upsert_newer(tx, alerts, [_raised(event, cause, row)])
            elif row is not None and row.resolved_ms is None:
                values = {"resolved_ms": event.occurred_ms, "changed_seq": event.seq}
                tx.execute(update(alerts).where(alerts.c.cause == cause).values(values))

    def reset(self, tx: Connection) -> None:
        """Forget every alert; the log is folded again from its beginning."""
        tx.execute(delete(alerts))


def _raised(event: Event, cause: str, before: Any) -> dict[str, Any]:
    """Answer the row: raised again while it stands, an alert keeps its beginning and counts."""
    data = orjson.loads(event.body)
    stood = before if before is not None and before.resolved_ms is None else None
    detail: dict[str, Any] = data.get("detail") or {}
    if event.connection:
        detail = {**detail, "connection": event.connection}
    return {
        "cause": cause,
        "title": str(data.get("title") or cause),
        "detail": orjson.dumps(detail).decode(),
        "raised_ms": stood.raised_ms if stood else event.occurred_ms,
        "resolved_ms": None,
        "times": stood.times + 1 if stood else 1,
        "changed_seq": event.seq,
    }
