"""Losing and regaining the connection: memory and REST reading become one, and no state is said twice."""

from __future__ import annotations

from typing import Any

import pytest

from atalaia.connectors.asterisk.interpret import AsteriskInterpreter
from tests.connectors.asterisk.folding import T0, Fold, Stream, states
from tests.connectors.asterisk.test_calls import Leg, ringing, talking

SOUND = "/srv/monitor/2026/11/20/internal-1121001-1121002-20261120-204856-x.wav"
RELATIVE = "2026/11/20/internal-1121001-1121002-20261120-204856-x.wav"


def app(leg: Leg, name: str, exten: str | None = None, state: str = "Up", **more: Any) -> Leg:
    """Answer the leg as `GET /channels` shows it while it runs `name`."""
    plan = {
        **leg["dialplan"],
        "app_name": name,
        "exten": leg["dialplan"]["exten"] if exten is None else exten,
    }
    return {**leg, "state": state, "dialplan": plan, **more}


def wav(seconds: float, until: int, header: int | None = None) -> dict[str, Any]:
    size = 44 + round(seconds * 16_000)
    head = size - 44 if header is None else header
    return {
        RELATIVE: {"bytes": size, "mtime": (T0 + until) / 1000, "seconds": seconds, "header_data_bytes": head}
    }


def lose(fold: Fold, stream: Stream, at: int, back: int) -> None:
    fold.take(stream.control("disconnected", at, code=1006), stream.control("connected", back))


def test_a_call_that_goes_on_is_left_alone(fold: Fold, stream: Stream) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    lose(fold, stream, 2000, 5000)
    legs = [app(caller, "Dial"), app(callee, "AppDial", "")]
    fold.take(*stream.reading(5100, channels=legs, bridges=[stream.bridge(1001, caller, callee)]))
    fold.take(stream.hangup(caller, 8000), stream.destroyed(caller, 8001))

    [facts] = fold.calls()
    assert states(facts) == ["open", "oncall", "closed"]
    assert (facts[-1].data["talk_ms"], facts[-1].data["recovered"], facts[-1].data["forceclose"]) == (
        7001,
        "",
        False,
    )


def test_an_answer_in_the_gap_is_taken_from_the_bridge(fold: Fold, stream: Stream) -> None:
    caller, callee = ringing(fold, stream, "1121001", "1128001", "1122001")
    lose(fold, stream, 500, 5000)
    legs = [app(caller, "Dial", "s"), app(callee, "AppDial", "")]
    fold.take(*stream.reading(5100, channels=legs, bridges=[stream.bridge(2000, caller, callee)]))

    [facts] = fold.calls()
    assert states(facts) == ["open", "oncall"]
    answered = facts[1]
    assert (answered.occurred_ms, answered.data["destiny"], answered.late) == (T0 + 2000, "1122001", True)
    assert answered.data["recovered"] == "answer from GET /bridges"


def test_a_call_that_ended_in_the_gap_is_closed_from_its_sound(fold: Fold, stream: Stream) -> None:
    caller, _ = talking(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.varset(caller, "MIXMONITOR_FILENAME", SOUND, 1100))
    lose(fold, stream, 2000, 9000)
    fold.take(*stream.reading(9100, channels=[], recordings=wav(4.02, until=5000)))

    [end] = fold.last()
    assert (end["ended_ms"], end["talk_ms"], end["forceclose"], end["hangup_by"]) == (
        T0 + 5000,
        4000,
        True,
        "system",
    )
    assert end["recording"] == RELATIVE.rsplit("/", 1)[1]


def test_a_call_first_met_in_the_middle_is_closed_from_the_sound_its_channel_names(
    fold: Fold, stream: Stream
) -> None:
    # Between two losses only the answer is heard; the reading in between never comes to its end.
    caller = stream.channel(
        "1121001", "1121002", "Ring", channelvars={"MIXMONITOR_FILENAME": SOUND, "CHANNEL(linkedid)": ""}
    )
    callee = stream.channel("1121002")
    fold.take(stream.dial(caller, callee, 1000, "ANSWER"), stream.up(caller, 1001))
    lose(fold, stream, 2000, 9000)
    fold.take(*stream.reading(9100, channels=[], recordings=wav(4.02, until=5000)))

    [end] = fold.last()
    assert (end["ended_ms"], end["talk_ms"], end["forceclose"]) == (T0 + 5000, 4000, True)


