"""Whose answer came, whose error it is, and which vehicle a message is about."""

from __future__ import annotations

import orjson
import pytest

from atalaia.connectors.traffilog import actions
from atalaia.connectors.traffilog.heard import heard
from atalaia.connectors.traffilog.protocol import (
    Busy,
    Came,
    Missing,
    Protocol,
    Request,
    SessionSpent,
    refusal,
)
from atalaia.connectors.traffilog.wire import Answer, RawError
from atalaia.errors import Rejected, Unavailable
from tests.connectors.traffilog.ground import SCHEME_RUN, T0, TOKEN, dice, lines

INFO = {"vehicle_id": "2900108", "inner_id": "0000000920001747"}
ERROR = '{"action_value":"403","error_description":"action forbidden"}'


@pytest.fixture
def protocol() -> Protocol:
    return Protocol(TOKEN, dice())


def answer_to(request: Request, *rows: dict[str, str], value: str = "0") -> str:
    properties = {
        "action_name": request.action.name,
        "mtkn": request.mtkn,
        "data": [{"mtkn": request.mtkn, **row} for row in rows],
        "action_value": value,
        "session_token": TOKEN.value.lower(),
    }
    return orjson.dumps({"response": {"properties": properties}}).decode()


def push(source: str, **row: str) -> str:
    properties = {
        "action_name": "refresh",
        "data_source": source,
        "mtkn": "-1",
        "data": [row],
        "action_value": "0",
    }
    return orjson.dumps({"response": {"properties": properties}}).decode()


def one(came: list[Came]) -> Came:
    [only] = came
    return only


def test_answers_find_their_requests_in_any_order(protocol: Protocol):
    first = protocol.ask(actions.review("1"), T0)
    second = protocol.ask(actions.find_process("1", "x"), T0)

    late = one(protocol.take(answer_to(second, {"process_id": "10422606"})))
    early = one(protocol.take(answer_to(first)))

    assert (late.request, early.request) == (second, first)
    assert protocol.pending == ()
    assert isinstance(late.message, Answer) and late.message.rows == ({"process_id": "10422606"},)


def test_an_error_without_a_name_answers_the_only_request_there_is(protocol: Protocol):
    protocol.ask(actions.check_vehicle("1", "2900108", "x"), T0, awaited=False)
    only = protocol.ask(actions.review("1"), T0)

    came = one(protocol.take(ERROR))

    assert (came.request, came.fails) == (only, (only,))
    assert came.vehicle_id == "2900108"
    assert protocol.pending == ()


def test_an_error_without_a_name_fails_all_requests_when_it_could_be_any(protocol: Protocol):
    both = (protocol.ask(actions.review("1"), T0), protocol.ask(actions.vehicle_info("2"), T0))

    came = one(protocol.take(ERROR))

    assert (came.request, came.fails) == (None, both)
    assert isinstance(came.message, RawError)
    assert isinstance(refusal("x", came.message, alone=False), Unavailable)


def test_an_error_that_nobody_waits_for_fails_nobody(protocol: Protocol):
    assert one(protocol.take(ERROR)).fails == ()


def test_a_closed_socket_ends_all_waiting_at_once(protocol: Protocol):
    both = (protocol.ask(actions.review("1"), T0), protocol.ask(actions.vehicle_info("2"), T0))

    assert protocol.closed() == ([], both)
    assert protocol.pending == ()


def test_rows_of_an_answer_that_is_given_up_are_not_lost(protocol: Protocol):
    request = protocol.ask(actions.module_state("2900104"), T0)
    protocol.take(f'{{"mtkn":"{request.mtkn}","id":"1"}}')

    came = protocol.give_up(request.mtkn)

    assert came is not None and came.request == request
    assert isinstance(came.message, Answer) and came.message.partial and len(came.message.rows) == 1


def test_an_answer_after_its_request_was_given_up_is_still_known(protocol: Protocol):
    request = protocol.ask(actions.vehicle_info("2900108"), T0)
    assert protocol.give_up(request.mtkn) is None
    assert protocol.pending == ()

    assert one(protocol.take(answer_to(request, INFO))).request == request


def test_pushes_are_filed_under_the_vehicle_of_their_unit(protocol: Protocol):
    protocol.take(answer_to(protocol.ask(actions.vehicle_info("2900108"), T0), INFO))
    for vehicle in ("2900108", "2900104"):
        protocol.fire(actions.subscribe(vehicle, "UNIT_MESSAGES"))

    assert one(protocol.take(push("UNIT_MESSAGES", inner_id=INFO["inner_id"]))).vehicle_id == "2900108"
    assert one(protocol.take(push("UNIT_MESSAGES", inner_id="0000000000000009"))).vehicle_id == ""


