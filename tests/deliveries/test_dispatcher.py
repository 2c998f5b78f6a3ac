"""Lanes: at least once, in order per key, one failing key or target never stopping another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from atalaia.clock import HeldClock
from atalaia.deliveries.lane import LINE_MOST, WINDOW
from atalaia.deliveries.receiver import Received, Receiver
from atalaia.deliveries.replay import redo, skip
from atalaia.deliveries.subscription import delete_subscription, rotate_secret, set_state
from atalaia.deliveries.targets.target import Unreachable
from atalaia.errors import InDoubt, Refused, Rejected, Unavailable
from atalaia.events.log import read_after
from atalaia.store.connect import open_store
from atalaia.store.store import Store
from tests.deliveries.hub import Hub, Script


@pytest_asyncio.fixture
async def script() -> Script:
    return Script()


@pytest_asyncio.fixture
async def scripted(store: Store, clock: HeldClock, script: Script) -> AsyncIterator[Hub]:
    hub = Hub(store, clock, target=script)
    yield hub
    await hub.close()


async def test_a_fact_reaches_a_webhook_signed_and_is_recorded(hub: Hub, receiver: Receiver, secret: str):
    await hub.subscribe({"kind": "webhook", "url": receiver.url}, secrets={"signing": secret})
    hub.start()

    await hub.happen("call-1", data={"talk_s": 7})
    [message] = await receiver.wait_for(1)
    await hub.settled()

    assert message.problem == ""
    body = message.json()
    assert body["type"] == "call.ended"
    assert body["subject"] == "call-1"
    assert body["data"] == {"n": 0, "talk_s": 7}
    assert message.headers["content-type"] == "application/cloudevents+json"
    assert await hub.states() == {"delivered": 1}
    [attempt] = await hub.rows("select number, outcome, status, error from attempts")
    assert tuple(attempt) == (1, "delivered", "HTTP 204", "")
    [lane] = await hub.rows("select circuit, failures, delivered_ms from lanes")
    assert (lane.circuit, lane.failures) == ("closed", 0)
    assert lane.delivered_ms is not None


async def test_what_was_pending_before_the_start_is_sent_in_order(scripted: Hub, script: Script):
    await scripted.subscribe()
    for _ in range(5):
        await scripted.happen("a", "b", "c")
    scripted.start()

    await scripted.settled()

    assert [script.seqs(key) for key in "abc"] == [[1, 4, 7, 10, 13], [2, 5, 8, 11, 14], [3, 6, 9, 12, 15]]
    assert script.overtaken == 0


async def test_what_another_process_wrote_is_sent_in_its_place(
    scripted: Hub, script: Script, clock: HeldClock, tmp_path: Path
):
    """As `atalaia deliveries replay` does beside a running hub, which hears nothing of it."""
    await scripted.subscribe()
    scripted.start()
    await scripted.happen("a")
    await scripted.settled()
    other = Hub(await open_store("", tmp_path, exclusive=False), clock)

    await other.happen("a", "b")
    await scripted.happen("a", "b")
    await scripted.settled()
    await other.store.close()

    assert (script.seqs("a"), script.seqs("b")) == ([1, 2, 4], [3, 5])
    assert len(script.arrived) == 5


async def test_a_failing_key_waits_alone(scripted: Hub, script: Script):
    script.answers = lambda _, one: Unavailable("HTTP 500") if one.key == "bad" else None
    await scripted.subscribe()
    scripted.start()
    await scripted.happen(*["bad", "good"] * 10)

    await scripted.until(lambda: len(script.seqs("good")) == 10)
    await scripted.until(lambda: scripted.rows("select 1 from deliveries where state = 'waiting'"))
    assert script.seqs("bad") == []

    script.answers = lambda *_: None
    await scripted.settled(passing_s=1)
    assert script.seqs("bad") == sorted(script.seqs("bad"))
    assert len(script.seqs("bad")) == 10
    assert await scripted.facts("target.%") == []


async def test_a_full_window_of_one_failing_key_does_not_starve_the_others(scripted: Hub, script: Script):
    script.answers = lambda _, one: Rejected("HTTP 400") if one.key == "bad" else None
    await scripted.subscribe()
    await scripted.happen(*["bad"] * (WINDOW + 500))
    await scripted.happen(*["good"] * 3)
    scripted.start()

    await scripted.until(lambda: len(script.seqs("good")) == 3)

    script.answers = lambda *_: None
    await scripted.settled(passing_s=1)
    assert len(script.seqs("bad")) == WINDOW + 500
    assert script.seqs("bad") == sorted(script.seqs("bad"))


async def test_a_long_backlog_is_sent_through_a_bounded_window(scripted: Hub, script: Script):
    script.gate.clear()
    await scripted.subscribe()
    for _ in range(6):
        await scripted.happen(*(f"k{n}" for n in range(1000)))
    scripted.start()
    await scripted.until(lambda: script.flying_most == 64)
    [lane] = scripted.dispatcher.lanes.values()
    assert lane.held <= WINDOW

    script.gate.set()
    await scripted.settled()

    assert await scripted.states() == {"delivered": 6000}
    assert script.overtaken == 0
    assert all(script.seqs(f"k{n}") == sorted(script.seqs(f"k{n}")) for n in range(0, 1000, 97))


async def test_a_busy_key_beyond_its_share_is_loaded_again_in_order(scripted: Hub, script: Script):
    await scripted.subscribe()
    await scripted.happen(*["busy"] * (3 * LINE_MOST + 7))
    scripted.start()
    await scripted.happen(*["busy"] * LINE_MOST)
    await scripted.settled()

    assert script.seqs("busy") == sorted(script.seqs("busy"))
    assert len(script.arrived) == 4 * LINE_MOST + 7


async def test_an_unreachable_target_opens_its_circuit_and_burns_nothing(scripted: Hub, script: Script):
    script.answers = lambda *_: Unreachable("nobody answers")
    await scripted.subscribe(policy={"give_up_s": 60})
    scripted.start()
    await scripted.happen("a")
    await scripted.until(lambda: scripted.facts("target.opened"))
    await scripted.happen("b", "c")

    for _ in range(20):  # ten minutes, far longer than one event of its own would be tried
        await scripted.clock.run_for(30)
        tried = len(script.attempts)
        await scripted.until(lambda: not script.flying)
    assert tried < 25
    assert await scripted.states() == {"pending": 3}
    [lane] = await scripted.rows("select circuit, error, opened_ms from lanes")
    assert (lane.circuit, lane.error) == ("open", "nobody answers")

    script.answers = lambda *_: None
    await scripted.settled(passing_s=5)
    assert await scripted.states() == {"delivered": 3}
    await scripted.until(lambda: scripted.facts("target.closed"))
    assert await scripted.facts("target.%") == ["target.opened", "target.closed"]
    assert await scripted.facts("alert.%") == ["alert.raised", "alert.resolved"]


async def test_five_keys_in_a_row_that_fail_mean_the_target(scripted: Hub, script: Script):
    script.answers = lambda *_: InDoubt("no answer within 10 s")
    await scripted.subscribe()
    scripted.start()
    await scripted.happen("a", "b", "c", "d")
    await scripted.until(lambda: len(script.attempts) == 4)
    assert await scripted.facts("target.%") == []

    await scripted.happen("e")
    await scripted.until(lambda: scripted.facts("target.opened"))
    await scripted.until(lambda: scripted.rows("select 1 from lanes where circuit = 'open'"))

    rows = await scripted.rows("select state, failing_ms from deliveries")
    assert {tuple(row) for row in rows} == {("pending", None)}
    script.answers = lambda *_: None
    await scripted.settled(passing_s=5)


async def test_one_target_that_is_down_does_not_delay_another(scripted: Hub, script: Script):
    script.answers = lambda destination, _: Unreachable("down") if destination == "c112" else None
    await scripted.subscribe(format="by-client")
    scripted.start()
    await scripted.happen(*["c112-x", "c113-y"] * 50)

    await scripted.until(lambda: len(script.arrived) == 50)
    await scripted.until(lambda: scripted.facts("target.opened"))
    assert {one.key for one in script.arrived} == {"c113-y"}
    rows = await scripted.rows("select destination, circuit from lanes order by destination")
    assert [tuple(row) for row in rows] == [("c112", "open"), ("c113", "closed")]


async def test_a_refusal_asks_a_person_and_probes_until_it_is_mended(scripted: Hub, script: Script):
    script.answers = lambda *_: Refused("HTTP 401", ask="Correct the secret header.")
    await scripted.subscribe()
    scripted.start()
    await scripted.happen("a")
    await scripted.until(lambda: scripted.facts("target.opened"))
    [lane] = await scripted.rows("select circuit, ask from lanes")
    assert tuple(lane) == ("open", "Correct the secret header.")

    script.answers = lambda *_: None
    await scripted.settled(passing_s=5)
    assert await scripted.states() == {"delivered": 1}


async def test_a_rejected_event_dies_at_its_time_and_blocks_its_key(scripted: Hub, script: Script):
    script.answers = lambda _, one: Rejected("HTTP 422") if one.seq == 1 else None
    created = await scripted.subscribe(policy={"order": "block", "give_up_s": 3600})
    scripted.start()
    await scripted.happen("a", "a", "b")

    await scripted.until(lambda: scripted.facts("delivery.dead"), passing_s=30)

    states = await scripted.rows("select key, state from deliveries order by id")
    assert [tuple(row) for row in states] == [("a", "dead"), ("a", "pending"), ("b", "delivered")]
    await scripted.happen("a")  # stands behind the dead one too
    assert await scripted.facts("alert.%") == ["alert.raised"]

    # Another worker that takes over keeps the key blocked.
    await scripted.stop()
    scripted = Hub(scripted.store, scripted.clock, target=script, owner="worker-2")
    scripted.start()
    await scripted.happen("b")
    await scripted.until(lambda: len(script.seqs("b")) == 2)
    assert script.seqs("a") == []

    script.answers = lambda *_: None
    assert await scripted.store.write(lambda tx: redo(tx, scripted.ambient, created.subscription.id)) == 1
    await scripted.until(lambda: len(script.seqs("a")) == 3)
    assert script.seqs("a") == sorted(script.seqs("a"))
    await scripted.close()
    assert await scripted.facts("alert.%") == ["alert.raised", "alert.resolved"]


async def test_skip_policy_goes_on_behind_a_dead_one(scripted: Hub, script: Script):
    script.answers = lambda _, one: Rejected("HTTP 422") if one.seq == 1 else None
    created = await scripted.subscribe(policy={"order": "skip", "give_up_s": 60})
    scripted.start()
    await scripted.happen("a", "a")
    await scripted.settled(passing_s=5)
    assert await scripted.states() == {"dead": 1, "delivered": 1}

    script.answers = lambda *_: None
    await scripted.store.write(lambda tx: redo(tx, scripted.ambient, created.subscription.id))
    await scripted.settled()
    assert await scripted.states() == {"delivered": 2}


async def test_a_skipped_dead_letter_lets_its_key_go_on(scripted: Hub, script: Script):
    script.answers = lambda _, one: Rejected("HTTP 422") if one.seq == 1 else None
    created = await scripted.subscribe(policy={"give_up_s": 0})
    scripted.start()
    await scripted.happen("a", "a")
    await scripted.until(lambda: scripted.facts("delivery.dead"))

    assert await scripted.store.write(lambda tx: skip(tx, scripted.ambient, created.subscription.id)) == 1
    await scripted.settled()
    assert await scripted.states() == {"cancelled": 1, "delivered": 1}


async def test_a_paused_subscription_keeps_everything_for_later(scripted: Hub, script: Script):
    created = await scripted.subscribe()
    id = created.subscription.id
    scripted.start()
    await scripted.happen("a")
    await scripted.settled()
    await scripted.store.write(lambda tx: set_state(tx, scripted.ambient, id, "paused"))
    [lane] = scripted.dispatcher.lanes.values()
    await scripted.until(lambda: lane.paused)

    await scripted.happen("a", "b")
    await scripted.until(lambda: lane.held == 2)
    assert len(script.arrived) == 1

    await scripted.store.write(lambda tx: set_state(tx, scripted.ambient, id, "on"))
    await scripted.settled()
    assert len(script.arrived) == 3


async def test_a_deleted_subscription_cancels_what_is_on_its_way(scripted: Hub, script: Script):
    script.answers = lambda *_: Unreachable("down")
    created = await scripted.subscribe()
    scripted.start()
    await scripted.happen("a", "b")
    await scripted.until(lambda: scripted.facts("target.opened"))

    stopped = await scripted.store.write(
        lambda tx: delete_subscription(tx, scripted.ambient, created.subscription.id)
    )

    assert stopped == 2
    assert await scripted.facts("alert.%") == ["alert.raised", "alert.resolved"]
    await scripted.until(lambda: not scripted.dispatcher.lanes)
    assert await scripted.states() == {"cancelled": 2}


async def test_a_new_secret_signs_beside_the_old_one(hub: Hub, receiver: Receiver, secret: str):
    created = await hub.subscribe({"kind": "webhook", "url": receiver.url}, secrets={"signing": secret})
    id = created.subscription.id
    hub.start()
    fresh = await hub.store.write(lambda tx: rotate_secret(tx, hub.ambient, hub.box, id, keep_s=3600))
    await hub.happen("a")
    [message] = await receiver.wait_for(1)
    assert len(message.headers["webhook-signature"].split()) == 2

    receiver.secrets = [fresh]
    await hub.clock.run_for(3601)
    await hub.happen("a")
    messages = await receiver.wait_for(2)
    assert len(messages[-1].headers["webhook-signature"].split()) == 1
    assert receiver.refused == 0


async def test_a_slow_consumer_shows_as_sending(scripted: Hub, script: Script):
    script.gate.clear()
    await scripted.subscribe()
    scripted.start()
    await scripted.happen("a")
    await scripted.until(lambda: script.flying)

    async def shown() -> bool:
        return await scripted.states() != {"pending": 1}

    await scripted.until(shown, passing_s=1)
    assert await scripted.states() == {"sending": 1}
    script.gate.set()
    await scripted.settled()
    assert await scripted.states() == {"delivered": 1}


async def test_what_a_killed_worker_was_sending_is_sent_again(scripted: Hub, script: Script):
    await scripted.subscribe()
    scripted.start()
    await scripted.happen("a", "a", "b")
    await scripted.settled()
    script.gate.clear()
    await scripted.happen("a", "a", "b")
    await scripted.until(lambda: len(script.flying) == 2)
    script.gate.set()
    await scripted.kill()

    second = Hub(scripted.store, scripted.clock, target=script, owner="worker-2")
    second.start()
    await second.settled(passing_s=1)
    await second.close()

    assert script.seqs("a") == [1, 2, 4, 5]
    assert script.seqs("b") == [3, 6]


async def test_a_message_that_cannot_be_made_is_dead_and_loud(scripted: Hub, script: Script):
    await scripted.subscribe(format="by-client")
    scripted.start()
    await scripted.happen("broken-1", "nobody-1", "c1-1")
    await scripted.settled()

    rows = await scripted.rows("select key, state, error from deliveries order by id")
    assert [(row.key, row.state) for row in rows] == [("broken-1", "dead"), ("c1-1", "delivered")]
    assert "KeyError" in rows[0].error
    assert await scripted.facts("delivery.dead") == ["delivery.dead"]
    assert await scripted.facts("alert.%") == ["alert.raised"]


async def test_a_delivery_whose_event_is_gone_is_cancelled_with_the_reason(scripted: Hub, script: Script):
    await scripted.subscribe()
    await scripted.happen("a", "b")
    await scripted.store.write(lambda tx: tx.exec_driver_sql("delete from events where seq = 1"))
    scripted.start()
    await scripted.settled()

    [row] = await scripted.rows("select error from deliveries where state = 'cancelled'")
    assert row.error == "The event is no longer in the log."
    assert len(script.arrived) == 1


async def test_shards_keep_the_order_of_each_key(scripted: Hub, script: Script):
    await scripted.subscribe(policy={"shards": 4})
    scripted.start()
    for _ in range(5):
        await scripted.happen(*(f"k{n}" for n in range(20)))
    await scripted.settled()

    lanes = await scripted.rows("select distinct destination from deliveries order by 1")
    assert [row[0] for row in lanes] == ["#0", "#1", "#2", "#3"]
    assert all(script.seqs(f"k{n}") == [n + 1 + 20 * turn for turn in range(5)] for n in range(20))


async def test_a_consumer_that_fails_for_a_while_gets_everything_once_in_order(
    hub: Hub, receiver: Receiver, secret: str
):
    moody = iter([500, 503, None, 502] * 100)

    def answer(message: Received) -> int | None:
        return next(moody)

    receiver.answer = answer
    await hub.subscribe({"kind": "webhook", "url": receiver.url}, secrets={"signing": secret})
    hub.start()
    await hub.happen(*["a", "b", "c"] * 5)
    await hub.settled(passing_s=2)

    taken: dict[str, list[int]] = {}
    for message in receiver.messages:
        body = message.json()
        taken.setdefault(body["subject"], []).append(int(body["sequence"]))
    assert {key: sorted(set(seqs)) for key, seqs in taken.items()} == taken
    assert sum(map(len, taken.values())) == 15


async def test_subscriptions_are_not_told_of_their_own_troubles(scripted: Hub, script: Script):
    down = {"yes": True}
    script.answers = lambda *_: Unreachable("down") if down["yes"] else None
    await scripted.subscribe(filter={"types": ["*"]})
    scripted.start()
    await scripted.happen("a")
    await scripted.until(lambda: scripted.facts("target.opened"))

    await scripted.store.write(lambda tx: scripted.router.apply(tx, read_after(tx, 0)))
    rows = await scripted.rows("select distinct type from deliveries")
    assert [row[0] for row in rows] == ["call.ended"]
