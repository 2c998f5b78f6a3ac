"""What alerts need of the web: their words in each language, and the register of channels."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from fastapi import Request

from atalaia.desk.alerts.register import Register
from atalaia.desk.alerts.wording import Tongue
from atalaia.jobs.submit import Orders
from atalaia.serve import alert_ways, job_kinds
from atalaia.web import i18n, show
from atalaia.web.i18n import View
from atalaia.web.parts import Parts, parts_of
from atalaia.web.said import said


def tongue_of(language: str, zone: ZoneInfo, now_ms: int) -> Tongue:
    """Answer how alerts are said in this language and zone, as on the screens."""
    view = View(language, zone, now_ms)

    def word(text: str) -> str:
        with i18n.drawing(view):
            return i18n.gettext(text)

    def sentence(text: str) -> str:
        with i18n.drawing(view):
            return said(text)

    def moment(ms: int) -> str:
        with i18n.drawing(view):
            return show.moment_text(ms, "short")

    def duration(ms: int) -> str:
        with i18n.drawing(view):
            return show.span_text(max(0, ms) // 1000)

    return Tongue(word, sentence, moment, duration)


def drawn_tongue() -> Tongue:
    """Answer how alerts are said in the view that is being drawn."""
    view = i18n.view()
    return tongue_of(view.language, view.zone, view.now_ms)


def register(parts: Parts) -> Register:
    """Answer the register of channels over the web's parts."""
    orders = Orders(parts.ambient, job_kinds(parts.connectors), parts.redactor)
    ways = alert_ways(parts.store, orders, parts.connectors, parts.settings)
    return Register(parts.store, parts.ambient, parts.secretbox, parts.redactor, ways, tongue_of)


def register_of(request: Request) -> Register:
    """Answer the register behind the app that serves this request."""
    return register(parts_of(request))