def test_sound_proves_an_answer_that_fell_into_the_gap(fold: Fold, stream: Stream) -> None:
    caller, callee = ringing(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.varset(caller, "MIXMONITOR_FILENAME", SOUND, 3))
    lose(fold, stream, 500, 9000)
    fold.take(*stream.reading(9100, channels=[], recordings=wav(3.0, until=6000)))

    [facts] = fold.calls()
    assert states(facts) == ["open", "oncall", "closed"]
    assert (facts[1].data["answered_ms"], facts[1].data["extra_channel"]) == (T0 + 3000, callee["name"])
    assert (facts[2].data["ring_ms"], facts[2].data["talk_ms"], facts[2].data["reason"]) == (3000, 3000, "")


@pytest.mark.parametrize("recordings", [None, {}, {RELATIVE: {"bytes": 44, "mtime": T0 / 1000}}])
def test_without_sound_a_call_that_rang_is_lost_at_the_loss(
    fold: Fold, stream: Stream, recordings: dict[str, Any] | None
) -> None:
    caller, _ = ringing(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.varset(caller, "MIXMONITOR_FILENAME", SOUND, 3))
    lose(fold, stream, 2600, 9000)
    fold.take(*stream.reading(9100, channels=[], recordings=recordings))

    [end] = fold.last()
    assert (end["outcome"], end["reason"], end["ended_ms"], end["ring_s"]) == (
        "unanswered",
        "lost",
        T0 + 2600,
        3,
    )


def test_after_a_restart_the_sound_says_nothing_about_the_end(fold: Fold, stream: Stream) -> None:
    caller, _ = talking(fold, stream, "1121001", "1121002", "1121002")
    fold.take(stream.varset(caller, "MIXMONITOR_FILENAME", SOUND, 1100))
    lose(fold, stream, 5000, 9000)
    fold.take(*stream.reading(9100, channels=[], recordings=wav(2.0, 4000, header=0), started_at=8000))

    [end] = fold.last()
    assert (end["ended_ms"], end["recovered"]) == (T0 + 5000, "Asterisk restarted: end = loss of the socket")
    assert end["recording"]
    assert fold.of_type("gap.closed")[0]["restarted"] is True


def test_a_call_that_began_in_the_gap_is_built_from_the_reading(fold: Fold, stream: Stream) -> None:
    fold.take(
        stream.control("connected", 0),
        *stream.reading(1, channels=[]),
        stream.peer("1121001", "Reachable", 2),
    )
    lose(fold, stream, 10, 9000)
    caller = app(
        stream.channel("1121001", "1121002"), "Dial", "s", channelvars={"MIXMONITOR_FILENAME": SOUND}
    )
    callee = app(stream.channel("1121002"), "AppDial", "")
    fold.take(*stream.reading(9100, channels=[callee, caller], bridges=[stream.bridge(3000, caller, callee)]))
    fold.take(stream.dial(caller, callee, 3000, "ANSWER"), stream.destroyed(caller, 9500))

    [facts] = fold.calls()
    assert states(facts) == ["open", "oncall", "closed"]
    assert facts[0].data["dialled"] == "1121002"  # in a subroutine only the recording's name still tells it
    assert (facts[0].occurred_ms, facts[1].occurred_ms) == (T0, T0 + 3000)
    assert facts[-1].data["recovered"] == "whole call from GET /channels and /bridges"


def test_a_hub_that_starts_in_the_middle_builds_what_rings_and_follows_it(fold: Fold, stream: Stream) -> None:
    caller = app(stream.channel("1121001", "1121002"), "Dial", state="Ring")
    callee = app(
        stream.channel("1121002"), "AppDial", state="Ringing", channelvars={"CHANNEL(linkedid)": caller["id"]}
    )
    fold.take(stream.control("connected", 900), *stream.reading(1000, channels=[caller, callee]))
    fold.take(
        stream.hangup(callee, 2000, 17),
        stream.destroyed(callee, 2001, 17),
        stream.destroyed(caller, 2002, 17),
    )

    assert [(one["origin"], one["destiny"], one["reason"]) for one in fold.last()] == [
        ("1121001", "1121002", "busy")
    ]
    assert fold.of_type("gap.closed") == []


