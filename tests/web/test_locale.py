"""Every word on a screen is said in every language."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from atalaia.web import i18n
from atalaia.web.i18n import View, choose_language, drawing, gettext, ngettext

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "atalaia/web/templates").rglob("*.html"))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("messages_tool", str(ROOT / "tools/messages"))
    spec = importlib.util.spec_from_loader("messages_tool", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def catalogue(tool: ModuleType) -> Any:
    return tool.current(i18n.LOCALE_DIR / "pt_BR/LC_MESSAGES/atalaia.po", "pt_BR")


def test_every_message_of_the_source_is_translated(tool: ModuleType, catalogue: Any):
    known = {(message.id, message.context) for message in catalogue if tool.translated(message)}
    used = {(message.id, message.context) for message in tool.extracted() if message.id}
    assert sorted(map(str, used - known)) == [], "run tools/messages and translate what it lists"


def test_no_translation_is_a_guess_or_left_over(tool: ModuleType, catalogue: Any):
    used = {(message.id, message.context) for message in tool.extracted()}
    there = {(message.id, message.context) for message in catalogue if message.id}
    assert [message.id for message in catalogue if "fuzzy" in message.flags] == []
    assert sorted(map(str, there - used)) == [], "run tools/messages: it removes them"


def test_translations_keep_the_places_for_values(catalogue: Any):
    def places(text: str) -> list[str]:
        return sorted(re.findall(r"%\(\w+\)[sd]|\{\w*\}", text))

    for message in catalogue:
        one = message.id if isinstance(message.id, tuple) else (message.id,)
        said = message.string if isinstance(message.string, tuple) else (message.string,)
        for form in filter(None, said):
            assert places(form) in [places(source) for source in one], message.id


def test_no_exclamation_marks(catalogue: Any):
    texts = [text for message in catalogue if message.id for text in (message.id, message.string)]
    assert [text for text in texts if "!" in str(text)] == []


def test_templates_hold_no_words_outside_of_a_translation():
    allowed = {"Atalaia", "· Atalaia", "Asterisk", "Esc", "Ctrl K"}
    found: list[str] = []
    for file in TEMPLATES:
        text = re.sub(r"\{#.*?#\}", "", file.read_text(), flags=re.DOTALL)
        text = re.sub(r"\{%-?\s*trans.*?endtrans\s*-?%\}", "", text, flags=re.DOTALL)
        text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "\x00", text, flags=re.DOTALL)
        shown = re.findall(r">([^<>]+)<", text)
        shown += re.findall(r'(?:title|aria-label|placeholder|alt)="([^"]*)"', text)
        words = [part.strip() for piece in shown for part in piece.split("\x00")]
        found += [
            f"{file.name}: {word}"
            for word in words
            if re.search(r"[^\W\d_]{2}", word) and word not in allowed
        ]
    assert found == []


def test_words_follow_the_view():
    with drawing(View(language="pt_BR")):
        assert gettext("Needs a person") == "Precisa de alguém"
        assert ngettext("{} new", "{} new", 7) == "{} novos"
    with drawing(View(language="en")):
        assert gettext("Needs a person") == "Needs a person"
    assert gettext("Now") == "Agora", "Portuguese is the default"


@pytest.mark.parametrize(
    ("query", "cookie", "person", "accept", "chosen"),
    [
        (None, None, None, None, "pt_BR"),
        (None, None, None, "en-GB,en;q=0.8", "en"),
        (None, None, None, "de-DE,pt;q=0.9,en;q=0.8", "pt_BR"),
        (None, None, None, "de-DE,en;q=0.9,pt;q=0.2", "en"),
        (None, None, None, "fr", "pt_BR"),
        (None, None, None, "en;q=what, pt-BR", "pt_BR"),
        (None, None, "en", "pt-BR", "en"),
        (None, "pt_BR", "en", "en", "pt_BR"),
        ("en", "pt_BR", "pt_BR", "pt", "en"),
        ("../../etc", "x" * 5000, None, ",;,q=", "pt_BR"),
    ],
)
def test_the_language_is_the_nearest_choice(query, cookie, person, accept, chosen):
    assert choose_language(query, cookie, person, accept) == chosen
