"""Facts in words: one line per fact, with an icon, a tone, and the page that shows more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote

import orjson

from atalaia.desk.vehicles.plates import Plates
from atalaia.events.model import Event
from atalaia.web.i18n import N_, gettext
from atalaia.web.pages.directory import Book
from atalaia.web.pages.installs import tell_catalog, tell_installation
from atalaia.web.pages.telling_chats import tell_chat
from atalaia.web.pages.work import tell_job, tell_process, tell_vehicle
from atalaia.web.said import said
from atalaia.web.show import stopwatch
from atalaia.web.states import sign

KINDS = {
    "apto": N_("apartment"),
    "unidade": N_("smartphone"),
    "condominio": N_("common area"),
    "ia": N_("virtual attendant"),
    "ring-member": N_("group member"),
    "ring-group": N_("ring group"),
}

REASONS = {
    "busy": N_("busy"),
    "rejected": N_("rejected"),
    "noanswer": N_("nobody answered"),
    "unavailable": N_("not available"),
    "offline": N_("phone offline"),
    "cancelled": N_("the caller gave up"),
    "lost": N_("ended while nobody listened"),
}
HANGUPS = {
    "origin": N_("the caller"),
    "destiny": N_("the callee"),
    "system": N_("the system"),
    "transfer": N_("by transfer"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """One fact as a person reads it. `title` is in the view's language; `type` is its name in the log."""

    seq: int
    at_ms: int
    type: str
    icon: str
    tone: str
    title: str
    text: str = ""
    href: str = ""


@dataclass(frozen=True)
class Names:
    """What the ids in facts are called."""

    connections: Mapping[str, str] = field(default_factory=dict[str, str])
    subscriptions: Mapping[str, str] = field(default_factory=dict[str, str])
    book: Book = field(default_factory=Book)
    plates: Plates = field(default_factory=dict[tuple[str, str], str])

    def vehicle(self, connection: str, identity: str) -> str:
        """Answer how people call a vehicle: its plate, else its id."""
        return self.plates.get((connection, identity)) or identity

    def party(self, number: str, kind: str = "") -> str:
        """Answer a caller or callee: number and name, or number and kind; words when there is no number."""
        if not number:
            return gettext("without number")
        name = self.book.name(number) or (gettext(KINDS[kind]) if kind in KINDS else "")
        return f"{number} {name}" if name else number

    def connection(self, identity: str) -> str:
        """Answer a connection's name, or its id when it never had one."""
        return self.connections.get(identity) or identity

    def subscription(self, identity: str) -> str:
        """Answer a subscription's name."""
        return self.subscriptions.get(identity) or identity


Teller = Callable[[Event, dict[str, Any], Names], tuple[str, str, str, str, str]]


def tell(event: Event, names: Names) -> Told:
    """Say a fact in the language of the view being drawn; one that has no words shows its type and key."""
    data = data_of(event)
    teller = _TELLERS.get(event.type) or _BY_THING.get(event.type.partition(".")[0], _plain)
    try:
        icon, tone, title, text, href = teller(event, data, names)
    except (KeyError, TypeError, ValueError):  # data of another version: still a row, without its words
        icon, tone, title, text, href = _plain(event, data, names)
    where = href or f"/events/{event.seq}"
    return Told(event.seq, event.occurred_ms, event.type, icon, tone, title, text, where)


def data_of(event: Event) -> dict[str, Any]:
    """Answer a fact's data, {} when its body is no JSON object."""
    try:
        found: Any = orjson.loads(event.body)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def reason_word(reason: str) -> str:
    """Answer why a call ended, in words; a reason that we do not know is shown as it is."""
    return gettext(REASONS[reason]) if reason in REASONS else reason


def kind_word(kind: str) -> str:
    """Answer a kind of phone in words; one that we do not know is shown as it is."""
    return gettext(KINDS[kind]) if kind in KINDS else kind