def test_an_ia_call_found_talking_is_open_and_answered(fold: Fold, stream: Stream) -> None:
    caller = app(stream.channel("1121001", "94"), "Milliwatt")
    fold.take(stream.control("connected", 900), *stream.reading(1000, channels=[caller]))

    assert [states(facts) for facts in fold.calls()] == [["open", "oncall"]]


def test_events_are_held_back_until_the_reading_is_complete_and_applied_once(
    fold: Fold, stream: Stream
) -> None:
    caller, callee = ringing(fold, stream, "1121001", "1121002", "1121002")
    lose(fold, stream, 500, 5000)
    held = fold.take(stream.dial(caller, callee, 5050, "ANSWER"))
    assert held == []
    assert fold.take(stream.hangup(caller, 5060), stream.destroyed(caller, 5070)) == []
    fold.restart()
    fold.take(*stream.reading(5100, channels=[]))

    [facts] = fold.calls()
    assert states(facts) == ["open", "oncall", "closed"]
    assert (facts[-1].data["ended_ms"], facts[-1].data["forceclose"]) == (T0 + 5070, False)
    assert list(fold.memory.keys("held:")) == []
    assert list(fold.memory.keys("read:")) == []


def test_a_call_created_while_reading_is_told_by_its_events_alone(fold: Fold, stream: Stream) -> None:
    fold.take(stream.control("connected", 0))
    caller = stream.channel("1121001", "1121002", "Ring")
    callee = stream.channel("1121002")
    fold.take(
        stream.created(caller, 40),
        stream.dials(caller, 41),
        stream.created(callee, 42),
        stream.dial(caller, callee, 42),
    )
    fold.take(*stream.reading(100, channels=[app(caller, "Dial"), app(callee, "AppDial")]))

    [facts] = fold.calls()
    assert (states(facts), facts[0].occurred_ms, facts[0].data["recovered"]) == (["open"], T0 + 41, "")


def test_a_reading_that_failed_leaves_everything_open_and_the_next_one_settles_it(
    fold: Fold, stream: Stream
) -> None:
    _caller, _ = talking(fold, stream, "1121001", "1121002", "1121002")
    lose(fold, stream, 2000, 3000)
    other = stream.channel("1121003", "1121002", "Ring")
    fold.take(stream.created(other, 3100), stream.dials(other, 3101))
    lose(fold, stream, 4000, 6000)
    assert [states(facts) for facts in fold.calls()] == [["open", "oncall"], ["open"]]

    fold.take(*stream.reading(6100, channels=[]))
    assert [states(facts) for facts in fold.calls()] == [["open", "oncall", "closed"], ["open", "unanswered"]]
    assert [one["ended_ms"] for one in fold.last()] == [T0 + 2000, T0 + 2000 + 1101]
    assert [one["from_ms"] for one in fold.of_type("gap.closed")] == [T0 + 2000]


def test_a_hub_that_was_killed_counts_from_the_last_event_it_heard(fold: Fold, stream: Stream) -> None:
    talking(fold, stream, "1121001", "1121002", "1121002")
    fold.restart()
    fold.take(stream.control("connected", 9000), *stream.reading(9100, channels=[]))

    assert [one["ended_ms"] for one in fold.last()] == [T0 + 1001]
    assert [one["cause"] for one in fold.of_type("gap.closed")] == ["the hub was not running"]


def test_a_hub_that_was_killed_in_silence_counts_from_its_last_reading(fold: Fold, stream: Stream) -> None:
    fold.take(stream.control("connected", 0), *stream.reading(100, channels=[]))
    fold.restart()
    fold.take(stream.control("connected", 9000), *stream.reading(9100, channels=[]))

    assert [one["from_ms"] for one in fold.of_type("gap.closed")] == [T0 + 100]


