"""Each way in which a login fails is told apart."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from atalaia.connectors.traffilog import login
from atalaia.errors import Refused, Unavailable, Unreadable
from tests.connectors.traffilog.ground import TOKEN


def body(**properties: Any) -> bytes:
    return orjson.dumps({"response": {"properties": properties}})


def test_the_body_of_a_login_is_the_documented_one():
    expected = b'{"action":{"name":"user_login","parameters":{"login_name":"ana","password":"p\\"w"}}}'
    assert login.login_body("ana", 'p"w') == expected
    assert orjson.loads(login.probe_body(TOKEN))["action"]["parameters"] == {"session_token": TOKEN.value}
    address = "https://x/appengine_3/G-1/1/json"
    assert login.action_url("https://x/appengine_3/", "G-1") == address


@pytest.mark.parametrize(
    "answer",
    [
        body(action_value="0", session_token=TOKEN.value),
        body(action_value="0", data=[{"session_token": TOKEN.value}]),
        body(session_token=TOKEN.value + "\n", data=[{"session_token": "x" * 30}]) + b"\x00",
    ],
)
def test_the_token_is_found_in_either_place(answer: bytes):
    assert login.read_login(200, answer) == TOKEN


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (502, b"<html>", Unavailable),
        (200, b"", Unavailable),
        (200, b"\x00\n", Unavailable),
        (200, body(action_value="6666"), Unavailable),
        (200, body(action_value="500"), Unavailable),
        (200, body(action_value="1", description="wrong"), Refused),
        (200, body(action_value="403", data=[]), Refused),
        (200, b'{"action_value":"403","error_description":"action forbidden"}', Refused),
        (401, b"", Refused),
        (200, body(action_value="0", data=[]), Unreadable),
        (200, body(action_value="0", session_token="short"), Unreadable),
        (200, b"<!DOCTYPE html>", Unreadable),
        (200, b"[]", Unreadable),
        (200, b'{"response":{"properties":{}}}', Unreadable),
    ],
)
def test_a_failed_login_says_who_acts_next(status: int, answer: bytes, error: type[Exception]):
    with pytest.raises(error) as caught:
        login.read_login(status, answer)
    assert str(caught.value)
    assert TOKEN.value not in str(caught.value)


def test_a_refusal_without_words_is_shown_as_it_came():
    answer = body(action_name="user_login", action_value="17", data=[{"reason": "LOCKED"}], description="")
    with pytest.raises(Refused, match=r'\(17: {"data":\[{"reason":"LOCKED"}\]}\)'):
        login.read_login(200, answer)
    with pytest.raises(Refused, match=r"\(1\)"):
        login.read_login(200, body(action_value="1", data=[], description=""))


def test_the_probe_tells_whether_a_token_is_good():
    assert login.read_probe(200, body(action_value="0", data=[]))
    assert not login.read_probe(200, b'{"action_value":"403","error_description":"action forbidden"}')
