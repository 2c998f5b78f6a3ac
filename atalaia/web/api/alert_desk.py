"""Alerts as people see them, with what is done about them, and the channels that tell them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response
from pydantic import Field
from sqlalchemy import Connection

from atalaia.clock import to_ms
from atalaia.desk.alerts import acts, channels, queries
from atalaia.desk.alerts.channels import Channel
from atalaia.desk.alerts.queries import Incident, Notice, Wanted
from atalaia.desk.alerts.receipts import with_receipts
from atalaia.web.access import Who, require
from atalaia.web.alerting import register_of
from atalaia.web.api.common import ONCE, Asked, Wire, router
from atalaia.web.parts import Parts, parts_of
from atalaia.web.problems import not_found
from atalaia.web.wire import Cursor, Identity, Instant, Limit, Moment, Page, ms_of, page_of, read_cursor

routes = router("alerts")
_READ = [Depends(require("alerts:read"))]
Writer = Annotated[Who, Depends(require("alerts:write"))]
Admin = Annotated[Who, Depends(require("alerts:admin"))]
Json = dict[str, Any]
Name = Annotated[str, Field(min_length=1, max_length=120)]
Place = Annotated[
    str,
    Field(
        min_length=1, max_length=2_000,
        description="An Apprise address, or `session://CONNECTION,CONNECTION/TO` for sessions of our own, "
        "the first that can; TO is a number with its country code or a group's id. Never answered.",
    ),
]  # fmt: skip
Time = Annotated[str, Field(max_length=5, description="HH:MM, empty for none.")]


class SilenceOut(Wire):
    """Somebody wants nobody to be told of an alert, and of later ones with the same cause, until then.

    Or of a connection: then `connection` is its id, and `alert` and `grouping` are empty.
    """

    id: str
    connection: str
    alert: str = Field(validation_alias="incident")
    grouping: str
    reason: str
    by: str
    from_at: Moment = Field(validation_alias="from_ms")
    until_at: Moment = Field(validation_alias="until_ms")
    ended_at: Moment | None = Field(validation_alias="ended_ms")


class AckOut(Wire):
    """Who has taken an alert."""

    by: str
    note: str
    at: Moment = Field(validation_alias="at_ms")


class IncidentOut(Wire):
    """One alert: one cause, however many suffer from it. state: raised, silenced, resolved.

    `members` were ever part of it, `standing` still are. `turns`: how often it came. `since_at`: since when
    it is so; `opened_at`: when it was raised. `detail` says what is known, by which evidence, what to do.
    """

    id: str
    state: str
    kind: str
    severity: str
    title: str
    detail: Json
    grouping: str
    since_at: Moment = Field(validation_alias="since_ms")
    opened_at: Moment = Field(validation_alias="opened_ms")
    resolved_at: Moment | None = Field(validation_alias="resolved_ms")
    turns: int
    flapping: bool
    members: int
    standing: int
    silence: SilenceOut | None
    ack: AckOut | None


class MemberOut(Wire):
    """One single cause in an alert."""

    cause: str
    title: str
    detail: Json
    connection: str
    raised_at: Moment = Field(validation_alias="raised_ms")
    resolved_at: Moment | None = Field(validation_alias="resolved_ms")
    times: int


class NoticeOut(Wire):
    """One message to one channel. state: held (quiet hours), pending, sending, sent, failed, summed (told in
    a summary), passed (left to another channel), dropped.

    `again`: the hub was cut short while it sent it, so it may have come twice. `job`: that sent it by a
    session of our own; `receipt` says what is known of such a message: "", arrived, read, failed.
    """

    id: str
    channel: str
    alert: str = Field(validation_alias="incident")
    kind: str
    state: str
    title: str
    body: str
    attempts: int
    again: bool
    error: str
    job: str
    receipt: str
    created_at: Moment = Field(validation_alias="created_ms")
    next_at: Moment | None = Field(validation_alias="next_ms")
    done_at: Moment | None = Field(validation_alias="done_ms")


class IncidentWhole(Wire):
    """An alert with up to 500 members and its last notices."""

    alert: IncidentOut
    members: list[MemberOut]
    notices: list[NoticeOut]


class PolicyAsked(Asked):
    """Which alerts a channel tells, how, and when not; what is left out stays, or is as usual."""

    severity: Literal["urgent", "warning"] | None = None
    worlds: Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=20)] | None = None
    connections: Annotated[list[Identity], Field(max_length=500)] | None = None
    language: Literal["pt_BR", "en"] | None = None
    zone: Annotated[str, Field(max_length=60, pattern=r"^[A-Za-z0-9_+/-]+$")] | None = None
    quiet_from: Time | None = None
    quiet_to: Time | None = None
    urgent_passes: bool | None = None
    repeat_min: Annotated[int, Field(ge=0, le=10_080)] | None = None
    hold_s: Annotated[int, Field(ge=0, le=3_600)] | None = None
    retry_h: Annotated[int, Field(ge=1, le=168)] | None = None

    def given(self) -> Json:
        """Answer what was given."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class ChannelOut(Wire):
    """A place where alerts are told; `service` is what Apprise calls it. Its address is never answered."""

    id: str
    name: str
    kind: str
    service: str = Field(validation_alias="hint")
    enabled: bool
    policy: Json
    created_at: Moment = Field(validation_alias="created_ms")
    changed_at: Moment = Field(validation_alias="changed_ms")


