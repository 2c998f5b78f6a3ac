"""Runs one projection: page by page, each page with its cursor in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.errors import Fenced
from atalaia.events.model import Event
from atalaia.reactions.cursor import Page, asked_again, park, read_cursor, read_page, save_cursor, settle
from atalaia.reactions.projection import Matcher, Projection
from atalaia.store.leases import Lease
from atalaia.store.store import Store
from atalaia.store.tables import FACT, cursors, parked


class Folding:
    """A projection with its cursor. `turn` does one page and answers whether more waits."""

    def __init__(self, projection: Projection, store: Store, ambient: Ambient) -> None:
        self.name = projection.name
        self._projection = projection
        self._store = store
        self._ambient = ambient
        self._wants = Matcher(projection.types)
        self._cursor: int | None = None
        self._lease: Lease | None = None

    def begin(self, lease: Lease | None) -> None:
        """Start over from the saved cursor, under this lease (None: nobody else can be running)."""
        self._lease = lease
        self._cursor = None

    async def turn(self) -> bool:
        """Fold one page. Errors: `Fenced`, `StoreUnavailable`."""
        page, again = await self._store.read(self._read)
        if page.upto == self._cursor and not again:
            return False
        now = to_ms(self._ambient.clock.now())

        def work(tx: Connection) -> None:
            for identity, event in again:
                settle(tx, identity, now, self._try(tx, [event]))
            self._fold(tx, page.events, now)
            save_cursor(tx, self.name, page.upto, self._lease, now)

        await self._store.write(work)
        self._cursor = page.upto
        return page.more

    def _read(self, tx: Connection) -> tuple[Page, list[tuple[int, Event]]]:
        if self._cursor is None:
            self._cursor = read_cursor(tx, self.name)
        family = None if getattr(self._projection, "heard", False) else FACT
        return read_page(tx, self._cursor, family=family, wants=self._wants), asked_again(tx, self.name)

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
            with tx.begin_nested():
                self._projection.apply(tx, events)
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001  # any defect parks the event, none stops the log
            return error
        return None


def rebuild(tx: Connection, projection: Projection) -> None:
    """Forget what a projection folded; the next turns fold the log again from its start."""
    projection.reset(tx)
    tx.execute(delete(cursors).where(cursors.c.reaction == projection.name))
    tx.execute(delete(parked).where(parked.c.reaction == projection.name))
