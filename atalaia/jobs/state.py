"""What a job and each of its steps may become next. Pure; the tests are tables of all pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from atalaia.jobs.model import StepKind


class State(StrEnum):
    """Where a job is. WAITING is for a person's choice, IN_DOUBT for a person's decision."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    IN_DOUBT = "in_doubt"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED, State.EXPIRED})
LIVING = frozenset({State.RUNNING, State.WAITING, State.IN_DOUBT})  # taken by a worker, not ended


class Got(StrEnum):
    """What can happen to a job."""

    CLAIM = "claim"  # a worker takes it from the queue
    GIVE_BACK = "give_back"  # an external worker's lease ran out
    ASK = "ask"
    ANSWER = "answer"  # a person's choice, or nobody's in time
    DOUBT = "doubt"
    DECIDE = "decide"  # a person's or a probe's decision
    FINISH = "finish"
    FAIL = "fail"
    CANCEL = "cancel"
    EXPIRE = "expire"
    RETRY = "retry"


_NEXT: Mapping[tuple[State, Got], State] = {
    (State.QUEUED, Got.CLAIM): State.RUNNING,
    (State.QUEUED, Got.CANCEL): State.CANCELLED,
    (State.QUEUED, Got.EXPIRE): State.EXPIRED,
    (State.RUNNING, Got.GIVE_BACK): State.QUEUED,
    (State.RUNNING, Got.ASK): State.WAITING,
    (State.RUNNING, Got.DOUBT): State.IN_DOUBT,
    (State.RUNNING, Got.FINISH): State.DONE,
    (State.RUNNING, Got.FAIL): State.FAILED,
    (State.RUNNING, Got.CANCEL): State.CANCELLED,
    (State.WAITING, Got.ANSWER): State.RUNNING,
    (State.WAITING, Got.FAIL): State.FAILED,
    (State.WAITING, Got.CANCEL): State.CANCELLED,
    (State.IN_DOUBT, Got.DECIDE): State.RUNNING,
    (State.FAILED, Got.RETRY): State.QUEUED,
    (State.CANCELLED, Got.RETRY): State.QUEUED,
    (State.EXPIRED, Got.RETRY): State.QUEUED,
}


def step(state: State, got: Got) -> State | None:
    """Answer a job's next state; None for pairs that mean nothing: they change nothing."""
    return _NEXT.get((state, got))


class StepState(StrEnum):
    """Where a step is. Only an unsafe step that is started and sent can come to be in doubt."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    HAPPENED = "happened"  # decided: the effect is upstream
    AGAIN = "again"  # decided: it is not, send it again
    CANCELLED = "cancelled"  # decided: call it off


class Todo(StrEnum):
    """What a worker does with a step it comes to."""

    RUN = "run"
    ANSWER = "answer"  # give the recorded result
    RAISE = "raise"  # raise the recorded error
    DOUBT = "doubt"  # it may have happened: probe, or ask a person
    CALL_OFF = "call_off"  # a person called it off


@dataclass(frozen=True, slots=True)
class Found:
    """One row of the ledger, as far as what follows depends on it."""

    state: StepState
    sent: bool


def meet(kind: StepKind, found: Found | None) -> Todo:
    """Answer what to do with a step whose newest row in the ledger is `found`.

    A step that was started but not sent has surely had no effect; READ and IDEMPOTENT steps are repeated.
    """
    if found is None or found.state is StepState.AGAIN:
        return Todo.RUN
    if found.state is StepState.STARTED:
        return Todo.DOUBT if found.sent and kind is StepKind.UNSAFE else Todo.RUN
    return _MET[found.state]


_MET: Mapping[StepState, Todo] = {
    StepState.DONE: Todo.ANSWER,
    StepState.FAILED: Todo.RAISE,
    StepState.IN_DOUBT: Todo.DOUBT,
    StepState.HAPPENED: Todo.ANSWER,
    StepState.CANCELLED: Todo.CALL_OFF,
}

# What a person may decide about a step in doubt, and what the step becomes.
CHOICES: Mapping[str, StepState] = {
    "happened": StepState.HAPPENED,
    "again": StepState.AGAIN,
    "cancel": StepState.CANCELLED,
}
