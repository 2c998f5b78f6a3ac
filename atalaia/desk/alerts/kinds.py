"""What an alert is about, how much it hurries, and which alerts have one cause in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from atalaia.events.fit import fit
from atalaia.events.grouping import GROUPING_CHARS_MAX, same

Severity = Literal["urgent", "warning"]
SEVERITIES: tuple[Severity, ...] = ("urgent", "warning")

# The first word of a cause says what it is about; here is what hurries. Anything else is a warning.
URGENT = frozenset({"person", "open", "target", "job", "settings"})


@dataclass(frozen=True, slots=True)
class About:
    """What is known of an alert beyond its words. grouping: equal for all that have one cause."""

    kind: str
    severity: Severity
    grouping: str


def about(cause: str, data: Mapping[str, Any], connection: str) -> About:
    """Answer what the data of an `alert.raised` says; who raises it may say severity and grouping itself.

    One cause is: the same consumer's host for deliveries, the same kind of job of one connection for jobs in
    doubt, the same kind of connection with the same reason for connections. What says nothing stands alone.
    """
    kind = re.split(r"[:.]", cause, maxsplit=1)[0] or cause
    detail = _mapping(data.get("detail"))
    evidence = _mapping(detail.get("evidence"))
    said = data.get("severity")
    severity: Severity = "urgent" if said == "urgent" or (said is None and kind in URGENT) else "warning"
    grouping = str(data.get("grouping") or "")
    if not grouping and kind == "target" and evidence.get("at"):
        grouping = same("target", str(evidence["at"]))
    elif not grouping and kind == "job" and evidence.get("kind"):
        grouping = same("job", connection, str(evidence["kind"]))
    return About(kind, severity, fit(grouping or cause, GROUPING_CHARS_MAX))


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
