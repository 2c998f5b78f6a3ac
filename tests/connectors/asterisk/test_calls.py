"""Calls from streams made by hand: what no recording shows, and what must never happen."""

from __future__ import annotations

from typing import Any

import pytest

from tests.connectors.asterisk.folding import T0, Fold, Stream, states

Leg = dict[str, Any]


def ringing(fold: Fold, stream: Stream, origin: str, dialled: str, peer: str, at: int = 0) -> tuple[Leg, Leg]:
    """Bring a call to where the callee rings."""
    caller = stream.channel(origin, dialled, "Ring")
    callee = stream.channel(peer)
    fold.take(stream.created(caller, at), stream.dials(caller, at), stream.created(callee, at + 2))
    fold.take(stream.dial(caller, callee, at + 2), stream.dial(caller, callee, at + 3, "RINGING"))
    return caller, callee


def talking(fold: Fold, stream: Stream, origin: str, dialled: str, peer: str, at: int = 0) -> tuple[Leg, Leg]:
    """Bring a call to where both talk, after one second of ringing."""
    caller, callee = ringing(fold, stream, origin, dialled, peer, at)
    fold.take(stream.dial(caller, callee, at + 1000, "ANSWER"), stream.up(caller, at + 1001))
    return caller, callee


def test_a_call_goes_from_open_over_oncall_to_closed(fold: Fold, stream: Stream) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.hangup(callee, 3400), stream.destroyed(callee, 3401), stream.destroyed(caller, 3500))

    [facts] = fold.calls()
    assert [fact.type for fact in facts] == ["call.opened", "call.answered", "call.ended"]
    end = facts[-1].data
    assert (end["ring_ms"], end["talk_ms"], end["ring_s"], end["talk_s"]) == (1000, 2500, 1, 3)
    assert (end["hangup_by"], end["outcome"], end["reason"]) == ("destiny", "closed", "")
    assert end["server"] == "voip1"
    assert {fact.dedupe for fact in facts} == {
        f"{facts[0].key}:{state}" for state in ("open", "oncall", "closed")
    }
    assert all(fact.cause_seq for fact in facts)


@pytest.mark.parametrize(("order", "by"), [("caller first", "origin"), ("callee first", "origin")])
def test_the_final_events_of_both_legs_may_come_in_either_order(
    fold: Fold, stream: Stream, order: str, by: str
) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    ends = [stream.destroyed(caller, 4000), stream.destroyed(callee, 4000)]
    fold.take(stream.hangup(caller, 3999), *(ends if order == "caller first" else reversed(ends)))

    assert [(one["hangup_by"], one["ended_ms"]) for one in fold.last()] == [(by, T0 + 4000)]
    assert list(fold.memory.keys("leg:")) == []
    assert list(fold.memory.keys("call:")) == []


@pytest.mark.parametrize(
    ("cause", "hung_up", "reason"),
    [
        (17, True, "busy"),
        (21, True, "rejected"),
        (19, True, "unavailable"),
        (19, False, "noanswer"),
        (0, False, "noanswer"),
    ],
)
def test_the_callees_cause_says_why_nobody_answered(
    fold: Fold, stream: Stream, cause: int, hung_up: bool, reason: str
) -> None:
    caller, callee = ringing(fold, stream, "1121001", "1121002", "1121002")
    if hung_up:
        fold.take(stream.hangup(callee, 900, cause))
    fold.take(stream.destroyed(callee, 901, cause), stream.destroyed(caller, 902, 19))

    assert [(one["outcome"], one["reason"], one["hangup_by"]) for one in fold.last()] == [
        ("unanswered", reason, "")
    ]


def test_the_reason_is_known_even_when_the_callers_leg_dies_first(fold: Fold, stream: Stream) -> None:
    caller, callee = ringing(fold, stream, "1121001", "1121002", "1121002")
    fold.take(
        stream.hangup(callee, 900, 17), stream.destroyed(caller, 901, 17), stream.destroyed(callee, 902, 17)
    )

    assert [one["reason"] for one in fold.last()] == ["busy"]


