"""The settings: what they accept, what they refuse, and that a refusal names no secret."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from atalaia.connectors.traffilog.settings import TraffilogSettings, place_of

GOOD: dict[str, Any] = {
    "api_url": "https://api.example.test/appengine_3/",
    "app_guid": "B3A1C7D2-5E4F-4A6B-8C9D-0E1F2A3B4C5D",
    "user": "monitor",
    "password": "hush-hush",
    "socket_url": "wss://ws.example.test:8182",
    "origin": "https://operation.example.test/",
}


def made(**changes: Any) -> TraffilogSettings:
    return TraffilogSettings.model_validate(GOOD | changes)


def test_the_login_address_is_made_of_its_parts():
    expected = "https://api.example.test/appengine_3/B3A1C7D2-5E4F-4A6B-8C9D-0E1F2A3B4C5D/1/json"
    assert made().login_url == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("api_url", "api.example.test"),
        ("api_url", "https://me:secret@api.example.test"),
        ("socket_url", "https://ws.example.test"),
        ("socket_url", "wss://ws.example.test/GUID/TOKEN/json"),
        ("origin", "operation.example.test"),
        ("watched", ["TST1A04"]),
        ("app_guid", ""),
        ("unknown", 1),
    ],
)
def test_what_cannot_be_is_refused(field: str, value: Any):
    with pytest.raises(ValidationError) as refused:
        made(**{field: value})
    # The text that people see leaves the input out.
    assert "hush-hush" not in str([one["msg"] for one in refused.value.errors()])


def test_a_portal_account_of_its_own_needs_its_own_password():
    with pytest.raises(ValidationError):
        made(portal_user="office")
    assert made(portal_user="office", portal_password="other").portal_secret == "other"
    assert made().portal_secret == "hush-hush"
    assert made(portal_user="monitor").portal_secret == "hush-hush"


def test_the_portals_start_page_follows_from_its_address():
    portal = "https://html5.example.test/AppEngine_2_1/default.aspx"
    assert made(portal_url=portal).portal_start == "https://html5.example.test/appv2/index.htm"
    assert made().portal_start == ""


def test_a_vehicle_is_watched_once():
    assert made(watched=["2900108", "2900104", "2900108"]).watched == ["2900108", "2900104"]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("wss://ws.example.test:8182", ("ws.example.test", 8182, True)),
        ("ws://ws.example.test", ("ws.example.test", 80, False)),
        ("https://api.example.test/x", ("api.example.test", 443, True)),
    ],
)
def test_an_address_is_a_place(url: str, place: tuple[str, int, bool]):
    assert place_of(url) == place
