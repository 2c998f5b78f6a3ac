"""Standard Webhooks signatures, both ways, and the shape of what is sent."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from atalaia.clock import SystemClock, to_ms
from atalaia.deliveries.formats import CloudEventsFormat, RawFormat
from atalaia.deliveries.signing import check_secret, new_secret, sign, verify
from atalaia.errors import ConfigError, Rejected
from atalaia.events.model import Event

OLD = "whsec_b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZCA="
NEW = "whsec_bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldyA="
NOW = 1_767_225_600_123
BODY = '{"é":1}'.encode()
EVENT = Event(7, "018f-id", "fact", "call.ended", "guid-1", "ast-1", NOW, NOW, 3, True, '{"talk_s": 7}')


def test_a_consumer_with_the_public_library_accepts_us():
    now = to_ms(SystemClock().now())
    headers = sign([(NEW, None)], "msg-1", now, BODY)
    assert Webhook(NEW).verify(BODY, headers) == {"é": 1}


def test_while_a_secret_is_rotated_both_verify_and_then_one():
    secrets = [(NEW, None), (OLD, NOW + 1000)]
    during, after = sign(secrets, "m", NOW, BODY), sign(secrets, "m", NOW + 1000, BODY)
    assert verify([OLD], during, BODY, NOW) == verify([NEW], during, BODY, NOW) == "m"
    assert verify([NEW], after, BODY, NOW) == "m"
    with pytest.raises(Rejected, match="No signature fits"):
        verify([OLD], after, BODY, NOW)


@given(body=st.binary(max_size=200), change=st.integers(0, 10**6))
def test_any_changed_byte_is_noticed(body: bytes, change: int):
    text = orjson.dumps({"b": body.hex()})
    headers = sign([(NEW, None)], "m", NOW, text)
    assert verify([OLD, NEW], headers, text, NOW) == "m"
    place = change % len(text)
    changed = text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :]
    with pytest.raises(Rejected):
        verify([OLD, NEW], headers, changed, NOW)


@pytest.mark.parametrize(
    ("header", "value", "said"),
    [
        ("webhook-id", "other", "No signature fits"),
        ("webhook-id", "", "header is missing"),
        ("webhook-timestamp", "", "header is missing"),
        ("webhook-timestamp", "1e9", "timestamp"),
        ("webhook-timestamp", "9" * 5000, "timestamp"),
        ("webhook-timestamp", str(NOW // 1000 - 301), "timestamp"),
        ("webhook-timestamp", str(NOW // 1000 + 301), "timestamp"),
        ("webhook-timestamp", str(NOW // 1000 - 1), "No signature fits"),
        ("webhook-signature", "", "header is missing"),
        ("webhook-signature", "v1,", "No signature fits"),
        ("webhook-signature", "v2,ü garbage", "No signature fits"),
    ],
)
def test_what_is_forged_is_turned_away_with_the_reason(header: str, value: str, said: str):
    headers = {**sign([(NEW, None)], "m", NOW, BODY), header: value}
    with pytest.raises(Rejected, match=said):
        verify([NEW], headers, BODY, NOW)


def test_secrets_are_32_random_bytes_and_checked():
    assert check_secret(new_secret()) != new_secret()
    for wrong in ("", "whsec_", "whsec_c2hvcnQ=", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "whsec_!"):
        with pytest.raises(ConfigError, match=r"secrets\.signing"):
            check_secret(wrong)


def test_a_cloud_event_is_what_the_specification_says():
    message = CloudEventsFormat().render(EVENT, {})
    assert message is not None
    assert orjson.loads(message.body) == {
        "specversion": "1.0",
        "id": "018f-id",
        "source": "/connections/ast-1",
        "type": "call.ended",
        "subject": "guid-1",
        "time": "2026-01-01T00:00:00.123Z",
        "datacontenttype": "application/json",
        "sequence": "7",
        "late": True,
        "data": {"talk_s": 7},
    }
    assert (message.message_id, message.content_type) == ("018f-id", "application/cloudevents+json")
    hub = CloudEventsFormat().render(replace(EVENT, connection=""), {})
    assert hub is not None
    assert orjson.loads(hub.body)["source"] == "/"


def test_the_raw_format_is_the_body_as_it_came():
    message = RawFormat().render(replace(EVENT, family="heard", body='{"a":  1, "b":"é"}'), {})
    assert message is not None
    assert message.body == '{"a":  1, "b":"é"}'.encode()
    assert message.headers["x-event-type"] == "call.ended"


@pytest.mark.parametrize("made", [CloudEventsFormat(), RawFormat()])
def test_the_quick_address_is_that_of_the_whole_message(made: CloudEventsFormat | RawFormat):
    message = made.render(EVENT, {})
    assert message is not None
    assert made.address(EVENT, {}) == (message.destination, message.message_id)
