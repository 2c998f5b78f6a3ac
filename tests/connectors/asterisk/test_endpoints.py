"""Endpoint states on change only, and addresses of registrations."""

from __future__ import annotations

import pytest

from atalaia.connectors.asterisk.wire import address_of
from tests.connectors.asterisk.folding import T0, Fold, Stream


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Reachable", "online"), ("Registered", "online"), ("Lagged", "online"),
        ("Unreachable", "offline"), ("Unregistered", "offline"), ("Rejected", "offline"),
    ],
)  # fmt: skip
def test_the_words_of_both_drivers_are_understood(fold: Fold, stream: Stream, word: str, status: str) -> None:
    fold.take(stream.peer("1121001", word, 5))

    [one] = fold.of_type("endpoint.status_changed")
    assert (one["status"], one["since_ms"], one["vhost"], one["type"]) == (
        status,
        T0 + 5,
        "cliente112",
        "apto",
    )


def test_a_word_that_is_not_known_changes_nothing(fold: Fold, stream: Stream) -> None:
    fold.take(stream.peer("1121001", "Dancing", 5))

    assert fold.of_type("endpoint.status_changed") == []


def test_only_changes_are_told(fold: Fold, stream: Stream) -> None:
    for at, word in enumerate(("Reachable", "Reachable", "Unreachable", "Unreachable", "Reachable")):
        fold.take(stream.peer("1121001", word, at))

    assert [one["status"] for one in fold.of_type("endpoint.status_changed")] == [
        "online",
        "offline",
        "online",
    ]


def test_a_repetition_of_the_past_does_not_turn_a_state_back(fold: Fold, stream: Stream) -> None:
    fold.take(
        stream.peer("1121001", "Reachable", 5),
        stream.peer("1121001", "Unreachable", 9),
        stream.peer("1121001", "Reachable", 5),
    )

    assert [one["status"] for one in fold.of_type("endpoint.status_changed")] == ["online", "offline"]


def test_a_renewed_registration_is_no_change_but_a_new_address_is_seen(fold: Fold, stream: Stream) -> None:
    fold.take(
        stream.peer("1121001", "Reachable", 1), stream.contact("1121001", "sip:1121001@8.8.8.8:5060", 2)
    )
    fold.take(stream.contact("1121001", "sip:1121001@8.8.8.8:6000", 3))
    fold.take(stream.contact("1121001", "sip:1121001@8.8.4.4:5060;transport=ws", 4))

    assert len(fold.of_type("endpoint.status_changed")) == 1
    assert [(one["address"], one["public"]) for one in fold.of_type("endpoint.address_seen")] == [
        ("8.8.8.8", True),
        ("8.8.4.4", True),
    ]


def test_the_state_carries_the_address_as_long_as_it_is_known(fold: Fold, stream: Stream) -> None:
    uri = "sip:1121001@203.0.113.9:5060"
    fold.take(stream.contact("1121001", uri, 1), stream.peer("1121001", "Reachable", 2))
    fold.take(stream.peer("1121001", "Unreachable", 3), stream.contact("1121001", uri, 4, "Removed"))
    fold.take(stream.peer("1121001", "Reachable", 5))

    assert [one["address"] for one in fold.of_type("endpoint.status_changed")] == ["203.0.113.9", "", ""]


def test_the_address_of_an_unknown_endpoint_is_not_told(fold: Fold, stream: Stream) -> None:
    fold.take(stream.contact("sipvicious", "sip:sipvicious@8.8.8.8:5060", 2))

    assert fold.of_type("endpoint.address_seen") == []


@pytest.mark.parametrize(
    ("uri", "host", "port", "public"),
    [
        ("sip:1121002@203.0.113.9:5060", "203.0.113.9", 5060, False),
        ("sips:a@8.8.8.8", "8.8.8.8", None, True),
        ("sip:1@[2001:4860:4860::8888]:5061;transport=tls", "2001:4860:4860::8888", 5061, True),
        ("sip:1@10.0.0.1:5060", "10.0.0.1", 5060, False),
        ("sip:abc@df7jal23ls0d.invalid;transport=ws", "df7jal23ls0d.invalid", None, False),
    ],
)
def test_an_address_is_read_from_a_contact(uri: str, host: str, port: int | None, public: bool) -> None:
    found = address_of(uri)

    assert found is not None
    assert (found.host, found.port, found.public) == (host, port, public)


@pytest.mark.parametrize("uri", ["", "tel:+5511", "sip:", "http://8.8.8.8", "sip:@"])
def test_what_is_no_address_is_none(uri: str) -> None:
    assert address_of(uri) is None
