"""The one time range control: last 15 minutes, hour, day, week, or two moments of the person's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from atalaia.clock import from_ms, to_ms
from atalaia.web.i18n import N_

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
PRESETS = {"15m": 15 * MINUTE, "1h": HOUR, "24h": DAY, "7d": 7 * DAY}
LABELS = {"15m": N_("15 min"), "1h": N_("1 h"), "24h": N_("24 h"), "7d": N_("7 d"), "custom": N_("Custom")}
LENGTH_MAX = 400 * DAY


@dataclass(frozen=True)
class TimeRange:
    """From (inclusive) to (exclusive), Unix milliseconds; `key` names the preset or is `custom`."""

    key: str
    from_ms: int
    to_ms: int
    zone: ZoneInfo
    error: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str], now_ms: int, zone: ZoneInfo, default: str = "24h") -> TimeRange:
        """Read `range=1h`, or `range=custom&from=2026-11-20T10:00&to=…` in the person's zone.

        Errors: none raised; what cannot be read falls back to the default and `error` says why
            (English source text, for the page to translate).
        """
        key = query.get("range") or ("custom" if query.get("from") or query.get("to") else default)
        if key in PRESETS:
            return cls(key, now_ms - PRESETS[key], now_ms, zone)
        start, end = _read_local(query.get("from"), zone), _read_local(query.get("to"), zone)
        if key != "custom" or (start is None and end is None):
            error = N_("The time range could not be read.")
            return cls(default, now_ms - PRESETS[default], now_ms, zone, error)
        end = now_ms if end is None else end
        start = end - DAY if start is None else start
        if start >= end:
            return cls("custom", end - DAY, end, zone, N_("The range ends before it begins."))
        return cls("custom", max(start, end - LENGTH_MAX), end, zone)

    @property
    def length_ms(self) -> int:
        return self.to_ms - self.from_ms

    @property
    def from_local(self) -> str:
        """The start as a `datetime-local` field wants it."""
        return f"{from_ms(self.from_ms).astimezone(self.zone):%Y-%m-%dT%H:%M}"

    @property
    def to_local(self) -> str:
        """The end as a `datetime-local` field wants it."""
        return f"{from_ms(self.to_ms).astimezone(self.zone):%Y-%m-%dT%H:%M}"

    def bucket_ms(self, points: int = 96) -> int:
        """Answer a round bucket length that gives about `points` buckets over the range."""
        steps = (1000, 5000, 15_000, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY)
        return next((step for step in steps if self.length_ms / step <= points), 7 * DAY)


def _read_local(text: str | None, zone: ZoneInfo) -> int | None:
    """Read a moment without zone as the person's own; with one, as it says. None when unreadable."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        local = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return to_ms(local.astimezone(UTC))
    except (ValueError, OverflowError):
        return None
