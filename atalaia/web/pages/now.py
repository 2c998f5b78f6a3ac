"""Agora: what needs a person, the wall, today in numbers, the last facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from atalaia.clock import from_ms, to_ms
from atalaia.connections.queries import Brief, ConnectionSeen, get_connections, list_briefs
from atalaia.deliveries.subscription import list_subscriptions
from atalaia.desk.alerts.queries import Incident, standing_causes, standing_incidents
from atalaia.desk.alerts.wording import headline, known
from atalaia.desk.calls.queries import CallFilter, Hour, hours, live_calls
from atalaia.desk.system.queries import Sizes, list_cursors, sizes
from atalaia.desk.vehicles.plates import plates_of_events
from atalaia.desk.vehicles.queries import count_outcomes, open_processes
from atalaia.events.queries import EventFilter, newest
from atalaia.web import i18n, render
from atalaia.web.access import who_of
from atalaia.web.alerting import drawn_tongue
from atalaia.web.i18n import gettext, ngettext
from atalaia.web.pages import wall
from atalaia.web.pages.common import HOUR_MS, Part, dead_by_subscription, look, now_ms, screens, show
from atalaia.web.pages.directory import book_of
from atalaia.web.pages.jobs import needs_of_jobs
from atalaia.web.pages.telling import Names, Told, tell
from atalaia.web.pages.wall import Card
from atalaia.web.pages.wall_many import first_tiles
from atalaia.web.parts import Parts, parts_of
from atalaia.web.said import said
from atalaia.web.show import duration, number, percent

routes = screens("")  # everybody's first address: who may not see it is led on

FACTS_SHOWN = 12
TILES_MOST = 24
_QUIET = (
    "endpoint.address_seen", "person.signed_in", "person.signed_out", "job.progressed", "job.step_done",
    "process.progressed", "vehicle.parameters_seen", "alert.notified",
)  # fmt: skip


@dataclass
class Now:
    """What Agora shows."""

    cards: list[Card] = field(default_factory=list[Card])
    numbers: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])  # of states, when many
    needs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    stats: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    facts: list[Told] = field(default_factory=list[Told])


@routes.get("/")
async def now(request: Request, part: Part = "") -> Response:
    """Answer the first screen, or the first one that this person may see."""
    if not who_of(request).may("events:read"):
        worlds = getattr(request.app.state, "worlds", ())
        return RedirectResponse(render.home(worlds, who_of(request).may), 303)
    view = render.view_of(request)
    moment = now_ms(request)

    def read(tx: Connection) -> Now:
        with i18n.drawing(view):
            return read_now(tx, parts_of(request), moment, view.zone, part)

    found = await look(request, read)
    return show(request, "now/now.html", part, now=found, wall=wall.for_templates(), moment=moment)


def read_now(tx: Connection, parts: Parts, moment: int, zone: ZoneInfo, part: str) -> Now:
    """Read all of it, or only what one part needs; in the language of the view being drawn."""
    found = Now()
    seen = list_briefs(tx)
    subscriptions = {one.id: one.name for one in list_subscriptions(tx)}
    if part in ("", "wall"):
        found.cards, found.numbers = first_tiles(tx, seen, parts.connectors, moment, TILES_MOST)
    if part in ("", "needs"):
        found.needs = needs_of(tx, parts, seen, subscriptions)
    if part in ("", "numbers"):
        calls = any(_world(parts, one) == "calls" for one in seen)
        vehicles = any(_world(parts, one) == "vehicles" for one in seen)
        found.stats = _call_stats(tx, moment, zone) if calls else []
        found.stats += _vehicle_stats(tx, moment, zone) if vehicles else []
        found.stats += _delivery_stats(sizes(tx), moment)
    if part in ("", "facts"):
        page = newest(tx, EventFilter(family="fact"), limit=FACTS_SHOWN * 8)
        shown = [event for event in page.events if event.type not in _QUIET][:FACTS_SHOWN]
        plates = plates_of_events(tx, shown)
        names = Names({one.id: one.name for one in seen}, subscriptions, book_of(tx, seen), plates)
        found.facts = [tell(event, names) for event in shown]
    return found


def _world(parts: Parts, one: Brief) -> str:
    connector = parts.connectors.get(one.connector)
    return connector.world if connector else ""


# What needs a person.


def needs_of(
    tx: Connection, parts: Parts, seen: Sequence[Brief], subscriptions: dict[str, str]
) -> list[dict[str, Any]]:
    """Answer everything that waits for a person, the oldest first; one thing is told once."""
    now = to_ms(parts.ambient.clock.now())
    alerts = standing_incidents(tx, now)
    told = {cause for alert in alerts for cause in standing_causes(tx, alert.id)}
    # A job in doubt and a connection that needs a person are told below, each with an act of its own.
    items = [_alert(alert, parts) for alert in alerts if alert.kind != "job"]
    untold = [
        one.id
        for one in seen
        if one.state == "needs_person" and one.desired == "on" and f"person:{one.id}" not in told
    ]
    items += [_connection(one, parts) for one in get_connections(tx, untold)]
    for subscription, (count, since_ms) in dead_by_subscription(tx).items():
        if f"dead:{subscription}" not in told and subscription in subscriptions:
            items.append(_dead(subscription, subscriptions[subscription], count, since_ms))
    items += needs_of_jobs(tx, parts, {one.id: one.name for one in seen})
    items += [_parked(one.reaction, one.parked, one.changed_ms) for one in list_cursors(tx) if one.parked]
    return sorted(items, key=lambda item: item["since"])


def _alert(alert: Incident, parts: Parts) -> dict[str, Any]:
    tongue = drawn_tongue()
    href, action = f"/alerts/{alert.id}", gettext("Look")
    item: dict[str, Any] = {}
    connection = str(alert.detail.get("connection") or "")
    if alert.kind in ("dead", "target") and alert.members == 1:
        subscription = alert.grouping.partition(":")[2] if alert.kind == "dead" else ""
        item["action_href"] = f"/deliveries/{subscription}?state=dead#dead" if subscription else href
        action = gettext("See dead letters") if subscription else action
    elif alert.kind == "person" and alert.members == 1 and connection:
        item["action_href"], action = f"/connections/{connection}/edit", gettext("Correct the settings")
    text = parts.redactor.text(known(alert.detail, tongue) or str(alert.detail.get("todo") or ""))
    taken = gettext("taken by %(name)s") % {"name": alert.ack.by} if alert.ack else ""
    return item | {
        "title": parts.redactor.text(headline(alert, tongue)),
        "text": " · ".join(one for one in (said(text), taken) if one),
        "since": alert.since_ms,
        "href": href,
        "action": action,
        "state": {"dead": "dead", "target": "circuit_open", "person": "needs_person"}.get(
            alert.kind, "raised"
        ),
    }


def _connection(one: ConnectionSeen, parts: Parts) -> dict[str, Any]:
    return {
        "title": gettext("%(name)s needs a person") % {"name": one.name},
        "text": said(parts.redactor.text(one.reason)),
        "since": one.since_ms or one.changed_ms,
        "href": f"/connections/{one.id}",
        "action_href": f"/connections/{one.id}/edit",
        "action": gettext("Correct the settings"),
        "state": "needs_person",
    }


def _dead(subscription: str, name: str, count: int, since_ms: int) -> dict[str, Any]:
    title = ngettext("%(n)s dead letter of %(name)s", "%(n)s dead letters of %(name)s", count)
    return {
        "title": title % {"n": number(count), "name": name},
        "text": gettext("Nothing else is tried until you send them again or skip them."),
        "since": since_ms,
        "href": f"/deliveries/{subscription}?state=dead#dead",
        "action": gettext("See dead letters"),
        "state": "dead",
    }


def _parked(reaction: str, count: int, since_ms: int) -> dict[str, Any]:
    title = ngettext(
        "%(n)s event could not be understood by %(name)s", "%(n)s events could not be understood by %(name)s",
        count,
    )  # fmt: skip
    return {
        "title": title % {"n": number(count), "name": reaction},
        "text": gettext("They are kept in the log; the others went on."),
        "since": since_ms,
        "href": "/system#parked",
        "action": gettext("See them"),
        "state": "attention",
    }


# Today in numbers.


def _call_stats(tx: Connection, moment: int, zone: ZoneInfo) -> list[dict[str, Any]]:
    midnight = from_ms(moment).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    start = to_ms(midnight)
    today = hours(tx, CallFilter(from_ms=start))
    yesterday = hours(tx, CallFilter(from_ms=to_ms(midnight - timedelta(days=1)), to_ms=start))
    day = hours(tx, CallFilter(from_ms=moment - moment % HOUR_MS - 23 * HOUR_MS))
    live = live_calls(tx)
    ringing = sum(1 for call in live if call.status == "open")
    total, answered = _sum(today, "calls"), _sum(today, "answered")
    settled = answered + _sum(today, "unanswered")
    before = gettext("yesterday %(n)s") % {"n": number(_sum(yesterday, "calls"))}
    waiting = gettext("%(n)s ringing") % {"n": number(ringing)}
    ring_ms = 1000 * _sum(today, "ring_s") / answered if answered else None
    talk_ms = 1000 * _sum(today, "talk_s") / answered if answered else None
    return [
        {
            "label": gettext("Calls today"),
            "value": number(total),
            "note": before,
            "href": "/calls/list?range=24h",
        }
        | {"values": _line(day, moment, "calls"), "values_label": gettext("calls per hour, last 24 h")},
        {
            "label": gettext("Answered"),
            "value": percent(answered / settled) if settled else "—",
            "tone": "good",
        }
        | {
            "note": gettext("of %(n)s settled") % {"n": number(settled)},
            "href": "/calls/list?status=unanswered",
        }
        | {"values": _line(day, moment, "answered"), "values_label": gettext("answered per hour, last 24 h")},
        {"label": gettext("On call"), "value": number(len(live) - ringing), "note": waiting}
        | {"glow": "stat-talking", "href": "/calls"},
        {"label": gettext("Wait until answered"), "value": duration(ring_ms), "href": "/calls/list?range=24h"}
        | {"note": gettext("talk %(time)s on average") % {"time": duration(talk_ms)}},
    ]


def _sum(rows: list[Hour], name: str) -> int:
    return sum(int(getattr(row, name)) for row in rows)


def _line(rows: list[Hour], moment: int, name: str) -> list[int]:
    start = moment - moment % HOUR_MS - 23 * HOUR_MS
    line = [0] * 24
    for row in rows:
        place = (row.hour_ms - start) // HOUR_MS
        if 0 <= place < 24:
            line[place] += int(getattr(row, name))
    return line


def _vehicle_stats(tx: Connection, moment: int, zone: ZoneInfo) -> list[dict[str, Any]]:
    midnight = from_ms(moment).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    ended = count_outcomes(tx, since_ms=to_ms(midnight))
    running, confirmed = len(open_processes(tx)), ended.get("confirmed", 0)
    note = gettext("ended today: %(n)s, confirmed: %(confirmed)s") % {
        "n": number(sum(ended.values())), "confirmed": number(confirmed),
    }  # fmt: skip
    one = {"label": gettext("Processes in vehicles"), "value": number(running), "note": note}
    return [one | {"href": "/vehicles", "glow": "stat-processes"}]


def _delivery_stats(size: Sizes, moment: int) -> list[dict[str, Any]]:
    if not size.subscriptions:
        return []
    age = duration(moment - size.oldest_open_ms) if size.oldest_open_ms else None
    note = gettext("oldest waits %(time)s") % {"time": age} if age else gettext("nothing waits")
    open_ = {"label": gettext("Deliveries on their way"), "value": number(size.deliveries_open), "note": note}
    return [open_ | {"href": "/deliveries", "tone": "ask" if size.circuits_open else "info"}]
