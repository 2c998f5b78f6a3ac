"""What a worker has in hand of one lane = (subscription, destination): bounded, in order per key.

A lane holds a *line* for each key. A line that waits or is stuck keeps at most its head in memory; what
stands behind it stays in the database and is loaded again by key. So one failing key costs one row of memory,
and a lane as a whole is never more than a window ahead of what it has sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from atalaia.deliveries.circuit import Circuit, Closed, Open
from atalaia.deliveries.subscription import Subscription
from atalaia.events.model import Event

WINDOW = 2000  # deliveries in hand that are ready or on their way
LINE_MOST = 200  # of these, of one key
WAITING_MOST = 10_000  # keys that wait for their next attempt
FLYING_MOST = 64  # on their way at once


@dataclass(slots=True)
class Item:
    """One delivery as the database has it, with its event."""

    id: int
    attempts: int
    failing_ms: int | None
    replay_of: int | None
    event: Event
    marked: bool = False  # the database says `sending`


@dataclass(slots=True)
class Row:
    """What loading answers. event: None when retention has taken it from the log."""

    id: int
    subscription: str
    destination: str
    key: str
    state: str
    attempts: int
    next_ms: int | None
    failing_ms: int | None
    replay_of: int | None
    event: Event | None


class At(Enum):
    """Where a line stands."""

    READY = auto()
    FLYING = auto()
    WAITING = auto()
    STUCK = auto()  # behind a dead one
    EMPTY = auto()  # more is in the database, asked for


@dataclass(slots=True)
class Line:
    """The deliveries of one key, oldest first."""

    key: str
    at: At = At.READY
    items: deque[Item] = field(default_factory=deque[Item])
    more: bool = False  # the database has later ones that are not in hand
    loaded_to: int = 0
    alarm: int = 0  # which alarm may wake it
    own_fault: bool = True  # it waits because of its own failure, not of the target's
    since_s: float = 0.0  # when its head took off


@dataclass
class Lane:
    """One lane under our lease. Changed by the dispatcher only."""

    subscription: Subscription
    destination: str
    epoch: int
    circuit: Circuit = field(default_factory=Closed)
    lines: dict[str, Line] = field(default_factory=dict[str, Line])
    ready: deque[Line] = field(default_factory=deque[Line])
    empty: list[Line] = field(default_factory=list[Line])  # lines to be loaded by key
    late: list[tuple[Line, int]] = field(default_factory=list[tuple[Line, int]])  # loaded, waiting until then
    held: int = 0  # items of ready and flying lines
    waiting: int = 0
    flying: int = 0
    unrecorded: int = 0  # results that are not in the database yet
    behind: bool = True  # the database has rows after `loaded_to` that the feed will not tell
    loaded_to: int = 0
    paused: bool = False
    ending: Literal["", "reload", "release"] = ""
    gone: bool = False  # no longer ours: nothing of it may be sent or written
    told_delivered_s: float = float("-inf")

    @property
    def lease(self) -> str:
        return lease_name(self.subscription.id, self.destination)

    @property
    def name(self) -> tuple[str, str]:
        return self.subscription.id, self.destination

    @property
    def full(self) -> bool:
        return self.held >= WINDOW or self.waiting >= WAITING_MOST

    @property
    def wants_rows(self) -> bool:
        """Whether it is time to load the next part of the backlog."""
        return (
            self.behind and not self.gone and not self.ending and self.held <= WINDOW // 2 and not self.full
        )

    @property
    def drained(self) -> bool:
        return self.flying == 0 and self.unrecorded == 0

    @property
    def may_send(self) -> bool:
        return not (self.paused or self.ending or self.gone)

    def next_ready(self) -> Line | None:
        """Take the line whose turn it is, None when nothing may go now."""
        if not self.may_send or not isinstance(self.circuit, Closed):
            return None
        return self.take_off()

    def take_off(self) -> Line | None:
        """Take the line whose turn it is, whatever the circuit says."""
        if not self.ready:
            return None
        line = self.ready.popleft()
        line.at = At.FLYING
        self.flying += 1
        return line

    def probe_due(self, now_ms: int) -> bool:
        return (
            isinstance(self.circuit, Open)
            and self.may_send
            and bool(self.ready)
            and now_ms >= self.circuit.probe_ms
        )

    # Rows coming in.

    def feed(self, row: Row) -> None:
        """Take a row that is new in the database."""
        if not self.behind and not self.take(row):
            self.behind, self.loaded_to = True, row.id - 1

    def take(self, row: Row) -> bool:
        """Take one row in order of ids; False when there is no room for it."""
        line = self.lines.get(row.key)
        if line is not None and (line.more or line.at in (At.WAITING, At.STUCK, At.EMPTY)):
            line.more = True
            return True
        if self.full:
            return False
        if line is not None and len(line.items) >= LINE_MOST:
            line.more = True
            return True
        self._append(line, row)
        return True

    def _append(self, line: Line | None, row: Row) -> None:
        assert row.event is not None
        item = Item(row.id, row.attempts, row.failing_ms, row.replay_of, row.event)
        if line is None:
            line = self.lines[row.key] = Line(row.key)
            if row.state == "waiting" and row.next_ms is not None:
                line.at = At.WAITING
                self.waiting += 1
                self.held -= 1
                self.late.append((line, row.next_ms))
            else:
                self.ready.append(line)
        line.items.append(item)
        line.loaded_to = row.id
        self.held += 1

    def refill(self, line: Line, rows: list[Row], *, complete: bool) -> None:
        """Take the rows of one key that were loaded after its line had run empty."""
        if self.lines.get(line.key) is not line:
            return
        line.more = not complete
        for row in rows:
            assert row.event is not None
            line.items.append(Item(row.id, row.attempts, row.failing_ms, row.replay_of, row.event))
            line.loaded_to = row.id
        self.held += len(rows)
        if rows:
            self._make_ready(line)
        elif line.more:
            self.empty.append(line)
        else:
            del self.lines[line.key]

    # What became of a line's head.

    def landed(self, line: Line) -> None:
        """Its head is settled for good; the next one's turn comes."""
        self.flying -= 1
        line.items.popleft()
        self.held -= 1
        self._go_on(line)

    def back_in_line(self, line: Line) -> None:
        """Its head goes again: it was not its fault. Others go first, so that probes take turns."""
        self.flying -= 1
        self._make_ready(line)

    def wait(self, line: Line, *, own_fault: bool) -> None:
        """Its head waits; what stands behind it is loaded again later."""
        self.flying -= 1
        self.park(line, own_fault=own_fault)

    def park(self, line: Line, *, own_fault: bool) -> None:
        """Let a line wait that is not on its way."""
        self.held -= len(line.items)
        if len(line.items) > 1:
            line.more = True
            head = line.items[0]
            line.items = deque([head])
            line.loaded_to = head.id
        line.at, line.own_fault = At.WAITING, own_fault
        self.waiting += 1

    def stick(self, line: Line) -> None:
        """Its head is dead and the policy says that nothing may pass it."""
        self.flying -= 1
        self.held -= len(line.items)
        line.items.clear()
        line.at, line.more = At.STUCK, True

    def wake(self, line: Line) -> None:
        """A waiting line's time came."""
        if line.at is At.WAITING:
            self.waiting -= 1
            self.held += len(line.items)
            self._make_ready(line)

    def waiting_lines(self) -> Iterator[Line]:
        return (line for line in self.lines.values() if line.at is At.WAITING)

    def hold_stuck(self, keys: set[str]) -> None:
        """Block the keys that have a dead delivery in front."""
        for key in keys:
            self.lines[key] = Line(key, At.STUCK, more=True)

    def reset(self) -> None:
        """Forget everything in hand; it is loaded again from the beginning."""
        self.lines.clear()
        self.ready.clear()
        self.empty.clear()
        self.late.clear()
        self.held = self.waiting = self.flying = 0
        self.behind, self.loaded_to, self.ending = True, 0, ""

    def _go_on(self, line: Line) -> None:
        if line.items:
            self._make_ready(line)
        elif line.more:
            line.at = At.EMPTY
            self.empty.append(line)
        else:
            del self.lines[line.key]

    def _make_ready(self, line: Line) -> None:
        line.at = At.READY
        self.ready.append(line)


def lease_name(subscription: str, destination: str) -> str:
    """Answer the name of the lease that owns a lane."""
    return f"lane:{subscription}:{destination}"
