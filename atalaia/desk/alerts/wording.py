"""How an alert is said in a notice and on a screen; whoever draws hands the language in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from zoneinfo import ZoneInfo

from atalaia.clock import from_ms
from atalaia.desk.alerts.queries import Incident, Member
from atalaia.desk.words import N_

# What is said of several members at once, by the kind of the alert; of one alone its own title is said.
MANY: dict[str, str] = {
    "person": N_("%(n)s connections need a person"),
    "open": N_("%(n)s connections are not heard"),
    "gap": N_("Something was lost in %(n)s gaps"),
    "target": N_("%(n)s destinations do not take deliveries"),
    "dead": N_("Deliveries of %(n)s subscriptions were given up"),
    "job": N_("%(n)s jobs are in doubt"),
    "worker": N_("%(n)s workers stopped showing signs of life"),
}
MEMBERS_SHOWN = 10
_KINDS = {
    "raised": N_("Alert"),
    "grew": N_("Alert, more of it"),
    "flapping": N_("Alert, comes and goes"),
    "reminder": N_("Still open"),
    "resolved": N_("Resolved"),
}
_EVIDENCE_SHOWN = 6
_EVIDENCE_CHARS_MAX = 160


def _english(ms: int) -> str:
    return from_ms(ms).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True)
class Tongue:
    """One language and zone. word: a marked text; said: a sentence of the rooms below; moment: a time."""

    word: Callable[[str], str] = str
    said: Callable[[str], str] = str
    moment: Callable[[int], str] = _english
    duration: Callable[[int], str] = field(default=lambda ms: f"{ms // 60_000} min")


# (language, zone, now in ms) -> how to say things there.
Tongues = Callable[[str, ZoneInfo, int], Tongue]


def plain(_language: str, zone: ZoneInfo, _now_ms: int) -> Tongue:
    """Answer English with times of the zone: what is used where nobody draws screens."""
    return Tongue(moment=lambda ms: from_ms(ms).astimezone(zone).strftime("%Y-%m-%d %H:%M"))


def headline(alert: Incident, tongue: Tongue) -> str:
    """Answer the alert in one line; several members are counted."""
    many = alert.standing or alert.members
    if alert.members > 1 and many > 1 and alert.kind in MANY:
        return tongue.word(MANY[alert.kind]) % {"n": many}
    title = tongue.said(alert.title)
    if alert.members > 1 and many > 1:
        return tongue.word(N_("%(title)s – and %(n)s more")) % {"title": title.rstrip("."), "n": many - 1}
    return title.rstrip(".")


def known(detail: Mapping[str, Any], tongue: Tongue) -> str:
    """Answer what is known in words, "" when there is only evidence."""
    text = detail.get("known")
    return tongue.said(text) if isinstance(text, str) else ""


def evidence_of(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    """Answer what an alert rests on, without what is said in words of its own."""
    evidence: Any = detail.get("evidence")
    if isinstance(evidence, dict):
        return cast("dict[str, Any]", evidence)
    known_more: Any = detail.get("known")
    more = cast("dict[str, Any]", known_more) if isinstance(known_more, dict) else {}
    left_out = ("todo", "known", "since", "since_ms", "connection", "evidence")
    return more | {name: value for name, value in detail.items() if name not in left_out}


def notice(
    alert: Incident, members: Sequence[Member], names: Mapping[str, str], tongue: Tongue,
    *, kind: str, now_ms: int, link: str,
) -> tuple[str, str]:  # fmt: skip
    """Answer title and text of a notice.

    names: what connections are called. link: the address of the alert's page, or "".
    """
    word = tongue.word
    title = f"{word(_KINDS[kind])}: {headline(alert, tongue)}"
    lines: list[str] = []
    if kind == "resolved":
        stood = tongue.duration((alert.resolved_ms or now_ms) - alert.since_ms)
        lines.append(word(N_("Resolved at %(time)s, after %(age)s.")) % {
            "time": tongue.moment(alert.resolved_ms or now_ms), "age": stood,
        })  # fmt: skip
    else:
        lines.append(word(N_("Since %(time)s.")) % {"time": tongue.moment(alert.since_ms)})
    if alert.turns > 1:
        lines.append(word(N_("It came %(n)s times.")) % {"n": alert.turns})
    if text := known(alert.detail, tongue):
        lines.append(text)
    if kind != "resolved":
        lines += _evidence(alert, tongue)
        if todo := alert.detail.get("todo"):
            lines += ["", f"{word(N_('What to do'))}: {tongue.said(str(todo))}"]
    if alert.members > 1:
        lines += ["", *_members(members, alert, names, tongue)]
    return title, "\n".join([*lines, *(["", link] if link else [])])


def summary(told: Sequence[tuple[str, Incident | None]], tongue: Tongue, link: str) -> tuple[str, str]:
    """Answer what was held back in quiet hours. told: (title of the notice, its alert as it is now)."""
    opened = [one for one in told if one[1] is not None and one[1].resolved_ms is None]
    title = tongue.word(N_("Quiet hours are over: %(open)s of %(all)s alerts are still open")) % {
        "open": len({alert.id for _, alert in opened if alert}),
        "all": len({alert.id for _, alert in told if alert}),
    }  # fmt: skip
    lines: list[str] = []
    for said, alert in told:
        state = tongue.word(N_("open") if alert is not None and alert.resolved_ms is None else N_("over"))
        since = f" ({tongue.moment(alert.opened_ms)})" if alert is not None else ""
        lines.append(f"• {said}{since} – {state}")
    return title, "\n".join([*lines, *(["", link] if link else [])])


def trial(tongue: Tongue, by: str, now_ms: int) -> tuple[str, str]:
    """Answer title and text of a test."""
    text = tongue.word(N_("%(by)s tried this channel at %(time)s. Alerts will look like this.")) % {
        "by": by, "time": tongue.moment(now_ms),
    }  # fmt: skip
    return tongue.word(N_("Test of Atalaia's alerts")), text


def _evidence(alert: Incident, tongue: Tongue) -> list[str]:
    rows: list[str] = []
    for name, value in evidence_of(alert.detail).items():
        if value in ("", None, {}, []):
            continue
        if isinstance(value, int) and name.endswith("_ms") and value > 10**11:
            name, value = name.removesuffix("_ms"), tongue.moment(value)
        text = tongue.said(value) if isinstance(value, str) else str(value)
        rows.append(f"{name.replace('_', ' ')}: {text[:_EVIDENCE_CHARS_MAX]}")
    return [f"{tongue.word(N_('Evidence'))}: " + "; ".join(rows[:_EVIDENCE_SHOWN])] if rows else []


def _members(
    members: Sequence[Member], alert: Incident, names: Mapping[str, str], tongue: Tongue
) -> list[str]:
    shown = [f"• {names.get(one.connection) or tongue.said(one.title)}" for one in members[:MEMBERS_SHOWN]]
    rest = (alert.standing or alert.members) - len(shown)
    return shown + ([tongue.word(N_("and %(n)s more")) % {"n": rest}] if rest > 0 else [])
