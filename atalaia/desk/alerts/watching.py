"""What should stand as an alert by what the tables say, held against what stands; the difference is facts.

Jobs, deliveries and sessions raise their own alerts in the transaction that makes them true. What follows
from how things stand, and from for how long, is looked for here: nothing of it can be missed by a crash or
stay raised, because each look compares all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, exists, func, or_, select

from atalaia.ambient import Ambient
from atalaia.clock import rfc3339, to_ms
from atalaia.events.grouping import same
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.store.alert_tables import alert_acks, alert_channels, alert_notices, incident_members
from atalaia.store.store import serialise
from atalaia.store.tables import alerts, connection_states, connections, cursors, events, gaps, workers

PRODUCER = "alerts.watch"
# Not heard for so long: a person should look, though the hub goes on trying.
OPEN_MS = 900_000
# What is over and cannot be mended stands until somebody took it, at most so long.
KEPT_MS = 86_400_000
# Tries in vain after which a channel itself is an alert.
TRIES = 3
TRYING = "The hub goes on trying. Look whether the other side runs and can be reached from here."
RECONCILING = (
    "It is heard again, but what was missed was not looked for yet. If it stays so, look at the hub's log."
)
LOST = "What could be recovered was. Ask the other side about the rest, then take this alert."
KINDS = ("person", "open", "gap", "worker", "channel")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An alert that should stand. Fields as in the fact `alert.raised`."""

    cause: str
    title: str
    known: str
    since_ms: int
    todo: str
    grouping: str
    connection: str = ""
    evidence: dict[str, Any] = field(default_factory=dict[str, Any])


def watch(tx: Connection, ambient: Ambient, open_ms: int = OPEN_MS) -> int:
    """Raise and resolve what differs; answer how many facts that were. 0 as well while the fold is behind.

    open_ms: a gap that is open for so long is an alert.
    """
    serialise(tx)
    if not is_folded(tx):
        return 0
    now = to_ms(ambient.clock.now())
    wanted = {one.cause: one for one in wanted_now(tx, now, open_ms)}
    standing = _standing(tx)
    count = 0
    for cause, one in wanted.items():
        if cause not in standing or _changed(one, *standing[cause]):
            fact = Fact("alert.raised", cause, now, _data(one))
            append_facts(tx, ambient, PRODUCER, [fact], connection=one.connection)
            count += 1
    for cause in sorted(set(standing) - set(wanted)):
        fact = Fact("alert.resolved", cause, now, {"cause": cause})
        connection = str(standing[cause][1].get("connection") or "")
        append_facts(tx, ambient, PRODUCER, [fact], connection=connection)
        count += 1
    return count


def is_folded(tx: Connection) -> bool:
    """Answer whether the tables of alerts show every alert in the log."""
    kinds = ("alert.raised", "alert.resolved")
    last = max(tx.scalar(select(func.max(events.c.seq)).where(events.c.type == one)) or 0 for one in kinds)
    return (tx.scalar(select(cursors.c.seq).where(cursors.c.reaction == "alerts")) or 0) >= last


def differs(tx: Connection, now_ms: int, open_ms: int = OPEN_MS) -> bool:
    """Answer whether `watch` would find something to do; a look that keeps no writer waiting."""
    if not is_folded(tx):
        return False
    wanted, standing = {one.cause: one for one in wanted_now(tx, now_ms, open_ms)}, _standing(tx)
    return wanted.keys() != standing.keys() or any(
        _changed(one, *standing[cause]) for cause, one in wanted.items()
    )


def wanted_now(tx: Connection, now_ms: int, open_ms: int) -> Iterator[Wanted]:
    """Answer every alert that should stand now by what the tables say."""
    seen = _in_trouble(tx, now_ms)
    yield from (_person(one) for one in seen.values() if one.state == "needs_person")
    yield from _not_heard(tx, seen, now_ms - open_ms)
    taken = _taken(tx)
    yield from (one for one in _lost_gaps(tx, seen, now_ms) if one.cause not in taken)
    yield from (one for one in _lost_workers(tx, now_ms) if one.cause not in taken)
    yield from _channels_down(tx, now_ms)


