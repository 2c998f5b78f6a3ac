"""The loop of these tests knows when it is still, so that held time moves exactly when everybody waits."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest
import pytest_asyncio

from atalaia.ambient import Ambient
from atalaia.ids import CountedIds
from tests.connectors.wppconnect.live.cases import Played
from tests.connectors.wppconnect.live.yard import Yard
from tests.stillness import StillClock, StillLoop
from tests.store.bases import Base, sqlite

__all__ = ["sqlite"]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Any]:
    return {"still": StillLoop}


@pytest.fixture
def clock() -> StillClock:
    """A clock in our hand that leaves sockets and threads the time they need."""
    return StillClock()


@pytest.fixture
def ambient(clock: StillClock) -> Ambient:
    return Ambient(clock=clock, ids=CountedIds(), random=random.Random(1))


@pytest_asyncio.fixture
async def open_yard(sqlite: Base, clock: StillClock, ambient: Ambient) -> AsyncIterator[Callable[..., Any]]:
    """Answer what opens a yard with the sessions of these names, all of them up and paired."""
    opened: list[Yard] = []

    async def open_one(*names: str, seed: int = 1) -> Yard:
        opened.append(Yard(await sqlite.open(), clock, ambient, names, seed))
        await opened[-1].open()
        return opened[-1]

    yield open_one
    for yard in opened:
        await yard.close()


@pytest.fixture
def record() -> Callable[..., None]:
    """Answer what prints one line of the truth table; see it with `-s`."""

    def note(probe_s: float, seed: int, one: Played, found: Sequence[float | None], tried: list[str]) -> None:
        named = ", ".join(f"{word} {after} s" for word, after in zip(one.case.named, found, strict=True))
        options = " ".join(f"{key}={value}" for key, value in one.case.options.items())
        fault = f"{one.case.fault} {options}".strip()
        print(f"| {fault} | {probe_s:g} s | {seed} | {named} | {', '.join(tried)} |")

    return note
