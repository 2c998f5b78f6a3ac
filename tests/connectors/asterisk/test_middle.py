"""Calls of which the first sign is not their beginning: since when they ring."""

from __future__ import annotations

import pytest

from tests.connectors.asterisk.folding import T0, Fold, Stream, stamp
from tests.connectors.asterisk.test_calls import talking


@pytest.mark.parametrize("first", ["RINGING", "ANSWER"])
def test_a_call_first_heard_in_its_middle_rings_since_its_callees_leg_was_created(
    fold: Fold, stream: Stream, first: str
) -> None:
    caller = stream.channel("1121001", "1121002", "Ring", creationtime=stamp(T0 - 9_000))
    callee = stream.channel("1121002", creationtime=stamp(T0 - 4_000))
    fold.take(stream.dial(caller, callee, 500, first), stream.dial(caller, callee, 1_000, "ANSWER"))

    [facts] = fold.calls()
    opened, answered = facts[0].data, facts[1].data
    assert opened["opened_ms"] == T0 - 4_000, "not the caller's leg: he may have listened to a menu before"
    at = 500 if first == "ANSWER" else 1_000
    assert (answered["answered_ms"], answered["ring_ms"]) == (T0 + at, 4_000 + at)


@pytest.mark.parametrize("created", ["", "2099-01-01T00:00:00.000+0000", "nonsense"])
def test_without_a_creation_that_can_be_true_it_rings_since_the_first_sign(
    fold: Fold, stream: Stream, created: str
) -> None:
    caller = stream.channel("1121001", "1121002", "Ring")
    callee = stream.channel("1121002", creationtime=created)
    fold.take(stream.dial(caller, callee, 1_000, "ANSWER"))

    [facts] = fold.calls()
    assert (facts[0].data["opened_ms"], facts[1].data["ring_ms"]) == (T0 + 1_000, 0)


def test_a_second_conversation_does_not_begin_before_the_first_ended(fold: Fold, stream: Stream) -> None:
    caller, callee = talking(fold, stream, "1121001", "1121002", "1121002")
    other = stream.channel("1121003", creationtime=stamp(T0 + 1_500))
    fold.take(stream.hangup(callee, 2_000), stream.destroyed(callee, 2_001))
    fold.take(stream.dials(caller, 2_500), stream.dial(caller, other, 3_000, "ANSWER"))

    assert fold.calls()[1][0].data["opened_ms"] == T0 + 2_500
