"""From events to deliveries: who gets what, once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from atalaia.clock import HeldClock
from atalaia.deliveries.router import DESTINATION_MOST, shard, unsharded
from atalaia.deliveries.subscription import (
    change_subscription,
    delete_subscription,
    set_state,
)
from atalaia.events.log import Source, append_heard, head, read_after
from atalaia.events.model import Heard
from atalaia.events.policy import Policies
from atalaia.reactions.folding import rebuild
from atalaia.store.store import Store
from atalaia.store.tables import connections, cursors
from tests.deliveries.hub import Hub


async def _routed(hub: Hub) -> list[tuple[str, str]]:
    rows = await hub.rows("select subscription, type, key from deliveries order by id")
    return [(row.type, row.key) for row in rows]


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        ({}, ["call.opened a-1", "call.ended a-2"]),
        ({"types": ["call.ended"]}, ["call.ended a-2"]),
        ({"types": ["*"]}, ["call.opened a-1", "call.ended a-2", "endpoint.status_changed e-1"]),
        ({"types": ["endpoint.*", "*.ended"]}, ["call.ended a-2", "endpoint.status_changed e-1"]),
        ({"types": ["asterisk.*"]}, ["asterisk.ChannelCreated chan-1"]),
        ({"types": ["*.ChannelCreated"]}, []),
        ({"types": ["*"], "connection": "ast-1"}, []),
        ({"types": ["*"], "key_prefix": "a-"}, ["call.opened a-1", "call.ended a-2"]),
        ({"types": ["*"], "client": "112"}, ["call.opened a-1"]),
        ({"types": ["*"], "client": ["112", "113"]}, ["call.opened a-1", "call.ended a-2"]),
    ],
)
async def test_a_filter_selects(hub: Hub, filter: dict[str, Any], wanted: list[str]):
    await hub.subscribe(filter=filter)
    await hub.happen("a-1", type="call.opened", data={"client": "112"})
    await hub.happen("a-2", type="call.ended", data={"client": 113})
    await hub.happen("e-1", type="endpoint.status_changed")
    await hub.store.write(lambda tx: _hear(tx, hub))

    assert [f"{kind} {key}" for kind, key in await _routed(hub)] == wanted


def _hear(tx: Connection, hub: Hub) -> None:
    heard = [Heard("asterisk.ChannelCreated", "chan-1", 0, "{}")]
    before = head(tx)
    append_heard(tx, hub.ambient, Policies({}, {}), [(Source("ast-1"), heard)])
    hub.router.apply(tx, read_after(tx, before))


async def test_heard_events_are_read_only_when_somebody_may_select_them(hub: Hub):
    async def reads() -> bool:
        return await hub.store.read(hub.router.reads_heard)

    await hub.subscribe(filter={"types": ["call.*", "asterisk.*"]})
    assert not await reads()
    row = {
        "id": "ast-1", "connector": "asterisk", "name": "PBX", "settings": "{}", "secrets": "",
        "desired": "on", "created_ms": 0, "changed_ms": 0,
    }  # fmt: skip
    await hub.store.write(lambda tx: tx.execute(connections.insert().values(row)))
    assert await reads()


async def test_an_event_is_routed_once_however_often_it_is_shown(hub: Hub):
    await hub.subscribe()
    await hub.happen("a", "b")
    await hub.store.write(lambda tx: hub.router.apply(tx, read_after(tx, 0)))
    other = Hub(hub.store, hub.clock)
    await hub.store.write(lambda tx: other.router.apply(tx, read_after(tx, 0)))

    assert await _routed(hub) == [("call.ended", "a"), ("call.ended", "b")]


async def test_a_new_subscription_begins_with_what_comes_after_it(hub: Hub):
    await hub.happen("before")
    await hub.subscribe()
    await hub.happen("after")
    await hub.store.write(lambda tx: hub.router.apply(tx, read_after(tx, 0)))
    assert await _routed(hub) == [("call.ended", "after")]


async def test_folding_the_log_again_sends_nothing_again(hub: Hub):
    await hub.subscribe()
    await hub.happen("a", "b")
    await hub.happen("c")

    def again(tx: Connection) -> None:
        row = {"reaction": "deliveries", "seq": 2, "epoch": 0, "changed_ms": 0}
        tx.execute(cursors.insert().values(row))
        tx.exec_driver_sql("delete from deliveries")  # as retention does one day
        rebuild(tx, hub.router)
        hub.router.apply(tx, read_after(tx, 0))

    await hub.store.write(again)
    assert await _routed(hub) == [("call.ended", "c")]


async def test_changes_of_subscriptions_count_from_the_next_event(hub: Hub):
    id = (await hub.subscribe()).subscription.id
    await hub.happen("1")
    given = {"filter": {"types": ["call.opened"]}}
    await hub.store.write(
        lambda tx: change_subscription(tx, hub.ambient, hub.box, id, given, formats=hub.formats)
    )
    await hub.happen("2")
    await hub.happen("3", type="call.opened")
    await hub.store.write(lambda tx: set_state(tx, hub.ambient, id, "paused"))
    await hub.happen("4", type="call.opened")  # kept for later
    await hub.store.write(lambda tx: delete_subscription(tx, hub.ambient, id))
    await hub.happen("5", type="call.opened")

    assert [key for _, key in await _routed(hub)] == ["1", "3", "4"]


async def test_a_destination_that_no_database_could_hold_is_dead_and_told(store: Store, clock: HeldClock):
    hub = Hub(store, clock)
    await hub.subscribe(format="by-client")
    await hub.happen("x" * (DESTINATION_MOST + 1), "c1")
    rows = await hub.rows("select state, error from deliveries order by id")
    assert [row.state for row in rows] == ["dead", "pending"]
    assert "too long" in rows[0].error
    await hub.close()


@pytest.mark.parametrize("destination", ["", "cliente112", "a#b"])
def test_a_sharded_lane_knows_its_destination(destination: str):
    for shards in (1, 8):
        assert unsharded(shard(destination, "key", shards), shards) == destination
