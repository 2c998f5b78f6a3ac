"""Runs one projection: page by page, each page with its cursor in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, delete

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.errors import Fenced, StoreUnavailable
from atalaia.events.model import Event
from atalaia.reactions.cursor import (
    Again,
    Page,
    asked_again,
    park,
    read_cursor,
    read_page,
    save_cursor,
    settle,
)
from atalaia.reactions.projection import Matcher, Projection
from atalaia.store.bell import FACTS, LOG, facts_of
from atalaia.store.failure import in_transaction, unavailable
from atalaia.store.leases import Lease
from atalaia.store.store import Store, savepoint
from atalaia.store.tables import FACT, cursors, parked

LOOK_S = 1.0  # how often a busy one looks whether a person asked for a parked event again


class Folding:
    """A projection with its cursor. `turn` does one page and answers whether more waits."""

    def __init__(self, projection: Projection, store: Store, ambient: Ambient) -> None:
        self.name = projection.name
        self._projection = projection
        self._store = store
        self._ambient = ambient
        self._wants = Matcher(projection.types)
        self._reads_heard: Callable[[Connection], bool] | None = getattr(projection, "reads_heard", None)
        self._heard = False
        words = {one.partition(".")[0] for one in projection.types}
        only = words.pop() if len(words) == 1 else "*"
        self._facts = FACTS if only == "*" else facts_of(only)
        self._lease: Lease | None = None
        self._at: int | None = None  # where the cursor is, as long as that is sure
        self._look_at = 0.0

    @property
    def topic(self) -> str:
        """Which bell says that there may be something to do.

        One that wants facts of one kind is woken by no others; its cursor passes them at the next look.
        """
        return LOG if self._heard else self._facts

    def begin(self, lease: Lease | None) -> None:
        """Start over from the saved cursor, under this lease (None: nobody else can be running)."""
        self._lease, self._at = lease, None

    async def turn(self) -> bool:
        """Fold one page. Errors: `Fenced`, `Moved`, `StoreUnavailable`."""
        at, self._at = self._at, None  # whatever is raised, the next turn looks where the cursor is
        now = self._ambient.clock.monotonic()
        if at is not None and now < self._look_at:
            page = await self._store.write(lambda tx: self._go_on(tx, at))
            if page.upto > at:
                self._at = page.upto
                return page.more
        self._look_at = now + LOOK_S
        return await self._look()

    def _go_on(self, tx: Connection, at: int) -> Page:
        """Read a page and fold it in one transaction: under load each one more costs a way to and fro."""
        page = self._page(tx, at)
        if page.upto > at:
            self._take(tx, at, page, ())
        return page

    async def _look(self) -> bool:
        """Look where the cursor is and what a person asked for; write only when there is something to do."""
        cursor, page, again = await self._store.read(self._read)
        if page.upto > cursor or again:
            await self._store.write(lambda tx: self._take(tx, cursor, page, again))
        self._at = page.upto
        return page.more

    def _take(self, tx: Connection, before: int, page: Page, again: Sequence[Again]) -> None:
        now = to_ms(self._ambient.clock.now())
        save_cursor(tx, self.name, page.upto, self._lease, now, before=before)
        for one in again:
            settle(tx, one.parked, now, self._try(tx, [one.event]) if one.event else one.gone)
        self._fold(tx, page.events, now)

    async def idle(self) -> bool:
        """Answer whether a turn would find nothing to do."""
        cursor, page, again = await self._store.read(self._read)
        return page.upto == cursor and not again

    def _read(self, tx: Connection) -> tuple[int, Page, list[Again]]:
        cursor = read_cursor(tx, self.name)
        return cursor, self._page(tx, cursor), asked_again(tx, self.name)

    def _page(self, tx: Connection, at: int) -> Page:
        self._heard = self._reads_heard is not None and self._reads_heard(tx)
        return read_page(tx, at, family=None if self._heard else FACT, wants=self._wants)

    def _fold(self, tx: Connection, events: Sequence[Event], now: int) -> None:
        """Fold all at once; when that fails, one by one, so that only the bad ones are parked."""
        if not events or self._try(tx, events) is None:
            return
        for event in events:
            error = self._try(tx, [event])
            if error is not None:
                park(tx, self.name, event, error, now)

    def _try(self, tx: Connection, events: Sequence[Event]) -> Exception | None:
        try:
            with savepoint(tx):
                self._projection.apply(tx, events)
        except (Fenced, StoreUnavailable):
            raise
        except Exception as error:
            if unavailable(error) is not None or not in_transaction(tx):
                raise  # the database is at fault, not the event
            return error  # any defect parks the event, none stops the log
        return None


def rebuild(tx: Connection, projection: Projection) -> None:
    """Forget what a projection folded; the next turns fold the log again from its start."""
    projection.reset(tx)
    tx.execute(delete(cursors).where(cursors.c.reaction == projection.name))
    tx.execute(delete(parked).where(parked.c.reaction == projection.name))
