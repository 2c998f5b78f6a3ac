"""The one log: append durably and once, read in order without gaps."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.errors import Fenced
from atalaia.events.fit import dump_json, fit, fit_json, fit_ms
from atalaia.events.model import Appended, Event, Fact, Heard
from atalaia.events.policy import Keep, Policies
from atalaia.store.bell import FACTS, LOG, facts_of, heard_of
from atalaia.store.bulk import allocate, fetch_rows, given, insert_rows, run, seen, tuples_of
from atalaia.store.leases import epochs_of
from atalaia.store.store import Store, ring_after, serialise
from atalaia.store.tables import FACT, HEARD, event_counts, events, events_seen
from atalaia.store.truth_tables import heard_hours

_MINUTE = 60_000
_HOUR = 3_600_000
_RHYTHM_MS = 28 * 24 * _HOUR  # nobody compares with what is older
LATEST = 20
_TYPE, _KEY, _DEDUPE = 120, 200, 200  # characters, as the tables have them
FACT_SCOPE = "fact:"  # how scopes of facts begin in `events_seen`
_COUNTED_AS = {Keep.KEEP: "kept", Keep.COUNT: "counted", Keep.DROP: "dropped"}
_COLUMNS = tuple(column.name for column in events.columns)
_NAMES = ", ".join(_COLUMNS)


@dataclass(frozen=True, slots=True)
class Source:
    """Who appends: the connection, and the epoch under which its worker owns it (None = not leased)."""

    connection: str
    epoch: int | None = None

    @property
    def lease(self) -> str:
        return f"connection:{self.connection}"


@dataclass
class _Waiting:
    source: Source
    heard: Sequence[Heard]
    done: asyncio.Future[list[Appended]]


@dataclass
class _Batch:
    """Rows being gathered for one insert."""

    now_ms: int
    rows: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    seen: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])
    hours: dict[tuple[str, str, int], tuple[int, int | None]] = field(
        default_factory=dict[tuple[str, str, int], tuple[int, int | None]]
    )


class EventLog:
    """Appends for everybody in this process; callers that wait together share one transaction."""

    def __init__(self, store: Store, ambient: Ambient, policies: Policies) -> None:
        self.store = store
        self.policies = policies
        self._ambient = ambient
        self._waiting: list[_Waiting] = []
        self._flush: asyncio.Task[None] | None = None
        self._signs: dict[str, dict[str, int]] = {}

    def signs(self, connection: str) -> Mapping[str, int] | None:
        """Answer when each kind of event was last heard on a connection, since this process began.

        None where other processes hear, too: only the table of hours knows then.
        """
        return self._signs.get(connection, {}) if self.store.dialect == "sqlite" else None

    async def put(self, source: Source, heard: Sequence[Heard]) -> list[Appended]:
        """Append what was heard; answer, per event, where it is. Durable when this returns.

        Errors: `Fenced` when another worker owns the connection now; `StoreUnavailable`.
        """
        if not heard:
            return []
        waiting = _Waiting(source, heard, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._flush is None:
            self._flush = asyncio.create_task(self._flush_all())
        return await waiting.done

    async def put_facts(
        self, producer: str, facts: Sequence[Fact], *, connection: str = ""
    ) -> list[Appended]:
        """Append facts outside of a reaction: what a person or the hub itself did."""
        return await self.store.write(
            lambda tx: append_facts(tx, self._ambient, producer, facts, connection=connection)
        )

    async def _flush_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._write(batch)
        finally:
            self._flush = None

    async def _write(self, batch: list[_Waiting]) -> None:
        try:
            answers = await self.store.write(lambda tx: self._append_all(tx, batch))
        except BaseException as error:
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_exception(error)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        now = to_ms(self._ambient.clock.now())
        for waiting, answer in zip(batch, answers, strict=True):
            if not isinstance(answer, Fenced):
                self._note_signs(waiting, answer, now)
            if waiting.done.done():
                continue
            if isinstance(answer, Fenced):
                waiting.done.set_exception(answer)
            else:
                waiting.done.set_result(answer)

    def _note_signs(self, waiting: _Waiting, answer: Sequence[Appended], now_ms: int) -> None:
        for one, place in zip(waiting.heard, answer, strict=True):
            kind = _sign_of(self.policies, one, place, now_ms)
            if kind and not one.late:
                self._signs.setdefault(waiting.source.connection, {})[kind] = now_ms

    def _append_all(self, tx: Connection, batch: list[_Waiting]) -> list[list[Appended] | Fenced]:
        serialise(tx)
        fenced = _fenced(tx, {waiting.source for waiting in batch})
        live = [w for w in batch if w.source not in fenced]
        answers = iter(append_heard(tx, self._ambient, self.policies, [(w.source, w.heard) for w in live]))
        return [fenced.get(w.source) or next(answers) for w in batch]


def append_heard(
    tx: Connection, ambient: Ambient, policies: Policies, batches: Sequence[tuple[Source, Sequence[Heard]]]
) -> list[list[Appended]]:
    """Append heard events of several sources in `tx`; the caller has checked the epochs."""
    serialise(tx)
    batch = _Batch(to_ms(ambient.clock.now()))
    asked = [(s.connection, fit(h.dedupe, _DEDUPE)) for s, heard in batches for h in heard if h.dedupe]
    known = seen(tx, asked)
    first = allocate(tx, "events", sum(len(heard) for _, heard in batches))
    answers = [
        [_take(batch, known, ambient, policies.of(one.type), source, one, first) for one in heard]
        for source, heard in batches
    ]
    if policies.rhythms:
        for (source, heard), taken in zip(batches, answers, strict=True):
            _count_hours(batch, policies, source.connection, heard, taken)
    _write_batch(tx, batch)
    return answers


def _count_hours(
    batch: _Batch, policies: Policies, connection: str, heard: Sequence[Heard], taken: Sequence[Appended]
) -> None:
    """Count what was heard in the hour in which it occurred, also what is recovered later."""
    for one, answer in zip(heard, taken, strict=True):
        kind = _sign_of(policies, one, answer, batch.now_ms)
        if not kind:
            continue
        occurred = min(one.occurred_ms, batch.now_ms)
        place = (connection, kind, occurred - occurred % _HOUR)
        n, last = batch.hours.get(place, (0, None))
        # One that was asked for proves no hearing.
        batch.hours[place] = n + 1, last if one.late else batch.now_ms


def _sign_of(policies: Policies, one: Heard, answer: Appended, now_ms: int) -> str:
    """Answer as which kind an event is counted, "" when it is not."""
    old = one.occurred_ms < now_ms - _RHYTHM_MS
    return "" if answer.duplicate or old else policies.rhythm_of(one.type)


def _take(
    batch: _Batch,
    known: dict[tuple[str, str], int],
    ambient: Ambient,
    keep: Keep,
    source: Source,
    one: Heard,
    first: int,
) -> Appended:
    connection = source.connection
    kind = fit(one.type, _TYPE)
    dedupe = fit(one.dedupe, _DEDUPE) if one.dedupe else None
    if dedupe is not None and (before := known.get((connection, dedupe))) is not None:
        batch.counts[connection, kind, "duplicate"] += 1
        return Appended(before, duplicate=True)
    seq = first + len(batch.rows) if keep is Keep.KEEP else 0
    batch.counts[connection, kind, _COUNTED_AS[keep]] += 1
    if dedupe is not None:
        known[connection, dedupe] = seq
        batch.seen.append((connection, dedupe, seq, batch.now_ms))
    if keep is Keep.KEEP:
        batch.rows.append(
            (
                seq, ambient.ids.new(), HEARD, kind, fit(one.key, _KEY), connection, fit_ms(one.occurred_ms),
                batch.now_ms, None, source.epoch or 0, one.late, fit_json(one.body),
            )
        )  # fmt: skip
    return Appended(seq)


@dataclass(frozen=True, slots=True)
class EncodedFact:
    """A fact whose data proved to be JSON-able: encoding it cannot fail any more when it is written."""

    fact: Fact
    body: str


def encode(fact: Fact) -> EncodedFact:
    """Encode a fact's data. Errors: `TypeError` or `ValueError` when it is not JSON-able."""
    return EncodedFact(fact, dump_json(dict(fact.data)))


