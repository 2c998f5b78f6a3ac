"""The way by sessions of our own: a notice becomes a job that sends a message, whatever happens once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from atalaia.clock import to_ms, within
from atalaia.desk.alerts import receipts
from atalaia.desk.alerts.channels import SESSION, NotAPlace, read_session_place
from atalaia.desk.alerts.sending import Message, Sent
from atalaia.desk.words import N_
from atalaia.errors import ConfigError
from atalaia.jobs.rows import Job, read_job, to_job
from atalaia.jobs.state import State
from atalaia.jobs.submit import NotNow, Order, Orders
from atalaia.store.bell import JOBS
from atalaia.store.job_tables import jobs
from atalaia.store.store import Store
from atalaia.store.tables import connection_states, connections

__all__ = ["SESSION", "SessionWay", "can_tell"]

BY = "alerts"
# A session that is well has sent by then; what waits longer is looked at with the next try.
LIMIT_S = 60.0
# Queued for so long, it is not sent any more: the next try makes another one.
EXPIRES_MS = 600_000
TEXT_CHARS_MAX = 4_000
_CAN_SEND = ("live", "suspect")
_ABOUT = N_("The channel %(name)s leaves this to you: it would go by the session that it is about.")
_NOT_DELIVERED = N_("The channel %(name)s leaves this to you: its message was reported as not delivered.")
_GONE = (State.FAILED, State.CANCELLED, State.EXPIRED)


@dataclass(frozen=True, slots=True)
class Teller:
    """A session that can tell people of alerts."""

    id: str
    name: str
    connector: str
    lives: bool


def can_tell(tx: Connection, kinds: Mapping[str, str]) -> list[Teller]:
    """Answer every session that can, by name. kinds: from a connector to the job that sends a message."""
    c, s = connections.c, connection_states.c
    query = select(c.id, c.name, c.connector, c.desired, s.state)
    query = query.select_from(connections.outerjoin(connection_states, s.connection == c.id))
    query = query.where(c.deleted_ms.is_(None), c.connector.in_(list(kinds))).order_by(c.name, c.id)
    return [
        Teller(row.id, row.name, row.connector, row.desired == "on" and row.state in _CAN_SEND)
        for row in tx.execute(query)
    ]


@dataclass(frozen=True)
class SessionWay:
    """Sends by the first of a channel's sessions that lives and that the alert is not about.

    A message that is reported as failed is ordered anew, once by each other session.

    kinds: from a connector to its kind of job that takes `to` and `text`.
    """

    store: Store
    orders: Orders
    kinds: Mapping[str, str]
    limit_s: float = LIMIT_S

    async def look(self, place: str) -> Sent:
        """Answer whether the sessions are there and the receiver is one; nothing is sent."""
        try:
            named = read_session_place(place)
            known = {one.id: one for one in await self.store.read(lambda tx: can_tell(tx, self.kinds))}
            chosen = [known[one] for one in named.sessions]
            for one in chosen:
                self.orders.check(self.kinds[one.connector], {"to": named.to, "text": "…"})
        except KeyError:
            return Sent(False, N_("One of these sessions is not there, or cannot tell of alerts."))
        except (NotAPlace, ConfigError) as error:
            return Sent(False, str(error))
        return Sent(True, "", ", ".join(one.name for one in chosen))

    async def send(self, place: str, message: Message) -> Sent:
        """Order the message, or go on with the order that an earlier try left, and wait for its end."""
        clock = self.orders.ambient.clock
        began_ms = to_ms(clock.now())
        try:
            named = read_session_place(place)
            found, failed = await self.store.read(lambda tx: _orders_of(tx, message.id))
            if not found or found[-1].state in _GONE or found[-1].id in failed:
                tried = frozenset(job.connection for job in found if job.id in failed)
                chosen = await self._choose(named.sessions, message.about, tried)
                if isinstance(chosen, Sent):
                    return chosen
                job = await self._order(chosen, named.to, message, len(found))
            else:
                job = found[-1]
            ended = await self._ended(job.id)
        except (NotAPlace, ConfigError) as error:
            return Sent(False, str(error))
        return await self._told(ended, to_ms(clock.now()) - began_ms)

    async def _choose(
        self, wanted: Sequence[str], about: Sequence[str], tried: frozenset[str]
    ) -> Teller | Sent:
        known = {one.id: one for one in await self.store.read(lambda tx: can_tell(tx, self.kinds))}
        there = [known[one] for one in wanted if one in known]
        free = [one for one in there if one.id not in about]
        for one in free:
            if one.lives and one.id not in tried:
                return one
        if tried:
            return Sent(False, receipts.NOT_DELIVERED, passes=_NOT_DELIVERED)
        if len(free) < len(there):
            return Sent(False, N_("It would have to go by the session that it is about."), passes=_ABOUT)
        return Sent(False, N_("None of the sessions that may tell it is connected."))

    async def _order(self, by: Teller, to: str, message: Message, number: int) -> Job:
        text = f"*{message.title}*\n\n{message.body}"[:TEXT_CHARS_MAX]
        order = Order(
            self.kinds[by.connector], by.id, {"to": to, "text": text}, BY, key=f"{_key(message.id)}{number}",
            expires_ms=to_ms(self.orders.ambient.clock.now()) + EXPIRES_MS,
        )  # fmt: skip
        return await self.store.write(lambda tx: self.orders.submit(tx, order))

    async def _ended(self, identity: str) -> Job:
        """Wait until a job is over or in doubt, as long as a notice may take."""
        bell = self.store.bell

        async def wait() -> Job:
            while True:
                rung = bell.count(JOBS)
                job = await self._job(identity)
                if job.state not in (State.QUEUED, State.RUNNING, State.WAITING):
                    return job
                await bell.wait(JOBS, rung, at_most_s=1.0)

        try:
            return await within(self.orders.ambient.clock, self.limit_s, wait())
        except TimeoutError:
            return await self._job(identity)

    async def _told(self, job: Job, took_ms: int) -> Sent:
        match job.state:
            case State.DONE:
                return Sent(True, "", "", took_ms, job=job.id)
            case State.QUEUED:
                said = N_("The session has not sent it yet.")
                await self._call_off(job)
            case State.RUNNING | State.WAITING | State.IN_DOUBT:
                said = N_("It left, and it is not known yet whether it arrived. It is not sent twice.")
            case _:
                said = job.said or N_("The session did not send it.")
        return Sent(False, said, "", took_ms, job=job.id)

    async def _call_off(self, job: Job) -> None:
        """Leave nothing in the queue of a session that does not send: another one may tell it."""
        try:
            await self.store.write(
                lambda tx: self.orders.cancel(tx, job.id, reason="not sent in time", by=BY)
            )
        except NotNow:
            return  # it has ended meanwhile; the next try sees how

    async def _job(self, identity: str) -> Job:
        found = await self.store.read(lambda tx: read_job(tx, identity))
        assert found is not None
        return found


def _key(notice: str) -> str:
    return f"alert:{notice}:"


def _orders_of(tx: Connection, notice: str) -> tuple[list[Job], frozenset[str]]:
    """Answer the jobs that were ordered for a notice, the oldest first, and whose messages failed.

    All but the last came to nothing.
    """
    query: Any = select(jobs).where(jobs.c.idempotency_key.startswith(_key(notice), autoescape=True))
    found = [to_job(row) for row in tx.execute(query.order_by(jobs.c.created_ms, jobs.c.id))]
    return found, receipts.failed(tx, [job.id for job in found])
