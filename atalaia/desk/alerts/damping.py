"""When an alert counts as gone, and when as flapping; pure."""

from __future__ import annotations

from collections.abc import Sequence

# What comes and goes within these is on the screen and tells nobody.
HOLD_MS = 20_000
# Gone for so long, and it is over; back before that, and it is the same alert.
CALM_MS = 120_000
# Came so often within so long: it flaps, and is over only after it was gone for as long.
FLAP_TURNS = 3
FLAP_MS = 900_000


def flaps(recent: Sequence[int]) -> bool:
    """Answer whether an alert that came at these moments, the last ones, flaps."""
    last = list(recent)[-FLAP_TURNS:]
    return len(last) == FLAP_TURNS and last[-1] - last[0] <= FLAP_MS


def over_at(resolved_ms: int, recent: Sequence[int]) -> int:
    """Answer from when on an alert that went at `resolved_ms` is over if it does not come back."""
    return resolved_ms + (FLAP_MS if flaps(recent) else CALM_MS)