def _plain(event: Event, _: dict[str, Any], names: Names) -> tuple[str, str, str, str, str]:
    return "circle-dot", "idle", event.type, event.key, ""


def _call(event: Event, data: dict[str, Any], names: Names) -> tuple[str, str, str, str, str]:
    origin = names.party(str(data.get("origin") or ""), str(data.get("origin_type") or ""))
    destiny = names.party(
        str(data.get("destiny") or data.get("dialled") or ""), str(data.get("destiny_type") or "")
    )
    client = names.book.client(str(data.get("client") or ""))
    href = f"/calls/{quote(event.key)}"
    if event.type == "call.opened":
        title = gettext("%(origin)s calls %(destiny)s") % {"origin": origin, "destiny": destiny}
        return "phone-ringing", "info", title, client, href
    if event.type == "call.answered":
        by = str(data.get("answered_by") or "") or destiny
        title = gettext("%(by)s answered %(origin)s") % {"by": by, "origin": origin}
        return "phone-call", "good", title, client, href
    if data.get("outcome") == "unanswered":
        title = gettext("%(origin)s was not answered by %(destiny)s") % {"origin": origin, "destiny": destiny}
        return "phone-x", "bad", title, _join(client, reason_word(str(data.get("reason") or ""))), href
    talk = stopwatch(1000 * int(data.get("talk_s") or 0))
    title = gettext("%(origin)s and %(destiny)s talked for %(time)s") % {
        "origin": origin, "destiny": destiny, "time": talk,
    }  # fmt: skip
    return "phone-check", "idle", title, client, href


def _connection(event: Event, data: dict[str, Any], names: Names) -> tuple[str, str, str, str, str]:
    state = event.type.partition(".")[2]
    name = str(data.get("name") or names.connection(event.key))
    href = f"/connections/{quote(event.key)}"
    words = {"created": N_("set up"), "changed": N_("changed"), "deleted": N_("removed")}
    if state in words:
        title = gettext("%(name)s: %(word)s") % {"name": name, "word": gettext(words[state])}
        return "plug-connected", "idle", title, _by(data), "" if state == "deleted" else href
    kind = str(data.get("kind") or "")
    looks = sign(f"truth_{kind}" if kind else state)
    title = gettext("%(name)s: %(word)s") % {"name": name, "word": looks.said.lower()}
    return looks.icon, looks.tone, title, said(str(data.get("ask") or data.get("reason") or "")), href


def _gap(event: Event, data: dict[str, Any], names: Names) -> tuple[str, str, str, str, str]:
    name = names.connection(event.key or event.connection)
    href = f"/connections/{quote(event.key or event.connection)}#gaps"
    if event.type == "gap.opened":
        lone = data.get("to_ms") is not None  # it is over already, and hearing never was
        title = gettext("%(name)s missed something") if lone else gettext("%(name)s is not heard any more")
        title = title % {"name": name}
        return "ear", "info", title, said(str(data.get("cause") or "")), href
    looks = sign({"no": "nothing_lost", "yes": "something_lost"}.get(str(data.get("lost")), "loss_unknown"))
    if data.get("routine"):
        title = gettext("Routine check of %(name)s: %(word)s") % {"name": name, "word": looks.said.lower()}
        return looks.icon, looks.tone, title, "", href
    title = gettext("Gap of %(name)s closed: %(word)s") % {"name": name, "word": looks.said.lower()}
    return looks.icon, looks.tone, title, "", href


_LOOKED = {
    "healthy": ("circle-check", "good", N_("all is well")),
    "sick": ("alert-triangle", "bad", N_("the trouble is proven")),
    "person": ("user-off", "ask", N_("a person is needed")),
    "not_known": ("help-circle", "info", N_("it proves nothing")),
}