class ChannelCreate(Asked):
    """A channel to make."""

    name: Name
    place: Place
    policy: PolicyAsked = Field(default_factory=PolicyAsked)
    enabled: bool = True


class ChannelChange(Asked):
    """What to change; what is left out stays."""

    name: Name | None = None
    place: Place | None = None
    policy: PolicyAsked | None = None
    enabled: bool | None = None


class AckAsked(Asked):
    """Taking an alert."""

    note: Annotated[str, Field(max_length=500)] = ""


class SilenceAsked(Asked):
    """Silencing an alert: why, and until when (30 days at most)."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]
    until: Instant


class SilenceConnection(SilenceAsked):
    """Silencing all that is about a connection."""

    connection: Identity


class SentOut(Wire):
    """How a test went; `said` is why not."""

    ok: bool
    said: str
    service: str
    took_ms: int


@routes.get("/hub/alerts", dependencies=_READ)
async def list_incidents(
    request: Request,
    state: Annotated[Literal["open", "silenced", "resolved", "all"], Query()] = "open",
    severity: Annotated[Literal["", "urgent", "warning"], Query()] = "",
    kind: Annotated[str, Query(max_length=40)] = "",
    connection: Annotated[str, Query(max_length=36)] = "",
    q: Annotated[str, Query(max_length=120)] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[IncidentOut]:
    """List alerts grouped by cause, the latest first. `/api/alerts` lists the single causes."""
    parts, before = parts_of(request), read_cursor(cursor, int, str)
    wanted, now = Wanted(state, severity, kind, connection, q), _now(parts)
    found = await parts.store.read(
        lambda tx: queries.list_incidents(tx, wanted, now, before=before, limit=limit + 1)
    )
    rows, following = page_of(found, limit, "opened_ms", "id")
    return Page(items=[_incident_out(parts, one) for one in rows], next=following)


@routes.get("/hub/alerts/{alert}", dependencies=_READ)
async def get_incident(request: Request, alert: Identity) -> IncidentWhole:
    """Answer one alert with its members and what was told of it."""
    parts = parts_of(request)

    def read(tx: Connection) -> tuple[Incident, list[queries.Member], list[Notice]]:
        found = queries.get_incident(tx, alert, _now(parts))
        if found is None:
            raise not_found("alert")
        return found, queries.members_of(tx, alert), _notices(tx, incident=alert)

    found, members, notices = await parts.store.read(read)
    shown = [MemberOut.model_validate(one) for one in members]
    for one in shown:
        one.title, one.detail = parts.redactor.text(one.title), parts.redactor.value(one.detail)
    told = [NoticeOut.model_validate(one) for one in notices]
    return IncidentWhole(alert=_incident_out(parts, found), members=shown, notices=told)


@routes.post("/hub/alerts/{alert}/acknowledge", dependencies=ONCE)
async def acknowledge(request: Request, alert: Identity, who: Writer, asked: AckAsked) -> IncidentOut:
    """Take an alert: it is told no more, except when it is over."""
    parts = parts_of(request)
    await _known(parts, alert)
    found = await parts.store.write(
        lambda tx: acts.acknowledge(tx, parts.ambient, alert, by=who.by, note=asked.note)
    )
    return _incident_out(parts, found)


@routes.delete("/hub/alerts/{alert}/acknowledge")
async def unacknowledge(request: Request, alert: Identity, who: Writer) -> IncidentOut:
    """Give an alert back."""
    parts = parts_of(request)
    await _known(parts, alert)
    found = await parts.store.write(lambda tx: acts.unacknowledge(tx, parts.ambient, alert, by=who.by))
    return _incident_out(parts, found)


@routes.post("/hub/alerts/{alert}/silence", status_code=201, dependencies=ONCE)
async def silence(request: Request, alert: Identity, who: Writer, asked: SilenceAsked) -> SilenceOut:
    """Tell nobody of this alert, and of later ones with the same cause, until then."""
    parts, until = parts_of(request), ms_of(asked.until) or 0
    await _known(parts, alert)
    made = await parts.store.write(
        lambda tx: acts.silence(tx, parts.ambient, alert, reason=asked.reason, until_ms=until, by=who.by)
    )
    return SilenceOut.model_validate(made)


@routes.get("/hub/silences", dependencies=_READ)
async def list_silences(
    request: Request, in_force: Annotated[bool | None, Query()] = None, limit: Limit = 50
) -> list[SilenceOut]:
    """List silences, those in force first. in_force: only those, or only the others."""
    parts = parts_of(request)
    found = await parts.store.read(
        lambda tx: queries.list_silences(tx, _now(parts), in_force=in_force, limit=limit)
    )
    return [SilenceOut.model_validate(one) for one in found]


@routes.post("/hub/silences", status_code=201, dependencies=ONCE)
async def silence_connection(request: Request, who: Writer, asked: SilenceConnection) -> SilenceOut:
    """Tell nobody of alerts about a connection until then; one that others suffer from, too, is told."""
    parts, until = parts_of(request), ms_of(asked.until) or 0
    made = await parts.store.write(
        lambda tx: acts.silence_connection(
            tx, parts.ambient, asked.connection, reason=asked.reason, until_ms=until, by=who.by
        )
    )
    return SilenceOut.model_validate(made)


@routes.delete("/hub/silences/{silence_id}")
async def unsilence(request: Request, silence_id: Identity, who: Writer) -> SilenceOut:
    """End a silence before its time; what still stands is told now."""
    parts = parts_of(request)
    if await parts.store.read(lambda tx: queries.get_silence(tx, silence_id)) is None:
        raise not_found("silence")
    ended = await parts.store.write(lambda tx: acts.unsilence(tx, parts.ambient, silence_id, by=who.by))
    return SilenceOut.model_validate(ended)


@routes.get("/hub/notices", dependencies=_READ)
async def list_notices(
    request: Request,
    alert: Annotated[str, Query(max_length=36)] = "",
    channel: Annotated[str, Query(max_length=36)] = "",
    limit: Limit = 50,
) -> list[NoticeOut]:
    """List what was told, or waits to be, the latest first."""
    found = await parts_of(request).store.read(
        lambda tx: _notices(tx, incident=alert, channel=channel, limit=limit)
    )
    return [NoticeOut.model_validate(one) for one in found]


@routes.get("/hub/alert-channels", dependencies=_READ)
async def list_channels(request: Request) -> list[ChannelOut]:
    """List the channels by name."""
    found = await parts_of(request).store.read(channels.list_channels)
    return [_channel_out(one) for one in found]


@routes.post("/hub/alert-channels", status_code=201, dependencies=ONCE)
async def create_channel(
    request: Request, response: Response, who: Admin, asked: ChannelCreate
) -> ChannelOut:
    """Make a channel. Its address is read, not tried: see its test."""
    policy = channels.read_policy(asked.policy.given(), usual_policy(parts_of(request)))
    made = await register_of(request).create(
        asked.name, asked.place, policy, by=who.by, enabled=asked.enabled
    )
    response.headers["Location"] = f"/api/hub/alert-channels/{made.id}"
    return _channel_out(made)


@routes.get("/hub/alert-channels/{channel}", dependencies=_READ)
async def get_channel(request: Request, channel: Identity) -> ChannelOut:
    """Answer one channel."""
    return _channel_out(await known_channel(parts_of(request), channel))


@routes.patch("/hub/alert-channels/{channel}")
async def change_channel(request: Request, channel: Identity, who: Admin, asked: ChannelChange) -> ChannelOut:
    """Change a channel. Switched on again, it tells what begins from now on."""
    await known_channel(parts_of(request), channel)
    changed = await register_of(request).change(
        channel, by=who.by, name=asked.name, place=asked.place or "", enabled=asked.enabled,
        policy=None if asked.policy is None else asked.policy.given(),
    )  # fmt: skip
    return _channel_out(changed)


@routes.delete("/hub/alert-channels/{channel}", status_code=204)
async def delete_channel(request: Request, channel: Identity, who: Admin) -> None:
    """Delete a channel with its address; what waited for it is dropped."""
    await known_channel(parts_of(request), channel)
    await register_of(request).delete(channel, by=who.by)


@routes.post("/hub/alert-channels/{channel}/test", dependencies=ONCE)
async def test_channel(request: Request, channel: Identity, who: Admin) -> SentOut:
    """Send a test, and say what happened."""
    found = await known_channel(parts_of(request), channel)
    return SentOut.model_validate(await register_of(request).test(found, by=who.by))


def usual_policy(parts: Parts) -> channels.Policy:
    """Answer the policy of a channel about which nothing was said: the hub's language and zone."""
    return channels.Policy(language=parts.settings.language, zone=parts.settings.zone)


