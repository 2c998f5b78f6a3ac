"""Writes down what became of deliveries: states, attempts, lanes and facts, many in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.deliveries.circuit import Closed, Open, Probing
from atalaia.deliveries.lane import Lane
from atalaia.deliveries.state import (
    Cancelled,
    Dead,
    Delivered,
    Pending,
    Sending,
    State,
    Waiting,
    word,
)
from atalaia.deliveries.told import PRODUCER
from atalaia.errors import StoreUnavailable
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.store.bulk import flat, in_parts, insert_rows, tuples_of
from atalaia.store.store import Store, serialise
from atalaia.store.tables import attempts

RETRY_S = 1.0
GATHER_S = 0.015
_log = structlog.get_logger(__name__)
_ATTEMPT = ("delivery", "number", "started_ms", "took_ms", "outcome", "status", "error", "response")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one delivery. attempt: the attempt's row, None when nothing was sent."""

    lane: Lane
    delivery: int
    state: State
    error: str = ""
    attempt: tuple[Any, ...] | None = None
    facts: tuple[Fact, ...] = ()


@dataclass
class _Batch:
    results: list[Result] = field(default_factory=list[Result])
    lanes: dict[tuple[str, str], tuple[Lane, bool]] = field(
        default_factory=dict[tuple[str, str], tuple[Lane, bool]]
    )
    facts: list[tuple[Lane, Fact]] = field(default_factory=list[tuple[Lane, Fact]])

    def __bool__(self) -> bool:
        return bool(self.results or self.lanes or self.facts)


class Recorder:
    """Collects results and writes them as soon as the last write is done; nothing waits for it to send on."""

    def __init__(
        self, store: Store, ambient: Ambient, recorded: Callable[[], None], fenced: Callable[[Lane], None]
    ) -> None:
        self._store = store
        self._ambient = ambient
        self._recorded = recorded
        self._fenced = fenced
        self._batch = _Batch()
        self._next_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def add(self, result: Result) -> None:
        """Write a result soon. It must not be forgotten: the delivery was sent."""
        result.lane.unrecorded += 1
        self._batch.results.append(result)
        self._start()

    def add_lane(self, lane: Lane, facts: Sequence[Fact] = (), *, delivered: bool = False) -> None:
        """Write the lane's circuit soon, with the facts that go with it."""
        before = self._batch.lanes.get(lane.name)
        self._batch.lanes[lane.name] = (lane, delivered or (before is not None and before[1]))
        self._batch.facts += [(lane, fact) for fact in facts]
        self._start()

    async def finished(self) -> None:
        """Wait until everything handed over so far is written."""
        while self._task is not None:
            await asyncio.shield(self._task)

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._batch:
                await self._gather()
                batch, self._batch = self._batch, _Batch()
                await self._write(batch)
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Let results gather when writes follow each other closely: nobody waits for them, all pay for them.

        Real time on purpose: this shapes batches, not behaviour.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._next_at - loop.time())
        self._next_at = loop.time() + GATHER_S

    async def _write(self, batch: _Batch) -> None:
        """Write until it succeeds: what was sent is known only here."""
        while True:
            try:
                lost = await self._store.write(lambda tx: write_batch(tx, self._ambient, batch))
                break
            except (StoreUnavailable, DBAPIError) as error:
                _log.warning("results not written yet", waiting=len(batch.results), error=str(error)[:300])
                await self._ambient.clock.sleep(RETRY_S)
        for result in batch.results:
            result.lane.unrecorded -= 1
        for lane in lost:
            self._fenced(lane)
        self._recorded()


def write_batch(tx: Connection, ambient: Ambient, batch: _Batch) -> list[Lane]:
    """Write what belongs to lanes that are still ours; answer the lanes that are not."""
    if batch.facts or any(one.facts for one in batch.results):
        serialise(tx)  # before any row is locked: others lock the log first and then the same rows
    lanes = {r.lane.lease: r.lane for r in batch.results}
    lanes |= {lane.lease: lane for lane, _ in batch.lanes.values()}
    lost = {lane.lease for lane in _lost(tx, list(lanes.values()))}
    results = [one for one in batch.results if one.lane.lease not in lost]
    _update(tx, [_state_row(one) for one in results])
    insert_rows(tx, attempts, _ATTEMPT, [one.attempt for one in results if one.attempt is not None])
    facts = [fact for one in results for fact in one.facts]
    for lane, delivered in batch.lanes.values():
        if lane.lease not in lost:
            tx.execute(_LANE, _lane_row(lane, delivered_ms=to_ms(ambient.clock.now()) if delivered else None))
    facts += [_counted(tx, lane, fact) for lane, fact in batch.facts if lane.lease not in lost]
    if facts:
        append_facts(tx, ambient, PRODUCER, facts)
    return [lanes[name] for name in lost]


