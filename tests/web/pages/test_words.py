"""What the house says in English is said in Portuguese on the screens; facts are told in both."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

import atalaia
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
    assert told != form.format(*values) or form in ("RabbitMQ", "ping") or form.endswith(": TLS")


# What only developers and workers outside read, at a terminal or from the API.
_FOR_DEVELOPERS = {
    "wire.py", "capture.py", "replay.py", "compare.py", "external.py", "engine.py", "rows.py", "plans.py",
}  # fmt: skip


@pytest.mark.parametrize("room", ["connectors/traffilog", "connectors/wppconnect", "jobs"])
def test_every_sentence_of_connections_and_jobs_has_its_portuguese(room: str):
    known = {str(one[0] if isinstance(one, tuple) else one) for one in i18n.catalogue("pt_BR")._catalog}  # type: ignore[attr-defined]
    known |= {re.sub(r"\(?(\{\})+\)?", "{}", one) for one in known}
    missing: list[str] = []
    for file in sorted((Path(atalaia.__file__).parent / room).rglob("*.py")):
        if file.name not in _FOR_DEVELOPERS:
            missing += [one for one in _sentences(file) if re.sub(r"\(?(\{\})+\)?", "{}", one) not in known]
    assert missing == []


def _sentences(file: Path) -> Iterator[str]:
    """Answer the sentences in a module's code: texts that begin large and end with a full stop."""
    tree = ast.parse(file.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = _text(node)
        if (
            id(node) not in docs
            and text
            and re.match(r"[A-Z{“][^<]* [^<]*\.$", text)
            and not text.startswith("{} ")
        ):
            yield text
            docs |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.JoinedStr):
            docs |= {id(inner) for inner in ast.walk(node)}


def _text(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr():
            return "".join(_text(part) or "{}" for part in node.values)
        case _:
            return ""


def test_what_has_no_form_is_said_as_it_came():
    with i18n.drawing(PT):
        assert said("The login could not be renewed. The socket is open.").endswith("O socket está aberto.")
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


def test_a_gap_that_was_over_when_it_was_found_is_no_loss_of_hearing():
    with i18n.drawing(EN):
        lone = tell(fact("gap.opened", "c1", from_ms=1, to_ms=1001), Names(connections={"c1": "Door"}))
        lasting = tell(fact("gap.opened", "c1", from_ms=1), Names(connections={"c1": "Door"}))
    assert (lone.title, lasting.title) == ("Door missed something", "Door is not heard any more")


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
