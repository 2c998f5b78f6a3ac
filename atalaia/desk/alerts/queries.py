"""What is wrong, and what was: single causes, alerts with their members, silences, notices."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Row, and_, case, exists, func, or_, select

from atalaia.clock import to_ms
from atalaia.events.log import to_event
from atalaia.events.model import Event
from atalaia.store.alert_tables import (
    alert_acks,
    alert_notices,
    alert_silences,
    incident_members,
    incidents,
)
from atalaia.store.tables import alerts, events

STATES = ("open", "silenced", "resolved", "all")
_HISTORY_MOST = 200
_HISTORY_MEMBERS = 10
_HISTORY = (
    "alert.raised", "alert.resolved", "alert.silenced", "alert.unsilenced", "alert.acknowledged",
    "alert.unacknowledged",
)  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class Silence:
    """Somebody wants to hear nothing of an alert, and of those of the same kind and cause, until a time.

    Or of a connection: then grouping and incident are empty.
    """

    id: str
    grouping: str
    connection: str
    incident: str
    reason: str
    by: str
    from_ms: int
    until_ms: int
    ended_ms: int | None


@dataclass(frozen=True, slots=True)
class Ack:
    """Somebody has taken an alert."""

    by: str
    note: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Incident:
    """An alert as people see it: one cause, however many suffer from it.

    detail: of the member that was told first. turns: how often it came. flapping: it comes and goes.
    over_ms: gone, it is over from then on. standing: members that still stand.
    silence: the one that is in force, if any. ack: who has taken it.
    """

    id: str
    grouping: str
    kind: str
    severity: str
    title: str
    detail: dict[str, Any]
    opened_ms: int
    resolved_ms: int | None
    turns: int
    recent: list[int]
    flapping: bool
    over_ms: int | None
    members: int
    standing: int
    seq: int
    silence: Silence | None = None
    ack: Ack | None = None

    @property
    def since_ms(self) -> int:
        """Answer since when it is so, as who raised it says: some are raised only after minutes."""
        said, ms = self.detail.get("since"), self.detail.get("since_ms")
        if self.turns > 1:  # what is known is of another time
            return self.opened_ms
        if isinstance(said, str):
            with suppress(ValueError):
                ms = to_ms(datetime.fromisoformat(said))
        return min(ms, self.opened_ms) if isinstance(ms, int) and ms > 0 else self.opened_ms

    @property
    def state(self) -> str:
        """Answer `raised`, `silenced` or `resolved`."""
        if self.resolved_ms is not None:
            return "resolved"
        return "silenced" if self.silence is not None else "raised"


@dataclass(frozen=True, slots=True)
class Member:
    """One cause in an alert."""

    cause: str
    title: str
    detail: dict[str, Any]
    connection: str
    raised_ms: int
    resolved_ms: int | None
    times: int


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one channel.

    kind: raised, grew, flapping, reminder, resolved, summary, test. state: held (quiet hours), pending,
    sending, sent, failed, summed (a summary told it), passed (another channel tells it), dropped (its
    channel went). job: that sent it by a session of our own, "" for other channels. receipt: of such a
    message, see `receipts`.
    """

    id: str
    channel: str
    incident: str
    kind: str
    state: str
    title: str
    body: str
    severity: str
    attempts: int
    again: bool
    error: str
    job: str
    created_ms: int
    next_ms: int | None
    done_ms: int | None
    receipt: str = ""


def list_alerts(
    tx: Connection, *, state: str = "all", before: tuple[int, str] | None = None, limit: int = 50
) -> list[Alert]:
    """Answer single causes, the latest first.

    state: `open`, `resolved` or `all`. before: (raised_ms, cause) of the last one already known.
    """
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
    """Answer how many alerts stand."""
    standing = incidents.c.resolved_ms.is_(None)
    return tx.scalar(select(func.count()).select_from(incidents).where(standing)) or 0


# --- alerts with their members ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts a list shows. state: one of `STATES`; the others: "" for any."""

    state: str = "open"
    severity: str = ""
    kind: str = ""
    connection: str = ""
    q: str = ""


def list_incidents(
    tx: Connection, wanted: Wanted, now_ms: int, *, before: tuple[int, str] | None = None, limit: int = 50
) -> list[Incident]:
    """Answer alerts, the latest first. before: (opened_ms, id) of the last one already known."""
    query = select(incidents).where(*_conditions(wanted, now_ms))
    query = query.order_by(incidents.c.opened_ms.desc(), incidents.c.id.desc()).limit(limit)
    if before is not None:
        moment, identity = before
        same = (incidents.c.opened_ms == moment) & (incidents.c.id < identity)
        query = query.where((incidents.c.opened_ms < moment) | same)
    return read_incidents(tx, list(tx.execute(query)), now_ms)


