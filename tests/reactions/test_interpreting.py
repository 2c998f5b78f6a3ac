"""Interpretations: heard events become facts once, whatever dies in between."""

from __future__ import annotations

import asyncio
import itertools
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from atalaia.ambient import Ambient
from atalaia.errors import StoreUnavailable
from atalaia.events.log import EventLog, Source, head
from atalaia.events.policy import Policies
from atalaia.reactions import cursor as cursor_module
from atalaia.reactions.cursor import save_cursor
from atalaia.reactions.interpreter import Interpretation
from atalaia.reactions.interpreting import Interpreting, forget
from atalaia.reactions.runner import catch_up
from atalaia.store.store import Store
from atalaia.store.tables import parked
from tests.reactions.toys import Counters, Killer, aside, counting, heard, remembered, told
from tests.store.bases import Base


@pytest.fixture
def log(store: Store, ambient: Ambient) -> EventLog:
    return EventLog(store, ambient, Policies({}, {}))


def interpreting(store: Store, what: Interpretation | None = None) -> Interpreting:
    one = Interpreting(what or counting(), store, Ambient())
    one.begin(None)
    return one


async def hear(log: EventLog, *ops: str, key: str = "k", connection: str = "c1") -> list[int]:
    return [one.seq for one in await log.put(Source(connection), [heard(op, key) for op in ops])]


async def test_facts_follow_what_was_heard_and_name_their_cause(log: EventLog):
    opened, _, grown, closed = await hear(log, "Open", "Other", "Add", "Close")
    await log.put(Source("c1"), [heard("x")])

    await catch_up([interpreting(log.store)])

    assert await told(log.store) == [
        ("opened", "k", opened, {"open": ["k"]}),
        ("grown", "k", grown, {"n": 1}),
        ("closed", "k", closed, {"n": 1, "open": []}),
    ]
    assert await remembered(log.store) == []


async def test_each_connection_has_a_memory_of_its_own(log: EventLog):
    await hear(log, "Open", "Add", connection="c1")
    await hear(log, "Open", connection="c2")

    await catch_up([interpreting(log.store)])

    assert await remembered(log.store) == [("c1", "k", '{"n":1}'), ("c2", "k", '{"n":0}')]


async def test_after_a_restart_memory_and_its_order_are_as_before(log: EventLog):
    for key in "abc":
        await hear(log, "Open", key=key)
    await hear(log, "Reopen", key="a")
    await catch_up([interpreting(log.store)])

    await hear(log, "Open", key="d")
    await hear(log, "Close", key="b")
    await catch_up([interpreting(log.store)])

    assert (await told(log.store))[-2][3] == {"open": ["b", "c", "a", "d"]}
    assert (await told(log.store))[-1][3] == {"n": 0, "open": ["c", "a", "d"]}
    assert [key for _, key, _ in await remembered(log.store)] == ["c", "a", "d"]


async def test_a_bad_event_is_parked_and_the_memory_is_as_before_it(log: EventLog):
    await hear(log, "Open", key="a")
    await hear(log, "Open", key="b")
    [bad] = await hear(log, "Bad")
    await hear(log, "Open", key="c")

    await catch_up([interpreting(log.store)])

    assert [kind for kind, *_ in await told(log.store)] == ["opened"] * 3
    assert (await told(log.store))[-1][3] == {"open": ["a", "b", "c"]}
    assert await aside(log.store, "counters") == [(bad, "parked")]
    assert [key for _, key, _ in await remembered(log.store)] == ["a", "b", "c"]


async def test_facts_and_memories_that_are_no_json_park_their_event_and_hold_nobody_up(log: EventLog):
    class Odd(Counters):
        def take(self, event):
            op = event.type.partition(".")[2]
            if op == "Thing":
                self._memory.put("thing", object())
            if op == "LongKey":
                self._memory.put("k" * 201, 1)
            if op == "Half":
                self._memory.put("half", "\ud83d \x00")
            return super().take(event)

    what = Interpretation("counters", ("x.*",), lambda _, memory: Odd("counters", memory))
    seqs = await hear(log, "Strange", "Thing", "LongKey", "Half", "Open")
    one = interpreting(log.store, what)
    await catch_up([one])
    await hear(log, "Add")
    await catch_up([interpreting(log.store, what)])  # and can be read again

    assert [seq for seq, _ in await aside(log.store, "counters")] == seqs[:3]
    assert [kind for kind, *_ in await told(log.store)] == ["opened", "grown"]
    assert [key for _, key, _ in await remembered(log.store)] == ["half", "k"]


async def test_a_parked_event_is_interpreted_when_a_person_asks(log: EventLog):
    class Mended(Counters):
        mended = False

        def take(self, event):
            if event.type == "x.New" and Mended.mended:
                yield self._fact("understood", event)
            elif event.type == "x.New":
                raise ValueError("not understood")
            else:
                yield from super().take(event)

    what = Interpretation("counters", ("x.*",), lambda _, memory: Mended("counters", memory))
    [new, _] = await hear(log, "New", "Open")
    one = interpreting(log.store, what)
    await catch_up([one])

    async def again() -> None:
        await log.store.write(lambda tx: tx.execute(update(parked).values(state="again")))
        await catch_up([one])

    await again()
    assert await aside(log.store, "counters") == [(new, "parked")]
    Mended.mended = True
    await again()
    assert await aside(log.store, "counters") == [(new, "settled")]
    assert [(kind, cause) for kind, _, cause, _ in await told(log.store)][-1] == ("understood", new)
    assert await one.idle()


