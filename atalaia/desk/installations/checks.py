"""What the CAN checks of an installation showed: all of them together, and in a line of text; pure.

A poorer check never hides a richer one: parameters are the union over all checks, by id, the newest of each;
header and modules are those of the newest check that had parameters. Source: contract §11.1, §14.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from atalaia.desk.installations.state import phase_of
from atalaia.jobs.queries import Job

TEXT_CHARS_MAX = 255
MODULES_MAX = 5
NAME_CHARS_MAX = 12

Snapshot = Mapping[str, Any]


def snapshots_of(chain: Sequence[Job]) -> list[Snapshot]:
    """Answer what each check of the chain collected, oldest first; failed ones too, as far as they tell."""
    found: list[Snapshot] = []
    for job in chain:
        if phase_of(job) == "check":
            snapshot = _mapping(_mapping(job.result).get("snapshot"))
            if snapshot:
                found.append(snapshot)
    return found


def union(snapshots: Sequence[Snapshot]) -> dict[str, Any]:
    """Put the checks of one installation together, oldest first; `{}` when there was none."""
    if not snapshots:
        return {}
    rich = [one for one in snapshots if one.get("parameters")]
    base = rich[-1] if rich else snapshots[-1]
    parameters: dict[str, Any] = {}
    for one in snapshots:
        parameters.update(_mapping(one.get("parameters")))
    missing = [set(cast("list[str]", one.get("missing") or [])) for one in snapshots]
    return {**base, "parameters": parameters, "missing": sorted(set[str].intersection(*missing))}


def summary(snapshot: Snapshot) -> dict[str, Any]:
    """Answer what a person judges a check by; it is derived each time, so it cannot contradict the check."""
    buses = _mapping(snapshot.get("buses"))
    return {
        "buses": {name: str(_mapping(one).get("verdict") or "") for name, one in buses.items()},
        "parameters": len(_mapping(snapshot.get("parameters"))),
        "missing": list(snapshot.get("missing") or []),
        "modules": len(_mapping(snapshot.get("modules"))),
        "modules_complete": bool(snapshot.get("modules_complete")),
        "connected": snapshot.get("connected"),
        "age_s": snapshot.get("age_s"),
        "key_matches": snapshot.get("key_matches"),
    }


def text_of(snapshot: Snapshot) -> str:
    """Answer a check in one line of at most 255 characters; `+N` counts the values that found no room.

    Form: `IGN:1 | KEY:6a1c5000 | MOD:CAN0,GPS | Battery:27.4 Fuel level:61 +12`
    """
    if not snapshot:
        return ""
    header = _mapping(snapshot.get("header"))
    parts = [f"IGN:{header.get('ignition') or 0}", f"KEY:{header.get('configuration_key_db') or ''}"]
    if good := _good_modules(_mapping(snapshot.get("modules"))):
        parts.append(f"MOD:{','.join(good[:MODULES_MAX])}")
    head = " | ".join(parts)
    values = list(_values(_mapping(snapshot.get("parameters")).values()))
    for shown in range(len(values), -1, -1):
        left = len(values) - shown
        tail = " ".join([*values[:shown], *([f"+{left}"] if left else [])])
        text = f"{head} | {tail}" if tail else head
        if len(text) <= TEXT_CHARS_MAX:
            return text
    return head[:TEXT_CHARS_MAX]


def _good_modules(modules: Mapping[str, Any]) -> list[str]:
    rows = {name: _mapping(one) for name, one in modules.items()}
    return [
        str(one.get("sub") or name.rpartition("/")[2])
        for name, one in rows.items()
        if one.get("active") and one.get("ok")
    ]


def _values(parameters: Iterable[Any]) -> Iterable[str]:
    for one in map(_mapping, parameters):
        value = one.get("value")
        if value is not None and value != "" and one.get("preferred", True):
            name = str(one.get("name") or "")[:NAME_CHARS_MAX].strip()
            yield f"{name}:{value}"


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
