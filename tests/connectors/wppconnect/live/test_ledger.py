"""Messages placed on the phone are the messages in the log, each once, whatever goes wrong on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.connectors.wppconnect.interpret import WppconnectInterpreter
from atalaia.errors import Unreadable
from atalaia.events.model import Fact
from atalaia.reactions.interpreter import Memory
from tests.connectors.wppconnect.live.yard import SESSION, Yard
from tests.store.bases import Base, sqlite

__all__ = ["sqlite"]
LASTING_S = (20.0, 120.0, 600.0)
# Those of the way in. What only sends or only the gateway does is tested elsewhere.
FAULTS = (
    "page_crash", "page_hang", "browser_killed", "deaf", "socket_timeout", "conflict", "no_in_chat",
    "no_session_name_after_close", "history_sync_late", "ciphertext_then_chat", "webhook_reorder",
    "webhook_delay", "webhook_lost", "big_media_body", "lid_migration", "ack_repeated", "server_gone",
    "server_restart", "slow_list", "case_alias",
)  # fmt: skip
STEPS = 12


@pytest_asyncio.fixture
async def yard(sqlite: Base, clock: HeldClock, ambient: Ambient) -> AsyncIterator[Yard]:
    made = Yard(await sqlite.open(), clock, ambient)
    try:
        await made.open()
        await made.comes_to("live", at_most_s=300)
        yield made
    finally:
        await made.close()


async def understood(yard: Yard) -> dict[str, Fact]:
    """Answer the messages of others that our log holds, by key; asserts that no fact is told twice."""
    memory = Memory()
    interpreter = WppconnectInterpreter(SESSION, memory)
    known: set[tuple[str, str | None]] = set()
    found: dict[str, Fact] = {}
    for event in await yard.facts("wppconnect."):
        memory.mark()
        try:
            facts = list(interpreter.take(event))
        except Unreadable:
            memory.revert()
            continue
        for fact in facts:
            if (fact.type, fact.dedupe) in known:
                continue
            known.add((fact.type, fact.dedupe))
            key = str(fact.data.get("key"))
            if fact.type == "message.received":
                assert key not in found, f"{key} was received twice"
                found[key] = fact
            elif (
                fact.type == "message.revised" and fact.data["kind"] == "revoked" and not fact.data["from_me"]
            ):
                found.setdefault(key, fact)  # deleted by its author before we could read it
    return found


async def run_schedule(yard: Yard, seed: int, steps: int) -> None:
    """Let people write while faults come and go, the hub is killed and comes back, and codes are scanned."""
    random = Random(seed)
    population = yard.sim.populate(SESSION, 300)
    for _ in range(steps):
        fault = random.choice(FAULTS)
        scope: dict[str, Any] = {} if fault.startswith("server_") else {"session": SESSION}
        await yard.sim.faults.start(fault, random.choice(LASTING_S), **scope)
        for _ in range(random.randrange(1, 6)):
            population.act()
            await yard.idle(random.uniform(5, 60))
            await yard.settle()
        if random.random() < 0.2:
            await yard.leave()
            population.act()
            await yard.idle(random.uniform(1, 300))
            await yard.keep()
    await yard.sim.faults.stop_all()


async def check_schedule(yard: Yard, seed: int, steps: int) -> None:
    await run_schedule(yard, seed, steps)

    async def is_whole() -> bool:
        if (await yard.state())[0] != "live":
            return False
        return set(await understood(yard)) == set(yard.placed_keys())

    await yard.passing(is_whole, step_s=30, at_most_s=4 * 3600)

    truth = {row["key"]: row for row in yard.sim.ledger(SESSION)["messages"]}
    for key, fact in (await understood(yard)).items():
        told_ms = fact.data.get("occurred_at", truth[key]["t"] * 1000)  # a deletion names no time of its own
        assert told_ms == truth[key]["t"] * 1000, f"seed {seed}: {key}"
    assert yard.sim.one(SESSION) is not None


@pytest.mark.parametrize("seed", range(3))
async def test_all_that_was_placed_is_in_the_log_once_with_its_time(yard: Yard, seed: int):
    await check_schedule(yard, seed, STEPS)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 150))
async def test_all_that_was_placed_is_in_the_log_once_over_long_schedules(yard: Yard, seed: int):
    await check_schedule(yard, seed, 5 * STEPS)