def test_a_caller_who_gives_up_cancels(fold: Fold, stream: Stream) -> None:
    caller, callee = ringing(fold, stream, "1121001", "1121002", "1121002")
    fold.take(
        stream.hangup(caller, 2000, 127),
        stream.destroyed(callee, 2001, 127),
        stream.destroyed(caller, 2002, 127),
    )

    assert [(one["reason"], one["hangup_by"]) for one in fold.last()] == [("cancelled", "origin")]


def test_a_callee_that_is_not_registered_is_offline(fold: Fold, stream: Stream) -> None:
    caller = stream.channel("1121001", "1121002", "Ring")
    fold.take(stream.created(caller), stream.dials(caller), stream.destroyed(caller, 1, 20))

    assert [(one["reason"], one["ring_s"]) for one in fold.last()] == [("offline", 0)]


def test_of_a_group_the_last_leg_to_end_says_the_reason(fold: Fold, stream: Stream) -> None:
    caller, first = ringing(fold, stream, "1121001", "1128001", "1122001")
    second = stream.channel("1122002")
    fold.take(stream.created(second, 2), stream.dial(caller, second, 3))
    fold.take(stream.hangup(second, 500, 17), stream.destroyed(second, 501, 17))
    fold.take(stream.destroyed(first, 20_000, 0), stream.destroyed(caller, 20_001, 19))

    [end] = fold.last()
    assert (end["destiny"], end["destiny_type"], end["reason"]) == ("1128001", "ring-group", "noanswer")


def test_a_hunt_opens_once_and_ends_with_who_answered(fold: Fold, stream: Stream) -> None:
    caller, first = ringing(fold, stream, "1121001", "1128001", "1122001")
    fold.take(
        stream.dial(caller, first, 4000, "NOANSWER"),
        stream.destroyed(first, 4001, 0),
        stream.dials(caller, 4002),
    )
    second = stream.channel("1122002")
    fold.take(
        stream.created(second, 4003),
        stream.dial(caller, second, 4003),
        stream.dial(caller, second, 5200, "ANSWER"),
    )
    fold.take(stream.destroyed(second, 7000), stream.destroyed(caller, 7001))

    [facts] = fold.calls()
    assert states(facts) == ["open", "oncall", "closed"]
    assert facts[0].data["destiny"] == "1128001"
    assert (facts[-1].data["destiny"], facts[-1].data["dialled"], facts[-1].data["ring_s"]) == (
        "1122002",
        "1128001",
        5,
    )


def test_twelve_calls_of_the_same_millisecond_are_twelve_calls(fold: Fold, stream: Stream) -> None:
    pairs = [ringing(fold, stream, "1121001", "1121002", "1121002") for _ in range(12)]
    for place, (caller, callee) in enumerate(pairs):
        fold.take(stream.dial(caller, callee, 1000 + place, "ANSWER"))
    for caller, _ in reversed(pairs):
        fold.take(stream.destroyed(caller, 3000))

    assert [states(facts) for facts in fold.calls()] == [["open", "oncall", "closed"]] * 12
    assert [one["callnumber"] for one in fold.last()] == list(range(1, 13))
    assert [one["ring_ms"] for one in fold.last()] == [1000 + place for place in range(12)]


def test_a_caller_in_state_up_is_not_answered_unless_he_asked_for_an_ia(fold: Fold, stream: Stream) -> None:
    caller = stream.channel("1121001", "1128001", "Ring")
    member = stream.channel("1122001")
    fold.take(
        stream.created(caller),
        stream.up(caller, 1),
        stream.created(member, 2),
        stream.dial(caller, member, 3),
    )
    ia = stream.channel("1121002", "94", "Ring")
    fold.take(stream.created(ia, 10), stream.up(ia, 30))

    group, answered = fold.calls()
    assert states(group) == ["open"]
    assert states(answered) == ["open", "oncall"]
    assert (
        answered[1].data["destiny_type"],
        answered[1].data["ring_ms"],
        answered[1].data["extra_channel"],
    ) == ("ia", 20, "")


