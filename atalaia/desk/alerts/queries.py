"""What is wrong, and what was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, select

from atalaia.store.tables import alerts


@dataclass(frozen=True, slots=True)
class Alert:
    """One cause of trouble. `detail` says what is known, by which evidence, and what to do."""

    cause: str
    title: str
    detail: dict[str, Any]
    raised_ms: int
    resolved_ms: int | None
    times: int
    seq: int


def open_alerts(tx: Connection, *, limit: int = 500) -> list[Alert]:
    """Answer what is wrong now, the oldest first: it waited longest."""
    query = select(alerts).where(alerts.c.resolved_ms.is_(None)).order_by(alerts.c.raised_ms, alerts.c.cause)
    return [_read(row) for row in tx.execute(query.limit(limit))]


def list_alerts(
    tx: Connection, *, state: str = "all", before: tuple[int, str] | None = None, limit: int = 50
) -> list[Alert]:
    """Answer alerts, the latest first. state: `open`, `resolved` or `all`. before: (raised_ms, cause)."""
    query = select(alerts).order_by(alerts.c.raised_ms.desc(), alerts.c.cause.desc()).limit(limit)
    if state == "open":
        query = query.where(alerts.c.resolved_ms.is_(None))
    elif state == "resolved":
        query = query.where(alerts.c.resolved_ms.is_not(None))
    if before is not None:
        moment, cause = before
        later = (alerts.c.raised_ms == moment) & (alerts.c.cause < cause)
        query = query.where((alerts.c.raised_ms < moment) | later)
    return [_read(row) for row in tx.execute(query)]


def count_open(tx: Connection) -> int:
    """Answer how many causes stand."""
    return tx.scalar(select(func.count()).select_from(alerts).where(alerts.c.resolved_ms.is_(None))) or 0


def _read(row: Row[Any]) -> Alert:
    return Alert(
        row.cause,
        row.title,
        orjson.loads(row.detail),
        row.raised_ms,
        row.resolved_ms,
        row.times,
        row.changed_seq,
    )
