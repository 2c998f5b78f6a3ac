"""Subscriptions: what is accepted, what is refused and how, and that secrets stay secret."""

from __future__ import annotations

import re
from typing import Any

import pytest

from atalaia.deliveries.subscription import (
    change_subscription,
    delete_subscription,
    get_subscription,
    list_subscriptions,
    open_secrets,
    read_policy,
    rotate_secret,
    set_state,
)
from atalaia.errors import ConfigError
from tests.deliveries.hub import Hub

WEBHOOK = {"kind": "webhook", "url": "https://consumer.example/hook"}
AMQP = {"kind": "amqp", "servers": [{"host": "rabbit.example"}]}
GOOD = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name is missing"),
    ({"name": 5}, "name holds a number. Write text."),
    ({"name": "x" * 121}, "name has 121 characters"),
    ({"name": "a\nb"}, "name holds a control character"),
    ({"nam": "x"}, "subscription.nam is not known"),
    ({"format": "pickle"}, "format holds 'pickle'. Write one of: cloudevents, raw"),
    ({"filter": []}, "filter holds a list. Write an object."),
    ({"filter": {"types": "call ended"}}, "filter.types holds 'call ended'"),
    ({"filter": {"types": {}}}, "filter.types holds an object"),
    ({"filter": {"types": [1]}}, "filter.types holds a list with a number"),
    ({"filter": {"typ": []}}, "filter.typ is not known"),
    ({"policy": {"order": "maybe"}}, "policy.order holds 'maybe'. Write one of: block, skip."),
    ({"policy": {"give_up_s": -1}}, "policy.give_up_s is -1"),
    ({"policy": {"give_up_s": True}}, "policy.give_up_s holds true or false"),
    ({"policy": {"shards": 65}}, "policy.shards is 65"),
    ({"policy": {"shards": "many"}}, "policy.shards holds text"),
    ({"target": {"kind": "webhook"}}, "target.url is missing"),
    ({"target": {"kind": "fax"}}, "target.kind holds 'fax'. Write one of: webhook, amqp."),
    ({"target": {**WEBHOOK, "url": "ftp://x"}}, "target.url begins with 'ftp'"),
    ({"target": {**WEBHOOK, "headers": {"Host": "x"}}}, "target.headers sets Host"),
    ({"target": {**WEBHOOK, "headers": {"webhook-id": "x"}}}, "target.headers sets webhook-id"),
    ({"target": {**WEBHOOK, "headers": {"a b": "x"}}}, "target.headers names 'a b'"),
    ({"target": {**WEBHOOK, "headers": {"x-a": "1\r\nx-b: 2"}}}, "target.headers.x-a holds a control"),
    ({"target": {**WEBHOOK, "timeout_s": 0}}, "target.timeout_s is 0"),
    ({"target": {"kind": "amqp"}}, "either servers or servers_from"),
    ({"target": {**AMQP, "servers_from": "connection:1"}}, "either servers or servers_from"),
    ({"target": {"kind": "amqp", "servers_from": "x"}}, "target.servers_from holds 'x'"),
    ({"target": {"kind": "amqp", "servers": "x"}}, "target.servers holds text"),
    ({"target": {"kind": "amqp", "servers": [5]}}, "target.servers[0] holds a number"),
    ({"target": {"kind": "amqp", "servers": [{"host": "h", "port": 0}]}}, "target.servers[0].port is 0"),
    ({"target": {**AMQP, "queue_type": "stream"}}, "target.queue_type holds 'stream'"),
    ({"secrets": {"signing": "whsec_short"}}, "secrets.signing"),
    ({"secrets": {"signing": "not base64 canary-1"}}, "secrets.signing"),
    ({"secrets": {"signing": [5]}}, "secrets.signing is no secret"),
    ({"secrets": {"headers": {"a": 5}}}, "secrets.headers holds a number"),
    ({"secrets": {"token": "x"}}, "secrets.token is not known"),
]


