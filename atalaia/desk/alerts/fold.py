"""Folds alerts: `alerts` has a row per cause, `incidents` one per alert as people see it, with members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from atalaia.desk.alerts.damping import Damping
from atalaia.desk.alerts.kinds import About, about
from atalaia.desk.upsert import upsert_newer
from atalaia.events.model import Event
from atalaia.ids import derived_uuid7
from atalaia.store.alert_tables import incident_members, incidents
from atalaia.store.tables import alerts
from atalaia.store.upsert import upsert


class Alerts:
    """Keeps what is wrong now, since when, and what has one cause."""

    name = "alerts"
    types: tuple[str, ...] = ("alert.raised", "alert.resolved")

    def __init__(self, damping: Damping | None = None) -> None:
        self._damping = damping or Damping()

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Fold a batch."""
        touched: dict[str, int] = {}
        for event in events:
            cause = event.key[:200]
            row = tx.execute(select(alerts).where(alerts.c.cause == cause)).first()
            if row is not None and row.changed_seq >= event.seq:
                continue
            if event.type == "alert.raised":
                data = orjson.loads(event.body)
                upsert_newer(tx, alerts, [_raised(event, data, cause, row)])
                touched[_join(tx, event, data, cause, self._damping)] = event.seq
            elif row is not None and row.resolved_ms is None:
                values = {"resolved_ms": event.occurred_ms, "changed_seq": event.seq}
                tx.execute(update(alerts).where(alerts.c.cause == cause).values(values))
                if incident := _leave(tx, event, cause, self._damping):
                    touched[incident] = event.seq
        for incident, seq in touched.items():
            _count(tx, incident, seq)

    def reset(self, tx: Connection) -> None:
        """Forget every alert; the log is folded again from its beginning."""
        for table in (alerts, incidents, incident_members):
            tx.execute(delete(table))


def _raised(event: Event, data: dict[str, Any], cause: str, before: Any) -> dict[str, Any]:
    """Answer the row: raised again while it stands, an alert keeps its beginning and counts."""
    stood = before if before is not None and before.resolved_ms is None else None
    return {
        "cause": cause,
        "title": str(data.get("title") or cause),
        "detail": _detail(event, data),
        "raised_ms": stood.raised_ms if stood else event.occurred_ms,
        "resolved_ms": None,
        "times": stood.times + 1 if stood else 1,
        "changed_seq": event.seq,
    }


def _detail(event: Event, data: dict[str, Any]) -> str:
    detail: dict[str, Any] = data.get("detail") or {}
    return orjson.dumps({**detail, "connection": event.connection} if event.connection else detail).decode()


def _join(tx: Connection, event: Event, data: dict[str, Any], cause: str, damping: Damping) -> str:
    """Make the cause a member of its alert, which begins or comes back with it; answer the alert's id.

    A cause that stands keeps its alert, also when its words, and so its grouping, have changed.
    """
    what = about(cause, data, event.connection)
    alert = _of_standing(tx, cause) or _of_grouping(tx, what.grouping, event.recorded_ms)
    identity = alert.id if alert is not None else _begin(tx, event, data, what)
    if alert is not None and alert.resolved_ms is not None:
        _come_back(tx, alert, event.recorded_ms, damping)
    key = (incident_members.c.incident == identity, incident_members.c.cause == cause)
    before = tx.execute(select(incident_members).where(*key)).first()
    stood = before is not None and before.resolved_ms is None
    row = {
        "incident": identity, "cause": cause, "title": str(data.get("title") or cause),
        "detail": _detail(event, data), "connection": event.connection,
        "raised_ms": before.raised_ms if before is not None and stood else event.occurred_ms,
        "resolved_ms": None, "times": before.times + 1 if before is not None else 1, "changed_seq": event.seq,
    }  # fmt: skip
    upsert(tx, incident_members, row, ("incident", "cause"))
    return identity


def _of_standing(tx: Connection, cause: str) -> Row[Any] | None:
    member = incident_members.c
    joined = incidents.join(incident_members, member.incident == incidents.c.id)
    query = select(incidents).select_from(joined).where(member.cause == cause, member.resolved_ms.is_(None))
    return tx.execute(query.limit(1)).first()


def _of_grouping(tx: Connection, grouping: str, now_ms: int) -> Row[Any] | None:
    """Answer the alert of this grouping that stands or is not over yet."""
    query = select(incidents).where(incidents.c.grouping == grouping)
    last = tx.execute(query.order_by(incidents.c.opened_ms.desc(), incidents.c.id.desc()).limit(1)).first()
    if last is None or last.resolved_ms is None:
        return last
    return last if now_ms < (last.over_ms or 0) else None


def _begin(tx: Connection, event: Event, data: dict[str, Any], what: About) -> str:
    identity = derived_uuid7(event.recorded_ms, f"incident:{event.seq}")
    row = {
        "id": identity, "grouping": what.grouping, "kind": what.kind, "severity": what.severity,
        "title": str(data.get("title") or event.key), "detail": _detail(event, data),
        "opened_ms": event.recorded_ms, "resolved_ms": None, "turns": 1, "recent": _dump([event.recorded_ms]),
        "flapping": False, "over_ms": None, "members": 0, "standing": 0, "changed_seq": event.seq,
    }  # fmt: skip
    tx.execute(insert(incidents).values(row))
    return identity


def _come_back(tx: Connection, alert: Row[Any], now_ms: int, damping: Damping) -> None:
    recent = [*orjson.loads(alert.recent), now_ms][-damping.flap_turns :]
    values = {
        "resolved_ms": None, "over_ms": None, "turns": alert.turns + 1, "recent": _dump(recent),
        "flapping": damping.flaps(recent),
    }  # fmt: skip
    tx.execute(update(incidents).where(incidents.c.id == alert.id).values(values))


def _leave(tx: Connection, event: Event, cause: str, damping: Damping) -> str:
    """Mark the member as well again; answer its alert, which goes with the last one. "" = it has none."""
    alert = _of_standing(tx, cause)
    if alert is None:  # raised by an older version, which knew no alerts of several causes
        return ""
    member = (incident_members.c.incident == alert.id, incident_members.c.cause == cause)
    values = {"resolved_ms": event.occurred_ms, "changed_seq": event.seq}
    tx.execute(update(incident_members).where(*member).values(values))
    left = select(incident_members.c.cause).where(
        incident_members.c.incident == alert.id, incident_members.c.resolved_ms.is_(None)
    )
    if tx.execute(left.limit(1)).first() is None:
        went = {
            "resolved_ms": event.recorded_ms,
            "over_ms": damping.over_at(event.recorded_ms, orjson.loads(alert.recent)),
        }
        tx.execute(update(incidents).where(incidents.c.id == alert.id).values(went))
    return alert.id


def _count(tx: Connection, incident: str, seq: int) -> None:
    mine = incident_members.c.incident == incident
    resolved = func.count(incident_members.c.resolved_ms)
    total, gone = tx.execute(select(func.count(), resolved).select_from(incident_members).where(mine)).one()
    values = {"members": total, "standing": total - gone, "changed_seq": seq}
    tx.execute(update(incidents).where(incidents.c.id == incident).values(values))


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()
