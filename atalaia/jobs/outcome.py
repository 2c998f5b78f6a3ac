"""How a step ended, as JSON that survives a crash, and back as what the job's code gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from atalaia.errors import AtalaiaError, ConfigError, InDoubt, Refused, Rejected, Unavailable, Unreadable
from atalaia.jobs.model import JobFailed, Unconfirmed

_PLAIN: Mapping[str, type[AtalaiaError]] = {
    "rejected": Rejected,
    "unavailable": Unavailable,
    "unreadable": Unreadable,
    "in_doubt": InDoubt,
    "config": ConfigError,
}


def encode(error: Exception) -> dict[str, Any]:
    """Answer an error as JSON: {"type", "said", …}. What is none of ours is a `defect`, without its text."""
    if isinstance(error, JobFailed):
        return {"type": "failed", "reason": error.reason, "said": str(error), "known": dict(error.known)}
    if isinstance(error, Refused):
        return {"type": "refused", "said": str(error), "ask": error.ask}
    for name, one in _PLAIN.items():
        if isinstance(error, one):
            return {"type": name, "said": str(error)}
    # Its text may hold anything, also what must not be shown; the log has it.
    return {"type": "defect", "said": f"There is a defect in this job's code ({type(error).__name__})."}


def decode(error: Mapping[str, Any]) -> Exception:
    """Answer the error that `encode` wrote down."""
    said = str(error.get("said") or "")
    match error.get("type"):
        case "unconfirmed":
            return Unconfirmed(said)
        case "failed":
            return JobFailed(str(error["reason"]), said, **error.get("known", {}))
        case "refused":
            return Refused(said, ask=str(error.get("ask") or ""))
        case str(name) if name in _PLAIN:
            return _PLAIN[name](said)
        case _:
            return JobFailed("defect", said)


def reason_of(error: Exception) -> tuple[str, str, dict[str, Any]]:
    """Answer why a job failed: a stable word, a sentence for the screen, and what else is known."""
    told = encode(error)
    reason = str(told.get("reason") or told["type"])
    return reason, str(told["said"]), dict(told.get("known") or {})


def filled(answer: Any, seen: Mapping[str, Any]) -> Any:
    """Answer what a step would have answered, with what a person saw in the places of the same name.

    Numbers are read where the answer holds one. Errors: `ValueError` naming the place, for what is none.
    """
    if not isinstance(answer, dict):
        return answer
    after = dict(cast("dict[str, Any]", answer))
    for name, value in seen.items():
        if name not in after:
            continue
        if type(after[name]) in (int, float) and isinstance(value, str):
            try:
                value = type(after[name])(value)
            except ValueError:
                raise ValueError(f"{name} holds a number, not “{value[:40]}”.") from None
        after[name] = value
    return after