def test_a_listed_ia_endpoint_opens_at_once_and_ends_with_its_name(fold: Fold, stream: Stream) -> None:
    caller = stream.channel("1121001", "1129001", "Ring")
    fold.take(stream.created(caller))
    ia = stream.channel("1129001")
    fold.take(
        stream.created(ia, 1),
        stream.dials(caller, 1),
        stream.dial(caller, ia, 2),
        stream.dial(caller, ia, 9, "ANSWER"),
    )
    fold.take(stream.up(caller, 10))

    [facts] = fold.calls()
    assert states(facts) == ["open", "oncall"]
    assert (facts[1].data["opened_ms"], facts[1].data["extra_channel"]) == (T0, ia["name"])


@pytest.mark.parametrize(
    "channel",
    [
        {"name": "PJSIP/anonymous-00000033", "exten": "00442071234567"},
        {"name": "PJSIP/anonymous-00000033", "exten": "94"},
        {"name": "PJSIP/anonymous-00000033", "exten": "1123001"},
        {"name": "1121001", "exten": "s"},
        {"name": "1121001", "exten": "1121999"},
        {"name": "1121001", "exten": "1121002"},
        {"name": "OutgoingSpoolFailed", "exten": "failed"},
        {"name": "PJSIP/anonymous-00000033", "exten": "1121002", "number": ""},
    ],
)
def test_nothing_opens_before_the_dialplan_dials(fold: Fold, stream: Stream, channel: Leg) -> None:
    name, exten = channel.pop("name"), channel.pop("exten")
    leg = stream.channel(name, exten, "Ring", **channel)
    fold.take(
        stream.peer("1123001", "Unreachable", 0), stream.created(leg, 1), stream.hangup(leg, 400, soft=True)
    )
    fold.take(stream.destroyed(leg, 401, 21))

    assert fold.calls() == []
    assert fold.of_type("endpoint.wake_requested") == []
    assert list(fold.memory.keys("leg:")) == []


def test_what_concerns_no_client_stays_closed_even_when_dialled(fold: Fold, stream: Stream) -> None:
    ringing(fold, stream, "PJSIP/anonymous-00000001", "555", "trunk")

    assert fold.calls() == []


def test_a_stranger_whom_the_dialplan_lets_through_opens_at_the_callees_client(
    fold: Fold, stream: Stream
) -> None:
    caller, callee = ringing(fold, stream, "PJSIP/trunk-00000001", "0", "1121002")
    fold.take(stream.dial(caller, callee, 500, "ANSWER"))

    [facts] = fold.calls()
    assert facts[0].data["vhost"] == "cliente112"
    assert (facts[0].data["origin"], facts[0].data["origin_type"], facts[1].data["destiny"]) == (
        "trunk",
        "",
        "1121002",
    )


def test_a_hidden_number_does_not_hide_a_known_phone(fold: Fold, stream: Stream) -> None:
    caller = stream.channel("1121001", "1121002", "Ring", number="")
    fold.take(stream.created(caller), stream.dials(caller, 1))

    assert [(one["origin"], one["destiny"]) for one in fold.last()] == [("1121001", "1121002")]


def test_an_old_number_of_four_digits_belongs_to_whom_its_line_says(fold: Fold, stream: Stream) -> None:
    ringing(fold, stream, "1121", "1121002", "1121002")

    assert [(one["origin_type"], one["client"]) for one in fold.last()] == [("apto", "112")]


def test_an_unlisted_seven_digit_phone_is_read_by_the_number_plan(fold: Fold, stream: Stream) -> None:
    ringing(fold, stream, "1127001", "1127002", "1127002")

    [one] = fold.last()
    assert (one["origin_type"], one["destiny_type"], one["vhost"]) == ("apto", "apto", "cliente112")


def test_digits_of_both_parties_are_kept_in_order_and_a_repeated_event_counts_once(
    fold: Fold, stream: Stream
) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    for at, leg, digit in (
        (1500, caller, "1"),
        (1600, callee, "#"),
        (1700, caller, "1"),
        (1700, caller, "1"),
    ):
        fold.take(stream.event("ChannelDtmfReceived", at, channel=leg, digit=digit, duration_ms=100))
    fold.take(stream.destroyed(caller, 4000))

    assert [one["dtmf"] for one in fold.last()] == ["1#1"]


