"""Cursors, pages of the log, and parked events: what every reaction shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, insert, select, update

from atalaia.errors import AtalaiaError
from atalaia.events.fit import fit_text
from atalaia.events.log import head, read_after, read_event
from atalaia.events.model import Event
from atalaia.store.bulk import run
from atalaia.store.leases import Lease, check
from atalaia.store.tables import cursors, parked
from atalaia.store.upsert import insert_new

log = structlog.get_logger(__name__)

PAGE = 400
ERROR_CHARS_MAX = 2000


class Moved(AtalaiaError):
    """Somebody else moved the cursor meanwhile; what was done from the old place is undone."""


@dataclass(frozen=True)
class Page:
    """Events after a cursor, where the cursor may move once they are done, and whether more wait."""

    events: list[Event]
    upto: int
    more: bool


def read_page(
    tx: Connection, seq: int, *, family: int | None, wants: Callable[[str], bool], prefix: str = ""
) -> Page:
    """Read what a reaction wants after `seq`. prefix: with which all wanted types begin."""
    last = head(tx)
    if last <= seq:
        return Page([], seq, more=False)
    rows = read_after(tx, seq, limit=PAGE, family=family, upto=last, prefix=prefix)
    full = len(rows) == PAGE
    upto = rows[-1].seq if full else last
    return Page([event for event in rows if wants(event.type)], upto, more=full)


def read_cursor(tx: Connection, reaction: str) -> int:
    """Answer the last sequence this reaction has dealt with."""
    return int(run(tx, "select seq from cursors where reaction = ?", reaction).scalar() or 0)


def save_cursor(
    tx: Connection, reaction: str, seq: int, lease: Lease | None, now_ms: int, *, before: int
) -> None:
    """Move the cursor from `before` to `seq`.

    Errors: `Fenced` when another worker runs the reaction now; `Moved` when the cursor is not at `before`.
    """
    epoch = 0
    if lease is not None:
        check(tx, lease.name, lease.epoch)
        epoch = lease.epoch
    if run(tx, _MOVE, seq, epoch, now_ms, reaction, before).rowcount:
        return
    row = {"reaction": reaction, "seq": seq, "epoch": epoch, "changed_ms": now_ms}
    if before or not insert_new(tx, cursors, row):
        raise Moved(f"The cursor of {reaction} is not at {before} any more.")


_MOVE = "update cursors set seq = ?, epoch = ?, changed_ms = ? where reaction = ? and seq = ?"


def park(tx: Connection, reaction: str, event: Event, error: BaseException, now_ms: int) -> None:
    """Put an event aside with the reason, so that the others can go on."""
    said = _said(error)
    log.error("event.parked", reaction=reaction, seq=event.seq, type=event.type, error=said)
    row = {
        "reaction": reaction, "seq": event.seq, "key": event.key, "error": said, "state": "parked",
        "parked_ms": now_ms, "settled_ms": None,
    }  # fmt: skip
    tx.execute(insert(parked).values(row))


@dataclass(frozen=True)
class Again:
    """A parked event which a person asked to try again; without `event` when the log has it no more."""

    parked: int
    event: Event | None

    @property
    def gone(self) -> Exception:
        """What to say when there is no event."""
        return LookupError("The event is not in the log any more.")


def asked_again(tx: Connection, reaction: str) -> list[Again]:
    """Answer the parked events which a person asked to try again, oldest first."""
    query = select(parked.c.id, parked.c.seq).where(parked.c.state == "again", parked.c.reaction == reaction)
    rows = tx.execute(query.order_by(parked.c.seq).limit(PAGE)).all()
    return [Again(row.id, read_event(tx, row.seq)) for row in rows]


def settle(tx: Connection, identity: int, now_ms: int, error: BaseException | None) -> None:
    """Note what became of a parked event that was tried again."""
    if error is None:
        change: dict[str, Any] = {"state": "settled", "settled_ms": now_ms}
    else:
        change = {"state": "parked", "error": _said(error), "parked_ms": now_ms}
    tx.execute(update(parked).where(parked.c.id == identity).values(change))


def _said(error: BaseException) -> str:
    return fit_text(f"{type(error).__name__}: {error}", ERROR_CHARS_MAX)
