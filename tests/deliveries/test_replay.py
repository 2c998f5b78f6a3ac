"""Replays, dead letters and what screens show of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
import pytest

from atalaia.clock import HeldClock, to_ms
from atalaia.deliveries.queries import (
    get_delivery,
    get_view,
    list_attempts,
    list_dead,
    list_deliveries,
    list_views,
)
from atalaia.deliveries.replay import Replayed, Selection, count_dead, redo, replay, skip
from atalaia.deliveries.retention import forget_old
from atalaia.deliveries.targets.target import Unreachable, witnessed
from atalaia.errors import ConfigError, Rejected
from atalaia.store.store import Store
from tests.deliveries.hub import Hub, Script


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def scripted(store: Store, clock: HeldClock, script: Script) -> Hub:
    return Hub(store, clock, target=script)


async def _replay(hub: Hub, id: str, chosen: Selection, **more: Any) -> Replayed:
    return await hub.store.write(lambda tx: replay(tx, hub.ambient, hub.formats, id, chosen, **more))


@pytest.mark.parametrize(
    ("chosen", "seqs"),
    [
        (Selection(from_seq=3), [3, 4, 5, 6]),
        (Selection(from_seq=2, to_seq=3), [2, 3]),
        (Selection(key="a"), [1, 3]),
        (Selection(types=("call.opened",)), [5]),
        (Selection(types=("*.opened",), key="a"), []),
        (Selection(client="113"), [6]),
        (Selection(from_ms=1_767_225_600_000 + 60_000), [5, 6]),
        (Selection(to_ms=1_767_225_600_000 + 59_999), [1, 2, 3, 4]),
        (Selection(deliveries=(2, 4)), [2, 4]),
        (Selection(deliveries=(2, 4), key="d"), [4]),
    ],
)
async def test_a_replay_chooses_by_all_that_is_set(
    scripted: Hub, script: Script, chosen: Selection, seqs: list[int]
):
    created = await scripted.subscribe()
    id = created.subscription.id
    scripted.start()
    await scripted.happen("a", "b", "a", "d")
    await scripted.clock.run_for(60)
    await scripted.happen("e", type="call.opened")
    await scripted.happen("f", data={"client": "113"})
    await scripted.happen("not-ours", type="endpoint.status_changed")
    await scripted.settled()
    script.arrived.clear()

    dry = await _replay(scripted, id, chosen, dry_run=True)
    assert (dry.matched, dry.queued) == (len(seqs), 0)
    done = await _replay(scripted, id, chosen)
    assert (done.matched, done.queued, done.more) == (len(seqs), len(seqs), False)
    await scripted.settled()

    assert sorted(one.seq for one in script.arrived) == seqs
    assert {one.replay_of for one in script.arrived} <= set(range(1, 7))
    await scripted.close()


async def test_a_replay_goes_to_the_end_of_the_lane_with_the_old_message_id(scripted: Hub, script: Script):
    id = (await scripted.subscribe()).subscription.id
    scripted.start()
    await scripted.happen("a", "a")
    await scripted.settled()
    script.gate.clear()
    await scripted.happen("a")
    await _replay(scripted, id, Selection(key="a", to_seq=2))
    script.gate.set()
    await scripted.settled()

    assert [one.seq for one in script.arrived] == [1, 2, 3, 1, 2]
    rows = await scripted.rows("select message_id, replay_of from deliveries order by id")
    assert rows[0].message_id == rows[3].message_id
    assert [row.replay_of for row in rows] == [None, None, None, 1, 2]
    await scripted.close()


async def test_what_was_before_the_subscription_can_be_sent_too(scripted: Hub, script: Script):
    await scripted.happen("a", "b")
    id = (await scripted.subscribe()).subscription.id
    done = await _replay(scripted, id, Selection(from_seq=0))
    assert done.queued == 2
    scripted.start()
    await scripted.settled()
    assert [one.replay_of for one in script.arrived] == [0, 0]
    await scripted.close()


async def test_a_large_replay_goes_in_parts(scripted: Hub):
    await scripted.happen(*(f"k{n}" for n in range(2500)))
    id = (await scripted.subscribe()).subscription.id
    part = await _replay(scripted, id, Selection(from_seq=0), most=1200)
    assert part == Replayed(1200, 1200, 1200, True)
    rest = await _replay(scripted, id, Selection(from_seq=part.upto_seq + 1), most=5000)
    assert rest == Replayed(1300, 1300, 2500, False)


async def test_a_replay_of_nothing_or_for_nobody_is_refused(scripted: Hub):
    id = (await scripted.subscribe()).subscription.id
    with pytest.raises(ConfigError, match="selection is empty"):
        await _replay(scripted, id, Selection())
    with pytest.raises(ConfigError, match="no subscription"):
        await _replay(scripted, "nobody", Selection(from_seq=0))


async def test_dead_letters_are_counted_redone_and_skipped(scripted: Hub, script: Script):
    script.answers = lambda *_: Rejected("HTTP 422")
    id = (await scripted.subscribe(policy={"give_up_s": 0})).subscription.id
    scripted.start()
    await scripted.happen("a", "b", "c")
    await scripted.settled()
    assert await scripted.store.read(lambda tx: count_dead(tx, id)) == 3

    script.answers = lambda *_: None
    assert await scripted.store.write(lambda tx: redo(tx, scripted.ambient, id, [1])) == 1
    await scripted.settled()
    assert await scripted.states() == {"delivered": 1, "dead": 2}
    assert await scripted.store.write(lambda tx: skip(tx, scripted.ambient, id, [2])) == 1
    assert await scripted.facts("alert.resolved") == []
    assert await scripted.store.write(lambda tx: redo(tx, scripted.ambient, id)) == 1
    await scripted.settled()
    assert await scripted.states() == {"delivered": 2, "cancelled": 1}
    assert await scripted.facts("alert.resolved") == ["alert.resolved"]
    assert await scripted.store.write(lambda tx: redo(tx, scripted.ambient, id)) == 0
    await scripted.close()


async def test_screens_see_lag_rate_circuit_and_attempts(scripted: Hub, script: Script):
    id = (await scripted.subscribe(format="by-client")).subscription.id
    scripted.start()
    await scripted.happen("c1-a", "c1-b", "c2-a")
    await scripted.settled()
    script.answers = lambda where, _: (
        witnessed(Unreachable("No connection."), "refused", "said") if where == "c2" else None
    )
    await scripted.happen("c2-a", "c2-b")
    await scripted.until(lambda: scripted.facts("target.opened"))
    now = to_ms(scripted.clock.now()) + 5000

    [view] = await scripted.store.read(lambda tx: list_views(tx, now))
    assert orjson.dumps(asdict(view))
    assert (view.name, view.pending, view.dead, view.lag_ms, view.rate_per_s) == (
        "A consumer",
        2,
        0,
        5000,
        0.05,
    )
    first, second = view.lanes
    assert (first.destination, first.circuit, first.pending, first.owner) == ("c1", "closed", 0, "worker-1")
    assert (second.destination, second.circuit, second.error) == ("c2", "open", "No connection.")
    assert await scripted.store.read(lambda tx: get_view(tx, id, now)) == view
    assert await scripted.store.read(lambda tx: get_view(tx, "x", now)) is None

    page = await scripted.store.read(lambda tx: list_deliveries(tx, subscription=id, limit=2))
    assert [one.id for one in page.items] == [5, 4]
    page = await scripted.store.read(lambda tx: list_deliveries(tx, before=page.before, limit=10))
    assert [one.id for one in page.items] == [3, 2, 1]
    assert page.before is None
    by: list[tuple[dict[str, Any], list[int]]] = [
        ({"state": "open"}, [5, 4]),
        ({"state": "delivered"}, [3, 2, 1]),
        ({"destination": "c1"}, [2, 1]),
        ({"seq": 3}, [3]),
        ({"key": "c2-a"}, [4, 3]),
    ]
    for filters, ids in by:
        found = await scripted.store.read(lambda tx, filters=filters: list_deliveries(tx, **filters))
        assert [one.id for one in found.items] == ids, filters
    assert (await scripted.store.read(list_dead)).items == ()
    one = await scripted.store.read(lambda tx: get_delivery(tx, 4))
    assert one is not None
    [tried] = await scripted.store.read(lambda tx: list_attempts(tx, 4))
    assert (tried.outcome, tried.status, tried.error, tried.response) == (
        "unavailable", "refused", "No connection.", "said",
    )  # fmt: skip
    await scripted.close()


async def test_retention_takes_only_what_is_old_and_settled(scripted: Hub, script: Script):
    script.answers = lambda _, one: Rejected("HTTP 422") if one.key == "bad" else None
    await scripted.subscribe(policy={"give_up_s": 0})
    scripted.start()
    await scripted.happen("a", "bad", "b")
    await scripted.settled()
    limit = to_ms(scripted.clock.now()) + 1
    await scripted.clock.run_for(60)
    await scripted.happen("c")
    await scripted.settled()

    gone = await forget_old(scripted.store, deliveries_before_ms=limit, attempts_before_ms=limit)

    assert (gone.deliveries, gone.attempts) == (2, 3)
    assert await scripted.states() == {"dead": 1, "delivered": 1}
    await scripted.close()
