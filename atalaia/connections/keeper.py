"""One connection kept alive by one worker: carries out what the pure state machine commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import from_ms, to_ms
from atalaia.connections.pace import Pace
from atalaia.connections.registry import Configured
from atalaia.connections.session import Plane, PlaneState, RunSession
from atalaia.connections.state import (
    Close,
    Command,
    Doubt,
    Hearing,
    Input,
    Live,
    Lost,
    NeedsPerson,
    Open,
    Opening,
    Proven,
    Rules,
    Start,
    State,
    Stopped,
    Suspect,
    Tick,
    Waiting,
    WakeAt,
    failures_before,
    name_of,
    step,
)  # fmt: skip
from atalaia.connections.state import (
    Heard as Sign,
)
from atalaia.errors import Fenced, StoreUnavailable, Unavailable, UpstreamError
from atalaia.events.log import EventLog, Source, append_facts
from atalaia.events.model import Appended, Fact, Heard
from atalaia.ids import derived_uuid7
from atalaia.store.leases import Lease, check
from atalaia.store.tables import connection_states, planes
from atalaia.store.upsert import upsert

log = structlog.get_logger(__name__)

T = TypeVar("T")
PLANES_EVERY_S = 1.0
RETRY_WRITE_S = 1.0


@dataclass(frozen=True)
class Kind:
    """What the keeper needs to know of the connector: how to run a session and what proves it."""

    run_session: RunSession
    planes: tuple[Plane, ...]
    silence: timedelta


@dataclass
class _Seen:
    state: PlaneState
    claim: str
    evidence: dict[str, Any]
    seen_ms: int | None
    checked_ms: int


class Keeper:
    """Runs until cancelled. Every transition is a fact, written under the lease's epoch."""

    def __init__(
        self,
        configured: Configured,
        kind: Kind,
        lease: Lease,
        eventlog: EventLog,
        ambient: Ambient,
        pace: Pace,
    ) -> None:
        self.configured = configured
        self.lease = lease
        self.state: State = Stopped()
        self._kind = kind
        self._log = eventlog
        self._ambient = ambient
        self._pace = pace
        self._inputs: asyncio.Queue[tuple[Input, dict[str, Any]]] = asyncio.Queue()
        self._session: asyncio.Task[None] | None = None
        self._alarm: asyncio.Task[None] | None = None
        self._planes: dict[str, _Seen] = {}
        self._changed: set[str] = set()
        self._source = Source(configured.id, lease.epoch)

    # What the supervisor calls.

    async def run(self) -> None:
        """Keep the connection until cancelled (lease gone, settings changed, hub stopping)."""
        flusher = asyncio.create_task(self._flush_planes())
        try:
            await self._own_downtime()
            self._inputs.put_nowait((Start(), {}))
            while True:
                got, evidence = await self._inputs.get()
                await self._answer(got, evidence)
        finally:
            flusher.cancel()
            await self._wind_down()

    async def _wind_down(self) -> None:
        self._end(self._alarm)
        session, self._session = self._session, None
        if session is not None:
            session.cancel()
            with suppress(asyncio.CancelledError, UpstreamError, Fenced):
                await session
        before, self.state = self.state, Stopped()
        if not isinstance(before, Stopped):
            with suppress(Fenced, StoreUnavailable):
                await self._write(
                    before, Stopped(), [Hearing(_last_sign(before), "hub or owner stopped")], {}
                )

    async def _own_downtime(self) -> None:
        """While nobody kept the connection, nothing was heard: that is a gap like any other."""

        def work(tx: Connection) -> int | None:
            query = select(connection_states.c.state, connection_states.c.heard_ms)
            row = tx.execute(query.where(connection_states.c.connection == self.configured.id)).first()
            return row.heard_ms if row and row.state in ("live", "suspect") else None

        heard_ms = await self._retry(lambda: self._log.store.read(work))
        if heard_ms is not None:
            gap = self._gap(Hearing(from_ms(heard_ms), "The hub was not running."))
            await self._retry(lambda: self._append([gap]))

    # One input.

    async def _answer(self, got: Input, evidence: dict[str, Any]) -> None:
        now = self._ambient.clock.now()
        pause = self._pace.after(failures_before(self.state, now), self._ambient.random)
        before = self.state
        after, commands = step(before, got, now, Rules(self._kind.silence, pause))
        self.state = after
        if name_of(before) != name_of(after) or any(isinstance(c, Hearing) for c in commands):
            await self._retry(lambda: self._write(before, after, commands, evidence))
        for command in commands:
            await self._carry_out(command)

    async def _carry_out(self, command: Command) -> None:
        match command:
            case Open():
                self._session = asyncio.create_task(self._run_session())
            case Close():
                session, self._session = self._session, None
                if session is not None and not session.done():
                    session.cancel()
                    with suppress(asyncio.CancelledError, UpstreamError, Fenced):
                        await session
            case WakeAt(when=when):
                self._end(self._alarm)
                self._alarm = asyncio.create_task(self._wake(when))
            case Hearing():
                pass  # written with the transition

    async def _run_session(self) -> None:
        try:
            await self._kind.run_session(self.configured.settings, Port(self))
            error: UpstreamError = Unavailable("The session ended by itself.")
        except UpstreamError as known:
            error = known
        except (Fenced, asyncio.CancelledError):
            raise
        except Exception as bug:
            # A bug of ours must not take the other connections down; it stays loud in the log.
            log.exception("session.bug", connection=self.configured.id)
            error = Unavailable(f"A defect of ours ended the session ({type(bug).__name__}). See the log.")
        self._inputs.put_nowait((Lost(error), {"error": type(error).__name__}))

    async def _wake(self, when: datetime) -> None:
        await self._ambient.clock.sleep(max(0.0, (when - self._ambient.clock.now()).total_seconds()))
        self._inputs.put_nowait((Tick(), {}))

    # Writing.

    async def _write(
        self, before: State, after: State, commands: Sequence[Command], evidence: dict[str, Any]
    ) -> None:
        facts = [] if name_of(before) == name_of(after) else self._transition(before, after, evidence)
        facts += [self._gap(command) for command in commands if isinstance(command, Hearing)]
        row = self._row(after, evidence)

        def work(tx: Connection) -> None:
            check(tx, self.lease.name, self.lease.epoch)
            self._append_in(tx, facts)
            upsert(tx, connection_states, row, ("connection",))

        await self._log.store.write(work)

    def _transition(self, before: State, after: State, evidence: dict[str, Any]) -> list[Fact]:
        facts: list[Fact] = []
        if isinstance(before, Live | Suspect) and not isinstance(after, Live | Suspect):
            facts.append(self._fact("connection.lost", after, evidence))
        facts.append(self._fact(f"connection.{name_of(after)}", after, evidence))
        return facts

    def _fact(self, kind: str, state: State, evidence: dict[str, Any]) -> Fact:
        data = {
            "name": self.configured.name,
            "connector": self.configured.connector,
            "reason": _reason(state),
            "attempt": getattr(state, "attempt", 0),
            "epoch": self.lease.epoch,
            "evidence": evidence | {name: _brief(seen) for name, seen in self._planes.items()},
        }
        if isinstance(state, NeedsPerson):
            data["ask"] = state.ask
        return Fact(kind, self.configured.id, to_ms(self._ambient.clock.now()), data)

    def _gap(self, hearing: Hearing) -> Fact:
        # Pings may go on while events are lost, so the gap starts where everything was last proven.
        proofs = [self._planes[one.name].seen_ms for one in self._kind.planes if self._essential(one)]
        started = min([to_ms(hearing.since), *[proof for proof in proofs if proof is not None]])
        data = {
            "id": derived_uuid7(started, f"gap:{self.configured.id}:{started}"),
            "from_ms": started,
            "cause": hearing.cause,
            "planes": [plane.name for plane in self._kind.planes if plane.essential],
        }
        return Fact("gap.opened", self.configured.id, started, data, dedupe=f"gap:{started}")

    def _essential(self, plane: Plane) -> bool:
        return plane.essential and plane.name in self._planes

    def _row(self, state: State, evidence: dict[str, Any]) -> dict[str, Any]:
        now = to_ms(self._ambient.clock.now())
        return {
            "connection": self.configured.id,
            "state": name_of(state),
            "since_ms": to_ms(state.since) if not isinstance(state, Stopped) else now,
            "attempt": getattr(state, "attempt", 0),
            "reason": _reason(state),
            "evidence": json.dumps(evidence, default=str),
            "epoch": self.lease.epoch,
            "until_ms": to_ms(state.until) if isinstance(state, Waiting) else None,
            "heard_ms": to_ms(state.heard_at) if isinstance(state, Live | Suspect) else None,
        }

    async def _append(self, facts: Sequence[Fact]) -> None:
        def work(tx: Connection) -> None:
            check(tx, self.lease.name, self.lease.epoch)
            self._append_in(tx, facts)

        await self._log.store.write(work)

    def _append_in(self, tx: Connection, facts: Sequence[Fact]) -> None:
        append_facts(
            tx, self._ambient, "keeper", facts, connection=self.configured.id, epoch=self.lease.epoch
        )

    async def _retry(self, do: Callable[[], Awaitable[T]]) -> T:
        """Repeat until the store is there again; a lost lease ends the keeper instead."""
        while True:
            try:
                return await do()
            except StoreUnavailable as error:
                log.warning("keeper.store_unavailable", connection=self.configured.id, error=str(error))
                await self._ambient.clock.sleep(RETRY_WRITE_S)

    async def _flush_planes(self) -> None:
        """Write what was proven at most once a second; the latest look of each plane wins."""
        while True:
            await self._ambient.clock.sleep(PLANES_EVERY_S)
            changed, self._changed = self._changed, set()
            if not changed and not isinstance(self.state, Live | Suspect):
                continue
            with suppress(StoreUnavailable, Fenced):
                await self._log.store.write(lambda tx, names=changed: self._write_planes(tx, names))

    def _write_planes(self, tx: Connection, names: set[str]) -> None:
        check(tx, self.lease.name, self.lease.epoch)
        for name in sorted(names):
            seen = self._planes[name]
            row = {
                "connection": self.configured.id, "plane": name, "state": seen.state, "claim": seen.claim,
                "evidence": json.dumps(seen.evidence, default=str), "seen_ms": seen.seen_ms,
                "checked_ms": seen.checked_ms,
            }  # fmt: skip
            upsert(tx, planes, row, ("connection", "plane"))
        if isinstance(self.state, Live | Suspect):
            mine = connection_states.c.connection == self.configured.id
            tx.execute(connection_states.update().where(mine).values(heard_ms=to_ms(self.state.heard_at)))

    def _end(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            task.cancel()

    # What the session's port calls.

    async def append(self, heard: Sequence[Heard]) -> list[Appended]:
        answer = await self._log.put(self._source, heard)
        self._inputs.put_nowait((Sign(), {}))
        return answer

    def prove(self, plane: str, state: PlaneState, claim: str, evidence: dict[str, Any]) -> None:
        now = to_ms(self._ambient.clock.now())
        before = self._planes.get(plane)
        seen = now if state == "proven" else (before.seen_ms if before else None)
        self._planes[plane] = _Seen(state, claim, evidence, seen, now)
        self._changed.add(plane)
        if state == "proven" and not isinstance(self.state, Opening):
            self._inputs.put_nowait((Sign(), {}))

    def tell(self, got: Input, evidence: dict[str, Any]) -> None:
        self._inputs.put_nowait((got, evidence))

    async def fact(self, fact: Fact) -> None:
        await self._append([fact])


class Port:
    """A session's view of its keeper; see `session.SessionPort`."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.connection = keeper.configured.id
        self.ambient: Ambient = keeper._ambient  # pyright: ignore[reportPrivateUsage]

    async def append(self, heard: Sequence[Heard]) -> list[Appended]:
        return await self._keeper.append(heard)

    def prove(self, plane: str, state: PlaneState, *, claim: str = "", **evidence: Any) -> None:
        self._keeper.prove(plane, state, claim, evidence)

    async def live(self, **evidence: Any) -> None:
        self._keeper.tell(Proven(), evidence)

    async def suspect(self, reason: str, **evidence: Any) -> None:
        self._keeper.tell(Doubt(reason), evidence)

    async def alert(self, cause: str, title: str, *, todo: str, **known: Any) -> None:
        now = to_ms(self.ambient.clock.now())
        data = {"title": title, "detail": {"known": known, "todo": todo, "since_ms": now}}
        await self._keeper.fact(Fact("alert.raised", cause, now, data))

    async def calm(self, cause: str) -> None:
        await self._keeper.fact(Fact("alert.resolved", cause, to_ms(self.ambient.clock.now()), {}))


def _reason(state: State) -> str:
    return state.reason if isinstance(state, Waiting | NeedsPerson | Suspect) else ""


def _last_sign(state: State) -> datetime:
    if isinstance(state, Live | Suspect):
        return state.heard_at
    return state.since if not isinstance(state, Stopped) else from_ms(0)


def _brief(seen: _Seen) -> dict[str, Any]:
    return {"state": seen.state, "claim": seen.claim, "seen_ms": seen.seen_ms, **seen.evidence}
