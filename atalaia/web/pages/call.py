"""The page of one call: what is known, how it went in order of time, what was sent to whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import list_connections
from atalaia.deliveries.queries import AttemptView, DeliveryView, list_attempts, list_deliveries
from atalaia.deliveries.subscription import list_subscriptions
from atalaia.desk.calls.queries import Call, get_call, linked_calls, timeline
from atalaia.events.model import Event
from atalaia.web import i18n, render
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages.calls import helpers, names_of
from atalaia.web.pages.common import Part, look, screens, show
from atalaia.web.pages.telling import HANGUPS, Names, data_of, tell
from atalaia.web.problems import not_found
from atalaia.web.said import said
from atalaia.web.show import duration
from atalaia.web.wire import Identity

routes = screens("calls:read")

DELIVERIES_MAX = 100

OUTCOMES = {
    "delivered": ("good", "checks", N_("delivered")),
    "unavailable": ("info", "refresh-alert", N_("not reachable")),
    "refused": ("ask", "user-off", N_("refused")),
    "rejected": ("bad", "x", N_("rejected")),
    "in_doubt": ("ask", "question-mark", N_("in doubt")),
}


@dataclass(frozen=True, slots=True)
class Item:
    """One moment of a call. kind: heard, fact, sent, or noise: several heard events nothing followed from."""

    kind: str
    at_ms: int
    title: str
    icon: str
    tone: str
    text: str = ""
    href: str = ""
    seq: int = 0
    inside: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """One delivery of a call with its attempts."""

    delivery: DeliveryView
    subscription: str
    attempts: list[AttemptView]


@dataclass
class Shown:
    """What the page shows."""

    call: Call
    items: list[Item]
    sent: list[Sent]
    linked: list[Call]
    names: Names
    url: str = ""
    data: dict[str, Any] = field(default_factory=dict[str, Any])


@routes.get("/calls/{guid}")
async def call_page(request: Request, guid: Identity, part: Part = "") -> Response:
    """Answer the page of one call."""
    view = render.view_of(request)

    def read(tx: Connection) -> Shown | None:
        with i18n.drawing(view):
            call = get_call(tx, guid)
            return read_call(tx, call) if call else None

    shown = await look(request, read)
    if shown is None:
        raise not_found("call")
    return show(
        request, "calls/call.html", part, shown=shown, call=shown.call, helpers=helpers(shown.names),
        outcomes=OUTCOMES, hangups=HANGUPS,
    )  # fmt: skip


def read_call(tx: Connection, call: Call) -> Shown:
    """Read everything about one call."""
    seen = list_connections(tx, with_planes=False)
    subscriptions = {one.id: one.name for one in list_subscriptions(tx)}
    names = names_of(tx, seen)
    names = Names(names.connections, subscriptions, names.book)
    events = timeline(tx, call)
    deliveries = list_deliveries(tx, key=call.guid, limit=DELIVERIES_MAX).items
    sent = [
        Sent(one, subscriptions.get(one.subscription, one.subscription), list_attempts(tx, one.id))
        for one in reversed(deliveries)
    ]
    ended = next((event for event in reversed(events) if event.type == "call.ended"), None)
    data = data_of(ended) if ended else {}
    items = merged(events, sent, names)
    return Shown(call, items, sent, linked_calls(tx, call), names, str(data.get("urlfilename") or ""), data)


def merged(events: list[Event], sent: list[Sent], names: Names) -> list[Item]:
    """Put heard events, facts and attempts into one line of time.

    Heard events from which nothing followed are gathered between the others, so that the story can be read.
    """
    causes = {event.cause_seq for event in events if event.cause_seq is not None}
    items = [_event(event, names) for event in events if event.family == "fact" or event.seq in causes]
    noise = [_event(event, names) for event in events if event.family == "heard" and event.seq not in causes]
    items += [_attempt(one, attempt) for one in sent for attempt in one.attempts]
    order = {"heard": 0, "noise": 0, "fact": 1, "sent": 2}
    line = sorted([*items, *noise], key=lambda item: (item.at_ms, item.seq, order[item.kind]))
    quiet = {item.seq for item in noise}
    return _gathered(line, quiet)


def _gathered(line: list[Item], quiet: set[int]) -> list[Item]:
    found: list[Item] = []
    group: list[Item] = []
    for item in line:
        if item.kind == "heard" and item.seq in quiet:
            group.append(item)
            continue
        found += _folded(group)
        group = []
        found.append(item)
    return found + _folded(group)


def _folded(group: list[Item]) -> list[Item]:
    if len(group) < 2:
        return group
    kinds = dict.fromkeys(item.title for item in group)
    text = ", ".join(list(kinds)[:5]) + (" …" if len(kinds) > 5 else "")
    return [Item("noise", group[0].at_ms, "", "dots", "idle", text, seq=group[0].seq, inside=tuple(group))]


_HEARD_ICONS = {
    "ChannelCreated": "phone-outgoing",
    "Dial": "phone-calling",
    "ChannelDestroyed": "phone-end",
    "ChannelHangupRequest": "phone-end",
    "ChannelEnteredBridge": "phone-call",
    "ChannelDtmfReceived": "dialpad",
    "BridgeBlindTransfer": "transfer",
    "BridgeAttendedTransfer": "transfer",
}


def _event(event: Event, names: Names) -> Item:
    if event.family == "fact":
        told = tell(event, names)
        return Item(
            "fact",
            event.occurred_ms,
            told.title,
            told.icon,
            told.tone,
            told.text,
            f"/events/{event.seq}",
            event.seq,
        )
    short = event.type.partition(".")[2] or event.type
    icon = _HEARD_ICONS.get(short, "ear")
    return Item("heard", event.occurred_ms, short, icon, "idle", event.key, f"/events/{event.seq}", event.seq)


def _attempt(one: Sent, attempt: AttemptView) -> Item:
    tone, icon, word = OUTCOMES.get(attempt.outcome, ("idle", "send", attempt.outcome))
    where = (
        f"{one.subscription} · {one.delivery.destination}" if one.delivery.destination else one.subscription
    )
    title = gettext("%(type)s to %(where)s: %(word)s") % {
        "type": one.delivery.type, "where": where, "word": gettext(word),
    }  # fmt: skip
    text = gettext("attempt %(n)s, %(status)s, %(time)s") % {
        "n": attempt.number, "status": attempt.status or "—", "time": duration(attempt.took_ms),
    }  # fmt: skip
    if attempt.error:
        text += f" · {said(attempt.error)}"
    href = f"/deliveries/{one.delivery.subscription}/{one.delivery.id}"
    return Item("sent", attempt.started_ms, title, icon, tone, text, href, one.delivery.seq)
