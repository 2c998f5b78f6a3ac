"""Retention: what is old enough goes, in small steps, and never what somebody still needs.

An event stays while a reaction has not passed it, while a delivery of it is under way or waits for a
decision, and while it is parked. Rows of connections, calls and people are nobody's history but the log's:
what the desk folded has a time of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, or_, select, tuple_

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.events.log import FACT_SCOPE, append_facts
from atalaia.events.model import Fact
from atalaia.events.old_files import FileRules, SweptFiles, sweep_files
from atalaia.events.queries import first_since, known_types, seq_at
from atalaia.settings import Settings
from atalaia.store.alert_tables import (
    alert_acks,
    alert_notices,
    alert_silences,
    incident_members,
    incidents,
)
from atalaia.store.chat_tables import chat_files, chat_messages, chat_outbox, chat_reactions
from atalaia.store.files import FileStore
from atalaia.store.job_tables import job_frames, job_steps, jobs
from atalaia.store.old_client_tables import old_claims, old_probes, old_sessions, old_workers
from atalaia.store.store import Store
from atalaia.store.tables import (
    FACT,
    HEARD,
    alerts,
    attempts,
    calls,
    cursors,
    deliveries,
    event_counts,
    events,
    events_seen,
    gaps,
    idempotency,
    kind_policies,
    login_links,
    parked,
    sessions,
    workers,
)
from atalaia.store.truth_tables import heard_hours, recoveries
from atalaia.store.vehicle_tables import processes, vehicle_snapshots, vehicle_value_history

CHUNK = 5_000  # rows found at once
STEP = 500  # rows deleted in one transaction
DAY_MS = 86_400_000
RHYTHM_DAYS = 30  # silence is judged by the last four weeks
FACTS = "fact"  # the connector's place in `kind_policies` for rules about facts
FREE_PAGES_KEPT = 2_000  # free space that new rows will soon fill again
_OPEN = ("pending", "sending", "waiting", "dead")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Rules:
    """For how many days each kind of row is kept. Kinds of events may have days of their own, see `sweep`."""

    heard_days: int = 30
    facts_days: int = 365
    dedupe_days: int = 7
    counts_days: int = 90
    deliveries_days: int = 30
    calls_days: int = 730
    gaps_days: int = 365
    vehicles_days: int = 90
    jobs_days: int = 365
    chats_days: int = 730
    files: FileRules = field(default_factory=FileRules)

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """Answer what the settings say."""
        return cls(
            heard_days=settings.keep_heard_days,
            facts_days=settings.keep_facts_days,
            dedupe_days=settings.keep_dedupe_days,
            counts_days=settings.keep_counts_days,
            deliveries_days=settings.keep_deliveries_days,
            calls_days=settings.keep_calls_days,
            gaps_days=settings.keep_gaps_days,
            vehicles_days=settings.keep_vehicles_days,
            jobs_days=settings.keep_jobs_days,
            chats_days=settings.keep_chats_days,
            files=FileRules(settings.keep_files_days, settings.keep_files_bytes_max),
        )


@dataclass(frozen=True)
class _Kinds:
    """What people set per kind: (connector, type pattern) to days."""

    retention: Mapping[tuple[str, str], int]
    dedupe_days: int

    def days(self, family: int, kind: str, rules: Rules) -> int:
        connector, _, name = (FACTS, "", kind) if family == FACT else kind.partition(".")
        fits = [
            (len(p), days)
            for (c, p), days in self.retention.items()
            if c == connector and fnmatchcase(name, p)
        ]
        return max(fits)[1] if fits else (rules.facts_days if family == FACT else rules.heard_days)


@dataclass
class Swept:
    """How many rows went, by table; `upto` is the sequence that no reaction had passed.

    files: None where no folder of files was given, or it could not be read.
    """

    upto: int = 0
    rows: dict[str, int] = field(default_factory=dict[str, int])
    files: SweptFiles | None = None

    def add(self, name: str, number: int) -> None:
        """Count rows."""
        if number:
            self.rows[name] = self.rows.get(name, 0) + number


async def sweep(
    store: Store, ambient: Ambient, rules: Rules, *, reactions: Collection[str] | None = None,
    files: FileStore | None = None,
) -> Swept:  # fmt: skip
    """Delete what is older than the rules say, and write down as `retention.swept` what went.

    Rows of `kind_policies` set days for single kinds; the connector `fact` there stands for facts.
    reactions: names of those that must have passed an event first; None = all that ever had a cursor.
    files: the attachments of messages.
    Errors: `StoreUnavailable`; what was deleted until then stays deleted.
    """
    now = to_ms(ambient.clock.now())
    swept = Swept(await store.read(lambda tx: _passed(tx, reactions)))
    if files is not None:  # before the rows of messages go, so that a file outlives its row by one pass
        swept.files = await _sweep_files(store, files, ambient, rules, swept.upto)
    kinds = await store.read(lambda tx: _kinds(tx, rules))
    first_kept: dict[int, int] = {}
    for kind in await store.read(known_types):
        for family, name in ((HEARD, "heard"), (FACT, "facts")):
            days = kinds.days(family, kind, rules)
            if days not in first_kept:
                first_kept[days] = await store.read(lambda tx, d=days: seq_at(tx, now - d * DAY_MS))
            old = _old_events(family, kind, min(first_kept[days] - 1, swept.upto))
            await _sweep_table(store, swept, name, events, old)
    for name, table, old in _others(now, rules, kinds):
        await _sweep_table(store, swept, name, table, old)
    for states, days in ((("delivered", "cancelled"), rules.deliveries_days), (("dead",), rules.facts_days)):
        await _sweep_deliveries(store, swept, states, now - days * DAY_MS)
    await _give_back_space(store, swept)
    await store.write(lambda tx: _record(tx, ambient, swept, to_ms(ambient.clock.now()) - now))
    return swept


async def _sweep_files(
    store: Store, files: FileStore, ambient: Ambient, rules: Rules, upto: int
) -> SweptFiles | None:
    """Sweep files; a folder that cannot be read keeps no table from being swept."""
    unread_ms = await store.read(lambda tx: _unread_ms(tx, upto))
    try:
        return await sweep_files(store, files, ambient.clock, rules.files, unread_ms)
    except OSError as error:
        log.error("retention.folder_unreadable", folder=str(files.folder), error=error.strerror)
        return None


async def _sweep_table(store: Store, swept: Swept, name: str, table: Table, old: ColumnElement[bool]) -> None:
    """Delete old rows in short transactions; finding them may take long, so it holds no writer up."""
    key = list(table.primary_key.columns)
    one = key[0] if len(key) == 1 else tuple_(*key)
    find = select(*key).where(old).order_by(*key).limit(CHUNK)
    while True:
        found = await store.read(lambda tx: tx.execute(find).all())
        doomed = [row[0] if len(key) == 1 else tuple(row) for row in found]
        for start in range(0, len(doomed), STEP):
            # Looked at once more, because somebody may have come to need one of them meanwhile.
            some = delete(table).where(one.in_(doomed[start : start + STEP]), old)
            swept.add(name, await store.write(lambda tx, some=some: tx.execute(some).rowcount))
        if len(doomed) < CHUNK:
            return


# --- the log ---------------------------------------------------------------------------------------


def _passed(tx: Connection, reactions: Collection[str] | None) -> int:
    """Answer the sequence that every reaction has passed; a reaction that never ran has passed nothing."""
    found = {row.reaction: row.seq for row in tx.execute(select(cursors.c.reaction, cursors.c.seq))}
    last = tx.scalar(select(func.max(events.c.seq))) or 0
    if reactions is None:
        return min([last, *found.values()])
    return min([last, *[found.get(name, 0) for name in reactions]])


def _unread_ms(tx: Connection, upto: int) -> int | None:
    """Answer when the first event was written down that some reaction has not passed."""
    return tx.scalar(select(events.c.recorded_ms).where(events.c.seq > upto).order_by(events.c.seq).limit(1))


def _kinds(tx: Connection, rules: Rules) -> _Kinds:
    rows = tx.execute(select(kind_policies)).all()
    retention = {
        (row.connector, row.type): row.retention_days for row in rows if row.retention_days is not None
    }
    # Marks know no kind, so the longest wish of any kind holds for all.
    longest = max([rules.dedupe_days, *[row.dedupe_days for row in rows if row.dedupe_days is not None]])
    return _Kinds(retention, longest)


def _old_events(family: int, kind: str, upto: int) -> ColumnElement[bool]:
    delivering = select(deliveries.c.id).where(
        deliveries.c.seq == events.c.seq, deliveries.c.state.in_(_OPEN)
    )
    waiting = select(parked.c.seq).where(parked.c.state.in_(("parked", "again")))
    return and_(
        events.c.type == kind, events.c.seq <= upto, events.c.family == family,
        ~delivering.exists(), events.c.seq.not_in(waiting),
    )  # fmt: skip


# --- everything else -------------------------------------------------------------------------------


def _others(now: int, rules: Rules, kinds: _Kinds) -> list[tuple[str, Table, ColumnElement[bool]]]:
    """Answer which rows of which tables are old."""

    def ago(days: int) -> int:
        return now - days * DAY_MS

    facts = events_seen.c.scope.startswith(FACT_SCOPE, autoescape=True)
    # Marks of facts make folding the log again harmless, for as long as there is something to fold.
    folded = max(rules.heard_days, rules.facts_days, kinds.dedupe_days, *kinds.retention.values(), 0)
    seen = or_(
        and_(~facts, events_seen.c.recorded_ms < ago(kinds.dedupe_days)),
        events_seen.c.recorded_ms < ago(folded),
    )
    past = ago(rules.vehicles_days)
    return [
        ("marks", events_seen, seen),
        ("counts", event_counts, event_counts.c.minute_ms < ago(rules.counts_days)),
        ("hours", heard_hours, heard_hours.c.hour_ms < ago(RHYTHM_DAYS)),
        ("recoveries", recoveries, recoveries.c.ended_ms < ago(rules.gaps_days)),
        ("parked", parked, and_(parked.c.state == "settled", parked.c.settled_ms < ago(rules.heard_days))),
        ("gaps", gaps, gaps.c.closed_ms < ago(rules.gaps_days)),
        ("calls", calls, and_(calls.c.opened_ms < ago(rules.calls_days), calls.c.ended_ms.is_not(None))),
        *_old_messages(ago(rules.chats_days)),
        ("values", vehicle_value_history, vehicle_value_history.c.minute_ms < past),
        ("snapshots", vehicle_snapshots, vehicle_snapshots.c.at_ms < past),
        ("processes", processes, processes.c.ended_ms < past),
        *_old_jobs(ago(rules.jobs_days)),
        ("old sessions", old_sessions, old_sessions.c.expires_ms < now),
        ("old workers", old_workers, old_workers.c.seen_ms < ago(rules.heard_days)),
        ("old claims", old_claims, old_claims.c.at_ms < ago(rules.heard_days)),
        ("old probes", old_probes, old_probes.c.created_ms < ago(rules.jobs_days)),
        ("alerts", alerts, alerts.c.resolved_ms < ago(rules.facts_days)),
        *_old_incidents(ago(rules.facts_days)),
        ("workers", workers, workers.c.gone_ms < ago(rules.heard_days)),
        ("sessions", sessions, sessions.c.expires_ms < now),
        ("links", login_links, login_links.c.expires_ms < ago(1)),
        ("answers", idempotency, idempotency.c.created_ms < ago(1)),
    ]


def _old_incidents(before_ms: int) -> list[tuple[str, Table, ColumnElement[bool]]]:
    """Answer which rows belong to alerts that ended before then; the alerts themselves go last."""
    old = incidents.c.resolved_ms < before_ms
    ended = select(incidents.c.id).where(old)
    summaries = and_(alert_notices.c.incident == "", alert_notices.c.done_ms < before_ms)
    return [
        ("notices", alert_notices, or_(alert_notices.c.incident.in_(ended), summaries)),
        ("members", incident_members, incident_members.c.incident.in_(ended)),
        ("taken", alert_acks, alert_acks.c.incident.in_(ended)),
        ("silences", alert_silences, alert_silences.c.until_ms < before_ms),
        ("incidents", incidents, old),
    ]


def _old_messages(before_ms: int) -> list[tuple[str, Table, ColumnElement[bool]]]:
    """Answer messages that were sent before then, with what hangs on them, and what was asked to be sent.

    Their conversations and contacts stay, and what may still leave.
    """
    old = chat_messages.c.sent_ms < before_ms
    ids, o = select(chat_messages.c.id).where(old), chat_outbox.c
    ended = and_(o.changed_ms < before_ms, o.state.not_in(("queued", "uncertain")))
    return [
        ("reactions", chat_reactions, chat_reactions.c.message.in_(ids)),
        ("attachments", chat_files, chat_files.c.message.in_(ids)),
        ("messages", chat_messages, old),
        ("sends", chat_outbox, ended),
    ]


def _old_jobs(before_ms: int) -> list[tuple[str, Table, ColumnElement[bool]]]:
    """Answer which rows belong to jobs that ended before then; the jobs themselves go last."""
    old = jobs.c.ended_ms < before_ms
    ended = select(jobs.c.id).where(old)
    return [
        ("frames", job_frames, job_frames.c.job.in_(ended)),
        ("steps", job_steps, job_steps.c.job.in_(ended)),
        ("jobs", jobs, old),
    ]


async def _sweep_deliveries(store: Store, swept: Swept, states: tuple[str, ...], before_ms: int) -> None:
    last = await store.read(lambda tx: _last_delivery(tx, before_ms))
    old = and_(
        deliveries.c.id <= last,
        deliveries.c.state.in_(states),
        func.coalesce(deliveries.c.done_ms, deliveries.c.created_ms) < before_ms,
    )
    find = select(deliveries.c.id).where(old).order_by(deliveries.c.id).limit(CHUNK)
    while True:
        doomed = await store.read(lambda tx: list(tx.scalars(find)))
        for start in range(0, len(doomed), STEP):
            some = and_(deliveries.c.id.in_(doomed[start : start + STEP]), old)
            tried, gone = await store.write(lambda tx, some=some: _delete_deliveries(tx, some))
            swept.add("attempts", tried)
            swept.add("deliveries", gone)
        if len(doomed) < CHUNK:
            return


def _delete_deliveries(tx: Connection, which: ColumnElement[bool]) -> tuple[int, int]:
    tried = attempts.c.delivery.in_(select(deliveries.c.id).where(which))
    return tx.execute(delete(attempts).where(tried)).rowcount, tx.execute(
        delete(deliveries).where(which)
    ).rowcount


def _last_delivery(tx: Connection, before_ms: int) -> int:
    """Answer the last delivery that was made before then."""
    return first_since(tx, deliveries.c.id, deliveries.c.created_ms, before_ms) - 1


async def _give_back_space(store: Store, swept: Swept) -> None:
    """Give pages that are free back to the file system; PostgreSQL's autovacuum does it by itself."""
    if store.dialect != "sqlite":
        return
    while given := await store.write(_vacuum_a_little):
        swept.add("pages", given)


def _vacuum_a_little(tx: Connection) -> int:
    free = int(tx.exec_driver_sql("pragma freelist_count").scalar() or 0)
    pages = min(free - FREE_PAGES_KEPT, STEP)
    if pages <= 0:
        return 0
    for _ in range(pages):  # the driver takes one step of such a statement, and a step frees one page
        tx.exec_driver_sql("pragma incremental_vacuum(1)")
    return free - int(tx.exec_driver_sql("pragma freelist_count").scalar() or 0)


def _record(tx: Connection, ambient: Ambient, swept: Swept, took_ms: int) -> None:
    data: dict[str, Any] = {"rows": swept.rows, "upto": swept.upto, "took_ms": took_ms}
    if swept.files is not None:
        data["files"] = asdict(swept.files)
    fact = Fact("retention.swept", "retention", to_ms(ambient.clock.now()), data)
    append_facts(tx, ambient, "retention", [fact])
