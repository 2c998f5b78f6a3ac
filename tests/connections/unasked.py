"""The rest of a session's port, for ports in memory whose sessions never ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from atalaia.connections.ladder import Ladder, Rung
from atalaia.connections.session import Claimed
from atalaia.connections.silence import HOUR_MS, Rhythm
from atalaia.connections.truth import Truth
from atalaia.events.gaps import Reconcile, Reconciled


def busy(kind: str, per_hour: int, now_ms: int) -> Rhythm:
    """Answer four weeks that were all alike, up to now."""
    hour = now_ms - now_ms % HOUR_MS
    counts = {hour - back * HOUR_MS: per_hour for back in range(1, 28 * 24 + 1)}
    return Rhythm({kind: counts}, {kind: now_ms}, hour - 28 * 24 * HOUR_MS)


class Unasked:
    """Nothing is to be reconciled or usual; whatever else is asked for is a mistake of the test."""

    usual = Rhythm({}, {}, 0)

    async def needs(self, reason: str, /, *, ask: str, kind: Truth, **evidence: Any) -> None:
        raise AssertionError(reason)

    async def known(self, starts: Sequence[str]) -> set[str]:
        raise AssertionError(starts)

    async def newest(self, keys: Sequence[str], types: Sequence[str]) -> Mapping[str, int]:
        raise AssertionError(keys)

    async def accounts(self) -> frozenset[str]:
        raise AssertionError

    async def rhythm(self) -> Rhythm:
        return self.usual

    async def reopened(self, reason: str, /) -> None:
        raise AssertionError(reason)

    async def lost_hearing(self, since_ms: int, cause: str, upto_ms: int | None = None) -> None:
        raise AssertionError(cause)

    async def to_reconcile(self) -> Reconcile:
        await asyncio.Event().wait()
        raise AssertionError

    async def reconciled(self, what: Reconcile, report: Reconciled) -> None:
        raise AssertionError(report)

    async def claim(self, rung: Rung, cause: Truth, ladder: Ladder) -> Claimed:
        raise AssertionError(rung)

    async def settle(self, claimed: Claimed, outcome: str, said: str) -> None:
        raise AssertionError(said)

    async def tell(self, fact: str, data: Mapping[str, Any]) -> None:
        raise AssertionError(fact)
