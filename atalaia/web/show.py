"""Numbers, times and small drawings as the person's language and zone write them.

Everything here reads the view (`i18n.view`), so templates and macros need to pass nothing along.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from babel.dates import format_datetime
from babel.numbers import format_decimal, format_percent
from markupsafe import Markup, escape

from atalaia.clock import from_ms, rfc3339
from atalaia.web.assets import assets
from atalaia.web.i18n import gettext, ngettext, view

NOTHING = Markup('<span class="nothing" aria-hidden="true">—</span>')


@lru_cache(maxsize=2000)
def icon(name: str, label: str = "", extra: str = "") -> Markup:
    """Draw the icon `name`; without a label it is decoration. Errors: KeyError when not in the sprite."""
    if name not in assets().icon_names:
        raise KeyError(f"no icon {name!r}: add it to tools/icons.txt and run tools/vendor")
    said = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    return Markup('<svg class="icon {}" {}><use href="{}#{}"></use></svg>').format(
        extra, said, assets().vendored("icons.svg"), name
    )


def number(value: float | None, digits: int | None = None) -> str | Markup:
    """Answer `12.345,6`; with `digits` exactly that many after the comma."""
    if value is None:
        return NOTHING
    form = None if digits is None else "#,##0" + ("." + "0" * digits if digits else "")
    return format_decimal(value, format=form, locale=view().locale)


def percent(value: float | None, digits: int = 0) -> str | Markup:
    """Answer `93 %` of a share between 0 and 1."""
    if value is None:
        return NOTHING
    form = "#,##0" + ("." + "0" * digits if digits else "") + "%"
    return format_percent(value, format=form, locale=view().locale)


def size(bytes_: float | None) -> str | Markup:
    """Answer `1,4 MB`: powers of 1000, one digit below ten."""
    if bytes_ is None:
        return NOTHING
    value, unit = float(bytes_), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if abs(value) < 1000:
            break
        value, unit = value / 1000, larger
    digits = 1 if unit != "B" and abs(value) < 10 else 0
    return f"{number(value, digits)}\u00a0{unit}"


def duration(ms: float | None) -> str | Markup:
    """Answer a length of time in words: `130 ms`, `4,2 s`, `1 min 05 s`, `3 h 20 min`, `2 d 4 h`."""
    if ms is None:
        return NOTHING
    if ms < 1000:
        return f"{number(round(ms))}\u00a0ms"
    if ms < 10_000:
        return f"{number(ms / 1000, 1)}\u00a0s"
    return span_text(int(ms // 1000))


def span_text(seconds: int) -> str:
    """Answer whole seconds in at most two units, as ages and lengths are written."""
    if seconds < 60:
        return f"{seconds}\u00a0s"
    if seconds < 3600:
        return f"{seconds // 60}\u00a0min {seconds % 60:02d}\u00a0s"
    if seconds < 86_400:
        return f"{seconds // 3600}\u00a0h {seconds % 3600 // 60:02d}\u00a0min"
    return f"{seconds // 86_400}\u00a0d {seconds % 86_400 // 3600}\u00a0h"


def stopwatch(ms: float | None) -> str | Markup:
    """Answer `1:05` or `1:02:05`: a length as a clock shows it."""
    if ms is None:
        return NOTHING
    seconds = max(0, int(ms // 1000))
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def age_text(ms: int) -> str:
    """Answer how long ago `ms` was (or how far ahead), as static/app/ages.js keeps writing it."""
    seconds = (view().now_ms - ms) // 1000
    if -1 <= seconds < 1:
        return gettext("now")
    pattern = gettext("%(age)s ago") if seconds > 0 else gettext("in %(age)s")
    return pattern % {"age": _coarse(abs(seconds))}


def _coarse(seconds: int) -> str:
    """One unit is enough for an age: `12 s`, `4 min`, `3 h`, `9 d`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length}\u00a0{unit}"
    return f"{seconds}\u00a0s"


def exact(ms: int) -> str:
    """Answer the full moment in the person's zone, to the millisecond, with the zone's offset."""
    moment = from_ms(ms).astimezone(view().zone)
    form = "%d/%m/%Y %H:%M:%S" if view().language == "pt_BR" else "%Y-%m-%d %H:%M:%S"
    offset = f"{moment:%z}"
    return f"{moment:{form}}.{ms % 1000:03d} {offset[:3]}:{offset[3:]}"


def age(ms: int | None) -> Markup:
    """Draw a living age: `há 12 s`, the exact time on hover."""
    if ms is None:
        return NOTHING
    return Markup('<time class="age" datetime="{}" data-ago="{}" title="{}">{}</time>').format(
        rfc3339(ms), ms, exact(ms), age_text(ms)
    )


