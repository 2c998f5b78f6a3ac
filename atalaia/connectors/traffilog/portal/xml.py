"""Readers of the portal's answers: XML that carries everything in attributes, now and then HTML in between.

Tolerant by need: the activation form is HTML that no XML parser takes, with one row of data in its midst. So
tags are scanned, rows belong to the data source that is open around them (or that they name themselves), and
attributes that nobody knows are kept. Source: contract §10.1-10.3; recordings in contracts/traffilog/html5.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from atalaia.errors import Unreadable

Row = dict[str, str]
Session = Literal["live", "expired"]

SHOWN_CHARS = 200

# Said by the portal when it understood and does not want to (contract §10.3).
BUSINESS = ("Editing unit number is not allowed", "Failed to link unit", "No privilege to edit")

_TAG = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>"
    r"|<(?P<close>/?)(?P<name>[A-Za-z_][\w.:-]*)"
    r"(?P<attributes>(?:\s+[\w.:-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*(?P<end>/?)>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"([\w.:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.DOTALL)
_LOGGED_OUT = re.compile(r"\blogin\s*=\s*[\"']-1[\"']", re.IGNORECASE)
_PAGE = re.compile(r"^[\s\ufeff]*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_ACTION_ERROR = re.compile(r"Action:\s*(?P<action>\w+)\s+error", re.IGNORECASE)
_ERROR_TAG = re.compile(r"<ERROR\b(?P<rest>[^>]*)>(?P<text>[^<]*)", re.IGNORECASE)


@dataclass
class Source:
    """One data source of an answer. rows: (tag, attributes) in order."""

    attributes: Row
    rows: list[tuple[str, Row]] = field(default_factory=list[tuple[str, Row]])


@dataclass
class Answer:
    """An answer, read. sources: by name; an answer without any is none."""

    root: Row = field(default_factory=dict[str, str])
    sources: dict[str, Source] = field(default_factory=dict[str, Source])

    def rows(self, source: str, tag: str = "DATA") -> list[Row]:
        """Answer the rows of one data source, maybe none. Errors: `Unreadable` when it is not there."""
        found = self.sources.get(source)
        if found is None:
            names = ", ".join(sorted(self.sources)) or "none"
            raise Unreadable(f"The portal's answer has no data source {source} (it has: {names}).")
        return [attributes for name, attributes in found.rows if name == tag]


def read(text: str) -> Answer:
    """Read an answer. Never raises: what is not understood leaves the answer without sources."""
    answer = Answer()
    opened: list[str] = []  # names of open data sources
    for name, attributes, kind in _tags(text):
        if name == "DATASOURCE":
            _open_or_close(answer, opened, attributes, kind)
        elif name == "root" and kind != "close":
            answer.root = attributes
        elif kind != "close" and name.isupper():
            own = attributes.get("DATASOURCE", "")
            source = own if own and own not in opened else (opened[-1] if opened else own)
            if source:
                answer.sources.setdefault(source, Source({})).rows.append((name, attributes))
    return answer


def session_of(text: str, *, reading: bool = True) -> Session:
    """Answer whether the portal still knew us.

    reading: for a question, `Action: … error` means the same; for a write it is an answer of its own.
    """
    if _LOGGED_OUT.search(text) or is_page(text):
        return "expired"
    return "expired" if reading and _ACTION_ERROR.search(text) else "live"


def is_page(text: str) -> bool:
    """Answer whether an HTML page came instead of XML: the login screen, or a proxy's excuse."""
    return _PAGE.match(text) is not None


def error_of(text: str) -> str:
    """Answer what the portal says went wrong, in its words; "" when nothing did."""
    for words in BUSINESS:
        if words.lower() in text.lower():
            return words
    tag = _ERROR_TAG.search(text)
    if tag:
        attributes = read_attributes(tag["rest"])
        said = " ".join([*attributes.values(), tag["text"].strip()]).strip()
        return said[:SHOWN_CHARS] or "an error without words"
    action = _ACTION_ERROR.search(text)
    return f"Action: {action['action']} error" if action else ""


def order_of(text: str) -> str:
    """Answer the id of the order that was just saved, "" when the answer holds none."""
    found = re.search(r"\bORDER(?:_ID|)\s*=\s*[\"'](\d+)[\"']", text)
    return found[1] if found and int(found[1]) > 0 else ""


def activation_row(answer: Answer, source: str) -> Row | None:
    """Answer the one row of activation data, None when there is none: stale, or no such vehicle."""
    found = answer.sources.get(source)
    rows = [] if found is None else [row for name, row in found.rows if name == "DATA"]
    return next((row for row in rows if row.get("DATASOURCE") == source), rows[0] if rows else None)


def logged_in(text: str, cookies: Mapping[str, str]) -> bool:
    """Answer whether a login was accepted: by its cookie, or by where it sends us."""
    return bool(cookies.get("TFL_SESSION")) or (
        "REDIRECT" in text and "node=-2" in html.unescape(text).replace("%3D", "=")
    )


def read_attributes(text: str) -> Row:
    """Answer attributes with their entities resolved; a name that comes twice keeps its last value."""
    return {name: html.unescape(one or other) for name, one, other in _ATTRIBUTE.findall(text)}


def _tags(text: str) -> Iterator[tuple[str, Row, Literal["open", "close", "empty"]]]:
    for found in _TAG.finditer(text):
        if not found["name"]:
            continue  # a comment, or text that is no markup
        if found["close"]:
            yield found["name"], {}, "close"
        else:
            kind: Literal["open", "empty"] = "empty" if found["end"] else "open"
            yield found["name"], read_attributes(found["attributes"]), kind


def _open_or_close(answer: Answer, opened: list[str], attributes: Row, kind: str) -> None:
    if kind == "close":
        if opened:
            opened.pop()
        return
    name = attributes.get("DATASOURCE", "")
    answer.sources.setdefault(name, Source(attributes)).attributes = attributes
    if kind == "open":
        opened.append(name)