def standing_incidents(tx: Connection, now_ms: int, *, limit: int = 50) -> list[Incident]:
    """Answer the alerts that stand and are not silenced, the oldest first: it waited longest."""
    query = select(incidents).where(*_conditions(Wanted(), now_ms))
    rows = tx.execute(query.order_by(incidents.c.opened_ms, incidents.c.id).limit(limit))
    return read_incidents(tx, list(rows), now_ms)


def count_by_state(tx: Connection, now_ms: int) -> dict[str, int]:
    """Answer how many alerts are open and silenced."""
    counted: dict[str, int] = {}
    for state in ("open", "silenced"):
        query = select(func.count()).select_from(incidents).where(*_conditions(Wanted(state), now_ms))
        counted[state] = tx.scalar(query) or 0
    return counted


def get_incident(tx: Connection, identity: str, now_ms: int) -> Incident | None:
    """Answer one alert."""
    row = tx.execute(select(incidents).where(incidents.c.id == identity)).first()
    return None if row is None else read_incidents(tx, [row], now_ms)[0]


def find_incidents(tx: Connection, wanted: str, now_ms: int) -> list[Incident]:
    """Answer the alerts whose id begins so, two at most: more are as many as two."""
    if len(wanted) < 4:
        return []
    query = select(incidents).where(incidents.c.id.startswith(wanted, autoescape=True))
    return read_incidents(tx, list(tx.execute(query.limit(2))), now_ms)


def standing_causes(tx: Connection, incident: str) -> list[str]:
    """Answer the causes of an alert that still stand."""
    member = incident_members.c
    return list(
        tx.scalars(select(member.cause).where(member.incident == incident, member.resolved_ms.is_(None)))
    )


def members_of(tx: Connection, incident: str, *, limit: int = 500) -> list[Member]:
    """Answer the members of an alert: those that stand first, the oldest first."""
    member = incident_members.c
    query = select(incident_members).where(member.incident == incident)
    query = query.order_by(member.resolved_ms.is_not(None), member.raised_ms, member.cause).limit(limit)
    return [
        Member(
            row.cause, row.title, orjson.loads(row.detail), row.connection, row.raised_ms, row.resolved_ms,
            row.times,
        )
        for row in tx.execute(query)
    ]  # fmt: skip


def history_of(tx: Connection, alert: Incident, members: list[Member]) -> list[Event]:
    """Answer the facts about an alert and its first few members since it began, the latest first.

    Hundreds of members come and go alike: the page lists each of them with its own times.
    """
    keys = [alert.id, *(one.cause for one in members[:_HISTORY_MEMBERS])]
    query = select(events).where(events.c.key.in_(keys), events.c.type.in_(_HISTORY))
    query = query.where(events.c.recorded_ms >= alert.opened_ms).order_by(events.c.seq.desc())
    return [to_event(row) for row in tx.execute(query.limit(_HISTORY_MOST))]


def silences_of(tx: Connection, grouping: str) -> list[Silence]:
    """Answer every silence of a grouping, the latest first."""
    query = select(alert_silences).where(alert_silences.c.grouping == grouping)
    return [_silence(row) for row in tx.execute(query.order_by(alert_silences.c.from_ms.desc()).limit(50))]


def list_silences(
    tx: Connection, now_ms: int, *, in_force: bool | None = None, limit: int = 200
) -> list[Silence]:
    """Answer silences, those in force first, the latest first. in_force: only those, or only the others."""
    query = select(alert_silences)
    if in_force is not None:
        query = query.where(_in_force(now_ms) if in_force else ~_in_force(now_ms))
    first = case((_in_force(now_ms), 0), else_=1)
    query = query.order_by(first, alert_silences.c.from_ms.desc(), alert_silences.c.id).limit(limit)
    return [_silence(row) for row in tx.execute(query)]


def titles_of(tx: Connection, alerts: Iterable[str]) -> dict[str, str]:
    """Answer what these alerts are called, by id."""
    query = select(incidents.c.id, incidents.c.title).where(incidents.c.id.in_(sorted(set(alerts))))
    return {row.id: row.title for row in tx.execute(query)}


def get_silence(tx: Connection, identity: str) -> Silence | None:
    """Answer one silence."""
    row = tx.execute(select(alert_silences).where(alert_silences.c.id == identity)).first()
    return None if row is None else _silence(row)


def list_notices(tx: Connection, *, incident: str = "", channel: str = "", limit: int = 100) -> list[Notice]:
    """Answer notices, the latest first; of one alert or one channel, or all."""
    query = select(alert_notices).order_by(alert_notices.c.created_ms.desc(), alert_notices.c.id.desc())
    if incident:
        query = query.where(alert_notices.c.incident == incident)
    if channel:
        query = query.where(alert_notices.c.channel == channel)
    return [read_notice(row) for row in tx.execute(query.limit(limit))]


