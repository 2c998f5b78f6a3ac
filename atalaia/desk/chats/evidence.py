"""What ties a hidden identity to a number, from a hint to a person's word.

Source: contract WhatsApp, section 6.
"""

from __future__ import annotations

from enum import IntEnum


class Evidence(IntEnum):
    """What says that a lid and a number are one person; a higher one is never overwritten by a lower."""

    SHOWN_NUMBER = 1  # the page shows the number in place of the name of somebody without a name
    QUOTED_REPLY = 2  # written to a number, answered by a lid that quotes it
    SAME_MESSAGE = 3  # one message carries both
    ASKED = 4  # the upstream's own table
    PERSON = 5  # somebody here said so

    @property
    def word(self) -> str:
        return self.name.lower()


STRONGEST = max(Evidence)
_BY_WORD = {one.word: one for one in Evidence}


def strength_of(word: str) -> int:
    """Answer how strong a fact's word for its evidence is, 0 for one that nobody knows."""
    return _BY_WORD.get(word, 0)
