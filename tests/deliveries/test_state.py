"""One delivery's state machine: the table of all pairs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.deliveries.state import (
    Cancelled,
    Dead,
    Delivered,
    Due,
    Failed,
    Input,
    OwnerLost,
    Pace,
    Pending,
    Redo,
    Sending,
    Skip,
    Start,
    State,
    Succeeded,
    TargetDown,
    Waiting,
    outcome_word,
    step,
    word,
)
from atalaia.deliveries.targets.target import Busy, Forbidden, Unreachable
from atalaia.errors import InDoubt, Refused, Rejected, Unavailable

NOW = 1_000_000
PACE = Pace(give_up_ms=60_000, first_ms=1000, most_ms=8000)

PENDING = Pending(2, 900_000)
SENDING = Sending(3, 7, None)
FAILING = Sending(3, 7, 950_000)
WAITING = Waiting(3, NOW, 950_000, "HTTP 500")
LATER = Waiting(3, NOW + 1, 950_000, "HTTP 500")
DELIVERED = Delivered(1, 5)
DEAD = Dead(4, 5, "HTTP 422")
CANCELLED = Cancelled(1, 5)
ALL: list[State] = [PENDING, SENDING, FAILING, WAITING, LATER, DELIVERED, DEAD, CANCELLED]

UNAVAILABLE = Failed(Unavailable("HTTP 500"), 0.5)
UNREACHABLE = Failed(Unreachable("no connection"), 0.5)
REFUSED = Failed(Refused("HTTP 401", ask="Correct it."), 0.5)
REJECTED = Failed(Rejected("HTTP 422"), 0.5)
DOUBT = Failed(InDoubt("no answer"), 0.5)
BUSY = Failed(Busy("HTTP 429", retry_after_s=30), 0.5)
INPUTS: list[Input] = [
    Start(7), Succeeded(), UNAVAILABLE, UNREACHABLE, REFUSED, REJECTED, DOUBT, BUSY, Due(), OwnerLost(),
    TargetDown(), Redo(), Skip(),
]  # fmt: skip

# With chance 0.5 the third failure waits half of four seconds.
FAILED = Waiting(3, NOW + 2000, NOW, "HTTP 500")
TABLE: list[tuple[State, Input, State]] = [
    (PENDING, Start(7), Sending(3, 7, 900_000)),
    (PENDING, Skip(), Cancelled(2, NOW)),
    (SENDING, Succeeded(), Delivered(3, NOW)),
    (SENDING, UNAVAILABLE, FAILED),
    (SENDING, DOUBT, Waiting(3, NOW + 2000, NOW, "no answer")),
    (SENDING, REJECTED, Waiting(3, NOW + 2000, NOW, "HTTP 422")),
    (SENDING, BUSY, Waiting(3, NOW + 30_000, NOW, "HTTP 429")),
    (SENDING, UNREACHABLE, Pending(3, None)),
    (SENDING, REFUSED, Pending(3, None)),
    (SENDING, OwnerLost(), Pending(3, None)),
    (FAILING, Succeeded(), Delivered(3, NOW)),
    (FAILING, UNAVAILABLE, Waiting(3, NOW + 2000, 950_000, "HTTP 500")),
    (FAILING, DOUBT, Waiting(3, NOW + 2000, 950_000, "no answer")),
    (FAILING, REJECTED, Waiting(3, NOW + 2000, 950_000, "HTTP 422")),
    (FAILING, BUSY, Waiting(3, 1_010_000, 950_000, "HTTP 429")),  # not beyond the time to give up
    (FAILING, UNREACHABLE, Pending(3, 950_000)),
    (FAILING, REFUSED, Pending(3, 950_000)),
    (FAILING, OwnerLost(), Pending(3, 950_000)),
    (WAITING, Due(), Pending(3, 950_000)),
    (WAITING, TargetDown(), Pending(3, None)),
    (WAITING, Skip(), Cancelled(3, NOW)),
    (LATER, TargetDown(), Pending(3, None)),
    (LATER, Skip(), Cancelled(3, NOW)),
    (DEAD, Redo(), Pending(4, None)),
    (DEAD, Skip(), Cancelled(4, NOW)),
]


@pytest.mark.parametrize(("state", "got"), [(state, got) for state in ALL for got in INPUTS])
def test_every_pair_is_in_the_table_or_leaves_the_state_alone(state: State, got: Input):
    wanted = next((after for before, said, after in TABLE if (before, said) == (state, got)), state)

    assert step(state, got, NOW, PACE) == wanted


def test_an_event_that_fails_until_its_time_is_dead():
    old = Sending(9, 1, NOW - PACE.give_up_ms)

    assert step(old, REJECTED, NOW, PACE) == Dead(9, NOW, "HTTP 422")
    assert step(old, UNREACHABLE, NOW, PACE) == Pending(9, NOW - PACE.give_up_ms)


@given(attempts=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_pauses_double_up_to_a_limit_and_are_never_nothing(attempts: int, chance: float):
    pause = PACE.pause_ms(attempts, chance)

    limit = min(PACE.most_ms, PACE.first_ms * 2 ** min(attempts - 1, 30))
    assert limit // 10 <= pause <= limit


def test_every_state_and_every_failure_has_its_word():
    assert [word(state) for state in ALL] == [
        "pending", "sending", "sending", "waiting", "waiting", "delivered", "dead", "cancelled",
    ]  # fmt: skip
    errors = [Unavailable("x"), Unreachable("x"), InDoubt("x"), Rejected("x"), Forbidden("x", ask="y")]
    words = ["unavailable", "unavailable", "in_doubt", "rejected", "refused"]
    assert [outcome_word(error) for error in errors] == words
