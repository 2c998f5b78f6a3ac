"""Transfers: one record per conversation, tied together by the guid of the first."""

from __future__ import annotations

import pytest

from tests.connectors.asterisk.folding import T0, Fold, Stream, states
from tests.connectors.asterisk.test_calls import Leg, ringing, talking


def blind(stream: Stream, by: Leg, other: Leg, exten: str, at: int, result: str = "Success"):
    return stream.event(
        "BridgeBlindTransfer", at, channel=by, transferee=other, exten=exten, context="x", result=result
    )


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_blind_transfer_ends_the_record_and_the_next_dial_opens_the_next(
    fold: Fold, stream: Stream, who: str
) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    by, stays = (caller, callee) if who == "caller" else (callee, caller)
    event = blind(stream, by, stays, "1121003", 3000)
    fold.take(event, event, stream.destroyed(by, 3001), stream.dials(stays, 3002))
    target = stream.channel("1121003")
    fold.take(
        stream.created(target, 3003),
        stream.dial(stays, target, 3004),
        stream.dial(stays, target, 4500, "ANSWER"),
    )
    fold.take(stream.destroyed(target, 6000), stream.destroyed(stays, 6001))

    first, second = fold.last()
    assert [states(facts) for facts in fold.calls()] == [["open", "oncall", "closed"]] * 2
    assert (first["transferred_to"], first["hangup_by"], first["ended_ms"]) == (
        "1121003",
        "transfer",
        T0 + 3000,
    )
    assert second["origin"] == stays["name"].split("/")[1].split("-")[0]
    assert (second["destiny"], second["ring_ms"], second["opened_ms"]) == ("1121003", 1498, T0 + 3002)
    assert second["linked_guid"] == first["guid"] == first["linked_guid"] != second["guid"]


def test_a_repeated_dial_from_before_the_transfer_opens_nothing(fold: Fold, stream: Stream) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    fold.take(blind(stream, callee, caller, "1121003", 3000), stream.dials(caller, 0))

    assert [states(facts) for facts in fold.calls()] == [["open", "oncall", "closed"]]


def test_a_transfer_that_was_not_permitted_changes_nothing(fold: Fold, stream: Stream) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    fold.take(blind(stream, callee, caller, "1121003", 3000, "NotPermitted"), stream.destroyed(caller, 5000))

    assert [one["talk_ms"] for one in fold.last()] == [4000]


def test_a_blind_transfer_to_a_phone_that_is_away_is_an_unanswered_second_record(
    fold: Fold, stream: Stream
) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    fold.take(blind(stream, callee, caller, "1121003", 3000), stream.destroyed(callee, 3001))
    fold.take(stream.dials(caller, 3002), stream.destroyed(caller, 3010, 20))

    assert [(one["outcome"], one["reason"]) for one in fold.last()] == [
        ("closed", ""),
        ("unanswered", "offline"),
    ]


def attended(
    stream: Stream,
    first: Leg,
    second: Leg,
    transferee: Leg | None,
    target: Leg | None,
    at: int,
    **more: object,
):
    fields = {"transferer_first_leg": first, "transferer_second_leg": second, "result": "Success", **more}
    if transferee:
        fields["transferee"] = transferee
    if target:
        fields["transfer_target"] = target
    return stream.event("BridgeAttendedTransfer", at, **fields)


def test_an_attended_transfer_ends_two_records_and_begins_a_third_that_talks_at_once(
    fold: Fold, stream: Stream
) -> None:
    first, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    second, target = talking(fold, stream, "1121001", "1121003", "1121003", at=3000)
    event = attended(stream, first, second, callee, target, 6000, destination_type="bridge")
    fold.take(event, event, stream.destroyed(first, 6001), stream.destroyed(second, 6002))
    fold.take(stream.hangup(target, 9000), stream.destroyed(target, 9001), stream.destroyed(callee, 9002))

    one, two, three = fold.last()
    assert [states(facts) for facts in fold.calls()] == [["open", "oncall", "closed"]] * 3
    assert (one["hangup_by"], one["transferred_to"], two["hangup_by"]) == ("transfer", "1121003", "transfer")
    assert (three["origin"], three["destiny"], three["ring_ms"], three["talk_ms"]) == (
        "1121002",
        "1121003",
        0,
        3002,
    )
    assert (three["hangup_by"], three["recording"]) == ("destiny", "")
    assert {one["linked_guid"], two["linked_guid"], three["linked_guid"]} == {one["guid"]}


def test_an_attended_transfer_by_the_callee_leaves_caller_and_target(fold: Fold, stream: Stream) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.varset(caller, "MIXMONITOR_FILENAME", "/m/a.wav", 1200))
    second, target = talking(fold, stream, "1121002", "1121003", "1121003", at=3000)
    fold.take(attended(stream, callee, second, caller, target, 6000, destination_type="bridge"))
    fold.take(stream.destroyed(callee, 6001), stream.destroyed(second, 6002), stream.destroyed(caller, 9000))

    assert [states(facts) for facts in fold.calls()] == [["open", "oncall", "closed"]] * 3
    assert [(one["origin"], one["destiny"]) for one in fold.last()][2] == ("1121001", "1121003")
    assert [one["recording"] for one in fold.last()] == ["a.wav", "", ""]


def test_a_transfer_while_the_target_still_rings_goes_on_as_the_transferred_ones_call(
    fold: Fold, stream: Stream
) -> None:
    first, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    second, target = ringing(fold, stream, "1121001", "1121003", "1121003", at=3000)
    fold.take(attended(stream, first, second, callee, None, 5000, destination_type="application"))
    fold.take(stream.destroyed(first, 5001), stream.destroyed(second, 5002))
    fold.take(stream.dial(callee, target, 6000, "ANSWER"), stream.destroyed(callee, 8000))

    one, two, three = fold.last()
    assert (one["outcome"], two["outcome"], three["outcome"]) == ("closed", "unanswered", "closed")
    assert (three["origin"], three["destiny"], three["ring_ms"]) == ("1121002", "1121003", 1000)


def test_three_who_talk_together_are_no_transfer(fold: Fold, stream: Stream) -> None:
    first, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    second, target = talking(fold, stream, "1121001", "1121003", "1121003", at=3000)
    fold.take(attended(stream, first, second, callee, target, 6000, destination_type="threeway"))

    assert [states(facts) for facts in fold.calls()] == [["open", "oncall"]] * 2
