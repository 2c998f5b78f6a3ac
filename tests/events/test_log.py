"""The log: durable, once, in order without gaps, whatever the text."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, update

from atalaia.ambient import Ambient
from atalaia.errors import Fenced
from atalaia.events.log import (
    EventLog,
    Source,
    append_facts,
    append_heard,
    head,
    read_after,
    read_event,
)
from atalaia.events.model import Appended, Event, Fact, Heard
from atalaia.events.policy import Keep, Policies
from atalaia.store.leases import claim
from atalaia.store.store import Store
from atalaia.store.tables import event_counts, leases
from tests.store.bases import Base

EVERYTHING = Policies({}, {})
HERE = Source("c1")


def heard(dedupe: str | None = None, *, kind: str = "x.Y", key: str = "k", body: str = "{}") -> Heard:
    return Heard(kind, key, 1_000, body, dedupe)


@pytest.fixture
def log(store: Store, ambient: Ambient) -> EventLog:
    return EventLog(store, ambient, EVERYTHING)


async def everything(store: Store) -> list[Event]:
    return await store.read(lambda tx: read_after(tx, 0, limit=100_000))


async def counts(store: Store) -> dict[str, tuple[int, int, int, int]]:
    rows = await store.read(lambda tx: tx.execute(select(event_counts)).all())
    return {row.type: (row.kept, row.counted, row.dropped, row.duplicate) for row in rows}


# --- appending -------------------------------------------------------------------------------------


async def test_what_was_heard_is_read_as_it_came(log: EventLog, clock):
    one = Heard("x.Y", "call-1", 1_767_000_000_123, '{"a": [1, 2.50, null],  "b": "ç"}', "d", late=True)

    [answer] = await log.put(Source("c1"), [one])

    [event] = await everything(log.store)
    assert answer == Appended(event.seq)
    assert event.body == one.body  # to the blank
    assert (event.family, event.type, event.key, event.connection) == ("heard", "x.Y", "call-1", "c1")
    assert (event.occurred_ms, event.late, event.cause_seq) == (1_767_000_000_123, True, None)
    assert event.recorded_ms == 1_767_225_600_000
    assert await log.store.read(lambda tx: read_event(tx, event.seq)) == event
    assert await log.store.read(lambda tx: read_event(tx, 999)) is None


async def test_an_empty_append_answers_nothing(log: EventLog):
    assert await log.put(HERE, []) == []
    assert await log.put_facts("p", []) == []
    assert await log.store.read(head) == 0


async def test_callers_that_wait_together_each_get_their_own_answer_in_order(log: EventLog):
    batches = [[heard(f"{n}-{i}", key=f"k{n}") for i in range(n % 4 + 1)] for n in range(200)]

    answers = await asyncio.gather(*[log.put(Source(f"c{n % 3}"), batch) for n, batch in enumerate(batches)])

    where = {event.seq: event for event in await everything(log.store)}
    assert sorted(where) == sorted(answer.seq for batch in answers for answer in batch)
    for n, (batch, answer) in enumerate(zip(batches, answers, strict=True)):
        assert len(answer) == len(batch)
        assert [where[one.seq].key for one in answer] == [f"k{n}"] * len(batch)
        assert [one.seq for one in answer] == sorted(one.seq for one in answer)


async def test_a_caller_that_gave_up_does_not_disturb_the_others(log: EventLog):
    gone = asyncio.ensure_future(log.put(HERE, [heard("a")]))
    stays = asyncio.ensure_future(log.put(HERE, [heard("b")]))
    await asyncio.sleep(0)
    gone.cancel()

    assert (await stays)[0].seq
    assert not (await log.put(HERE, [heard("c")]))[0].duplicate


# --- once ------------------------------------------------------------------------------------------


async def test_the_same_event_twice_in_one_batch_is_one_event(log: EventLog):
    first, second, other = await log.put(HERE, [heard("a"), heard("a"), heard("b")])

    assert second == Appended(first.seq, duplicate=True)
    assert [event.seq for event in await everything(log.store)] == [first.seq, other.seq]


async def test_the_same_event_from_two_callers_at_once_is_one_event(log: EventLog):
    answers = await asyncio.gather(*[log.put(HERE, [heard("a")]) for _ in range(20)])

    assert len({batch[0].seq for batch in answers}) == 1
    assert sum(batch[0].duplicate for batch in answers) == 19


async def test_the_same_event_later_and_after_a_restart_is_one_event(base: Base, ambient: Ambient):
    store = await base.open()
    [first] = await EventLog(store, ambient, EVERYTHING).put(HERE, [heard("a")])
    [second] = await EventLog(store, ambient, EVERYTHING).put(HERE, [heard("a")])
    await base.close()

    store = await base.open()
    [third] = await EventLog(store, ambient, EVERYTHING).put(
        HERE,
        [
            heard("a"),
        ],
    )

    assert second == third == Appended(first.seq, duplicate=True)
    assert await counts(store) == {"x.Y": (1, 0, 0, 2)}


async def test_events_of_two_connections_are_never_duplicates_of_each_other(log: EventLog):
    await log.put(Source("c1"), [heard("a")])
    [other] = await log.put(Source("c2"), [heard("a")])
    assert not other.duplicate


async def test_events_without_a_mark_are_never_duplicates(log: EventLog):
    answers = await log.put(HERE, [heard(None), heard(None), heard("")])
    assert not any(answer.duplicate for answer in answers)


async def test_many_marks_are_looked_up_at_once(log: EventLog):
    many = [heard(f"d{n}") for n in range(2_500)]
    first = await log.put(HERE, many)
    again = await log.put(HERE, many)
    assert [one.seq for one in again] == [one.seq for one in first]
    assert all(one.duplicate for one in again)


# --- keep, count, drop -----------------------------------------------------------------------------


async def test_each_kind_is_kept_counted_or_dropped_and_the_numbers_are_true(store: Store, ambient, clock):
    declared = {"x": {"*": Keep.KEEP, "Ping*": Keep.COUNT, "PingLoud": Keep.KEEP, "Noise": Keep.DROP}}
    log = EventLog(store, ambient, Policies(declared, {}))

    kinds = ("x.Call", "x.Ping", "x.PingLoud", "x.Noise", "y.Noise")
    answers = await log.put(HERE, [heard(kind=kind) for kind in kinds for _ in range(3)])
    await log.put(HERE, [heard("d", kind="x.Ping"), heard("d", kind="x.Ping")])
    await clock.run_for(60)
    await log.put(HERE, [heard(kind="x.Call")])

    assert [event.type for event in await everything(store)] == ["x.Call"] * 3 + ["x.PingLoud"] * 3 + [
        "y.Noise"
    ] * 3 + ["x.Call"]
    assert [bool(answer.seq) for answer in answers] == [True] * 3 + [False] * 3 + [True] * 3 + [False] * 3 + [
        True
    ] * 3
    rows = await store.read(lambda tx: tx.execute(select(event_counts)).all())
    per_minute = sorted((r.type, r.minute_ms, r.kept, r.counted, r.dropped, r.duplicate) for r in rows)
    minute = 1_767_225_600_000
    assert per_minute == [
        ("x.Call", minute, 3, 0, 0, 0),
        ("x.Call", minute + 60_000, 1, 0, 0, 0),
        ("x.Noise", minute, 0, 0, 3, 0),
        ("x.Ping", minute, 0, 4, 0, 1),
        ("x.PingLoud", minute, 3, 0, 0, 0),
        ("y.Noise", minute, 3, 0, 0, 0),
    ]


def test_what_a_person_set_wins_and_the_longest_pattern_decides():
    policies = Policies(
        {"x": {"*": Keep.DROP, "Channel*": Keep.KEEP, "ChannelVar*": Keep.COUNT}},
        {("x", "Channel*"): Keep.DROP, ("x", "ChannelVarset"): Keep.KEEP, ("y", "*"): Keep.COUNT},
    )
    table = {
        "x.Other": Keep.DROP,
        "x.ChannelVarset": Keep.KEEP,
        "x.ChannelVariable": Keep.DROP,
        "y.Any": Keep.COUNT,
        "z.Any": Keep.KEEP,
        "nodot": Keep.KEEP,
    }
    assert {kind: policies.of(kind) for kind in table} == table
    assert policies.of("x.Other") is Keep.DROP  # also when asked again


# --- fencing ---------------------------------------------------------------------------------------


async def own(store: Store, connection: str, owner: str) -> Source:
    name = f"connection:{connection}"

    def work(tx: Connection) -> Source:
        tx.execute(update(leases).where(leases.c.name == name).values(expires_ms=0))
        [lease] = claim(tx, [name], owner, ttl_ms=10_000, process_ms=0, most=1)
        return Source(connection, lease.epoch)

    return await store.write(work)


async def test_an_append_under_an_old_epoch_is_refused_and_leaves_nothing(log: EventLog):
    old = await own(log.store, "c1", "a")
    await log.put(old, [heard("1")])
    new = await own(log.store, "c1", "b")

    with pytest.raises(Fenced, match="newer worker"):
        await log.put(old, [heard("2")])
    await log.put(new, [heard("2")])

    assert [event.key for event in await everything(log.store)] == ["k", "k"]
    assert (await log.put(new, [heard("2")]))[0].duplicate


async def test_a_fenced_caller_does_not_hurt_those_in_the_same_batch(log: EventLog):
    old = await own(log.store, "c1", "a")
    await own(log.store, "c1", "b")
    other = await own(log.store, "c2", "b")

    answers = await asyncio.gather(
        log.put(other, [heard("1")]), log.put(old, [heard("2")]), log.put(HERE, [heard("3")]),
        log.put(other, [heard("4")]), return_exceptions=True,
    )  # fmt: skip

    assert [type(answer).__name__ for answer in answers] == ["list", "Fenced", "list", "list"]
    assert len(await everything(log.store)) == 3


# --- facts -----------------------------------------------------------------------------------------


async def test_facts_are_once_per_producer_and_connection(log: EventLog):
    fact = Fact("call.ended", "guid", 1, {"ring_s": 3}, dedupe="guid:ended", cause_seq=7)

    [first] = await log.put_facts("asterisk.calls", [fact], connection="c1")
    [again] = await log.put_facts("asterisk.calls", [fact], connection="c1")
    [other] = await log.put_facts("asterisk.calls", [fact], connection="c2")
    [stranger] = await log.put_facts("other", [fact], connection="c1")

    assert again == Appended(first.seq, duplicate=True)
    assert not other.duplicate
    assert not stranger.duplicate
    event = (await everything(log.store))[0]
    assert (event.family, event.type, event.key, event.cause_seq) == ("fact", "call.ended", "guid", 7)
    assert json.loads(event.body) == {"ring_s": 3}


async def test_a_fact_of_a_transaction_that_fails_was_never_there(log: EventLog, ambient: Ambient):
    def work(tx: Connection) -> None:
        append_facts(tx, ambient, "p", [Fact("a.b", "k", 1, dedupe="d")])
        raise KeyError

    with pytest.raises(KeyError):
        await log.store.write(work)

    assert await everything(log.store) == []
    assert not (await log.put_facts("p", [Fact("a.b", "k", 1, dedupe="d")]))[0].duplicate


async def test_data_that_is_not_json_is_refused_before_anything_is_written(log: EventLog):
    with pytest.raises(TypeError):
        await log.put_facts("p", [Fact("a.b", "k", 1), Fact("a.b", "k", 1, {"no": object()})])
    assert await everything(log.store) == []


# --- any text --------------------------------------------------------------------------------------

ODD = {
    "nul": "a\x00b",
    "emoji": "☎️👩‍👩‍👧 ção",
    "half": "lone \ud83d half",
    "other half": "\udc00",
    "controls": "\x01\x1f\x7f\x85\u2028",
    "right to left": "\u202eabc",
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_text_is_kept_and_holds_nobody_up(log: EventLog, name: str):
    odd = ODD[name]
    body = json.dumps({"said": odd}, ensure_ascii=False)
    event = Heard(f"x.{odd}", odd, 1, body, odd)

    answers = await asyncio.gather(log.put(Source("c1"), [event]), log.put(Source("c2"), [heard("a")]))
    again = await log.put(Source("c1"), [event])
    await log.put_facts("p", [Fact(f"a.{odd}", odd, 1, {odd: odd}, dedupe=odd)])

    assert again == [Appended(answers[0][0].seq, duplicate=True)]
    mine, _, fact = await everything(log.store)
    assert json.loads(mine.body) == {"said": odd}
    assert json.loads(fact.body) == {odd: odd}


async def test_a_body_of_ten_megabytes_is_kept(log: EventLog):
    body = json.dumps({"raw": "ç" * 5_000_000}, ensure_ascii=False)
    await log.put(HERE, [heard(body=body)])
    assert (await everything(log.store))[0].body == body


async def test_names_that_are_too_long_are_shortened_but_stay_different(log: EventLog):
    long = "k" * 10_000
    await log.put(HERE, [Heard(f"x.{long}", long + end, 1, "{}", long + end) for end in "ab"])

    one, other = await everything(log.store)
    assert one.key != other.key
    assert one.key[:150] == "k" * 150
    assert len(one.key) == 200
    assert len(one.type) == 120
    assert (await log.put(HERE, [Heard("x", long, 1, "{}", long + "b")]))[0] == Appended(other.seq, True)


async def test_a_time_beyond_the_calendar_is_brought_back_to_its_end(log: EventLog):
    await log.put(HERE, [Heard("x", "k", when, "{}") for when in (-5, 10**18, -(10**30))])
    assert [event.occurred_ms for event in await everything(log.store)] == [0, 253_402_300_799_999, 0]


@pytest.mark.slow
@given(
    batch=st.lists(
        st.tuples(
            st.text(st.characters(), max_size=30),
            st.dictionaries(st.text(st.characters(), max_size=5), st.text(st.characters())),
        ),
        max_size=8,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_text_comes_is_kept_once(batch, tmp_path, ambient):
    asyncio.run(_check_kept_once(batch, tmp_path, ambient))


async def _check_kept_once(batch: list[tuple[str, dict[str, str]]], folder: Path, ambient: Ambient) -> None:
    base = Base("", folder)
    store = await base.open()
    try:
        before = await store.read(head)
        events = [Heard(f"x.{name}", name, 1, json.dumps(data), name) for name, data in batch]
        scope = Source(ambient.ids.new())
        [first] = await store.write(lambda tx: append_heard(tx, ambient, EVERYTHING, [(scope, events)]))
        named = [one for one in events if one.dedupe]
        [again] = await store.write(lambda tx: append_heard(tx, ambient, EVERYTHING, [(scope, named)]))
        rows = await store.read(lambda tx: read_after(tx, before, limit=1_000))

        assert all(one.duplicate for one in again)
        assert {one.seq for one in again} <= {one.seq for one in first}
        fresh = {one.seq: data for one, (_, data) in zip(first, batch, strict=True) if not one.duplicate}
        assert {row.seq: json.loads(row.body) for row in rows} == fresh
        assert len(rows) == len({name for name, _ in batch if name}) + sum(not name for name, _ in batch)
    finally:
        await base.close()
