"""Channels for alerts: who is told, in which words, which alerts, and when not; tried before it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from zoneinfo import available_timezones

from fastapi import Depends, Request, Response
from sqlalchemy import Connection
from starlette.datastructures import FormData

from atalaia.connections.queries import list_connections
from atalaia.desk.alerts import channels, queries
from atalaia.desk.alerts.channels import SESSION, Channel, Policy, SessionPlace, read_session_place
from atalaia.desk.alerts.queries import Notice
from atalaia.desk.alerts.receipts import with_receipts
from atalaia.desk.alerts.sending import Sent
from atalaia.desk.alerts.sessions import Teller, can_tell
from atalaia.desk.people.model import NotAllowed
from atalaia.errors import ConfigError
from atalaia.serve import telling_kinds
from atalaia.web import i18n
from atalaia.web.access import Who, require
from atalaia.web.alerting import register_of
from atalaia.web.api.alert_desk import known_channel, usual_policy
from atalaia.web.i18n import N_
from atalaia.web.pages.alert import NOTICE_WORDS, RECEIPT_WORDS
from atalaia.web.pages.alerts import SEVERITY_WORDS
from atalaia.web.pages.common import Part, Words, done, flash, look, screens, show
from atalaia.web.parts import Parts, parts_of
from atalaia.web.render import PLACES
from atalaia.web.wire import Identity

routes = screens("alerts:read")
Admin = Annotated[Who, Depends(require("alerts:admin"))]
REPEATS = {
    "0": N_("never"), "30": N_("every 30 minutes"), "60": N_("every hour"), "240": N_("every 4 hours"),
    "720": N_("every 12 hours"), "1440": N_("every day"),
}  # fmt: skip
KINDS = {"apprise": N_("a service, by its address"), SESSION: N_("a session of ours")}
NOTICES_SHOWN = 20
USUAL = Policy()


@dataclass
class Shown:
    """What the form and the list may show."""

    channel: Channel | None = None
    connections: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    worlds: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    notices: list[Notice] = field(default_factory=list[Notice])
    kind: str = "apprise"
    tellers: list[Teller] = field(default_factory=list[Teller])
    sessions: Sequence[str] = ()


@routes.get("/settings/channels")
async def list_page(request: Request, part: Part = "") -> Response:
    """Answer all channels, each with what it was told last."""

    def read(tx: Connection) -> list[tuple[Channel, Notice | None, int]]:
        found: list[tuple[Channel, Notice | None, int]] = []
        for one in channels.list_channels(tx):
            told = queries.list_notices(tx, channel=one.id, limit=50)
            last = next(
                (notice for notice in told if notice.state in ("sent", "failed") or notice.attempts), None
            )
            waits = sum(1 for notice in told if notice.state in ("pending", "sending", "held"))
            found.append((one, last, waits))
        return found

    words = Words(request)
    return show(
        request, "settings/channels.html", part, here="channels", rows=await look(request, read),
        severities={key: words(text) for key, text in SEVERITY_WORDS.items()},
        languages_known=i18n.LANGUAGES, notice_words={key: words(text) for key, text in NOTICE_WORDS.items()},
    )  # fmt: skip


@routes.get("/settings/channels/new")
async def new_page(request: Request, who: Admin) -> Response:
    """Answer the empty form."""
    return _draw(request, await look(request, lambda tx: _shown(request, tx, None)))


@routes.post("/settings/channels/test")
async def try_form(request: Request, who: Admin) -> Response:
    """Send a test to what the form says; nothing is kept."""
    form = await request.form()
    register = register_of(request)
    identity = str(form.get("channel") or "")
    try:
        channel = await known_channel(parts_of(request), identity) if identity else None
        place = read_place(form, parts_of(request), channel)
        if not place and channel is None:
            raise NotAllowed(N_("Give an address, e.g. mailto:// or tgram://."), field="place")
        language = str(form.get("language") or "")
        if place:
            sent = await register.test(None, place=place, language=language, by=who.by)
        else:
            sent = await register.test(channel, by=who.by)
    except (NotAllowed, ConfigError) as error:
        return _tried(request, None, str(error))
    return _tried(request, sent, "")


@routes.post("/settings/channels/save")
async def save(request: Request, who: Admin) -> Response:
    """Keep what the form says."""
    form, register, words = await request.form(), register_of(request), Words(request)
    identity = str(form.get("channel") or "")
    name, enabled = str(form.get("name") or ""), "enabled" in form
    try:
        channel = await known_channel(parts_of(request), identity) if identity else None
        place = read_place(form, parts_of(request), channel)
        if identity:
            given = read_form(form)
            await register.change(identity, by=who.by, name=name, place=place, policy=given, enabled=enabled)
        else:
            policy = channels.read_policy(read_form(form), usual_policy(parts_of(request)))
            await register.create(name, place, policy, by=who.by, enabled=enabled)
    except NotAllowed as error:
        return _tried(request, None, str(error))
    answer = Response(status_code=204, headers={"HX-Redirect": "/settings/channels"})
    flash(request, answer, words(N_("%(name)s was saved."), name=name.strip()))
    return answer


@routes.get("/settings/channels/{channel}")
async def edit_page(request: Request, who: Admin, channel: Identity) -> Response:
    """Answer the form of a channel; its address is not shown, an empty one stays."""
    await known_channel(parts_of(request), channel)
    return _draw(request, await look(request, lambda tx: _shown(request, tx, channel)))


@routes.post("/settings/channels/{channel}/test")
async def test(request: Request, who: Admin, channel: Identity) -> Response:
    """Send a test to a channel that is kept."""
    found, words = await known_channel(parts_of(request), channel), Words(request)
    try:
        sent = await register_of(request).test(found, by=who.by)
    except ConfigError as error:
        sent = Sent(False, str(error))
    if sent.ok:
        said = words(N_("%(name)s took the test in %(ms)s ms."), name=found.name, ms=sent.took_ms)
        return done(request, "/settings/channels", said)
    said = words(N_("%(name)s did not take the test: %(said)s"), name=found.name, said=sent.said)
    return done(request, "/settings/channels", said, "bad")


@routes.post("/settings/channels/{channel}/delete")
async def delete(request: Request, who: Admin, channel: Identity) -> Response:
    """Delete it."""
    await known_channel(parts_of(request), channel)
    await register_of(request).delete(channel, by=who.by)
    return done(request, "/settings/channels", Words(request)(N_("Removed.")))


def read_place(form: FormData, parts: Parts, channel: Channel | None) -> str:
    """Read where a channel tells; "" = as before. Errors: `NotAllowed`, `ConfigError`."""
    kind = str(form.get("kind") or "apprise")
    if kind != SESSION:
        place = str(form.get("place") or "").strip()
        if not place and channel is not None and channel.kind != kind:
            raise NotAllowed(N_("Give an address, e.g. mailto:// or tgram://."), field="place")
        return place
    before = _sessions_of(parts, channel)
    to = str(form.get("to") or "").strip() or (before.to if before else "")
    place = SessionPlace(tuple(str(one) for one in form.getlist("sessions") if one), to)
    read_session_place(str(place))
    return "" if place == before else str(place)


def _sessions_of(parts: Parts, channel: Channel | None) -> SessionPlace | None:
    if channel is None or channel.kind != SESSION:
        return None
    return read_session_place(parts.secretbox.open(channel.sealed))


def read_form(form: FormData) -> dict[str, Any]:
    """Read a channel's policy from the form. Errors: `NotAllowed`."""
    return {
        "severity": str(form.get("severity") or "warning"),
        "worlds": [str(one) for one in form.getlist("worlds") if one],
        "connections": [str(one) for one in form.getlist("connections") if one],
        "language": str(form.get("language") or ""),
        "zone": str(form.get("zone") or ""),
        "quiet_from": str(form.get("quiet_from") or ""),
        "quiet_to": str(form.get("quiet_to") or ""),
        "urgent_passes": "urgent_passes" in form,
        "repeat_min": _number(form, "repeat_min", "0", N_("Write minutes, at most a week of them.")),
        "hold_s": _number(form, "hold_s", str(USUAL.hold_s), N_("Write seconds, at most an hour of them.")),
        "retry_h": _number(form, "retry_h", str(USUAL.retry_h), N_("Write hours, between 1 and 168.")),
    }