def test_a_status_is_filed_only_when_one_vehicle_can_have_sent_it(protocol: Protocol):
    protocol.fire(actions.subscribe("2900104", "UNIT_PARAMETERS"))
    protocol.fire(actions.subscribe("2900108", "UNIT_CONFIG_STATUS"))
    assert one(protocol.take(push("UNIT_CONFIG_STATUS", progress="0"))).vehicle_id == "2900108"

    protocol.fire(actions.subscribe("2900104", "UNIT_CONFIG_STATUS"))
    assert one(protocol.take(push("UNIT_CONFIG_STATUS", progress="0"))).vehicle_id == ""

    protocol.fire(actions.unsubscribe("2900108"))
    assert one(protocol.take(push("UNIT_CONFIG_STATUS", progress="0"))).vehicle_id == "2900104"


def test_what_the_upstream_keeps_for_the_socket_names_the_vehicle_of_later_answers(protocol: Protocol):
    protocol.ask(actions.check_vehicle("310209", "2900108", "x"), T0, awaited=False)
    request = protocol.ask(actions.execute_scheme("310209", "10422606", ""), T0)

    assert one(protocol.take(answer_to(request))).vehicle_id == "2900108"


def test_what_is_written_down_holds_no_token_and_all_else():
    protocol = Protocol(TOKEN, dice())
    request = protocol.ask(actions.vehicle_info("2900108", "310209"), T0)
    text = answer_to(request, {"vehicle_id": "2900108", "unit_key": "SPT%3A1"})

    written = heard(one(protocol.take(text)), T0, "job1")

    assert (written.type, written.key) == ("traffilog.answer.get_vehicle_info", "2900108")
    assert TOKEN.value.lower() not in written.body.lower()
    body = orjson.loads(written.body)
    parameters = {"vehicle_id": "2900108", "client_id": "310209"}
    assert body["request"] == {"name": "get_vehicle_info", "parameters": parameters}
    assert body["properties"]["data"][0]["unit_key"] == "SPT%3A1"
    assert body["job"] == "job1"


def test_a_push_that_two_sockets_hear_is_one_event_but_a_repeated_status_is_not():
    def hear(source: str, **row: str) -> str | None:
        protocol = Protocol(TOKEN, dice())
        protocol.fire(actions.subscribe("2900108", source))
        return heard(one(protocol.take(push(source, **row))), T0).dedupe

    first, again = (hear("UNIT_MESSAGES", server_time="1", raw_message="x") for _ in range(2))
    assert first == again is not None
    assert hear("UNIT_MESSAGES", server_time="2", raw_message="x") != first
    assert hear("UNIT_CONFIG_STATUS", progress="0") is None


@pytest.mark.parametrize(
    "text",
    [
        f'],"action_value":"0","session_token":"{TOKEN.value.lower()}","mtkn":"1"',
        f'{{"response":{{"properties":{{"data":[{{"mtkn":"1","session_token":"{TOKEN.value}"}}],"mtkn":"1"}}}}}}',
        f"%22session_token%22%3A%22{TOKEN.value}%22",
    ],
)
def test_no_token_is_written_down_wherever_it_stands(protocol: Protocol, text: str):
    written = heard(one(protocol.take(text)), T0)
    assert TOKEN.value.lower() not in written.body.lower()


def test_two_sockets_that_know_the_vehicle_differently_hear_one_event():
    row = {"inner_id": INFO["inner_id"], "raw_message": "x", "server_time": "1"}
    knowing, other = Protocol(TOKEN, dice()), Protocol(TOKEN, dice())
    knowing.knows(INFO["inner_id"], "2900108")
    heard_by = [heard(one(each.take(push("UNIT_MESSAGES", **row))), T0) for each in (knowing, other)]
    assert [each.key for each in heard_by] == ["2900108", ""]
    assert heard_by[0].dedupe == heard_by[1].dedupe


def test_what_cannot_be_read_is_written_down_as_it_came(protocol: Protocol):
    written = heard(one(protocol.take('{"half')), T0)
    assert written.type == "traffilog.unreadable"
    assert orjson.loads(written.body)["raw"] == '{"half'


def test_the_recorded_requests_all_find_their_answers():
    protocol = Protocol(TOKEN, dice())
    ours: dict[str, str] = {}
    for line in lines(SCHEME_RUN):
        if line["dir"] == "out":
            sent = line["json"]["action"]
            asked = {k: v for k, v in sent["parameters"].items() if k not in ("_action_name", "mtkn")}
            made = protocol.ask(actions.Action(sent["name"], asked), T0 + line["t_ms"])
            ours[sent["mtkn"]] = made.mtkn
            continue
        properties = line["json"]["response"]["properties"]
        text = (
            orjson.dumps(line["json"])
            .decode()
            .replace(properties["mtkn"], ours.get(properties["mtkn"], "-1"))
        )
        came = one(protocol.take(text))
        assert came.vehicle_id == "2900108"
        assert (came.request is None) == (properties["mtkn"] == "-1")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("8", Busy), ("400", Rejected), ("403", SessionSpent), ("406", SessionSpent), ("404", Missing),
        ("500", Unavailable), ("6666", Unavailable), ("17", Rejected), ("", Rejected),
    ],
)  # fmt: skip
def test_each_value_means_one_of_the_five_errors(value: str, error: type[Exception]):
    said = refusal("review_process_attributes", RawError(value, "why", {}))
    assert isinstance(said, error)
    assert str(said).endswith(".")