def read_notice(row: Row[Any]) -> Notice:
    """Read a row of `alert_notices`."""
    return Notice(
        row.id, row.channel, row.incident, row.kind, row.state, row.title, row.body, row.severity,
        row.attempts, row.again, row.error, row.job, row.created_ms, row.next_ms, row.done_ms,
    )  # fmt: skip


def _conditions(wanted: Wanted, now_ms: int) -> list[ColumnElement[bool]]:
    silenced = _is_silenced(now_ms)
    by_state: dict[str, list[ColumnElement[bool]]] = {
        "open": [incidents.c.resolved_ms.is_(None), ~silenced],
        "silenced": [incidents.c.resolved_ms.is_(None), silenced],
        "resolved": [incidents.c.resolved_ms.is_not(None)],
    }
    conditions = by_state.get(wanted.state, [])
    if wanted.severity:
        conditions.append(incidents.c.severity == wanted.severity)
    if wanted.kind:
        conditions.append(incidents.c.kind == wanted.kind)
    member = and_(incident_members.c.incident == incidents.c.id)
    if wanted.connection:
        conditions.append(exists().where(member, incident_members.c.connection == wanted.connection))
    if wanted.q:
        found = exists().where(member, incident_members.c.title.icontains(wanted.q, autoescape=True))
        in_cause = exists().where(member, incident_members.c.cause.icontains(wanted.q, autoescape=True))
        conditions.append(or_(incidents.c.title.icontains(wanted.q, autoescape=True), found, in_cause))
    return conditions


def _is_silenced(now_ms: int) -> ColumnElement[bool]:
    """Answer whether an alert is: its grouping, or each connection that still suffers (if gone, ever did)."""
    member, silence = incident_members.c, alert_silences.c
    its_own = exists().where(
        _in_force(now_ms), silence.grouping != "", silence.grouping == incidents.c.grouping
    )
    covered = exists().where(
        _in_force(now_ms), silence.connection != "", silence.connection == member.connection
    )
    suffers = and_(
        member.incident == incidents.c.id,
        or_(member.resolved_ms.is_(None), incidents.c.resolved_ms.is_not(None)),
    )
    some = exists().where(suffers, covered)
    return or_(its_own, and_(some, ~exists().where(suffers, ~covered)))


def _in_force(now_ms: int) -> ColumnElement[bool]:
    silence = alert_silences.c
    return and_(silence.ended_ms.is_(None), silence.from_ms <= now_ms, silence.until_ms > now_ms)


def read_incidents(tx: Connection, rows: list[Row[Any]], now_ms: int) -> list[Incident]:
    """Read rows of `incidents` with the silence in force and who has taken them."""
    if not rows:
        return []
    silences = _silences_of(tx, rows, now_ms)
    taken = select(alert_acks).where(alert_acks.c.incident.in_([row.id for row in rows]))
    acks = {row.incident: Ack(row.by, row.note, row.at_ms) for row in tx.execute(taken)}
    return [
        Incident(
            row.id, row.grouping, row.kind, row.severity, row.title, orjson.loads(row.detail), row.opened_ms,
            row.resolved_ms, row.turns, orjson.loads(row.recent), row.flapping, row.over_ms, row.members,
            row.standing, row.changed_seq, silences.get(row.id), acks.get(row.id),
        )
        for row in rows
    ]  # fmt: skip


def _silences_of(tx: Connection, rows: list[Row[Any]], now_ms: int) -> dict[str, Silence]:
    """Answer what silences each of these alerts, by id; of several connections the one that ends first."""
    in_force = select(alert_silences).where(_in_force(now_ms)).order_by(alert_silences.c.until_ms)
    known = [_silence(row) for row in tx.execute(in_force)]
    by_grouping = {one.grouping: one for one in known if one.grouping}
    by_connection = {one.connection: one for one in known if one.connection}
    found = {row.id: by_grouping[row.grouping] for row in rows if row.grouping in by_grouping}
    if not by_connection:
        return found
    gone = {row.id: row.resolved_ms is not None for row in rows}
    member = incident_members.c
    suffering: dict[str, set[str]] = {}
    query = select(member.incident, member.connection, member.resolved_ms).where(member.incident.in_(gone))
    for row in tx.execute(query):
        if row.resolved_ms is None or gone[row.incident]:
            suffering.setdefault(row.incident, set()).add(row.connection)
    for incident, connections in suffering.items():
        if incident not in found and connections <= by_connection.keys():
            found[incident] = min((by_connection[one] for one in connections), key=lambda one: one.until_ms)
    return found


def _silence(row: Row[Any]) -> Silence:
    return Silence(
        row.id, row.grouping, row.connection, row.incident, row.reason, row.by, row.from_ms, row.until_ms,
        row.ended_ms,
    )  # fmt: skip


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
