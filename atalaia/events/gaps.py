"""Gaps: intervals in which something may have been missed, folded from their facts into a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from atalaia.events.model import Event
from atalaia.ids import derived_uuid7
from atalaia.store.tables import gaps

_TOLD = ("id", "from_ms", "to_ms", "cause", "planes", "checked", "recovered", "lost")


class Gaps:
    """Keeps the table `gaps`. Facts come in the order of the log; the same fact twice changes nothing."""

    name = "gaps"
    types: tuple[str, ...] = ("gap.opened", "gap.closed")

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Fold a batch."""
        for event in events:
            data = orjson.loads(event.body)
            if event.type == "gap.opened":
                _open(tx, event, data)
            else:
                _close(tx, event, data)

    def reset(self, tx: Connection) -> None:
        """Forget everything; the log is folded again from its beginning."""
        tx.execute(delete(gaps))


@dataclass(frozen=True, slots=True)
class Gap:
    """One gap. to_ms: None while hearing is still lost. closed_ms: None until it was reconciled."""

    id: str
    connection: str
    from_ms: int
    to_ms: int | None
    closed_ms: int | None
    cause: str
    planes: list[str]
    checked: Any
    recovered: Any
    lost: str
    detail: dict[str, Any]


def list_gaps(
    tx: Connection, *, connection: str | None = None, open_only: bool = False,
    before: tuple[int, str] | None = None, limit: int = 50,
) -> list[Gap]:  # fmt: skip
    """Answer gaps, the latest first. before: (from_ms, id) of the last one already known."""
    query = select(gaps).order_by(gaps.c.from_ms.desc(), gaps.c.id.desc()).limit(limit)
    if connection is not None:
        query = query.where(gaps.c.connection == connection)
    if open_only:
        query = query.where(gaps.c.closed_ms.is_(None))
    if before is not None:
        moment, identity = before
        query = query.where((gaps.c.from_ms < moment) | ((gaps.c.from_ms == moment) & (gaps.c.id < identity)))
    return [_read(row) for row in tx.execute(query)]


def _open(tx: Connection, event: Event, data: dict[str, Any]) -> None:
    identity = str(data.get("id") or derived_uuid7(event.occurred_ms, f"gap:{event.seq}"))
    if tx.scalar(select(gaps.c.id).where(gaps.c.id == identity)):
        return
    row = {
        "id": identity,
        "connection": event.key or event.connection,
        "from_ms": int(data.get("from_ms") or event.occurred_ms),
        "to_ms": data.get("to_ms"),
        "cause": str(data.get("cause", "")),
        "planes": _dump(data.get("planes", [])),
        "detail": _dump(_rest(data) | {"opened_seq": event.seq}),
    }
    tx.execute(insert(gaps).values(row))


def _close(tx: Connection, event: Event, data: dict[str, Any]) -> None:
    """Close the gap that is open; what was missed before anybody noticed a loss is a gap of its own."""
    connection = event.key or event.connection
    query = select(gaps.c.id, gaps.c.detail).where(
        gaps.c.connection == connection, gaps.c.closed_ms.is_(None)
    )
    open_rows = [
        row for row in tx.execute(query.order_by(gaps.c.from_ms)) if _opened_seq(row.detail) < event.seq
    ]
    if not open_rows:
        if _closed_by(tx, connection, event.seq):
            return
        _open(tx, event, data)
        open_rows = [tx.execute(query).one()]
    for row in open_rows:
        detail = orjson.loads(row.detail) | _rest(data) | {"closed_seq": event.seq}
        values: dict[str, Any] = {
            "to_ms": int(data.get("to_ms") or event.occurred_ms),
            "closed_ms": event.occurred_ms,
            "checked": _dump(data.get("checked", {})),
            "recovered": _dump(data.get("recovered", {})),
            "lost": str(data.get("lost", "unknown")),
            "detail": _dump(detail),
        }
        tx.execute(update(gaps).where(gaps.c.id == row.id).values(values))


def _closed_by(tx: Connection, connection: str, seq: int) -> bool:
    query = select(gaps.c.detail).where(gaps.c.connection == connection, gaps.c.closed_ms.is_not(None))
    rows = tx.scalars(query.order_by(gaps.c.from_ms.desc()).limit(200))
    return any(orjson.loads(detail).get("closed_seq") == seq for detail in rows)


def _opened_seq(detail: str) -> int:
    return int(orjson.loads(detail).get("opened_seq", 0))


def _rest(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in _TOLD}


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _read(row: Any) -> Gap:
    return Gap(
        row.id, row.connection, row.from_ms, row.to_ms, row.closed_ms, row.cause, orjson.loads(row.planes),
        orjson.loads(row.checked), orjson.loads(row.recovered), row.lost, orjson.loads(row.detail),
    )  # fmt: skip