async def known_channel(parts: Parts, identity: str) -> Channel:
    """Answer a channel. Errors: `Problem` 404."""
    found = await parts.store.read(lambda tx: channels.get_channel(tx, identity))
    if found is None:
        raise not_found("channel")
    return found


async def _known(parts: Parts, alert: str) -> None:
    if await parts.store.read(lambda tx: queries.get_incident(tx, alert, _now(parts))) is None:
        raise not_found("alert")


def _notices(tx: Connection, **wanted: Any) -> list[Notice]:
    return with_receipts(tx, queries.list_notices(tx, **wanted))


def _incident_out(parts: Parts, alert: Incident) -> IncidentOut:
    out = IncidentOut.model_validate(alert)
    out.title, out.detail = parts.redactor.text(out.title), parts.redactor.value(out.detail)
    out.grouping = parts.redactor.text(out.grouping)
    return out


def _channel_out(one: Channel) -> ChannelOut:
    values = {name: getattr(one, name) for name in ("id", "name", "kind", "hint", "enabled")}
    times = {"created_ms": one.created_ms, "changed_ms": one.changed_ms}
    return ChannelOut.model_validate({**values, **times, "policy": one.policy.to_json()})


def _now(parts: Parts) -> int:
    return to_ms(parts.ambient.clock.now())
