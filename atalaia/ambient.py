"""What surrounds running code and is handed to it: time, identifiers, chance."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from atalaia.clock import Clock, SystemClock
from atalaia.ids import Ids, SystemIds


@dataclass(frozen=True)
class Ambient:
    """Clock, ids and randomness of one process; tests hand in held ones."""

    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=SystemIds)
    random: Random = field(default_factory=Random)