@pytest.mark.parametrize(("given", "said"), WRONG)
async def test_what_is_wrong_is_refused_by_name_with_the_remedy(hub: Hub, given: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        await hub.subscribe(**{"target": WEBHOOK, **given})
    assert "canary" not in str(caught.value)
    assert await hub.store.read(list_subscriptions) == []


async def test_a_webhook_without_a_secret_gets_one_that_is_shown_once(hub: Hub):
    created = await hub.subscribe(WEBHOOK)

    assert created.secret.startswith("whsec_")
    secrets = open_secrets(hub.box, created.subscription)
    assert secrets.signing == ((created.secret, None),)
    assert created.secret not in repr(created.subscription) + str(created.subscription.to_json())
    [row] = await hub.rows("select secrets, target from subscriptions")
    assert created.secret not in row.secrets + row.target


async def test_defaults_are_call_facts_blocking_for_a_day(hub: Hub):
    one = (await hub.subscribe(WEBHOOK)).subscription
    assert one.filter.types == ("call.*",)
    assert (one.format, one.state) == ("cloudevents", "on")
    assert one.policy == read_policy({"order": "block", "give_up_s": 86_400, "shards": 1})
    assert one.target == {**WEBHOOK, "headers": {}, "timeout_s": 10}


async def test_an_amqp_target_is_completed(hub: Hub):
    one = (await hub.subscribe(AMQP, secrets={"passwords": {"guest": "canary-2"}})).subscription
    assert one.target["servers"] == [{"host": "rabbit.example", "port": 5672, "user": "guest", "tls": False}]
    assert (one.target["exchange"], one.target["queue"], one.target["binding"]) == ("calls", "calls", "#")
    assert "canary-2" not in repr(one)
    assert "canary-2" not in repr(open_secrets(hub.box, one))


async def test_changing_leaves_the_rest_and_merges_secrets(hub: Hub):
    secrets = {"signing": GOOD, "headers": {"authorization": "Bearer one", "x-old": "gone"}}
    before = (await hub.subscribe(WEBHOOK, secrets=secrets)).subscription
    given = {"name": "Renamed", "secrets": {"headers": {"authorization": "Bearer two", "x-old": None}}}

    after = await hub.store.write(
        lambda tx: change_subscription(tx, hub.ambient, hub.box, before.id, given, formats=hub.formats)
    )

    assert (after.name, after.target, after.filter) == ("Renamed", before.target, before.filter)
    assert after.version > before.version
    opened = open_secrets(hub.box, after)
    assert opened.signing == ((GOOD, None),)
    assert opened.headers == {"authorization": "Bearer two"}


async def test_shards_do_not_change_while_deliveries_are_on_their_way(hub: Hub):
    id = (await hub.subscribe(WEBHOOK)).subscription.id
    await hub.happen("a")
    with pytest.raises(ConfigError, match="shards cannot change"):
        await hub.store.write(
            lambda tx: change_subscription(
                tx, hub.ambient, hub.box, id, {"policy": {"shards": 4}}, formats=hub.formats
            )
        )


async def test_rotating_keeps_the_old_secret_for_its_time_and_never_three(hub: Hub):
    created = await hub.subscribe(WEBHOOK)
    id = created.subscription.id
    now = created.subscription.created_ms

    async def rotate(keep_s: int) -> str:
        return await hub.store.write(lambda tx: rotate_secret(tx, hub.ambient, hub.box, id, keep_s=keep_s))

    async def signing() -> tuple[tuple[str, int | None], ...]:
        found = await hub.store.read(lambda tx: get_subscription(tx, id))
        assert found is not None
        return open_secrets(hub.box, found).signing

    second = await rotate(60)
    assert await signing() == ((second, None), (created.secret, now + 60_000))
    third = await rotate(60)
    assert await signing() == ((third, None), (second, now + 60_000))
    fourth = await rotate(0)
    assert await signing() == ((fourth, None),)


async def test_what_does_not_exist_is_said_to_be_gone(hub: Hub):
    id = (await hub.subscribe(WEBHOOK)).subscription.id
    await hub.store.write(lambda tx: delete_subscription(tx, hub.ambient, id))
    for work in (
        lambda tx: set_state(tx, hub.ambient, id, "paused"),
        lambda tx: delete_subscription(tx, hub.ambient, id),
        lambda tx: rotate_secret(tx, hub.ambient, hub.box, id),
    ):
        with pytest.raises(ConfigError, match="There is no subscription"):
            await hub.store.write(work)
    [row] = await hub.rows("select secrets from subscriptions")
    assert row.secrets == ""
