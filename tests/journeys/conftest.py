"""What the journeys share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.hubs import Place, Stable

PlaceMaker = Callable[..., Place]


@pytest.fixture(scope="session")
def stable() -> Iterator[Stable]:
    """Starts workers without loading the program each time."""
    stable = Stable()
    yield stable
    stable.close()


@pytest.fixture
def make_place(tmp_path: Path, stable: Stable) -> Iterator[PlaceMaker]:
    """Makes places of hubs: `make_place(database_url, allow)`. Their workers end with the test."""
    made: list[Place] = []

    def make(database_url: str = "", allow: tuple[str, ...] = ()) -> Place:
        made.append(Place(tmp_path / f"hub-{len(made)}", database_url, allow, stable))
        return made[-1]

    yield make
    for place in made:
        place.close()
