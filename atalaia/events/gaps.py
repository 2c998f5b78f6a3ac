"""Gaps: intervals in which something may have been missed, folded from their facts into a table.

A gap is opened by a loss, by our own downtime, or by a look that finds what never came (`gap.opened`).
Hearing that is back ends it (`connection.live`, or an unproven session); only a reconciliation closes it
(`gap.closed`). A routine check that was not preceded by a known gap is a record as well; clean ones of a day
are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, delete, func, insert, select, update

from atalaia.events.model import Event
from atalaia.ids import derived_uuid7
from atalaia.store.tables import gaps

DAY_MS = 86_400_000
ROUTINE = "Routine check"
ORIGINS = ("loss", "downtime", "found", "routine")
_TOLD = (
    "id", "from_ms", "to_ms", "cause", "planes", "checked", "recovered", "lost", "origin", "gaps", "routine",
)  # fmt: skip


class Gaps:
    """Keeps the table `gaps`. Facts come in the order of the log; the same fact twice changes nothing."""

    name = "gaps"
    types: tuple[str, ...] = ("gap.opened", "gap.closed", "connection.live", "connection.suspect")

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Fold a batch."""
        for event in events:
            data = orjson.loads(event.body)
            match event.type:
                case "gap.opened":
                    _open(tx, event, data)
                case "gap.closed" if data.get("routine"):
                    _note_check(tx, event, data)
                case "gap.closed":
                    _close(tx, event, data)
                case "connection.suspect" if data.get("kind") != "unproven":
                    pass
                case _:
                    _end(tx, event)

    def reset(self, tx: Connection) -> None:
        """Forget everything; the log is folded again from its beginning."""
        tx.execute(delete(gaps))


