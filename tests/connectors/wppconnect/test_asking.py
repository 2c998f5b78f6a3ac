"""Hidden identities are asked for by themselves, once, at a real (simulated) server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from random import Random

import orjson
import pytest
import pytest_asyncio

from atalaia.clock import SystemClock
from atalaia.connectors.wppconnect.asking import AGAIN_S, AT_A_TURN, Asker
from atalaia.connectors.wppconnect.server import ServerDoor
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.wids import read_wid
from atalaia.events.model import Appended, Heard
from simulators.wppconnect import Account, Pace, Person, PhoneOwner, World, WppSimulator
from tests.journeys.waiting import until

SESSION, KEY, EVERY_S = "alpha", "test-only-key", 300.0
HIDDEN = [
    Person(f"55000000{place:04}", f"1000000000000{place:02}", migrated=True, paired=place > 1)
    for place in range(1, AT_A_TURN + 3)
]


class Log:
    """A log in memory; `heard` is what was told."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    async def append(self, heard: Sequence[Heard]) -> list[Appended]:
        self.heard += heard
        return [Appended(len(self.heard)) for _ in heard]

    async def known(self, starts: Sequence[str]) -> set[str]:
        marks = [one.dedupe or "" for one in self.heard]
        return {start for start in starts if any(mark.startswith(start) for mark in marks)}

    def numbers(self) -> set[str]:
        told = [read_wid(orjson.loads(one.body)["phoneNumber"]) for one in self.heard]
        return {wid.user for wid in told if wid is not None}


class Still:
    """Time that passes only by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self):
        return SystemClock().now()

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest_asyncio.fixture
async def sim() -> AsyncIterator[WppSimulator]:
    account = Account("550000000001", "190000000000001", "Laboratório")
    sim = WppSimulator(
        clock=SystemClock(), random=Random(1), secret_key=KEY, gateway_secret="test-only-gateway",
        pace=Pace.at_once(), world=World([PhoneOwner(SESSION, account, HIDDEN)], channels=[SESSION]),
    )  # fmt: skip
    await sim.start()
    for one in HIDDEN:
        sim.phone(SESSION).receive(one.handle, "oi")
    sim.session(SESSION).start({"deviceName": "Test"})
    await until(lambda: sim.session(SESSION).page is not None, "the session is open")
    yield sim
    await sim.stop()


@pytest.fixture
def settings(sim: WppSimulator) -> WppconnectSettings:
    given = {"session_name": SESSION, "server_url": sim.server_url, "secret_key": KEY}
    return WppconnectSettings.model_validate(given)


async def test_each_hidden_identity_that_writes_is_asked_for_once_and_a_few_at_a_turn(
    settings: WppconnectSettings,
):
    log, clock = Log(), Still()
    async with ServerDoor(settings, SystemClock(), "") as door:
        asker = Asker(door, log, clock, EVERY_S)
        await until(lambda: _turn(asker, clock, log, least=1), "somebody is told", within_s=20)
        assert len(log.heard) <= AT_A_TURN
        await asker.turn()
        assert len(log.heard) <= AT_A_TURN, "not before its time"
        for _ in range(3):
            clock.seconds += EVERY_S
            await asker.turn()
    paired = {one.number for one in HIDDEN if one.paired}
    assert log.numbers() == paired
    assert len(log.heard) == len(paired)


async def test_who_the_page_does_not_know_yet_is_asked_for_again_later(
    sim: WppSimulator, settings: WppconnectSettings
):
    log, clock = Log(), Still()
    stranger = HIDDEN[0]
    async with ServerDoor(settings, SystemClock(), "") as door:
        asker = Asker(door, log, clock, EVERY_S)
        await until(
            lambda: _turn(asker, clock, log, least=len(HIDDEN) - 1), "the others are told", within_s=20
        )
        assert stranger.number not in log.numbers()
        sim.phone(SESSION).receive(stranger.handle, "sou eu de novo")
        await asker.turn()
        assert stranger.number not in log.numbers(), "asked a moment ago"
        clock.seconds += AGAIN_S
        await asker.turn()
        assert stranger.number in log.numbers()


async def _turn(asker: Asker, clock: Still, log: Log, *, least: int) -> bool:
    clock.seconds += EVERY_S
    await asker.turn()
    return len(log.heard) >= least
