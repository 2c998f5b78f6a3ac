"""The same lanes on PostgreSQL, shared by several workers."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import text

from atalaia.clock import HeldClock, SystemClock, to_ms
from atalaia.deliveries.ownership import beat
from atalaia.deliveries.receiver import Receiver
from atalaia.errors import Rejected, Unavailable
from atalaia.store.connect import open_store
from atalaia.store.store import Store
from tests.deliveries.hub import Hub, Script
from tests.peers.postgresql import PostgreSQL


async def _worker(hub: Hub, owner: str) -> None:
    """Write the row with which a worker says that it lives."""
    sql = (
        "insert into workers (id, host, pid, version, git_sha, started_ms, seen_ms) values "
        "(:id, 'here', 1, '0', '', :now, :now)"
    )
    now = to_ms(SystemClock().now())
    await hub.store.write(lambda tx: tx.execute(text(sql), {"id": owner, "now": now + 3_600_000}))


async def test_facts_reach_a_webhook(
    postgres_store: Store, clock: HeldClock, receiver: Receiver, secret: str
):
    hub = Hub(postgres_store, clock)
    await hub.subscribe({"kind": "webhook", "url": receiver.url}, secrets={"signing": secret})
    hub.start()
    for _ in range(10):
        await hub.happen(*"abcdefghij")
    await receiver.wait_for(100)
    await hub.settled()
    await hub.close()
    assert await hub.states() == {"delivered": 100}
    [row] = await hub.rows("select count(*) as n from attempts where outcome = 'delivered'")
    assert row.n == 100


async def test_failures_circuits_and_dead_letters_are_written_alike(postgres_store: Store, clock: HeldClock):
    script = Script()
    hub = Hub(postgres_store, clock, target=script)
    await hub.subscribe(policy={"give_up_s": 120})
    hub.start()
    script.answers = lambda _, one: Rejected("HTTP 422") if one.key == "bad" else Unavailable("HTTP 500")
    await hub.happen("bad", "a", "b", "c", "d", "e")
    await hub.until(lambda: hub.facts("target.opened"), passing_s=1)
    script.answers = lambda _, one: Rejected("HTTP 422") if one.key == "bad" else None
    await hub.settled(passing_s=5)
    await hub.close()
    assert await hub.states() == {"dead": 1, "delivered": 5}
    assert await hub.facts("delivery.dead") == ["delivery.dead"]


async def test_two_workers_share_the_lanes_and_one_takes_over_from_the_dead(
    postgresql: PostgreSQL, postgres_store: Store, clock: HeldClock, tmp_path
):
    script = Script()
    url = postgres_store.url  # type: ignore[attr-defined]
    other_store = await open_store(url, tmp_path)
    first = Hub(postgres_store, clock, target=script, owner="worker-1")
    second = Hub(other_store, clock, target=script, owner="worker-2")
    await _worker(first, "worker-1")
    await _worker(first, "worker-2")
    await first.subscribe(format="by-client")
    keys = [f"c{n}-x" for n in range(20)]
    await first.happen(*keys)
    first.start()
    second.start()
    await first.until(
        lambda: len(first.dispatcher.lanes) == 10 and len(second.dispatcher.lanes) == 10, passing_s=1
    )
    await first.happen(*keys)
    # Time goes by, so that leases are renewed: they run by the database's clock, however slow this is.
    await first.settled(passing_s=0.5)
    assert Counter(one.key for one in script.arrived) == Counter(dict.fromkeys(keys, 2))

    await second.kill()
    await first.happen(*keys)
    await first.store.write(
        lambda tx: tx.execute(text("update workers set seen_ms = 0 where id = 'worker-2'"))
    )
    # The leases run on the database's clock, which nobody holds: let them have run out.
    await first.store.write(
        lambda tx: tx.execute(text("update leases set expires_ms = 0 where owner = 'worker-2'"))
    )
    await first.until(lambda: len(first.dispatcher.lanes) == 20, passing_s=1)
    await first.settled(passing_s=0.5)

    assert all(script.seqs(key) == sorted(script.seqs(key)) for key in keys)
    assert all(len(script.seqs(key)) == 3 for key in keys)
    epochs = await first.rows("select name, epoch from leases where name like 'lane:%'")
    assert sorted(row.epoch for row in epochs) == [1] * 10 + [2] * 10
    await first.close()
    await second.close()
    await other_store.close()


async def test_a_worker_that_woke_too_late_writes_nothing(postgres_store: Store, clock: HeldClock):
    script = Script()
    sleeper = Hub(postgres_store, clock, target=script, owner="sleeper")
    await sleeper.subscribe()
    sleeper.start()
    await sleeper.happen("a")
    await sleeper.settled()
    script.gate.clear()
    await sleeper.happen("a")
    await sleeper.until(lambda: script.flying)

    # Another worker takes the lane while the first one's message is on its way.
    await sleeper.store.write(lambda tx: tx.execute(text("update leases set expires_ms = 0")))
    taken = await sleeper.store.write(lambda tx: beat(tx, [], "other", -1, 0))
    assert [one.epoch for one in taken.taken] == [2]
    script.gate.set()
    await sleeper.until(lambda: not sleeper.dispatcher.lanes)

    rows = await sleeper.rows("select state, attempts from deliveries order by id")
    assert [tuple(row) for row in rows] == [("delivered", 1), ("pending", 0)]
    await sleeper.close()


async def test_a_database_that_stops_loses_no_result(
    postgresql: PostgreSQL, postgres_store: Store, clock: HeldClock
):
    script = Script(lambda *_: None)
    hub = Hub(postgres_store, clock, target=script)
    await hub.subscribe()
    hub.start()
    await hub.happen("a", "b")
    await hub.settled()
    script.gate.clear()
    await hub.happen("a", "b")
    await hub.until(lambda: len(script.flying) == 2)
    postgresql.stop()
    script.gate.set()
    await hub.until(lambda: not script.flying)
    postgresql.start()

    await hub.settled(passing_s=1)
    assert await hub.states() == {"delivered": 4}
    await hub.close()