def _lost(tx: Connection, lanes: list[Lane]) -> list[Lane]:
    """Answer the lanes whose lease has another epoch now. The share lock lasts until our commit."""
    if not lanes:
        return []
    names = sorted(lane.lease for lane in lanes)
    if tx.dialect.name == "postgresql":
        sql = "select name, epoch from leases where name = any($1::text[]) order by name for share"
        found = tx.exec_driver_sql(sql, (names,))
    else:
        marks = ", ".join("?" * len(names))
        found = tx.exec_driver_sql(
            f"select name, epoch from leases where name in ({marks})",  # noqa: S608
            tuple(names),
        )
    current = {str(row.name): int(row.epoch) for row in found}
    return [lane for lane in lanes if current.get(lane.lease) != lane.epoch]


# What is written of each delivery, and its id.
_NEWS = ("state", "attempts", "next_ms", "failing_ms", "done_ms", "error", "id")
_POSTGRES = (
    "update deliveries set state = x.state, attempts = x.attempts, next_ms = x.next_ms, "
    "failing_ms = x.failing_ms, done_ms = x.done_ms, error = x.error from unnest($1::text[], $2::integer[], "
    "$3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[]) "
    "as x(state, attempts, next_ms, failing_ms, done_ms, error, id) where deliveries.id = x.id"
)
# A delivery that was cancelled meanwhile stays so, unless it did arrive.
_STILL = " and deliveries.state in ('pending','sending','waiting')"


@lru_cache(maxsize=64)
def _sqlite(rows: int) -> str:
    return (
        f"with x({', '.join(_NEWS)}) as (values {tuples_of(len(_NEWS), rows)}) "  # noqa: S608
        "update deliveries set state = x.state, attempts = x.attempts, next_ms = x.next_ms, "
        "failing_ms = x.failing_ms, done_ms = x.done_ms, error = x.error from x where deliveries.id = x.id"
    )


def _update(tx: Connection, rows: list[tuple[Any, ...]]) -> None:
    arrived = [row for row in rows if row[0] == "delivered"]
    marks = [row for row in rows if row[0] == "sending"]
    others = [row for row in rows if row[0] not in ("delivered", "sending")]
    for found, limit in ((marks, _STILL), (others, _STILL), (arrived, "")):
        # One row a delivery: of two results of the same one in a batch the later counts.
        last = list({row[-1]: row for row in found}.values())
        if not last:
            continue
        if tx.dialect.name == "postgresql":
            tx.exec_driver_sql(_POSTGRES + limit, tuple(list(column) for column in zip(*last, strict=True)))
            continue
        for part in in_parts(last):
            tx.exec_driver_sql(_sqlite(len(part)) + limit, flat(part))


def _state_row(result: Result) -> tuple[Any, ...]:
    state, error = result.state, result.error
    match state:
        case Delivered():
            return "delivered", state.attempts, None, None, state.at_ms, "", result.delivery
        case Waiting():
            return (
                "waiting", state.attempts, state.until_ms, state.failing_ms, None, state.error,
                result.delivery,
            )  # fmt: skip
        case Pending() | Sending():
            return word(state), state.attempts, None, state.failing_ms, None, error, result.delivery
        case Dead():
            return "dead", state.attempts, None, None, state.at_ms, state.error, result.delivery
        case Cancelled():
            return "cancelled", state.attempts, None, None, state.at_ms, error, result.delivery


_LANE = text(
    "update lanes set circuit = :circuit, failures = :failures, opened_ms = :opened, probe_ms = :probe, "
    "error = :error, ask = :ask, delivered_ms = coalesce(:delivered, delivered_ms) "
    "where subscription = :s and destination = :d"
)


def _lane_row(lane: Lane, *, delivered_ms: int | None) -> dict[str, Any]:
    circuit = lane.circuit
    row: dict[str, Any] = {"s": lane.subscription.id, "d": lane.destination, "delivered": delivered_ms}
    match circuit:
        case Closed():
            return {
                **row, "circuit": "closed", "failures": len(circuit.failed), "opened": None, "probe": None,
                "error": "", "ask": "",
            }  # fmt: skip
        case Open() | Probing():
            probe = circuit.probe_ms if isinstance(circuit, Open) else None
            return {
                **row, "circuit": "open", "failures": circuit.failures, "opened": circuit.since_ms,
                "probe": probe, "error": circuit.error, "ask": circuit.ask,
            }  # fmt: skip


_WAITING = text(
    "select count(*) from (select 1 from deliveries where subscription = :s and destination = :d "
    "and state in ('pending','sending','waiting') limit 10000) as waiting"
)


def _counted(tx: Connection, lane: Lane, fact: Fact) -> Fact:
    """Add how many deliveries wait to a fact about a target; from 10,000 on it is only that many at least."""
    if not fact.type.startswith("target."):
        return fact
    waiting = int(tx.execute(_WAITING, {"s": lane.subscription.id, "d": lane.destination}).scalar_one())
    return Fact(fact.type, fact.key, fact.occurred_ms, {**fact.data, "waiting": waiting})
