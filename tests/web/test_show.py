"""Numbers, times and small drawings, as the person's language and zone write them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from atalaia.web import show
from atalaia.web.i18n import View, drawing
from atalaia.web.ranges import DAY, HOUR, TimeRange
from atalaia.web.render import draw_macro, url_with
from atalaia.web.states import SIGNS, sign

NOW = 1_763_671_736_130  # 2026-style log time: 2025-11-20T20:48:56.130Z
ZONE = ZoneInfo("America/Sao_Paulo")
PT, EN = View("pt_BR", ZONE, NOW), View("en", ZONE, NOW)


@pytest.mark.parametrize(
    ("draw", "portuguese", "english"),
    [
        (lambda: show.number(12345.6), "12.345,6", "12,345.6"),
        (lambda: show.number(4, 2), "4,00", "4.00"),
        (lambda: show.percent(0.9312, 1), "93,1%", "93.1%"),
        (lambda: show.size(999), "999\u00a0B", "999\u00a0B"),
        (lambda: show.size(1_480_000), "1,5\u00a0MB", "1.5\u00a0MB"),
        (lambda: show.duration(130), "130\u00a0ms", "130\u00a0ms"),
        (lambda: show.duration(4210), "4,2\u00a0s", "4.2\u00a0s"),
        (lambda: show.duration(65_000), "1\u00a0min 05\u00a0s", "1\u00a0min 05\u00a0s"),
        (lambda: show.duration(2 * 86_400_000 + 4 * 3_600_000), "2\u00a0d 4\u00a0h", "2\u00a0d 4\u00a0h"),
        (lambda: show.stopwatch(65_999), "1:05", "1:05"),
        (lambda: show.stopwatch(3_725_000), "1:02:05", "1:02:05"),
        (lambda: show.age_text(NOW - 12_400), "há 12\u00a0s", "12\u00a0s ago"),
        (lambda: show.age_text(NOW - 300), "agora", "now"),
        (lambda: show.age_text(NOW - 3 * HOUR - 5), "há 3\u00a0h", "3\u00a0h ago"),
        (lambda: show.age_text(NOW + 12_000), "em 12\u00a0s", "in 12\u00a0s"),
        (lambda: show.exact(NOW), "20/11/2025 17:48:56.130 -03:00", "2025-11-20 17:48:56.130 -03:00"),
        (lambda: show.moment_text(NOW), "17:48:56", "17:48:56"),
        (lambda: show.moment_text(NOW - 2 * DAY), "18/11 17:48", "Nov 18 17:48"),
        (lambda: show.moment_text(NOW, "ms"), "17:48:56.130", "17:48:56.130"),
    ],
)
def test_figures_are_written_as_the_language_does(draw, portuguese, english):
    with drawing(PT):
        assert draw() == portuguese
    with drawing(EN):
        assert draw() == english


@pytest.mark.parametrize(
    "draw", [show.number, show.percent, show.size, show.duration, show.age, show.moment, show.timer]
)
def test_what_is_not_known_is_a_dash(draw):
    assert "—" in draw(None)


def test_an_age_lives_and_keeps_the_exact_time():
    with drawing(PT):
        drawn = show.age(NOW - 12_400)
    assert f'data-ago="{NOW - 12_400}"' in drawn
    assert 'datetime="2025-11-20T20:48:43.730Z"' in drawn
    assert 'title="20/11/2025 17:48:43.730 -03:00"' in drawn


def test_a_state_is_never_a_colour_alone():
    with drawing(PT):
        for name, one in SIGNS.items():
            drawn = draw_macro(PT, "state", name)
            assert f"tone-{one.tone}" in drawn
            assert f"#{one.icon}" in drawn
            assert one.said in drawn


def test_a_state_we_do_not_know_is_shown_by_its_own_name():
    assert sign("half-open").word == "half-open"
    assert "<b>" not in draw_macro(PT, "state", "<b>odd</b>")


def test_an_icon_that_is_not_there_fails_at_once():
    with pytest.raises(KeyError, match=r"tools/icons\.txt"):
        show.icon("no-such-icon")


def test_a_line_breaks_where_nothing_was_measured():
    assert show.sparkline([1, 2, None, 3, 4], "x").count("M") == 2
    assert show.sparkline([], "x").count("M") == 0


def test_json_is_drawn_as_text_whatever_it_holds():
    drawn = show.json_tree({"<script>": ["<img onerror=x>", None, True, 1.5, {}]})
    assert "<script>" not in drawn
    assert "<img" not in drawn
    assert '<span class="j-null">null</span>' in drawn
    assert '<span class="j-bool">true</span>' in drawn


def test_components_escape_what_upstreams_say():
    evil = "<img src=x onerror=alert(1)>"
    for drawn in (
        draw_macro(PT, "tile", evil, "/x", "live", proof=evil, note=evil, rate=[1], rate_label=evil),
        draw_macro(
            PT, "attention", [{"title": evil, "text": evil, "since": NOW, "href": "/", "action": evil}]
        ),
        draw_macro(PT, "problem", evil, evil, evil, evil, evil),
        draw_macro(PT, "field", "name", evil, evil, error=evil, hint=evil),
        draw_macro(PT, "confirm", "id", evil, evil, "/x", [evil], undo=evil, hidden={"a": evil}),
        draw_macro(PT, "timeline", [{"at": NOW, "title": evil, "text": evil, "body": {evil: evil}}]),
        draw_macro(PT, "plot", "p", evil, {"x": [NOW], "series": [{"label": evil, "values": [1]}]}),
        draw_macro(PT, "secret", evil, evil),
    ):
        assert "<img" not in drawn


def test_addresses_keep_the_rest_of_the_query():
    with drawing(
        View(path="/calls", query=(("state", "closed"), ("cursor", "abc"), ("from", "x"), ("lang", "en")))
    ):
        assert url_with(cursor=None, from_=None, range="1h") == "/calls?state=closed&range=1h"
        assert url_with(state=None, cursor=None, from_=None) == "/calls"


@pytest.mark.parametrize(
    ("query", "key", "start", "end"),
    [
        ({}, "24h", NOW - DAY, NOW),
        ({"range": "1h"}, "1h", NOW - HOUR, NOW),
        (
            {"from": "2025-11-20T10:00", "to": "2025-11-20T12:00"},
            "custom",
            1_763_643_600_000,
            1_763_650_800_000,
        ),
        ({"range": "custom", "from": "2025-11-20T10:00Z"}, "custom", 1_763_632_800_000, NOW),
        ({"range": "custom", "to": "2025-11-20T12:00"}, "custom", 1_763_650_800_000 - DAY, 1_763_650_800_000),
    ],
)
def test_a_time_range_is_read_in_the_zone_of_the_person(query, key, start, end):
    got = TimeRange.read(query, NOW, ZONE)
    assert (got.key, got.from_ms, got.to_ms, got.error) == (key, start, end, "")


@pytest.mark.parametrize(
    "query",
    [
        {"range": "custom", "from": "yesterday"},
        {"range": "100y"},
        {"from": "2025-11-20T12:00", "to": "2025-11-20T10:00"},
        {"from": "0001-01-01T00:00", "to": "0001-01-01T00:00"},
    ],
)
def test_a_range_that_makes_no_sense_falls_back_and_says_so(query):
    got = TimeRange.read(query, NOW, ZONE)
    assert got.error
    assert got.length_ms == DAY


def test_a_plot_gets_a_round_bucket():
    assert TimeRange("24h", NOW - DAY, NOW, ZONE).bucket_ms() == 900_000
    assert TimeRange("1h", NOW - HOUR, NOW, ZONE).bucket_ms(60) == 60_000
