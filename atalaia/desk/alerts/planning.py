"""What a channel has to be told about one alert now; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from atalaia.desk.alerts.channels import Policy

Told = Literal["raised", "grew", "flapping", "reminder", "resolved"]
MINUTE_MS = 60_000
# An alert that comes back just before it is over may be written down just after we looked.
SLACK_MS = 2_000


@dataclass(frozen=True, slots=True)
class Standing:
    """What planning needs to know of an alert. over_ms: gone, it is over from then on."""

    opened_ms: int
    resolved_ms: int | None
    over_ms: int | None
    flapping: bool
    turns: int
    standing: int
    severity: str
    silenced: bool = False
    acked: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """What the channel was told of it: how often of each kind, of how many members at most, when last."""

    kinds: frozenset[str] = frozenset()
    reminders: int = 0
    most: int = 0
    last_ms: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """One notice to write down. number: with kind, channel and alert it names the notice once and for all."""

    kind: Told
    number: int = 0


def plan(alert: Standing, told: Before, policy: Policy, now_ms: int, *, quiet: bool) -> Due | None:
    """Answer the one notice that is due now, if any. quiet: the channel's quiet hours hold this alert back.

    Each alert is told once when it began and stood, and once when it is over: in between at most once that
    it flaps, each time it has ten times the members, and as a reminder while nobody has taken it.
    """
    begun = "raised" in told.kinds
    over = alert.resolved_ms is not None and now_ms >= (alert.over_ms or alert.resolved_ms) + SLACK_MS
    if over:
        return Due("resolved") if begun and "resolved" not in told.kinds else None
    if alert.silenced:
        return None
    if not begun:
        stood = alert.resolved_ms is None or alert.turns > 1
        return Due("raised") if stood and now_ms >= alert.opened_ms + policy.hold_s * 1_000 else None
    if "resolved" in told.kinds or alert.acked:
        return None
    if alert.flapping and "flapping" not in told.kinds:
        return Due("flapping")
    if alert.resolved_ms is not None:
        return None
    if alert.standing >= 10 * max(told.most, 1):
        return Due("grew", alert.standing)
    if policy.repeat_min and not quiet and now_ms >= told.last_ms + policy.repeat_min * MINUTE_MS:
        return Due("reminder", told.reminders + 1)
    return None
