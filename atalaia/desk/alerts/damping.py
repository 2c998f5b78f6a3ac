"""When an alert counts as gone, and when as flapping; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Damping:
    """How calm an alert must be.

    calm_ms: gone for so long, and it is over; back before that, and it is the same alert.
    flap_turns, flap_ms: came so often within so long: it flaps, and is over only after it was gone for as
    long.
    """

    calm_ms: int = 120_000
    flap_turns: int = 3
    flap_ms: int = 900_000

    def flaps(self, recent: Sequence[int]) -> bool:
        """Answer whether an alert that came at these moments, the last ones, flaps."""
        last = list(recent)[-self.flap_turns :]
        return len(last) == self.flap_turns and last[-1] - last[0] <= self.flap_ms

    def over_at(self, resolved_ms: int, recent: Sequence[int]) -> int:
        """Answer from when on an alert that went at `resolved_ms` is over if it does not come back."""
        return resolved_ms + (self.flap_ms if self.flaps(recent) else self.calm_ms)