def _looked(event: Event, data: dict[str, Any], names: Names) -> tuple[str, str, str, str, str]:
    icon, tone, word = _LOOKED.get(str(data.get("health")), _LOOKED["not_known"])
    title = gettext("%(name)s: a look says that %(word)s") % {
        "name": names.connection(event.key), "word": gettext(word),
    }  # fmt: skip
    return icon, tone, title, said(str(data.get("said") or "")), f"/connections/{quote(event.key)}"


_RECOVERY = {
    "recovery.tried": ("refresh", "info", N_("%(name)s: “%(rung)s” is tried")),
    "recovery.proved": ("circle-check", "good", N_("%(name)s: “%(rung)s” helped")),
    "recovery.failed": ("x", "bad", N_("%(name)s: “%(rung)s” did not help")),
}


def _recovery(event: Event, data: dict[str, Any], names: Names) -> tuple[str, str, str, str, str]:
    icon, tone, form = _RECOVERY[event.type]
    rung = gettext(str(data["title"])) if data.get("title") else str(data.get("rung") or "?")
    title = gettext(form) % {"name": names.connection(event.key), "rung": rung}
    why = sign(f"truth_{data['cause']}").said if data.get("cause") else ""
    text = said(str(data.get("said") or "")) or why
    return icon, tone, title, text, f"/connections/{quote(event.key)}"


def _endpoint(event: Event, data: dict[str, Any], names: Names) -> tuple[str, str, str, str, str]:
    number = str(data.get("endpoint") or event.key)
    phone = names.party(number)
    href = f"/calls/phones?q={quote(number)}"
    if event.type == "endpoint.wake_requested":
        title = gettext("%(phone)s was asked to wake up") % {"phone": phone}
        return "device-mobile", "info", title, "", href
    if event.type == "endpoint.address_seen":
        title = gettext("%(phone)s registered") % {"phone": phone}
        return "network", "idle", title, str(data.get("address") or ""), href
    looks = sign(str(data.get("status") or "unknown"))
    title = gettext("%(phone)s is %(word)s") % {"phone": phone, "word": looks.said.lower()}
    return looks.icon, looks.tone, title, str(data.get("address") or ""), href


def _target(event: Event, data: dict[str, Any], names: Names) -> tuple[str, str, str, str, str]:
    subscription = str(data.get("subscription") or "")
    place = _join(names.subscription(subscription), str(data.get("destination") or ""))
    href = f"/deliveries/{quote(subscription)}" if subscription else "/deliveries"
    error = said(str(data.get("error") or ""))
    match event.type:
        case "target.opened":
            return (
                "plug-x",
                "bad",
                gettext("%(place)s does not take deliveries") % {"place": place},
                error,
                href,
            )
        case "target.closed":
            return (
                "plug-connected",
                "good",
                gettext("%(place)s takes deliveries again") % {"place": place},
                "",
                href,
            )
        case "delivery.dead":
            return (
                "skull",
                "ask",
                gettext("A delivery to %(place)s was given up") % {"place": place},
                error,
                href,
            )
        case _:
            place = names.subscription(event.key)
            title = gettext("Deliveries of %(place)s were sent again") % {"place": place}
            return "repeat", "info", title, _by(data), f"/deliveries/{quote(event.key)}"


def _subscription(event: Event, data: dict[str, Any], names: Names) -> tuple[str, str, str, str, str]:
    words = {"created": N_("set up"), "changed": N_("changed"), "deleted": N_("removed")}
    word = words.get(event.type.partition(".")[2], event.type)
    name = str(data.get("name") or names.subscription(event.key))
    title = gettext("Subscription %(name)s: %(word)s") % {"name": name, "word": gettext(word)}
    return "send", "idle", title, _by(data), f"/deliveries/{quote(event.key)}"