def test_the_last_recording_set_before_the_end_is_the_calls(fold: Fold, stream: Stream) -> None:
    caller, callee = ringing(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.varset(caller, "MIXMONITOR_FILENAME", "/m/2026/first.wav", 10))
    fold.take(stream.varset(caller, "MIXMONITOR_FILENAME", "/m/2026/second.wav", 20))
    fold.take(stream.dial(caller, callee, 30, "ANSWER"), stream.destroyed(caller, 4000))

    [end] = fold.last()
    assert (end["recording"], end["urlfilename"]) == ("second.wav", "http://audio/voip1/second.mp3")


def test_an_unanswered_call_has_no_recording(fold: Fold, stream: Stream) -> None:
    caller, _ = ringing(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.varset(caller, "MIXMONITOR_FILENAME", "/m/a.wav", 10), stream.destroyed(caller, 4000))

    assert [(one["recording"], one["urlfilename"]) for one in fold.last()] == [("", "")]


def test_a_click_to_call_opens_when_the_second_leg_is_dialled(fold: Fold, stream: Stream) -> None:
    caller = stream.channel("1121001", app="AppDial2")
    fold.take(stream.created(caller), stream.dial(None, caller, 1), stream.dial(None, caller, 900, "ANSWER"))
    assert fold.calls() == []

    moved = {**caller, "dialplan": {**caller["dialplan"], "exten": "1128001", "app_name": "Gosub"}}
    inside = {**caller, "dialplan": {**caller["dialplan"], "exten": "s", "app_name": "Dial"}}
    fold.take(stream.event("ChannelDialplan", 901, channel=moved), stream.dials(inside, 902))

    [one] = fold.last()
    assert (one["origin"], one["destiny"], one["destiny_type"], one["clicktocall"]) == (
        "1121001",
        "1128001",
        "ring-group",
        True,
    )


def test_a_click_to_call_whose_first_phone_refuses_is_no_call(fold: Fold, stream: Stream) -> None:
    caller = stream.channel("1121001", app="AppDial2")
    fold.take(stream.created(caller), stream.dial(None, caller, 1), stream.hangup(caller, 500, 17))
    fold.take(stream.dial(None, caller, 501, "BUSY"), stream.destroyed(caller, 502, 17))

    assert fold.calls() == []
    assert list(fold.memory.keys("leg:")) == []


def test_a_smartphone_is_woken_once_at_the_dialplans_signal(fold: Fold, stream: Stream) -> None:
    caller = stream.channel("1121001", "1123001", "Ring")
    wake = stream.event(
        "ChannelUserevent", 2, eventname="PushWake", userevent={"endpoint": "1123001"}, channel=caller
    )
    fold.take(
        stream.peer("1123001", "Unreachable", 0),
        stream.created(caller, 1),
        wake,
        wake,
        stream.dials(caller, 3),
    )

    [push] = fold.of_type("endpoint.wake_requested")
    [call] = fold.last()
    assert push == {
        "endpoint": "1123001", "origin": "1121001", "guid": call["guid"], "expires": T0 // 1000 + 15,
        "client": "112", "vhost": "cliente112",
    }  # fmt: skip
    assert call["opened_ms"] == T0 + 2

    fold.take(stream.destroyed(caller, 12_000, 20))
    assert [(one["reason"], one["pushed"]) for one in fold.last()] == [("offline", True)]


@pytest.mark.parametrize("sign", ["it waits", "it dials", "later event"])
def test_a_smartphone_known_as_offline_is_woken_without_the_dialplans_signal(
    fold: Fold, stream: Stream, sign: str
) -> None:
    caller = stream.channel("1121001", "1123001", "Ring")
    fold.take(stream.peer("1123001", "Unreachable", 0), stream.created(caller, 1))
    assert fold.of_type("endpoint.wake_requested") == []

    waiting = {**caller, "dialplan": {**caller["dialplan"], "app_name": "Wait"}}
    signs = {
        "it waits": stream.event("ChannelDialplan", 3, channel=waiting),
        "it dials": stream.dials(caller, 3),
        "later event": stream.peer("1121002", "Reachable", 500),
    }
    fold.take(signs[sign])

    assert [one["endpoint"] for one in fold.of_type("endpoint.wake_requested")] == ["1123001"]
    assert [states(facts) for facts in fold.calls()] == [["open"]]


