"""What was really executed, and how often: the judge of "never doubled"."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from atalaia.clock import rfc3339, to_ms
from simulators.traffilog.models import Json

TRACE = re.compile(r"#rid=(\S+)")

KINDS = (
    "scheme_builder",
    "gsensor",
    "custom_command",
    "activation",
    "deactivation",
    "order",
    "company_change",
)


@dataclass(frozen=True)
class Effect:
    """One thing that changed the world. `subject`: vehicle id, client id for orders and stored commands.

    `process_id` is empty for the portal's. `comment` as it was sent; `trace` is its `#rid`.
    """

    number: int
    at: datetime
    kind: str
    subject: str
    comment: str = ""
    process_id: str = ""
    token: str = ""
    detail: tuple[tuple[str, str], ...] = ()

    @property
    def trace(self) -> str:
        found = TRACE.search(self.comment)
        return found.group(1) if found else ""

    def as_json(self) -> Json:
        return {
            "number": self.number,
            "at": rfc3339(to_ms(self.at)),
            "kind": self.kind,
            "subject": self.subject,
            "comment": self.comment,
            "trace": self.trace,
            "process_id": self.process_id,
            **dict(self.detail),
        }


@dataclass
class Ledger:
    """All effects since the start, oldest first.

    `asked` counts every changing request that arrived, by name, with or without an effect.
    """

    effects: list[Effect] = field(default_factory=list[Effect])
    asked: Counter[str] = field(default_factory=Counter[str])

    def add(
        self,
        at: datetime,
        kind: str,
        subject: str,
        *,
        comment: str = "",
        process_id: str = "",
        token: str = "",
        **detail: str,
    ) -> Effect:
        assert kind in KINDS
        effect = Effect(
            len(self.effects) + 1,
            at,
            kind,
            subject,
            comment,
            process_id,
            token,
            tuple(sorted(detail.items())),
        )
        self.effects.append(effect)
        return effect

    def of(self, kind: str = "", subject: str = "", trace: str = "") -> list[Effect]:
        """Answer the effects of a kind, on a subject, of a run."""
        return [
            one
            for one in self.effects
            if (not kind or one.kind == kind)
            and (not subject or one.subject == subject)
            and (not trace or one.trace == trace)
        ]

    def count(self, kind: str = "", subject: str = "", trace: str = "") -> int:
        return len(self.of(kind, subject, trace))

    def doubled(self) -> list[list[Effect]]:
        """Answer the groups of effects that look like the same wish carried out more than once.

        The same kind on the same subject with the same trace, or without a trace the same comment; moves to
        the same company. Orders carry no trace, so without remarks they are never in a group: count them.
        """
        groups: dict[tuple[str, str, str], list[Effect]] = {}
        for one in self.effects:
            if one.kind == "custom_command":
                continue  # each is stored once whatever is asked
            mark = one.trace or one.comment or dict(one.detail).get("after", "")
            if mark or one.kind != "order":
                groups.setdefault((one.kind, one.subject, mark), []).append(one)
        return [group for group in groups.values() if len(group) > 1]

    def as_json(self) -> Json:
        return {
            "effects": [one.as_json() for one in self.effects],
            "counts": dict(Counter(one.kind for one in self.effects)),
            "asked": dict(self.asked),
            "doubled": [[one.number for one in group] for group in self.doubled()],
        }
