"""Gaps in words: what was lost, what was looked at, what was brought in."""

from __future__ import annotations

from typing import Any, cast

from atalaia.events.gaps import Gap
from atalaia.web.i18n import N_, gettext
from atalaia.web.said import said

ORIGINS = {
    "loss": N_("a loss"),
    "downtime": N_("our own downtime"),
    "found": N_("found by a look"),
    "routine": N_("a routine check"),
}


def lost_sign(gap: Gap) -> str:
    """Answer the state that says what a gap lost, or how far it is."""
    if gap.closed_ms is None:
        return "gap_open" if gap.to_ms is None else "gap_ended"
    return {"no": "nothing_lost", "yes": "something_lost"}.get(gap.lost, "loss_unknown")


def gap_rest(gap: Gap) -> str:
    """Say what could not be brought in, and what cannot be known."""
    left, unknown = gap_words(gap.detail.get("left")), said(str(gap.detail.get("unknown") or ""))
    return " · ".join(one for one in (left, unknown) if one)


_GAP_WORDS = {
    "chats": N_("%(n)s chats"),
    "messages": N_("%(n)s messages"),
    "ciphertexts": N_("%(n)s messages without text"),
    "vehicles": N_("%(n)s vehicles"),
    "vehicles_read": N_("%(n)s vehicles read anew"),
    "calls_closed": N_("%(n)s calls closed"),
    "calls_continued": N_("%(n)s calls went on"),
    "calls_answered": N_("%(n)s answers found"),
    "calls_rebuilt": N_("%(n)s calls rebuilt"),
    "endpoints_changed": N_("%(n)s phones changed"),
    "channels": N_("%(n)s channels"),
    "bridges": N_("%(n)s bridges"),
    "endpoints": N_("%(n)s phones"),
    "recordings": N_("%(n)s recordings"),
}


def gap_words(values: object) -> str:
    """Say what was looked at or recovered; what is zero or was not looked at is left out."""
    if not isinstance(values, dict):
        return said(str(values or ""))
    told: list[str] = []
    for name, value in cast("dict[str, Any]", values).items():
        if value in (None, 0, "", False):
            continue
        form = _GAP_WORDS.get(name)
        told.append(gettext(form) % {"n": value} if form else f"{name}: {value}")
    return ", ".join(told)
