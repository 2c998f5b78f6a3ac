"""How long to pause before trying again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from random import Random


@dataclass(frozen=True)
class Pace:
    """Doubling pauses with jitter: never at once, never in step with others.

    A reconnect within milliseconds can leave Asterisk's new session deaf (6 of 40 measured), so even the
    first pause has a floor.
    """

    first_s: float = 1.0
    most_s: float = 30.0
    jitter: float = 0.3  # the pause is drawn from [1 - jitter, 1] of its full length

    def after(self, attempt: int, random: Random) -> timedelta:
        """Answer the pause after the `attempt`-th failure in a row (1 = the first)."""
        full = min(self.most_s, self.first_s * 2 ** min(attempt - 1, 16))
        return timedelta(seconds=full * (1 - self.jitter * random.random()))
