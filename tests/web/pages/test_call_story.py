"""The story of one call: heard events that led to something stand out, the rest is folded."""

from __future__ import annotations

from atalaia.events.model import Event
from atalaia.web import i18n
from atalaia.web.i18n import View
from atalaia.web.pages.call import merged
from atalaia.web.pages.telling import Names


def heard(seq: int, name: str) -> Event:
    return Event(
        seq, f"i{seq}", "heard", f"asterisk.{name}", "chan", "c1", seq * 10, seq * 10, None, False, "{}"
    )


def opened(seq: int, cause: int) -> Event:
    return Event(
        seq, f"i{seq}", "fact", "call.opened", "guid", "c1", cause * 10, seq * 10, cause, False, "{}"
    )


def test_noise_is_folded_between_what_matters():
    events = [
        heard(1, "ChannelCreated"),
        heard(2, "ChannelVarset"),
        heard(3, "Dial"),
        opened(4, 3),
        heard(5, "ChannelVarset"),
    ]
    with i18n.drawing(View("en")):
        items = merged(events, [], Names())
    assert [(item.kind, item.title) for item in items] == [
        ("noise", ""),
        ("heard", "Dial"),
        ("fact", "without number calls without number"),
        ("heard", "ChannelVarset"),
    ]
    assert [one.title for one in items[0].inside] == ["ChannelCreated", "ChannelVarset"]
    assert items[0].text == "ChannelCreated, ChannelVarset"


def test_nothing_known_is_an_empty_story():
    assert merged([], [], Names()) == []
