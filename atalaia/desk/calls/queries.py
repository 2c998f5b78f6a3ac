"""Calls for board, list, page, plots and exports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Select, case, cast, func, or_, select

from atalaia.events.log import to_event
from atalaia.events.model import Event
from atalaia.store.tables import calls, events

LIVE = ("open", "oncall")
_HOUR_MS = 3_600_000
_HEARD_MAX = 500


@dataclass(frozen=True, slots=True)
class Call:
    """One conversation. status: open (rings), oncall (talks), closed, unanswered. Durations in seconds."""

    guid: str
    connection: str
    server: str
    client: str
    callnumber: int
    origin: str
    origin_type: str
    destiny: str
    destiny_type: str
    dialled: str
    answered_by: str
    status: str
    opened_ms: int
    answered_ms: int | None
    ended_ms: int | None
    ring_s: int | None
    talk_s: int | None
    reason: str
    hangup_by: str
    dtmf: str
    recording: str
    recovered: str
    forceclose: bool
    linked_guid: str
    transferred_to: str
    channel_id: str
    channel: str
    extra_channel: str
    opened_seq: int
    changed_seq: int


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls. Empty fields do not restrict. number: caller, callee, dialled or who answered."""

    connection: str | None = None
    client: str | None = None
    statuses: tuple[str, ...] = ()
    number: str = ""
    from_ms: int | None = None
    to_ms: int | None = None
    recovered_only: bool = False


@dataclass(frozen=True, slots=True)
class Hour:
    """The calls that began in one hour; sums of seconds are over those that were answered."""

    hour_ms: int
    calls: int
    answered: int
    unanswered: int
    ring_s: int
    talk_s: int


def list_calls(
    tx: Connection, wanted: CallFilter, *, before: tuple[int, str] | None = None, limit: int = 50
) -> list[Call]:
    """Answer calls, the latest first. before: (opened_ms, guid) of the last one already known."""
    query = select(calls).where(*_conditions(wanted)).order_by(calls.c.opened_ms.desc(), calls.c.guid.desc())
    if before is not None:
        moment, guid = before
        same = (calls.c.opened_ms == moment) & (calls.c.guid < guid)
        # The first half alone lets the index be used.
        query = query.where(calls.c.opened_ms <= moment, (calls.c.opened_ms < moment) | same)
    return [_read(row) for row in tx.execute(query.limit(limit))]


def live_calls(tx: Connection, *, client: str | None = None, connection: str | None = None) -> list[Call]:
    """Answer what rings and talks now, in the order in which it began."""
    query = select(calls).where(calls.c.status.in_(LIVE)).order_by(calls.c.opened_ms, calls.c.guid)
    if client is not None:
        query = query.where(calls.c.client == client)
    if connection is not None:
        query = query.where(calls.c.connection == connection)
    return [_read(row) for row in tx.execute(query.limit(2_000))]


def just_ended(tx: Connection, *, since_ms: int, limit: int = 50) -> list[Call]:
    """Answer the calls that ended since a moment, the latest first; those longer than a day are left out."""
    query = select(calls).where(calls.c.opened_ms >= since_ms - 24 * _HOUR_MS, calls.c.ended_ms >= since_ms)
    return [_read(row) for row in tx.execute(query.order_by(calls.c.ended_ms.desc()).limit(limit))]


def get_call(tx: Connection, guid: str) -> Call | None:
    """Answer one call."""
    row = tx.execute(select(calls).where(calls.c.guid == guid)).first()
    return _read(row) if row else None


def linked_calls(tx: Connection, call: Call) -> list[Call]:
    """Answer the other parts of the same conversation: before and after a transfer."""
    root = call.linked_guid or call.guid
    same = or_(calls.c.linked_guid == root, calls.c.guid == root)
    query = select(calls).where(same, calls.c.guid != call.guid).order_by(calls.c.opened_ms).limit(50)
    return [_read(row) for row in tx.execute(query)]


def timeline(tx: Connection, call: Call) -> list[Event]:
    """Answer the facts of a call and what was heard of its channel, in order of the log."""
    keys = [key for key in {call.guid, call.channel_id} if key]
    if call.extra_channel:
        keys.append(call.extra_channel)
    query = select(events).where(events.c.key.in_(keys))
    rows = tx.execute(query.order_by(events.c.seq).limit(_HEARD_MAX))
    return [to_event(row) for row in rows]


def hours(tx: Connection, wanted: CallFilter) -> list[Hour]:
    """Answer figures per hour of the clock in UTC; hours without calls are missing."""
    opened = calls.c.opened_ms
    # Whole numbers on both databases: PostgreSQL's `/` of bigints truncates, SQLite's too.
    hour = (opened - opened % _HOUR_MS).label("hour")
    answered = calls.c.answered_ms.is_not(None)
    query = (
        select(
            hour,
            func.count().label("calls"),
            func.sum(case((answered, 1), else_=0)).label("answered"),
            func.sum(case((calls.c.status == "unanswered", 1), else_=0)).label("unanswered"),
            cast(func.sum(case((answered, func.coalesce(calls.c.ring_s, 0)), else_=0)), BigInteger).label(
                "ring_s"
            ),
            cast(func.sum(func.coalesce(calls.c.talk_s, 0)), BigInteger).label("talk_s"),
        )
        .where(*_conditions(wanted))
        .group_by("hour")
        .order_by("hour")
    )
    return [
        Hour(int(r.hour), int(r.calls), int(r.answered), int(r.unanswered), int(r.ring_s), int(r.talk_s))
        for r in tx.execute(query)
    ]


def clients(tx: Connection) -> list[str]:
    """Answer the clients that had calls, by hopping over the index."""
    found: list[str] = []
    last: str | None = None
    while len(found) < 1_000:
        query: Select[Any] = select(func.min(calls.c.client))
        last = tx.scalar(query.where(calls.c.client > last) if last is not None else query)
        if last is None:
            break
        found.append(last)
    return [one for one in found if one]


def _conditions(wanted: CallFilter) -> Iterator[Any]:
    c = calls.c
    if wanted.connection is not None:
        yield c.connection == wanted.connection
    if wanted.client is not None:
        yield c.client == wanted.client
    if wanted.statuses:
        yield c.status.in_(wanted.statuses)
    if wanted.from_ms is not None:
        yield c.opened_ms >= wanted.from_ms
    if wanted.to_ms is not None:
        yield c.opened_ms < wanted.to_ms
    if wanted.recovered_only:
        yield c.recovered != ""
    if wanted.number:
        places = (c.origin, c.destiny, c.dialled, c.answered_by)
        yield or_(*(place.contains(wanted.number, autoescape=True) for place in places))


_FIELDS = tuple(Call.__dataclass_fields__)


def _read(row: Row[Any]) -> Call:
    values = row._mapping  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's public name for it
    return Call(**{name: values[name] for name in _FIELDS})
