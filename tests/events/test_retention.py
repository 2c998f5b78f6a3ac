"""Retention: old rows go, needed rows stay, every run leaves a record."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, Table, func, insert, select, text

from atalaia.events import retention as module
from atalaia.events.log import EventLog, Source, read_after
from atalaia.events.model import Fact, Heard
from atalaia.events.policy import Policies
from atalaia.events.retention import Rules, sweep
from atalaia.settings import load_settings
from atalaia.store import chat_tables, job_tables, old_client_tables, tables, vehicle_tables
from atalaia.store.search import holds_words
from atalaia.store.store import Store

DAY = 86_400
DAY_MS = DAY * 1_000
START = 1_767_225_600_000
HERE = Source("c1")


@pytest.fixture
def log(store: Store, ambient) -> EventLog:
    return EventLog(store, ambient, Policies({}, {}))


async def add(store: Store, table: Table, **values: Any) -> None:
    """Insert a row; what the test does not care for is filled in."""
    row = {
        column.name: 0 if "INT" in str(column.type) or "BOOL" in str(column.type) else ""
        for column in table.columns
        if not column.nullable and column.server_default is None and column.autoincrement is not True
    }
    if "forceclose" in row:
        row["forceclose"] = False
    await store.write(lambda tx: tx.execute(insert(table).values(row | values)))


async def count(store: Store, table: Table) -> int:
    return await store.read(lambda tx: tx.scalar(select(func.count()).select_from(table))) or 0


async def kept(store: Store) -> list[str]:
    rows = await store.read(lambda tx: read_after(tx, 0, limit=100_000))
    return [row.key for row in rows if row.type != "retention.swept"]


async def heard(log: EventLog, *keys: str, kind: str = "x.Y") -> list[int]:
    return [
        one.seq for one in await log.put(HERE, [Heard(kind, key, 1, "{}", f"{kind}{key}") for key in keys])
    ]


async def passed(store: Store, seq: int, reaction: str = "r") -> None:
    await add(store, tables.cursors, reaction=reaction, seq=seq)


async def test_heard_and_facts_each_have_their_days(log: EventLog, clock, ambient):
    await heard(log, "old")
    await log.put_facts("p", [Fact("a.b", "old fact", 1)])
    await clock.run_for(31 * DAY)
    await heard(log, "new")

    swept = await sweep(log.store, ambient, Rules())
    assert await kept(log.store) == ["old fact", "new"]
    assert swept.rows["heard"] == 1

    await clock.run_for(335 * DAY)
    await sweep(log.store, ambient, Rules())
    assert await kept(log.store) == []


async def test_a_day_is_a_day(log: EventLog, clock, ambient):
    await heard(log, "a")
    await clock.run_for(30 * DAY)
    await sweep(log.store, ambient, Rules())
    assert await kept(log.store) == ["a"]
    await clock.run_for(0.001)
    await sweep(log.store, ambient, Rules())
    assert await kept(log.store) == []


async def test_single_kinds_may_have_days_of_their_own(log: EventLog, clock, ambient):
    kinds = {("x", "Noise*"): 1, ("x", "NoiseOfWeight"): 100, ("fact", "call.*"): 2, ("x", "Unset"): None}
    for (connector, kind), days in kinds.items():
        await add(log.store, tables.kind_policies, connector=connector, type=kind, retention_days=days)
    for kind in ("Noise", "NoiseX", "NoiseOfWeight", "Unset", "Other"):
        await heard(log, kind, kind=f"x.{kind}")
    await log.put_facts("p", [Fact("call.ended", "call", 1), Fact("gap.opened", "gap", 1)])

    await clock.run_for(5 * DAY)
    await sweep(log.store, ambient, Rules())
    assert await kept(log.store) == ["NoiseOfWeight", "Unset", "Other", "gap"]

    await clock.run_for(50 * DAY)
    await sweep(log.store, ambient, Rules())
    assert await kept(log.store) == ["NoiseOfWeight", "gap"]


async def test_nothing_goes_that_a_reaction_has_not_passed(log: EventLog, clock, ambient):
    seqs = await heard(log, "a", "b", "c")
    await passed(log.store, seqs[2], "quick")
    await passed(log.store, seqs[0], "slow")
    await clock.run_for(400 * DAY)

    swept = await sweep(log.store, ambient, Rules())

    assert await kept(log.store) == ["b", "c"]
    assert swept.upto == seqs[0]


async def test_a_reaction_that_never_ran_holds_everything_and_one_that_is_gone_nothing(log, clock, ambient):
    seqs = await heard(log, "a", "b")
    await passed(log.store, seqs[1], "here")
    await passed(log.store, 0, "of an older version")
    await clock.run_for(400 * DAY)

    await sweep(log.store, ambient, Rules(), reactions=["here", "new"])
    assert await kept(log.store) == ["a", "b"]
    await sweep(log.store, ambient, Rules(), reactions=["here"])
    assert await kept(log.store) == []


async def test_what_is_parked_or_on_its_way_or_dead_stays(log: EventLog, clock, ambient):
    states = ["pending", "sending", "waiting", "dead", "delivered", "cancelled"]
    for state in states:
        [seq] = await heard(log, state)
        await add(log.store, tables.deliveries, seq=seq, state=state, done_ms=START)
    for state in ("parked", "again", "settled"):
        [seq] = await heard(log, state)
        await add(log.store, tables.parked, seq=seq, state=state, reaction="r", settled_ms=START)
    await clock.run_for(60 * DAY)

    await sweep(log.store, ambient, Rules())

    assert await kept(log.store) == ["pending", "sending", "waiting", "dead", "parked", "again"]
    left = await log.store.read(lambda tx: set(tx.scalars(select(tables.deliveries.c.state))))
    assert left == {"pending", "sending", "waiting", "dead"}
    assert await count(log.store, tables.parked) == 2


async def test_dead_deliveries_go_with_the_facts_they_tell_of(log: EventLog, clock, ambient):
    await add(log.store, tables.deliveries, seq=1, state="dead", created_ms=START)
    await add(log.store, tables.deliveries, seq=1, state="waiting", created_ms=START)
    await clock.run_for(366 * DAY)
    await sweep(log.store, ambient, Rules())
    assert await log.store.read(lambda tx: list(tx.scalars(select(tables.deliveries.c.state)))) == ["waiting"]


async def test_attempts_go_with_their_delivery(log: EventLog, clock, ambient):
    for state in ("delivered", "waiting"):
        await add(log.store, tables.deliveries, state=state, seq=1, created_ms=START, done_ms=START)
    ids = await log.store.read(lambda tx: list(tx.scalars(select(tables.deliveries.c.id).order_by("id"))))
    for identity in ids * 2:
        await add(log.store, tables.attempts, delivery=identity)
    await clock.run_for(31 * DAY)

    swept = await sweep(log.store, ambient, Rules())

    assert (swept.rows["deliveries"], swept.rows["attempts"]) == (1, 2)
    assert set(await log.store.read(lambda tx: list(tx.scalars(select(tables.attempts.c.delivery))))) == {
        ids[1]
    }


async def test_a_mark_is_known_for_its_days_and_facts_marks_as_long_as_there_is_something_to_fold(
    log: EventLog, clock, ambient
):
    await heard(log, "a")
    await log.put_facts("p", [Fact("a.b", "k", 1, dedupe="d")])
    await clock.run_for(8 * DAY)
    await sweep(log.store, ambient, Rules())

    [again] = await log.put(HERE, [Heard("x.Y", "a", 1, "{}", "x.Ya")])
    [fact] = await log.put_facts("p", [Fact("a.b", "k", 1, dedupe="d")])
    assert not again.duplicate
    assert fact.duplicate


async def test_the_longest_wish_for_marks_holds_for_all(log: EventLog, clock, ambient):
    await add(log.store, tables.kind_policies, connector="x", type="Y", dedupe_days=20)
    await heard(log, "a")
    await clock.run_for(19 * DAY)
    await sweep(log.store, ambient, Rules())
    [again] = await log.put(HERE, [Heard("x.Y", "a", 1, "{}", "x.Ya")])
    assert again.duplicate


async def test_everything_else_that_is_over_goes(log: EventLog, clock, ambient):
    store, old, new = log.store, START, START + 800 * DAY_MS
    for when in (old, new):
        name = str(when)
        await add(store, tables.event_counts, connection=name, minute_ms=when)
        await add(store, tables.gaps, id=name, closed_ms=when)
        await add(store, tables.calls, guid=name, opened_ms=when, ended_ms=when)
        await add(store, tables.alerts, cause=name, resolved_ms=when)
        await add(store, tables.workers, id=name, gone_ms=when)
        await add(store, tables.sessions, hash=name, expires_ms=when)
        await add(store, tables.login_links, hash=name, expires_ms=when)
        await add(store, tables.idempotency, scope=name, created_ms=when)
    await add(store, tables.gaps, id="open", closed_ms=None)
    await add(store, tables.calls, guid="talking", opened_ms=old, ended_ms=None)
    await add(store, tables.alerts, cause="open", resolved_ms=None)
    await add(store, tables.workers, id="alive", gone_ms=None)
    await clock.run_for(800 * DAY - 60)

    swept = await sweep(store, ambient, Rules())

    names = ("counts", "gaps", "calls", "alerts", "workers", "sessions", "links", "answers")
    assert {name: swept.rows[name] for name in names} == dict.fromkeys(names, 1)
    left = [await count(store, table) for table in (tables.gaps, tables.calls, tables.alerts, tables.workers)]
    assert left == [2, 2, 2, 2]


async def test_an_ended_job_goes_with_its_steps_and_frames_and_an_open_one_stays(
    log: EventLog, clock, ambient
):
    for job, ended in (("old", START), ("open", None), ("new", START + 364 * DAY_MS)):
        await add(log.store, job_tables.jobs, id=job, root=job, ended_ms=ended)
        await add(log.store, job_tables.job_steps, job=job, name="order")
        await add(log.store, job_tables.job_frames, job=job)
    await clock.run_for(365 * DAY + 60)
    swept = await sweep(log.store, ambient, Rules())

    assert (swept.rows["jobs"], swept.rows["steps"], swept.rows["frames"]) == (1, 1, 1)
    for table in (job_tables.jobs, job_tables.job_steps, job_tables.job_frames):
        assert await count(log.store, table) == 2


async def test_what_old_clients_left_goes_in_time(log: EventLog, clock, ambient):
    store, of = log.store, old_client_tables
    for when in (START, START + 364 * DAY_MS):
        await add(store, of.old_sessions, token_hash=str(when), expires_ms=when)
        await add(store, of.old_workers, id=str(when), seen_ms=when)
        await add(store, of.old_claims, job=str(when), at_ms=when)
        await add(store, of.old_probes, id=str(when), created_ms=when)
    await clock.run_for(365 * DAY + 60)
    swept = await sweep(store, ambient, Rules())

    names = ("old sessions", "old workers", "old claims", "old probes")
    assert [swept.rows[name] for name in names] == [2, 1, 1, 1]


async def test_a_vehicle_s_past_goes_and_what_is_known_of_it_now_stays(log: EventLog, clock, ambient):
    now = START + 100 * DAY_MS
    await clock.run_for(100 * DAY)
    for name, at in (("old", now - 91 * DAY_MS), ("new", now - 89 * DAY_MS)):
        await add(log.store, vehicle_tables.vehicle_value_history, parameter=name, minute_ms=at, number=1.5)
        await add(log.store, vehicle_tables.vehicle_snapshots, vehicle=name, at_ms=at)
        await add(log.store, vehicle_tables.processes, process=name, ended_ms=at)
        await add(log.store, vehicle_tables.vehicle_values, parameter=name, seen_ms=at, preferred=True)
    await add(log.store, vehicle_tables.processes, process="running", ended_ms=None)
    swept = await sweep(log.store, ambient, Rules(vehicles_days=90))
    assert (swept.rows["values"], swept.rows["snapshots"], swept.rows["processes"]) == (1, 1, 1)
    left = [await count(log.store, one) for one in (vehicle_tables.processes, vehicle_tables.vehicle_values)]
    assert left == [2, 2]


async def test_old_messages_go_with_their_reactions_and_are_found_no_more(log: EventLog, clock, ambient):
    for number, ago in ((1, 400), (2, 300)):
        sent = START - ago * DAY_MS
        given = {"first_seq": number, "sent_ms": sent, "from_me": False, "recovered": False, "words": "porta"}
        await add(log.store, chat_tables.chat_messages, id=f"m{number}", **given)
        await add(log.store, chat_tables.chat_reactions, message=f"m{number}", by="me")
    await clock.run_for(DAY)

    await sweep(log.store, ambient, Rules(chats_days=365))

    reactions = select(chat_tables.chat_reactions.c.message)
    assert await log.store.read(lambda tx: list(tx.scalars(reactions))) == ["m2"]

    def found(tx: Connection) -> list[str]:
        words = holds_words(tx, "porta")
        assert words is not None
        return list(tx.scalars(select(chat_tables.chat_messages.c.id).where(words)))

    assert await log.store.read(found) == ["m2"]


async def test_what_was_asked_to_be_sent_goes_with_its_message_but_not_what_may_still_leave(
    log: EventLog, clock, ambient
):
    for state in ("sent", "failed", "queued", "uncertain"):
        await add(log.store, chat_tables.chat_outbox, id=state, state=state, changed_ms=START)
    await clock.run_for(366 * DAY)
    swept = await sweep(log.store, ambient, Rules(chats_days=365))
    left = select(chat_tables.chat_outbox.c.id).order_by(chat_tables.chat_outbox.c.id)
    assert await log.store.read(lambda tx: list(tx.scalars(left))) == ["queued", "uncertain"]
    assert swept.rows["sends"] == 2


async def test_many_rows_go_in_many_steps_and_others_write_in_between(
    log: EventLog, clock, ambient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "CHUNK", 100)
    monkeypatch.setattr(module, "STEP", 40)
    await heard(log, *[f"k{n}" for n in range(950)])
    await clock.run_for(31 * DAY)
    steps: list[int] = []
    write = log.store.write

    async def watched(work):
        before = await count(log.store, tables.events)
        answer = await write(work)
        steps.append(before - await count(log.store, tables.events))
        if len(steps) == 5:
            await heard(log, "meanwhile")
        return answer

    monkeypatch.setattr(log.store, "write", watched)
    swept = await sweep(log.store, ambient, Rules())

    assert swept.rows["heard"] == 950
    assert max(steps) <= 40
    monkeypatch.undo()
    assert await kept(log.store) == ["meanwhile"]


async def test_a_run_leaves_a_record_also_when_nothing_was_old(log: EventLog, clock, ambient):
    seqs = await heard(log, "a")
    await sweep(log.store, ambient, Rules())
    await clock.run_for(31 * DAY)
    await sweep(log.store, ambient, Rules())

    rows = await log.store.read(lambda tx: read_after(tx, 0))
    assert [row.type for row in rows] == ["retention.swept"] * 2
    assert [row.key for row in rows] == ["retention"] * 2
    first, second = (orjson.loads(row.body) for row in rows)
    assert first == {"rows": {}, "upto": seqs[0], "took_ms": 0}
    assert second["rows"] == {"heard": 1, "marks": 1}


async def test_numbers_of_deleted_events_are_never_given_again(log: EventLog, clock, ambient):
    seqs = await heard(log, "a", "b")
    await clock.run_for(400 * DAY)
    await sweep(log.store, ambient, Rules(facts_days=1))
    await log.store.write(lambda tx: tx.execute(text("delete from events")))
    assert (await heard(log, "c"))[0] > seqs[-1]


async def test_space_is_given_back_to_the_file_system(sqlite, clock, ambient, monkeypatch):
    monkeypatch.setattr(module, "FREE_PAGES_KEPT", 10)
    store = await sqlite.open()
    log = EventLog(store, ambient, Policies({}, {}))
    await log.put(HERE, [Heard("x.Y", "k", 1, '"' + "x" * 4_000 + '"') for _ in range(2_000)])
    await clock.run_for(31 * DAY)

    def pages(tx: Connection) -> int:
        return tx.exec_driver_sql("pragma page_count").scalar() or 0

    before = await store.read(pages)
    swept = await sweep(store, ambient, Rules())

    assert await store.read(pages) < before / 4
    assert swept.rows["pages"] > 1_000


def test_the_rules_are_those_of_the_settings(tmp_path):
    names = ("heard", "facts", "dedupe", "counts", "deliveries", "calls", "gaps", "vehicles", "jobs")
    days: dict[str, Any] = {f"keep_{name}_days": n for n, name in enumerate(names, 1)}
    assert Rules.of(load_settings(data_dir=tmp_path, **days)) == Rules(1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert Rules.of(load_settings(data_dir=tmp_path)) == Rules()
