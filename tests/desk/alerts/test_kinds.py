"""Which alerts have one cause, and which hurry."""

from __future__ import annotations

from typing import Any

import pytest

from atalaia.desk.alerts.damping import Damping
from atalaia.desk.alerts.kinds import about
from atalaia.events.grouping import same


@pytest.mark.parametrize(
    ("cause", "data", "expected"),
    [
        ("target:s1:v1", {"detail": {"evidence": {"at": "a:1"}}}, ("target", "urgent", "target|a:1")),
        ("target:s1:v1", {}, ("target", "urgent", "target:s1:v1")),
        ("job:j1", {"detail": {"evidence": {"kind": "p.swap"}}}, ("job", "urgent", "job|c1|p.swap")),
        ("asterisk.muted:c1", {}, ("asterisk", "warning", "asterisk.muted:c1")),
        ("disk", {"severity": "urgent", "grouping": "g"}, ("disk", "urgent", "g")),
        ("person:c1", {"severity": "warning"}, ("person", "warning", "person:c1")),
        ("x", {"detail": "no mapping"}, ("x", "warning", "x")),
    ],
)  # fmt: skip
def test_kind_severity_and_grouping(cause: str, data: dict[str, Any], expected: tuple[str, str, str]):
    found = about(cause, data, "c1")
    assert (found.kind, found.severity, found.grouping) == expected


def test_how_long_something_took_does_not_tell_two_causes_apart():
    assert same("open", "no answer within 5 s") == same("open", "no answer within 12 s")
    assert same("open", "10.0.0.5:8088") != same("open", "10.0.0.6:8088")


def test_three_times_within_a_quarter_of_an_hour_is_flapping_and_takes_longer_to_be_over():
    usual = Damping()
    assert usual.flaps([0, 100, usual.flap_ms]) and not usual.flaps([0, 100, usual.flap_ms + 1])
    assert not usual.flaps([0, 1]) and Damping(flap_turns=2).flaps([0, 1])
    assert usual.over_at(1_000, [0]) == 1_000 + usual.calm_ms
    assert usual.over_at(1_000, [0, 1, 2]) == 1_000 + usual.flap_ms
