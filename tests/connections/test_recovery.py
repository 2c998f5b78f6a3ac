"""A session that is looked after: suspected, looked at, brought back, each step a fact."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from sqlalchemy import insert, select

from atalaia.clock import to_ms
from atalaia.connections.ladder import Calm, Granted, Held, Ladder, Person, Rung, Trying
from atalaia.connections.recovery import Found, Recovery
from atalaia.connections.silence import HOUR_MS, Suspicion
from atalaia.connections.truth import Truth
from atalaia.errors import Refused, Unavailable
from atalaia.events.model import Heard
from atalaia.events.policy import Policies
from atalaia.store.tables import connection_states, connections
from atalaia.store.truth_tables import heard_hours, recoveries
from tests.connections.rig import Rig, data, of, until_async

SICK = Found("sick", Truth.DEAF, "The page has 3 messages that never came.", evidence={"chats": 3})
WELL = Found("healthy", said="Nothing is missing.", evidence={"chats": 20})
UNSURE = Found("not_known", said="The page does not answer.")
TOUCH = Rung("touch", "Ask for the code", "The session is touched.", "A message comes.")
RESTART = Rung("restart", "Open it anew", "It is closed and opened.", "It hears.", opens=True)
LADDER = Ladder((TOUCH, RESTART))


class Hands:
    """A connector's hands: `finds` in turn, the last again and again; what it was told to do is in `did`."""

    def __init__(self, *finds: Found) -> None:
        self.finds = list(finds)
        self.fails: list[Exception] = []
        self.did: list[str] = []
        self.looks: list[Suspicion | None] = []

    async def look(self, why: Suspicion | None) -> Found:
        self.looks.append(why)
        return self.finds.pop(0) if len(self.finds) > 1 else self.finds[0]

    async def act(self, rung: Rung, cause: Truth) -> None:
        self.did.append(rung.name)
        if self.fails:
            raise self.fails.pop(0)


