"""Gaps in words: what was lost, what was looked at, what was brought in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from atalaia.events.gaps import Gap
from atalaia.web.i18n import N_, gettext, ngettext
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


_COUNTED: dict[str, Callable[[int], str]] = {
    "messages": lambda n: ngettext("%(n)s message", "%(n)s messages", n),
    "upgraded": lambda n: ngettext("%(n)s text that was unreadable", "%(n)s texts that were unreadable", n),
    "undecrypted": lambda n: ngettext("%(n)s stays unreadable", "%(n)s stay unreadable", n),
    "chats_not_read": lambda n: ngettext("%(n)s chat not read", "%(n)s chats not read", n),
    "chats_cut": lambda n: ngettext("%(n)s chat not read to its end", "%(n)s chats not read to their end", n),
}
_GAP_WORDS = {
    "chats": N_("%(n)s chats"),
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
CHATS_OF = N_("%(n)s of %(of)s chats")


def gap_words(values: object) -> str:
    """Say what was looked at or recovered; what is zero or was not looked at is left out."""
    if not isinstance(values, dict):
        return said(str(values or ""))
    told: list[str] = []
    given = dict(cast("dict[str, Any]", values))
    if (of := given.pop("of", None)) and "chats" in given:
        told.append(gettext(CHATS_OF) % {"n": given.pop("chats"), "of": of})
    for name, value in given.items():
        if value in (None, 0, "", False):
            continue
        told.append(_counted(name, value))
    return ", ".join(told)


def _counted(name: str, value: Any) -> str:
    if name in _COUNTED and isinstance(value, int):
        return _COUNTED[name](value) % {"n": value}
    form = _GAP_WORDS.get(name)
    return gettext(form) % {"n": value} if form else f"{name}: {value}"
