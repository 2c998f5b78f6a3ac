"""One connection kept alive by one worker: carries out what the pure state machine commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, select

from atalaia.ambient import Ambient
from atalaia.clock import from_ms, to_ms
from atalaia.connections.gap_ledger import GapLedger, OpenGaps
from atalaia.connections.pace import Pace
from atalaia.connections.plane_book import PlaneBook
from atalaia.connections.port import Port, plain
from atalaia.connections.proofs import Due, Proofs
from atalaia.connections.registry import Configured
from atalaia.connections.rhythms import RhythmReader
from atalaia.connections.session import Plane, PlaneState, RunSession
from atalaia.connections.state import (
    Asking,
    AtWork,
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
    Reopened,
    Rules,
    Start,
    State,
    Stopped,
    Suspect,
    Tick,
    Waiting,
    WakeAt,
    failures_before,
    hearing_lost,
    kind_of,
    name_of,
    step,
)  # fmt: skip
from atalaia.connections.state import (
    Heard as Sign,
)
from atalaia.connections.truth import Truth
from atalaia.errors import Fenced, Refused, StoreUnavailable, Unavailable, UpstreamError
from atalaia.events.fit import fit_text
from atalaia.events.log import EventLog, Source, append_facts
from atalaia.events.model import Appended, Fact, Heard
from atalaia.ids import derived_uuid7
from atalaia.store.leases import Lease, check
from atalaia.store.tables import connection_states, connections, planes
from atalaia.store.upsert import upsert

log = structlog.get_logger(__name__)

T = TypeVar("T")
RETRY_WRITE_S = 1.0
CLOSE_S = 10.0
TEXT_CHARS_MAX = 2000


@dataclass(frozen=True)
class Kind:
    """What the keeper needs to know of the connector: how to run a session and what proves it."""

    run_session: RunSession
    planes: tuple[Plane, ...]
    silence: timedelta
    routine: timedelta | None = None
    server: Callable[[Any], str] | None = None

    @property
    def hearing(self) -> list[str]:
        """The planes that must all be proven for hearing to be proven."""
        return [plane.name for plane in self.planes if plane.essential and plane.hearing]


class Shared:
    """What the keepers of one process do together, because there may be thousands."""

    def __init__(self, eventlog: EventLog, ambient: Ambient) -> None:
        self.proofs = Proofs(eventlog.store, ambient.clock)
        self.gaps = OpenGaps(eventlog.store, ambient.clock)


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
        shared: Shared | None = None,
    ) -> None:
        """shared: what all keepers of this process share; None = this is the only one."""
        self.configured = configured
        self.lease = lease
        self.state: State = Stopped()
        self.ambient = ambient
        self._kind = kind
        self.log = eventlog
        self._ambient = ambient
        self._pace = pace
        self._inputs: asyncio.Queue[tuple[Input | Fenced, dict[str, Any]]] = asyncio.Queue()
        self._session: asyncio.Task[None] | None = None
        self._number = 0  # grows when a session begins and when it is closed
        self._alarm: asyncio.Task[None] | None = None
        self._planes = PlaneBook(kind.planes)
        shared = shared or Shared(eventlog, ambient)
        self._proofs = shared.proofs
        self._failure: dict[str, Any] = {}  # what ended the last try, until one is live
        self._flushed_ms: int | None = None
        self._source = Source(configured.id, lease.epoch)
        self.server = fit_text(kind.server(configured.settings), 200) if kind.server else ""
        self.gaps = GapLedger(
            configured.id, eventlog.store, ambient, kind.routine, self.append_facts, shared.gaps
        )
        self.rhythms = RhythmReader(eventlog, ambient.clock, configured.id)
        self.alarms: set[str] = set()  # raised here; those of the process before are in the table

    # What the supervisor calls.

    async def run(self) -> None:
        """Keep the connection until cancelled (lease gone, settings changed, hub stopping).

        Errors: `Fenced` when another worker owns the connection.
        """
        try:
            with self._proofs.keeping(self):
                await self._own_downtime()
                self._inputs.put_nowait((Start(), {}))
                while True:
                    got, evidence = await self._inputs.get()
                    if isinstance(got, Fenced):
                        raise got
                    await self._answer(got, evidence)
        finally:
            await self._wind_down()

    async def _wind_down(self) -> None:
        self._end(self._alarm)
        await self._close()
        before, self.state = self.state, Stopped()
        if isinstance(before, Stopped):
            return
        # In other states a gap is open already, or nothing was ever heard.
        gaps = hearing_lost(before, "The hub or the owner stopped.") if isinstance(before, AtWork) else []
        with suppress(Fenced, StoreUnavailable):
            await self._write(before, Stopped(), gaps, {})

    async def _own_downtime(self) -> None:
        """While nobody kept the connection, nothing was heard: that is a gap like any other."""
        essential = self._kind.hearing

        def work(tx: Connection) -> tuple[int | None, dict[str, int], dict[str, str]]:
            query = select(connection_states.c.heard_ms)
            row = tx.execute(query.where(connection_states.c.connection == self.configured.id)).first()
            mine = (planes.c.connection == self.configured.id, planes.c.seen_ms.is_not(None))
            seen = tx.execute(select(planes.c.plane, planes.c.seen_ms, planes.c.evidence).where(*mine)).all()
            proofs = {one.plane: one.seen_ms for one in seen}
            told = {one.plane: json.loads(one.evidence).get("account") for one in seen}
            accounts = {plane: str(account) for plane, account in told.items() if account}
            if row is None or row.heard_ms is None:
                return None, proofs, accounts  # no session was open, so that a gap is open already
            since = min([row.heard_ms, *(proofs[one] for one in essential if one in proofs)])
            return since, proofs, accounts

        started, proofs, accounts = await self._retry(lambda: self.log.store.read(work))
        self._planes.remember(proofs, accounts)
        if started is not None:
            gap = self.gap(started, "The hub was not running.", "downtime")
            await self._retry(lambda: self.append_facts([gap]))

    # One input.

    async def _answer(self, got: Input, evidence: dict[str, Any]) -> None:
        now = self._ambient.clock.now()
        pause = self._pace.after(failures_before(self.state, now), self._ambient.random)
        before = self.state
        after, commands = step(before, got, now, Rules(self._kind.silence, pause))
        self.state = after
        self._note_failure(got, after)
        if self._failure:
            evidence = {**evidence, "failure": self._failure}
        if _moved(before, after) or any(isinstance(c, Hearing) for c in commands):
            await self._retry(lambda: self._write(before, after, commands, evidence))
            self.gaps.news()
        for command in commands:
            await self._carry_out(command)

    def _note_failure(self, got: Input, after: State) -> None:
        """Remember why the last try ended: people still need to know it while the next one opens."""
        if isinstance(after, Live | Stopped):
            self._failure = {}
        elif isinstance(got, Lost):
            told = {"said": str(got.error), "cause": got.error.cause, "todo": got.error.todo}
            self._failure = {name: fit_text(value, TEXT_CHARS_MAX) for name, value in told.items() if value}
        elif isinstance(after, Waiting):
            self._failure = {"said": fit_text(after.reason, TEXT_CHARS_MAX)}

    async def _carry_out(self, command: Command) -> None:
        match command:
            case Open():
                self._number += 1
                self._planes.begin_anew(to_ms(self._ambient.clock.now()))
                self._session = asyncio.create_task(self._run_session(self._number))
            case Close():
                await self._close()
            case WakeAt(when=when):
                self._end(self._alarm)
                self._alarm = asyncio.create_task(self._wake(when))
            case Hearing():
                pass  # written with the transition

    async def _close(self) -> None:
        """End the session; whatever it still says is not listened to."""
        self._number += 1
        session, self._session = self._session, None
        if session is None or session.done():
            return
        session.cancel()
        done, _ = await asyncio.wait({session}, timeout=CLOSE_S)
        if not done:
            log.error("session.does_not_end", connection=self.configured.id, after_s=CLOSE_S)

    async def _run_session(self, number: int) -> None:
        try:
            await self._kind.run_session(self.configured.settings, Port(self, number))
            error: UpstreamError = Unavailable("The session ended by itself.")
        except Exception as raised:
            known = _known(raised)
            if isinstance(known, Fenced):
                self._inputs.put_nowait((known, {}))
                return
            if known is None:
                # A bug of ours must not take the other connections down; it stays loud in the log.
                log.exception("session.bug", connection=self.configured.id)
                kind = type(raised).__name__
                known = Unavailable(f"A defect of ours ended the session ({kind}). See the log.")
            error = known
        self.tell(Lost(error), {"error": type(error).__name__}, number)

    async def _wake(self, when: datetime) -> None:
        await self._ambient.clock.sleep(max(0.0, (when - self._ambient.clock.now()).total_seconds()))
        self._inputs.put_nowait((Tick(), {}))

    # Writing.

    async def _write(
        self, before: State, after: State, commands: Sequence[Command], evidence: dict[str, Any]
    ) -> None:
        facts = self._transition(before, after, evidence) if _moved(before, after) else []
        facts += [self._gap_of(command) for command in commands if isinstance(command, Hearing)]
        row = self._row(after, evidence)

        def work(tx: Connection) -> None:
            check(tx, self.lease.name, self.lease.epoch)
            self._append_in(tx, facts + (self._calmed(tx) if isinstance(after, Stopped) else []))
            upsert(tx, connection_states, row, ("connection",))

        await self.log.store.write(work)

    def _calmed(self, tx: Connection) -> list[Fact]:
        """Take back what its sessions raised, once nobody wants it any more: no session is left to do it."""
        mine = (connections.c.id == self.configured.id, connections.c.deleted_ms.is_(None))
        if tx.scalar(select(connections.c.desired).where(*mine)) == "on":
            return []
        now = to_ms(self._ambient.clock.now())
        return [Fact("alert.resolved", cause, now, {}) for cause in sorted(self.alarms)]

    def _transition(self, before: State, after: State, evidence: dict[str, Any]) -> list[Fact]:
        facts: list[Fact] = []
        if isinstance(before, AtWork) and not isinstance(after, AtWork):
            facts.append(self._fact("connection.lost", after, evidence))
        facts.append(self._fact(f"connection.{name_of(after)}", after, evidence))
        return facts

    def _fact(self, kind: str, state: State, evidence: dict[str, Any]) -> Fact:
        data = {
            "name": self.configured.name,
            "connector": self.configured.connector,
            "kind": kind_of(state),
            "reason": _reason(state),
            "attempt": getattr(state, "attempt", 0),
            "epoch": self.lease.epoch,
            "evidence": evidence | self._planes.brief(),
        }
        if isinstance(state, NeedsPerson | Asking):
            data["ask"] = state.ask
        return Fact(kind, self.configured.id, to_ms(self._ambient.clock.now()), data)

    def _gap_of(self, hearing: Hearing) -> Fact:
        # Pings may go on while events are lost, so the gap starts where everything was last proven.
        started = self._planes.oldest(self._kind.hearing, to_ms(hearing.since))
        return self.gap(started, hearing.cause, "loss")

    def gap(self, started: int, cause: str, origin: str, ended: int | None = None) -> Fact:
        """Answer the fact that opens a gap. ended: when it was over, if nothing is being missed any more."""
        data = {
            "id": derived_uuid7(started, f"gap:{self.configured.id}:{started}"),
            "from_ms": started,
            "to_ms": ended,
            "cause": cause,
            "origin": origin,
            "planes": self._kind.hearing,
        }
        return Fact("gap.opened", self.configured.id, started, data, dedupe=f"gap:{started}")

    def _row(self, state: State, evidence: dict[str, Any]) -> dict[str, Any]:
        now = to_ms(self._ambient.clock.now())
        # While nothing is heard, when something was heard last stays what it was.
        heard = {"heard_ms": to_ms(state.heard_at)} if isinstance(state, AtWork) else {}
        return heard | {
            "connection": self.configured.id,
            "state": name_of(state),
            "since_ms": to_ms(state.since) if not isinstance(state, Stopped) else now,
            "attempt": getattr(state, "attempt", 0),
            "reason": _reason(state),
            "evidence": json.dumps(evidence | _ask(state)),
            "epoch": self.lease.epoch,
            "until_ms": to_ms(state.until) if isinstance(state, Waiting) else None,
            "kind": kind_of(state),
            "server": self.server,
        }

    async def append_facts(self, facts: Sequence[Fact]) -> None:
        """Append facts under the lease. Errors: `Fenced`, `StoreUnavailable`."""

        def work(tx: Connection) -> None:
            check(tx, self.lease.name, self.lease.epoch)
            self._append_in(tx, facts)

        await self.log.store.write(work)

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

    def due(self) -> Due | None:
        """Hand out what was proven since it was last written; see `proofs.Kept`."""
        heard = to_ms(self.state.heard_at) if isinstance(self.state, AtWork) else None
        if not self._planes.changed and heard in (None, self._flushed_ms):
            return None
        names, self._planes.changed = frozenset(self._planes.changed), set()
        rows = self._planes.rows(self.configured.id, names)
        return Due(self.configured.id, self.lease, names, rows, heard)

    def written(self, due: Due, error: Fenced | StoreUnavailable | None) -> None:
        """Take it that this was written, or was not; see `proofs.Kept`."""
        if error is None:
            self._flushed_ms = due.heard_ms if due.heard_ms is not None else self._flushed_ms
        elif isinstance(error, Fenced):
            self._inputs.put_nowait((error, {}))
        else:
            self._planes.changed |= due.names

    def _end(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            task.cancel()

    # What the session's port calls. `number` tells a session from those that were closed before it.

    async def append(self, heard: Sequence[Heard], came_ms: int | None, number: int) -> list[Appended]:
        answer = await self.log.put(self._source, heard)
        self._sign(number)
        if came_ms is not None and number == self._number and self._planes.prove_by_events(came_ms):
            self._all_proven("what came by itself", number)
        return answer

    def prove(
        self, plane: str, state: PlaneState, claim: str, evidence: Mapping[str, Any], number: int
    ) -> None:
        if number != self._number:
            return
        now = to_ms(self._ambient.clock.now())
        done = self._planes.prove(plane, state, claim, plain(evidence), now)
        # While opening, a single proof is not yet a sign of life: the session must become live in time.
        if state == "proven" and not isinstance(self.state, Opening):
            self._sign(number)
        if done:
            self._all_proven(plane, number)

    def _all_proven(self, by: str, number: int) -> None:
        """Take it that nothing is left to be proven anew: an unproven session is live."""
        if kind_of(self.state) is Truth.UNPROVEN:
            self.tell(Proven(), {"proven": by}, number)

    def reopened(self, reason: str, number: int) -> None:
        """Take it that the upstream opened its session anew: hearing was interrupted, and is to be proven."""
        if number != self._number:
            return
        # Where the gap begins is what was proven until now: the look goes on and proves the new session.
        now = self._ambient.clock.now()
        heard = self.state.heard_at if isinstance(self.state, AtWork) else now
        since = self._planes.oldest(self._kind.hearing, to_ms(heard))
        self._planes.begin_anew(to_ms(now))
        self.tell(Reopened(reason, from_ms(since)), {}, number)

    def tell(self, got: Input, evidence: Mapping[str, Any], number: int) -> None:
        if number != self._number:
            return
        if isinstance(got, Proven) and self._planes.missing:
            missing = ", ".join(sorted(self._planes.missing))
            got = Doubt(f"Not proven since it was opened: {missing}.", Truth.UNPROVEN)
        self._inputs.put_nowait((got, plain(evidence)))

    def _sign(self, number: int) -> None:
        """Note a sign of life. It changes nothing but the time, so it need not queue behind transitions."""
        if number == self._number:
            now = self._ambient.clock.now()
            self.state, _ = step(self.state, Sign(), now, Rules(self._kind.silence, timedelta()))


def _known(raised: BaseException) -> UpstreamError | Fenced | None:
    """Answer which of our errors ended a session, also from within a task group; None = a defect."""
    match raised:
        case UpstreamError() | Fenced():
            return raised
        case StoreUnavailable():
            return Unavailable(f"The hub could not write down what it heard. {raised}")
        case BaseExceptionGroup():
            inner = [_known(one) for one in raised.exceptions]
            found = [one for one in inner if one is not None]
            if len(found) < len(inner):
                return None
            return next((one for one in found if isinstance(one, Fenced | Refused)), found[0])
        case _:
            return None


def _moved(before: State, after: State) -> bool:
    """Answer whether there is something to tell: another state, or something else is known of the session."""
    return (name_of(before), kind_of(before)) != (name_of(after), kind_of(after))


def _reason(state: State) -> str:
    return (
        fit_text(state.reason, TEXT_CHARS_MAX)
        if isinstance(state, Waiting | NeedsPerson | Suspect | Asking)
        else ""
    )


def _ask(state: State) -> dict[str, str]:
    """Answer what a person is asked to do, for the screen."""
    return {"ask": state.ask} if isinstance(state, NeedsPerson | Asking) else {}