@dataclass(frozen=True, slots=True)
class Reconcile:
    """What should be reconciled: everything between these times. Unix milliseconds.

    gaps: ids of the gaps that this closes; none for the routine check. spans: from when to when each of them
    was. from_ms begins a while before the first gap, because clocks differ and what came last may have been
    lost with it.
    """

    from_ms: int
    to_ms: int
    gaps: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()

    @property
    def routine(self) -> bool:
        """Answer whether no gap is known: it is looked for one."""
        return not self.gaps


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a reconciliation did.

    checked, recovered, left: what was looked at (None: could not be), brought in, and found but not
        recoverable, as name -> number.
    lost: `no` = all was seen and nothing is missing; `yes` = something is known to be lost; else `unknown`.
    unknown: a sentence: what cannot be known, e.g. "calls that began and ended inside of the gap".
    """

    checked: Mapping[str, int | None] = field(default_factory=dict[str, int | None])
    recovered: Mapping[str, int] = field(default_factory=dict[str, int])
    left: Mapping[str, int] = field(default_factory=dict[str, int])
    lost: Literal["no", "yes", "unknown"] = "unknown"
    unknown: str = ""


def closing(
    report: Reconciled, from_ms: int, to_ms: int, *, gaps: Sequence[str] = (), cause: str = "", **more: Any
) -> dict[str, Any]:
    """Answer the data of a `gap.closed`: what every connector says when it has reconciled.

    gaps: the ids it closes. None and no cause: a routine check. None and a cause: every gap opened before it.
    more: what this connector has to say beyond it.
    """
    data: dict[str, Any] = {
        "from_ms": from_ms, "to_ms": to_ms, "checked": dict(report.checked),
        "recovered": dict(report.recovered), "lost": report.lost,
        "unknown": report.unknown, **more,
    }  # fmt: skip
    if report.left:
        data["left"] = dict(report.left)
    if gaps:
        data["gaps"] = list(gaps)
    elif not cause:
        data["routine"] = True
    return data | ({"cause": cause} if cause else {})


@dataclass(frozen=True, slots=True)
class Gap:
    """One gap. to_ms: None while hearing is still lost. closed_ms: None until it was reconciled.

    origin: one of `ORIGINS`. detail: `unknown` what cannot be known, `left` what was found but not
    recoverable.
    """

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
    origin: str = "loss"


@dataclass(frozen=True, slots=True)
class GapFilter:
    """Which gaps. Empty fields do not restrict.

    state: open (hearing is lost, or it was not reconciled yet), closed, lost (something is known to be
    missing).
    origin: one of `ORIGINS`; without one, routine checks that brought nothing in are left out.
    from_ms, to_ms: those that touch this time; to_ms is excluded.
    """

    connection: str | None = None
    state: str = ""
    origin: str = ""
    from_ms: int | None = None
    to_ms: int | None = None


def list_gaps(
    tx: Connection, *, connection: str | None = None, open_only: bool = False,
    before: tuple[int, str] | None = None, limit: int = 50,
) -> list[Gap]:  # fmt: skip
    """Answer gaps, the latest first. before: (from_ms, id) of the last one already known."""
    wanted = GapFilter(connection, "open" if open_only else "")
    return find_gaps(tx, wanted, before=before, limit=limit)


def count_open_gaps(tx: Connection, connections: Sequence[str]) -> dict[str, int]:
    """Answer how many gaps of each of these connections are open; one without any is left out."""
    g = gaps.c
    query = select(g.connection, func.count()).where(g.connection.in_(connections), g.closed_ms.is_(None))
    return {one: int(number) for one, number in tx.execute(query.group_by(g.connection))}


def find_gaps(
    tx: Connection, wanted: GapFilter, *, before: tuple[int, str] | None = None, limit: int = 50
) -> list[Gap]:
    """Answer the gaps that fit, the latest first. before: (from_ms, id) of the last one already known."""
    g = gaps.c
    query = select(gaps).order_by(g.from_ms.desc(), g.id.desc()).limit(limit)
    if wanted.connection is not None:
        query = query.where(g.connection == wanted.connection)
    if wanted.origin:
        query = query.where(g.origin == wanted.origin)
    else:
        query = query.where((g.origin != "routine") | (g.recovered != "{}") | (g.lost == "yes"))
    match wanted.state:
        case "open":
            query = query.where(g.closed_ms.is_(None))
        case "closed":
            query = query.where(g.closed_ms.is_not(None))
        case "lost":
            query = query.where(g.lost == "yes", g.closed_ms.is_not(None))
        case _:
            pass
    if wanted.to_ms is not None:
        query = query.where(g.from_ms < wanted.to_ms)
    if wanted.from_ms is not None:
        query = query.where(g.to_ms.is_(None) | (g.to_ms > wanted.from_ms))
    if before is not None:
        moment, identity = before
        query = query.where((g.from_ms < moment) | ((g.from_ms == moment) & (g.id < identity)))
    return [_read(row) for row in tx.execute(query)]


def _open(tx: Connection, event: Event, data: dict[str, Any]) -> None:
    identity = str(data.get("id") or derived_uuid7(event.occurred_ms, f"gap:{event.seq}"))
    if tx.scalar(select(gaps.c.id).where(gaps.c.id == identity)):
        return
    if _goes_on(tx, event, data):
        return
    row = {
        "id": identity,
        "connection": event.key or event.connection,
        "from_ms": int(data.get("from_ms") or event.occurred_ms),
        "to_ms": data.get("to_ms"),
        "cause": str(data.get("cause", "")),
        "planes": _dump(data.get("planes", [])),
        "origin": str(data.get("origin") or "loss"),
        "detail": _dump(_rest(data) | {"opened_seq": event.seq}),
    }
    tx.execute(insert(gaps).values(row))


def _close(tx: Connection, event: Event, data: dict[str, Any]) -> None:
    """Close the gap that is open; what was missed before anybody noticed a loss is a gap of its own."""
    connection, named = event.key or event.connection, data.get("gaps")
    query = select(gaps.c.id, gaps.c.detail, gaps.c.to_ms).where(
        gaps.c.connection == connection, gaps.c.closed_ms.is_(None)
    )
    if named:
        query = query.where(gaps.c.id.in_(named))
    open_rows = [
        row for row in tx.execute(query.order_by(gaps.c.from_ms)) if _opened_seq(row.detail) < event.seq
    ]
    if not open_rows:
        if named or _marked(tx, connection, "closed_seq", event.seq):
            return
        _open(tx, event, data)
        open_rows = [tx.execute(query).one()]
    for row in open_rows:
        detail = orjson.loads(row.detail) | _rest(data) | {"closed_seq": event.seq}
        values: dict[str, Any] = {
            # Hearing was back before it was reconciled, when the gap says so.
            "to_ms": (row.to_ms if named else None) or int(data.get("to_ms") or event.occurred_ms),
            "closed_ms": event.occurred_ms,
            "checked": _dump(data.get("checked", {})),
            "recovered": _dump(data.get("recovered", {})),
            "lost": str(data.get("lost", "unknown")),
            "detail": _dump(detail),
        }
        tx.execute(update(gaps).where(gaps.c.id == row.id).values(values))


def _goes_on(tx: Connection, event: Event, data: dict[str, Any]) -> bool:
    """Answer whether hearing was lost already: it is the same gap, from the earlier of the two beginnings."""
    g = gaps.c
    connection = event.key or event.connection
    if _marked(tx, connection, "joined_seq", event.seq):
        return True
    running = (g.connection == connection, g.closed_ms.is_(None), g.to_ms.is_(None))
    row = tx.execute(select(g.id, g.from_ms, g.detail).where(*running).order_by(g.from_ms).limit(1)).first()
    if row is None or data.get("to_ms") is not None:
        return False
    detail = orjson.loads(row.detail) | {"joined_seq": event.seq}
    began = min(row.from_ms, int(data.get("from_ms") or event.occurred_ms))
    values = {"from_ms": began, "detail": _dump(detail)}
    tx.execute(update(gaps).where(g.id == row.id).values(values))
    return True


def _end(tx: Connection, event: Event) -> None:
    """Hearing is back: gaps end here, and stay open until they are reconciled."""
    g = gaps.c
    mine = (g.connection == (event.key or event.connection), g.closed_ms.is_(None), g.to_ms.is_(None))
    rows = tx.execute(select(g.id, g.from_ms, g.detail).where(*mine)).all()
    for row in rows:
        if _opened_seq(row.detail) < event.seq:
            ended = {"to_ms": max(row.from_ms, event.occurred_ms)}
            tx.execute(update(gaps).where(g.id == row.id).values(ended))


def _note_check(tx: Connection, event: Event, data: dict[str, Any]) -> None:
    """Write a routine check down; one that found nothing goes on the record of the one before, for a day."""
    g = gaps.c
    connection, found = event.key or event.connection, any(dict(data.get("recovered") or {}).values())
    clean = not found and data.get("lost") == "no"
    query = select(gaps).where(g.connection == connection, g.origin == "routine")
    last = tx.execute(query.order_by(g.from_ms.desc(), g.id.desc()).limit(1)).first()
    detail: dict[str, Any] = orjson.loads(last.detail) if last is not None else {}
    if last is not None and int(detail.get("closed_seq", 0)) >= event.seq:
        return
    values: dict[str, Any] = {
        "to_ms": int(data["to_ms"]),
        "closed_ms": event.occurred_ms,
        "checked": _dump(data.get("checked", {})),
        "recovered": _dump(data.get("recovered", {}) if found else {}),
        "lost": str(data.get("lost", "unknown")),
    }
    checks = 1
    if (
        last is not None
        and clean
        and last.lost == "no"
        and last.recovered == "{}"
        and _joins(last, event, data)
    ):
        checks = int(detail.get("checks", 1)) + 1
    values["detail"] = _dump(_rest(data) | {"closed_seq": event.seq, "checks": checks})
    if checks > 1 and last is not None:
        tx.execute(update(gaps).where(g.id == last.id).values(values))
        return
    identity = derived_uuid7(event.occurred_ms, f"check:{event.seq}")
    row = {"id": identity, "connection": connection, "from_ms": int(data["from_ms"]), "origin": "routine"}
    tx.execute(insert(gaps).values(row | values | {"cause": ROUTINE, "planes": "[]"}))


def _joins(last: Any, event: Event, data: dict[str, Any]) -> bool:
    same_day = last.closed_ms // DAY_MS == event.occurred_ms // DAY_MS
    return same_day and last.to_ms >= int(data["from_ms"])


def _marked(tx: Connection, connection: str, mark: str, seq: int) -> bool:
    """Answer whether a gap says that this event was folded into it."""
    query = select(gaps.c.detail).where(gaps.c.connection == connection)
    rows = tx.scalars(query.order_by(gaps.c.from_ms.desc()).limit(200))
    return any(orjson.loads(detail).get(mark) == seq for detail in rows)


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
        row.origin,
    )  # fmt: skip
