"""What a projection is: events folded into tables, in the transaction that moves its cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection

from atalaia.events.model import Event


class Projection(Protocol):
    """A fold from the log into tables.

    types: event types it wants; `x.*` means all that begin with `x.`.
    A projection that may want heard events too has `reads_heard(tx) -> bool`; facts alone are read otherwise.
    """

    @property
    def name(self) -> str: ...

    @property
    def types(self) -> tuple[str, ...]: ...

    def apply(self, tx: Connection, events: Sequence[Event]) -> None:
        """Fold these events, in order of the log. Applying an event again must change nothing.

        Errors: whatever it raises parks the event that caused it; the others go on.
        """
        ...

    def reset(self, tx: Connection) -> None:
        """Forget everything, so that the log can be folded again from its start."""
        ...


class Matcher:
    """Answers quickly whether a type is among patterns such as `call.*`."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._exact = {one for one in patterns if not one.endswith("*")}
        self._prefixes = tuple(one[:-1] for one in patterns if one.endswith("*"))
        self._known: dict[str, bool] = {}

    def __call__(self, event_type: str) -> bool:
        known = self._known.get(event_type)
        if known is None:
            known = event_type in self._exact or event_type.startswith(self._prefixes)
            if len(self._known) < 10_000:  # upstreams may invent types without end
                self._known[event_type] = known
        return known
