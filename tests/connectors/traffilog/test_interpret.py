"""What is heard becomes facts: each once, in order, and the same whenever the log is folded again."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.connectors.traffilog import heard
from atalaia.connectors.traffilog.heard import collected, imported, verdict
from atalaia.errors import Unreadable
from atalaia.events.model import Fact, Heard
from tests.connectors.traffilog.folding import (
    Fold,
    answer,
    heard_in,
    message,
    push,
    queued,
    said,
    status,
    told,
    types,
)
from tests.connectors.traffilog.ground import FRAGMENTED, SCHEME_RUN, T0

KEY = f"{T0 // 1000 + 15:08X}"
MATRIX = "C6140000FC00000000000000FC000400000000000000"


@pytest.fixture
def fold() -> Fold:
    return Fold()


def told_of(facts: list[Fact]) -> list[tuple[Any, ...]]:
    return [(one.type, one.key, one.occurred_ms, one.data, one.dedupe) for one in facts]


def test_the_recorded_run_becomes_its_story(fold: Fold):
    fold.hear(*heard_in(SCHEME_RUN))

    assert types(fold.facts)[0] == "process.queued"
    assert types(fold.facts)[-1] == "process.ended"
    assert {one.key for one in fold.facts if one.type.startswith("process.")} == {"10422606"}
    percents = [one.data["percent"] for one in fold.of("process.progressed")]
    assert percents == sorted(percents) and 95 < len(percents) < 120
    [ended] = fold.of("process.ended")
    expected = ("completed_unconfirmed", 459, 460, "6A1C5000", True, 351337)
    names = ("outcome", "acknowledged", "total", "configuration_key", "key_acknowledged", "took_ms")
    assert tuple(ended.data[name] for name in names) == expected
    assert len(fold.of("process.key_acknowledged")) == 1
    assert not fold.of("process.confirmed")  # the recording ends before the unit is back


def test_the_unit_that_comes_back_with_the_key_confirms_the_recorded_run(fold: Fold):
    fold.hear(*heard_in(SCHEME_RUN))
    new = fold.hear(message(said("1502000114046A1C5000"), at_ms=T0 + 380_000))
    assert types(new)[-1] == "process.confirmed"
    assert (new[-1].key, new[-1].data["outcome"]) == ("10422606", "confirmed")
    row = {"vehicle_id": "2900108", "configuration_key_db": "6A1C5000", "configuration_key_unit": "6a1c5000"}
    assert fold.hear(answer("get_vehicle_info", row)) == []


def test_the_recorded_answers_and_pushes_become_a_record_with_verdicts(fold: Fold):
    fold.hear(*heard_in(FRAGMENTED), collected("2900104", T0 + 5_000))

    [read] = fold.of("vehicle.modules_read")
    assert (read.data["rows"], read.data["complete"]) == (36, True)
    last = fold.of("vehicle.snapshot_merged")[-1]
    assert (last.key, len(last.data["modules"]), len(last.data["parameters"])) == ("2900104", 36, 10)
    oil = last.data["parameters"]["00002723"]
    assert (oil["name"], oil["value"], oil["unit"]) == ("Sys Param Oil Pressure", 4.52, "bar")
    assert last.data["connected"] is True
    assert len(fold.of("vehicle.parameters_seen")) == 2


def test_a_process_that_was_queued_twice_in_the_log_is_told_once(fold: Fold):
    assert types(fold.hear(queued(job="j1"), queued(job="j1"))) == ["process.queued"]


def test_an_answer_that_is_no_success_queues_nothing(fold: Fold):
    asked = {"process_id": "1", "toggle_check": "1"}
    assert fold.hear(answer("execute_action_opr", asked=asked, value="404")) == []
    assert fold.hear(answer("execute_action_opr", asked={}, value="0")) == []


def test_a_verdict_ends_what_the_upstream_left_open_and_a_later_proof_still_counts(fold: Fold):
    fold.hear(queued(), status("0"), message(told(f"150200C31304{KEY}"), inbound="0"))
    evidence = {"silent_s": 90}
    word = verdict(
        "2900108", T0 + 95_000, process_id="10422606", outcome="unknown", why="silent", evidence=evidence
    )

    [ended] = fold.hear(word, word)
    assert (ended.type, ended.data["outcome"], ended.data["why"]) == ("process.ended", "unknown", "silent")

    new = fold.hear(message(said(f"150200011404{KEY}"), at_ms=T0 + 200_000))
    assert "process.confirmed" in types(new)


def test_a_verdict_finds_a_process_that_another_has_followed(fold: Fold):
    fold.hear(queued("1"), status("0"), queued("2"))
    word = verdict("2900108", T0, process_id="1", outcome="unknown", why="too_long", evidence={})
    [ended] = fold.hear(word)
    assert (ended.key, ended.data["process_id"]) == ("1", "1")
    assert types(fold.hear(status("100", "Completed"))) == ["process.ended"]
    assert fold.facts[-1].key == "2"


def test_a_status_without_a_process_of_ours_is_somebody_elses(fold: Fold):
    [first] = fold.hear(status("17.5"))
    assert (first.type, first.key) == ("process.progressed", f"2900108:{T0}")
    assert first.data["process_id"] == ""
    fold.hear(status("100", "Completed"))
    assert fold.hear(status("100", "Completed", at_ms=T0 + 9)) == []
    [again] = fold.hear(status("0", at_ms=T0 + 60_000))
    assert again.key == f"2900108:{T0 + 60_000}"


def test_a_process_whose_queueing_was_not_heard_is_the_one_that_was_prepared(fold: Fold):
    asked = {"client_id": "310209", "client_name": "x"}
    ready = answer("get_vcls_action_review_opr", {"process_id": "10422606"}, asked=asked, job="j1")
    assert fold.hear(ready) == []

    [queued_, progressed] = fold.hear(status("0", at_ms=T0 + 20_000))

    assert (queued_.type, queued_.key, queued_.data["inferred"]) == ("process.queued", "10422606", True)
    assert (progressed.key, progressed.data["job"]) == ("10422606", "j1")
    assert fold.hear(queued()) == []
    assert types(fold.hear(status("100", "Completed"))) == ["process.ended"]


def test_what_was_prepared_long_ago_is_not_taken_for_what_runs_now(fold: Fold):
    fold.hear(answer("get_vcls_action_review_opr", {"process_id": "1"}))
    [progressed] = fold.hear(status("0", at_ms=T0 + 3_600_000))
    assert progressed.data["process_id"] == ""


def test_a_run_command_is_told_from_its_queueing_to_the_units_acknowledgement(fold: Fold):
    asked = {"client_id": "1", "command_syntax": f"(o2w,44,{MATRIX})"}
    fold.hear(answer("add_remove_custom_command", asked=asked, value="2"), queued("9", toggle="0"))
    fold.hear(message(told(f"1502000A{MATRIX}"), inbound="0"), message(said("1602000A")))
    fold.hear(message(said("0401C6"), at_ms=T0 + 5))

    stories = [one for one in types(fold.facts) if one.startswith("process.")]
    assert stories == ["process.queued", "process.progressed", "process.ended", "process.confirmed"]
    [ended] = fold.of("process.ended")
    assert (ended.data["kind"], ended.data["outcome"]) == ("run_command", "confirmed")


def test_the_connection_of_a_unit_is_told_when_it_changes(fold: Fold):
    fold.hear(
        answer("get_vehicle_data_from_redis", {"is_connected": "0"}),
        message(said("040113"), at_ms=T0 + 1_000),
        answer("get_vehicle_data_from_redis", {"is_connected": "0"}, at_ms=T0 + 2_000),
        message("DISCONNECTED", inbound="9", at_ms=T0 + 3_000),
        answer("get_vehicle_data_from_redis", {"is_connected": "2"}, at_ms=T0 + 300_000),
    )
    changes = [
        (one.data["connected"], one.data["evidence"]["live"]) for one in fold.of("vehicle.connection_changed")
    ]
    assert changes == [(False, False), (True, True), (False, True), (True, False)]


def test_pushes_without_a_vehicle_are_filed_by_their_unit_or_left_in_the_log(fold: Fold):
    row = {"inner_id": "0000000920001747", "raw_message": said("040113")}
    assert fold.hear(push("UNIT_MESSAGES", row, vehicle="")) == []
    fold.hear(
        answer("get_vehicle_info", {"vehicle_id": "2900108", "inner_id": "0000000920001747"}, vehicle="")
    )
    [fact] = fold.hear(push("UNIT_MESSAGES", row, vehicle=""))
    assert (fact.type, fact.key) == ("vehicle.connection_changed", "2900108")


def test_names_of_parameters_are_learnt_from_the_list_and_shown(fold: Fold):
    row = {"id": "0000FFF1", "param_type_descr": "New%20one"}
    fold.hear(answer("get_unit_parameters_opr", row))
    value = {"id": "0000FFF1", "param_value": "00000001", "orig_time": "2026-11-18T10:00:00Z"}
    [_, seen] = fold.hear(push("UNIT_PARAMETERS", value))
    assert seen.data["parameters"]["0000FFF1"]["name"] == "New one"
    assert fold.hear(push("UNIT_PARAMETERS", value)) == []  # nothing new in it


def test_what_is_unknown_stays_in_the_log_and_is_no_fact(fold: Fold):
    unknown = [
        push("unit_connection_status", {"x": "1"}),
        answer("get_unit_parameters_metadata", {"id": "1", "convertion_type": "5"}),
        Heard(heard.ERROR, "", T0, '{"properties":{"action_value":"403"},"request":null,"job":""}'),
        Heard("traffilog.some_word_of_ours", "", T0, '{"account":"x"}'),
        Heard(heard.UNREADABLE, "", T0, '{"raw":"x","why":"y","job":""}'),
        verdict("2900108", T0, process_id="1", outcome="fine", why="", evidence={}),
    ]
    assert fold.hear(*unknown) == []


@pytest.mark.parametrize(
    "body", ["[]", "{", '{"properties":5}', '{"properties":{"data":5}}', '{"record":[]}']
)
def test_a_body_that_is_none_is_said_to_be_unreadable(fold: Fold, body: str):
    kind = heard.SNAPSHOT if "record" in body else "traffilog.UNIT_MESSAGES"
    with pytest.raises(Unreadable):
        fold.hear(Heard(kind, "2900108", T0, body))


def test_an_imported_record_is_merged_like_a_reading(fold: Fold):
    record = {
        "capturedAt": "2026-11-18T10:00:00.000Z",
        "vehicleId": 2900108,
        "isConnected": 2,
        "header": {"raw": {"license_nmbr": "TST0A00"}},
        "parameters": [{"id": "00002715", "name": "RPM", "raw_value": "00000258", "source": "FF"}],
        "moduleState": [],
    }
    [whole] = fold.hear(imported("2900108", T0, record))
    assert whole.data["parameters"]["00002715"]["value"] == 600
    poorer = {**record, "capturedAt": "2026-11-18T10:05:00.000Z", "parameters": []}
    [whole] = fold.hear(imported("2900108", T0, poorer))
    assert whole.data["parameters"]["00002715"]["value"] == 600


EVENTS = [*heard_in(SCHEME_RUN)]
FEW = settings(max_examples=25, deadline=None)


@FEW
@given(st.lists(st.integers(0, len(EVENTS) - 1), max_size=120), st.data())
def test_whatever_is_cut_out_or_repeated_no_end_is_told_twice_and_nothing_goes_back(
    places: list[int], data: Any
):
    fold = Fold()
    kept = [EVENTS[place] for place in sorted(places)]
    for one in kept:
        fold.hear(*([one] * data.draw(st.integers(1, 2))))

    for fact_type in ("process.queued", "process.ended", "process.confirmed", "process.key_acknowledged"):
        keys = [one.key for one in fold.of(fact_type)]
        assert len(keys) == len(set(keys))
    by_key: dict[str, float] = {}
    for one in fold.of("process.progressed"):
        assert one.data["reported"] >= by_key.get(one.key, 0.0)
        by_key[one.key] = one.data["reported"]


def test_folding_the_log_again_gives_the_same_facts():
    one, other = Fold(), Fold()
    events = [*heard_in(FRAGMENTED), *EVENTS[:400], collected("2900108", T0)]
    one.hear(*events)
    other.hear(*events)
    assert told_of(one.facts) == told_of(other.facts)
    assert len({fact.dedupe for fact in one.facts}) == len(one.facts)
    orjson.dumps([dict(fact.data) for fact in one.facts])


def test_new_keys_are_told_at_once_and_the_same_ones_are_not(fold: Fold):
    row = {"vehicle_id": "2900108", "configuration_key_db": "6982FDEB", "configuration_key_unit": "6982FDEB"}
    assert fold.hear(answer("get_vehicle_info", row), answer("get_vehicle_info", row)) == []

    [told] = fold.hear(answer("get_vehicle_info", row | {"configuration_key_db": "6A1C5000"}, job="j1"))
    assert (told.type, told.data["key_matches"], told.data["job"]) == ("vehicle.snapshot_merged", False, "j1")
    [told] = fold.hear(answer("get_vehicle_info", dict.fromkeys(row, "6A1C5000") | {"vehicle_id": "2900108"}))
    assert told.data["key_matches"] is True
