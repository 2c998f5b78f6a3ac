"""Keep, count or drop: what the log does with each kind of heard event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeVar

from sqlalchemy import Connection, select

from atalaia.store.tables import kind_policies

T = TypeVar("T")


class Keep(StrEnum):
    """KEEP writes the event, COUNT only its number per minute, DROP only that something was dropped."""

    KEEP = "keep"
    COUNT = "count"
    DROP = "drop"


@dataclass(frozen=True)
class Policies:
    """The declared policy of each connector, with what a person set on top.

    declared: connector -> {type without the connector's prefix, may end in "*": Keep}.
    overrides: (connector, type pattern) -> Keep. The longest matching pattern wins, overrides first.
    rhythms: connector -> {type without the connector's prefix, may end in "*": the kind to count it as by
    hour}.
    """

    declared: Mapping[str, Mapping[str, Keep]]
    overrides: Mapping[tuple[str, str], Keep]
    rhythms: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    _known: dict[str, Keep] = field(default_factory=dict[str, Keep], init=False, repr=False, compare=False)
    _kinds: dict[str, str] = field(default_factory=dict[str, str], init=False, repr=False, compare=False)

    def of(self, event_type: str) -> Keep:
        """Answer what to do with a heard event; what nobody declared is kept."""
        known = self._known.get(event_type)
        if known is None:
            known = self._find(event_type)
            if len(self._known) < 10_000:  # upstreams may invent types without end
                self._known[event_type] = known
        return known

    def rhythm_of(self, event_type: str) -> str:
        """Answer as which kind a heard event is counted by hour, "" = it is not."""
        connector, _, name = event_type.partition(".")
        if connector not in self.rhythms:
            return ""
        known = self._kinds.get(event_type)
        if known is None:
            known = _longest(name, self.rhythms[connector].items()) or ""
            if len(self._kinds) < 10_000:
                self._kinds[event_type] = known
        return known

    def _find(self, event_type: str) -> Keep:
        connector, _, name = event_type.partition(".")
        chosen = _longest(name, ((p, k) for (c, p), k in self.overrides.items() if c == connector))
        if chosen is None:
            chosen = _longest(name, self.declared.get(connector, {}).items())
        return chosen or Keep.KEEP


def _longest(name: str, patterns: Iterable[tuple[str, T]]) -> T | None:
    best: tuple[int, T] | None = None
    for pattern, keep in patterns:
        if (best is None or len(pattern) > best[0]) and fnmatchcase(name, pattern):
            best = (len(pattern), keep)
    return best[1] if best else None


def read_overrides(tx: Connection) -> dict[tuple[str, str], Keep]:
    """Answer what people set, by connector and type pattern."""
    rows = tx.execute(select(kind_policies).where(kind_policies.c.policy.is_not(None)))
    return {(row.connector, row.type): Keep(row.policy) for row in rows}