def _standing(tx: Connection) -> dict[str, tuple[str, dict[str, Any]]]:
    ours = or_(*(alerts.c.cause.startswith(f"{kind}:") for kind in KINDS))
    query = select(alerts.c.cause, alerts.c.title, alerts.c.detail).where(
        alerts.c.resolved_ms.is_(None), ours
    )
    return {row.cause: (row.title, orjson.loads(row.detail)) for row in tx.execute(query)}


@dataclass(frozen=True, slots=True)
class _Seen:
    """A connection that should be on, as far as it matters here; of thousands only the few in trouble."""

    id: str
    connector: str
    name: str
    state: str
    since_ms: int
    reason: str
    attempt: int
    heard_ms: int | None
    evidence: dict[str, Any]


def _in_trouble(tx: Connection, now_ms: int) -> dict[str, _Seen]:
    c, s = connections.c, connection_states.c
    gap = exists().where(
        gaps.c.connection == c.id, or_(gaps.c.closed_ms.is_(None), gaps.c.closed_ms > now_ms - KEPT_MS)
    )
    query = select(
        c.id,
        c.connector,
        c.name,
        c.changed_ms,
        s.state,
        s.since_ms,
        s.reason,
        s.attempt,
        s.heard_ms,
        s.evidence,
    ).select_from(connections.outerjoin(connection_states, s.connection == c.id))
    query = query.where(c.deleted_ms.is_(None), c.desired == "on", or_(s.state == "needs_person", gap))
    return {
        row.id: _Seen(
            row.id, row.connector, row.name, row.state or "unknown", row.since_ms or row.changed_ms,
            row.reason or "", row.attempt or 0, row.heard_ms, orjson.loads(row.evidence or "{}"),
        )
        for row in tx.execute(query.order_by(c.id))
    }  # fmt: skip


def _changed(one: Wanted, title: str, detail: dict[str, Any]) -> bool:
    """Answer whether an alert that stands has to be told anew: what is known has become another thing."""
    return title != one.title or detail.get("known") != one.known


def _data(one: Wanted) -> dict[str, Any]:
    detail = {"known": one.known, "since": rfc3339(one.since_ms), "evidence": one.evidence, "todo": one.todo}
    return {"cause": one.cause, "title": one.title, "detail": detail, "grouping": one.grouping}


def _person(one: _Seen) -> Wanted:
    evidence = {"state": one.state, "reason": one.reason, "attempt": one.attempt, "heard_ms": one.heard_ms}
    ask = str(one.evidence.get("ask") or "")
    return Wanted(
        f"person:{one.id}", f"{one.name} needs a person.", one.reason, one.since_ms,
        ask or "Open the connection, correct what is said there, and save it; it then tries again.",
        same("person", one.connector, one.reason.replace(one.name, "…")), one.id, evidence | one.evidence,
    )  # fmt: skip


def _not_heard(tx: Connection, seen: dict[str, _Seen], before_ms: int) -> Iterator[Wanted]:
    """Answer connections with a gap that is open for too long; what needs a person says so already."""
    query = select(
        gaps.c.connection, func.min(gaps.c.from_ms).label("from_ms"), func.min(gaps.c.cause).label("cause")
    )
    query = query.where(gaps.c.closed_ms.is_(None)).group_by(gaps.c.connection)
    for row in tx.execute(query):
        one = seen.get(row.connection)
        if one is None or one.state == "needs_person" or row.from_ms > before_ms:
            continue
        heard = one.state in ("live", "suspect")
        todo = (
            RECONCILING
            if heard else TRYING
        )  # fmt: skip
        reason = row.cause if heard else one.reason or row.cause
        evidence = {
            "state": one.state, "reason": one.reason, "gap": row.cause, "from_ms": row.from_ms,
            "attempt": one.attempt, "heard_ms": one.heard_ms,
        }  # fmt: skip
        yield Wanted(
            f"open:{one.id}", f"{one.name} is not heard, or not fully.", row.cause, row.from_ms, todo,
            same("open", one.connector, reason.replace(one.name, "…")), one.id, evidence,
        )  # fmt: skip


