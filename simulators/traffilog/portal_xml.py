"""The XML of the portal: attributes only, in the forms that were recorded."""

from __future__ import annotations

from xml.sax.saxutils import escape

from simulators.traffilog.models import Row

EXPIRED = '<root REQUEST_ID="" DURATION="0" login="-1" />'
LOGIN_PAGE = "<!DOCTYPE html>\n<html><head><title>Login</title></head><body>Please sign in</body></html>"


def attributes(row: Row) -> str:
    """Answer ` NAME="value"` for each, entities escaped."""
    return "".join(f' {name}="{escape(value, {chr(34): "&quot;"})}"' for name, value in row.items())


def element(name: str, row: Row, inner: str = "") -> str:
    """Answer one element; without content it ends in ` />`, as recorded."""
    return f"<{name}{attributes(row)}>{inner}</{name}>" if inner else f"<{name}{attributes(row)} />"


def elements(name: str, rows: list[Row]) -> str:
    return "".join(element(name, row) for row in rows)


def root(inner: str) -> str:
    return element("root", {"REQUEST_ID": "", "DURATION": "0"}, inner)


def vhcls(rows: list[Row]) -> str:
    """Answer `VHCLS`; without rows the 169 bytes of `html5/vhcls_empty.xml`."""
    source = {"DATASOURCE": "VHCLS", "ACT": "REFRESH", "EXCELDATASOURCE": "DATA"}
    messages = {"DATASOURCE": "GET_OUTGOING_MSGS", "ACT": "REFRESH"}
    return root(element("DATASOURCE", source, elements("DATA", rows)) + element("DATASOURCE", messages))


def bare(source: str, name: str, rows: list[Row]) -> str:
    """Answer an action whose root is its data source."""
    head = {"DATASOURCE": source, "ACT": "REFRESH", "REQUEST_ID": "", "DURATION": "0"}
    return element("DATASOURCE", head, elements(name, rows))


def done(source: str, **also: str) -> str:
    """Answer a write that succeeded."""
    return root(element("DATASOURCE", {"DATASOURCE": source, "ACT": "REFRESH", **also}))


def refused(text: str) -> str:
    """Answer a write that the portal's rules refuse, with its own words."""
    return root(element("ERROR", {"DESCRIPTION": text}))


def failed(action: str) -> str:
    return f"Action: {action} error."
