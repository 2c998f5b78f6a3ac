"""What a monitor must come to know of the calls that were played: the simulator keeps the score itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from atalaia.clock import to_ms


def whole_seconds(ms: int) -> int:
    """Answer whole seconds, rounded half up, as the contract counts durations."""
    return (ms + 500) // 1000


@dataclass
class Truth:
    """One conversation, as the phones saw it. Times are Unix milliseconds."""

    scenario: str
    caller_channel: str
    origin: str
    destiny_at_open: str
    destiny: str
    opened_ms: int
    answered_ms: int | None = None
    ended_ms: int | None = None
    reason: str = ""
    hangup_by: str = ""
    dtmf: str = ""
    answer_channel: str = ""

    def answered(self, moment: datetime, destiny: str, channel: str = "") -> None:
        self.answered_ms, self.destiny, self.answer_channel = to_ms(moment), destiny, channel

    def ended(self, moment: datetime, *, by: str = "", reason: str = "") -> None:
        self.ended_ms, self.hangup_by = to_ms(moment), by
        self.reason = "" if self.answered_ms is not None else reason

    @property
    def ring_ms(self) -> int:
        return (self.answered_ms or self.ended_ms or self.opened_ms) - self.opened_ms

    @property
    def talk_ms(self) -> int:
        if self.answered_ms is None or self.ended_ms is None:
            return 0
        return self.ended_ms - self.answered_ms

    def as_json(self) -> dict[str, Any]:
        """Answer the entry of `/_truth`, with the names of the recordings' `expected.json`."""
        last = "closed" if self.answered_ms is not None else "unanswered"
        middle = ["oncall"] if self.answered_ms is not None else []
        return {
            "scenario": self.scenario,
            "caller_channel": self.caller_channel,
            "answer_channel": self.answer_channel,
            "origin": self.origin,
            "destiny_at_open": self.destiny_at_open,
            "destiny": self.destiny,
            "messages": ["open", *middle, *([last] if self.ended_ms is not None else [])],
            "opened_ms": self.opened_ms,
            "answered_ms": self.answered_ms,
            "ended_ms": self.ended_ms,
            "ring_ms": self.ring_ms,
            "talk_ms": self.talk_ms,
            "ringduration": whole_seconds(self.ring_ms),
            "callduration": whole_seconds(self.talk_ms),
            "reason": self.reason,
            "hangup_by": self.hangup_by,
            "dtmf": self.dtmf,
        }


@dataclass
class Scores:
    """All conversations played so far, oldest first, at most `limit` of them."""

    limit: int = 200_000
    rows: list[Truth] = field(default_factory=list[Truth])

    def add(self, truth: Truth) -> Truth:
        if len(self.rows) >= self.limit:
            del self.rows[: self.limit // 10]
        self.rows.append(truth)
        return truth

    def as_json(self) -> list[dict[str, Any]]:
        return [row.as_json() for row in self.rows]