_FORMS = {
    "pt_BR": {
        "short": "dd/MM HH:mm",
        "full": "dd/MM/yyyy HH:mm:ss",
        "day": "EEEE, d 'de' MMMM",
        "column": "EEE dd/MM",
    },
    "en": {
        "short": "MMM d HH:mm",
        "full": "yyyy-MM-dd HH:mm:ss",
        "day": "EEEE, MMMM d",
        "column": "EEE MMM d",
    },
}


def moment_text(ms: int, style: str = "auto") -> str:
    """Answer a moment as text. Styles: `time`, `ms`, `short`, `full`, `day`, `column`, `auto`.

    `auto` is the time alone today. `column` is a day as short as a column needs it.
    """
    when = from_ms(ms).astimezone(view().zone)
    if style == "auto":
        today = from_ms(view().now_ms).astimezone(view().zone).date() == when.date()
        style = "time" if today else "short"
    if style in ("time", "ms"):
        return f"{when:%H:%M:%S}" + (f".{ms % 1000:03d}" if style == "ms" else "")
    return format_datetime(when, _FORMS[view().language][style], locale=view().locale)


def moment(ms: int | None, style: str = "auto") -> Markup:
    """Draw a moment in the person's zone, the exact time on hover."""
    if ms is None:
        return NOTHING
    return Markup('<time class="moment" datetime="{}" title="{}">{}</time>').format(
        rfc3339(ms), exact(ms), moment_text(ms, style)
    )


def timer(start_ms: int | None) -> Markup:
    """Draw a clock that counts from `start_ms` while one looks."""
    if start_ms is None:
        return NOTHING
    return Markup('<time class="timer" role="timer" data-timer="{}" title="{}">{}</time>').format(
        start_ms, exact(start_ms), stopwatch(view().now_ms - start_ms)
    )


def sparkline(values: Sequence[float | None], label: str, tone: str = "info", width: int = 112) -> Markup:
    """Draw a small line without axes; None breaks the line. `label` says in words what it shows."""
    height, known = 28, [value for value in values if value is not None]
    if not known:
        return Markup('<svg class="spark" role="img" aria-label="{}" viewBox="0 0 {} {}"></svg>').format(
            label, width, height
        )
    top, step = max(*known, 0) or 1, width / max(1, len(values) - 1)
    parts, pen = list[str](), "M"
    for place, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        parts.append(f"{pen}{place * step:.1f} {height - 3 - value / top * (height - 6):.1f}")
        pen = "L"
    return Markup(
        '<svg class="spark tone-{}" role="img" aria-label="{}" viewBox="0 0 {} {}"'
        ' preserveAspectRatio="none"><path d="{}" fill="none" vector-effect="non-scaling-stroke">'
        "</path></svg>"
    ).format(tone, label, width, height, "".join(parts))


def json_text(value: Any) -> str:
    """Answer `value` as indented JSON; what JSON cannot hold is shown as its text."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def json_tree(value: Any, depth: int = 0, *, open_to: int = 2) -> Markup:
    """Draw a JSON value as nested, foldable lists; levels up to `open_to` start open."""
    if isinstance(value, Mapping):
        rows = [(Markup('<span class="j-key">{}</span>').format(key), item) for key, item in _items(value)]
        return _branch(rows, "{", "}", depth, open_to)
    if isinstance(value, list | tuple):
        rows = [(Markup('<span class="j-index">{}</span>').format(n), v) for n, v in enumerate(_list(value))]
        return _branch(rows, "[", "]", depth, open_to)
    kind = "null" if value is None else "bool" if isinstance(value, bool) else "num"
    if not isinstance(value, int | float | None):
        kind, value = "str", str(value)
    text = str(value) if kind == "str" else json.dumps(value)
    return Markup('<span class="j-{}">{}</span>').format(kind, text)


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(cast("Mapping[str, Any]", value).items())


def _list(value: Any) -> list[Any]:
    return list(cast("Sequence[Any]", value))


def _branch(rows: list[tuple[Markup, Any]], left: str, right: str, depth: int, open_to: int) -> Markup:
    if not rows:
        return Markup('<span class="j-empty">{}{}</span>').format(left, right)
    count = ngettext("%(num)d entry", "%(num)d entries", len(rows)) % {"num": len(rows)}
    drawn = [(name, json_tree(item, depth + 1, open_to=open_to)) for name, item in rows]
    body = Markup("").join(Markup("<li>{} {}</li>").format(name, item) for name, item in drawn)
    opened = Markup(" open") if depth < open_to else ""
    return Markup(
        '<details{}><summary>{}<span class="j-count">{}</span>{}</summary><ul>{}</ul></details>'
    ).format(opened, left, count, right, body)


def attributes(values: Mapping[str, Any]) -> Markup:
    """Draw HTML attributes: True stands alone, None and False are left out, `_` in names becomes `-`."""
    parts = [Markup("")]
    for name, value in values.items():
        if value is None or value is False:
            continue
        plain = escape(name.replace("_", "-"))
        bare = value is True
        parts.append(Markup(" {}").format(plain) if bare else Markup(' {}="{}"').format(plain, value))
    return Markup("").join(parts)