def append_facts(
    tx: Connection,
    ambient: Ambient,
    producer: str,
    facts: Iterable[Fact | EncodedFact],
    *,
    connection: str = "",
    epoch: int = 0,
) -> list[Appended]:
    """Append facts in `tx`, so that they are committed together with the state they come from.

    producer: names the reaction or part; its facts' `dedupe` values are unique within it.
    """
    return append_facts_of(
        tx,
        ambient,
        producer,
        [(connection, one if isinstance(one, EncodedFact) else encode(one)) for one in facts],
        epoch=epoch,
    )


def append_facts_of(
    tx: Connection,
    ambient: Ambient,
    producer: str,
    wanted: Sequence[tuple[str, EncodedFact]],
    *,
    epoch: int = 0,
) -> list[Appended]:
    """Append facts of several connections, given as (connection, fact), in this order; see `append_facts`."""
    if not wanted:
        return []
    serialise(tx)
    batch = _Batch(to_ms(ambient.clock.now()))
    marks = [_mark(producer, connection, one.fact) for connection, one in wanted]
    known = seen(tx, [mark for mark in marks if mark is not None])
    first = allocate(tx, "events", len(wanted))
    answers: list[Appended] = []
    for (connection, one), mark in zip(wanted, marks, strict=True):
        fact = one.fact
        if mark is not None and (before := known.get(mark)) is not None:
            answers.append(Appended(before, duplicate=True))
            continue
        seq = first + len(batch.rows)
        if mark is not None:
            known[mark] = seq
            batch.seen.append((*mark, seq, batch.now_ms))
        kind = fit(fact.type, _TYPE)
        batch.counts[connection, kind, "kept"] += 1
        batch.rows.append(
            (
                seq, ambient.ids.new(), FACT, kind, fit(fact.key, _KEY), connection,
                fit_ms(fact.occurred_ms), batch.now_ms, fact.cause_seq, epoch, fact.late, one.body,
            )
        )  # fmt: skip
        answers.append(Appended(seq))
    _write_batch(tx, batch)
    return answers


