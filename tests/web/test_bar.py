"""What a phone's bar holds for whom."""

from __future__ import annotations

import pytest

from atalaia.web.bar import bar_of
from atalaia.web.render import nav

EVERY = [item["place"].key for item in nav(["calls", "vehicles", "jobs"], "/")]


@pytest.mark.parametrize(
    ("worlds", "role", "bar"),
    [
        (["calls"], "admin", ("now", "calls", "connections", "alerts")),
        (["calls", "vehicles", "jobs"], "admin", ("now", "calls", "vehicles", "jobs")),
        (["vehicles", "jobs"], "admin", ("now", "vehicles", "connections", "jobs")),
        (["calls", "vehicles", "jobs"], "agent", ("now", "calls", "vehicles", "installations")),
        (["vehicles", "jobs"], "agent", ("now", "vehicles", "installations", "jobs")),
        (["vehicles", "jobs"], "viewer", ("now", "vehicles", "installations", "alerts")),
    ],
)
def test_the_bar_follows_the_worlds_that_are_there_and_who_looks(
    worlds: list[str], role: str, bar: tuple[str, ...]
):
    present = [item["place"].key for item in nav(worlds, "/")]
    assert bar_of(present, role) == bar


def test_who_comes_for_one_thing_finds_it_first_and_needs_no_more():
    assert bar_of(["vehicles", "installations"], "technician") == ("vehicles", "installations")
    assert bar_of(EVERY, "technician") == ("now", "vehicles", "installations", "jobs")
