"""Whatever the order of the fragments, the answers are the same; and no text is ever lost."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.connectors.traffilog.assembler import Assembler
from atalaia.connectors.traffilog.wire import Answer, Incoming, Push, RawError, Strange
from tests.connectors.traffilog.ground import FRAGMENTED, SCHEME_RUN, texts

FEW = settings(max_examples=150, deadline=None)


def taken(given_texts: list[str]) -> list[Incoming]:
    assembler = Assembler()
    messages = [message for text in given_texts for message in assembler.take(text)]
    return [*messages, *assembler.close()]


def fragments(mtkn: str, action: str, rows: list[dict[str, str]], *, nul: bool = False) -> list[str]:
    """Answer the texts of one answer, as the upstream cuts it."""
    head = {"action_name": action, "mtkn": mtkn, "request_id": "5128624410145824864", "data": []}
    first = orjson.dumps({"response": {"properties": head}}).decode().removesuffix("]}}}")
    middle = [orjson.dumps({"mtkn": mtkn, **row}).decode() for row in rows]
    tail = {"action_value": "0", "session_token": "t", "mtkn": mtkn, "action_records": str(len(rows))}
    last = "]," + orjson.dumps(tail).decode()[1:] + "}}" + ("\x00" if nul else "")
    return [first, *middle[:1], *("," + row for row in middle[1:]), last]


def test_the_recorded_fragments_become_their_answers_and_pushes():
    messages = taken(texts(FRAGMENTED))

    answers = [
        (one.action, len(one.rows), one.value, one.partial) for one in messages if isinstance(one, Answer)
    ]
    assert answers == [
        ("send_quick_command", 0, "1001", False),
        ("get_monitor_module_state", 36, "0", False),
        ("vehicle_subscribe", 0, "0", False),
        ("get_unit_parameters_opr", 201, "0", False),
    ]
    pushes = [(one.source, one.inner_id) for one in messages if isinstance(one, Push)]
    assert pushes == [("UNIT_PARAMETERS", "0000000920000797")] * 2
    assert len(messages) == 6


def test_the_recorded_scheme_builder_is_read_whole():
    messages = taken(texts(SCHEME_RUN))

    assert not [one for one in messages if isinstance(one, (Strange, RawError))]
    assert sum(isinstance(one, Push) for one in messages) == 1393 + 36


def test_a_tail_with_nul_bytes_ends_its_answer():
    *_, answer = taken(fragments("7", "a", [{"id": "1"}, {"id": "2"}], nul=True))
    assert isinstance(answer, Answer)
    assert (len(answer.rows), answer.partial) == (2, False)


def test_rows_without_their_head_are_an_answer_without_a_name():
    *_, answer = taken(fragments("7", "a", [{"id": "1"}, {"id": "2"}])[1:])
    assert isinstance(answer, Answer)
    assert (answer.action, answer.mtkn, len(answer.rows), answer.partial) == ("", "7", 2, False)


def test_an_answer_that_lost_a_row_says_so():
    cut = fragments("7", "a", [{"id": "1"}, {"id": "2"}, {"id": "3"}])
    *_, answer = taken([*cut[:2], *cut[3:]])
    assert isinstance(answer, Answer)
    assert ([row["id"] for row in answer.rows], answer.partial) == (["1", "3"], True)


def test_what_has_no_tail_is_ended_when_somebody_asks_and_is_partial():
    assembler = Assembler()
    head, *rows = fragments("7", "a", [{"id": "1"}, {"id": "2"}])[:-1]
    assert assembler.take(head) == []
    assert assembler.end("7") is None  # a head alone may wait long for its rows
    for row in rows:
        assembler.take(row)
    answer = assembler.end("7")
    assert answer is not None and answer.ok and answer.partial and len(answer.rows) == 2
    assert assembler.open == {}


def test_a_second_head_of_the_same_name_does_not_mix_two_answers():
    first, second = fragments("7", "a", [{"id": "1"}]), fragments("7", "b", [{"id": "2"}])
    one, two = taken([*first[:2], *second])
    assert isinstance(one, Answer) and isinstance(two, Answer)
    assert (one.action, one.partial, two.action, two.partial) == ("a", True, "b", False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"action_value":"403","error_description":"action forbidden"}', "403"),
        ('{"action_value":"404","error_description":""}', "404"),
        ('{"action_value":"403","error_description":"action%20forbidden"}\x00\n', "403"),
        (quote('{"action_value":"400","error_description":""}'), "400"),
    ],
)
def test_an_error_without_an_envelope_is_one(text: str, value: str):
    [message] = taken([text])
    assert isinstance(message, RawError)
    assert (message.value, message.mtkn) == (value, "")


def test_an_answer_that_is_encoded_as_a_whole_keeps_the_encoding_of_its_values():
    body = {"action_name": "a", "mtkn": "7", "data": [{"mtkn": "7", "n": "x%2520y"}], "action_value": "0"}
    for encoding in (str, lambda text: quote(text, safe=""), lambda text: quote(text).replace("%7B", "%7b")):
        [message] = taken([encoding(orjson.dumps({"response": {"properties": body}}).decode())])
        assert isinstance(message, Answer)
        assert message.rows == ({"n": "x%20y"},)


@pytest.mark.parametrize(
    "text",
    [
        "", "\x00", "null", "5", "[]", "{}", '{"response":5}', '{"response":{"properties":[]}}', ",{", "],",
        '],"mtkn":"1"', ",{}", '],"action_value":"0"}}}', '{"response"{"data":[', '{"response":{"data":[',
        '{"response":{"properties":{"data":"x"}}}', "%7B", "%ff", "[" * 100_000, '{"a":"\\ud800"}',
        "DISCONNECTED",
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_kept_as_it_came(text: str):
    [message] = taken([text])
    assert isinstance(message, Strange)
    assert message.text == text
    assert message.why


def test_bytes_that_are_no_text_are_kept():
    [message] = Assembler().take(b'{"a":"\xff"}')
    assert isinstance(message, Strange)
    assert message.text.encode("latin-1") == b'{"a":"\xff"}'


rows_of = st.lists(
    st.dictionaries(st.sampled_from(["id", "name", "", "action_value"]), st.text(max_size=8), max_size=3),
    max_size=6,
)


@FEW
@given(st.lists(rows_of, min_size=1, max_size=5), st.data())
def test_any_interleaving_of_fragments_gives_the_same_answers(streams: list[list[dict[str, str]]], data: Any):
    cut = [fragments(str(n + 1), f"action{n}", rows, nul=n % 2 == 0) for n, rows in enumerate(streams)]
    alone = {message.mtkn: message for one in cut for message in taken(one) if isinstance(message, Answer)}
    order = data.draw(st.permutations([n for n, one in enumerate(cut) for _ in one]))
    feeds = [iter(one) for one in cut]

    together = taken([next(feeds[n]) for n in order])

    assert {one.mtkn: one for one in together if isinstance(one, Answer)} == alone
    assert len(together) == len(streams)
    assert not any(one.partial for one in alone.values())


def _written(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return "{}"


keys = st.sampled_from(["response", "properties", "data", "mtkn", "action_value", "data_source", "x"])
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
TWO = [{"id": "1"}, {"id": "2"}]
MADE = [text for mtkn in "123" for text in fragments(mtkn, "a", TWO, nul=mtkn == "2")]
recorded = st.sampled_from(texts(FRAGMENTED))
places = st.integers(0, 300)
pieces = st.one_of(
    st.text(max_size=40),
    recorded,
    st.sampled_from(MADE),
    st.builds(lambda text, at: text[:at], recorded, places),
    st.builds(lambda text, at: text[at:], recorded, places),
    values.map(_written),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(pieces, max_size=30))
def test_nothing_that_comes_is_lost_or_raises(given_texts: list[str]):
    messages = taken(given_texts)

    assert sum(message.fragments for message in messages) == len(given_texts)
    for message in messages:
        if isinstance(message, Strange):
            assert message.text in given_texts
