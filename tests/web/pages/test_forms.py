"""Forms drawn from settings classes: every field once, secrets never shown, values come back as they were."""

from __future__ import annotations

from enum import StrEnum

import pytest
from pydantic import BaseModel, Field, SecretStr
from starlette.datastructures import FormData

from atalaia.connectors.asterisk import CONNECTOR as ASTERISK
from atalaia.connectors.connector import Connector
from atalaia.deliveries.queries import SubscriptionView
from atalaia.errors import ConfigError
from atalaia.redact import Redactor
from atalaia.web import i18n
from atalaia.web.i18n import View
from atalaia.web.pages.forms import errors_by_field, groups_of, read_form, summary_of
from atalaia.web.pages.subscription_setup import read_form as subscription_form


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Toy(BaseModel):
    url: str = Field(title="Address")
    key: SecretStr = Field(SecretStr(""), title="Key")
    colour: Colour = Field(Colour.RED, title="Colour")
    loud: bool = Field(True, title="Loud")
    every_s: float = Field(1.5, title="Every")
    port: int | None = Field(None, title="Port")
    words: list[str] = Field(default=["a"], title="Words")
    codes: dict[str, str] = Field(default={"one": "1"}, title="Codes")


TOY = Connector("toy", "Toy", Toy, None)


def fields(groups: list) -> dict[str, object]:
    return {one.name: one for group in groups for one in group.fields}


def test_every_setting_stands_in_the_form_once():
    groups = groups_of(ASTERISK, {})
    names = [one.name for group in groups for one in group.fields]
    assert sorted(names) == sorted(ASTERISK.settings.model_fields)
    assert [group.title for group in groups][:2] == ["Reaching it", "Its configuration"]
    assert groups[-1].folded


def test_a_secret_is_never_put_into_a_form():
    found = fields(groups_of(TOY, {"url": "u", "key": "hunter2-hunter2"}, secrets_set=("key",)))
    assert found["key"].value == ""  # type: ignore[attr-defined]
    assert found["key"].is_set  # type: ignore[attr-defined]
    assert found["key"].kind == "password"  # type: ignore[attr-defined]


def test_a_form_gives_back_what_it_showed():
    shown = fields(groups_of(TOY, {"url": "u", "words": ["x", "y"], "codes": {"two": "2", "three": "3"}}))
    form = {name: one.value for name, one in shown.items() if one.kind != "check"}  # type: ignore[attr-defined]
    read = Toy.model_validate(read_form(TOY, {**form, "loud": "on"}))
    assert read == Toy.model_validate({"url": "u", "words": ["x", "y"], "codes": {"two": "2", "three": "3"}})


def test_an_unchecked_box_is_no_and_an_empty_number_nothing():
    read = read_form(TOY, {"url": "u", "port": "", "every_s": ""})
    assert read["loud"] is False
    assert read["port"] is None
    assert "every_s" not in read, "the class's own default holds"


def test_errors_are_parted_by_field():
    said = "url holds a str that does not fit: not an address.\nWrite it anew."
    assert errors_by_field(said) == ({"url": "not an address."}, "Write it anew.")


def test_a_summary_tells_what_differs_and_hides_secrets():
    toy = Toy.model_validate({"url": "http://a", "key": "hunter2-hunter2", "every_s": 3})
    with i18n.drawing(View("en")):
        rows = dict(summary_of(TOY, toy, Redactor([])))
    assert rows == {"Address": "http://a", "Key": "set, never shown", "Every": "3\u00a0s"}


def test_a_subscription_keeps_what_its_form_does_not_show():
    view = SubscriptionView(
        "s", "Bus", "on", "cloudevents", {}, {},
        {"kind": "amqp", "servers": [{"host": "a"}, {"host": "b"}], "queue_type": "quorum", "queue": "old"},
        {"order": "skip", "give_up_s": 90, "shards": 4}, "", 0, 0, 0, 0, 0, 0, 0, 0.0, (),
    )  # fmt: skip
    form = FormData(
        [("kind", "amqp"), ("host", "c"), ("port", "5672"), ("queue", "new"), ("give_up_h", "0,025")]
    )
    read = subscription_form(form, view)
    assert [one["host"] for one in read["target"]["servers"]] == ["c", "b"]
    assert (read["target"]["queue_type"], read["target"]["queue"]) == ("quorum", "new")
    assert read["policy"] == {"order": "block", "give_up_s": 90, "shards": 4}
    with pytest.raises(ConfigError, match="port holds a text that is no number"):
        subscription_form(FormData([("kind", "amqp"), ("port", "many")]))
