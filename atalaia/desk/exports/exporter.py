"""Brings saved records to every destination, each with a state of its own; what fails is tried again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection, func, select, update

from atalaia.ambient import Ambient
from atalaia.clock import rfc3339, to_ms
from atalaia.desk.exports.columns import line_of
from atalaia.desk.exports.destinations import Destination, Line, Sent
from atalaia.desk.installations.fold import mark_pending
from atalaia.desk.installations.queries import Installation, to_installation
from atalaia.errors import AtalaiaError, StoreUnavailable
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.store.installation_tables import exports, installations
from atalaia.store.store import Store, serialise

log = structlog.get_logger(__name__)

EVERY_S = 15.0
AGAIN_MS = 30 * 60_000  # after a failure; source: contract §14
BATCH = 200
SAID_AFTER = 2  # failures of one record until people are told
UNSAID = "The destination did not say what became of it."
NOT_SET_UP = "Its destination is not set up any more."
TODO = "Look at what it says there; nothing is lost, and it is tried again every half hour."
PRODUCER = "exports"


class NotExported(AtalaiaError):
    """There is no saved record of this installation for this destination."""


@dataclass(frozen=True, slots=True)
class Exported:
    """How one record stands at one destination. state: pending, done, failed, off (it is not set up now)."""

    destination: str
    state: str
    attempts: int
    error: str
    place: str
    next_ms: int
    done_ms: int | None
    changed_ms: int


@dataclass(frozen=True)
class Exporter:
    """Sends what is pending. sides: reads the words for the sides of a mount."""

    store: Store
    ambient: Ambient
    destinations: Sequence[Destination]
    zone: ZoneInfo
    sides: Callable[[Connection], Mapping[str, str]]

    async def run(self) -> None:
        """Work until cancelled; one worker alone may do this."""
        adopted = False
        while True:
            try:
                if not adopted:
                    await self.adopt()
                    adopted = True
                for destination in self.destinations:
                    while await self.send(destination) == BATCH:
                        pass
            except StoreUnavailable as error:
                log.warning("exports.store_unavailable", error=str(error))
            await self.ambient.clock.sleep(EVERY_S)

    async def adopt(self) -> None:
        """Put every saved record down for destinations that are new, and for none that are gone."""
        names, now = [one.name for one in self.destinations], self._now()
        for name in names:
            while await self.store.write(lambda tx, name=name: _adopt(tx, name, now)) == BATCH:
                pass
        await self.store.write(lambda tx: _leave_out(tx, names, now))

    async def send(self, destination: Destination) -> int:
        """Send one batch of what is due; answer how many records were in it."""
        now = self._now()
        due = await self.store.read(lambda tx: _due(tx, destination.name, now))
        if not due:
            return 0
        sides = await self.store.read(self.sides)
        lines = [self._line(one, sides) for one in due]
        try:
            sent = _complete(lines, await destination.send(lines))
        except Exception as error:
            log.exception("exports.failed", destination=destination.name)
            sent = [Sent(line.root, error=str(error) or type(error).__name__) for line in lines]
        now = self._now()
        await self.store.write(lambda tx: _note(tx, self.ambient, destination.name, sent, now))
        return len(due)

    def _line(self, one: Installation, sides: Mapping[str, str]) -> Line:
        at = datetime.fromtimestamp((one.saved_ms or 0) / 1000, UTC).astimezone(self.zone)
        return Line(one.root, at.strftime("%Y-%m"), line_of(one, sides, self.zone))

    def _now(self) -> int:
        return to_ms(self.ambient.clock.now())


def _complete(lines: Sequence[Line], sent: Sequence[Sent]) -> list[Sent]:
    named = {one.root for one in sent}
    return [*sent, *(Sent(line.root, error=UNSAID) for line in lines if line.root not in named)]


def exports_of(tx: Connection, root: str) -> list[Exported]:
    """Answer how a record stands at every destination."""
    c = exports.c
    query = select(
        c.destination, c.state, c.attempts, c.error, c.place, c.next_ms, c.done_ms, c.changed_ms
    ).where(c.installation == root)
    return [Exported(*row) for row in tx.execute(query.order_by(c.destination))]


def again(tx: Connection, ambient: Ambient, root: str, destination: str, *, by: str) -> None:
    """Send a record once more, also when it is there already. Errors: `NotExported`."""
    serialise(tx)
    now = to_ms(ambient.clock.now())
    c = exports.c
    change = {"state": "pending", "error": "", "next_ms": now, "changed_ms": now}
    mine = (c.installation == root, c.destination == destination)
    if not tx.execute(update(exports).where(*mine).values(change)).rowcount:
        raise NotExported("The installation has no saved record for this destination.")
    one = tx.execute(select(installations).where(installations.c.root == root)).one()
    data = {"service": one.service, "plate": one.plate, "job": root, "destination": destination, "by": by}
    fact = Fact("installation.export_asked", root, now, data)
    append_facts(tx, ambient, PRODUCER, [fact], connection=one.connection)


def _due(tx: Connection, destination: str, now_ms: int) -> list[Installation]:
    c = exports.c
    due = (c.destination == destination, c.state.in_(("pending", "failed")), c.next_ms <= now_ms)
    query = select(installations).join(exports, c.installation == installations.c.root).where(*due)
    rows: list[Any] = list(tx.execute(query.order_by(c.next_ms, c.installation).limit(BATCH)))
    return [to_installation(row) for row in rows]


def _adopt(tx: Connection, destination: str, now_ms: int) -> int:
    """Put saved records down that are not there yet, one batch; answer how many."""
    c = exports.c
    there = select(c.installation).where(c.destination == destination)
    query = select(installations.c.root).where(
        installations.c.saved_ms.is_not(None), installations.c.root.not_in(there)
    )
    roots = list(tx.scalars(query.order_by(installations.c.root).limit(BATCH)))
    for root in roots:
        mark_pending(tx, root, destination, now_ms)
    return len(roots)


def _leave_out(tx: Connection, destinations: Sequence[str], now_ms: int) -> None:
    """Let records wait no more for destinations that are gone, and wait again for those that are back."""
    c = exports.c
    gone = (c.destination.not_in(destinations), c.state.in_(("pending", "failed")))
    tx.execute(update(exports).where(*gone).values(state="off", error=NOT_SET_UP, changed_ms=now_ms))
    back = (c.destination.in_(destinations), c.state == "off")
    change = {"state": "pending", "error": "", "next_ms": now_ms, "changed_ms": now_ms}
    tx.execute(update(exports).where(*back).values(change))


def _note(tx: Connection, ambient: Ambient, destination: str, sent: Sequence[Sent], now_ms: int) -> None:
    """Write down what became of each record; tell people when they fail again and again, and when no more."""
    serialise(tx)
    c, before = exports.c, _failing(tx, destination)
    for one in sent:
        change: dict[str, Any] = {"attempts": c.attempts + 1, "changed_ms": now_ms, "error": one.error[:500]}
        if one.error:
            change |= {"state": "failed", "next_ms": now_ms + AGAIN_MS}
        else:
            change |= {"state": "done", "done_ms": now_ms, "place": one.place[:300]}
        mine = (c.installation == one.root, c.destination == destination)
        tx.execute(update(exports).where(*mine).values(change))
    after, cause = _failing(tx, destination), f"exports:{destination}"
    if after and any(one.error for one in sent):
        error = next(one.error for one in sent if one.error)[:300]
        evidence = {"destination": destination, "records": after}
        detail = {"known": error, "since": rfc3339(now_ms), "evidence": evidence, "todo": TODO}
        title = f"Records do not get to the export “{destination}”."
        data = {"cause": cause, "title": title, "detail": detail}
        append_facts(tx, ambient, PRODUCER, [Fact("alert.raised", cause, now_ms, data)])
    elif before and not after:
        append_facts(tx, ambient, PRODUCER, [Fact("alert.resolved", cause, now_ms, {"cause": cause})])


def _failing(tx: Connection, destination: str) -> int:
    """Answer how many records failed at a destination more than once, and are not there yet."""
    c = exports.c
    which = (c.destination == destination, c.state == "failed", c.attempts >= SAID_AFTER)
    return int(tx.scalar(select(func.count()).select_from(exports).where(*which)) or 0)