def _lost_gaps(tx: Connection, seen: dict[str, _Seen], now_ms: int) -> Iterator[Wanted]:
    query = select(gaps).where(gaps.c.closed_ms > now_ms - KEPT_MS, gaps.c.lost == "yes")
    for row in tx.execute(query.order_by(gaps.c.closed_ms)):
        one = seen.get(row.connection)
        if one is None:
            continue
        evidence = {
            "from_ms": row.from_ms, "to_ms": row.to_ms, "cause": row.cause,
            "checked": orjson.loads(row.checked), "recovered": orjson.loads(row.recovered),
        }  # fmt: skip
        yield Wanted(
            f"gap:{row.id}", f"Something of {one.name} was lost.", row.cause, row.from_ms,
            LOST,
            same("gap", one.connector, row.cause.replace(one.name, "…")), one.id, evidence,
        )  # fmt: skip


def _lost_workers(tx: Connection, now_ms: int) -> Iterator[Wanted]:
    """Answer workers that were lost and did not come back, and whose host has no later worker."""
    alive = list(tx.execute(select(workers.c.host, workers.c.started_ms).where(workers.c.gone_ms.is_(None))))
    told = select(events.c.key, func.max(events.c.recorded_ms).label("at_ms"))
    told = told.where(events.c.type == "worker.lost", events.c.recorded_ms > now_ms - KEPT_MS).group_by(
        events.c.key
    )
    lost = {row.key: row.at_ms for row in tx.execute(told)}
    query = select(workers).where(workers.c.id.in_(list(lost)), workers.c.gone_ms.is_not(None))
    for row in tx.execute(query.order_by(workers.c.id)):
        if any(one.host == row.host and one.started_ms > row.seen_ms for one in alive):
            continue
        evidence = {
            "host": row.host,
            "pid": row.pid,
            "seen_ms": row.seen_ms,
            "version": row.version,
            "others_alive": len(alive),
        }
        yield Wanted(
            f"worker:{row.id}", f"Worker {row.host} stopped showing signs of life.",
            "The other workers took over what it did.", row.seen_ms,
            "Look at the machine and at the log of the worker there, and start it again.",
            same("worker", row.host), "", evidence,
        )  # fmt: skip


def _channels_down(tx: Connection, now_ms: int) -> Iterator[Wanted]:
    """Answer channels to which nothing gets through: who would be told by them hears nothing."""
    notice = alert_notices.c
    failing = or_(
        (notice.state == "pending") & (notice.attempts >= TRIES),
        notice.state == "failed",
    )
    living = select(alert_channels).where(alert_channels.c.deleted_ms.is_(None), alert_channels.c.enabled)
    for row in tx.execute(living.order_by(alert_channels.c.id)):
        mine = notice.channel == row.id
        sent = tx.scalar(select(func.max(notice.done_ms)).where(mine, notice.state == "sent")) or 0
        since = max(sent, now_ms - 2 * KEPT_MS)
        bad = select(notice.error, notice.created_ms, notice.attempts).where(
            mine, failing, notice.kind != "test"
        )
        bad = bad.where(notice.created_ms > since)
        first = tx.execute(bad.order_by(notice.created_ms).limit(1)).first()
        if first is None:
            continue
        evidence = {"error": first.error, "attempts": first.attempts, "channel": row.name}
        yield Wanted(
            f"channel:{row.id}", f"The channel {row.name} does not take notices.", first.error,
            first.created_ms,
            "Test the channel in the settings and correct its address. Notices wait and are tried again.",
            f"channel:{row.id}", "", evidence,
        )  # fmt: skip


def _taken(tx: Connection) -> set[str]:
    """Answer the causes in alerts that somebody has taken."""
    joined = incident_members.join(alert_acks, alert_acks.c.incident == incident_members.c.incident)
    return set(tx.scalars(select(incident_members.c.cause).select_from(joined)))
