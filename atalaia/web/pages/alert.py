"""One alert: evidence, members, what was told of it, its history; taking and silencing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Form, Request, Response
from sqlalchemy import Connection

from atalaia.connections.queries import names
from atalaia.desk.alerts import acts, channels, queries
from atalaia.desk.alerts.queries import Incident, Member, Notice
from atalaia.desk.alerts.receipts import with_receipts
from atalaia.desk.alerts.wording import evidence_of
from atalaia.desk.people.model import NotAllowed
from atalaia.web import i18n, render
from atalaia.web.access import Who, require
from atalaia.web.i18n import N_
from atalaia.web.pages.alerts import Told, href_of, jobs_of
from atalaia.web.pages.common import Part, Words, done, look, now_ms, screens, show
from atalaia.web.pages.telling import Names, data_of, tell
from atalaia.web.parts import parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import Identity

routes = screens("alerts:read")
Writer = Annotated[Who, Depends(require("alerts:write"))]
Text = Annotated[str, Form(max_length=500)]
SPANS = {
    "1": N_("1 hour"), "4": N_("4 hours"), "12": N_("12 hours"), "24": N_("1 day"), "72": N_("3 days"),
    "168": N_("1 week"), "720": N_("30 days"),
}  # fmt: skip
NOTICE_WORDS = {
    "raised": N_("raised"), "grew": N_("more of it"), "flapping": N_("comes and goes"),
    "reminder": N_("reminder"), "resolved": N_("resolved"), "summary": N_("summary"), "test": N_("test"),
}  # fmt: skip
RECEIPT_WORDS = {
    "arrived": N_("arrived"), "read": N_("was read"), "failed": N_("WhatsApp could not deliver it"),
}  # fmt: skip
_HOUR_MS = 3_600_000
MEMBERS_SHOWN = 100


@dataclass
class Shown:
    """What the page shows."""

    alert: Incident
    members: list[Member]
    notices: list[Notice]
    channels: dict[str, str]
    connections: dict[str, str]
    silences: list[queries.Silence]
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    jobs: dict[str, str] = field(default_factory=dict[str, str])


@routes.get("/alerts/{alert}")
async def page(request: Request, alert: Identity, part: Part = "") -> Response:
    """Answer the page of an alert."""
    moment, view, words = now_ms(request), render.view_of(request), Words(request)

    def read(tx: Connection) -> Shown:
        found = queries.get_incident(tx, alert, moment)
        if found is None:
            raise not_found("alert")
        members = queries.members_of(tx, alert, limit=MEMBERS_SHOWN)
        known = names(tx)
        with i18n.drawing(view):
            history = [_line(event, Names(known)) for event in queries.history_of(tx, found, members)]
            jobs = jobs_of(tx, parts_of(request), [found])
        return Shown(
            found, members, _notices(tx, alert), channels.names(tx), known,
            queries.silences_of(tx, found.grouping), list(reversed(history)), jobs,
        )  # fmt: skip

    shown = await look(request, read)
    return show(
        request, "alerts/alert.html", part, alert=shown.alert, shown=shown,
        h=Told(parts_of(request), shown.connections, shown.jobs), href=href_of, evidence_of=evidence_of,
        spans=[(hours, words(text)) for hours, text in SPANS.items()],
        notice_words={kind: words(text) for kind, text in NOTICE_WORDS.items()},
        receipt_words={kind: words(text) for kind, text in RECEIPT_WORDS.items()},
    )  # fmt: skip


def _notices(tx: Connection, alert: str) -> list[Notice]:
    return with_receipts(tx, queries.list_notices(tx, incident=alert))


@routes.post("/alerts/{alert}/acknowledge")
async def acknowledge(request: Request, alert: Identity, who: Writer, note: Text = "") -> Response:
    """Take it."""
    ambient = parts_of(request).ambient
    return await _act(
        request, alert, lambda tx: acts.acknowledge(tx, ambient, alert, by=who.by, note=note),
        N_("You have taken this alert. It is told no more until it is over."),
    )  # fmt: skip


@routes.post("/alerts/{alert}/unacknowledge")
async def unacknowledge(request: Request, alert: Identity, who: Writer) -> Response:
    """Give it back."""
    ambient = parts_of(request).ambient
    return await _act(
        request, alert, lambda tx: acts.unacknowledge(tx, ambient, alert, by=who.by),
        N_("Nobody looks after this alert now; reminders go out again."),
    )  # fmt: skip


@routes.post("/alerts/{alert}/silence")
async def silence(
    request: Request, alert: Identity, who: Writer, reason: Text = "", hours: Text = "4"
) -> Response:
    """Silence it for some hours."""
    ambient = parts_of(request).ambient
    until = silenced_until(request, hours)
    return await _act(
        request, alert,
        lambda tx: acts.silence(tx, ambient, alert, reason=reason, until_ms=until, by=who.by),
        N_("Nobody is told of it until then."),
    )  # fmt: skip


@routes.post("/alerts/{alert}/unsilence")
async def unsilence(
    request: Request, alert: Identity, who: Writer, silence: Annotated[str, Form(max_length=36)] = ""
) -> Response:
    """End a silence."""
    ambient = parts_of(request).ambient
    return await _act(
        request, alert, lambda tx: acts.unsilence(tx, ambient, silence, by=who.by),
        N_("The silence is over: if the alert still stands, it is told now."),
    )  # fmt: skip


def silenced_until(request: Request, hours: str) -> int:
    """Answer the end of a silence that begins now, in ms."""
    return now_ms(request) + int(hours if hours in SPANS else "4") * _HOUR_MS


async def _act(request: Request, alert: str, act: Callable[[Connection], object], said: str) -> Response:
    words = Words(request)
    try:
        await parts_of(request).store.write(act)
    except NotAllowed as error:
        return done(request, f"/alerts/{alert}", words(str(error)), "bad")
    return done(request, f"/alerts/{alert}", words(said))


def _line(event: Any, named: Names) -> dict[str, Any]:
    told, data = tell(event, named), data_of(event)
    by = "person" if event.type.partition(".")[2] not in ("raised", "resolved") else "fact"
    more = str(data.get("reason") or data.get("note") or "")
    return {
        "at": told.at_ms, "title": told.title, "icon": told.icon, "tone": told.tone, "kind": by,
        "text": " · ".join(one for one in (told.text, more) if one), "href": f"/events/{event.seq}",
    }  # fmt: skip
