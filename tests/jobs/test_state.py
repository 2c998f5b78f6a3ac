"""The pure tables: every pair of state and input, every kind of step in every state."""

from __future__ import annotations

import pytest

from atalaia.jobs.model import StepKind
from atalaia.jobs.state import CHOICES, ENDED, Found, Got, State, StepState, Todo, meet, step

MEANT = {
    State.QUEUED: {Got.CLAIM: "running", Got.CANCEL: "cancelled", Got.EXPIRE: "expired"},
    State.RUNNING: {
        Got.GIVE_BACK: "queued", Got.ASK: "waiting", Got.DOUBT: "in_doubt", Got.FINISH: "done",
        Got.FAIL: "failed", Got.CANCEL: "cancelled",
    },
    State.WAITING: {Got.ANSWER: "running", Got.FAIL: "failed", Got.CANCEL: "cancelled"},
    State.IN_DOUBT: {Got.DECIDE: "running"},
    State.DONE: {},
    State.FAILED: {Got.RETRY: "queued"},
    State.CANCELLED: {Got.RETRY: "queued"},
    State.EXPIRED: {Got.RETRY: "queued"},
}  # fmt: skip


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("got", list(Got))
def test_each_pair_of_state_and_input_leads_where_the_table_says(state: State, got: Got):
    wanted = MEANT[state].get(got)
    assert step(state, got) == (State(wanted) if wanted else None)


def test_a_job_that_ended_is_moved_by_nothing_but_a_persons_retry():
    assert {got for state in ENDED for got in Got if step(state, got)} == {Got.RETRY}


def test_nothing_but_a_decision_moves_a_job_in_doubt():
    assert [got for got in Got if step(State.IN_DOUBT, got)] == [Got.DECIDE]


ALWAYS = {
    StepState.DONE: Todo.ANSWER,
    StepState.FAILED: Todo.RAISE,
    StepState.IN_DOUBT: Todo.DOUBT,
    StepState.HAPPENED: Todo.ANSWER,
    StepState.AGAIN: Todo.RUN,
    StepState.CANCELLED: Todo.CALL_OFF,
}


@pytest.mark.parametrize("kind", list(StepKind))
@pytest.mark.parametrize("state", list(StepState))
@pytest.mark.parametrize("sent", [False, True])
def test_each_step_that_is_met_again_is_handled_as_its_kind_allows(
    kind: StepKind, state: StepState, sent: bool
):
    ambiguous = state is StepState.STARTED and sent and kind is StepKind.UNSAFE
    wanted = Todo.DOUBT if ambiguous else ALWAYS.get(state, Todo.RUN)
    assert meet(kind, Found(state, sent)) is wanted


@pytest.mark.parametrize("kind", list(StepKind))
def test_a_step_that_is_not_in_the_ledger_runs(kind: StepKind):
    assert meet(kind, None) is Todo.RUN


def test_no_choice_but_the_persons_word_lets_an_unsafe_step_run_a_second_time():
    again = {
        choice for choice, state in CHOICES.items() if meet(StepKind.UNSAFE, Found(state, True)) is Todo.RUN
    }
    assert again == {"again"}
