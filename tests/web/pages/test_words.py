"""What the house says in English is said in Portuguese on the screens; facts are told in both."""

from __future__ import annotations

import orjson
import pytest

from atalaia.events.catalogue import FACTS
from atalaia.events.model import Event
from atalaia.web import i18n
from atalaia.web.i18n import View
from atalaia.web.pages.directory import Book, read_book
from atalaia.web.pages.telling import Names, tell
from atalaia.web.said import FORMS, said

PT, EN = View("pt_BR"), View("en")


def fact(kind: str, key: str = "k", **data: object) -> Event:
    return Event(7, "id", "fact", kind, key, "c1", 1000, 1000, None, False, orjson.dumps(data).decode())


@pytest.mark.parametrize("form", FORMS)
def test_a_sentence_of_the_house_is_said_in_portuguese_with_its_values(form: str):
    values = [f"v{place}" for place in range(form.count("{}"))]
    with i18n.drawing(PT):
        told = said(form.format(*values))
    assert all(value in told for value in values)
    assert told != form.format(*values) or form in ("RabbitMQ", "ping")


def test_what_has_no_form_is_said_as_it_came():
    with i18n.drawing(PT):
        assert said("qualquer coisa 42") == "qualquer coisa 42"
    with i18n.drawing(EN):
        assert said("The session ended by itself.") == "The session ended by itself."


@pytest.mark.parametrize("kind", [one.type for one in FACTS])
def test_every_fact_has_words_whatever_its_data(kind: str):
    told = {}
    for view in (PT, EN):
        with i18n.drawing(view):
            told[view.language] = tell(fact(kind), Names())
    assert told["en"].title
    assert told["pt_BR"].title != told["en"].title or told["en"].title == "k"
    assert told["en"].title != kind, "a fact of the catalogue is told in a sentence"


def test_a_call_is_told_with_the_names_of_its_book():
    book = Book({"112": "Residencial"}, {"1121001": "Portaria"})
    data = {
        "origin": "1121001",
        "origin_type": "apto",
        "destiny": "1121002",
        "destiny_type": "unidade",
        "client": "112",
    }
    with i18n.drawing(PT):
        told = tell(fact("call.opened", "guid-1", **data), Names(book=book))
    assert told.title == "1121001 Portaria liga para 1121002 celular"
    assert (told.text, told.href) == ("Residencial", "/calls/guid-1")


def test_a_fact_of_another_version_is_still_a_row():
    with i18n.drawing(PT):
        told = tell(fact("moon.risen", "m"), Names())
        odd = tell(fact("call.ended", "g", talk_s="long", outcome="closed"), Names())
    assert (told.title, told.text, told.href) == ("moon.risen", "m", "/events/7")
    assert odd.title == "call.ended"


def test_a_directory_of_another_shape_gives_an_empty_book():
    for body in ("no json", "[]", '{"clients": 3}', '{"endpoints": [1, {"number": "9"}]}'):
        assert read_book(body, 1).numbers == {}