def _number(form: FormData, name: str, usual: str, wrong: str) -> int:
    text = str(form.get(name) or "").strip() or usual
    if not text.isdecimal() or len(text) > 6:
        raise NotAllowed(wrong, field=name)
    return int(text)


def _shown(request: Request, tx: Connection, identity: str | None) -> Shown:
    words = Words(request)
    labels = {place.world: place.label for place in reversed(PLACES) if place.world}
    worlds = sorted({one.world for one in parts_of(request).connectors.values()} - {""})
    channel = channels.get_channel(tx, identity) if identity else None
    told = queries.list_notices(tx, channel=identity, limit=NOTICES_SHOWN) if identity else []
    chosen = _sessions_of(parts_of(request), channel)
    return Shown(
        channel, [(one.id, one.name) for one in list_connections(tx, with_planes=False)],
        [(one, words(labels.get(one, one))) for one in worlds], with_receipts(tx, told),
        channel.kind if channel else "apprise", can_tell(tx, telling_kinds(parts_of(request).connectors)),
        chosen.sessions if chosen else (),
    )  # fmt: skip


def _draw(request: Request, shown: Shown) -> Response:
    words = Words(request)
    policy: Policy = shown.channel.policy if shown.channel else usual_policy(parts_of(request))
    repeats = (
        REPEATS
        if str(policy.repeat_min) in REPEATS
        else {**REPEATS, str(policy.repeat_min): f"{policy.repeat_min} min"}
    )
    return show(
        request, "settings/channel.html", channel=shown.channel, policy=policy, shown=shown, sent=None,
        error="",
        severities=[("warning", words(N_("all alerts"))), ("urgent", words(N_("only urgent ones")))],
        repeats=[(key, words(text)) for key, text in repeats.items()],
        kinds=[(key, words(text)) for key, text in KINDS.items()],
        receipt_words={key: words(text) for key, text in RECEIPT_WORDS.items()},
        zones=sorted(zone for zone in available_timezones() if "/" in zone),
        notice_words={key: words(text) for key, text in NOTICE_WORDS.items()},
    )  # fmt: skip


def _tried(request: Request, sent: Sent | None, error: str) -> Response:
    said = Words(request)(parts_of(request).redactor.text(error)) if error else ""
    return show(request, "settings/channel.html", "tried", sent=sent, error=said)
