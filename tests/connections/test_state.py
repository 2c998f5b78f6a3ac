"""The life of a connection, pair by pair."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.connections.pace import Pace
from atalaia.connections.state import (
    SETTLED,
    Asking,
    Close,
    Doubt,
    Heard,
    Hearing,
    Live,
    Lost,
    Need,
    NeedsPerson,
    Open,
    Opening,
    Proven,
    Reopened,
    Rules,
    Start,
    Stop,
    Stopped,
    Suspect,
    Tick,
    Waiting,
    WakeAt,
    failures_before,
    kind_of,
    name_of,
    step,
)
from atalaia.connections.truth import NOT_HEARING, Truth
from atalaia.errors import InDoubt, Refused, Rejected, Unavailable, Unreadable

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SILENCE, PAUSE = timedelta(seconds=30), timedelta(seconds=4)
RULES = Rules(SILENCE, PAUSE)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


# One of each, in the middle of its life: tried twice before, last heard five seconds ago.
STOPPED = Stopped()
OPENING = Opening(2, ago(10))
LIVE = Live(2, ago(20), ago(5))
SUSPECT = Suspect(2, ago(3), ago(20), ago(5), "no canary")
ASKING = Asking(2, ago(3), ago(20), ago(5), "no phone", "Scan the code", Truth.PAIRING)
WAITING = Waiting(2, ago(1), NOW + timedelta(seconds=3), "down")
NEEDS = NeedsPerson(2, ago(100), "wrong password", "Correct the password")

DOWN = Unavailable("down again")
OPEN_NOW = (Opening(1, NOW), [Open(), WakeAt(NOW + SILENCE)])
SCAN = Need("unpaired", "Pair it again", Truth.LOGGED_OUT)
DEAF = Doubt("missed", Truth.DEAF)
MISSED = Hearing(ago(5), "missed")
UNPAIRED = Hearing(ago(5), "unpaired")
ANOTHER = Reopened("loaded anew", ago(8))
WAIT_NOW = Waiting(2, NOW, NOW + PAUSE, "down again")

PAIRS = {
    (STOPPED, Start()): OPEN_NOW,
    (STOPPED, Stop()): (STOPPED, []),
    (STOPPED, Proven()): (STOPPED, []),
    (STOPPED, ANOTHER): (STOPPED, []),
    (STOPPED, Heard()): (STOPPED, []),
    (STOPPED, Doubt("x")): (STOPPED, []),
    (STOPPED, Lost(DOWN)): (STOPPED, []),
    (STOPPED, DEAF): (STOPPED, []),
    (STOPPED, SCAN): (STOPPED, []),
    (STOPPED, Tick()): (STOPPED, []),
    #
    (OPENING, Start()): (OPENING, []),
    (OPENING, Stop()): (STOPPED, [Close()]),
    (OPENING, Proven()): (Live(2, NOW, NOW), [WakeAt(NOW + SILENCE)]),
    (OPENING, ANOTHER): (OPENING, []),
    (OPENING, Heard()): (Opening(2, ago(10), NOW), []),
    (OPENING, Doubt("x")): (OPENING, []),
    (OPENING, Lost(DOWN)): (WAIT_NOW, [Close(), WakeAt(NOW + PAUSE)]),
    (OPENING, DEAF): (
        Suspect(2, NOW, NOW, NOW, "missed", Truth.DEAF, told=True),
        [WakeAt(NOW + SILENCE)],
    ),
    (OPENING, SCAN): (
        Asking(2, NOW, NOW, NOW, "unpaired", "Pair it again", Truth.LOGGED_OUT, True),
        [WakeAt(NOW + SILENCE)],
    ),
    (OPENING, Tick()): (OPENING, [WakeAt(ago(10) + SILENCE)]),
    #
    (LIVE, Start()): (LIVE, []),
    (LIVE, Stop()): (STOPPED, [Close(), Hearing(ago(5), "stopped")]),
    (LIVE, Proven()): (Live(2, ago(20), NOW), []),
    (LIVE, ANOTHER): (
        Suspect(2, NOW, ago(20), ago(5), "loaded anew", Truth.UNPROVEN),
        [Hearing(ago(8), "loaded anew")],
    ),
    (LIVE, Heard()): (Live(2, ago(20), NOW), []),
    (LIVE, Doubt("x")): (Suspect(2, NOW, ago(20), ago(5), "x"), []),
    (LIVE, Lost(DOWN)): (WAIT_NOW, [Close(), Hearing(ago(5), "down again"), WakeAt(NOW + PAUSE)]),
    (LIVE, DEAF): (Suspect(2, NOW, ago(20), ago(5), "missed", Truth.DEAF, told=True), [MISSED]),
    (LIVE, SCAN): (
        Asking(2, NOW, ago(20), ago(5), "unpaired", "Pair it again", Truth.LOGGED_OUT, True),
        [UNPAIRED],
    ),
    (LIVE, Tick()): (LIVE, [WakeAt(ago(5) + SILENCE)]),
    #
    (SUSPECT, Start()): (SUSPECT, []),
    (SUSPECT, Stop()): (STOPPED, [Close(), Hearing(ago(5), "stopped")]),
    (SUSPECT, Proven()): (Live(2, ago(20), NOW), [WakeAt(NOW + SILENCE)]),
    (SUSPECT, ANOTHER): (SUSPECT, []),
    (SUSPECT, Heard()): (Suspect(2, ago(3), ago(20), NOW, "no canary"), []),
    (SUSPECT, Doubt("x")): (SUSPECT, []),
    (SUSPECT, Lost(DOWN)): (WAIT_NOW, [Close(), Hearing(ago(5), "down again"), WakeAt(NOW + PAUSE)]),
    (SUSPECT, DEAF): (Suspect(2, NOW, ago(20), ago(5), "missed", Truth.DEAF, told=True), [MISSED]),
    (SUSPECT, SCAN): (
        Asking(2, NOW, ago(20), ago(5), "unpaired", "Pair it again", Truth.LOGGED_OUT, True),
        [UNPAIRED],
    ),
    (SUSPECT, Tick()): (SUSPECT, [WakeAt(ago(5) + SILENCE)]),
    #
    (ASKING, Start()): (ASKING, []),
    (ASKING, Stop()): (STOPPED, [Close(), Hearing(ago(5), "stopped")]),
    (ASKING, Proven()): (Live(2, ago(20), NOW), [WakeAt(NOW + SILENCE)]),
    (ASKING, ANOTHER): (ASKING, []),
    (ASKING, Heard()): (Asking(2, ago(3), ago(20), NOW, "no phone", "Scan the code", Truth.PAIRING), []),
    (ASKING, Doubt("x")): (ASKING, []),
    (ASKING, DEAF): (Suspect(2, NOW, ago(20), ago(5), "missed", Truth.DEAF, told=True), [MISSED]),
    (ASKING, SCAN): (
        Asking(2, NOW, ago(20), ago(5), "unpaired", "Pair it again", Truth.LOGGED_OUT, True),
        [UNPAIRED],
    ),
    (ASKING, Lost(DOWN)): (WAIT_NOW, [Close(), Hearing(ago(5), "down again"), WakeAt(NOW + PAUSE)]),
    (ASKING, Tick()): (ASKING, [WakeAt(ago(5) + SILENCE)]),
    #
    (WAITING, Start()): OPEN_NOW,
    (WAITING, Stop()): (STOPPED, [Close()]),
    (WAITING, Proven()): (WAITING, []),
    (WAITING, ANOTHER): (WAITING, []),
    (WAITING, Heard()): (WAITING, []),
    (WAITING, Doubt("x")): (WAITING, []),
    (WAITING, Lost(DOWN)): (WAITING, []),
    (WAITING, DEAF): (WAITING, []),
    (WAITING, SCAN): (WAITING, []),
    (WAITING, Tick()): (WAITING, [WakeAt(NOW + timedelta(seconds=3))]),
    #
    (NEEDS, Start()): OPEN_NOW,
    (NEEDS, Stop()): (STOPPED, [Close()]),
    (NEEDS, Proven()): (NEEDS, []),
    (NEEDS, ANOTHER): (NEEDS, []),
    (NEEDS, Heard()): (NEEDS, []),
    (NEEDS, Doubt("x")): (NEEDS, []),
    (NEEDS, Lost(DOWN)): (NEEDS, []),
    (NEEDS, DEAF): (NEEDS, []),
    (NEEDS, SCAN): (NEEDS, []),
    (NEEDS, Tick()): (NEEDS, []),
}
STATES = [STOPPED, OPENING, LIVE, SUSPECT, ASKING, WAITING, NEEDS]
INPUTS = [Start(), Stop(), Proven(), Heard(), Doubt("x"), DEAF, SCAN, ANOTHER, Lost(DOWN), Tick()]


def said(value: object) -> str:
    return type(value).__name__ + str(getattr(value, "kind", ""))


@pytest.mark.parametrize("got", INPUTS, ids=said)
@pytest.mark.parametrize("state", STATES, ids=said)
def test_every_pair_of_state_and_input_has_its_answer(state, got):
    assert step(state, got, NOW, RULES) == PAIRS[state, got]


TIMED = [
    ("silence ends a live session", Live(1, ago(90), ago(30)), Tick(), "waiting"),
    ("and not a moment earlier", Live(1, ago(90), ago(29.999)), Tick(), "live"),
    ("also a suspect one", Suspect(1, ago(5), ago(90), ago(30), "x"), Tick(), "waiting"),
    ("opening must end, too", Opening(3, ago(30)), Tick(), "waiting"),
    ("unless it still hears", Opening(3, ago(300), ago(29)), Tick(), "opening"),
    ("a pause ends", Waiting(3, ago(9), NOW, "x"), Tick(), "opening"),
]


@pytest.mark.parametrize(("state", "got", "name"), [row[1:] for row in TIMED], ids=[row[0] for row in TIMED])
def test_time_decides(state, got, name):
    assert name_of(step(state, got, NOW, RULES)[0]) == name


def test_silence_opens_a_gap_from_the_last_sign_of_life():
    _, commands = step(Live(1, ago(90), ago(30)), Tick(), NOW, RULES)
    assert Hearing(ago(30), "Nothing was heard or proven for too long.") in commands
    assert commands[0] == Close()


@pytest.mark.parametrize("kind", sorted(NOT_HEARING))
def test_what_is_heard_no_more_opens_one_gap_however_often_it_is_told_anew(kind):
    state, told = step(LIVE, Doubt("missed", kind), NOW, RULES)
    after, again = step(state, Doubt("being recovered", Truth.RECOVERING), NOW, RULES)
    last, once_more = step(after, Need("nothing helps", "Look yourself", kind), NOW, RULES)
    _, at_its_end = step(last, Lost(DOWN), NOW, RULES)

    assert told == [MISSED]
    assert [command for command in again + once_more + at_its_end if isinstance(command, Hearing)] == []


def test_a_session_that_is_open_again_but_unproven_is_not_live():
    state, _ = step(OPENING, Doubt("not proven yet", Truth.UNPROVEN), NOW, RULES)
    assert (name_of(state), kind_of(state)) == ("suspect", Truth.UNPROVEN)
    state, _ = step(state, Proven(), NOW, RULES)
    assert (name_of(state), kind_of(state)) == ("live", Truth.NONE)


def test_an_unproven_session_that_is_opened_once_more_has_another_gap():
    state, _ = step(LIVE, ANOTHER, NOW, RULES)
    assert step(state, ANOTHER, NOW, RULES) == (state, [Hearing(ago(8), "loaded anew")])


def test_what_an_unproven_session_heard_until_its_loss_ends_in_a_gap():
    state, _ = step(OPENING, Doubt("not proven yet", Truth.UNPROVEN), NOW, RULES)
    _, commands = step(state, Lost(DOWN), NOW + timedelta(seconds=9), RULES)
    assert Hearing(NOW, "down again") in commands


def test_an_opening_that_failed_lost_no_hearing():
    _, commands = step(Opening(1, ago(30)), Tick(), NOW, RULES)
    assert not any(isinstance(command, Hearing) for command in commands)


@pytest.mark.parametrize("state", [OPENING, LIVE, SUSPECT, ASKING], ids=said)
def test_refusal_waits_for_a_person_and_not_for_time(state):
    no = Refused("wrong password", ask="Correct the password")

    after, commands = step(state, Lost(no), NOW, RULES)

    assert after == NeedsPerson(2, NOW, "wrong password", "Correct the password")
    assert Close() in commands
    assert not any(isinstance(command, WakeAt | Open) for command in commands)
    assert step(after, Tick(), NOW + timedelta(days=9), RULES) == (after, [])


@pytest.mark.parametrize("error", [Unavailable("x"), Rejected("x"), Unreadable("x"), InDoubt("x")], ids=said)
def test_every_other_error_is_waited_out(error):
    assert name_of(step(OPENING, Lost(error), NOW, RULES)[0]) == "waiting"


def test_flapping_keeps_counting_and_a_settled_session_starts_over():
    flapping = Live(5, NOW - SETTLED + timedelta(milliseconds=1), NOW)
    settled = Live(5, NOW - SETTLED, NOW)

    assert step(flapping, Lost(DOWN), NOW, RULES)[0].attempt == 5  # pyright: ignore[reportAttributeAccessIssue]
    assert step(settled, Lost(DOWN), NOW, RULES)[0].attempt == 1  # pyright: ignore[reportAttributeAccessIssue]
    assert failures_before(flapping, NOW) == 5
    assert failures_before(settled, NOW) == 1


def test_doubt_neither_settles_nor_unsettles_a_session():
    doubted, _ = step(Live(5, ago(70), NOW), Doubt("x"), NOW, RULES)
    assert failures_before(doubted, NOW) == 1
    doubted, _ = step(Live(5, ago(50), NOW), Doubt("x"), NOW, RULES)
    assert failures_before(doubted, NOW) == 5
    back, _ = step(doubted, Proven(), NOW, RULES)
    assert back == Live(5, ago(50), NOW)


@pytest.mark.parametrize("state", [STOPPED, NEEDS], ids=said)
def test_nothing_has_failed_before_a_fresh_start(state):
    assert failures_before(state, NOW) == 1


def test_forty_falls_within_seconds_are_forty_ever_longer_pauses():
    pace, random = Pace(), Random(1)
    now, state, pauses = NOW, STOPPED, []
    state, _ = step(state, Start(), now, RULES)
    for _ in range(40):
        state, _ = step(state, Proven(), now, RULES)
        now += timedelta(seconds=2)
        pause = pace.after(failures_before(state, now), random)
        state, _ = step(state, Lost(DOWN), now, Rules(SILENCE, pause))
        pauses.append(pause.total_seconds())
        now += pause
        state, commands = step(state, Tick(), now, RULES)
        assert Open() in commands

    assert pauses[0] <= 1
    assert all(pause >= 21 for pause in pauses[6:])
    assert all(pause <= 30 for pause in pauses)


@given(attempt=st.integers(1, 10_000), seed=st.integers())
def test_a_pause_lies_within_its_jitter_and_never_ends_at_once(attempt, seed):
    pace = Pace(first_s=1, most_s=30, jitter=0.3)
    full = min(30, 2.0 ** min(attempt - 1, 16))
    assert full * 0.7 <= pace.after(attempt, Random(seed)).total_seconds() <= full
    assert pace.after(attempt, Random(seed)) >= timedelta(milliseconds=700)


def test_two_who_fall_together_do_not_come_back_together():
    pace = Pace()
    assert pace.after(3, Random(1)) != pace.after(3, Random(2))


ANY_INPUT = st.one_of(*[st.just(got) for got in [*INPUTS, Lost(Refused("no", ask="Do"))]])


@given(st.lists(st.tuples(ANY_INPUT, st.floats(0, 90)), max_size=40))
def test_no_story_leaves_a_connection_without_a_next_step(story):
    """Whatever happens: at most one session, and whoever is not stopped and needs nobody has an alarm."""
    now, state, open_sessions, alarm = NOW, STOPPED, 0, None
    for got, seconds in story:
        now += timedelta(seconds=seconds)
        if isinstance(got, Lost) and not open_sessions:
            continue  # only a session can tell that it is lost
        state, commands = step(state, got, now, RULES)
        for command in commands:
            open_sessions += isinstance(command, Open)
            open_sessions = 0 if isinstance(command, Close) else open_sessions
            alarm = command.when if isinstance(command, WakeAt) else alarm
        assert open_sessions <= 1
        assert (open_sessions == 1) == isinstance(state, Opening | Live | Suspect | Asking)
        if not isinstance(state, Stopped | NeedsPerson):
            assert alarm is not None