class Cared:
    """A live session with somebody who looks after it."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    async def start(self, hands: Hands, ladder: Ladder = LADDER) -> Recovery:
        session = await self.rig.live()
        self.recovery = Recovery(session.port, ladder, hands, watched=("message",), zone=ZoneInfo("UTC"))
        self.task = asyncio.create_task(self.recovery.run())
        self.rig.tasks.insert(0, self.task)
        return self.recovery

    async def passes(self, seconds: float) -> None:
        """Let time pass in small steps, each of which the database may keep up with."""
        while seconds > 0:
            await self.rig.clock.run_for(min(seconds, 15))
            seconds -= 15
            for _ in range(3):
                await self.rig.store.read(lambda tx: None)

    async def rows(self) -> list[dict[str, Any]]:
        query = select(recoveries).order_by(recoveries.c.started_ms)
        return [
            dict(row) for row in (await self.rig.store.read(lambda tx: tx.execute(query).mappings().all()))
        ]

    async def shown(self) -> tuple[str, str]:
        row = await self.rig.row()
        return row["state"], row["kind"]

    async def shows(self, state: str, kind: str = "") -> None:
        """Let time pass until this is shown."""
        while await self.shown() != (state, kind):
            assert not self.task.done(), self.task
            await self.passes(1)

    async def until(self, true: Callable[[], bool]) -> None:
        """Let time pass until `true`."""
        while not true():
            assert not self.task.done(), self.task
            await self.passes(5)

    async def told(self, kind: str) -> list[dict[str, Any]]:
        return of(await self.rig.facts(), kind)


@pytest_asyncio.fixture
async def cared(one: Rig) -> AsyncIterator[Cared]:
    await prepare(one)
    yield Cared(one)


async def prepare(rig: Rig) -> None:
    rig.kind = replace(rig.kind, silence=timedelta(days=9), server=lambda settings: settings.url)
    rig.log.policies = Policies({}, {}, {"x": {"Y": "message", "*": "other"}})
    now = to_ms(rig.clock.now())
    row = {
        "id": "c1", "connector": "x", "name": "Gate", "settings": "{}", "secrets": "", "desired": "on",
        "created_ms": now - 60 * 24 * HOUR_MS, "changed_ms": now, "deleted_ms": None,
    }  # fmt: skip
    hours = [
        {"connection": "c1", "kind": "message", "hour_ms": now - n * HOUR_MS, "n": 10, "last_ms": now}
        for n in range(1, 29 * 24)
    ]

    def write(tx):
        tx.execute(insert(connections).values(row))
        tx.execute(insert(heard_hours), hours)

    await rig.store.write(write)


async def test_a_suspicion_is_looked_at_and_a_healthy_session_left_alone(cared: Cared):
    hands = Hands(WELL)
    await cared.start(hands)
    await cared.passes(3600)

    assert hands.did == []
    assert await cared.shown() == ("live", "")
    assert len(hands.looks) == 1, "a look begins the silence anew"
    assert hands.looks[0] is not None
    assert hands.looks[0].kind == "silent"
    [looked] = await cared.told("session.looked")
    assert (looked["health"], looked["suspicion"]["rule"]) == ("healthy", "usual_gap")
    assert await cared.told("connection.suspect") == []


async def test_a_look_that_proves_nothing_shows_doubt_and_is_taken_again(cared: Cared):
    hands = Hands(UNSURE)
    await cared.start(hands)
    await cared.passes(3600)
    await cared.shows("suspect", "silent")
    await cared.until(lambda: len(hands.looks) > 3)

    assert hands.did == []
    assert len(await cared.told("session.looked")) == 1, "the same finding is written down once"
    hands.finds = [WELL]
    await cared.passes(31)
    await cared.shows("live")


async def test_a_deaf_session_is_brought_back_in_plain_sight(cared: Cared):
    hands = Hands(replace(SICK, missed_ms=to_ms(cared.rig.clock.now()) - 60_000), UNSURE, UNSURE, WELL)
    recovery = await cared.start(hands)
    recovery.suspected(Truth.SILENT)
    await cared.shows("suspect", "recovering")
    await cared.passes(120)
    await cared.shows("live")

    assert hands.did == ["touch"]
    [row] = await cared.rows()
    assert (row["rung"], row["cause"], row["outcome"], row["server"]) == (
        "touch", "deaf", "proved", "ws://upstream",
    )  # fmt: skip
    kinds = [fact.type for fact in await cared.rig.facts()]
    assert [one for one in kinds if one.startswith(("recovery", "session"))][:2] == [
        "session.looked", "recovery.tried",
    ]  # fmt: skip
    assert kinds.count("recovery.proved") == 1
    suspects = [data(fact)["kind"] for fact in await cared.rig.facts() if fact.type == "connection.suspect"]
    assert suspects == ["deaf", "recovering"]
    assert [gap["origin"] for gap in await cared.told("gap.opened")] == ["found", "loss"]


async def test_what_does_not_help_climbs_to_a_person_who_is_never_acted_for(cared: Cared):
    hands = Hands(SICK)
    recovery = await cared.start(hands)
    recovery.suspected(Truth.SILENT)
    await cared.passes(3600)
    await cared.until(lambda: isinstance(recovery.state, Person))
    did, looks = list(hands.did), len(hands.looks)
    await cared.passes(3600)

    assert did == ["touch", "restart"] == hands.did
    assert len(hands.looks) > looks, "looked at, never acted upon"
    assert await cared.shown() == ("needs_person", "deaf")
    assert [row["outcome"] for row in await cared.rows()] == ["failed", "failed"]
    first, second = await cared.rows()
    assert second["started_ms"] - first["ended_ms"] >= 60_000
    [asked] = await cared.told("connection.needs_person")
    assert asked["ask"]
    hands.finds = [WELL]
    await cared.passes(31)
    await cared.shows("live")


async def test_a_person_who_helped_starts_at_the_first_rung(cared: Cared):
    hands = Hands(Found("person", Truth.LOGGED_OUT, "It was unpaired.", ask="Scan the code."))
    recovery = await cared.start(hands)
    recovery.suspected(Truth.CLOSED)
    await cared.shows("needs_person", "logged_out")
    assert hands.did == []
    hands.finds = [SICK]
    recovery.helped()
    await cared.until(lambda: hands.did == ["touch"])


async def test_what_the_session_noticed_is_the_reason_and_not_what_the_look_before_found(cared: Cared):
    recovery = await cared.start(Hands(Found("not_known", Truth.STARTING, "It is starting.")))
    recovery.suspected(Truth.CLOSED)
    await cared.shows("suspect", "starting")
    recovery.needs_person(Truth.PAIRING, "Scan the code.", "It waits to be paired.")
    await cared.shows("needs_person", "pairing")
    [asked] = await cared.told("connection.needs_person")
    assert (asked["reason"], asked["ask"]) == ("It waits to be paired.", "Scan the code.")


async def test_a_refusal_on_a_rung_asks_a_person(cared: Cared):
    hands = Hands(SICK)
    hands.fails = [Refused("The token is no longer good.", ask="Enter the token.")]
    recovery = await cared.start(hands)
    recovery.suspected(Truth.SILENT)
    await cared.shows("needs_person", "deaf")
    assert isinstance(recovery.state, Person)
    assert recovery.state.ask == "Enter the token."
    [asked] = await cared.told("connection.needs_person")
    assert asked["reason"] == "The token is no longer good."


async def test_a_rung_that_fails_waits_before_the_next(cared: Cared):
    hands = Hands(SICK)
    hands.fails = [Unavailable("Nobody answers.")]
    recovery = await cared.start(hands)
    recovery.suspected(Truth.SILENT)
    await cared.until(lambda: hands.did == ["touch"])
    await cared.passes(59)
    assert hands.did == ["touch"]
    await cared.passes(62)
    await cared.until(lambda: hands.did == ["touch", "restart"])
    assert (await cared.rows())[0]["said"] == "Nobody answers."


async def test_the_limits_survive_a_restart_and_a_try_that_died_with_its_process_is_ended(cared: Cared):
    rig = cared.rig
    now = to_ms(rig.clock.now())

    def row(n: int, **more: Any) -> dict[str, Any]:
        return {
            "id": f"r{n}", "connection": "c1", "server": "ws://upstream", "rung": "touch", "title": "",
            "step": 1, "cause": "deaf", "opens": False, "whole": False, "epoch": 0,
            "started_ms": now - n * 1000, "ended_ms": None, "outcome": "", "said": "", **more,
        }  # fmt: skip

    await rig.store.write(lambda tx: tx.execute(insert(recoveries), [row(10)]))
    hands = Hands(SICK)
    recovery = await cared.start(hands)
    recovery.suspected(Truth.SILENT)

    async def is_ended() -> bool:
        [left] = await cared.rows()
        return (left["outcome"], left["said"]) == ("failed", "The session ended while this was tried.")

    await until_async(is_ended)
    await cared.passes(50)
    assert hands.did == []
    await cared.passes(75)
    await cared.until(lambda: hands.did == ["touch"])


async def test_twenty_sessions_opened_on_a_server_make_the_next_wait_for_the_beat(cared: Cared):
    rig = cared.rig
    now = to_ms(rig.clock.now())
    rows = [
        {
            "id": f"r{n}", "connection": f"other{n}", "server": "ws://upstream", "rung": "restart",
            "title": "", "step": 1, "cause": "deaf", "opens": True, "whole": False, "epoch": 0,
            "started_ms": now - 1000, "ended_ms": now, "outcome": "failed", "said": "",
        }
        for n in range(20)
    ]  # fmt: skip
    await rig.store.write(lambda tx: tx.execute(insert(recoveries), rows))
    hands = Hands(SICK)
    recovery = await cared.start(hands, Ladder((RESTART,)))
    recovery.suspected(Truth.SILENT)
    await cared.passes(28)
    assert hands.did == []
    await cared.passes(4)
    await cared.until(lambda: hands.did == ["restart"])


async def test_a_whole_server_is_left_alone_while_most_of_its_sessions_are_well(cared: Cared):
    rig = cared.rig
    whole = Ladder((Rung("server", "Restart the server", "All begin anew.", "They hear.", server=True),))
    hands = Hands(SICK)
    rows = [
        {
            "connection": f"o{n}", "state": "live", "since_ms": 0, "attempt": 1, "reason": "",
            "evidence": "{}", "epoch": 1, "kind": "", "server": "ws://upstream",
        }
        for n in range(3)
    ]  # fmt: skip
    others = [
        {
            "id": f"o{n}", "connector": "x", "name": f"{n}", "settings": "{}", "secrets": "", "desired": "on",
            "created_ms": 0, "changed_ms": 0,
        }
        for n in range(3)
    ]  # fmt: skip

    def write(tx):
        tx.execute(insert(connection_states), rows)
        tx.execute(insert(connections), others)

    await rig.store.write(write)
    recovery = await cared.start(hands, whole)
    recovery.suspected(Truth.SILENT)
    await cared.until(lambda: isinstance(recovery.state, Person))
    assert hands.did == []


async def test_a_look_that_hangs_proves_nothing(cared: Cared):
    class Hanging(Hands):
        async def look(self, why: Suspicion | None) -> Found:
            await asyncio.Event().wait()
            raise AssertionError

    recovery = await cared.start(Hanging())
    recovery.suspected(Truth.HUNG)
    await cared.passes(61)
    await cared.shows("suspect", "hung")
    assert isinstance(recovery.state, type(recovery.state))
    assert not isinstance(recovery.state, Calm | Trying)


async def test_what_is_heard_is_counted_in_its_hour_and_recovered_messages_prove_no_hearing(rig: Rig):
    await prepare(rig)
    session = await rig.live()
    now = to_ms(rig.clock.now())
    before = now - 3 * HOUR_MS
    await session.port.append([Heard("x.Y", "k", now, "{}", "1"), Heard("x.Z", "k", now, "{}", "2")])
    await session.port.append([Heard("x.Y", "k", before, "{}", "3", late=True)])
    await session.port.append([Heard("x.Y", "k", now, "{}", "1")])  # told again

    rhythm = await session.port.rhythm()
    hour = now - now % HOUR_MS
    assert rhythm.counts["message"][hour] == 1
    assert rhythm.counts["other"] == {hour: 1}
    assert rhythm.counts["message"][before - before % HOUR_MS] == 11
    assert rhythm.last_ms == {"message": now, "other": now}

    await rig.clock.run_for(90)
    await session.port.append([Heard("x.Y", "k", now, "{}", "4", late=True)])
    assert (await session.port.rhythm()).last_ms["message"] == now
    await session.port.append([Heard("x.Y", "k", now, "{}", "5")])
    assert (await session.port.rhythm()).last_ms["message"] == now + 90_000


async def test_a_try_is_a_row_and_a_fact_before_it_is_made_and_limits_the_next(rig: Rig):
    await prepare(rig)
    session = await rig.live()
    claimed = await session.port.claim(TOUCH, Truth.DEAF, LADDER)
    assert isinstance(claimed.answer, Granted)
    assert (await rig.types())[-1] == "recovery.tried"
    await session.port.settle(claimed, "failed", "Nobody answers.")
    await session.port.settle(claimed, "proved", "told again")

    told = (await rig.facts())[-1]
    assert (told.type, data(told)["said"]) == ("recovery.failed", "Nobody answers.")
    again = await session.port.claim(RESTART, Truth.DEAF, LADDER)
    assert again.answer == Held(rig.clock.now() + timedelta(minutes=1))


@pytest.mark.parametrize("kind", [Truth.DEAF, Truth.BROWSER_LOST])
async def test_what_is_known_of_a_session_is_a_fact_with_reason_and_evidence(one: Rig, kind: Truth):
    session = await one.live()
    await session.port.suspect("The browser ended.", kind=kind, pid=12)
    await until_async(lambda: _is(one, "suspect", kind))
    await session.port.suspect("Being opened anew.", kind=Truth.RECOVERING, step=3)
    await until_async(lambda: _is(one, "suspect", "recovering"))
    await session.port.needs("It was unpaired.", ask="Scan the code.", kind=Truth.PAIRING)
    await until_async(lambda: _is(one, "needs_person", "pairing"))
    await session.port.live()
    await until_async(lambda: _is(one, "live", ""))

    told = [(fact.type, data(fact)) for fact in await one.facts() if fact.type.startswith("connection.")]
    assert [(name, one["kind"], one["reason"]) for name, one in told[2:]] == [
        ("connection.suspect", kind, "The browser ended."),
        ("connection.suspect", "recovering", "Being opened anew."),
        ("connection.needs_person", "pairing", "It was unpaired."),
        ("connection.live", "", ""),
    ]
    assert told[2][1]["evidence"]["pid"] == 12
    assert told[3][1]["evidence"]["step"] == 3
    assert told[4][1]["ask"] == "Scan the code."
    assert len(of(await one.facts(), "gap.opened")) == 1


async def _is(rig: Rig, state: str, kind: str) -> bool:
    row = await rig.row()
    return (row["state"], row["kind"]) == (state, kind)