def test_a_client_who_wants_no_pushes_gets_none_but_his_call_is_kept(fold: Fold, stream: Stream) -> None:
    caller = stream.channel("1131001", "1133001", "Ring")
    wake = stream.event(
        "ChannelUserevent", 2, eventname="PushWake", userevent={"endpoint": "1133001"}, channel=caller
    )
    fold.take(stream.created(caller, 1), wake)

    assert fold.of_type("endpoint.wake_requested") == []
    assert [states(facts) for facts in fold.calls()] == [["open"]]


def test_a_smartphone_that_is_online_is_not_woken(fold: Fold, stream: Stream) -> None:
    fold.take(stream.peer("1123001", "Reachable", 0))
    ringing(fold, stream, "1121001", "1123001", "1123001", at=10)

    assert fold.of_type("endpoint.wake_requested") == []


def test_numbers_count_up_over_a_restart_and_guids_are_the_same_when_folded_again(stream: Stream) -> None:
    first, again = Fold(), Fold()
    for fold in (first, again):
        ringing(fold, Stream(), "1121001", "1121002", "1121002")
    first.restart()
    ringing(first, Stream(start_ms=T0 + 60_000), "1121001", "1121002", "1121002")

    assert [one["callnumber"] for one in first.last()] == [1, 2]
    assert first.last()[0]["guid"] == again.last()[0]["guid"]
    assert first.last()[0]["guid"][14] == "7"


def test_two_servers_with_the_same_numbers_do_not_mix() -> None:
    one, two = Fold(connection="a"), Fold(connection="b")
    for fold in (one, two):
        ringing(fold, Stream(), "1121001", "1121002", "1121002")

    assert one.last()[0]["guid"] != two.last()[0]["guid"]


def test_a_local_channel_in_between_is_no_call_of_its_own(fold: Fold, stream: Stream) -> None:
    caller = stream.channel("1121001", "1128001", "Ring")
    half1 = stream.channel("Local/1122001@from-queue-00000001;1", number="1122001")
    half2 = stream.channel("Local/1122001@from-queue-00000001;2", "1122001", "Ring", number="1121001")
    phone = stream.channel("1122001")
    fold.take(
        stream.created(caller), stream.dials(caller, 1), stream.created(half1, 2), stream.created(half2, 2)
    )
    fold.take(
        stream.dials(half2, 3),
        stream.dial(caller, half1, 3),
        stream.created(phone, 4),
        stream.dial(half2, phone, 4),
    )
    fold.take(stream.dial(half2, phone, 900, "ANSWER"), stream.dial(caller, half1, 901, "ANSWER"))
    fold.take(stream.destroyed(half1, 905), stream.destroyed(half2, 905))
    fold.take(stream.hangup(phone, 3000), stream.destroyed(phone, 3001), stream.destroyed(caller, 3002))

    [facts] = fold.calls()
    assert states(facts) == ["open", "oncall", "closed"]
    end = facts[-1].data
    assert (end["destiny"], end["extra_channel"], end["hangup_by"]) == ("1122001", phone["name"], "destiny")


def test_a_caller_who_dials_on_after_the_callee_left_begins_another_conversation(
    fold: Fold, stream: Stream
) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.hangup(callee, 2000), stream.destroyed(callee, 2001), stream.dials(caller, 2500))

    assert [states(facts) for facts in fold.calls()] == [["open", "oncall", "closed"], ["open"]]
    assert fold.last()[0]["ended_ms"] == T0 + 2001


def test_the_directory_decides_from_its_place_in_the_log_on(fold: Fold, stream: Stream) -> None:
    fold = Fold(directory=type(fold.ledger.directory)())
    ringing(fold, stream, "1121001", "1121002", "1121002")
    assert fold.calls() == []


def test_a_repeated_creation_after_the_end_opens_nothing_and_leaves_nothing(
    fold: Fold, stream: Stream
) -> None:
    caller = stream.channel("1121001", "94", "Ring")
    fold.take(stream.created(caller), stream.up(caller, 5), stream.destroyed(caller, 900))
    fold.take(stream.created(caller), stream.varset(caller, "MIXMONITOR_FILENAME", "/m/a.wav", 1))

    assert [states(facts) for facts in fold.calls()] == [["open", "oncall", "closed"]]
    assert list(fold.memory.keys("leg:")) == []