def test_legs_that_died_in_the_gap_are_forgotten(fold: Fold, stream: Stream) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    stray = stream.channel("1121003", "1121999", "Ring")
    fold.take(stream.created(stray, 1500))
    lose(fold, stream, 2000, 9000)
    fold.take(*stream.reading(9100, channels=[]))

    assert list(fold.memory.keys("leg:")) == []
    assert all(fold.ledger.is_gone(one["id"]) for one in (caller, callee, stray))


def test_the_gap_says_what_was_looked_at_rebuilt_and_cannot_be_known(fold: Fold, stream: Stream) -> None:
    talking(fold, stream, "1121001", "1121002", "1121002")
    lose(fold, stream, 2000, 9000)
    fold.take(*stream.reading(9100, channels=[], recordings={}, endpoints={"1121001": "offline"}))

    [gap] = fold.of_type("gap.closed")
    assert (gap["from_ms"], gap["to_ms"], gap["lost"]) == (T0 + 2000, T0 + 9100, "unknown")
    assert gap["cause"] == "cut without a close frame (1006)"
    assert gap["checked"] == {"channels": 0, "bridges": 0, "endpoints": 1, "recordings": 0}
    assert gap["recovered"]["calls_closed"] == 1


def test_endpoints_read_first_are_news_for_nobody_and_later_changes_are(fold: Fold, stream: Stream) -> None:
    fold.take(
        stream.control("connected", 0), *stream.reading(1, channels=[], endpoints={"1121001": "online"})
    )
    lose(fold, stream, 10, 20)
    fold.take(*stream.reading(30, channels=[], endpoints={"1121001": "offline", "trunk": "online"}))

    found = [
        (one["endpoint"], one["status"], one["first"]) for one in fold.of_type("endpoint.status_changed")
    ]
    assert found == [("1121001", "online", True), ("1121001", "offline", False), ("trunk", "online", True)]


def test_somebody_found_waiting_for_a_sleeping_phone_is_a_call_and_wakes_it(
    fold: Fold, stream: Stream
) -> None:
    caller = app(stream.channel("1121001", "1123001"), "Wait", state="Ring")
    fold.take(
        stream.control("connected", 0),
        *stream.reading(1, channels=[caller], endpoints={"1123001": "offline"}),
    )

    assert [one["endpoint"] for one in fold.of_type("endpoint.wake_requested")] == ["1123001"]
    assert [states(facts) for facts in fold.calls()] == [["open"]]


def test_a_blind_transfer_in_the_gap_ends_one_record_and_builds_the_next(fold: Fold, stream: Stream) -> None:
    caller, _ = talking(fold, stream, "1121001", "1121002", "1121002")
    lose(fold, stream, 2000, 9000)
    target = stream.channel("1121003")
    legs = [app(caller, "Dial", "1121003"), app(target, "AppDial", "")]
    fold.take(*stream.reading(9100, channels=legs, bridges=[stream.bridge(6000, caller, target)]))

    first, second = fold.last()
    assert (first["ended_ms"], first["transferred_to"]) == (T0 + 2000, "1121003")
    assert (second["destiny"], second["answered_ms"]) == ("1121003", T0 + 6000)
    assert second["linked_guid"] == first["guid"]


def test_an_attended_transfer_in_the_gap_is_tied_to_the_first_call(fold: Fold, stream: Stream) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    lose(fold, stream, 2000, 9000)
    target = stream.channel("1121003")
    linked = {"CHANNEL(linkedid)": caller["id"]}
    legs = [app(callee, "AppDial", "", channelvars=linked), app(target, "AppDial", "", channelvars=linked)]
    fold.take(*stream.reading(9100, channels=legs, bridges=[stream.bridge(6000, callee, target)]))

    first, second = fold.last()
    assert (first["outcome"], first["forceclose"]) == ("closed", True)
    assert (second["origin"], second["destiny"], second["channelstatus"]) == ("1121002", "1121003", "oncall")
    assert second["linked_guid"] == first["guid"]


def test_events_do_not_wait_for_a_reading_that_never_ends(fold: Fold, stream: Stream) -> None:
    fold.interpreter = AsteriskInterpreter(fold.connection, fold.memory, held_max=3)
    fold.take(stream.control("connected", 0))
    ringing(fold, stream, "1121001", "1121002", "1121002", at=10)

    assert [states(facts) for facts in fold.calls()] == [["open"]]
