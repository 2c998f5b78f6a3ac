"""Silence of a session that has no ladder: a reason to look, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.connections.recovery import Found
from atalaia.connections.session import SessionPort
from atalaia.connections.silence import Suspicion
from atalaia.connections.watch import Watch
from tests.connections.unasked import Unasked, busy


@dataclass
class House(Unasked):
    """A port that keeps what is told."""

    ambient: Ambient
    connection: str = "c1"
    told: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list[tuple[str, Mapping[str, Any]]])

    async def tell(self, fact: str, data: Mapping[str, Any]) -> None:
        self.told.append((fact, data))


async def nobody_calls(_: Suspicion) -> Found:
    return Found("healthy", said="nobody calls")


async def test_an_unusual_silence_is_looked_into_once_and_then_counted_from_there(
    clock: HeldClock, ambient: Ambient
):
    house = House(ambient)
    house.usual = busy("calls", 60, to_ms(clock.now()))
    watch = Watch(cast("SessionPort", house), nobody_calls, watched=("calls",))
    looks: list[int] = []
    for _ in range(30):
        await clock.run_for(60)
        await watch.once()
        looks.append(len(house.told))

    assert looks[5] == 0, "six minutes without a call a minute happen"
    assert looks[7] == 1, "eight do not"
    assert looks[-1] in (3, 4), "looked into every seven minutes, not every one"
    fact, data = house.told[0]
    assert (fact, data["health"], data["suspicion"]["event"]) == ("session.looked", "healthy", "calls")


async def test_a_session_of_which_nothing_is_known_yet_is_let_be(clock: HeldClock, ambient: Ambient):
    house = House(ambient)
    watch = Watch(cast("SessionPort", house), nobody_calls, watched=("calls",))
    await clock.run_for(3600)
    await watch.once()
    assert house.told == []
