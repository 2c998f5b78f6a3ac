"""Finds phone numbers however people write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, or_

_LEAST = 4  # fewer digits are no number that anybody looks for
_BRAZIL = "55"
_MOST = 15  # digits of any number. Source: E.164
_SHORTEST = 8
# What people and pages put between digits; also what marks the direction of writing, which is copied along.
_BETWEEN = re.compile(r"[\s().\-/\u2010-\u2015\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def read_number(words: str) -> str:
    """Answer the digits, with the country's code, of a number as people type it.

    Without a code it is Brazilian: an area code and eight or nine digits. "+55 (11) 99999-0000", "0055 11 …",
    "011 99999-0000", "11 9999-0000".
    Errors: `ValueError` with a sentence that says what to write instead; a guess could reach a stranger.
    """
    plain = _BETWEEN.sub("", words.replace("(0)", ""))  # +55 (0) 11 is written, and the 0 never dialled
    if not re.fullmatch(r"\+?[0-9]+", plain):
        raise ValueError("Write a phone number, in digits.")
    if plain.startswith(("+", "00")):
        return _whole(plain.removeprefix("+").removeprefix("00"))
    local = plain.removeprefix("0")
    if len(local) == 10 or (len(local) == 11 and local[2] == "9"):
        return _whole(_BRAZIL + local)
    if len(local) in (8, 9):
        raise ValueError("The area code is missing; write it before the number.")
    if local.startswith(_BRAZIL) and len(local) in (12, 13):
        return _whole(local)
    raise ValueError("Begin with + and the country's code.")


def _whole(digits: str) -> str:
    """Answer digits that begin with their country's code. Errors: `ValueError`."""
    if digits.startswith(_BRAZIL):
        if not re.fullmatch(r"55[1-9][1-9]([0-9]{8}|9[0-9]{8})", digits):
            raise ValueError(
                "A Brazilian number is an area code and eight digits, or nine that begin with 9."
            )
        return digits
    if not _SHORTEST <= len(digits) <= _MOST or digits.startswith("0"):
        raise ValueError("That is no whole number; compare it with what you were given.")
    return digits


def same_number(number: str) -> tuple[str, ...]:
    """Answer the forms in which a whole number may be known: Brazil's ninth digit is there or is not."""
    if number.startswith(_BRAZIL) and len(number) == 13 and number[4] == "9":
        return (number, number[:4] + number[5:])
    if number.startswith(_BRAZIL) and len(number) == 12:
        return (number, number[:4] + "9" + number[4:])
    return (number,)


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
    return tuple(dict.fromkeys([*whole, *(form for one in whole for form in same_number(one))]))


def phones_like(words: str) -> Callable[[Any], ColumnElement[bool]] | None:
    """Answer the condition on a column of numbers; None when the words are no number.

    A part of a number finds those that end in it, which is how people remember them.
    """
    if re.search(r"[^\d\s()+.\-]", words) or len(re.sub(r"\D", "", words)) < _LEAST:
        return None
    forms = forms_of(words)
    return lambda place: or_(place.in_(forms), *(place.endswith(one, autoescape=True) for one in forms[:1]))