_ALERTS = {
    "alert.acknowledged": ("user", N_("Alert taken: %(title)s")),
    "alert.unacknowledged": ("arrow-back-up", N_("Alert given back: %(title)s")),
    "alert.silenced": ("bell-off", N_("Alert silenced: %(title)s")),
    "alert.unsilenced": ("bell", N_("A silence was ended")),
    "alert.notified": ("send", N_("Told: %(title)s")),
    "alert.notice_failed": ("x", N_("Could not be told: %(title)s")),
    "alert.notice_passed": ("arrow-right", N_("Left to another channel: %(title)s")),
    "alert.notice_returned": ("arrow-back-up", N_("Was not delivered: %(title)s")),
    "alert.channel_created": ("bell", N_("Channel for alerts %(name)s: set up")),
    "alert.channel_changed": ("bell", N_("Channel for alerts %(name)s: changed")),
    "alert.channel_deleted": ("bell", N_("Channel for alerts %(name)s: removed")),
}


def _alert(event: Event, data: dict[str, Any], names: Names) -> tuple[str, str, str, str, str]:
    if event.type == "alert.resolved":
        return "circle-check", "good", gettext("Alert resolved"), said(event.key), "/alerts"
    if event.type == "alert.raised":
        return "bell-ringing", "ask", said(str(data.get("title") or event.key)), "", "/alerts"
    icon, words = _ALERTS[event.type]
    values = {"name": "", **data, "title": said(str(data.get("title") or ""))}
    about_channel = event.type.startswith("alert.channel") or data.get("kind") in ("test", "summary")
    href = "/settings/channels" if about_channel else f"/alerts/{quote(event.key)}"
    tone = "bad" if event.type in ("alert.notice_failed", "alert.notice_returned") else "idle"
    return icon, tone, gettext(words) % values, _by(data), href


_PEOPLE = {
    "person.created": ("user-plus", N_("%(email)s may sign in")),
    "person.changed": ("user", N_("%(email)s was changed")),
    "person.invited": ("mail", N_("A one-time link for %(email)s was made")),
    "person.signed_in": ("login", N_("%(email)s signed in")),
    "person.signed_out": ("logout", N_("%(email)s signed out")),
    "person.sign_in_failed": ("lock", N_("A sign-in as %(email)s was refused")),
    "token.created": ("key", N_("API token %(name)s was made")),
    "token.revoked": ("key", N_("API token %(name)s was revoked")),
    "settings.changed": ("settings", N_("Settings were changed: %(key)s")),
    "reaction.retried": ("refresh", N_("A parked event of %(key)s is tried again")),
    "retention.swept": ("database", N_("What was older than the rules allow was deleted")),
    "worker.lost": ("heartbeat", N_("Worker %(host)s stopped showing signs of life")),
}


def _person(event: Event, data: dict[str, Any], names: Names) -> tuple[str, str, str, str, str]:
    icon, words = _PEOPLE[event.type]
    values = {"key": event.key, "email": "", "name": "", "host": ""} | data
    tone = "bad" if event.type in ("worker.lost", "person.sign_in_failed") else "idle"
    href = "/system" if event.type == "worker.lost" else ""
    return icon, tone, gettext(words) % values, _by(data), href


def _by(data: Mapping[str, Any]) -> str:
    by: Any = data.get("by")
    name = str(cast("dict[str, Any]", by).get("name") or "") if isinstance(by, dict) else str(by or "")
    return gettext("by %(name)s") % {"name": name} if name else ""


def _join(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


_BY_THING: dict[str, Teller] = {
    "call": _call,
    "connection": _connection,
    "gap": _gap,
    "recovery": _recovery,
    "session": _looked,
    "endpoint": _endpoint,
    "target": _target,
    "delivery": _target,
    "subscription": _subscription,
    "alert": _alert,
    "job": tell_job,
    "process": tell_process,
    "vehicle": tell_vehicle,
    "installation": tell_installation,
    "catalog": tell_catalog,
    "message": tell_chat,
    "contact": tell_chat,
    "conversation": tell_chat,
    "canned_reply": tell_chat,
    "ticket": tell_chat,
}
_TELLERS: dict[str, Teller] = dict.fromkeys(_PEOPLE, _person)
