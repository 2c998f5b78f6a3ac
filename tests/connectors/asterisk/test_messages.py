"""The messages of the old system, and the identities by which consumers drop repeats."""

from __future__ import annotations

from typing import Any

import orjson

from atalaia.connectors.asterisk.messages import MESSAGES
from atalaia.events.model import Event, Fact
from tests.connectors.asterisk.folding import T0, Fold, Stream
from tests.connectors.asterisk.test_calls import ringing, talking


def event(fact: Fact, family: Any = "fact") -> Event:
    body = orjson.dumps(dict(fact.data)).decode()
    return Event(
        1, "1", family, fact.type, fact.key, "voip1", fact.occurred_ms, fact.occurred_ms, 1, False, body
    )


def messages(fold: Fold, **options: Any) -> list[Any]:
    rendered = [MESSAGES.render(event(fact), options) for fact in fold.facts]
    return [one for one in rendered if one is not None]


def test_a_call_is_three_messages_to_its_clients_vhost(fold: Fold, stream: Stream) -> None:
    caller, _ = talking(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.destroyed(caller, 3500))

    found = messages(fold)
    guid = fold.calls()[0][0].key
    assert [one.message_id for one in found] == [f"{guid}:{state}" for state in ("open", "oncall", "closed")]
    assert {(one.destination, one.routing_key, one.content_type) for one in found} == {
        ("cliente112", "received-call", "application/json")
    }
    last = orjson.loads(found[-1].body)
    assert last["operation"] == {
        "type": "received-call", "event_code": "8000", "timestamp": T0 // 1000 + 3, "vhost": "cliente112",
    }  # fmt: skip
    assert list(last["data"]) == [
        "origin", "destiny", "origin_type", "destiny_type", "callnumber", "guid", "channelstatus",
        "callstatus", "channel", "ringduration", "extra_channel", "callduration", "dtmf",
        "urlfilename", "extra",
    ]  # fmt: skip
    assert last["data"]["extra"]["opened_ms"] == T0
    assert last["data"]["extra"]["server"] == "voip1"


def test_ours_can_be_left_out_and_codes_are_a_setting(fold: Fold, stream: Stream) -> None:
    ringing(fold, stream, "1121001", "1121002", "1121002")

    [body] = [
        orjson.loads(one.body) for one in messages(fold, extra=False, event_codes={"received-call": 9000})
    ]
    assert "extra" not in body["data"]
    assert body["operation"]["event_code"] == "9000"


def test_a_forced_end_says_so(fold: Fold, stream: Stream) -> None:
    ringing(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.control("connected", 9), *stream.reading(10, channels=[]))

    body = orjson.loads(messages(fold)[-1].body)
    assert (body["data"]["forceclose"], body["data"]["channelstatus"]) == ("Y", "unanswered")
    assert body["data"]["extra"]["reason"] == "lost"


def test_a_wake_is_a_push_and_a_state_is_an_endpoint_status(fold: Fold, stream: Stream) -> None:
    fold.take(
        stream.contact("1121001", "sip:1121001@203.0.113.9:5060", 0),
        stream.peer("1121001", "Reachable", 1500),
    )
    caller = stream.channel("1121001", "1123001", "Ring")
    wake = stream.event(
        "ChannelUserevent", 3000, eventname="PushWake", userevent={"endpoint": "1123001"}, channel=caller
    )
    fold.take(stream.created(caller, 3000), wake)

    bodies = [orjson.loads(one.body) for one in messages(fold)]
    guid = fold.calls()[0][0].key
    assert bodies[0] == {
        "operation": {
            "type": "endpoint-status",
            "event_code": "8013",
            "timestamp": T0 // 1000 + 1,
            "vhost": "cliente112",
        },
        "data": {"endpoint": "1121001", "status": "online", "ip": "203.0.113.9", "since": T0 // 1000 + 1},
    }
    assert bodies[2] == {
        "operation": {
            "type": "push",
            "event_code": "8009",
            "timestamp": T0 // 1000 + 3,
            "vhost": "cliente112",
        },
        "data": {"endpoint": "1123001", "origin": "1121001", "guid": guid, "expires": T0 // 1000 + 18},
    }


def test_what_is_no_change_belongs_to_nobody_or_was_only_heard_is_no_message(
    fold: Fold, stream: Stream
) -> None:
    fold.take(
        stream.control("connected", 0), *stream.reading(1, channels=[], endpoints={"1121001": "online"})
    )
    fold.take(stream.peer("trunk", "Reachable", 5), stream.contact("1121001", "sip:1@8.8.8.8", 6))
    ringing(fold, stream, "1121001", "1121002", "1121002")

    assert [one.routing_key for one in messages(fold)] == ["received-call"]
    assert MESSAGES.render(event(fold.facts[-1], "heard"), {}) is None


def test_the_same_fact_is_always_the_same_message(fold: Fold, stream: Stream) -> None:
    ringing(fold, stream, "1121001", "1121002", "1121002")

    assert messages(fold) == messages(fold)
