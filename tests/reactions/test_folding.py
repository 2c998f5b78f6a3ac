"""Projections: page by page with their cursor, bad events aside, the same whenever it is folded."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text, update

from atalaia.ambient import Ambient
from atalaia.errors import Fenced, StoreUnavailable
from atalaia.events.log import EventLog, Source, append_facts
from atalaia.events.model import Event, Fact
from atalaia.events.policy import Policies
from atalaia.reactions import cursor as cursor_module
from atalaia.reactions.cursor import Moved, read_cursor, save_cursor
from atalaia.reactions.folding import Folding, rebuild
from atalaia.reactions.projection import Matcher
from atalaia.reactions.runner import catch_up
from atalaia.store.leases import claim
from atalaia.store.store import Store
from atalaia.store.tables import cursors, leases, parked
from tests.reactions.toys import Killer, Tally, aside, heard, table
from tests.store.bases import Base


@pytest.fixture
def log(store: Store, ambient: Ambient) -> EventLog:
    return EventLog(store, ambient, Policies({}, {}))


def folding(log: EventLog, projection: Tally | None = None, *, store: Store | None = None) -> Folding:
    fold = Folding(projection or Tally(), store or log.store, Ambient())
    fold.begin(None)
    return fold


async def state(log: EventLog, *kinds: str, key: str = "k") -> list[int]:
    return [one.seq for one in await log.put_facts("p", [Fact(kind, key, 1) for kind in kinds])]


async def test_only_wanted_facts_are_folded_and_the_cursor_passes_all(log: EventLog):
    seqs = await state(log, "a.b", "other", "a.c", "z.z")
    await log.put(Source("c"), [heard("a.b")])
    tally = Tally()

    assert await folding(log, tally).turn() is False

    assert tally.applied == [seqs[0], seqs[2]]
    assert await log.store.read(lambda tx: read_cursor(tx, "tally")) >= seqs[3]


async def test_a_projection_is_woken_by_facts_of_its_kind_and_by_no_others(log: EventLog):
    tally, bell = Tally(), log.store.bell
    assert {one.partition(".")[0] for one in tally.types} == {"a"}
    fold = folding(log, tally)
    rung = bell.count(fold.topic)
    await state(log, "other.thing", "ab.c")
    await log.put(Source("c"), [heard("a.b")])
    assert bell.count(fold.topic) == rung
    await state(log, "a.b")
    assert bell.count(fold.topic) > rung


async def test_a_projection_of_several_kinds_is_woken_by_each(log: EventLog):
    tally = Tally()
    tally.types = ("a.*", "z.z")
    fold, bell = folding(log, tally), log.store.bell
    for kind in ("z.z", "a.b"):
        rung = bell.count(fold.topic)
        await state(log, kind)
        assert bell.count(fold.topic) > rung


async def test_a_turn_without_anything_new_writes_nothing(log: EventLog):
    await state(log, "a.b")
    fold = folding(log)
    await fold.turn()
    killer = Killer(log.store)
    killer.plan = ["before"]
    quiet = folding(log, store=cast("Store", killer))

    assert await quiet.idle()
    assert await quiet.turn() is False
    assert killer.plan == ["before"]


async def test_pages_follow_each_other_until_all_is_folded(log: EventLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cursor_module, "PAGE", 3)
    seqs = await state(log, *["a.b"] * 8)
    tally = Tally()
    fold = folding(log, tally)

    assert [await fold.turn() for _ in range(4)] == [True, True, False, False]
    assert tally.applied == seqs


async def test_a_projection_that_asks_for_it_folds_heard_events_too(log: EventLog):
    tally = Tally()
    tally.types = ("x.*", "a.*")  # type: ignore[assignment]
    tally.reads_heard = lambda tx: True  # type: ignore[attr-defined]
    [one] = await log.put(Source("c"), [heard("Open")])
    [two] = await state(log, "a.b")
    await folding(log, tally).turn()
    assert tally.applied == [one.seq, two]


# --- parking ---------------------------------------------------------------------------------------


async def test_a_bad_event_is_put_aside_and_leaves_nothing_behind(log: EventLog):
    good, bad, later = await state(log, "a.b", "a.bad", "a.c")

    await folding(log).turn()

    assert await table(log.store) == {"k": f"{good} {later} "}
    assert await aside(log.store, "tally") == [(bad, "parked")]
    row = await log.store.read(lambda tx: tx.execute(parked.select()).one())
    assert (row.error, row.key) == ("ValueError: a defect", "k")


async def again(log: EventLog) -> None:
    await log.store.write(lambda tx: tx.execute(update(parked).values(state="again")))


async def test_a_parked_event_is_tried_again_when_a_person_asks(log: EventLog):
    [bad] = await state(log, "a.bad")
    tally = Tally()
    fold = folding(log, tally)
    await fold.turn()

    await again(log)
    assert not await fold.idle()
    await fold.turn()
    assert await aside(log.store, "tally") == [(bad, "parked")]

    tally.forgives = True
    await again(log)
    await fold.turn()
    assert await aside(log.store, "tally") == [(bad, "settled")]
    assert await table(log.store) == {"k": f"{bad} "}
    assert await fold.idle()


async def test_a_parked_event_that_is_not_in_the_log_any_more_says_so(log: EventLog):
    [bad] = await state(log, "a.bad")
    fold = folding(log)
    await fold.turn()
    await log.store.write(lambda tx: tx.execute(text("delete from events")))
    await again(log)

    await fold.turn()

    assert await aside(log.store, "tally") == [(bad, "parked")]
    row = await log.store.read(lambda tx: tx.execute(parked.select()).one())
    assert "not in the log any more" in row.error


async def test_odd_words_of_an_error_are_kept_readably(log: EventLog):
    class Odd(Tally):
        def apply(self, tx: Connection, events) -> None:
            raise ValueError("nul \x00 half \ud800 " + "x" * 9_000)

    await state(log, "a.b")
    await folding(log, Odd()).turn()
    row = await log.store.read(lambda tx: tx.execute(parked.select()).one())
    assert row.error.startswith("ValueError: nul \ufffd half \ufffd xxx")
    assert len(row.error) == 2_000


async def test_a_full_disk_parks_nothing(sqlite: Base, ambient: Ambient):
    store = await sqlite.open()
    log = EventLog(store, ambient, Policies({}, {}))
    seqs = await state(log, "a.b", "a.c")
    fold = folding(log)

    class Fat(Tally):
        def apply(self, tx: Connection, events) -> None:
            super().apply(tx, events)
            tx.execute(text("insert into hub_settings values ('fat', :v, 0)"), {"v": "x" * 500_000})

    def limit(tx: Connection, pages: int) -> None:
        now = tx.exec_driver_sql("pragma page_count").scalar() or 0
        tx.exec_driver_sql(f"pragma max_page_count = {now + pages}")

    await store.write(lambda tx: limit(tx, 8))
    fold = folding(log, Fat())
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await fold.turn()
    assert await aside(store, "tally") == []
    assert await store.read(lambda tx: read_cursor(tx, "tally")) == 0

    await store.write(lambda tx: limit(tx, 10_000))
    await fold.turn()
    assert (await table(store))["k"] == f"{seqs[0]} {seqs[1]} "


# --- owners, crashes, replay -----------------------------------------------------------------------


async def test_a_reaction_whose_lease_was_taken_cannot_write(log: EventLog):
    seqs = await state(log, "a.b")

    def take(tx: Connection):
        tx.execute(update(leases).values(expires_ms=0))
        return claim(tx, ["reaction:tally"], "w", ttl_ms=1, process_ms=0, most=1)[0]

    old = folding(log)
    old.begin(await log.store.write(take))
    new = folding(log)
    new.begin(await log.store.write(take))

    with pytest.raises(Fenced):
        await old.turn()
    assert await table(log.store) == {}
    await new.turn()
    assert await table(log.store) == {"k": f"{seqs[0]} "}


async def test_two_that_read_the_same_page_fold_it_once(log: EventLog):
    """A worker that was told to end may still be writing when the next begins."""
    seqs = await state(log, "a.b")
    one, two = folding(log), folding(log)

    answers = await asyncio.gather(one.turn(), two.turn(), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) in (["Moved", "bool"], ["bool", "bool"])
    assert await table(log.store) == {"k": f"{seqs[0]} "}


async def test_a_cursor_moves_only_from_where_it_was(store: Store):
    def move(before: int, to: int):
        return store.write(lambda tx: save_cursor(tx, "r", to, None, 1, before=before))

    with pytest.raises(Moved):
        await move(3, 5)
    await move(0, 5)
    for before in (0, 4):
        with pytest.raises(Moved):
            await move(before, 9)
    await move(5, 9)
    assert await store.read(lambda tx: read_cursor(tx, "r")) == 9


async def test_one_that_runs_notices_that_its_cursor_was_moved(log: EventLog):
    seqs = await state(log, "a.b")
    fold = folding(log)
    await fold.turn()
    await log.store.write(lambda tx: tx.execute(text("delete from hub_settings")))
    await log.store.write(lambda tx: tx.execute(update(cursors).values(seq=0)))
    seqs += await state(log, "a.c")

    with pytest.raises(Moved):
        await fold.turn()
    await fold.turn()

    assert await table(log.store) == {"k": f"{seqs[0]} {seqs[1]} "}


@pytest.mark.parametrize("how", ["before", "within", "after"])
async def test_a_kill_at_any_commit_folds_everything_once(log: EventLog, how: str, monkeypatch):
    monkeypatch.setattr(cursor_module, "PAGE", 2)
    seqs = await state(log, "a.b", "a.bad", *["a.c"] * 9)
    killer = Killer(log.store)
    killer.plan = ["", how, "", how]
    fold = folding(log, store=cast("Store", killer))

    for _ in range(10):
        try:
            await catch_up([fold])
        except StoreUnavailable:
            fold = folding(log, store=cast("Store", killer))

    assert killer.plan == []
    assert await table(log.store) == {"k": "".join(f"{seq} " for seq in seqs if seq != seqs[1])}
    assert await aside(log.store, "tally") == [(seqs[1], "parked")]


async def test_folding_again_from_the_start_makes_the_same_tables_while_it_runs(log: EventLog):
    await state(log, "a.b", "a.bad", "a.c", key="one")
    await state(log, "a.b", key="two")
    tally = Tally()
    fold = folding(log, tally)
    await catch_up([fold])
    before, put_aside = await table(log.store), await aside(log.store, "tally")

    await log.store.write(lambda tx: rebuild(tx, tally))
    assert await table(log.store) == {}
    await catch_up([fold])  # the same one goes on: it sees that its cursor was moved

    assert await table(log.store) == before
    assert await aside(log.store, "tally") == put_aside


@pytest.mark.slow
@given(
    kinds=st.lists(
        st.tuples(st.sampled_from(["a.b", "a.c", "a.bad", "other"]), st.sampled_from("kl")), max_size=25
    ),
    point=st.integers(0, 25),
    page=st.integers(1, 9),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_folding_again_from_any_point_changes_nothing(kinds, point, page, tmp_path, monkeypatch):
    monkeypatch.setattr(cursor_module, "PAGE", page)
    asyncio.run(_check_again_from(kinds, point, tmp_path))


async def _check_again_from(kinds: list[tuple[str, str]], point: int, folder) -> None:
    base = Base("", folder)
    store = await base.open()
    try:
        for name in ("events", "hub_settings", "cursors", "parked"):
            await store.write(lambda tx, name=name: tx.execute(text(f"delete from {name}")))
        log = EventLog(store, Ambient(), Policies({}, {}))
        answers = await log.put_facts("p", [Fact(kind, key, 1) for kind, key in kinds])
        fold = folding(log)
        await catch_up([fold])
        before = await table(store)
        seq = ([0] + [answer.seq for answer in answers])[min(point, len(answers))]

        await store.write(lambda tx: tx.execute(update(cursors).values(seq=seq)))
        await catch_up([fold])

        assert await table(store) == before
        bad = {answer.seq for answer, (kind, _) in zip(answers, kinds, strict=True) if kind == "a.bad"}
        assert {seq for seq, _ in await aside(store, "tally")} == bad
    finally:
        await base.close()


async def test_a_projection_that_states_facts_states_them_with_its_tables(log: EventLog, ambient: Ambient):
    class Telling(Tally):
        def apply(self, tx: Connection, events: list[Event]) -> None:  # type: ignore[override]
            super().apply(tx, events)
            told = [Fact("told", event.key, 1, dedupe=f"{event.seq}") for event in events]
            append_facts(tx, ambient, "tally", told)

    await state(log, "a.b", "a.bad", "a.c")
    fold = folding(log, Telling())
    await catch_up([fold])
    await log.store.write(lambda tx: rebuild(tx, Tally()))
    await catch_up([fold])

    rows = await log.store.read(lambda tx: list(tx.scalars(text("select type from events order by seq"))))
    assert rows == ["a.b", "a.bad", "a.c", "told", "told"]


def test_patterns_match_whole_types_or_beginnings():
    wants = Matcher(("call.*", "gap.opened"))
    asked = ("call.ended", "call.", "call", "gap.opened", "gap.opened.late", "callx", "")
    assert [wants(kind) for kind in asked] == [True, True, False, True, False, False, False]
    assert Matcher(("*",))("anything")
    assert not Matcher(())("anything")
