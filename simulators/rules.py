"""Which fault applies to what just happened: rules with filters, counts and an end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# These options say whom a fault is for; all others say how it is.
FILTERS = ("action", "vehicle_id", "serial", "client_id", "account", "session", "contact")


@dataclass
class Rule:
    """One active fault. `times`: how often it still applies, `None` until it is ended."""

    name: str
    options: dict[str, Any]
    times: int | None = None

    def __post_init__(self) -> None:
        self._whom = [(key, str(self.options[key])) for key in FILTERS if key in self.options]

    def fits(self, about: dict[str, str]) -> bool:
        return all(about.get(key) == value for key, value in self._whom)

    def number(self, option: str, default: float) -> float:
        return float(self.options.get(option, default))


@dataclass
class Rules:
    """The active faults, oldest first."""

    active: list[Rule] = field(default_factory=list[Rule])

    def add(self, rule: Rule) -> None:
        self.active.append(rule)

    def drop(self, name: str) -> None:
        self.active = [rule for rule in self.active if rule.name != name]

    def take(self, name: str, **about: str) -> Rule | None:
        """Answer the rule of this name that fits, and count it down."""
        for rule in self.active:
            if rule.name == name and rule.fits(about):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self.active.remove(rule)
                return rule
        return None

    def has(self, name: str, **about: str) -> bool:
        """Answer whether a rule of this name fits, without counting."""
        return any(rule.name == name and rule.fits(about) for rule in self.active)