def _mark(producer: str, connection: str, fact: Fact) -> tuple[str, str] | None:
    """Answer by which scope and mark a fact is known again."""
    return (f"{FACT_SCOPE}{producer}:{connection}", fit(fact.dedupe, _DEDUPE)) if fact.dedupe else None


def _write_batch(tx: Connection, batch: _Batch) -> None:
    insert_rows(tx, events, _COLUMNS, batch.rows)
    insert_rows(tx, events_seen, ("scope", "dedupe", "seq", "recorded_ms"), batch.seen)
    minute = batch.now_ms - batch.now_ms % _MINUTE
    numbers: dict[tuple[str, str], dict[str, int]] = {}
    for (connection, kind, column), number in batch.counts.items():
        numbers.setdefault((connection, kind), {})[column] = number
    if numbers:
        # In one order everywhere, so that two workers never wait for each other's rows in a circle.
        rows = [
            _count_row(connection, kind, minute, got) for (connection, kind), got in sorted(numbers.items())
        ]
        insert_rows(tx, event_counts, _COUNTS, rows, also=_ADD_UP)
    if batch.hours:
        hours = [(*place, *batch.hours[place]) for place in sorted(batch.hours)]
        insert_rows(tx, heard_hours, _HOURS, hours, also=_ADD_HOURS)
    if batch.rows:
        ring_after(tx, LOG, *_topics(batch.rows))


def _count_row(connection: str, kind: str, minute: int, numbers: dict[str, int]) -> tuple[Any, ...]:
    return (connection, kind, minute, *[numbers.get(column, 0) for column in _COUNTED])


_COUNTED = ("kept", "counted", "dropped", "duplicate")
_COUNTS = ("connection", "type", "minute_ms", *_COUNTED)
_ADD_UP = " on conflict (connection, type, minute_ms) do update set " + ", ".join(
    f"{column} = event_counts.{column} + excluded.{column}" for column in _COUNTED
)


_HOURS = ("connection", "kind", "hour_ms", "n", "last_ms")
_ADD_HOURS = (
    " on conflict (connection, kind, hour_ms) do update set n = heard_hours.n + excluded.n, last_ms = case "
    "when heard_hours.last_ms is null or excluded.last_ms > heard_hours.last_ms then excluded.last_ms "
    "else heard_hours.last_ms end"
)


def _topics(rows: Sequence[tuple[Any, ...]]) -> set[str]:
    """Answer whom these rows of `events` may concern."""
    topics: set[str] = set()
    for row in rows:
        word = row[3].partition(".")[0]
        topics |= {FACTS, facts_of(word)} if row[2] == FACT else {heard_of(word)}
    return topics


