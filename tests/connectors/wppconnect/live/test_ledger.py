"""Messages placed on the phone are the messages in the log, each once, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from atalaia.connectors.wppconnect.interpret import WppconnectInterpreter
from atalaia.errors import Unreadable
from atalaia.events.log import to_event
from atalaia.events.model import Fact
from atalaia.reactions.interpreter import Memory
from atalaia.store.tables import HEARD, events
from simulators.wppconnect.faults import EVERYWHERE, FAULTS
from tests.connectors.wppconnect.live.yard import Kept, Yard

LASTING_S = (20.0, 120.0, 600.0)
# What only sends, and what is of the gateway's own proxy and not of the way in, is tested elsewhere.
ELSEWHERE = {
    "send_request_lost", "send_answer_lost", "send_slow", "send_error", "image_swallowed", "no_message_id",
    "audio_convert_failed", "media_wrapped", "qr_500", "proxy_basic_auth", "version_skew", "events_disabled",
    "payload_too_large",
}  # fmt: skip
OF_A_SESSION = sorted(FAULTS.keys() - ELSEWHERE - set(EVERYWHERE))
OF_THE_SERVER = sorted(set(EVERYWHERE) - ELSEWHERE)
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "ciphertext_never_resolved": {"readable_after_s": 300},
    "big_media_body": {"size_bytes": 200_000},
    "ciphertext_then_chat": {"duplicate": True},
}
UNPAIRED = ("device_removed", "autoclose_60s")
STEPS = 10


@dataclass
class Schedule:
    """What happens to one session, drawn from one seed. `done`: for the words of a failure."""

    kept: Kept
    seed: int
    steps: int
    done: list[str] = field(default_factory=list[str])

    async def run(self) -> None:
        """Let people write while faults come and go, and the hub is killed and comes back."""
        random, yard, name = Random(self.seed), self.kept.yard, self.kept.name
        population = yard.sim.populate(name, 300, seed=self.seed)
        for _ in range(self.steps):
            await self._begin(random.choice(OF_A_SESSION), random)
            for _ in range(random.randrange(1, 6)):
                population.act()
                await yard.clock.sleep(random.uniform(5, 60))
            if random.random() < 0.2:
                self.done.append("hub killed")
                await self.kept.leave()
                population.act()
                await yard.clock.sleep(random.uniform(1, 300))
                await self.kept.keep()

    async def _begin(self, fault: str, random: Random) -> None:
        lasts_s = random.choice(LASTING_S)
        self.done.append(f"{fault} {lasts_s:g} s")
        await self.kept.starts(fault, lasts_s, **OPTIONS.get(fault, {}))
        if fault in UNPAIRED:
            await self.kept.starts("device_removed")
        elif random.random() < 0.2:
            self.done.append("closed by somebody")
            await self.kept.yard.sim.session(self.kept.name).close()

    async def help(self) -> None:
        """Pair the phone whenever the pairing is gone, as a person does who is asked for it."""
        sim, name, tries = self.kept.yard.sim, self.kept.name, 0
        while True:
            await self.kept.yard.clock.sleep(20)
            session, phone = sim.session(name), sim.phone(name)
            if phone.linked == name or not session.scan(phone):
                tries = 0
                continue
            if tries == 0:
                self.done.append("a person looks for a code")
            if (tries := tries + 1) % 5 == 0:
                await self.kept.starts("browser_killed")  # none comes
                await session.close()
            session.start({"webhook": self.kept.yard.hook_url(name)})


async def understood(kept: Kept) -> dict[str, Fact]:
    """Answer the messages of others that our log holds, by key; asserts that no fact is told twice."""
    memory, known, found = Memory(), set[tuple[str, str | None]](), dict[str, Fact]()
    interpreter = WppconnectInterpreter(kept.name, memory)
    query = select(events).where(events.c.connection == kept.name, events.c.family == HEARD)
    rows = await kept.yard.store.read(lambda tx: list(tx.execute(query.order_by(events.c.seq))))
    for event in map(to_event, rows):
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
            elif fact.type != "message.revised" or fact.data["from_me"]:
                continue
            elif key not in found or found[key].data.get("kind") == "ciphertext":
                found[key] = fact  # its text came at last; or it was deleted before we could read it
    return found


async def lacking(schedule: Schedule) -> str:
    """Answer what is not well yet: the session, or messages of the phone that our log has not, or unread."""
    state = await schedule.kept.state()
    if state[0] != "live":
        return f"the session is {state}"
    found = await understood(schedule.kept)
    unread = {key for key, fact in found.items() if fact.data.get("kind") == "ciphertext"}
    wrong = unread | (found.keys() ^ set(schedule.kept.placed_keys()))
    said = [
        f"{key} ({found[key].data.get('kind') if key in found else 'not heard'})" for key in sorted(wrong)
    ]
    return f"of {len(found)} messages lack: {', '.join(said[:5])}" if wrong else ""


async def comes_whole(schedule: Schedule) -> None:
    """Let time pass until the session is well, and each message on the phone is in our log, with its text."""
    left = ""

    async def is_whole() -> bool:
        nonlocal left
        left = await lacking(schedule)
        return not left

    try:
        await schedule.kept.yard.passing(is_whole, step_s=300, at_most_s=3 * 3600)
    except AssertionError as error:
        said = f"seed {schedule.seed}: {left}; {', '.join(schedule.done)}"
        raise AssertionError(said) from error


def check(schedule: Schedule, found: Mapping[str, Fact]) -> None:
    """Each has its time, and the contact and author that it has in truth, by one of their names."""
    said = f"seed {schedule.seed}: {', '.join(schedule.done)}"
    for row in schedule.kept.yard.sim.ledger(schedule.kept.name)["messages"]:
        if row["from_me"]:
            continue
        data = found[row["key"]].data
        if "chat" not in data:
            continue  # a deletion names neither time nor names of its own
        assert data["occurred_at"] == row["t"] * 1000, f"{row['key']}, {said}"
        names = row["contact"].get("wids") or [row["contact"]["group"]]
        assert data["chat"] in names, f"{row['key']}, {said}"
        if row["author"]:
            assert data["author"]["wid"] in row["author"]["wids"], f"{row['key']}, {said}"


async def hold(yard: Yard, schedules: Sequence[Schedule]) -> None:
    """Run the schedules side by side, while server, gateway and our own door fail now and then."""
    tasks = [asyncio.create_task(one.run()) for one in schedules]
    random = Random(schedules[0].seed)
    while not all(task.done() for task in tasks):
        await yard.idle(random.uniform(60, 600))
        if random.random() < 0.3:
            yard.stored = False  # our own disk is full: we answer 503
            await yard.idle(random.uniform(5, 60))
            yard.stored = True
        if random.random() < 0.3:
            await yard.sim.faults.start(random.choice(OF_THE_SERVER), random.choice(LASTING_S[:2]))
    for task in tasks:
        await task
    await yard.sim.faults.stop_all()


async def hold_and_check(open_yard: Any, seeds: range, steps: int) -> Yard:
    yard: Yard = await open_yard(*[f"seed-{seed}" for seed in seeds], seed=seeds.start)
    kept = [
        await (yard.keep(name) if place % 4 < 3 else yard.keep_by_both(name))
        for place, name in enumerate(yard.names)
    ]
    for one in kept:
        await yard.passing(one.is_live, at_most_s=600)
    schedules = [Schedule(one, seed, steps) for one, seed in zip(kept, seeds, strict=True)]
    people = [asyncio.create_task(one.help()) for one in schedules]
    await hold(yard, schedules)
    for one in schedules:
        await comes_whole(one)
        found = await understood(one.kept)
        print(f"seed {one.seed}: {len(found)} messages in {yard.now_s:.0f} s; {', '.join(one.done)}")
        check(one, found)
    for person in people:
        person.cancel()
    return yard


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [100, pytest.param(200, marks=pytest.mark.long)])
async def test_all_that_was_placed_is_in_the_log_once_with_time_and_contact(open_yard: Any, seed: int):
    yard = await hold_and_check(open_yard, range(seed, seed + 4), STEPS)

    assert yard.sim.destroyed() == [] == yard.sim.host.failures


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(1000, 1400, 8))
async def test_all_that_was_placed_is_in_the_log_once_over_long_schedules(open_yard: Any, seed: int):
    yard = await hold_and_check(open_yard, range(seed, seed + 8), 5 * STEPS)

    assert yard.sim.destroyed() == [] == yard.sim.host.failures
