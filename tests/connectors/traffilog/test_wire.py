"""Our frames equal the recorded ones to the byte, and none can be made without a token."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from atalaia.connectors.traffilog import actions, wire
from atalaia.connectors.traffilog.wire import Action, Token, build_frame, read_frame
from atalaia.errors import Rejected, Unreadable
from tests.connectors.traffilog.ground import (
    COMMAND_RUN,
    FRAGMENTED,
    SCHEME_RUN,
    T0,
    TOKEN,
    dice,
    lines,
)

OUT = [
    pytest.param(one, id=f"{path.stem[:8]}-{one['seq']}-{one['json']['action']['name']}")
    for path in (SCHEME_RUN, COMMAND_RUN, FRAGMENTED)
    for one in lines(path)
    if one["dir"] == "out"
]


def ours(sent: dict[str, Any]) -> Action:
    """Answer the action that our own code makes for what a recorded frame asks."""
    asked: dict[str, Any] = sent["parameters"]

    def of(*names: str) -> list[str]:
        return [asked[name] for name in names]

    match sent["name"], asked.get("action_id"), asked.get("call_num"):
        case "vcls_check_opr", _, _:
            return actions.check_vehicle(*of("client_id", "vehicle_id", "client_name"))
        case "associate_vehicles_actions_opr", "1", "0":
            return actions.prepare_scheme(*of("client_id", "client_name"))
        case "associate_vehicles_actions_opr", "1", "1":
            return actions.choose_scheme(*of("client_id", "client_name", "vehicle_setting_id"))
        case "associate_vehicles_actions_opr", "5", "0":
            return actions.prepare_command(*of("client_id", "client_name"))
        case "associate_vehicles_actions_opr", "5", "1":
            return actions.confirm_command(*of("client_id", "client_name", "comment"), keep_priority="true")
        case "review_process_attributes", _, _:
            return actions.review(*of("client_id"))
        case "get_vcls_action_review_opr", _, _:
            return actions.find_process(*of("client_id", "client_name"))
        case "get_vehicle_info", _, _:
            return actions.vehicle_info(*of("vehicle_id", "client_id"))
        case "vehicle_subscribe", _, _:
            return actions.subscribe(*of("vehicle_id", "object_type"))
        case "execute_action_opr", _, _:
            run = actions.execute_scheme if asked["toggle_check"] == "1" else actions.execute_command
            return run(*of("client_id", "process_id", "comment"))
        case "get_custom_command", _, _:
            return actions.list_commands(*of("client_id"))
        case "add_remove_custom_command", _, _:
            return actions.add_command(*of("client_id", "command_syntax"))
        case "get_monitor_module_state", _, _:
            return actions.module_state(*of("vehicle_id"))
        case "get_unit_parameters_opr", _, _:
            return actions.parameter_list(*of("vehicle_id"))
        case name, _, _:
            raise AssertionError(f"no action for {name}")


@pytest.mark.parametrize("recorded", OUT)
def test_a_frame_equals_the_recorded_one_byte_for_byte(recorded: dict[str, Any]):
    sent = recorded["json"]["action"]
    encoded = recorded["raw"].startswith("%7B")

    digits = sent["mtkn"].replace("_", "1").translate(str.maketrans("abcdef", "123456"))
    made = build_frame(ours(sent), Token(sent["session_token"]), digits, sent["flow_id"], encoded=encoded)

    # Two recorded ids are not of digits only, which is what makes answers fragmented; ours always are.
    assert made == recorded["raw"].replace(sent["mtkn"], digits)


def test_the_lengths_are_those_of_the_contract():
    sizes = [len(one["raw"]) for one in lines(FRAGMENTED) if one["dir"] == "out"]
    assert sizes == [445, 408]
    mtkn = "1" * len("1767830842314_06b0ea3e9d2f6")
    asked = (actions.module_state("2900104"), actions.parameter_list("2900104"))
    assert [len(build_frame(one, TOKEN, mtkn, "204417", encoded=True)) for one in asked] == [445, 408]


@pytest.mark.parametrize("value", ["", " ", "short", "a" * 19, "a" * 201, "a" * 20 + " b", "\n" * 30])
def test_there_is_no_token_that_cannot_be_one(value: str):
    with pytest.raises(Unreadable):
        Token(value)


def test_a_token_shows_itself_to_nobody_and_is_the_same_in_lower_case():
    assert TOKEN.value not in repr(TOKEN)
    assert TOKEN.same(TOKEN.value.lower())


def test_correlation_ids_are_25_digits():
    ids = {wire.new_mtkn(T0, dice_) for dice_ in [dice()] for _ in range(100)}
    assert len(ids) == 100
    assert all(len(one) == 25 and one.isdigit() and one.startswith(str(T0)) for one in ids)


@pytest.mark.parametrize("mtkn", ["", "1767830842314_06b0ea3e9d2f6", "-1", "١٢٣"])
def test_a_frame_is_not_built_with_an_id_that_is_not_of_digits(mtkn: str):
    with pytest.raises(Rejected):
        build_frame(actions.review("310209"), TOKEN, mtkn, "200000")


@pytest.mark.parametrize("parameters", [{"mtkn": "1"}, {"vehicle_id": 7}, {"comment": None}, {"a": "\ud800"}])
def test_a_frame_is_not_built_with_a_parameter_of_another_type(parameters: Any):
    with pytest.raises(Rejected):
        build_frame(Action("x", parameters), TOKEN, "1", "200000")


def test_what_is_built_can_be_read_again():
    action = actions.check_vehicle("310209", "2900108", "Rápido & Cia (São Paulo) 100%")
    for encoded in (False, True):
        read, whole = read_frame(build_frame(action, TOKEN, "17", "234567", encoded=encoded))
        assert read == action
        assert list(whole) == ["flow_id", "name", "parameters", "session_token", "mtkn"]
        assert list(whole["parameters"])[-2:] == ["_action_name", "mtkn"]


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-07T23%3A57%3A00.0000000%2B00%3A00", 1767830220000),
        ("2026-01-07T23:57:00.5000000-03:00", 1767841020500),
        ("2026-05-31T15:13:07.02Z", 1780240387020),
        ("2026-01-08T00:07:36Z", 1767830856000),
        ("2026-01-08 00:07:36", 1767830856000),
        ("", None),
        ("yesterday", None),
        ("2026-13-40T00:00:00Z", None),
        ("9999-12-31T23:59:59-14:00", None),
    ],
)
def test_dates_of_all_forms_are_read(text: str, ms: int | None):
    assert wire.read_time_ms(text) == ms


def test_values_of_answers_are_decoded_and_what_cannot_be_stays():
    row = {"mtkn": "1", "name": "Guar%C3%A1%20%28x%29%23%2B", "odd": "100%", "bad": "%FF%C3", "n": 5}
    read = wire.read_properties({"action_name": "a", "mtkn": "1", "data": [row], "action_value": "0"})
    assert isinstance(read, wire.Answer)
    assert read.rows == ({"name": "Guará (x)#+", "odd": "100%", "bad": "%FF%C3", "n": 5},)


def test_the_row_of_an_error_is_never_taken_for_data():
    row = {"mtkn": "1", "error_code": "6666", "error_description": "pool"}
    read = wire.read_properties({"action_name": "a", "mtkn": "1", "data": [row], "action_value": "6666"})
    assert isinstance(read, wire.Answer)
    assert (read.rows, len(read.errors), read.ok) == ((), 1, False)


def test_an_answer_with_other_rows_than_it_counts_is_partial():
    body = {"action_name": "a", "mtkn": "1", "data": [], "action_value": "0", "action_records": "3"}
    read = wire.read_properties(orjson.loads(orjson.dumps(body)))
    assert isinstance(read, wire.Answer)
    assert read.partial
