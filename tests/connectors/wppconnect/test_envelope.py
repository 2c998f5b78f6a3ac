"""One webhook in the forms of the gateway, the server and the old hub's own test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.connectors.wppconnect.envelope import (
    read_object,
    read_said,
    read_time_ms,
    session_in,
    session_key,
)
from atalaia.errors import Unreadable
from tests.connectors.wppconnect.ground import CONTRACT, message, recording

needs_contract = pytest.mark.skipif(not CONTRACT.is_dir(), reason="the contract is not beside this checkout")


@needs_contract
def test_the_gateway_s_presence_that_calls_itself_an_update_is_presence():
    said = read_object(recording("hub-envelope/connection-update-is-contact-presence.json"))

    assert (said.event, said.session, said.form) == ("onpresencechanged", "Canal Um", "envelope")
    assert said.payload["state"] == "unavailable"
    assert said.said_ms == 1768504026497


@needs_contract
def test_the_old_hub_s_own_test_is_read_as_a_message():
    said = read_object(recording("hub-envelope/simulated-test-message.json"))

    assert (said.event, said.session, said.form) == ("onmessage", "Canal Um", "simulated")
    assert said.payload == {
        "id": "test_69616252037c3", "body": "teste simulado", "type": "chat", "t": 1767989842,
        "from": "551155500101",
    }  # fmt: skip


def test_the_server_s_own_form_needs_no_envelope():
    said = read_object(message("3EB0A1"))

    assert (said.event, said.session, said.event_id, said.form) == ("onmessage", "alpha", "", "server")
    assert "event" not in said.payload


@pytest.mark.parametrize(
    "whole",
    [
        {"sessionId": "um"}, {"session": {"id": "um"}}, {"session": {"session": "um"}}, {"session": "um"},
        {"data": {"session": {"id": "um"}}}, {"metadata": {"channel_id": "um"}}, {"channelId": "um"},
        {"channel": "um"}, {"channel_id": "um"}, {"data": {"channel": "um"}},
        {"raw": {"payload": {"session": "um"}}},
    ],
)  # fmt: skip
def test_the_session_is_found_wherever_it_hides(whole: dict[str, object]):
    assert session_in(whole) == "um"


def test_two_spellings_of_one_session_are_one():
    assert session_key("Canal Um") == session_key("canalum") == "canalum"


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        (1767988210, 1767988210000), (1768504026490, 1768504026490),
        ("2026-01-15T19:07:06.497Z", 1768504026497),
        ("1767988210", 1767988210000), (0, None), (True, None), ("amanhã", None), (None, None), (1e300, None),
    ],
)  # fmt: skip
def test_times_are_read_in_seconds_milliseconds_and_words(written: object, ms: int | None):
    assert read_time_ms(written) == ms


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"<html>", "not JSON"), (b"[1]", "not an object"), (b"{}", "`event` is missing"),
        (b'{"event": 5}', "`event` is a number"),
    ],
)  # fmt: skip
def test_what_is_no_webhook_says_why(raw: bytes, why: str):
    with pytest.raises(Unreadable, match=why):
        read_said(raw)


@given(st.binary(max_size=200))
def test_any_body_is_read_or_said_to_be_unreadable(raw: bytes):
    try:
        found = read_said(raw).event
    except Unreadable as error:
        found = str(error)
    assert found
