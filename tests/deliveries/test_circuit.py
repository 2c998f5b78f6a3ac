"""A lane's circuit: the table of all pairs."""

from __future__ import annotations

import pytest

from atalaia.deliveries.circuit import (
    FAILURES_MOST,
    PROBE_FIRST_MS,
    PROBE_MS,
    Answered,
    Changed,
    Circuit,
    Closed,
    Command,
    Input,
    Missed,
    Open,
    ProbeAt,
    ProbeDue,
    Probing,
    TellClosed,
    TellOpened,
    answer_of,
    step,
)
from atalaia.deliveries.targets.target import Unreachable
from atalaia.errors import Refused, Rejected, Unavailable

NOW = 1_000_000
FOUR = Closed(frozenset("abcd"))
OPEN = Open(5, NOW, 5, "down")
LATER = Open(5, NOW + 1, 5, "down")
PROBING = Probing(5, 5, "down")
NEXT, AFTER = NOW + PROBE_FIRST_MS, NOW + 2 * PROBE_FIRST_MS
SLOW = Missed("e", Unavailable("HTTP 500"))
AGAIN = Missed("a", Unavailable("HTTP 500"))
AWAY = Missed("e", Unreachable("no connection"))
NO = Missed("e", Refused("HTTP 401", ask="Correct it."))
ALL: list[Circuit] = [Closed(), FOUR, OPEN, LATER, PROBING]
INPUTS: list[Input] = [Answered(), SLOW, AGAIN, AWAY, NO, ProbeDue(), Changed()]

TABLE: dict[tuple[int, int], tuple[Circuit, list[Command]]] = {
    (0, 1): (Closed(frozenset("e")), []),
    (0, 2): (Closed(frozenset("a")), []),
    (0, 3): (Open(NOW, NEXT, 1, "no connection"), [TellOpened(1, "no connection", ""), ProbeAt(NEXT)]),
    (0, 4): (
        Open(NOW, NEXT, 1, "HTTP 401", "Correct it."),
        [TellOpened(1, "HTTP 401", "Correct it."), ProbeAt(NEXT)],
    ),
    (1, 0): (Closed(), []),
    (1, 1): (Open(NOW, NEXT, 5, "HTTP 500"), [TellOpened(5, "HTTP 500", ""), ProbeAt(NEXT)]),
    (1, 3): (Open(NOW, NEXT, 5, "no connection"), [TellOpened(5, "no connection", ""), ProbeAt(NEXT)]),
    (1, 4): (
        Open(NOW, NEXT, 5, "HTTP 401", "Correct it."),
        [TellOpened(5, "HTTP 401", "Correct it."), ProbeAt(NEXT)],
    ),
    (2, 0): (Closed(), [TellClosed(5)]),
    (2, 5): (PROBING, []),
    (2, 6): (OPEN, [ProbeAt(NOW)]),
    (3, 0): (Closed(), [TellClosed(5)]),
    (3, 6): (OPEN, [ProbeAt(NOW)]),
    (4, 0): (Closed(), [TellClosed(5)]),
    (4, 1): (Open(5, AFTER, 6, "HTTP 500", probes=1), [ProbeAt(AFTER)]),
    (4, 2): (Open(5, AFTER, 6, "HTTP 500", probes=1), [ProbeAt(AFTER)]),
    (4, 3): (Open(5, AFTER, 6, "no connection", probes=1), [ProbeAt(AFTER)]),
    (4, 4): (
        Open(5, AFTER, 6, "HTTP 401", "Correct it.", probes=1),
        [TellOpened(6, "HTTP 401", "Correct it."), ProbeAt(AFTER)],  # a person is asked for something new
    ),
}


@pytest.mark.parametrize(("row", "column"), [(r, c) for r in range(len(ALL)) for c in range(len(INPUTS))])
def test_every_pair_is_in_the_table_or_leaves_the_circuit_alone(row: int, column: int):
    assert step(ALL[row], INPUTS[column], NOW) == TABLE.get((row, column), (ALL[row], []))


def test_one_key_that_fails_again_and_again_does_not_open_it():
    circuit: Circuit = Closed()
    for _ in range(3 * FAILURES_MOST):
        circuit, commands = step(circuit, AGAIN, NOW)
        assert commands == []
    assert circuit == Closed(frozenset("a"))


def test_a_no_in_so_many_words_proves_that_the_target_is_there():
    assert answer_of("a", Rejected("HTTP 422")) == Answered()
    assert answer_of("a", None) == Answered()


def test_probes_come_soon_at_first_and_then_twice_a_minute():
    circuit, _ = step(Closed(), AWAY, 0)
    pauses: list[int] = []
    now = 0
    for _ in range(7):
        assert isinstance(circuit, Open)
        pauses.append(circuit.probe_ms - now)
        now = circuit.probe_ms
        circuit, _ = step(circuit, ProbeDue(), now)
        circuit, _ = step(circuit, AWAY, now)
    assert pauses == [2000, 4000, 8000, 16_000, PROBE_MS, PROBE_MS, PROBE_MS]
