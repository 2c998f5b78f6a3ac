"""Which places a phone's bar holds: the four that this person most likely goes to; “More” has the rest."""

from __future__ import annotations

from collections.abc import Sequence

BAR_PLACES = 4  # and “More”: five under one thumb

_WORLDS = ("calls", "charging", "chats", "vehicles", "devices", "tickets")
# What stands first for whom. A place that is not there (no such connection, not allowed) gives its room away.
_BY_ROLE: dict[str, tuple[str, ...]] = {
    "admin": ("now", *_WORLDS, "jobs", "connections", "alerts", "installations", "deliveries", "events"),
    "agent": ("now", "installations", *_WORLDS, "jobs", "alerts", "events", "deliveries", "connections"),
    "viewer": ("now", *_WORLDS, "installations", "alerts", "connections", "jobs", "events", "deliveries"),
}
_WORK_FIRST = (
    "installations",
    "vehicles",
    "jobs",
    "now",
    *_WORLDS,
)  # narrow roles: they come to do one thing


def bar_of(present: Sequence[str], role: str) -> tuple[str, ...]:
    """Answer the keys of the bar's places, in the order in which they stand in it.

    present: keys of the places that are there for this person, in the rail's order. All of them when they
    are so few that nothing would be left for “More”.
    """
    if len(present) <= BAR_PLACES + 1:
        return tuple(present)
    wanted = _BY_ROLE.get(role, _WORK_FIRST)
    ranked = sorted(present, key=lambda key: wanted.index(key) if key in wanted else len(wanted))
    chosen = ranked[:BAR_PLACES]
    return tuple(sorted(chosen, key=lambda key: (key != "now", present.index(key))))
