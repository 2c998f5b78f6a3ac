"""Another client takes our application name: one alarm for each time."""

from __future__ import annotations

from tests.connectors.asterisk.folding import Fold, Stream


def test_an_application_that_was_replaced_raises_an_alarm_that_names_it(fold: Fold, stream: Stream) -> None:
    fold.take(stream.event("ApplicationReplaced", 5))

    [alert] = [fact for fact in fold.facts if fact.type == "alert.raised"]
    assert "atalaia" in alert.data["title"]
    fold.take(
        stream.control("disconnected", 6), stream.control("connected", 7), *stream.reading(8, channels=[])
    )
    assert [fact.type for fact in fold.facts if fact.key == alert.key] == ["alert.raised", "alert.resolved"]


def test_one_replacement_is_one_alarm_and_the_next_session_may_be_replaced_anew(
    fold: Fold, stream: Stream
) -> None:
    fold.take(stream.event("ApplicationReplaced", 5), stream.event("ApplicationReplaced", 6))
    fold.restart()
    fold.take(stream.event("ApplicationReplaced", 7))
    assert len(fold.of_type("alert.raised")) == 1

    fold.take(stream.control("disconnected", 8), stream.control("connected", 9))
    fold.take(stream.event("ApplicationReplaced", 10), stream.event("ApplicationReplaced", 11))
    assert len(fold.of_type("alert.raised")) == 1, "held back until the reading is complete"
    fold.take(stream.control("disconnected", 12))
    assert len(fold.of_type("alert.raised")) == 2