def _fenced(tx: Connection, sources: set[Source]) -> dict[Source, Fenced]:
    """Answer the sources whose epoch is no longer the lease's."""
    leased = [source for source in sources if source.epoch is not None]
    current = epochs_of(tx, [source.lease for source in leased]) if leased else {}
    return {
        source: Fenced(_newer(source, current.get(source.lease)))
        for source in leased
        if current.get(source.lease) != source.epoch
    }  # fmt: skip


def _newer(source: Source, epoch: int | None) -> str:
    return f"The connection {source.connection} is owned by a newer worker (epoch {epoch})."


# --- reading ---------------------------------------------------------------------------------------


def read_after(
    tx: Connection,
    seq: int,
    *,
    limit: int = 500,
    family: int | None = None,
    upto: int | None = None,
    prefix: str = "",
) -> list[Event]:
    """Answer at most `limit` events after `seq`, in order. Nothing with a lower seq can appear later.

    prefix: only types that begin so.
    """
    wanted: list[str] = ["seq > ?"]
    values: list[Any] = [seq]
    if family is not None:
        wanted.append(f"family = {family:d}")  # spelled like the partial index
    if upto is not None:
        wanted.append("seq <= ?")
        values.append(upto)
    if prefix:
        # On a part of the type, so that no planner leaves the order of the log for the index on types.
        wanted.append(f"substr(type, 1, {len(prefix)}) = ?")
        values.append(prefix)
    sql = f"select {_NAMES} from events where {' and '.join(wanted)} order by seq limit ?"  # noqa: S608
    return [to_event(row) for row in fetch_rows(tx, _NAMES, sql, *values, limit)]


def known_marks(tx: Connection, connection: str, starts: Sequence[str]) -> set[str]:
    """Answer which of these are the beginning of the mark of something heard on a connection."""
    # A range over the primary key: LIKE would not use it on every database.
    first = (
        "(select s.dedupe from events_seen s where s.scope = ? and s.dedupe >= given.start "
        "order by s.dedupe limit 1)"
    )
    found: set[str] = set()
    for table, values in given(tx, {"start": "text"}, [(start,) for start in dict.fromkeys(starts) if start]):
        sql = f"select given.start, {first} as mark from {table}"  # noqa: S608
        rows = fetch_rows(tx, "start, mark", sql, connection, *values)
        found |= {start for start, mark in rows if mark is not None and mark.startswith(start)}
    return found


def newest_of(tx: Connection, connection: str, keys: Sequence[str], types: Sequence[str]) -> dict[str, int]:
    """Answer when the latest event of these types occurred on a connection, by key."""
    among = f"e.connection = ? and e.type in {tuples_of(len(types), 1)}"
    # The last few of the log: what was caught up on stands behind what is newer.
    last = (
        f"select e.occurred_ms from events e where e.key = given.key and {among} "  # noqa: S608
        f"order by e.seq desc limit {LATEST}"
    )
    found: dict[str, int] = {}
    for table, values in given(tx, {"key": "text"}, [(key,) for key in dict.fromkeys(keys)]):
        sql = f"select given.key, (select max(occurred_ms) from ({last}) as latest) as newest from {table}"  # noqa: S608
        rows = fetch_rows(tx, "key, newest", sql, connection, *types, *values)
        found.update({key: at for key, at in rows if at is not None})
    return found


def head(tx: Connection) -> int:
    """Answer the last sequence in the log, 0 when it is empty."""
    return int(run(tx, "select max(seq) from events").scalar() or 0)


def read_event(tx: Connection, seq: int) -> Event | None:
    """Answer one event by its sequence."""
    row = tx.execute(select(events).where(events.c.seq == seq)).first()
    return to_event(row) if row else None


def to_event(row: Iterable[Any]) -> Event:
    """Read a row of `events`, all columns in their order."""
    # By place: names cost more than all the rest of reading.
    seq, identity, family, kind, key, connection, occurred, recorded, cause, _, late, body = row
    return Event(
        seq, identity, "fact" if family == FACT else "heard", kind, key, connection, occurred, recorded,
        cause, bool(late), body,
    )  # fmt: skip
