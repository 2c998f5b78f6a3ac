"""The settings refuse what cannot work, and say what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from atalaia.connectors.asterisk import CONNECTOR
from atalaia.connectors.asterisk.settings import AsteriskSettings
from tests.connectors.asterisk.session.test_configuration import write

GOOD: dict[str, Any] = {"user": "monitor", "password": "test-only", "server": "voip1"}


@pytest.mark.parametrize(
    ("changes", "field", "remedy"),
    [
        ({"url": "127.0.0.1:8088"}, "url", "Write http://host:8088"),
        ({"url": "http://host:99999"}, "url", "Write http://host:8088"),
        ({"url": "http://monitor:test-only@host:8088"}, "url", "fields of their own"),
        ({"url": "http://host:8088/asterisk/ari", "prefix": "pbx"}, "url", "“prefix”"),
        ({"url": "http://host:8088/x?api_key=test-only"}, "url", "“prefix”"),
        ({"prefix": "a b"}, "prefix", "Copy it from http.conf"),
        ({"server": "voip 1"}, "server", ""),
        ({"audio_url": "http://{host}/x"}, "audio_url", "{audio}, {server} and {name}"),
        ({"source": "database"}, "", "Give the address of the database"),
        ({"ping_every_s": 0}, "ping_every_s", ""),
        ({"surprise": 1}, "surprise", ""),
    ],
)
def test_a_bad_setting_names_its_field_and_the_remedy(
    changes: dict[str, Any], field: str, remedy: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        AsteriskSettings.model_validate(GOOD | changes)

    (error,) = caught.value.errors(include_input=False, include_url=False)
    assert [field] == [str(part) for part in error["loc"]] or not field
    assert remedy in error["msg"]
    assert "test-only" not in error["msg"]


@pytest.mark.parametrize(
    ("url", "prefix", "ari"),
    [
        ("http://host:8088/", "", "http://host:8088/ari"),
        ("https://host", "/asterisk/", "https://host:443/asterisk/ari"),
        ("http://host:8088/ari", "", "http://host:8088/ari"),
        ("http://host:8088/asterisk/ari/", "", "http://host:8088/asterisk/ari"),
        ("http://host:8088/asterisk", "", "http://host:8088/asterisk/ari"),
        ("http://host:8088/safari", "", "http://host:8088/safari/ari"),
        ("http://[2001:db8::1]:8088", "", "http://[2001:db8::1]:8088/ari"),
    ],
)
def test_the_address_of_ari_is_put_together(url: str, prefix: str, ari: str) -> None:
    assert AsteriskSettings.model_validate(GOOD | {"url": url, "prefix": prefix}).ari == ari


def test_every_setting_has_a_label_and_a_description() -> None:
    bare = [
        name
        for name, field in AsteriskSettings.model_fields.items()
        if not (field.title and field.description)
    ]
    assert bare == []


def test_a_subscription_comes_only_with_listed_servers(tmp_path: Path) -> None:
    assert CONNECTOR.subscriptions is not None
    assert CONNECTOR.servers is not None
    assert CONNECTOR.subscriptions(AsteriskSettings.model_validate(GOOD)) == []
    write(tmp_path, "1121001")
    settings = AsteriskSettings.model_validate(GOOD | {"etc_folder": str(tmp_path), "mq_queue": "fila"})

    (subscription,) = CONNECTOR.subscriptions(settings)

    assert subscription["target"]["queue"] == "fila"
    assert subscription["format"] == CONNECTOR.formats[0].name
    assert CONNECTOR.servers(settings)[0]["host"] == "mq.example.test"
    assert "test-only" not in repr(subscription)
