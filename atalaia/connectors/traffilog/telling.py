"""The facts that follow from one heard event, on their way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atalaia.events.model import Event, Fact


class Telling:
    """Collects the facts of one event; none of them is stated twice when the log is folded again."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.facts: list[Fact] = []

    @property
    def at_ms(self) -> int:
        return self.event.occurred_ms

    def say(self, fact_type: str, key: str, data: Mapping[str, Any], *, once: bool = False) -> None:
        """State a fact. once: it becomes true of its subject only one time, whoever says it again."""
        place = "" if once else f":{self.event.seq}"
        dedupe = f"{fact_type}:{key}{place}"
        self.facts.append(Fact(fact_type, key, self.at_ms, data, dedupe, late=self.event.late))
