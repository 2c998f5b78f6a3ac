"""Every scenario of real SIP calls ends with exactly the expected messages in the right vhost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from atalaia.deliveries.receiver import Receiver
from atalaia.deliveries.signing import new_secret
from tests.journeys import scenarios
from tests.journeys.bus import Conversation, check_order, check_shape, conversations, deduplicated, near
from tests.journeys.hubs import Place
from tests.journeys.scenarios import Outcome
from tests.journeys.truth import alerts_of, facts, gaps_of, is_live, is_settled
from tests.journeys.waiting import until
from tests.journeys.world import connection_settings, write_configuration
from tests.peers.asterisk import Asterisk
from tests.peers.rabbitmq import RabbitMQ, Received

pytestmark = pytest.mark.asyncio(loop_scope="module")
VHOSTS = ("cliente112", "cliente113", "cliente114")
QUIET = ("scan", "wrong-password", "unknown-number", "exten-s", "no-number", "click-to-call-refused",
         "call-file-failed")  # fmt: skip


@dataclass
class Evening:
    """All scenarios were played once; this is what the consumers got."""

    place: Place
    outcomes: dict[str, Outcome]
    on_bus: dict[str, list[Received]]
    webhooks: list[Any]
    by_vhost: dict[str, dict[str, Conversation]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_vhost = {vhost: conversations(messages) for vhost, messages in self.on_bus.items()}

    @property
    def all(self) -> list[Conversation]:
        return [one for found in self.by_vhost.values() for one in found.values()]

    def told_of(self, scenario: str) -> list[Conversation]:
        return self.outcomes[scenario].pick(self.all)

    def statuses_of(self, endpoint: str) -> list[str]:
        """Answer the endpoint-status messages of a phone, in order."""
        return [
            one.body["data"]["status"]
            for messages in self.on_bus.values()
            for one in messages
            if one.body["operation"]["type"] == "endpoint-status" and one.body["data"]["endpoint"] == endpoint
        ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def evening(
    asterisk_server: Asterisk, rabbitmq_server: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Evening]:
    folder = tmp_path_factory.mktemp("scenarios")
    await asyncio.to_thread(asterisk_server.heal)
    await asyncio.to_thread(rabbitmq_server.heal)
    receiver = Receiver([new_secret()], keep=100_000)
    url = await receiver.start()
    place = Place(folder / "hub", allow=(url.split("/")[2],))
    try:
        connection = await _furnish(place, asterisk_server, rabbitmq_server, folder, receiver)
        await place.worker().start()
        await is_live(place, connection)
        outcomes = await asyncio.to_thread(scenarios.play_all, asterisk_server)
        await until(
            lambda: _has_expired(place), "the phone that vanished is offline", within_s=60, every_s=0.5
        )
        await is_settled(place)
        on_bus = {vhost: await rabbitmq_server.consume(vhost, "calls") for vhost in VHOSTS}
        yield Evening(place, outcomes, on_bus, list(receiver.messages))
    finally:
        place.close()
        await receiver.stop()


async def _furnish(
    place: Place, asterisk: Asterisk, rabbitmq: RabbitMQ, folder: Path, receiver: Receiver
) -> str:
    etc = write_configuration(folder / "etc", rabbitmq)
    settings = connection_settings(asterisk, etc)

    def work(furnisher: Any, tx: Any) -> str:
        furnisher.webhook(tx, receiver.url, receiver.secrets[0])
        return furnisher.connection(tx, "asterisk", "voip1", **settings)

    return await place.furnish(work)


async def _has_expired(place: Place) -> bool:
    told = await facts(place, "endpoint.status_changed")
    mine = [one["data"]["status"] for one in told if one["key"] == "1147102"]
    return mine[-1:] == ["offline"] and "online" in mine


async def test_every_scenario_of_the_call_list_is_played() -> None:
    assert {one.scenario for one in scenarios.ALL} == scenarios.list_scenarios()


@pytest.mark.parametrize("scenario", [one.scenario for one in scenarios.ALL])
async def test_a_scenario_ends_with_exactly_the_expected_messages(evening: Evening, scenario: str) -> None:
    outcome = evening.outcomes[scenario]
    assert outcome.result["ok"], outcome.result["phones"]
    told = evening.told_of(scenario)
    left = list(told)
    for record in outcome.expected:
        fitting = [one for one in left if _fits(one, record)]
        assert fitting, f"nothing fits {record} among {[str(one) for one in left]}"
        left.remove(fitting[0])
    assert not left, [str(one) for one in left]
    assert {one.vhost for one in told} <= {outcome.played.vhost}


def _fits(one: Conversation, record: dict[str, Any]) -> bool:
    last = one.last
    return (
        last["origin"] == record["origin"]
        and last["destiny"] == record["destiny"]
        and last["channelstatus"] == record["channelstatus"]
        and one.first["destiny"] == record.get("dialled", record["destiny"])
        and near(last["ringduration"], record.get("ringduration"))
        and near(last["callduration"], record.get("callduration") if one.statuses[-1] == "closed" else 0)
        and record.get("reason", "") in ("", last["extra"]["reason"])
        and record.get("dtmf", "") == last["dtmf"]
        and record.get("transferred_to", last["extra"]["transferred_to"]) == last["extra"]["transferred_to"]
        and not one.is_forceclosed
    )


async def test_every_conversation_is_told_in_order_and_once(evening: Evening) -> None:
    for vhost, found in evening.by_vhost.items():
        check_order(found)
        assert {one.vhost for one in found.values()} == {vhost}
    for messages in evening.on_bus.values():
        ids = [one.message_id for one in messages]
        assert len(ids) == len(set(ids))


async def test_every_message_has_exactly_the_fields_of_the_contract(evening: Evening) -> None:
    for messages in evening.on_bus.values():
        for one in messages:
            if one.body["operation"]["type"] == "received-call":
                check_shape(one)
    numbers = [one.first["callnumber"] for one in evening.all]
    assert sorted(numbers) == list(range(min(numbers), min(numbers) + len(numbers)))
    assert all(one.guid[14] == "7" for one in evening.all)


@pytest.mark.parametrize("scenario", QUIET)
async def test_what_is_no_call_reaches_no_consumer(evening: Evening, scenario: str) -> None:
    assert evening.told_of(scenario) == []


async def test_scanners_reach_no_consumer(evening: Evening) -> None:
    assert not [one for one in evening.all if "anonymous" in one.first["channel"]]


async def test_an_offline_smartphone_is_woken_once_per_call(evening: Evening) -> None:
    pushes = [
        one.body
        for messages in evening.on_bus.values()
        for one in deduplicated(messages)
        if one.body["operation"]["type"] == "push"
    ]
    assert sorted(one["data"]["endpoint"] for one in pushes) == ["1123001", "1133001"]
    for one in pushes:
        assert one["operation"]["event_code"] == "8009"
        assert set(one["data"]) == {"endpoint", "origin", "guid", "expires"}
        assert one["data"]["guid"] in evening.by_vhost[one["operation"]["vhost"]]


async def test_a_phone_that_registers_and_leaves_is_told_as_such(evening: Evening) -> None:
    assert evening.statuses_of("1147108") == ["online", "offline"]
    assert evening.statuses_of("1147102") == ["online", "offline"]


async def test_webhooks_get_the_same_conversations_signed_and_as_cloudevents(evening: Evening) -> None:
    assert not [one.problem for one in evening.webhooks if one.problem]
    seen: dict[str, list[str]] = {}
    for one in evening.webhooks:
        event = one.json()
        assert event["specversion"] == "1.0"
        assert event["id"] == one.message_id
        assert one.headers["content-type"].startswith("application/cloudevents+json")
        if event["type"].startswith("call."):
            statuses = seen.setdefault(event["data"]["guid"], [])
            if event["data"]["channelstatus"] not in statuses:
                statuses.append(event["data"]["channelstatus"])
    assert seen == {one.guid: one.statuses for one in evening.all}


async def test_nothing_was_missed_and_nothing_raised_an_alarm(evening: Evening) -> None:
    assert [one["cause"] for one in await alerts_of(evening.place) if one["resolved_ms"] is None] == []
    assert [one for one in await gaps_of(evening.place) if one["closed_ms"] is None] == []
