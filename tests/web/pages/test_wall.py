"""The truth on the wall: states that somebody keeps fresh, days with their deafness, proofs that age."""

from __future__ import annotations

from dataclasses import replace

import pytest

from atalaia.connections.queries import ConnectionSeen, PlaneSeen
from atalaia.connections.session import Plane
from atalaia.connectors.asterisk import CONNECTOR as ASTERISK
from atalaia.connectors.intake import CONNECTOR as INTAKE
from atalaia.events.gaps import Gap
from atalaia.web.pages.wall import Span, day_of, heard_share, planes_of, spans_of, state_of

NOW = 1_800_000_000_000
HOUR = 3_600_000
SEEN = ConnectionSeen("c1", "asterisk", "Portaria", "on", NOW - 90 * HOUR, NOW, "live", heard_ms=NOW - 1000)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({}, "live"),
        ({"heard_ms": NOW - 10 * 60_000}, "unknown"),
        ({"heard_ms": None}, "unknown"),
        ({"desired": "off"}, "stopped"),
        ({"state": "waiting"}, "waiting"),
        ({"state": "waiting", "planes": [PlaneSeen("rest", "failing", "hung", {}, None, NOW)]}, "hung"),
        ({"state": "suspect", "planes": [PlaneSeen("canary", "failing", "mute", {}, None, NOW)]}, "mute"),
        (
            {"state": "needs_person", "planes": [PlaneSeen("rest", "failing", "denied", {}, None, NOW)]},
            "needs_person",
        ),
    ],
)
def test_a_state_is_what_can_be_proven(change: dict[str, object], shown: str):
    assert state_of(replace(SEEN, **change), ASTERISK, NOW) == shown


def test_who_is_called_by_others_has_no_session_to_lose():
    assert (
        state_of(replace(SEEN, connector="intake", state="unknown", heard_ms=None), INTAKE, NOW) == "active"
    )


def test_a_proof_that_is_too_old_proves_nothing():
    declared = (Plane("rest", "REST", fresh_s=45), Plane("canary", "Canary", fresh_s=75))
    found = [
        PlaneSeen("rest", "proven", "", {}, NOW - 46_000, NOW - 46_000),
        PlaneSeen("canary", "proven", "", {}, NOW - 46_000, NOW - 46_000),
    ]
    lines = planes_of(replace(SEEN, planes=found), declared, NOW)
    assert [(line.name, line.state) for line in lines] == [("rest", "unknown"), ("canary", "proven")]


def test_what_a_connector_no_longer_declares_is_still_shown():
    found = [PlaneSeen("old", "failing", "", {}, None, NOW)]
    lines = planes_of(replace(SEEN, planes=found), (Plane("rest", "REST"),), NOW)
    assert [(line.name, line.state) for line in lines] == [("rest", "unknown"), ("old", "failing")]


def test_a_day_shows_what_was_heard_and_what_is_not_known():
    moves = [(NOW - 12 * HOUR, "live"), (NOW - 6 * HOUR, "lost"), (NOW - 5 * HOUR, "live")]
    spans = spans_of(moves, [], NOW)
    states = [bar.state for bar in day_of(spans, NOW, 24)]
    assert states == ["unknown"] * 12 + ["live"] * 6 + ["lost"] + ["live"] * 5


def test_opening_anew_for_a_blink_is_no_deafness():
    moves = [(NOW - 30 * HOUR, "live"), (NOW - HOUR, "opening"), (NOW - HOUR + 300, "live")]
    assert {bar.state for bar in day_of(spans_of(moves, [], NOW), NOW, 24)} == {"live"}


def test_a_gap_counts_as_not_heard_though_the_session_was_open():
    gap = Gap("g", "c1", NOW - 2 * HOUR, NOW - HOUR, NOW, "mute", [], {}, {}, "unknown", {})
    spans = spans_of([(NOW - 24 * HOUR, "live")], [gap], NOW)
    assert heard_share(spans, NOW) == pytest.approx(23 / 24)
    assert [bar.state for bar in day_of(spans, NOW, 24)].count("lost") == 1


def test_of_what_nobody_looked_at_nothing_is_claimed():
    assert heard_share([], NOW) is None
    assert {bar.state for bar in day_of([], NOW)} == {"unknown"}
    assert heard_share([Span(NOW - HOUR, NOW, False)], NOW) == 0
