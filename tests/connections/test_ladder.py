"""The ladder, pair by pair, and its limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.connections.ladder import (
    EXHAUSTED,
    TOO_LATE,
    Act,
    AskPerson,
    Calm,
    Claim,
    Clear,
    Done,
    Failed,
    Granted,
    Healthy,
    Held,
    Helped,
    Ladder,
    Look,
    Looking,
    Needed,
    NotKnown,
    Person,
    Proving,
    Resting,
    Rung,
    ServerSeen,
    Settle,
    Sick,
    Suspected,
    Tick,
    Tried,
    Trying,
    Unfit,
    WakeAt,
    Wanting,
    allowed,
    step,
)
from atalaia.errors import ConfigError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVERY = timedelta(seconds=30)
TOUCH = Rung("touch", "Ask for the code", "The session is touched.", "A message comes.")
OPENS = Rung("restart", "Open it anew", "It is closed and opened.", "It hears.", opens=True)
WHOLE = Rung("server", "Restart the server", "All are opened anew.", "They hear.", server=True)
LADDER = Ladder((TOUCH, OPENS), look_every=EVERY)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def soon(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


# One of each, at the first rung of two.
CALM = Calm()
LOOKING = Looking(ago(9), "deaf")
WANTING = Wanting(ago(9), "deaf", 0, 0)
RESTING = Resting(ago(9), "deaf", 0, 0, soon(60))
TRYING = Trying(ago(9), "deaf", 0, 0)
PROVING = Proving(ago(9), "deaf", 0, 0, soon(60))
PERSON = Person(ago(9), "logged_out", "Scan the code")
STATES = [CALM, LOOKING, WANTING, RESTING, TRYING, PROVING, PERSON]

SUSPECTED, SICK, HELD = Suspected("silent"), Sick("hung"), Held(soon(60))
FAILED, NEEDED = Failed("not reachable"), Needed("logged_out", "Pair it")
INPUTS = [
    SUSPECTED, Healthy(), SICK, NotKnown(), Granted(), HELD, Unfit(), Done(), FAILED, NEEDED, Helped(), Tick()
]  # fmt: skip

AGAIN = WakeAt(NOW + EVERY)
LOOK = [Look(), AGAIN]
CALMED = (CALM, [Clear()])
ASKED = (Person(NOW, "logged_out", "Pair it"), [AskPerson("logged_out", "Pair it"), AGAIN])
GAVE_UP = (ASKED[0], [Settle(TOUCH, "failed", "Pair it"), *ASKED[1]])
NEXT = Looking(NOW, "deaf", 0, 1)
# What is not here leaves the state alone.
PAIRS = {
    (CALM, SUSPECTED): (Looking(NOW, "silent"), LOOK),
    (CALM, SICK): (Looking(NOW, "hung"), LOOK),
    (CALM, NEEDED): ASKED,
    (LOOKING, Healthy()): CALMED,
    (LOOKING, SICK): (Wanting(NOW, "hung", 0, 0), [Claim(TOUCH, "hung")]),
    (LOOKING, Tick()): (LOOKING, LOOK),
    (LOOKING, NEEDED): ASKED,
    (WANTING, Granted()): (Trying(NOW, "deaf", 0, 0), [Act(TOUCH, "deaf")]),
    (WANTING, HELD): (Resting(NOW, "deaf", 0, 0, soon(60)), [WakeAt(soon(60))]),
    (WANTING, Unfit()): (Wanting(NOW, "deaf", 1, 0), [Claim(OPENS, "deaf")]),
    (WANTING, Healthy()): CALMED,
    (WANTING, NEEDED): ASKED,
    (RESTING, Tick()): (RESTING, [WakeAt(soon(60))]),
    (RESTING, Healthy()): CALMED,
    (RESTING, NEEDED): ASKED,
    (TRYING, Done()): (Proving(NOW, "deaf", 0, 0, NOW + TOUCH.within), LOOK),
    (TRYING, FAILED): (NEXT, [Settle(TOUCH, "failed", "not reachable"), *LOOK]),
    (TRYING, NEEDED): GAVE_UP,
    (PROVING, Healthy()): (CALM, [Settle(TOUCH, "proved"), Clear()]),
    (PROVING, Tick()): (PROVING, LOOK),
    (PROVING, NEEDED): GAVE_UP,
    (PERSON, Healthy()): CALMED,
    (PERSON, Tick()): (PERSON, LOOK),
    (PERSON, Helped()): (Looking(NOW, "logged_out"), LOOK),
    (PERSON, NEEDED): (Person(ago(9), "logged_out", "Pair it"), [AskPerson("logged_out", "Pair it")]),
}


def said(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("got", INPUTS, ids=said)
@pytest.mark.parametrize("state", STATES, ids=said)
def test_every_pair_of_state_and_input_has_its_answer(state, got):
    assert step(state, got, NOW, LADDER) == PAIRS.get((state, got), (state, []))


def test_a_rung_that_destroys_cannot_be_declared():
    with pytest.raises(ConfigError, match="destroy"):
        Rung("logout", "Log out", "The pairing is gone.", "It asks for a code.", destructive=True)


def test_two_rungs_cannot_have_one_name():
    with pytest.raises(ConfigError, match="same name"):
        Ladder((TOUCH, TOUCH))


def test_after_a_pause_somebody_looks_again_before_anything_is_done():
    state, orders = step(RESTING, Tick(), RESTING.until, LADDER)
    assert isinstance(state, Looking)
    assert Look() in orders
    assert not any(isinstance(order, Claim | Act) for order in orders)


def test_a_proof_that_does_not_come_in_time_leads_to_the_next_rung():
    state, orders = step(PROVING, Tick(), PROVING.until, LADDER)
    assert orders[0] == Settle(TOUCH, "failed", TOO_LATE)
    state, orders = step(state, Sick("deaf"), NOW, LADDER)
    assert orders == [Claim(OPENS, "deaf")]


def test_a_rung_is_tried_as_often_as_it_says():
    twice = Ladder((Rung("touch", "", "", "", tries=2), OPENS))
    _, orders = step(Looking(NOW, "deaf", 0, 1), Sick("deaf"), NOW, twice)
    assert orders == [Claim(twice.rungs[0], "deaf")]
    _, orders = step(Looking(NOW, "deaf", 0, 2), Sick("deaf"), NOW, twice)
    assert orders == [Claim(OPENS, "deaf")]


def test_rungs_for_other_trouble_are_left_out():
    ladder = Ladder((Rung("touch", "", "", "", cures=frozenset({"deaf"})), OPENS))
    _, orders = step(LOOKING, Sick("hung"), NOW, ladder)
    assert orders == [Claim(OPENS, "hung")]


def test_behind_the_last_rung_a_person_is_asked():
    state, orders = step(Looking(NOW, "deaf", 1, 1), Sick("deaf"), NOW, LADDER)
    assert state == Person(NOW, "deaf", EXHAUSTED)
    assert AskPerson("deaf", EXHAUSTED) in orders


def test_a_ladder_may_say_what_a_person_does_about_each_trouble():
    ladder = Ladder(
        (Rung("touch", "", "", "", cures=frozenset({"deaf"})),), asks={"hung": "End its browser."}
    )
    for trouble, ask in (("hung", "End its browser."), ("closed", EXHAUSTED)):
        state, orders = step(Looking(NOW, trouble), Sick(trouble), NOW, ladder)
        assert state == Person(NOW, trouble, ask)
        assert AskPerson(trouble, ask) in orders


ANY = st.sampled_from(INPUTS)


@given(st.lists(st.tuples(ANY, st.floats(0, 200)), max_size=60))
def test_nothing_is_done_that_no_look_has_proven_and_nothing_while_a_person_is_needed(story):
    state, now, proven = CALM, NOW, False
    for got, seconds in story:
        now += timedelta(seconds=seconds)
        before = state
        state, orders = step(state, got, now, LADDER)
        if isinstance(before, Looking) and isinstance(got, Sick):
            proven = True
        if any(isinstance(order, Act | Claim) for order in orders):
            assert proven
            assert not isinstance(before, Person)
        if any(isinstance(order, Look | Clear | AskPerson) for order in orders):
            proven = False


@given(
    st.lists(st.tuples(st.sampled_from([SUSPECTED, NotKnown(), Healthy(), Tick(), Helped()]), st.just(60)))
)
def test_silence_alone_never_acts(story):
    state, now = CALM, NOW
    for got, seconds in story:
        now += timedelta(seconds=seconds)
        state, orders = step(state, got, now, LADDER)
        assert not any(isinstance(order, Act | Claim | AskPerson) for order in orders)


# Limits.


def tries(*minutes_ago: float, outcome: str = "failed") -> list[Tried]:
    return [Tried("touch", ago(60 * m), ago(60 * m - 1), outcome) for m in minutes_ago]


def after_minutes(*minutes_ago: float) -> float:
    answer = allowed(TOUCH, tries(*minutes_ago), ServerSeen(), NOW, LADDER)
    return round((answer.until - NOW).total_seconds() / 60) if isinstance(answer, Held) else 0


def test_pauses_grow_from_one_minute_to_an_hour():
    assert after_minutes() == 0
    assert after_minutes(0.1) == 1
    assert after_minutes(3, 0.1) == 2
    assert after_minutes(9, 5, 0.1) == 5
    assert after_minutes(30, 20, 10, 0.1) == 15
    assert after_minutes(50, 40, 30, 20, 0.1) == 60
    assert after_minutes(170, 165, 160, 150, 130, 65) == 0


def test_an_hour_of_pause_does_not_make_the_next_one_short():
    row = tries(121 + 50, 121 + 40, 121 + 30, 121 + 20, 121, 60.5, 0.1)
    answer = allowed(TOUCH, row, ServerSeen(), NOW, LADDER)
    assert isinstance(answer, Held)
    assert answer.until > soon(58 * 60)


def test_a_try_that_helped_for_a_moment_counts_as_well():
    row = tries(2, 0.1, outcome="proved")
    assert allowed(TOUCH, row, ServerSeen(), NOW, LADDER) == Held(ago(60 * 0.1 - 1) + timedelta(minutes=2))


def test_never_more_than_six_tries_in_an_hour():
    fast = Ladder((TOUCH,), pauses=(timedelta(0),))
    row = tries(59, 50, 40, 30, 20, 10)
    assert allowed(TOUCH, row, ServerSeen(), NOW, fast) == Held(soon(60))
    assert allowed(TOUCH, row[1:], ServerSeen(), NOW, fast) == Granted()


def test_one_recovery_at_a_time():
    under_way = [Tried("touch", ago(5))]
    assert isinstance(allowed(TOUCH, under_way, ServerSeen(), NOW, LADDER), Held)


def test_a_server_opens_twenty_sessions_a_beat_and_no_more():
    full = ServerSeen(opened=[ago(5)] * 20, bad=1, all=500)
    assert allowed(OPENS, [], full, NOW, LADDER) == Held(soon(25))
    assert allowed(TOUCH, [], full, NOW, LADDER) == Granted()
    assert allowed(OPENS, [], ServerSeen(opened=[ago(31)] * 20), NOW, LADDER) == Granted()


def test_a_whole_server_is_touched_only_when_half_of_its_sessions_are_bad():
    assert allowed(WHOLE, [], ServerSeen(bad=4, all=10), NOW, LADDER) == Unfit()
    assert allowed(WHOLE, [], ServerSeen(bad=5, all=10), NOW, LADDER) == Granted()


def test_while_a_whole_server_is_touched_nothing_else_is_tried_there():
    assert isinstance(allowed(TOUCH, [], ServerSeen(busy=True), NOW, LADDER), Held)