@pytest.mark.parametrize("how", ["before", "within", "after"])
async def test_a_kill_at_any_commit_neither_loses_nor_doubles_a_fact(log: EventLog, how: str, monkeypatch):
    monkeypatch.setattr(cursor_module, "PAGE", 2)
    await hear(log, "Open", "Add", "Bad", "Add", "Add", "Close", "Open")
    killer = Killer(log.store)
    killer.plan = ["", how, how, "", how]
    one = interpreting(cast("Store", killer))

    for _ in range(10):
        try:
            await catch_up([one])
        except StoreUnavailable:  # the same one goes on, or a new process does
            one = one if len(killer.plan) % 2 else interpreting(cast("Store", killer))

    assert killer.plan == []
    kinds = [(kind, data.get("n")) for kind, _, _, data in await told(log.store)]
    assert kinds == [
        ("opened", None),
        ("grown", 1),
        ("grown", 2),
        ("grown", 3),
        ("closed", 3),
        ("opened", None),
    ]
    assert await remembered(log.store) == [("c1", "k", '{"n":0}')]
    assert len(await aside(log.store, "counters")) == 1


async def test_interpreting_again_from_the_start_adds_nothing_twice(log: EventLog):
    await hear(log, "Open", "Add", "Bad", "Close", "Open", "Add")
    one = interpreting(log.store)
    await catch_up([one])
    facts, memory = await told(log.store), await remembered(log.store)

    await log.store.write(lambda tx: forget(tx, "counters"))
    assert await remembered(log.store) == []
    await catch_up([one])  # the same one goes on: it sees that its cursor was moved

    assert await told(log.store) == facts
    assert await remembered(log.store) == memory


async def test_two_that_read_the_same_page_tell_it_once(log: EventLog):
    """Also where facts carry no mark: the cursor alone decides."""

    class Markless(Counters):
        def _fact(self, kind, event, **data):
            from dataclasses import replace

            return replace(super()._fact(kind, event, **data), dedupe=None)

    what = Interpretation("counters", ("x.*",), lambda _, memory: Markless("counters", memory))
    await hear(log, "Open", "Add")
    one, two = interpreting(log.store, what), interpreting(log.store, what)

    await asyncio.gather(one.turn(), two.turn(), return_exceptions=True)
    await catch_up([one, two])

    assert [kind for kind, *_ in await told(log.store)] == ["opened", "grown"]


async def test_reactions_that_feed_each_other_are_caught_up_together(log: EventLog):
    second = Interpretation("second", ("x.*",), lambda _, memory: Counters("second", memory))
    from atalaia.reactions.folding import Folding
    from tests.reactions.toys import Tally

    tally = Tally()
    tally.types = ("counters.*", "second.*")  # type: ignore[assignment]
    fold = Folding(tally, log.store, Ambient())
    fold.begin(None)
    await hear(log, "Open", "Add")

    await catch_up([fold, interpreting(log.store), interpreting(log.store, second)])

    assert len(tally.applied) == 4


OPS = st.lists(
    st.tuples(
        st.sampled_from(["Open", "Add", "Close", "Reopen", "Bad", "Strange", "Other"]),
        st.sampled_from("klm"),
        st.sampled_from(["c1", "c2"]),
    ),
    max_size=40,
)
CUTS = st.lists(st.sampled_from(["", "before", "within", "after", "restart"]), max_size=30)


@pytest.mark.slow
@given(ops=OPS, cuts=CUTS, page=st.integers(1, 7), batches=st.integers(1, 5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_stream_cut_anywhere_ends_in_the_same_facts_and_memory(
    ops, cuts, page, batches, tmp_path, monkeypatch
):
    asyncio.run(Twice(tmp_path).check(ops, cuts, page, batches, monkeypatch))


class Twice:
    """The same log interpreted twice: straight, and with restarts and kills in between."""

    numbers = itertools.count()

    def __init__(self, folder) -> None:
        self.base = Base("", folder)

    async def check(self, ops, cuts, page, batches, monkeypatch) -> None:
        self.store = await self.base.open()
        try:
            start = await self.store.read(head)
            log = EventLog(self.store, Ambient(), Policies({}, {}))
            number = next(Twice.numbers)  # the log goes on from story to story, names do not
            names = [f"straight{number}", f"cut{number}"]
            for name in names:
                if start:
                    await self.store.write(lambda tx, n=name: save_cursor(tx, n, start, None, 0, before=0))
            size = max(1, len(ops) // batches)
            killer = Killer(self.store)
            killer.plan = [cut for cut in cuts if cut != "restart"]
            for begin in range(0, len(ops) or 1, size):
                for op, key, connection in ops[begin : begin + size]:
                    await log.put(Source(f"{connection}-{start}"), [heard(op, key)])
                monkeypatch.setattr(cursor_module, "PAGE", page)
                await self._cut(killer, names[1], list(cuts))
            monkeypatch.setattr(cursor_module, "PAGE", 400)
            await catch_up([interpreting(self.store, counting(names[0]))])
            for what in (told, remembered, aside):
                assert await what(self.store, names[0]) == await what(self.store, names[1])
        finally:
            await self.base.close()

    async def _cut(self, killer: Killer, name: str, cuts: list[str]) -> None:
        one = interpreting(cast("Store", killer), counting(name))
        while True:
            try:
                more = await one.turn()
            except StoreUnavailable:
                more = True
            if cuts and cuts.pop() == "restart":
                one = interpreting(cast("Store", killer), counting(name))
            elif not more and await one.idle():
                return
