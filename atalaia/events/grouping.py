"""Which alerts have one cause in common: the grouping that those who raise them put into the fact."""

from __future__ import annotations

import re

from atalaia.events.fit import fit

GROUPING_CHARS_MAX = 200
# Numbers with a unit say how long somebody waited; they tell no two causes apart.
_MEASURE = re.compile(r"\d+(?:[.,]\d+)? ?(?:ms|s|min|h|MiB)\b")


def same(kind: str, *words: str) -> str:
    """Answer the grouping of alerts that share these words; how long something took is left out of them."""
    return fit("|".join((kind, *(_MEASURE.sub("#", word) for word in words))), GROUPING_CHARS_MAX)
