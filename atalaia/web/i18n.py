"""Language, zone and moment of the page being drawn, and the catalogues behind them.

English is written in the source; `locale/<language>/LC_MESSAGES/atalaia.po` holds the rest and is
compiled in memory on first use. Constants are marked with `N_` where they stand and translated where
they are drawn.
"""

from __future__ import annotations

import gettext as stdlib_gettext
import io
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = {"pt_BR": "Português", "en": "English"}
DEFAULT_LANGUAGE = "pt_BR"
DEFAULT_ZONE = "America/Sao_Paulo"
LOCALE_DIR = Path(__file__).parent / "locale"


@dataclass(frozen=True)
class View:
    """What drawing depends on beside its data: who looks, in which words, and when."""

    language: str = DEFAULT_LANGUAGE
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo(DEFAULT_ZONE))
    now_ms: int = 0
    path: str = "/"
    query: tuple[tuple[str, str], ...] = ()
    csrf: str = ""

    @property
    def locale(self) -> Locale:
        return locale_of(self.language)


_VIEW: ContextVar[View | None] = ContextVar("view", default=None)


def view() -> View:
    """Answer the view being drawn; outside of `drawing` a default one."""
    return _VIEW.get() or View()


@contextmanager
def drawing(of: View) -> Generator[View]:
    """Make `of` the view for the words, numbers and times drawn inside."""
    token = _VIEW.set(of)
    try:
        yield of
    finally:
        _VIEW.reset(token)


def N_(text: str) -> str:  # noqa: N802 - the name that gettext tools look for
    """Mark `text` for translation and answer it unchanged."""
    return text


def gettext(text: str) -> str:
    """Answer `text` in the language of the view."""
    return catalogue(view().language).gettext(text)


def ngettext(one: str, many: str, count: int) -> str:
    """Answer the form for `count`, still with its placeholders."""
    return catalogue(view().language).ngettext(one, many, count)


def pgettext(context: str, text: str) -> str:
    """Answer `text` as it is said in `context`."""
    return catalogue(view().language).pgettext(context, text)


def npgettext(context: str, one: str, many: str, count: int) -> str:
    """Answer the form for `count` as it is said in `context`."""
    return catalogue(view().language).npgettext(context, one, many, count)


@lru_cache
def catalogue(language: str) -> stdlib_gettext.NullTranslations:
    """Answer the compiled catalogue of `language`; English and the unknown answer the source words."""
    file = LOCALE_DIR / language / "LC_MESSAGES" / "atalaia.po"
    if language not in LANGUAGES or not file.exists():
        return stdlib_gettext.NullTranslations()
    with file.open("rb") as text:
        messages = read_po(text, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return stdlib_gettext.GNUTranslations(compiled)


@lru_cache
def locale_of(language: str) -> Locale:
    """Answer Babel's locale for `language`, the default's when it knows none."""
    try:
        return Locale.parse(language)
    except (UnknownLocaleError, ValueError):
        return Locale.parse(DEFAULT_LANGUAGE)


def known_language(asked: str | None) -> str | None:
    """Answer our name of a language written any usual way (`pt`, `pt-br`, `en_GB`), or None."""
    if not asked:
        return None
    main = asked.replace("-", "_").split("_")[0].lower()
    return next((name for name in LANGUAGES if name.split("_")[0] == main), None)


def choose_language(query: str | None, cookie: str | None, person: str | None, accept: str | None) -> str:
    """Answer the language: asked for in the address, on this device, in the profile, by the browser.

    The device's choice stands before the profile's, so that the switch in the top bar always works.
    """
    for asked in (query, cookie, person):
        if found := known_language(asked):
            return found
    wanted = [tag for tag, _ in _by_weight(accept or "")]
    found = negotiate_locale(wanted, ["pt_BR", "pt", "en"], sep="-") or next(
        (tag for tag in wanted if known_language(tag)), None
    )
    return known_language(found) or DEFAULT_LANGUAGE


def _by_weight(header: str) -> list[tuple[str, float]]:
    """Read `Accept-Language`, best first; unreadable weights count as zero."""
    tags: list[tuple[str, float]] = []
    for part in header.split(",")[:20]:
        tag, _, weight = part.strip().partition(";q=")
        try:
            tags.append((tag, float(weight) if weight else 1.0))
        except ValueError:
            tags.append((tag, 0.0))
    return sorted(tags, key=lambda pair: -pair[1])


def zone_named(name: str | None) -> ZoneInfo:
    """Answer the zone of that name, the default one when it is unknown."""
    try:
        return ZoneInfo(name or DEFAULT_ZONE)
    except (KeyError, ValueError, OSError):
        return ZoneInfo(DEFAULT_ZONE)


def script_words() -> Mapping[str, str]:
    """Answer the few words that the page's own scripts say."""
    return {
        "ago": gettext("%(age)s ago").replace("%(age)s", "{}"),
        "ahead": gettext("in %(age)s").replace("%(age)s", "{}"),
        "now": gettext("now"),
        "live": gettext("Live"),
        "paused": gettext("Paused"),
        "reconnecting": gettext("Reconnecting"),
        "offline": gettext("No network"),
        "news_one": ngettext("{} new", "{} new", 1),
        "news_many": ngettext("{} new", "{} new", 2),
        "copied": gettext("Copied."),
        "not_copied": gettext("The browser did not allow copying. Select the text and copy it."),
        "failed": gettext("This part could not be refreshed. What you see is from %(time)s.").replace(
            "%(time)s", "{}"
        ),
        "retry": gettext("Try again"),
        "not_sent": gettext("There is no network. Nothing was sent; try again when it is back."),
        "photo_waits": gettext("%(photo)s: kept on this device, waits to be sent").replace("%(photo)s", "{}"),
        "nothing_fits": gettext("Nothing in the list fits."),
        "no_answer": gettext("The hub did not answer. Nothing was changed."),
        "search_for": gettext("Search for “%(text)s”").replace("%(text)s", "{}"),
        "time": gettext("Time"),
        "no_data": gettext("No data in this range."),
    }
