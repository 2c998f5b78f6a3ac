"""Finds phone numbers however people write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, or_

_LEAST = 4  # fewer digits are no number that anybody looks for
_BRAZIL = "55"


def forms_of(number: str) -> tuple[str, ...]:
    """Answer the forms in which a number may be known: with and without country and Brazil's ninth digit.

    Source: contract WhatsApp, section 6, rule 5.
    """
    digits = re.sub(r"\D", "", number).lstrip("0")
    if not digits:
        return ()
    whole = [digits]
    if len(digits) in (10, 11):
        whole.append(_BRAZIL + digits)
    for one in tuple(whole):
        if one.startswith(_BRAZIL) and len(one) == 13 and one[4] == "9":
            whole.append(one[:4] + one[5:])
        elif one.startswith(_BRAZIL) and len(one) == 12:
            whole.append(one[:4] + "9" + one[4:])
    return tuple(dict.fromkeys(whole))


def phones_like(words: str) -> Callable[[Any], ColumnElement[bool]] | None:
    """Answer the condition on a column of numbers; None when the words are no number.

    A part of a number finds those that end in it, which is how people remember them.
    """
    if re.search(r"[^\d\s()+.\-]", words) or len(re.sub(r"\D", "", words)) < _LEAST:
        return None
    forms = forms_of(words)
    return lambda place: or_(place.in_(forms), *(place.endswith(one, autoescape=True) for one in forms[:1]))
